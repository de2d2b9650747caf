//! The schema on PostgreSQL. Text is compared by its bytes, as SQLite does.

/// All steps.
pub(super) const STEPS: &[&str] = &[FIRST, LIVING_ENVIRONMENTS, ENVELOPES, REGISTRY, CREDENTIALS, TAGS, SECRET_LIFE];

const FIRST: &str = r#"
CREATE TABLE installation (
    only_row BIGINT PRIMARY KEY CHECK (only_row = 1),
    mode TEXT COLLATE "C" NOT NULL CHECK (mode IN ('development', 'production')),
    manager_id BYTEA NOT NULL CHECK (octet_length(manager_id) = 16),
    anonymous_credential BYTEA NOT NULL CHECK (octet_length(anonymous_credential) = 16)
);

CREATE TABLE environments (
    environment_id BYTEA PRIMARY KEY CHECK (octet_length(environment_id) = 16),
    name TEXT COLLATE "C" NOT NULL UNIQUE
);

-- Labels are what submitters call themselves; the id is random, so that a token does not carry the label.
CREATE TABLE subjects (
    label TEXT COLLATE "C" PRIMARY KEY,
    subject TEXT COLLATE "C" NOT NULL UNIQUE
);

-- hmac is NULL for the credential that stands for anonymous submissions.
CREATE TABLE credentials (
    credential_id BYTEA PRIMARY KEY CHECK (octet_length(credential_id) = 16),
    subject TEXT COLLATE "C" NOT NULL,
    hmac BYTEA UNIQUE CHECK (octet_length(hmac) = 32),
    created_at BIGINT NOT NULL,
    disabled_at BIGINT
);

-- Grows with each transaction that disables a credential, so that whoever has credentials in memory forgets them.
CREATE TABLE credential_generation (
    only_row BIGINT PRIMARY KEY CHECK (only_row = 1),
    generation BIGINT NOT NULL
);

CREATE TABLE secrets (
    secret_id BYTEA PRIMARY KEY CHECK (octet_length(secret_id) = 16),
    environment_id BYTEA NOT NULL REFERENCES environments (environment_id),
    path TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (environment_id, path)
);

CREATE TABLE versions (
    secret_id BYTEA NOT NULL REFERENCES secrets (secret_id),
    version BIGINT NOT NULL CHECK (version >= 1),
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('pending', 'committed', 'abandoned', 'destroyed')),
    epoch BIGINT NOT NULL CHECK (epoch >= 1),
    digest BYTEA NOT NULL CHECK (octet_length(digest) = 32),
    created_at BIGINT NOT NULL,
    PRIMARY KEY (secret_id, version)
);

-- Ends with the primary key, as an index of SQLite does.
CREATE INDEX versions_pending ON versions (created_at, secret_id, version) WHERE state = 'pending';

