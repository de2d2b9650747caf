//! The manager's present knowledge of the vault, from the vault's signatures only.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use service_runtime::clock::Clock;
use service_runtime::readiness::Trouble;
use shared_proto::jwk::Thumbprint;
use shared_proto::statement::{Purpose, StatedKey};
use tokio::sync::{Notify, watch};

use service_runtime::Refusal;

/// Whether the manager's chain of events and the vault's agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedStatus {
    /// Not known yet, or the vault is ahead: nothing is numbered or minted.
    CatchingUp,
    /// They agree as far as the vault is.
    CaughtUp,
    /// They disagree at a number that both have: an operator must act.
    Conflict,
}

/// How the last sync with the vault ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastSync {
    /// None has ended yet.
    None,
    /// It succeeded.
    Good,
    /// It failed: the vault may be unreachable.
    Failed,
}

/// The feed, as it was last verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedView {
    /// Whether the chains agree.
    pub status: FeedStatus,
    /// The last event that the vault signed as applied.
    pub applied: u64,
    /// The boot clock when that signature was verified; absent before the first one.
    pub verified_at: Option<u64>,
    /// The wall clock at that time (Unix seconds).
    pub verified_now: u64,
    /// The vault's clock at that time (Unix seconds).
    pub vault_time: u64,
    /// How the last sync with the vault ended.
    pub last_sync: LastSync,
    /// Whether the clocks of the two services were too far apart when they were last compared.
    pub clock_differs: bool,
    /// Whether the database could be read in the last sync.
    pub store_healthy: bool,
}

/// Shared knowledge of the vault.
pub struct VaultView {
    view: watch::Sender<FeedView>,
    keys: RwLock<Vec<StatedKey>>,
    wake: Notify,
    clock: Arc<dyn Clock>,
}

/// A feed state older than this proves nothing about the present: five missed polls.
const FRESH_SECONDS: u64 = 5;
/// How far the wall clock may go from the boot clock before it counts as set.
const CLOCK_DRIFT_SECONDS: u64 = 60;

impl VaultView {
    /// A view before the first sync.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let view = FeedView {
            status: FeedStatus::CatchingUp,
            applied: 0,
            verified_at: None,
            verified_now: 0,
            vault_time: 0,
            last_sync: LastSync::None,
            clock_differs: false,
            store_healthy: true,
        };
        Self { view: watch::Sender::new(view), keys: RwLock::default(), wake: Notify::new(), clock }
    }

    /// The present view of the feed.
    pub fn view(&self) -> FeedView {
        *self.view.borrow()
    }

    /// Changes what is known of the feed.
    pub(super) fn update(&self, change: impl FnOnce(&mut FeedView)) {
        self.view.send_modify(change);
    }

    /// Replaces the vault's keys; their statements were verified.
    pub(super) fn set_keys(&self, keys: Vec<StatedKey>) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    /// The newest key of the vault for a purpose that is valid now.
    pub fn key(&self, purpose: Purpose) -> Option<StatedKey> {
        let now = self.clock.now();
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let living = keys.iter().filter(|key| key.purpose == purpose && key.valid_at(now));
        living.max_by_key(|key| (key.not_before, key.not_after)).cloned()
    }

    /// The seal key that polls name.
    pub fn seal_kid(&self) -> Option<Thumbprint> {
        self.key(Purpose::Seal).map(|key| key.kid)
    }

    /// The seal key for a new token.
    ///
    /// # Errors
    /// The feed is not caught up, or there is no usable seal key.
    pub fn seal_key_for_minting(&self) -> Result<StatedKey, Refusal> {
        match self.view().status {
            FeedStatus::CaughtUp => {}
            FeedStatus::CatchingUp => {
                return Err(Refusal::unavailable("the vault's feed state is not known yet"));
            }
            FeedStatus::Conflict => {
                return Err(Refusal::unavailable(
                    "the vault's events and ours disagree, or a second manager runs; an operator must act",
                ));
            }
        }
        self.key(Purpose::Seal).ok_or(Refusal::unavailable("no seal key of the vault is known"))
    }

    /// The seal and transport keys for a write.
    ///
    /// # Errors
    /// Those of [`Self::seal_key_for_minting`], no usable transport key, or a last sync that failed: a write would only
    /// leave a pending version behind.
    pub fn keys_for_storing(&self) -> Result<(StatedKey, StatedKey), Refusal> {
        let seal = self.seal_key_for_minting()?;
        if self.view().last_sync != LastSync::Good {
            return Err(Refusal::unavailable("the vault cannot be reached"));
        }
        let transport =
            self.key(Purpose::Transport).ok_or(Refusal::unavailable("no transport key of the vault is known"))?;
        Ok((seal, transport))
    }

    /// Whether the vault's clock confirms the manager's. The vault has accepted a command, which is valid for a minute
    /// only, and since then the manager's wall clock has moved as far as its boot clock. Nothing that cannot be undone
    /// is done by a clock that jumped.
    pub fn clock_is_confirmed(&self) -> bool {
        let view = self.view();
        view.verified_at.is_some_and(|boot| {
            let expected = view.verified_now.saturating_add(self.clock.boot().saturating_sub(boot));
            self.clock.now().abs_diff(expected) <= CLOCK_DRIFT_SECONDS
        })
    }

    /// Everything that is needed from the vault, and whether it is missing or too old, for `/health/ready`.
    pub fn checks(&self) -> [(Trouble, bool); 7] {
        let view = self.view();
        let fresh = view.verified_at.is_some_and(|at| self.clock.boot().saturating_sub(at) < FRESH_SECONDS);
        let (tried, conflict) = (view.last_sync != LastSync::None, view.status == FeedStatus::Conflict);
        let unreachable = tried && view.store_healthy && !conflict && (view.last_sync == LastSync::Failed || !fresh);
        let keys = self.key(Purpose::Seal).is_some() && self.key(Purpose::Transport).is_some();
        [
            (Trouble::Storage, !view.store_healthy),
            (Trouble::Conflict, conflict),
            (Trouble::Clock, view.clock_differs),
            (Trouble::Starting, !tried),
            (Trouble::CatchingUp, tried && !unreachable && view.status == FeedStatus::CatchingUp),
            (Trouble::VaultUnreachable, unreachable),
            (Trouble::Keys, tried && !keys),
        ]
    }

    /// The vault's clock now (Unix seconds): the time that it last signed, and what the boot clock counted since.
    pub fn vault_time(&self) -> Option<u64> {
        let view = self.view();
        view.verified_at.map(|at| view.vault_time.saturating_add(self.clock.boot().saturating_sub(at)))
    }

    /// Starts a sync with the vault now instead of at the next tick.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Waits until the vault has signed that event `sequence` is applied. Returns whether it has within `limit`.
    pub async fn wait_applied(&self, sequence: u64, limit: Duration) -> bool {
        let mut view = self.view.subscribe();
        let applied = view.wait_for(|view| view.status == FeedStatus::CaughtUp && view.applied >= sequence);
        tokio::time::timeout(limit, applied).await.is_ok_and(|seen| seen.is_ok())
    }
}

