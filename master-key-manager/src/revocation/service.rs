//! Recording events on behalf of callers.

use std::sync::Arc;
use std::time::Duration;

use manager_api::name::Reason;
use manager_policy::{Destroy, Permit, Rotate};
use manager_registry::{Author, Change, Credential};
use service_runtime::Refusal;
use service_runtime::clock::Clock;
use shared_proto::error::ErrorCode;
use shared_proto::event::{Event, EventClaims};
use shared_proto::id::{CredentialId, SecretId, Version};
use shared_proto::jws::{Kind, sign};

use super::{FeedStatus, VaultView};
use crate::access::{Asked, Caller, Registry, View};
use crate::vault_client::Signing;
use manager_store::{Decision, Finished, ManagerStore, Outlived, SignEvent};

/// Numbers revocations and waits for the vault's signature.
pub struct Revocations {
    store: Arc<dyn ManagerStore>,
    registry: Arc<Registry>,
    vault_view: Arc<VaultView>,
    sign: SignEvent,
    clock: Arc<dyn Clock>,
}

/// The progress of recorded events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequences {
    /// Their numbers; empty while nothing may be numbered.
    pub numbers: Vec<u64>,
    /// Whether the vault has signed that all of them are applied.
    pub applied: bool,
}

/// How long a caller waits for the vault. A push to a reachable vault takes milliseconds.
const WAIT: Duration = Duration::from_secs(2);

impl Revocations {
    /// Revocations in this store, for this vault.
    pub fn new(
        store: Arc<dyn ManagerStore>,
        registry: Arc<Registry>,
        vault_view: Arc<VaultView>,
        sign: SignEvent,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { store, registry, vault_view, sign, clock }
    }

    /// Disables a credential, and revokes the tokens made with it. One that is disabled keeps its event.
    ///
    /// # Errors
    /// `may` refuses it, there is no such credential, it is the last one of an administrator, or the database cannot be
    /// written: nothing is disabled.
    pub async fn disable_credential(
        &self,
        caller: &Caller,
        id: CredentialId,
        may: impl Fn(&Caller, &View) -> Result<(), Refusal> + Send + Sync,
    ) -> Result<Sequences, Refusal> {
        let view = self.registry.now().await?;
        may(&caller.again(&view)?, &view)?;
        let known = view.state.credential(id).ok_or_else(|| Refusal::new(ErrorCode::CredentialNotFound))?;
        if known.disabled_at.is_some() {
            let numbers: Vec<u64> = self.store.number_of(Event::Credential(id)).await?.into_iter().collect();
            let applied = !numbers.is_empty() && self.confirm(&numbers).await;
            return Ok(Sequences { numbers, applied });
        }
        let now = self.clock.now();
        // Decided once more on the state that the change is made of.
        self.change(caller, None, |caller, view| {
            may(caller, view)?;
            let known = view.state.credential(id).ok_or_else(|| Refusal::new(ErrorCode::CredentialNotFound))?;
            Ok(vec![Credential { disabled_at: known.disabled_at.or(Some(now)), ..known.clone() }.into()])
        })
        .await
    }

    /// Makes a change of the registry on a caller's behalf, pushes the revocations that follow from it, and waits a moment
    /// for the vault's signature.
    ///
    /// # Errors
    /// Those of [`Caller::change`]: nothing is changed.
    pub async fn change(
        &self,
        caller: &Caller,
        reason: Option<&Reason>,
        decide: impl FnOnce(&Caller, &View) -> Result<Vec<Change>, Refusal> + Send,
    ) -> Result<Sequences, Refusal> {
        self.change_places(caller, reason, |caller, view| decide(caller, view).map(Asked::from)).await
    }

    /// The same with places of secrets.
    ///
    /// # Errors
    /// Those of [`Caller::change`]: nothing is changed.
    pub async fn change_places(
        &self,
        caller: &Caller,
        reason: Option<&Reason>,
        decide: impl FnOnce(&Caller, &View) -> Result<Asked, Refusal> + Send,
    ) -> Result<Sequences, Refusal> {
        let sign = self.sign_if_caught_up();
        let numbers = caller.change(&self.registry, reason, sign.clone(), decide).await;
        self.changed(sign.is_some(), numbers).await
    }

