//! Both services together, and what every test does with them.

use std::path::{Path, PathBuf};

use client::{Client, Credential};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::builder::Builder;
use crate::http::Answer;
use crate::proxy::Proxy;
use crate::service::Service;
use crate::wait::wait_until;

/// Both services with their directories. Everything is removed when this is dropped.
pub struct Installation {
    /// The vault.
    pub vault: Service,
    /// The manager.
    pub manager: Service,
    pub(crate) proxy: Option<Proxy>,
    pub(crate) credential: PathBuf,
    pub(crate) runtime_dir: PathBuf,
    pub(crate) _runtime: TempDir,
    pub(crate) folder: TempDir,
}

/// A stored secret, as the manager answered.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The secret.
    pub key_id: String,
    /// The version just written.
    pub version: u64,
    /// The token for it.
    pub token: String,
    /// The token's id.
    pub jti: String,
}

impl Installation {
    /// In development mode, with both services running.
    pub async fn running() -> Self {
        Self::builder().running().await
    }

    /// Something else.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Starts both services and waits until both are ready.
    pub async fn start(&mut self) {
        self.vault.start().await;
        self.manager.start().await;
        self.ready().await;
    }

    /// Waits until both services are ready.
    pub async fn ready(&self) {
        for service in [&self.vault, &self.manager] {
            wait_until(&format!("{} is ready", service.name), async || service.is_ready().await).await;
        }
    }

    /// Restarts the vault and waits until both are ready.
    pub async fn restart_vault(&mut self) {
        self.vault.restart().await;
        self.ready().await;
    }

    /// Restarts the manager and waits until both are ready.
    pub async fn restart_manager(&mut self) {
        self.manager.restart().await;
        self.ready().await;
    }

    /// A folder of this installation for a test's own files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The vault's runtime directory.
    pub fn runtime_dir(&self) -> &Path {
        &self.runtime_dir
    }

    /// The proxy.
    ///
    /// # Panics
    ///
    /// When the installation was built without [`Builder::recorded`].
    pub fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().expect("built with recorded()")
    }

    /// The administrator's credential.
    pub fn admin(&self) -> String {
        std::fs::read_to_string(&self.credential).unwrap().trim().to_owned()
    }

    /// The client library, as the administrator.
    pub fn client(&self) -> Client {
        self.client_with(Some(Credential::parse(&self.admin()).unwrap()))
    }

    /// The client library, as a stranger.
    pub fn stranger(&self) -> Client {
        self.client_with(None)
    }

    /// A request of the administrator to the manager.
    pub async fn admin_call(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let call = self.manager.call(method, path).bearer(&self.admin());
        match body {
            Some(body) => call.json(&body).send().await,
            None => call.send().await,
        }
    }

    /// Submits a value as the administrator, under `dev`.
    pub async fn submit(&self, mut body: Value) -> Answer {
        body["user_id"] = "user123".into();
        body["environment"] = "dev".into();
        self.admin_call("POST", "/api/keys", Some(body)).await
    }

    /// Stores a text value without a name.
    pub async fn store(&self, value: &str) -> Stored {
        Stored::of(&self.submit(json!({"key_data": value})).await)
    }

    /// Stores a text value under a name: the first version, or the next one.
    pub async fn store_at(&self, path: &str, value: &str) -> Stored {
        Stored::of(&self.submit(json!({"key_data": value, "path": path})).await)
    }

    /// Reads a secret at the vault.
    pub async fn read(&self, key_id: &str, token: &str) -> Answer {
        let mut answer = None;
        // As a client does: a token that caused too many refusals within a second asks again when that is over.
        wait_until("the token may ask again", async || {
            let got = self.vault.call("GET", &format!("/api/keys/{key_id}")).bearer(token).send().await;
            let may_ask = got.status != 429;
            answer = Some(got);
            may_ask
        })
        .await;
        answer.expect("it was asked")
    }

    /// Makes a token for versions of secrets (0: the newest).
    pub async fn mint(&self, grants: &[(&str, u64)]) -> Answer {
        let grant = |(key_id, version): &(&str, u64)| match version {
            0 => json!({"key_id": key_id}),
            _ => json!({"key_id": key_id, "version": version}),
        };
        let grants: Vec<Value> = grants.iter().map(grant).collect();
        self.admin_call("POST", "/api/tokens", Some(json!({"secrets": grants}))).await
    }

    /// Revokes a token, and waits until the vault has signed for it.
    pub async fn revoke(&self, jti: &str) {
        self.revoke_what(json!({"kind": "token", "jti": jti})).await;
    }

    /// Revokes something, and waits until the vault has signed for it.
    pub async fn revoke_what(&self, what: Value) {
        wait_until("the vault signs for the revocation", async || {
            let answer = self.admin_call("POST", "/api/revocations", Some(what.clone())).await;
            assert!(matches!(answer.status, 200 | 202), "{answer}");
            answer.text("status") == "revoked"
        })
        .await;
    }

    /// Whether the vault serves this token.
    pub async fn opens(&self, stored: &Stored) -> bool {
        self.read(&stored.key_id, &stored.token).await.status == 200
    }

    fn client_with(&self, credential: Option<Credential>) -> Client {
        let url = |service: &Service| format!("http://127.0.0.1:{}", service.port);
        Client::new(&url(&self.manager), &url(&self.vault), credential).unwrap()
    }
}

impl Stored {
    /// What a 201 of `POST /api/keys` says.
    ///
    /// # Panics
    ///
    /// When the answer is another.
    pub fn of(answer: &Answer) -> Self {
        assert_eq!(answer.status, 201, "{answer}");
        Self {
            key_id: answer.text("key_id"),
            version: answer.number("version"),
            token: answer.text("access_token"),
            jti: answer.text("jti"),
        }
    }
}