#[cfg(test)]
mod tests {
    use service_runtime::clock::ManualClock;
    use service_runtime::readiness::Readiness;
    use shared_proto::jwk::PublicJwk;

    use super::*;

    fn seal_key(byte: u8, not_before: u64, not_after: u64) -> StatedKey {
        let key = PublicJwk::x25519([byte; 32]);
        StatedKey { kid: key.thumbprint(), key, purpose: Purpose::Seal, not_before, not_after }
    }

    #[test]
    fn the_newest_key_that_is_valid_now_is_used_and_an_expired_one_never() {
        let clock = Arc::new(ManualClock::new(1_000, 0));
        let vault_view = VaultView::new(Arc::clone(&clock) as Arc<dyn Clock>);
        let (old, new, future) = (seal_key(1, 900, 1_200), seal_key(2, 950, 1_100), seal_key(3, 1_050, 2_000));
        vault_view.set_keys(vec![future.clone(), old.clone(), new.clone()]);
        let at = |now| {
            clock.set_now(now);
            vault_view.seal_kid()
        };
        assert_eq!(at(899), None);
        assert_eq!(at(1_000), Some(new.kid));
        assert_eq!(at(1_050), Some(future.kid));
        vault_view.set_keys(vec![old.clone(), new]);
        assert_eq!(at(1_100), Some(old.kid));
        assert_eq!(at(1_200), None);
        assert!(vault_view.key(Purpose::Transport).is_none());
    }

    #[test]
    fn clock_that_no_poll_confirmed_or_that_jumped_since_is_not_believed() {
        let clock = Arc::new(ManualClock::new(1_000, 50));
        let vault_view = VaultView::new(Arc::clone(&clock) as Arc<dyn Clock>);
        assert!(!vault_view.clock_is_confirmed(), "the vault was not heard yet");
        vault_view.update(|view| {
            view.verified_at = Some(50);
            view.verified_now = 1_000;
        });
        clock.advance(3_600);
        assert!(vault_view.clock_is_confirmed());
        for jump in [CLOCK_DRIFT_SECONDS, CLOCK_DRIFT_SECONDS + 1] {
            for now in [4_600 + jump, 4_600 - jump] {
                clock.set_now(now);
                assert_eq!(vault_view.clock_is_confirmed(), jump == CLOCK_DRIFT_SECONDS, "{now}");
            }
        }
    }

    #[test]
    fn only_a_fresh_state_that_agrees_is_ready() {
        let clock = Arc::new(ManualClock::new(1_000, 50));
        let vault_view = VaultView::new(Arc::clone(&clock) as Arc<dyn Clock>);
        let mut transport = seal_key(2, 0, 9_999);
        transport.purpose = Purpose::Transport;
        vault_view.set_keys(vec![seal_key(1, 0, 9_999), transport]);
        let good = FeedView {
            status: FeedStatus::CaughtUp,
            applied: 0,
            verified_at: Some(50),
            verified_now: 1_000,
            vault_time: 1_000,
            last_sync: LastSync::Good,
            clock_differs: false,
            store_healthy: true,
        };
        let readiness_of = |view: FeedView| {
            vault_view.update(|now| *now = view);
            Readiness::new(&vault_view.checks(), "").text()
        };
        assert_eq!(readiness_of(good), "ready");
        assert_eq!(readiness_of(FeedView { status: FeedStatus::CatchingUp, ..good }), "catching-up");
        assert_eq!(
            readiness_of(FeedView { status: FeedStatus::Conflict, last_sync: LastSync::Failed, ..good }),
            "conflict"
        );
        assert_eq!(readiness_of(FeedView { verified_at: None, ..good }), "vault-unreachable");
        assert_eq!(readiness_of(FeedView { last_sync: LastSync::None, ..good }), "starting");
        assert_eq!(
            readiness_of(FeedView { last_sync: LastSync::Failed, clock_differs: true, ..good }),
            "clock vault-unreachable"
        );
        assert_eq!(readiness_of(FeedView { store_healthy: false, last_sync: LastSync::Failed, ..good }), "storage");
        clock.advance(4);
        assert_eq!(readiness_of(good), "ready");
        clock.advance(1);
        assert_eq!(readiness_of(good), "vault-unreachable");
        assert_eq!(vault_view.vault_time(), Some(1_005));
        clock.set_now(20_000);
        assert_eq!(readiness_of(good), "vault-unreachable keys");
    }
}