CREATE TABLE tokens (
    jti BYTEA PRIMARY KEY CHECK (octet_length(jti) = 16),
    subject TEXT COLLATE "C" NOT NULL,
    credential_id BYTEA NOT NULL REFERENCES credentials (credential_id),
    environment_id BYTEA NOT NULL REFERENCES environments (environment_id),
    grants TEXT COLLATE "C" NOT NULL,
    rseq BIGINT NOT NULL,
    issued_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX tokens_expiry ON tokens (expires_at);

-- lasting is 1: stays permanently. 0: may be dropped once it has ended. NULL: is from before events named the lasting one
-- before them, and is never dropped, because a vault could not pass over it.
CREATE TABLE events (
    seq BIGINT PRIMARY KEY CHECK (seq >= 1),
    name TEXT COLLATE "C" NOT NULL,
    compact TEXT COLLATE "C" NOT NULL,
    hash BYTEA NOT NULL CHECK (octet_length(hash) = 32),
    issued_at BIGINT NOT NULL,
    lasting BIGINT CHECK (lasting IN (0, 1))
);

CREATE INDEX events_name ON events (name);
CREATE INDEX events_lasting ON events (lasting, seq);

CREATE TABLE pending_revocations (
    position BIGINT PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL UNIQUE,
    created_at BIGINT NOT NULL
);

CREATE TABLE idempotency (
    subject TEXT COLLATE "C" NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    secret_id BYTEA NOT NULL REFERENCES secrets (secret_id),
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (subject, key)
);

CREATE INDEX idempotency_age ON idempotency (created_at);

-- Each change of the policy raises the epoch, so that what was decided before it counts no more.
CREATE TABLE policy (
    only_row BIGINT PRIMARY KEY CHECK (only_row = 1),
    epoch BIGINT NOT NULL CHECK (epoch >= 1)
);

-- How far an environment is on its way to an epoch: when a version last changed to it, and what the vault signed at the
-- end.
CREATE TABLE root_key_rotations (
    environment_id BYTEA NOT NULL REFERENCES environments (environment_id),
    epoch BIGINT NOT NULL CHECK (epoch >= 1),
    changed_at BIGINT NOT NULL,
    retirement TEXT COLLATE "C",
    PRIMARY KEY (environment_id, epoch)
);

-- Versions that the vault did not have when they were to change to an epoch: it was restored, and they are lost.
CREATE TABLE lacking_versions (
    secret_id BYTEA NOT NULL,
    version BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    PRIMARY KEY (secret_id, version),
    FOREIGN KEY (secret_id, version) REFERENCES versions (secret_id, version)
);
"#;

const LIVING_ENVIRONMENTS: &str = r#"
-- Until now there were only those that `init` makes.
ALTER TABLE environments ADD COLUMN display_name TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE environments ADD COLUMN ordinal BIGINT NOT NULL DEFAULT 0;
ALTER TABLE environments ADD COLUMN max_token_life_seconds BIGINT NOT NULL DEFAULT 2700;
ALTER TABLE environments ADD COLUMN frozen_at BIGINT;
ALTER TABLE environments ADD COLUMN disabled_at BIGINT;
ALTER TABLE environments ADD COLUMN created_at BIGINT NOT NULL DEFAULT 0;
UPDATE environments SET
    display_name = name,
    ordinal = CASE name WHEN 'dev' THEN 1 WHEN 'staging' THEN 2 ELSE 3 END,
    created_at = COALESCE((SELECT MIN(created_at) FROM credentials), 0);
CREATE UNIQUE INDEX environments_ordinal ON environments (ordinal);
"#;

const ENVELOPES: &str = r#"
-- A version of the catalogue points to an envelope: to its own, which has its number, or to an older one after a
-- rollback. The state of an envelope is what the vault has, that of a version is what the catalogue says.
ALTER TABLE versions RENAME TO envelopes;
ALTER TABLE envelopes RENAME COLUMN version TO envelope;
DROP INDEX versions_pending;
ALTER INDEX versions_pkey RENAME TO envelopes_pkey;
CREATE TABLE versions (
    secret_id BYTEA NOT NULL REFERENCES secrets (secret_id),
    version BIGINT NOT NULL,
    envelope BIGINT NOT NULL CHECK (envelope <= version),
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('pending', 'committed', 'abandoned', 'destroyed')),
    created_at BIGINT NOT NULL,
    PRIMARY KEY (secret_id, version),
    FOREIGN KEY (secret_id, envelope) REFERENCES envelopes (secret_id, envelope)
);
INSERT INTO versions (secret_id, version, envelope, state, created_at)
    SELECT secret_id, envelope, envelope, state, created_at FROM envelopes;
CREATE INDEX versions_pending ON versions (created_at, secret_id, version) WHERE state = 'pending';
CREATE INDEX versions_rolled_back ON versions (secret_id, envelope) WHERE envelope <> version;
ALTER TABLE envelopes DROP COLUMN created_at;

-- Envelopes that the vault did not have when they were to change to an epoch.
ALTER TABLE lacking_versions RENAME TO lacking_envelopes;
ALTER TABLE lacking_envelopes RENAME COLUMN version TO envelope;

-- The versions that a token was made for, in the order of its grants, which name envelopes. NULL: the same numbers.
ALTER TABLE tokens ADD COLUMN versions TEXT COLLATE "C";
"#;

const REGISTRY: &str = r#"
-- Principals, credentials and policy: JSON under a kind and an id, and a log with an entry for each change. The newest
-- entry authenticates all records.
CREATE TABLE registry_records (
    kind TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    body TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (kind, id)
);
CREATE TABLE registry_log (
    number BIGINT PRIMARY KEY CHECK (number >= 1),
    entry TEXT COLLATE "C" NOT NULL,
    tag BYTEA NOT NULL CHECK (octet_length(tag) = 32)
);

-- Credentials are records now. The table keeps those of before until the service has taken them over.
ALTER TABLE tokens DROP CONSTRAINT tokens_credential_id_fkey;
DROP TABLE credential_generation;
DROP TABLE policy;
"#;

