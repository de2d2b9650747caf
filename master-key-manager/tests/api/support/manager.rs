//! The manager under test: real files, real database, real HTTP stack, without a port.

use std::cell::OnceCell;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::{Command, Output};
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix_web::body::MessageBody as _;
use actix_web::dev::Service as _;
use actix_web::http::{Method, StatusCode};
use actix_web::{App as ActixApp, test};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeySize, PrivateDecryptingKey};
use master_key_manager::app::App;
use master_key_manager::config::{Config, Danger, KeysConfig, Public, RawConfig, SignOnConfig};
use master_key_manager::init::init;
use master_key_manager::installation::{open_registry, open_store, read_installation};
use master_key_manager::keys::LoadedKeys;
use master_key_manager::revocation::run_sync;
use master_key_manager::routes::{ROUTES, data};

use manager_api::name::EnvironmentName;
use manager_store::ManagerStore;
use manager_store::sql::SqlStore;
use serde_json::Value;
use service_runtime::audit::{AuditLog, AuditSettings};
use service_runtime::clock::{Clock, SystemClock};
use service_runtime::config::Mode;
use service_runtime::files::{create_private, create_private_directory};
use service_runtime::http::{Limits, Stack, TrustedProxies, mount};
use service_runtime::sql::Faults;
use shared_proto::encoding::base64_value;
use shared_proto::id::EnvironmentId;
use shared_proto::identity::{IdentityDocument, Issuer, Owner};
use tokio::sync::watch;

use super::vault::raw_key;
use super::{FakeIssuer, FakeVault, MovedClock, until};

/// An installation on disk, as `init` and an operator leave it.
pub(crate) struct Installed {
    dir: tempfile::TempDir,
    pub(crate) config: Config,
    pub(crate) vault: Arc<FakeVault>,
    pub(crate) credential: String,
    /// How long ago the manager seems to have begun to remember used assertions, in seconds.
    pub(crate) began_ago: u64,
}

/// The manager, as an issuer.
pub(crate) const ISSUER: &str = "https://manager.example:8000";

/// A running manager.
pub(crate) struct Manager {
    pub(crate) app: Arc<App>,
    /// The same database without planned faults.
    pub(crate) store: SqlStore,
    /// Its file.
    pub(crate) database: PathBuf,
    pub(crate) faults: Faults,
    pub(crate) credential: String,
    pub(crate) clock: Arc<MovedClock>,
    /// The HTTP stack, made at the first request: making it takes longer than most requests.
    front: OnceCell<Front>,
    stop: watch::Sender<bool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

type Front = Box<dyn Fn(test::TestRequest) -> Pin<Box<dyn Future<Output = Answer>>>>;

/// An answer of the manager.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) text: String,
    pub(crate) headers: actix_web::http::header::HeaderMap,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn member(&self, name: &str) -> String {
        self.json()[name].as_str().unwrap_or_else(|| panic!("no {name} in {}", self.text)).to_owned()
    }

    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self
    }

    #[track_caller]
    pub(crate) fn refused(self, code: &str) -> Self {
        assert_eq!(self.code(), code, "{}", self.text);
        self
    }
}

impl Installed {
    pub(crate) async fn new(mode: Mode) -> Self {
        Self::altered(mode, |_raw| {}).await
    }

    pub(crate) async fn with_keys(mode: Mode, keys: KeysConfig) -> Self {
        Self::altered(mode, |raw| raw.keys = keys).await
    }

