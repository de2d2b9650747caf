//! A manager that was restored takes its own later events back from the vault.

use shared_proto::Rejected;
use shared_proto::command::Operation;
use shared_proto::event::{EventClaims, EventHash, event_hash};
use shared_proto::feed::FeedState;
use shared_proto::jwk::Curve;
use shared_proto::jws::{Compact, Kind, ed25519_key};
use shared_proto::wire::vault::{MAX_PAGE, Replay, ReplayAnswer};

use super::round::{Feed, Trouble};
use crate::store::StoredEvent;

impl Feed {
    /// Brings our chain up to the verified feed state. Each event must carry our own signature and continue the chain:
    /// the vault cannot invent one.
    pub(super) async fn take_back(&self, newest: u64, hash: EventHash, feed: &FeedState) -> Result<(), Trouble> {
        let (mut after, mut hash) = (newest, hash);
        while after < feed.applied {
            let request = Replay { after, limit: MAX_PAGE };
            let answer: ReplayAnswer = self.client.command(Operation::Replay, &request).await?;
            let events = self.check_page(after, hash, &answer.events)?;
            let Some(last) = events.last() else { return Err(Trouble::Withheld) };
            let (next, next_hash, count) = (last.sequence, last.hash, events.len());
            if !self.store.take_back(after, hash, events).await? {
                // Somebody else numbered an event meanwhile: the next round sees where that leads.
                return Err(Trouble::Withheld);
            }
            tracing::warn!(count, newest = next, "took own events back from the vault: the database is an older one");
            (after, hash) = (next, next_hash);
        }
        Ok(())
    }

    fn check_page(&self, after: u64, hash: EventHash, page: &[String]) -> Result<Vec<StoredEvent>, Trouble> {
        let mut prev = hash;
        let mut events = Vec::with_capacity(page.len());
        for (compact, expected) in page.iter().take(MAX_PAGE).zip(after + 1..) {
            let claims = self.own_event(compact).map_err(|Rejected| Trouble::Impostor)?;
            if claims.seq != expected {
                return Err(Trouble::Withheld);
            }
            if claims.prev != prev {
                return Err(Trouble::Conflict);
            }
            prev = event_hash(compact);
            events.push(StoredEvent {
                sequence: claims.seq,
                event: claims.event,
                compact: compact.clone(),
                hash: prev,
                issued_at: claims.iat,
            });
        }
        Ok(events)
    }

    fn own_event(&self, compact: &str) -> Result<EventClaims, Rejected> {
        let parsed = Compact::parse(Kind::Event, compact)?;
        let keys = self.keys.now();
        // Also what an earlier identity of ours signed: the chain is older than the key.
        let retired = keys.retired_identities.iter().map(|document| &document.key);
        let key = std::iter::once(keys.identity.public())
            .chain(retired)
            .find(|key| key.thumbprint() == *parsed.kid())
            .ok_or(Rejected)?;
        let key = ed25519_key(key.okp(Curve::Ed25519).map_err(|_| Rejected)?);
        EventClaims::check(&parsed.verify(&key)?, self.signing.issuer, self.signing.vault)
    }
}
