//! A vault with its directories, its clocks and its manager.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use encrypted_vault::app::Vault;
use encrypted_vault::config::{Config, Danger, KeyTimes};
use encrypted_vault::keys::{self, KeyRing};
use encrypted_vault::read_budgets::BudgetSettings;
use encrypted_vault::store::SqlStore;
use serde::Serialize;
use service_runtime::StartError;
use service_runtime::audit::{AuditSettings, AuditSync};
use service_runtime::clock::{Clock as _, ManualClock};
use service_runtime::files::create_private;
use service_runtime::http::ServeConfig;
use service_runtime::sql::{Faults, Location};
use shared_proto::command::Operation;
use shared_proto::comparison::Likeness;
use shared_proto::event::Event;
use shared_proto::id::SecretId;
use shared_proto::identity::{IdentityDocument, Mode, Owner, Pins};
use shared_proto::jwk::{PublicJwk, Thumbprint};
use shared_proto::statement::Purpose;
use shared_proto::wire::fingerprint::ComparisonAnswer;
use shared_proto::wire::vault::{EnvelopeToStore, Poll, PushAnswer, StoreAnswer};
use tempfile::TempDir;

use super::http::{Reply, command, get};
use super::keys::transport_pem;
use super::{Draft, Manager, Secret};

/// When every test begins.
pub(crate) const NOW: u64 = 1_800_000_000;

pub(crate) struct World {
    pub(crate) manager: Manager,
    pub(crate) config: Config,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) document: IdentityDocument,
    pub(crate) dir: TempDir,
    /// The planned faults of the database. Each write runs twice, because it must be able to.
    pub(crate) faults: Faults,
}

impl World {
    /// A new vault that was polled once.
    pub(crate) async fn new() -> Self {
        let world = Self::unpolled().await;
        world.poll().await;
        world
    }

    /// A new vault that never heard of its manager.
    pub(crate) async fn unpolled() -> Self {
        Self::begun(Self::directories(Mode::Development)).await
    }

    /// A vault that was polled once, with budgets of its operator.
    pub(crate) async fn with_budgets(budgets: BudgetSettings) -> Self {
        let (dir, mut config, document, manager) = Self::directories(Mode::Development);
        config.budgets = budgets;
        let world = Self::begun((dir, config, document, manager)).await;
        world.poll().await;
        world
    }

    /// A vault with its database at a place of its own.
    pub(crate) async fn on(location: Location) -> Self {
        let (dir, mut config, document, manager) = Self::directories(Mode::Development);
        let Owner::Vault(id) = document.id else { panic!("init makes a vault") };
        SqlStore::create(&location, id, config.mode).unwrap();
        config.location = location;
        let world = Self::begun((dir, config, document, manager)).await;
        world.poll().await;
        world
    }

    async fn begun((dir, config, document, manager): (TempDir, Config, IdentityDocument, Manager)) -> Self {
        let clock = Arc::new(ManualClock::new(NOW, 100_000));
        let faults = Faults::default();
        faults.write_twice();
        let vault = open(&config, &clock, &faults).await.unwrap();
        Self { manager, config, clock, vault, document, dir, faults }
    }

    /// Everything that stands on disk before the first start.
    pub(crate) fn directories(mode: Mode) -> (TempDir, Config, IdentityDocument, Manager) {
        let dir = tempfile::tempdir().unwrap();
        let place = |name: &str| dir.path().join(name);
        private_directory(&place("keys"));
        // One for all tests: it takes a second to make.
        create_private(&place("keys/transport.pem"), transport_pem().as_bytes()).unwrap();
        let (document, _transport) = keys::create(&place("keys"), mode).unwrap();
        let Owner::Vault(id) = document.id else { panic!("init makes a vault") };
        let mut manager = Manager::new(id, mode);
        manager.pins.push(document.key.thumbprint());
        let pin = serde_json::to_vec(&manager.document()).unwrap();
        create_private(&place("keys/pins/manager.json"), &pin).unwrap();
        private_directory(&place("data"));
        let config = Config {
            mode,
            serve: ServeConfig::new(([127, 0, 0, 1], 0).into()),
            data_dir: place("data"),
            location: Location::File(place("data/vault.db")),
            key_dir: place("keys"),
            runtime_dir: Some(place("runtime")),
            log: None,
            audit: AuditSettings { sync: AuditSync::Os, ..AuditSettings::default() },
            key_times: KeyTimes::default(),
            budgets: BudgetSettings::default(),
            danger: Danger { runtime_on_disk: true, swap: true, ..Danger::default() },
        };
        SqlStore::create(&config.location, id, mode).unwrap();
        (dir, config, document, manager)
    }

    /// Stops the vault and starts it on the same directories.
    pub(crate) async fn reopen(&mut self) {
        self.stop().await;
        self.vault = self.start().await.unwrap();
    }

    /// Stops the vault.
    pub(crate) async fn stop(&self) {
        self.vault.store.close().await;
        self.vault.audit.flush_and_close().await;
    }

    /// Starts another vault on the same directories.
    pub(crate) async fn start(&self) -> Result<Arc<Vault>, StartError> {
        open(&self.config, &self.clock, &self.faults).await
    }

    /// Sends a freshly signed command.
    pub(crate) async fn order<T: Serialize>(&self, op: Operation, body: &T) -> Reply {
        let body = serde_json::to_vec(body).unwrap();
        let path = if op == Operation::Push { "/api/events" } else { "/api/commands" };
        let order = self.manager.command(op, &body, self.clock.now());
        command(&self.vault, path, &order, body).await
    }

    /// A poll that names the newest seal key, whatever becomes of it.
    pub(crate) async fn poll_unchecked(&self) -> Reply {
        self.order(Operation::Poll, &self.manager.poll_body(self.seal_kid())).await
    }

