//! Recovery of a restored manager's own later events from the vault.

use shared_proto::Rejected;
use shared_proto::chain::{ChainHead, Step};
use shared_proto::command::Operation;
use shared_proto::event::EventClaims;
use shared_proto::feed::FeedState;
use shared_proto::id::MAX_VERSION;
use shared_proto::jwk::Curve;
use shared_proto::jws::{Compact, Kind, ed25519_key};
use shared_proto::wire::vault::{MAX_PAGE, Replay, ReplayAnswer};

use super::sync::{RevocationSync, SyncError};
use manager_store::StoredEvent;

impl RevocationSync {
    /// Brings the manager's chain up to the verified feed state. Each event must carry the manager's own signature and
    /// continue the chain, so the vault cannot invent one. Where the vault has dropped ended events, each remaining one
    /// names the lasting event before it, so the vault cannot leave out one of those.
    pub(super) async fn recover_events(&self, newest: u64, feed: &FeedState) -> Result<(), SyncError> {
        let mut head = self.store.chain_head().await?;
        if head.number != newest {
            // Another event was numbered meanwhile: the next sync compares again.
            return Err(SyncError::Withheld);
        }
        while head.number < feed.applied {
            let request = Replay { after: head.number, limit: MAX_PAGE };
            let answer: ReplayAnswer = self.client.command(Operation::Replay, &request).await?;
            let (last, events) = self.check_page(head, &answer.events)?;
            let count = events.len();
            let now = self.clock.now();
            if events.is_empty() || !self.registry.recover_events(self.store.as_ref(), head, events, now).await? {
                return Err(SyncError::Withheld);
            }
            let newest = last.number;
            tracing::warn!(count, newest, "took own events back from the vault: the database is an older one");
            head = last;
        }
        Ok(())
    }

    fn check_page(&self, after: ChainHead, page: &[String]) -> Result<(ChainHead, Vec<StoredEvent>), SyncError> {
        let mut head = after;
        let mut events = Vec::with_capacity(page.len());
        for compact in page.iter().take(MAX_PAGE) {
            let claims = self.own_event(compact).map_err(|Rejected| SyncError::Impostor)?;
            head = match head.step(&claims, compact, MAX_VERSION) {
                Step::Next(next) | Step::Over(next) => next,
                Step::Known | Step::Gap => return Err(SyncError::Withheld),
                Step::Conflict => return Err(SyncError::Conflict),
            };
            events.push(StoredEvent {
                sequence: claims.seq,
                event: claims.event,
                compact: compact.clone(),
                hash: head.hash,
                issued_at: claims.iat,
                may_be_dropped: claims.may_be_dropped(),
            });
        }
        Ok((head, events))
    }

    fn own_event(&self, compact: &str) -> Result<EventClaims, Rejected> {
        let parsed = Compact::parse(Kind::Event, compact)?;
        let keys = self.keys.now();
        // Also signatures of earlier identity keys: the chain is older than the key.
        let retired = keys.retired_identities.iter().map(|document| &document.key);
        let key = std::iter::once(keys.identity.public())
            .chain(retired)
            .find(|key| key.thumbprint() == *parsed.kid())
            .ok_or(Rejected)?;
        let key = ed25519_key(key.okp(Curve::Ed25519).map_err(|_| Rejected)?);
        EventClaims::check(&parsed.verify(&key)?, self.signing.issuer, self.signing.vault)
    }
}
