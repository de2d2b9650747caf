//! The schema of `manager.db`.

/// All steps.
pub(super) const STEPS: &[&str] = &[
    FIRST,
    ROOT_KEY_ROTATIONS,
    LASTING_EVENTS,
    CREDENTIAL_GENERATION,
    POLICY,
    LIVING_ENVIRONMENTS,
    ENVELOPES,
    REGISTRY,
    CREDENTIALS,
    TAGS,
    SECRET_LIFE,
];

const FIRST: &str = "
CREATE TABLE installation (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    mode TEXT NOT NULL CHECK (mode IN ('development', 'production')),
    manager_id BLOB NOT NULL CHECK (length(manager_id) = 16),
    anonymous_credential BLOB NOT NULL CHECK (length(anonymous_credential) = 16)
) STRICT;

CREATE TABLE environments (
    environment_id BLOB PRIMARY KEY CHECK (length(environment_id) = 16),
    name TEXT NOT NULL UNIQUE
) STRICT, WITHOUT ROWID;

-- Labels are what submitters call themselves; the id is random, so that a token does not carry the label.
CREATE TABLE subjects (
    label TEXT PRIMARY KEY,
    subject TEXT NOT NULL UNIQUE
) STRICT, WITHOUT ROWID;

-- hmac is NULL for the credential that stands for anonymous submissions.
CREATE TABLE credentials (
    credential_id BLOB PRIMARY KEY CHECK (length(credential_id) = 16),
    subject TEXT NOT NULL,
    hmac BLOB UNIQUE CHECK (length(hmac) = 32),
    created_at INTEGER NOT NULL,
    disabled_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE secrets (
    secret_id BLOB PRIMARY KEY CHECK (length(secret_id) = 16),
    environment_id BLOB NOT NULL REFERENCES environments (environment_id),
    path TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (environment_id, path)
) STRICT, WITHOUT ROWID;

CREATE TABLE versions (
    secret_id BLOB NOT NULL REFERENCES secrets (secret_id),
    version INTEGER NOT NULL CHECK (version >= 1),
    state TEXT NOT NULL CHECK (state IN ('pending', 'committed', 'abandoned', 'destroyed')),
    epoch INTEGER NOT NULL CHECK (epoch >= 1),
    digest BLOB NOT NULL CHECK (length(digest) = 32),
    created_at INTEGER NOT NULL,
    PRIMARY KEY (secret_id, version)
) STRICT, WITHOUT ROWID;

CREATE INDEX versions_pending ON versions (created_at) WHERE state = 'pending';

CREATE TABLE tokens (
    jti BLOB PRIMARY KEY CHECK (length(jti) = 16),
    subject TEXT NOT NULL,
    credential_id BLOB NOT NULL REFERENCES credentials (credential_id),
    environment_id BLOB NOT NULL REFERENCES environments (environment_id),
    grants TEXT NOT NULL,
    rseq INTEGER NOT NULL,
    issued_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX tokens_expiry ON tokens (expires_at);

CREATE TABLE events (
    seq INTEGER PRIMARY KEY CHECK (seq >= 1),
    name TEXT NOT NULL,
    compact TEXT NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    issued_at INTEGER NOT NULL
) STRICT;

CREATE INDEX events_name ON events (name);

CREATE TABLE pending_revocations (
    position INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE idempotency (
    subject TEXT NOT NULL,
    key TEXT NOT NULL,
    secret_id BLOB NOT NULL REFERENCES secrets (secret_id),
    version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (subject, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_age ON idempotency (created_at);
";

const ROOT_KEY_ROTATIONS: &str = "
-- Where an environment is on its way to an epoch: when a version last changed to it, and what the vault signed at the end.
CREATE TABLE root_key_rotations (
    environment_id BLOB NOT NULL REFERENCES environments (environment_id),
    epoch INTEGER NOT NULL CHECK (epoch >= 1),
    changed_at INTEGER NOT NULL,
    retirement TEXT,
    PRIMARY KEY (environment_id, epoch)
) STRICT, WITHOUT ROWID;

-- Versions that the vault did not have when they were to change to an epoch: it was restored, and they are lost.
CREATE TABLE lacking_versions (
    secret_id BLOB NOT NULL,
    version INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    PRIMARY KEY (secret_id, version),
    FOREIGN KEY (secret_id, version) REFERENCES versions (secret_id, version)
) STRICT, WITHOUT ROWID;
";

const LASTING_EVENTS: &str = "
-- 1: stays for ever. 0: may be dropped once it has ended. NULL: is from before events named the lasting one before them,
-- and is never dropped, because a vault could not pass over it.
ALTER TABLE events ADD COLUMN lasting INTEGER CHECK (lasting IN (0, 1));
UPDATE events SET lasting = 1
    WHERE name GLOB 'subject:*' OR name GLOB 'credential:*' OR name GLOB 'signing-key:*' OR name GLOB 'destroy:*';
CREATE INDEX events_lasting ON events (lasting, seq);
";

const CREDENTIAL_GENERATION: &str = "
-- Grows with each transaction that disables a credential, so that whoever has credentials in memory forgets them.
CREATE TABLE credential_generation (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    generation INTEGER NOT NULL
) STRICT;
";

const POLICY: &str = "
-- Each change of the policy raises the epoch, so that what was decided before it counts no more.
CREATE TABLE policy (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    epoch INTEGER NOT NULL CHECK (epoch >= 1)
) STRICT;
";

const LIVING_ENVIRONMENTS: &str = "
-- Until now there were only those that `init` makes.
ALTER TABLE environments ADD COLUMN display_name TEXT NOT NULL DEFAULT '';
ALTER TABLE environments ADD COLUMN ordinal INTEGER NOT NULL DEFAULT 0;
ALTER TABLE environments ADD COLUMN max_token_life_seconds INTEGER NOT NULL DEFAULT 2700;
ALTER TABLE environments ADD COLUMN frozen_at INTEGER;
ALTER TABLE environments ADD COLUMN disabled_at INTEGER;
ALTER TABLE environments ADD COLUMN created_at INTEGER NOT NULL DEFAULT 0;
UPDATE environments SET
    display_name = name,
    ordinal = CASE name WHEN 'dev' THEN 1 WHEN 'staging' THEN 2 ELSE 3 END,
    created_at = COALESCE((SELECT MIN(created_at) FROM credentials), 0);
CREATE UNIQUE INDEX environments_ordinal ON environments (ordinal);
";

const ENVELOPES: &str = "
-- A version of the catalogue points to an envelope: to its own, which has its number, or to an older one after a
-- rollback. The state of an envelope is what the vault has, that of a version is what the catalogue says.
ALTER TABLE versions RENAME TO envelopes;
ALTER TABLE envelopes RENAME COLUMN version TO envelope;
DROP INDEX versions_pending;
CREATE TABLE versions (
    secret_id BLOB NOT NULL REFERENCES secrets (secret_id),
    version INTEGER NOT NULL,
    envelope INTEGER NOT NULL CHECK (envelope <= version),
    state TEXT NOT NULL CHECK (state IN ('pending', 'committed', 'abandoned', 'destroyed')),
    created_at INTEGER NOT NULL,
    PRIMARY KEY (secret_id, version),
    FOREIGN KEY (secret_id, envelope) REFERENCES envelopes (secret_id, envelope)
) STRICT, WITHOUT ROWID;
INSERT INTO versions (secret_id, version, envelope, state, created_at)
    SELECT secret_id, envelope, envelope, state, created_at FROM envelopes;
CREATE INDEX versions_pending ON versions (created_at) WHERE state = 'pending';
CREATE INDEX versions_rolled_back ON versions (secret_id, envelope) WHERE envelope <> version;
ALTER TABLE envelopes DROP COLUMN created_at;

-- Envelopes that the vault did not have when they were to change to an epoch.
ALTER TABLE lacking_versions RENAME TO lacking_envelopes;
ALTER TABLE lacking_envelopes RENAME COLUMN version TO envelope;

-- The versions that a token was made for, in the order of its grants, which name envelopes. NULL: the same numbers.
ALTER TABLE tokens ADD COLUMN versions TEXT;
";

const REGISTRY: &str = "
-- Principals, credentials and policy: JSON under a kind and an id, and a log with an entry for each change. The newest
-- entry authenticates all records.
CREATE TABLE registry_records (
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE registry_log (
    number INTEGER PRIMARY KEY CHECK (number >= 1),
    entry TEXT NOT NULL,
    tag BLOB NOT NULL CHECK (length(tag) = 32)
) STRICT;

-- Credentials are records now. The table keeps those of before until the service has taken them over.
ALTER TABLE tokens RENAME TO former_tokens;
DROP INDEX tokens_expiry;
CREATE TABLE tokens (
    jti BLOB PRIMARY KEY CHECK (length(jti) = 16),
    subject TEXT NOT NULL,
    credential_id BLOB NOT NULL,
    environment_id BLOB NOT NULL REFERENCES environments (environment_id),
    grants TEXT NOT NULL,
    versions TEXT,
    rseq INTEGER NOT NULL,
    issued_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO tokens (jti, subject, credential_id, environment_id, grants, versions, rseq, issued_at, expires_at)
    SELECT jti, subject, credential_id, environment_id, grants, versions, rseq, issued_at, expires_at FROM former_tokens;
DROP TABLE former_tokens;
CREATE INDEX tokens_expiry ON tokens (expires_at);
DROP TABLE credential_generation;
DROP TABLE policy;
";

const CREDENTIALS: &str = "
-- The hour in which a credential was used last. It informs, and nothing is decided from it.
CREATE TABLE credential_uses (
    credential_id BLOB PRIMARY KEY CHECK (length(credential_id) = 16),
    last_used_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
-- Tokens of one credential, in the order of their pages.
CREATE INDEX tokens_of_credential ON tokens (credential_id, jti);
";

const TAGS: &str = "
-- An HMAC under a key of the key folder over what the row says, so that a row which somebody else wrote is told apart.
-- NULL: from before rows had tags. The service uses no such row until an operator has vouched for the database.
ALTER TABLE secrets ADD COLUMN tag BLOB CHECK (length(tag) = 32);
ALTER TABLE environments ADD COLUMN tag BLOB CHECK (length(tag) = 32);
ALTER TABLE subjects ADD COLUMN tag BLOB CHECK (length(tag) = 32);
ALTER TABLE pending_revocations ADD COLUMN tag BLOB CHECK (length(tag) = 32);
ALTER TABLE idempotency ADD COLUMN tag BLOB CHECK (length(tag) = 32);
";

const SECRET_LIFE: &str = "
-- number: of the entry of the registry that changed place or rules last; 0 as they were made. rules: JSON; empty for none.
-- The tag is over place, number and rules.
ALTER TABLE secrets ADD COLUMN number INTEGER NOT NULL DEFAULT 0;
ALTER TABLE secrets ADD COLUMN rules TEXT NOT NULL DEFAULT '';
-- Informs, and is shown: JSON with a tag of its own; empty for nothing.
ALTER TABLE secrets ADD COLUMN details TEXT NOT NULL DEFAULT '';
ALTER TABLE secrets ADD COLUMN details_tag BLOB CHECK (length(details_tag) = 32);
-- Grows with each change of place, rules and details.
ALTER TABLE secrets ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
-- The versions that have a stage.
ALTER TABLE secrets ADD COLUMN current_version INTEGER;
ALTER TABLE secrets ADD COLUMN previous_version INTEGER;
ALTER TABLE secrets ADD COLUMN pending_version INTEGER;
UPDATE secrets SET current_version = (
    SELECT MAX(v.version) FROM versions v WHERE v.secret_id = secrets.secret_id AND v.state = 'committed');
UPDATE secrets SET previous_version = (
    SELECT MAX(v.version) FROM versions v
    WHERE v.secret_id = secrets.secret_id AND v.state = 'committed' AND v.version < secrets.current_version);
-- stage: the one that the version gets when it is committed. expires_at: Unix seconds; NULL for never. The tag is over all of
-- the row but state and stage; NULL: from before versions had tags.
ALTER TABLE versions ADD COLUMN stage TEXT NOT NULL DEFAULT 'current' CHECK (stage IN ('current', 'pending'));
ALTER TABLE versions ADD COLUMN note TEXT NOT NULL DEFAULT '';
ALTER TABLE versions ADD COLUMN author TEXT;
ALTER TABLE versions ADD COLUMN expires_at INTEGER;
ALTER TABLE versions ADD COLUMN tag BLOB CHECK (length(tag) = 32);
-- 1: the rules have one of retention. It is for finding them; the rule is in the rules.
ALTER TABLE secrets ADD COLUMN has_retention INTEGER NOT NULL DEFAULT 0;
CREATE INDEX secrets_with_retention ON secrets (secret_id) WHERE has_retention = 1;
-- Deletion. The time from which on maintenance looks at a deleted secret; NULL for nothing to do. It finds them, and decides
-- nothing.
ALTER TABLE secrets ADD COLUMN erase_at INTEGER;
CREATE INDEX secrets_to_erase ON secrets (erase_at, secret_id) WHERE erase_at IS NOT NULL;

-- When place, rules, details or stages changed last; NULL for never.
ALTER TABLE secrets ADD COLUMN updated_at INTEGER;

-- The index of lists and searches. Nothing is shown or decided from it, and it is made again from the rows above: a copy of the
-- database leaves tables out whose names begin with search_. name: the path in lower case. owner: empty for none. tags: all of
-- them, between control characters. rotation: seconds until the current version is due. due_at: 9223372036854775807 for never.
CREATE TABLE search_secrets (
    entry INTEGER PRIMARY KEY,
    secret_id BLOB NOT NULL UNIQUE CHECK (length(secret_id) = 16),
    environment_id BLOB NOT NULL,
    path TEXT NOT NULL CHECK (length(path) <= 512),
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    owner TEXT NOT NULL,
    state TEXT NOT NULL,
    tags TEXT NOT NULL,
    rotation INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    due_at INTEGER NOT NULL
) STRICT;
CREATE INDEX search_paths ON search_secrets (environment_id, path);
CREATE INDEX search_created ON search_secrets (created_at, secret_id);
CREATE INDEX search_updated ON search_secrets (updated_at, secret_id);
CREATE INDEX search_due ON search_secrets (due_at, secret_id);
CREATE INDEX search_kinds ON search_secrets (kind);
CREATE INDEX search_owners ON search_secrets (owner) WHERE owner <> '';
CREATE INDEX search_states ON search_secrets (state) WHERE state <> 'active';
CREATE TABLE search_tags (
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    secret_id BLOB NOT NULL,
    PRIMARY KEY (key, value, secret_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX search_tagged ON search_tags (secret_id);
-- Names, by their parts of three characters. Its rows have the numbers of the entries.
CREATE VIRTUAL TABLE search_names USING fts5(
    name, content='', contentless_delete=1, tokenize='trigram case_sensitive 1');
-- Its row says that the index has all secrets.
CREATE TABLE search_filled (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1)
) STRICT;
-- When a secret is due for its next rotation, for search: it follows from the description and the current version.
ALTER TABLE secrets ADD COLUMN rotation_due_at INTEGER;
UPDATE secrets SET rotation_due_at = 31536000 + (
    SELECT v.created_at FROM versions v WHERE v.secret_id = secrets.secret_id AND v.version = secrets.current_version);
CREATE INDEX secrets_due ON secrets (rotation_due_at, secret_id);
CREATE INDEX versions_end ON versions (expires_at, secret_id);
-- The account whose value a version has, of a pair.
ALTER TABLE versions ADD COLUMN account TEXT NOT NULL DEFAULT '';
-- Rotations that are under way: JSON with a tag. ends_at is for search: when nothing keeps one from its end.
CREATE TABLE rotations (
    secret_id BLOB PRIMARY KEY CHECK (length(secret_id) = 16),
    body TEXT NOT NULL,
    tag BLOB NOT NULL CHECK (length(tag) = 32),
    ends_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX rotations_end ON rotations (ends_at);
-- What people and programs are told before it happens. Nothing is decided from it.
CREATE TABLE notices (
    number INTEGER PRIMARY KEY CHECK (number >= 1),
    kind TEXT NOT NULL CHECK (kind IN ('expiry', 'rotation', 'compromise', 'loss')),
    secret_id BLOB NOT NULL CHECK (length(secret_id) = 16),
    version INTEGER NOT NULL,
    threshold_days INTEGER NOT NULL,
    deadline_hours INTEGER NOT NULL DEFAULT 0,
    due_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    delivered_at INTEGER,
    UNIQUE (kind, secret_id, version, threshold_days, deadline_hours)
) STRICT;
CREATE TABLE notice_numbers (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    newest INTEGER NOT NULL
) STRICT;
-- The secrets that the value refers to and that its author could read: a JSON array of ids, with a tag over these, the secret,
-- the version, the digest of its envelope and its author; empty for none.
ALTER TABLE versions ADD COLUMN targets TEXT NOT NULL DEFAULT '';
ALTER TABLE versions ADD COLUMN targets_tag BLOB CHECK (length(targets_tag) = 32);
-- The number that the registry had when a row without a change was written or renewed.
ALTER TABLE secrets ADD COLUMN since INTEGER NOT NULL DEFAULT 0;
-- The time from which on nothing of a destroyed secret is kept; NULL for others. It finds them, and decides nothing.
ALTER TABLE secrets ADD COLUMN prune_at INTEGER;
CREATE INDEX secrets_to_prune ON secrets (prune_at, secret_id) WHERE prune_at IS NOT NULL;
";