const CREDENTIALS: &str = "
-- The hour in which a credential was used last. It informs, and nothing is decided from it.
CREATE TABLE credential_uses (
    credential_id BYTEA PRIMARY KEY CHECK (octet_length(credential_id) = 16),
    last_used_at BIGINT NOT NULL
);
-- Tokens of one credential, in the order of their pages.
CREATE INDEX tokens_of_credential ON tokens (credential_id, jti);
";

const TAGS: &str = "
-- An HMAC under a key of the key folder over what the row says, so that a row which somebody else wrote is told apart.
-- NULL: from before rows had tags. The service uses no such row until an operator has vouched for the database.
ALTER TABLE secrets ADD COLUMN tag BYTEA CHECK (octet_length(tag) = 32);
ALTER TABLE environments ADD COLUMN tag BYTEA CHECK (octet_length(tag) = 32);
ALTER TABLE subjects ADD COLUMN tag BYTEA CHECK (octet_length(tag) = 32);
ALTER TABLE pending_revocations ADD COLUMN tag BYTEA CHECK (octet_length(tag) = 32);
ALTER TABLE idempotency ADD COLUMN tag BYTEA CHECK (octet_length(tag) = 32);
";

const SECRET_LIFE: &str = r#"
-- number: of the entry of the registry that changed place or rules last; 0 as they were made. rules: JSON; empty for none.
-- The tag is over place, number and rules.
ALTER TABLE secrets ADD COLUMN number BIGINT NOT NULL DEFAULT 0;
ALTER TABLE secrets ADD COLUMN rules TEXT COLLATE "C" NOT NULL DEFAULT '';
-- Informs, and is shown: JSON with a tag of its own; empty for nothing.
ALTER TABLE secrets ADD COLUMN details TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE secrets ADD COLUMN details_tag BYTEA CHECK (octet_length(details_tag) = 32);
-- Grows with each change of place, rules and details.
ALTER TABLE secrets ADD COLUMN revision BIGINT NOT NULL DEFAULT 0;
-- The versions that have a stage.
ALTER TABLE secrets ADD COLUMN current_version BIGINT;
ALTER TABLE secrets ADD COLUMN previous_version BIGINT;
ALTER TABLE secrets ADD COLUMN pending_version BIGINT;
UPDATE secrets SET current_version = (
    SELECT MAX(v.version) FROM versions v WHERE v.secret_id = secrets.secret_id AND v.state = 'committed');
UPDATE secrets SET previous_version = (
    SELECT MAX(v.version) FROM versions v
    WHERE v.secret_id = secrets.secret_id AND v.state = 'committed' AND v.version < secrets.current_version);
-- stage: the one that the version gets when it is committed. expires_at: Unix seconds; NULL for never. The tag is over all of
-- the row but state and stage; NULL: from before versions had tags.
ALTER TABLE versions ADD COLUMN stage TEXT COLLATE "C" NOT NULL DEFAULT 'current' CHECK (stage IN ('current', 'pending'));
ALTER TABLE versions ADD COLUMN note TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE versions ADD COLUMN author TEXT COLLATE "C";
ALTER TABLE versions ADD COLUMN expires_at BIGINT;
ALTER TABLE versions ADD COLUMN tag BYTEA CHECK (octet_length(tag) = 32);
-- 1: the rules have one of retention. It is for finding them; the rule is in the rules.
ALTER TABLE secrets ADD COLUMN has_retention BIGINT NOT NULL DEFAULT 0;
CREATE INDEX secrets_with_retention ON secrets (secret_id) WHERE has_retention = 1;
-- Deletion. The time from which on maintenance looks at a deleted secret; NULL for nothing to do. It finds them, and decides
-- nothing.
ALTER TABLE secrets ADD COLUMN erase_at BIGINT;
CREATE INDEX secrets_to_erase ON secrets (erase_at, secret_id) WHERE erase_at IS NOT NULL;

-- When place, rules, details or stages changed last; NULL for never.
ALTER TABLE secrets ADD COLUMN updated_at BIGINT;

