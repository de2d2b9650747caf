//! A catalogue for the tests of lists, on either engine.

mod integrity;
mod narrow;
mod planted_notices;
mod scale;
mod speed;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use manager_api::id::PermissionId;
use manager_api::name::{AccountName, EnvironmentName, SecretPath};
use manager_api::tags::Tags;
use manager_api::tokens::{Stage, WantedVersion};
use manager_api::wire::CatalogueState;
use manager_policy::{
    Action, ActionType, Effect, Facts, Line, Note, Party, Period, Permission, Permit, Reach, Scope, State, Visible,
};
use manager_registry::{
    Author, Change, Credential, Proof, Record, RegistryKey, RoleAssignment, RowKey, RowKind, Service, Snapshot,
};
use manager_store::sql::SqlStore;
use manager_store::sql::schema::SCHEMA;
use manager_store::{
    AboutVersion, CatalogueStore as _, Details, Environment, Installation, InstallationStore as _, ManagerStore as _,
    NewInstallation, NewVersion, ReadPermits, ReadTurns, SearchStore as _, SecretQuery, TokenDecision, TokenRequest,
    TokenStore as _, TokenSubject, VersionRow, Wanted,
};
use service_runtime::sql::{Database, Location, PostgresOptions, Tx};
use shared_proto::encoding::Bytes;
use shared_proto::id::{CredentialId, EnvironmentId, ManagerId, SecretId, ServiceId, Subject, TokenId, Version};
use shared_proto::identity::Mode;

const KEY: [u8; 32] = [8; 32];
const NOW: u64 = 1_000;
/// Secrets that nobody sees: half of them in a folder before those of the test, half behind.
pub(crate) const HIDDEN: usize = 20_000;
pub(crate) const ENVIRONMENT: [u8; 16] = [5; 16];

#[derive(Clone, Copy, Debug)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

pub(crate) fn environment() -> EnvironmentId {
    EnvironmentId::from_bytes(ENVIRONMENT)
}

/// A database with one environment and an administrator.
pub(crate) struct Catalogue {
    pub(crate) database: Database,
    pub(crate) store: SqlStore,
    engine: Engine,
    state: Snapshot,
    credential: CredentialId,
    subject: Subject,
    _kept: (Option<tempfile::TempDir>, Option<test_postgres::Database>),
}

/// Secrets of other folders, made by the engine itself.
const MANY: [[&str; 2]; 2] = [
    [
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
         INSERT INTO secrets (secret_id, environment_id, path, created_at)
         SELECT CAST(printf('%016d', i) AS BLOB), ?2, CASE i % 2 WHEN 0 THEN 'a' ELSE 'z' END || printf('/%d', i), 1 FROM n",
        "INSERT INTO search_names (rowid, name) SELECT entry, name FROM search_secrets WHERE due_at = 7",
    ],
    [
        "INSERT INTO secrets (secret_id, environment_id, path, created_at)
         SELECT convert_to(lpad(i::text, 16, '0'), 'UTF8'), ?2, CASE i % 2 WHEN 0 THEN 'a' ELSE 'z' END || '/' || i, 1
         FROM generate_series(1, ?1) AS n (i)",
        "ANALYZE",
    ],
];
const INDEXED: &str = "INSERT INTO search_secrets
        (secret_id, environment_id, path, name, kind, owner, state, tags, rotation, created_at, updated_at, due_at)
    SELECT secret_id, environment_id, path, path, 'text', '', 'active', '', 1, 1, 1, 7 FROM secrets WHERE tag IS NULL";

impl Catalogue {
    pub(crate) async fn on(engine: Engine) -> Self {
        let (location, kept) = match engine {
            Engine::Sqlite => {
                let dir = tempfile::tempdir().unwrap();
                (Location::File(dir.path().join("manager.db")), (Some(dir), None))
            }
            Engine::Postgres => {
                let kept = test_postgres::Database::create();
                let options =
                    PostgresOptions { password_file: Some(kept.password_file()), ..PostgresOptions::default() };
                let (base, file) = (Path::new("/"), PathBuf::new());
                let location = Location::new(Some(&kept.socket_url()), Some(&options), base, file, false).unwrap();
                (location, (None, Some(kept)))
            }
        };
        let database = Database::open(&location, &SCHEMA, true).unwrap();
        let store = SqlStore::on(database.clone()).with_key(RowKey::new(&KEY));
        let id = ServiceId::generate();
        let (subject, credential) = (Subject::Service(id), CredentialId::generate());
        let records = [
            Record::from(Service::new(id, AccountName::parse("administrator").unwrap(), NOW)),
            RoleAssignment::administrator(id, NOW).unwrap().into(),
            Credential::new(credential, subject, Proof::opaque([1; 32]), NOW).into(),
        ];
        let by = (Author::Operator, "", NOW);
        let changes = records.map(Change::from).to_vec();
        let first = Snapshot::empty().propose(changes, by, 0, &RegistryKey::new(&[3; 32])).unwrap();
        let (mode, manager, anonymous) = (Mode::Production, ManagerId::generate(), CredentialId::generate());
        let new = NewInstallation {
            installation: Installation { mode, manager, anonymous },
            environments: vec![Environment::new(environment(), EnvironmentName::parse("dev").unwrap(), 1, NOW)],
            registry: first.rows,
        };
        store.install(new).await.unwrap();
        Self { database, store, engine, state: first.after, credential, subject, _kept: kept }
    }

