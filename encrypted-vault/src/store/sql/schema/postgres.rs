//! The schema on PostgreSQL. Text is compared by its bytes, as SQLite does.

/// All steps.
pub(super) const STEPS: &[&str] = &[FIRST, VALUE_FINGERPRINTS];

const FIRST: &str = r#"
CREATE TABLE installation (vault_id BYTEA NOT NULL, mode TEXT COLLATE "C" NOT NULL);
CREATE TABLE envelopes (
    secret_id BYTEA NOT NULL, version BIGINT NOT NULL, environment_id BYTEA NOT NULL, digest BYTEA NOT NULL,
    key_commitment BYTEA NOT NULL, nonce BYTEA NOT NULL, ciphertext BYTEA NOT NULL, stored_at BIGINT NOT NULL,
    PRIMARY KEY (secret_id, version));
CREATE TABLE wrapped_keys (
    secret_id BYTEA NOT NULL, version BIGINT NOT NULL, epoch BIGINT NOT NULL, storage_key BIGINT NOT NULL,
    wrapped BYTEA NOT NULL, PRIMARY KEY (secret_id, version, epoch));
CREATE TABLE tombstones (
    secret_id BYTEA NOT NULL, version BIGINT NOT NULL, environment_id BYTEA NOT NULL, created_at BIGINT NOT NULL,
    PRIMARY KEY (secret_id, version));
CREATE TABLE events (seq BIGINT PRIMARY KEY, compact TEXT COLLATE "C" NOT NULL);
CREATE TABLE statements (
    position BIGINT PRIMARY KEY, document TEXT COLLATE "C" NOT NULL, stated_at BIGINT NOT NULL DEFAULT 0);
CREATE TABLE retired_epochs (environment_id BYTEA PRIMARY KEY, epoch BIGINT NOT NULL);
"#;

const VALUE_FINGERPRINTS: &str = "
CREATE TABLE value_fingerprints (
    secret_id BYTEA NOT NULL, version BIGINT NOT NULL, storage_key BIGINT NOT NULL, wrapped BYTEA NOT NULL,
    PRIMARY KEY (secret_id, version));
";