-- The index of lists and searches. Nothing is shown or decided from it, and it is made again from the rows above: a copy of the
-- database leaves tables out whose names begin with search_. name: the path in lower case. owner: empty for none. tags: all of
-- them, between control characters. rotation: seconds until the current version is due. due_at: 9223372036854775807 for never.
CREATE TABLE search_secrets (
    secret_id BYTEA PRIMARY KEY CHECK (octet_length(secret_id) = 16),
    environment_id BYTEA NOT NULL,
    path TEXT COLLATE "C" NOT NULL CHECK (octet_length(path) <= 512),
    name TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    owner TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    tags TEXT COLLATE "C" NOT NULL,
    rotation BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    due_at BIGINT NOT NULL
);
CREATE INDEX search_paths ON search_secrets (environment_id, path);
CREATE INDEX search_created ON search_secrets (created_at, secret_id);
CREATE INDEX search_updated ON search_secrets (updated_at, secret_id);
CREATE INDEX search_due ON search_secrets (due_at, secret_id);
CREATE INDEX search_kinds ON search_secrets (kind);
CREATE INDEX search_owners ON search_secrets (owner) WHERE owner <> '';
CREATE INDEX search_states ON search_secrets (state) WHERE state <> 'active';
CREATE TABLE search_tags (
    key TEXT COLLATE "C" NOT NULL,
    value TEXT COLLATE "C" NOT NULL,
    secret_id BYTEA NOT NULL,
    PRIMARY KEY (key, value, secret_id)
);
CREATE INDEX search_tagged ON search_tags (secret_id);
-- Names, by their parts of three characters. A server without the extension has no such index, and searches look at rows.
DO $$ BEGIN
    CREATE EXTENSION IF NOT EXISTS pg_trgm;
    CREATE INDEX search_names ON search_secrets USING gin (name gin_trgm_ops);
EXCEPTION WHEN insufficient_privilege OR undefined_file OR undefined_object OR feature_not_supported THEN
    NULL;
END $$;
-- Its row says that the index has all secrets.
CREATE TABLE search_filled (
    only_row BIGINT PRIMARY KEY CHECK (only_row = 1)
);
-- When a secret is due for its next rotation, for search: it follows from the description and the current version.
ALTER TABLE secrets ADD COLUMN rotation_due_at BIGINT;
UPDATE secrets SET rotation_due_at = 31536000 + (
    SELECT v.created_at FROM versions v WHERE v.secret_id = secrets.secret_id AND v.version = secrets.current_version);
CREATE INDEX secrets_due ON secrets (rotation_due_at, secret_id);
CREATE INDEX versions_end ON versions (expires_at, secret_id);
-- The account whose value a version has, of a pair.
ALTER TABLE versions ADD COLUMN account TEXT COLLATE "C" NOT NULL DEFAULT '';
-- Rotations that are under way: JSON with a tag. ends_at is for search: when nothing keeps one from its end.
CREATE TABLE rotations (
    secret_id BYTEA PRIMARY KEY CHECK (octet_length(secret_id) = 16),
    body TEXT COLLATE "C" NOT NULL,
    tag BYTEA NOT NULL CHECK (octet_length(tag) = 32),
    ends_at BIGINT
);
CREATE INDEX rotations_end ON rotations (ends_at);
-- What people and programs are told before it happens. Nothing is decided from it.
CREATE TABLE notices (
    number BIGINT PRIMARY KEY CHECK (number >= 1),
    kind TEXT COLLATE "C" NOT NULL CHECK (kind IN ('expiry', 'rotation', 'compromise', 'loss')),
    secret_id BYTEA NOT NULL CHECK (octet_length(secret_id) = 16),
    version BIGINT NOT NULL,
    threshold_days BIGINT NOT NULL,
    deadline_hours BIGINT NOT NULL DEFAULT 0,
    due_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    delivered_at BIGINT,
    UNIQUE (kind, secret_id, version, threshold_days, deadline_hours)
);
CREATE TABLE notice_numbers (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    newest BIGINT NOT NULL
);
-- The secrets that the value refers to and that its author could read: a JSON array of ids, with a tag over these, the secret,
-- the version, the digest of its envelope and its author; empty for none.
ALTER TABLE versions ADD COLUMN targets TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE versions ADD COLUMN targets_tag BYTEA CHECK (octet_length(targets_tag) = 32);
-- The number that the registry had when a row without a change was written or renewed.
ALTER TABLE secrets ADD COLUMN since BIGINT NOT NULL DEFAULT 0;
-- The time from which on nothing of a destroyed secret is kept; NULL for others. It finds them, and decides nothing.
ALTER TABLE secrets ADD COLUMN prune_at BIGINT;
CREATE INDEX secrets_to_prune ON secrets (prune_at, secret_id) WHERE prune_at IS NOT NULL;
"#;