    /// An honest poll, with a statement that is good now.
    pub(crate) async fn poll_now(&self) {
        let now = self.clock.now();
        let statements = vec![self.manager.statement((now - 60, now + 86_400))];
        let poll = Poll { statements, ..self.manager.poll_body(self.seal_kid()) };
        let reply = self.order(Operation::Poll, &poll).await;
        assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    }

    /// An honest poll that names the newest seal key.
    pub(crate) async fn poll(&self) -> Reply {
        let reply = self.poll_unchecked().await;
        assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
        reply
    }

    /// Stores envelopes.
    pub(crate) async fn store(&self, envelopes: Vec<EnvelopeToStore>) -> StoreAnswer {
        self.order(Operation::Store, &self.manager.store_body(envelopes)).await.expect(200)
    }

    /// Stores a text under a new id.
    pub(crate) async fn secret(&self, value: &str) -> Secret {
        let (secret, envelope) = self.manager.seal(SecretId::generate(), 1, value);
        let answer = self.store(vec![envelope]).await;
        assert!(answer.results[0].error.is_none());
        secret
    }

    /// How the values of versions are to texts.
    pub(crate) async fn guesses(&self, guesses: &[(Secret, &str)]) -> Vec<Likeness> {
        let body = self.manager.compare_body(guesses);
        let answer: ComparisonAnswer = self.order(Operation::Compare, &body).await.expect(200);
        answer.comparison.verify(&self.vault_pins(), &body.nonce, guesses.len()).unwrap().to_vec()
    }

    /// How the values of versions are to that of one.
    pub(crate) async fn likeness(&self, one: &Secret, others: &[Secret]) -> Vec<Likeness> {
        let body = self.manager.find_body(one, others);
        let answer: ComparisonAnswer = self.order(Operation::Find, &body).await.expect(200);
        answer.comparison.verify(&self.vault_pins(), &body.nonce, others.len()).unwrap().to_vec()
    }

    /// Numbers an event and pushes it.
    pub(crate) async fn revoke(&mut self, event: Event) {
        self.manager.event(event);
        let from = self.manager.events.len() - 1;
        let push = self.manager.push_body(from);
        let answer: PushAnswer = self.order(Operation::Push, &push).await.expect(202);
        answer.feed.verify(&self.vault_pins(), &push.nonce).unwrap();
        assert_eq!(answer.feed.applied, self.manager.newest());
    }

    /// A draft for these secrets, sealed to the newest seal key.
    pub(crate) fn draft(&self, secrets: &[Secret]) -> Draft {
        let newest = self.seal_keys().pop().expect("a living seal key");
        Draft::new(&self.manager, secrets, vec![newest], self.clock.now())
    }

    /// A good token.
    pub(crate) fn token(&self, secrets: &[Secret]) -> String {
        self.draft(secrets).sign()
    }

    /// Reads one secret.
    pub(crate) async fn read(&self, token: &str, secret: &Secret) -> Reply {
        get(&self.vault, &format!("/api/keys/{}", secret.id), token).await
    }

    /// Reads one secret and gives its value, or status and code.
    pub(crate) async fn value(&self, token: &str, secret: &Secret) -> Result<String, (u16, String)> {
        let reply = self.read(token, secret).await;
        match reply.status {
            200 => Ok(reply.json()["decrypted_key"].as_str().unwrap().to_owned()),
            _ => Err(reply.problem()),
        }
    }

    /// The living seal keys, oldest first.
    pub(crate) fn seal_keys(&self) -> Vec<PublicJwk> {
        let stated = self.vault.statements.own();
        stated.into_iter().filter(|one| one.purpose == Purpose::Seal).map(|one| one.key).collect()
    }

    /// The newest living seal key.
    pub(crate) fn seal_kid(&self) -> Option<Thumbprint> {
        self.seal_keys().pop().map(|key| key.thumbprint())
    }

    /// The vault as its manager has pinned it.
    pub(crate) fn vault_pins(&self) -> Pins {
        Pins::new(std::slice::from_ref(&self.document)).unwrap()
    }

    pub(crate) fn mark(&self) -> PathBuf {
        self.dir.path().join("runtime/mark.json")
    }

    /// A connection to the database, for what an adversary would do.
    pub(crate) fn database(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.config.database()).unwrap()
    }
}

/// Does what [`Vault::open`] does, on a database with planned faults.
async fn open(config: &Config, clock: &Arc<ManualClock>, faults: &Faults) -> Result<Arc<Vault>, StartError> {
    let keys = Arc::new(KeyRing::open(&config.key_dir, config.mode)?);
    let store = SqlStore::open(&config.location, keys.current().id, config.mode)?.with_faults(faults.clone());
    Vault::assemble(config, Arc::<ManualClock>::clone(clock), keys, Arc::new(store)).await
}

/// Puts a private file in the place of whatever is there.
pub(crate) fn put(path: &Path, text: &str) {
    let _nothing_there = fs::remove_file(path);
    create_private(path, text.as_bytes()).unwrap();
}

/// Makes a directory with mode 0700.
fn private_directory(path: &Path) {
    fs::DirBuilder::new().mode(0o700).create(path).unwrap();
}

/// Copies the database of a stopped vault, or puts a copy back; no WAL of another time stays.
pub(crate) fn copy_database(from: &Path, to: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let name = |path: &Path| PathBuf::from(format!("{}{suffix}", path.display()));
        let _nothing_there = fs::remove_file(name(to));
        if name(from).exists() {
            fs::copy(name(from), name(to)).unwrap();
            fs::set_permissions(name(to), fs::Permissions::from_mode(0o600)).unwrap();
        }
    }
}
