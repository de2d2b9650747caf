//! One sync with the vault: poll, verify, recover lost events, number deferred ones, push.

use std::sync::{Arc, Mutex, PoisonError};

use service_runtime::clock::Clock;
use service_runtime::sql::StoreFault;
use service_runtime::standing::StandingStatements;
use shared_proto::command::Operation;
use shared_proto::encoding::{Bytes, random};
use shared_proto::error::ErrorCode;
use shared_proto::feed::{FeedNonce, FeedState};
use shared_proto::identity::Owner;
use shared_proto::statement::{KeyStatement, Purpose};
use shared_proto::token::LEEWAY_SECONDS;
use shared_proto::wire::vault::{InstanceId, MAX_PAGE, Poll, PollAnswer, Push, PushAnswer};

use super::{FeedStatus, LastSync, VaultView};
use crate::access::{Registry, RegistryError};
use crate::keys::{KeyRing, LoadedKeys};
use crate::vault_client::{CallError, Signing, VaultClient};
use manager_store::{EventStore, SignEvent, StoredEvent};

/// Keeps the vault's chain of events in step with the manager's. One task calls its methods, one after the other.
pub struct RevocationSync {
    pub(super) store: Arc<dyn EventStore>,
    pub(super) registry: Arc<Registry>,
    pub(super) client: Arc<VaultClient>,
    pub(super) vault_view: Arc<VaultView>,
    pub(super) signing: Arc<Signing>,
    pub(super) keys: Arc<KeyRing>,
    sign: SignEvent,
    pub(super) clock: Arc<dyn Clock>,
    statements: StandingStatements,
    // This process, so that the vault notices when two managers run.
    instance: InstanceId,
    last_trouble: Mutex<Option<String>>,
}

/// The number of the last of these events that has others missing before it; 0 when there is none.
fn dropped_below(after: u64, events: &[StoredEvent]) -> u64 {
    let before = std::iter::once(after).chain(events.iter().map(|event| event.sequence));
    let gaps = before.zip(events).filter(|(before, event)| event.sequence != before + 1);
    gaps.map(|(_, event)| event.sequence).last().unwrap_or(0)
}

/// Why a sync failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SyncError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Store(#[from] StoreFault),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error("the vault's answer is not signed by the pinned vault for this request")]
    Impostor,
    #[error("the vault's chain of events and ours disagree; compare the backups of both and restore one of them")]
    Conflict,
    #[error("another manager with our identity runs; end one of them")]
    SecondManager,
    #[error("the vault states our token signing key as its own, so one of them was copied; replace both keys")]
    SharedKey,
    #[error("the vault did not give back the events that it signed for")]
    Withheld,
}

impl SyncError {
    fn of(error: CallError) -> Self {
        match error {
            CallError::Refused(ErrorCode::EventConflict) => Self::Conflict,
            CallError::Refused(ErrorCode::SecondManager) => Self::SecondManager,
            CallError::Refused(_) | CallError::NotSent(_) | CallError::Unclear | CallError::BadAnswer => {
                Self::Call(error)
            }
        }
    }
}

impl RevocationSync {
    /// A sync with the pinned vault.
    pub fn new(
        (store, registry): (Arc<dyn EventStore>, Arc<Registry>),
        client: Arc<VaultClient>,
        vault_view: Arc<VaultView>,
        keys: Arc<KeyRing>,
        sign: SignEvent,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let signing = keys.signing();
        let (statements, last_trouble) = (StandingStatements::new(Purpose::TokenSigning), Mutex::default());
        let instance = Bytes(random());
        Self { store, registry, client, vault_view, signing, keys, sign, clock, statements, instance, last_trouble }
    }

    /// The knowledge that it keeps up to date.
    pub fn vault_view(&self) -> &VaultView {
        &self.vault_view
    }

    /// Polls the vault and pushes every event that it lacks.
    pub async fn run_once(&self) {
        let result = self.poll_and_push().await;
        self.note(result);
    }

    /// Pushes new events, without a poll when the last sync succeeded.
    pub async fn push_now(&self) {
        let view = self.vault_view.view();
        let result = match view.status {
            FeedStatus::CaughtUp if view.last_sync == LastSync::Good => self.push_missing().await,
            FeedStatus::CaughtUp | FeedStatus::CatchingUp | FeedStatus::Conflict => self.poll_and_push().await,
        };
        self.note(result);
    }

    async fn poll_and_push(&self) -> Result<(), SyncError> {
        let named = self.vault_view.seal_kid();
        self.poll().await?;
        if self.vault_view.seal_kid() != named {
            // A vault whose seal keys are all new opens nothing before it was polled with one of them.
            self.poll().await?;
        }
        while self.store.deferred().await? > 0 {
            self.store.number_deferred(Arc::clone(&self.sign), self.clock.now()).await?;
        }
        self.vault_view.update(|view| view.status = FeedStatus::CaughtUp);
        self.push_missing().await
    }

    async fn poll(&self) -> Result<(), SyncError> {
        let request = self.request().await?;
        let Poll { nonce, newest, .. } = request;
        let answer: PollAnswer = match self.client.command(Operation::Poll, &request).await {
            Err(error) => return Err(SyncError::of(error)),
            Ok(answer) => answer,
        };
        self.verify_feed(&answer.feed, &nonce)?;
        self.keys.set_acknowledged(request.statements.iter().map(|stated| stated.key.thumbprint()).collect());
        self.learn_keys(&answer.statements)?;
        if answer.feed.applied > newest {
            self.vault_view.update(|view| view.status = FeedStatus::CatchingUp);
            self.recover_events(newest, &answer.feed).await?;
        }
        self.accept(&answer.feed).await
    }