    /// With another configuration.
    pub(crate) async fn altered(mode: Mode, alter: impl FnOnce(&mut RawConfig)) -> Self {
        let vault = FakeVault::start();
        let dir = tempfile::tempdir().unwrap();
        let mut raw = RawConfig {
            mode,
            listen: "127.0.0.1:0".parse().unwrap(),
            vault_url: vault.url.clone(),
            data_dir: dir.path().join("data"),
            database: None,
            postgres: None,
            key_dir: dir.path().join("keys"),
            token_life_seconds: 900,
            max_token_life_seconds: 2_700,
            trusted_proxies: TrustedProxies::default(),
            workers: 1,
            limits: Limits::default(),
            tls: None,
            vault_tls: None,
            ready_file: None,
            operator_listen: None,
            shutdown_seconds: 5,
            poll_interval_ms: 10,
            log: "info".to_owned(),
            audit: AuditSettings::default(),
            keys: KeysConfig::default(),
            public: Public::default(),
            sign_on: SignOnConfig { issuer: Some(ISSUER.to_owned()), ..SignOnConfig::default() },
            danger: Danger::default(),
        };
        alter(&mut raw);
        let config = Config::new(raw).unwrap();
        let keys = config.get().key_dir.clone();
        create_private_directory(&keys).unwrap();
        // One for all tests: it takes long to make.
        create_private(&keys.join("token-signing.pem"), rsa_pem(Holder::Manager).as_bytes()).unwrap();
        let made = init(&config).await.unwrap();
        let pin = serde_json::to_vec(&vault.document(config.mode())).unwrap();
        create_private(&keys.join("pins/vault.json"), &pin).unwrap();
        let document: IdentityDocument =
            serde_json::from_slice(&std::fs::read(keys.join("identity.json")).unwrap()).unwrap();
        let Owner::Manager(manager) = document.id else { panic!("a manager's document") };
        vault.trust(Issuer { mode: config.mode(), manager }, raw_key(&document));
        let credential = made.credential.expose_text().to_string();
        Self { dir, config, vault, credential, began_ago: 100 }
    }

    /// With key sets of trusts from this issuer.
    #[must_use]
    pub(crate) fn believing(mut self, issuer: &FakeIssuer) -> Self {
        let mut raw = self.config.get().clone();
        raw.sign_on.key_set_ca = Some(issuer.ca.clone());
        raw.sign_on.key_set_networks = vec!["127.0.0.1/32".to_owned()];
        self.config = Config::new(raw).unwrap();
        self
    }

    /// Starts it, with the feed running, and returns when it is ready.
    pub(crate) async fn start(&self) -> Manager {
        let manager = self.start_unready().await;
        until("the manager is ready", async || manager.get("/health/ready").await.status == 200).await;
        manager
    }

    /// The sentence of a start that its keys refuse.
    pub(crate) async fn start_refused(&self) -> String {
        let store = open_store(&self.config).unwrap();
        let owner = read_installation(&self.config, &store).await.unwrap();
        let registry = open_registry(&self.config, Arc::new(store)).await;
        let keys = LoadedKeys::at_start(&self.config.get().key_dir, &owner.0, &owner.1);
        registry.err().or(keys.err()).map(|refusal| refusal.to_string()).unwrap_or_default()
    }

    /// Starts it with this clock, and returns when it is ready.
    pub(crate) async fn start_at(&self, clock: Arc<dyn Clock>) -> Manager {
        let manager = self.start_by(clock, Arc::default()).await;
        until("the manager is ready", async || manager.get("/health/ready").await.status == 200).await;
        manager
    }

    pub(crate) async fn start_unready(&self) -> Manager {
        let moved = Arc::new(MovedClock::default());
        moved.set_behind(self.began_ago);
        self.start_by(moved.clone(), moved).await
    }

