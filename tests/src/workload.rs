//! Clients that write, read, mint, revoke and destroy at the same time, and record what was promised to them.
//!
//! What they do follows from a seed; in which order it happens does not.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::history::{History, Outcome, Read, Span, Store, Target, Token, Told, VersionKey, Withdrawal};
use crate::{Answer, Call, Installation, wait_until};

/// Running clients.
pub struct Workload {
    shared: Arc<Shared>,
    clients: JoinSet<()>,
}

struct Shared {
    manager: u16,
    vault: u16,
    credential: String,
    history: Mutex<History>,
    ticks: AtomicU64,
    answers: AtomicU64,
}

/// One client.
struct Client {
    shared: Arc<Shared>,
    random: Rng,
    number: usize,
}

/// Clients of each kind.
const WRITERS: usize = 6;
const READERS: usize = 2;
const MINTERS: usize = 1;
const REVOKERS: usize = 1;
const CLIENTS: usize = WRITERS + READERS + MINTERS + REVOKERS;
/// Names that writers share, so that versions of one secret are written at the same time.
const NAMES: usize = 40;
/// Before a service that is down, or has lost the other one, is tried again.
const PAUSE: Duration = Duration::from_millis(50);

impl Workload {
    /// Starts the clients; they end when this is dropped or by [`Self::stop`].
    pub fn start(installation: &Installation, seed: u64) -> Self {
        let shared = Arc::new(Shared {
            manager: installation.manager.port(),
            vault: installation.vault.port(),
            credential: installation.admin(),
            history: Mutex::default(),
            ticks: AtomicU64::new(1),
            answers: AtomicU64::new(0),
        });
        let mut workload = Self { shared, clients: JoinSet::new() };
        workload.resume(seed);
        workload
    }

    /// Starts the clients again after [`Self::stop`]; the history goes on.
    pub fn resume(&mut self, seed: u64) {
        for number in 0..CLIENTS {
            let random = Rng::with_seed(seed.wrapping_mul(1_000).wrapping_add(u64::try_from(number).unwrap_or(0)));
            self.clients.spawn(Client { shared: Arc::clone(&self.shared), random, number }.work());
        }
    }

    /// Waits for so many further answers that are no failures.
    pub async fn answers(&self, further: u64) {
        let enough = self.shared.answers.load(Ordering::SeqCst) + further;
        wait_until("the services answer", async || self.shared.answers.load(Ordering::SeqCst) >= enough).await;
    }

    /// Stops the clients. What was under way is recorded as unclear.
    pub async fn stop(&mut self) -> History {
        self.clients.shutdown().await;
        self.history().clone()
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.shared.history()
    }
}

impl Shared {
    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tick(&self) -> u64 {
        self.ticks.fetch_add(1, Ordering::SeqCst)
    }

    /// Sends a call; none when no answer came.
    async fn send(&self, call: Call) -> Option<Answer> {
        let answer = call.try_send().await.ok();
        match &answer {
            Some(answer) if answer.status < 500 => drop(self.answers.fetch_add(1, Ordering::SeqCst)),
            _ => self.pause().await,
        }
        answer
    }

    async fn pause(&self) {
        tokio::time::sleep(PAUSE).await;
    }

    async fn at_manager(&self, method: &str, path: &str, body: Value) -> Option<Answer> {
        self.send(Call::new(self.manager, method, path).bearer(&self.credential).json(&body)).await
    }

    /// Such a thing must be in the audit log from now on.
    fn must_be_recorded(&self, service: &'static str, answer: &Answer) {
        let id = answer.header("x-request-id").unwrap_or_default().to_owned();
        self.history().recorded.insert((service, id));
    }
}

impl Client {
    async fn work(mut self) {
        const MINTERS_FROM: usize = WRITERS + READERS;
        const REVOKERS_FROM: usize = MINTERS_FROM + MINTERS;
        loop {
            match self.number {
                0..WRITERS => self.write().await,
                WRITERS..MINTERS_FROM => self.read().await,
                MINTERS_FROM..REVOKERS_FROM => self.mint().await,
                _ => self.withdraw().await,
            }
            // A client that had nothing to do lets the others work.
            tokio::task::yield_now().await;
        }
    }

    async fn write(&mut self) {
        let shared = Arc::clone(&self.shared);
        let (path, user) = (format!("crash/{}", self.random.usize(..NAMES)), self.user());
        let asked = shared.tick();
        let value = format!("value {asked} {:016x}", self.random.u64(..));
        let body = json!({"user_id": user, "key_data": value, "path": path, "environment": "dev"});
        // Recorded before it is asked: a client that is stopped in between does not know the outcome.
        let place = {
            let mut history = shared.history();
            let (outcome, span) = (Outcome::Unclear, Span { asked, answered: u64::MAX });
            history.stores.push(Store { path, value, outcome, span });
            history.stores.len() - 1
        };
        let Some(answer) = shared.at_manager("POST", "/api/keys", body).await else { return };
        let span = Span { asked, answered: shared.tick() };
        let outcome = match answer.status {
            201 => {
                shared.must_be_recorded("master-key-manager", &answer);
                let version = (answer.text("key_id"), answer.number("version"));
                shared.history().tokens.push(token(&answer, user, vec![version.clone()], span));
                Outcome::Done(version)
            }
            _ if answer.code() == "unavailable" => Outcome::Nothing,
            _ => Outcome::Unclear,
        };
        let mut history = shared.history();
        history.stores[place].outcome = outcome;
        history.stores[place].span = span;
    }