    /// Makes a change of the registry that no caller makes by his rights, such as a login. What it revokes is as above.
    ///
    /// # Errors
    /// Those of [`Registry::change`]: nothing is changed.
    pub async fn change_as(
        &self,
        by: (Author, &str, u64),
        decide: impl FnOnce(&View) -> Result<Vec<Change>, Refusal> + Send,
    ) -> Result<Sequences, Refusal> {
        let sign = self.sign_if_caught_up();
        let numbers = self.registry.change(by, sign.clone(), decide).await;
        self.changed(sign.is_some(), numbers).await
    }

    /// The same with places of secrets.
    ///
    /// # Errors
    /// Those of [`Registry::change`]: nothing is changed.
    pub async fn change_places_as(
        &self,
        by: (Author, &str, u64),
        decide: impl FnOnce(&View) -> Result<Asked, Refusal> + Send,
    ) -> Result<Sequences, Refusal> {
        let sign = self.sign_if_caught_up();
        let numbers = self.registry.change_if(by, sign.clone(), decide, |_before, _after, _changes| Ok(())).await;
        self.changed(sign.is_some(), numbers).await
    }

    /// The registry at this moment.
    ///
    /// # Errors
    /// It cannot be read, or fails its verification.
    pub async fn view(&self) -> Result<Arc<View>, Refusal> {
        Ok(self.registry.now().await?)
    }