    async fn start_by(&self, clock: Arc<dyn Clock>, moved: Arc<MovedClock>) -> Manager {
        let store = open_store(&self.config).unwrap();
        let owner = read_installation(&self.config, &store).await.unwrap();
        let audit = AuditLog::open(
            &self.config.audit_log(),
            "master-key-manager",
            self.config.get().audit,
            Arc::new(SystemClock),
        )
        .unwrap();
        let faults = Faults::default();
        // Jobs must be able to run twice.
        faults.write_twice();
        let shared: Arc<dyn ManagerStore> = Arc::new(store.clone().with_faults(faults.clone()));
        let registry = Arc::new(open_registry(&self.config, shared.clone()).await.unwrap());
        let keys =
            LoadedKeys::at_start(&self.config.get().key_dir, &owner.0, &owner.1).unwrap_or_else(|e| panic!("{e}"));
        let parts = (shared, registry);
        let (app, feed) = App::assemble(&self.config, owner, keys, parts, audit, clock).unwrap();
        moved.set_behind(0);
        let app = Arc::new(app);
        let (stop, stopped) = watch::channel(false);
        let interval = Duration::from_millis(self.config.get().poll_interval_ms);
        let tasks = vec![
            tokio::spawn(run_sync(Arc::clone(&feed), interval, stopped.clone())),
            tokio::spawn(app.key_rotation(feed).run(self.config.get().keys, interval, stopped.clone())),
            tokio::spawn(app.maintenance().run(interval, stopped)),
        ];
        Manager {
            app,
            store,
            database: self.config.database(),
            faults,
            credential: self.credential.clone(),
            clock: moved,
            front: OnceCell::new(),
            stop,
            tasks,
        }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.config.get().key_dir.join(name)
    }

