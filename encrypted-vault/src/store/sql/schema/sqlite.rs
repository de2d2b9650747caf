//! The schema on SQLite.

/// All steps.
pub(super) const STEPS: &[&str] = &[
    "
CREATE TABLE installation (vault_id BLOB NOT NULL, mode TEXT NOT NULL);
CREATE TABLE envelopes (
    secret_id BLOB NOT NULL, version INTEGER NOT NULL, environment_id BLOB NOT NULL, digest BLOB NOT NULL,
    key_commitment BLOB NOT NULL, nonce BLOB NOT NULL, ciphertext BLOB NOT NULL, stored_at INTEGER NOT NULL,
    PRIMARY KEY (secret_id, version)) WITHOUT ROWID;
CREATE TABLE wrapped_keys (
    secret_id BLOB NOT NULL, version INTEGER NOT NULL, epoch INTEGER NOT NULL, storage_key INTEGER NOT NULL,
    wrapped BLOB NOT NULL, PRIMARY KEY (secret_id, version, epoch)) WITHOUT ROWID;
CREATE TABLE tombstones (
    secret_id BLOB NOT NULL, version INTEGER NOT NULL, environment_id BLOB NOT NULL, created_at INTEGER NOT NULL,
    PRIMARY KEY (secret_id, version)) WITHOUT ROWID;
CREATE TABLE events (seq INTEGER PRIMARY KEY, compact TEXT NOT NULL);
CREATE TABLE statements (position INTEGER PRIMARY KEY, document TEXT NOT NULL);
",
    "
CREATE TABLE retired_epochs (environment_id BLOB PRIMARY KEY, epoch INTEGER NOT NULL) WITHOUT ROWID;
ALTER TABLE statements ADD COLUMN stated_at INTEGER NOT NULL DEFAULT 0;
",
    "
CREATE TABLE value_fingerprints (
    secret_id BLOB NOT NULL, version INTEGER NOT NULL, storage_key INTEGER NOT NULL, wrapped BLOB NOT NULL,
    PRIMARY KEY (secret_id, version)) WITHOUT ROWID;
",
];