    pub(crate) fn may<A: ActionType>(&self) -> Permit<A> {
        let actor = self.state.actor(self.credential, NOW).unwrap();
        Permit::decide(&self.state.facts(false), &actor, &Scope::Installation, NOW).unwrap()
    }

    /// What a caller sees who may list these patterns alone.
    pub(crate) fn sees(&self, patterns: &[&str]) -> Visible {
        let line = |pattern: &&str| {
            Arc::new(Line::Permission(Permission {
                id: PermissionId::generate(),
                party: Party::Principal(self.subject),
                effect: Effect::Allow,
                actions: [Action::List].into_iter().collect(),
                reach: Reach { environment: None, pattern: pattern.parse().unwrap() },
                condition: Tags::default(),
                period: Period::ALWAYS,
                note: Note { author: None, reason: None },
            }))
        };
        let facts = self.state.facts(false);
        let state = State { lines: patterns.iter().map(line).collect(), ..facts.state().clone() };
        let actor = self.state.actor(self.credential, NOW).unwrap();
        Visible::decide(&Facts::new(facts.epoch(), state), &actor, NOW)
    }

    /// Makes a secret with one version.
    pub(crate) async fn write(&self, path: &str) -> SecretId {
        let secret = SecretId::generate();
        self.write_version(secret, path, Version::FIRST).await;
        secret
    }

    pub(crate) async fn write_version(&self, secret: SecretId, path: &str, version: Version) {
        let row = VersionRow {
            secret,
            environment: environment(),
            version,
            state: CatalogueState::Pending,
            envelope: version,
            epoch: 1,
            digest: Bytes([0; 32]),
        };
        let new = NewVersion {
            row,
            path: SecretPath::parse(path).unwrap(),
            rules: manager_registry::SecretRules::default(),
            details: Details::default(),
            about: AboutVersion::default(),
            if_version: None,
            subject: TokenSubject::Subject(self.subject),
            idempotency: None,
            signing_key: None,
            rotation: None,
            now: NOW,
        };
        self.store.begin(&self.may(), new).await.unwrap();
        self.store.commit(secret, version, None).await.unwrap();
    }

    /// Records a token for the current version.
    pub(crate) async fn mint(&self, secret: SecretId) {
        let (facts, actor) = (self.state.facts(false), self.state.actor(self.credential, NOW).unwrap());
        let order = TokenRequest {
            jti: TokenId::generate(),
            subject: TokenSubject::Subject(self.subject),
            signing_key: Bytes([5; 32]),
            grants: vec![(Wanted::Id(secret), WantedVersion::Stage(Stage::Current))],
            permits: ReadPermits::new(move |_| Permit::decide(&facts, &actor, &Scope::Installation, NOW).ok()),
            approved: Vec::new(),
            turns: ReadTurns::new(|_| Ok(())),
            issued_at: NOW,
            expires_at: NOW + 900,
        };
        let decided = self.store.decide_token(order).await.unwrap();
        assert!(matches!(decided, TokenDecision::Recorded { .. }), "{decided:?}");
    }

    pub(crate) async fn hide_many(&self) {
        let [secrets, last] = MANY[self.engine as usize];
        let fill = move |tx: &mut Tx<'_>| {
            tx.execute(secrets, &[&u64::try_from(HIDDEN).unwrap(), &ENVIRONMENT])?;
            tx.execute(INDEXED, &[])?;
            tx.execute(last, &[]).map(|_rows| ())
        };
        self.database.write("fill", fill).await.unwrap();
    }

    /// Gives every row the tag that it would have if the manager had written it.
    pub(crate) async fn vouch(&self) {
        let key = RowKey::new(&KEY);
        let vouch = move |tx: &mut Tx<'_>| {
            let sql = "SELECT secret_id, path FROM secrets WHERE tag IS NULL";
            let rows: Vec<([u8; 16], String)> = tx.all(sql, &[], |row| Ok((row.get(0)?, row.get(1)?)))?;
            for (secret, path) in rows {
                let tag = key.tag(RowKind::Place, &[&secret, &ENVIRONMENT, path.as_bytes()]);
                tx.execute("UPDATE secrets SET tag = ?2 WHERE secret_id = ?1", &[&secret, &tag])?;
            }
            Ok(())
        };
        self.database.write("vouch", vouch).await.unwrap();
    }

    /// Runs a statement behind the store's back.
    pub(crate) async fn alter(&self, statement: &'static str) {
        self.database.write("alter", move |tx| tx.execute(statement, &[]).map(|_rows| ())).await.unwrap();
    }

    /// The paths of all pages, and how many pages there were.
    pub(crate) async fn read(&self, visible: &Visible, query: &SecretQuery, limit: usize) -> (Vec<String>, usize) {
        let (mut paths, mut pages, mut after) = (Vec::new(), 0, None);
        loop {
            let page = self.store.secrets(visible, query.clone(), after, limit).await.unwrap();
            pages += 1;
            paths.extend(page.rows.iter().map(|row| row.path.as_str().to_owned()));
            match page.next {
                Some(next) => after = Some(next),
                None => return (paths, pages),
            }
        }
    }

    pub(crate) async fn close(self) {
        self.store.close().await;
    }
}