    /// Runs `rotate-keys` of the real program beside the service.
    pub(crate) fn rotate(&self, arguments: &[&str]) -> Output {
        let raw = self.config.get();
        let path = self.dir.path().join("manager.toml");
        let text = format!(
            "mode = \"{}\"\nvault_url = \"{}\"\ndata_dir = \"data\"\nkey_dir = \"keys\"\n",
            raw.mode, raw.vault_url
        );
        std::fs::write(&path, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_master-key-manager"));
        command.arg("--config").arg(&path).arg("rotate-keys").args(arguments).output().unwrap()
    }

    /// What `rotate-keys` printed.
    #[track_caller]
    pub(crate) fn rotates(&self, arguments: &[&str]) -> String {
        let output = self.rotate(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The sentence with which `rotate-keys` refused.
    #[track_caller]
    pub(crate) fn refuses_to_rotate(&self, arguments: &[&str]) -> String {
        let output = self.rotate(arguments);
        assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stderr).unwrap()
    }

    /// Makes a key file look as old as if it had its place for `seconds` longer.
    pub(crate) fn age(&self, name: &str, seconds: u64) {
        let file = std::fs::File::options().write(true).open(self.file(name)).unwrap();
        let since = file.metadata().unwrap().modified().unwrap();
        file.set_modified(since - Duration::from_secs(seconds)).unwrap();
    }
}

impl Manager {
    /// Ends it, orderly or after its store died.
    /// Ends the work beside requests, which reads the registry whenever a test has it forgotten.
    pub(crate) async fn end_maintenance(&mut self) {
        let maintenance = self.tasks.pop().unwrap();
        maintenance.abort();
        assert!(maintenance.await.unwrap_err().is_cancelled());
    }

    pub(crate) async fn stop(self) {
        self.app.gate.tasks.wait_idle().await;
        self.stop.send_replace(true);
        for task in self.tasks {
            task.await.unwrap();
        }
        self.app.store.close().await;
        self.app.gate.audit.flush_and_close().await;
    }

    /// The id of an environment.
    pub(crate) fn environment(&self, name: &str) -> EnvironmentId {
        let name = EnvironmentName::parse(name).unwrap();
        self.app.environments.named(&name).unwrap().id
    }

    /// A request with the administrator's credential.
    pub(crate) async fn admin(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.with_bearer(&self.credential, method, path, body).await
    }

    /// A request with this credential or session.
    pub(crate) async fn with_bearer(&self, bearer: &str, method: Method, path: &str, body: Option<Value>) -> Answer {
        let bearer = format!("Bearer {bearer}");
        self.send(method, path, &[("authorization", &bearer)], body.map(|body| body.to_string())).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.admin(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], None).await
    }

    /// Stores as the administrator.
    pub(crate) async fn store_value(&self, path: &str, value: &str) -> Answer {
        self.post("/api/keys", store_body(path, value)).await
    }

    pub(crate) async fn store_with_key(&self, key: &str, path: &str, value: &str) -> Answer {
        self.store_again(key, &store_body(path, value)).await
    }

    /// Stores what the body says, under an idempotency key.
    pub(crate) async fn store_again(&self, key: &str, body: &Value) -> Answer {
        let bearer = format!("Bearer {}", self.credential);
        let headers = [("authorization", bearer.as_str()), ("idempotency-key", key)];
        self.send(Method::POST, "/api/keys", &headers, Some(body.to_string())).await
    }

    /// A token request, with this `Authorization` header.
    pub(crate) async fn ask_for_token(&self, authorization: Option<&str>, form: &[(&str, &str)]) -> Answer {
        let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<Vec<_>>().concat();
        let pairs: Vec<String> = form.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
        let mut headers = vec![("content-type", "application/x-www-form-urlencoded")];
        headers.extend(authorization.map(|value| ("authorization", value)));
        self.request(None, (Method::POST, "/oauth/token"), &headers, Some(pairs.join("&"))).await
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Answer {
        self.send_from(None, method, path, headers, body).await
    }

    /// A request with another's credential.
    pub(crate) async fn with(&self, credential: &str, method: Method, path: &str, body: Option<Value>) -> Answer {
        let bearer = format!("Bearer {credential}");
        self.send(method, path, &[("authorization", &bearer)], body.map(|body| body.to_string())).await
    }

    /// Sends a request from an address.
    pub(crate) async fn send_from(
        &self,
        peer: Option<SocketAddr>,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Answer {
        let json = [("content-type", "application/json")];
        let headers: Vec<_> = headers.iter().chain(json.iter().filter(|_| body.is_some())).copied().collect();
        self.request(peer, (method, path), &headers, body).await
    }

    /// A request with these headers only.
    pub(crate) async fn request(
        &self,
        peer: Option<SocketAddr>,
        (method, path): (Method, &str),
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Answer {
        let mut request = test::TestRequest::with_uri(path).method(method).insert_header(("host", "localhost"));
        for header in headers {
            request = request.append_header(*header);
        }
        if let Some(peer) = peer {
            request = request.peer_addr(peer);
        }
        if let Some(body) = body {
            request = request.set_payload(body);
        }
        if self.front.get().is_none() {
            // Of two at once, one is used.
            let _made_meanwhile = self.front.set(front(&self.app).await);
        }
        self.front.get().unwrap()(request).await
    }
}

async fn front(app: &Arc<App>) -> Front {
    let stack =
        ActixApp::new().wrap(Stack::new(app.gate.mode)).configure(data(Arc::clone(app))).configure(mount(ROUTES));
    let service = Rc::new(test::init_service(stack).await);
    Box::new(move |request| {
        let service = Rc::clone(&service);
        Box::pin(async move {
            let response = match service.call(request.to_request()).await {
                Ok(response) => response.into_parts().1,
                Err(error) => error.error_response(),
            };
            let (status, headers) = (response.status(), response.headers().clone());
            let body = actix_web::body::to_bytes(response.into_body().boxed()).await.unwrap();
            Answer { status, text: String::from_utf8(body.to_vec()).unwrap(), headers }
        })
    })
}

fn store_body(path: &str, value: &str) -> Value {
    serde_json::json!({"user_id": "user123", "key_data": value, "path": path, "environment": "dev"})
}

/// Whose RSA key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Holder {
    Manager = 0,
    Vault = 1,
}

/// A PKCS#8 RSA key of 2048 bits. Making one takes a second, so all tests of a process share them.
pub(crate) fn rsa_pem(holder: Holder) -> String {
    static KEYS: OnceLock<[String; 2]> = OnceLock::new();
    KEYS.get_or_init(|| [new_rsa_pem(), new_rsa_pem()])[holder as usize].clone()
}

fn new_rsa_pem() -> String {
    let key = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
    let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&key).unwrap();
    let text = base64_value(der.as_ref());
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"))
}