    /// A poll with the present events and keys.
    async fn request(&self) -> Result<Poll, SyncError> {
        let (newest, newest_hash) = self.store.newest_event().await?;
        self.keys.set_revoked(self.store.revoked_signing_keys().await?);
        let keys = self.keys.now();
        Ok(Poll {
            nonce: Bytes(random()),
            newest,
            newest_hash,
            seal_key: self.vault_view.seal_kid(),
            statements: self.own_statements(&keys),
            instance: self.instance,
            pins: keys.pins.kids().copied().collect(),
        })
    }

    /// Whether the vault accepts signatures of the manager's next identity key. Tried with a poll, which changes
    /// nothing.
    pub async fn next_identity_is_accepted(&self) -> bool {
        let keys = self.keys.now();
        let (Some(next), Ok(request)) = (&keys.next_identity, self.request().await) else { return false };
        let answer = self.client.command_signed_by::<PollAnswer>(&next.key, Operation::Poll, &request).await;
        answer.is_ok_and(|answer| self.verify_feed(&answer.feed, &request.nonce).is_ok())
    }

    async fn push_missing(&self) -> Result<(), SyncError> {
        loop {
            let applied = self.vault_view.view().applied;
            let events = self.store.events_after(applied, MAX_PAGE).await?;
            if events.is_empty() {
                return Ok(());
            }
            let nonce = Bytes(random());
            let dropped_below = dropped_below(applied, &events);
            let events = events.into_iter().map(|event| event.compact).collect();
            let request = Push { nonce, events, dropped_below };
            let answer: PushAnswer = match self.client.command(Operation::Push, &request).await {
                // What the vault expects is not signed: the next poll says it with a signature.
                Err(CallError::Refused(ErrorCode::EventGap)) => return self.poll().await,
                Err(error) => return Err(SyncError::of(error)),
                Ok(answer) => answer,
            };
            self.verify_feed(&answer.feed, &nonce)?;
            if answer.feed.applied <= applied {
                return Err(SyncError::Withheld);
            }
            self.accept(&answer.feed).await?;
        }
    }

    fn verify_feed(&self, feed: &FeedState, nonce: &FeedNonce) -> Result<(), SyncError> {
        feed.verify(&self.keys.now().pins, nonce).map_err(|_| SyncError::Impostor)
    }

    /// Believes a verified feed state if it agrees with the manager's chain. A vault may have been restored to an event
    /// that this chain has dropped. It is believed to be behind, because it compares the next events with the lasting
    /// ones of its own chain.
    async fn accept(&self, feed: &FeedState) -> Result<(), SyncError> {
        let agrees = match self.store.event_hash(feed.applied).await? {
            Some(hash) => hash == feed.event_hash,
            None => feed.applied < self.store.newest_event().await?.0,
        };
        if !agrees {
            return Err(SyncError::Conflict);
        }
        let clock_differs = feed.time.abs_diff(self.clock.now()) > LEEWAY_SECONDS;
        self.vault_view.update(|view| {
            view.applied = feed.applied;
            view.verified_at = Some(self.clock.boot());
            view.verified_now = self.clock.now();
            view.vault_time = feed.time;
            view.clock_differs = clock_differs;
            view.last_sync = LastSync::Good;
            view.store_healthy = true;
        });
        Ok(())
    }

    /// Keeps the keys whose statements the pinned vault signed. A key has one purpose and one holder.
    fn learn_keys(&self, statements: &[KeyStatement]) -> Result<(), SyncError> {
        let own = self.keys.now();
        let keys: Vec<_> = statements.iter().filter_map(|statement| statement.verify(&own.pins).ok()).collect();
        let ours = own.tokens.accepted(&[]);
        if keys.iter().any(|key| ours.iter().any(|(ours, _)| key.key == **ours)) {
            return Err(SyncError::SharedKey);
        }
        self.vault_view.set_keys(keys);
        Ok(())
    }

    fn own_statements(&self, keys: &LoadedKeys) -> Vec<KeyStatement> {
        let owner = Owner::Manager(self.signing.issuer.manager);
        let accepted = keys.tokens.accepted(&self.keys.revoked());
        self.statements.at(self.clock.now(), &keys.identity, owner, &accepted)
    }

    /// Remembers how the sync ended. Logs only a change, not every second.
    fn note(&self, result: Result<(), SyncError>) {
        let trouble = result.err();
        self.vault_view.update(|view| {
            view.last_sync = if trouble.is_some() { LastSync::Failed } else { LastSync::Good };
            match trouble {
                Some(SyncError::Call(CallError::Refused(ErrorCode::ClockDiffers))) => view.clock_differs = true,
                Some(SyncError::Conflict | SyncError::SecondManager) => view.status = FeedStatus::Conflict,
                Some(SyncError::Store(_) | SyncError::Registry(RegistryError::Fault(_))) => {
                    view.store_healthy = false;
                }
                Some(
                    SyncError::Call(_)
                    | SyncError::Registry(RegistryError::Broken)
                    | SyncError::Impostor
                    | SyncError::SharedKey
                    | SyncError::Withheld,
                )
                | None => {}
            }
        });
        let text = trouble.map(|trouble| trouble.to_string());
        let mut last = self.last_trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if *last == text {
            return;
        }
        match &text {
            None => tracing::info!(applied = self.vault_view.view().applied, "in step with the vault"),
            Some(trouble) => tracing::error!(%trouble, "not in step with the vault"),
        }
        *last = text;
    }
}