    async fn read(&mut self) {
        let shared = Arc::clone(&self.shared);
        let Some(token) = self.any_token() else { return shared.pause().await };
        let version = token.grants[self.random.usize(..token.grants.len())].clone();
        let asked = shared.tick();
        let call = Call::new(shared.vault, "GET", &format!("/api/keys/{}", version.0)).bearer(&token.text);
        let Some(answer) = shared.send(call).await else { return };
        if answer.status == 200 {
            shared.must_be_recorded("encrypted-vault", &answer);
            let version = (answer.text("key_id"), answer.number("version"));
            let (value, span) = (answer.text("decrypted_key"), Span { asked, answered: shared.tick() });
            shared.history().reads.push(Read { jti: token.jti, version, value, span });
        }
    }

    async fn mint(&mut self) {
        let shared = Arc::clone(&self.shared);
        let mut grants: Vec<VersionKey> = Vec::new();
        for _ in 0..self.random.usize(1..=8) {
            if let Some((key_id, version)) = self.any_version()
                && grants.iter().all(|(known, _)| *known != key_id)
            {
                grants.push((key_id, version));
            }
        }
        if grants.is_empty() {
            return shared.pause().await;
        }
        let (user, asked) = (self.user(), shared.tick());
        let asks: Vec<Value> =
            grants.iter().map(|(key_id, version)| json!({"key_id": key_id, "version": version})).collect();
        let Some(answer) = shared.at_manager("POST", "/api/tokens", json!({"secrets": asks, "user_id": user})).await
        else {
            return;
        };
        if answer.status == 201 {
            shared.must_be_recorded("master-key-manager", &answer);
            let span = Span { asked, answered: shared.tick() };
            shared.history().tokens.push(token(&answer, user, grants, span));
        }
    }

    async fn withdraw(&mut self) {
        let shared = Arc::clone(&self.shared);
        let (Some(token), Some(version)) = (self.any_token(), self.any_version()) else { return shared.pause().await };
        let target = match self.random.usize(..100) {
            0..60 => Target::Token(token.jti),
            60..75 => Target::Version(version),
            75..85 => Target::Secret(version.0),
            85..90 => Target::Subject(token.user),
            90..92 => Target::All,
            _ => Target::Destruction(version),
        };
        let asked = shared.tick();
        let place = {
            let mut history = shared.history();
            let span = Span { asked, answered: u64::MAX };
            history.withdrawals.push(Withdrawal { target: target.clone(), told: Told::Unclear, span });
            history.withdrawals.len() - 1
        };
        let (path, body) = request_of(&target);
        let Some(answer) = shared.at_manager("POST", &path, body).await else { return };
        let mut history = shared.history();
        let told = match answer.status {
            200 if matches!(answer.text("status").as_str(), "revoked" | "destroyed") => Told::Applied,
            202 => Told::Pending,
            404 => {
                history.denied.push(format!("{target:?}: {}", answer.code()));
                Told::Unclear
            }
            _ => Told::Unclear,
        };
        history.withdrawals[place].told = told;
        history.withdrawals[place].span.answered = shared.tick();
    }

    fn user(&mut self) -> String {
        format!("user{}", self.random.usize(..4))
    }

    /// One of the newest, which are neither expired nor, most of them, revoked.
    fn any_token(&mut self) -> Option<Token> {
        let history = self.shared.history();
        let newest = history.tokens.len().min(200);
        let place = history.tokens.len().checked_sub(1 + self.random.usize(..newest.max(1)))?;
        history.tokens.get(place).cloned()
    }

    /// An acknowledged version that nobody set out to destroy.
    fn any_version(&mut self) -> Option<VersionKey> {
        let history = self.shared.history();
        let newest: Vec<&VersionKey> = history.acknowledged().map(|(version, _)| version).collect();
        let version = (*newest.get(self.random.usize(..newest.len().max(1)))?).clone();
        let destroyed = history.withdrawals.iter().any(|done| done.target == Target::Destruction(version.clone()));
        (!destroyed).then_some(version)
    }
}

fn token(answer: &Answer, user: String, grants: Vec<VersionKey>, span: Span) -> Token {
    Token { jti: answer.text("jti"), text: answer.text("access_token"), user, grants, span }
}

fn request_of(target: &Target) -> (String, Value) {
    let body = match target {
        Target::Token(jti) => json!({"kind": "token", "jti": jti}),
        Target::Subject(user) => json!({"kind": "subject", "user_id": user}),
        Target::Secret(key_id) => json!({"kind": "secret", "key_id": key_id}),
        Target::Version((key_id, version)) => json!({"kind": "version", "key_id": key_id, "version": version}),
        Target::All => json!({"kind": "all"}),
        Target::Destruction((key_id, version)) => {
            return (format!("/api/keys/{key_id}/destroy"), json!({"versions": [version]}));
        }
    };
    ("/api/revocations".to_owned(), body)
}