    /// The progress of an event that was recorded before.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn progress_of(&self, event: Event) -> Result<Sequences, Refusal> {
        let numbers: Vec<u64> = self.store.number_of(event).await?.into_iter().collect();
        // One that has no number waits for it, or has ended long ago.
        let applied = if numbers.is_empty() { self.store.deferred().await? == 0 } else { self.confirm(&numbers).await };
        Ok(Sequences { numbers, applied })
    }

    /// Erases versions of a destroyed secret, up to so many steps of [`manager_store::ERASED_AT_ONCE`], and waits a moment
    /// for the vault's signature. Returns whether there are more. `None` for a secret that is not destroyed.
    ///
    /// # Errors
    /// The database cannot be written. What was erased is erased, and the next call goes on.
    pub async fn erase(&self, secret: SecretId, steps: usize) -> Result<Option<(Sequences, bool)>, Refusal> {
        let (mut numbers, mut deferred, mut more) = (Vec::new(), false, true);
        for _ in 0..steps {
            let Some(step) = self.store.erase(secret, self.sign_if_caught_up(), self.clock.now()).await? else {
                return Ok(None);
            };
            numbers.extend(step.numbers);
            (deferred, more) = (deferred || step.deferred, step.more);
            if !more {
                break;
            }
        }
        self.vault_view.wake();
        if numbers.is_empty() && !deferred {
            // It was erased before, and the vault may not know all of it.
            let (newest, _hash) = self.store.newest_event().await?;
            let applied = self.store.deferred().await? == 0 && self.confirm(&[newest]).await;
            return Ok(Some((Sequences { numbers, applied }, more)));
        }
        let applied = !deferred && self.confirm(&numbers).await;
        Ok(Some((Sequences { numbers, applied }, more)))
    }

    /// Erases envelopes of a destroyed secret that the vault has, and waits a moment for its signature. `None` for a secret
    /// that is not destroyed.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn erase_stored(&self, secret: SecretId, envelopes: Vec<Version>) -> Result<Option<Sequences>, Refusal> {
        let (sign, now) = (self.sign_if_caught_up(), self.clock.now());
        let Some(step) = self.store.erase_stored(secret, envelopes, sign, now).await? else { return Ok(None) };
        self.vault_view.wake();
        let applied = !step.deferred && self.confirm(&step.numbers).await;
        Ok(Some(Sequences { numbers: step.numbers, applied }))
    }

    fn sign_if_caught_up(&self) -> Option<SignEvent> {
        let caught_up = self.vault_view.view().status == FeedStatus::CaughtUp;
        caught_up.then(|| Arc::clone(&self.sign))
    }

    async fn changed(&self, caught_up: bool, numbers: Result<Vec<u64>, Refusal>) -> Result<Sequences, Refusal> {
        // Also after an unclear outcome: an event may be there.
        self.vault_view.wake();
        let numbers = numbers?;
        // Nothing to revoke is revoked. What is not numbered waits.
        let applied = caught_up && self.confirm(&numbers).await;
        Ok(Sequences { numbers, applied })
    }

    /// Records a caller's decisions durably, pushes the events, and waits a moment for the vault's signature.
    ///
    /// # Errors
    /// The caller has lost its right, may not do this, or the database cannot be written: nothing is revoked.
    pub async fn record(&self, decisions: Vec<Decision>) -> Result<Sequences, Refusal> {
        let now = self.clock.now();
        if self.vault_view.view().status != FeedStatus::CaughtUp {
            self.store.defer(decisions, now).await?;
            self.vault_view.wake();
            return Ok(Sequences { numbers: Vec::new(), applied: false });
        }
        let numbers = self.store.number(decisions, Arc::clone(&self.sign), now).await?;
        let applied = self.confirm(&numbers).await;
        Ok(Sequences { numbers, applied })
    }

    /// Destroys versions of a secret durably, pushes the events of their envelopes, and waits a moment for the vault's
    /// signature. Returns the versions whose envelope stays.
    ///
    /// # Errors
    /// The caller has lost its right, or the database cannot be written: nothing is destroyed.
    pub async fn destroy(
        &self,
        permit: &Permit<Destroy>,
        secret: SecretId,
        versions: Vec<Version>,
    ) -> Result<(Sequences, Vec<Version>), Refusal> {
        let caught_up = self.vault_view.view().status == FeedStatus::CaughtUp;
        let sign = caught_up.then(|| Arc::clone(&self.sign));
        let done = self.store.destroy(permit, secret, versions, sign, self.clock.now()).await?;
        if done.deferred {
            self.vault_view.wake();
        }
        let applied = !done.deferred && self.confirm(&done.numbers).await;
        Ok((Sequences { numbers: done.numbers, applied }, done.kept))
    }

    /// Destroys versions that the rule of their secret does not keep, and does not wait for the vault. Returns false if none of
    /// them is destroyed: the rule, the environment or the versions have changed.
    ///
    /// # Errors
    /// The database cannot be written: nothing is destroyed.
    pub async fn destroy_outlived(&self, secret: SecretId, seen: Outlived, now: u64) -> Result<bool, Refusal> {
        let sign = self.sign_if_caught_up();
        let done = self.store.destroy_outlived(secret, seen, sign, now).await;
        // Also after an unclear outcome: an event may be there.
        self.vault_view.wake();
        Ok(done.map(|done| done.deferred || !done.numbers.is_empty() || !done.kept.is_empty())?)
    }

    /// Finishes the rotation of a secret durably, pushes the revocation that belongs to it, and waits a moment for the vault's
    /// signature. Returns its version; `None` if there was nothing to finish.
    ///
    /// # Errors
    /// The caller has lost its right, or the database cannot be written: nothing is finished.
    pub async fn finish_rotation(
        &self,
        permit: &Permit<Rotate>,
        about: (SecretId, Option<Version>),
    ) -> Result<(Option<Version>, Sequences), Refusal> {
        let done = self.store.finish_rotation(permit, about, self.sign_if_caught_up(), self.clock.now()).await?;
        Ok(self.finished(done).await)
    }

    /// The same for the service itself, of a rotation that only time kept from its end. It waits for no signature.
    ///
    /// # Errors
    /// The database cannot be written: nothing is finished.
    pub async fn end_rotation(&self, secret: SecretId) -> Result<(Option<Version>, Sequences), Refusal> {
        let done = self.store.end_rotation(secret, self.sign_if_caught_up(), self.clock.now()).await?;
        let is_nothing = done.numbers.is_empty() && !done.deferred;
        if !is_nothing {
            self.vault_view.wake();
        }
        Ok((done.version, Sequences { numbers: done.numbers, applied: is_nothing }))
    }

    async fn finished(&self, done: Finished) -> (Option<Version>, Sequences) {
        if done.deferred {
            self.vault_view.wake();
        }
        let applied = !done.deferred && self.confirm(&done.numbers).await;
        (done.version, Sequences { numbers: done.numbers, applied })
    }

    /// Waits a moment until the vault has signed that all these events are applied. Returns whether it has.
    pub async fn confirm(&self, numbers: &[u64]) -> bool {
        let Some(last) = numbers.iter().max() else { return true };
        self.vault_view.wake();
        self.vault_view.wait_applied(*last, WAIT).await
    }
}

/// Signs events with the manager's identity key.
pub fn event_signer(signing: Arc<Signing>, clock: Arc<dyn Clock>) -> SignEvent {
    Arc::new(move |event, after| {
        let claims = EventClaims::new(signing.issuer, signing.vault, event, after, clock.now());
        let identity = signing.identity.load();
        sign(Kind::Event, identity.kid(), &claims, |input| Ok(identity.sign(input).0.to_vec()))
    })
}
