//! Clients that read and write at a steady pace, and remember every answer that was not the right one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;
use system_tests::{Call, Installation, wait_until};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

/// Reads and writes in a second, if the machine keeps up.
const READS: u32 = 200;
const WRITES: u32 = 20;
/// A token is asked for anew after this time, as a client does long before its end.
const REFRESH: Duration = Duration::from_secs(2);
/// Versions that a token names, and secrets that are read from then on.
const GRANTS: usize = 64;

/// The load of a test.
pub(super) struct Load {
    shared: Arc<Shared>,
    clients: JoinSet<()>,
}

struct Shared {
    manager: u16,
    vault: u16,
    credential: String,
    stored: Mutex<Vec<(String, String)>>,
    token: Mutex<(String, Vec<(String, String)>)>,
    failures: Mutex<Vec<String>>,
    reads: AtomicU64,
    writes: AtomicU64,
}

impl Load {
    /// Starts the clients, after a first secret is there to be read.
    pub(super) async fn start(installation: &Installation) -> Self {
        let shared = Arc::new(Shared {
            manager: installation.manager.port(),
            vault: installation.vault.port(),
            credential: installation.admin(),
            stored: Mutex::default(),
            token: Mutex::default(),
            failures: Mutex::default(),
            reads: AtomicU64::new(0),
            writes: AtomicU64::new(0),
        });
        Arc::clone(&shared).write(0).await;
        Arc::clone(&shared).refresh().await;
        let mut clients = JoinSet::new();
        clients.spawn(paced(Duration::from_secs(1) / WRITES, Arc::clone(&shared), Shared::write));
        clients.spawn(paced(Duration::from_secs(1) / READS, Arc::clone(&shared), Shared::read));
        clients.spawn(paced(REFRESH, Arc::clone(&shared), |shared, _| shared.refresh()));
        Self { shared, clients }
    }

    /// Waits until so many more reads and a tenth of it in writes are answered.
    pub(super) async fn go_on(&self, reads: u64) {
        let counts = || (self.shared.reads.load(Ordering::SeqCst), self.shared.writes.load(Ordering::SeqCst));
        let before = counts();
        wait_until("the load goes on", async || {
            let now = counts();
            now.0 >= before.0 + reads && now.1 >= before.1 + reads / 10
        })
        .await;
    }

    /// Ends the clients; what was stored, and how many reads and writes were answered.
    ///
    /// Panics when one of them was not answered as it should.
    pub(super) async fn stop(mut self) -> (Vec<(String, String)>, u64, u64) {
        self.clients.shutdown().await;
        let failures = lock(&self.shared.failures).clone();
        assert!(
            failures.is_empty(),
            "{} failed requests: {:#?}",
            failures.len(),
            failures.iter().take(5).collect::<Vec<_>>()
        );
        let stored = lock(&self.shared.stored).clone();
        (stored, self.shared.reads.load(Ordering::SeqCst), self.shared.writes.load(Ordering::SeqCst))
    }
}

/// Starts an act at each tick, whatever became of those before; on a machine that is too slow they wait for each other.
async fn paced<F: Future<Output = ()> + Send + 'static>(
    period: Duration,
    shared: Arc<Shared>,
    act: impl Fn(Arc<Shared>, u64) -> F,
) {
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut under_way = JoinSet::new();
    for number in 1.. {
        interval.tick().await;
        while under_way.len() >= 32 {
            under_way.join_next().await;
        }
        while under_way.try_join_next().is_some() {}
        under_way.spawn(act(Arc::clone(&shared), number));
    }
}

impl Shared {
    async fn write(self: Arc<Self>, number: u64) {
        let value = format!("value {number} {:016x}", fastrand::u64(..));
        let body = json!({"user_id": "load", "key_data": value, "environment": "dev"});
        let call = Call::new(self.manager, "POST", "/api/keys").bearer(&self.credential).json(&body);
        match call.try_send().await {
            Ok(answer) if answer.status == 201 => {
                lock(&self.stored).push((answer.text("key_id"), value));
                self.writes.fetch_add(1, Ordering::SeqCst);
            }
            Ok(answer) => self.fail(format!("write: {answer}")),
            Err(error) => self.fail(format!("write: {error}")),
        }
    }

    async fn read(self: Arc<Self>, _number: u64) {
        let (token, secrets) = lock(&self.token).clone();
        let Some((key_id, value)) = fastrand::choice(&secrets) else { return };
        match Call::new(self.vault, "GET", &format!("/api/keys/{key_id}")).bearer(&token).try_send().await {
            Ok(answer) if answer.status == 200 && answer.text("decrypted_key") == *value => {
                self.reads.fetch_add(1, Ordering::SeqCst);
            }
            Ok(answer) => self.fail(format!("read: {answer}")),
            Err(error) => self.fail(format!("read: {error}")),
        }
    }

    async fn refresh(self: Arc<Self>) {
        let mut secrets = lock(&self.stored).clone();
        fastrand::shuffle(&mut secrets);
        secrets.truncate(GRANTS);
        let grants: Vec<_> = secrets.iter().map(|(key_id, _)| json!({"key_id": key_id})).collect();
        let body = json!({"secrets": grants});
        let call = Call::new(self.manager, "POST", "/api/tokens").bearer(&self.credential).json(&body);
        match call.try_send().await {
            Ok(answer) if answer.status == 201 => *lock(&self.token) = (answer.text("access_token"), secrets),
            Ok(answer) => self.fail(format!("mint: {answer}")),
            Err(error) => self.fail(format!("mint: {error}")),
        }
    }

    fn fail(&self, what: String) {
        lock(&self.failures).push(what);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
