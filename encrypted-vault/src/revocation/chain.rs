//! The chain of events in the database: its signer, and the order of its events.

use std::sync::Arc;

use service_runtime::sql::StoreFault;
use shared_proto::Rejected;
use shared_proto::chain::{ChainHead, Step};
use shared_proto::event::{Event, EventClaims, EventHash, NO_EVENT, event_hash};
use shared_proto::id::VaultId;
use shared_proto::identity::Issuer;
use shared_proto::jws::{Compact, Kind, ed25519_key};
use shared_proto::wire::vault::{MAX_PAGE, VersionName};

use super::{Mark, working_set::WorkingSet};
use crate::keys::KeyRing;
use crate::store::{NewEvent, VaultStore};

/// The manager whose events are accepted.
pub struct Source {
    /// The keys of the vault, with the pinned manager and its earlier identities.
    pub keys: Arc<KeyRing>,
    /// Its issuer.
    pub issuer: Issuer,
    /// This vault.
    pub vault: VaultId,
}

impl Source {
    /// Reads an event that the manager signed.
    pub(super) fn verify(&self, compact: &str) -> Result<EventClaims, Rejected> {
        let token = Compact::parse(Kind::Event, compact)?;
        let keys = self.keys.current();
        let payload = token.verify(&ed25519_key(keys.event_key(token.kid()).ok_or(Rejected)?))?;
        EventClaims::check(&payload, self.issuer, self.vault)
    }
}

/// The state that follows from the chain in the database.
pub(super) struct Loaded {
    /// Its newest event.
    pub(super) head: ChainHead,
    /// The revocations that follow from it.
    pub(super) set: WorkingSet,
    /// Every event from this number on is in the database.
    pub(super) whole_from: u64,
    /// Whether the chain has the wanted event.
    pub(super) contains: bool,
}

/// Reads the whole chain, and looks for `known` in it. Signatures were checked when the events were applied. The links
/// are checked again. A missing event was dropped after its end, or removed by an adversary. Either way, every token
/// that it could hit is refused.
pub(super) async fn load(store: &Arc<dyn VaultStore>, known: Option<Mark>, boot: u64) -> Result<Loaded, String> {
    let start = Mark::from(ChainHead::START);
    let (head, set) = (ChainHead::START, WorkingSet::default());
    let mut loaded = Loaded { head, set, whole_from: 1, contains: known == Some(start) };
    loop {
        let page = store.events(loaded.head.number, MAX_PAGE).await.map_err(|fault| fault.to_string())?;
        for (seq, compact) in &page {
            let claims = EventClaims::reread(compact).map_err(|_| format!("event {seq} cannot be read"))?;
            if claims.seq != *seq {
                return Err(format!("event {seq} is another one"));
            }
            match loaded.head.step(&claims, compact, *seq) {
                Step::Next(head) => loaded.head = head,
                Step::Over(head) => {
                    loaded.set.pass_over(seq - 1, boot);
                    (loaded.head, loaded.whole_from) = (head, *seq);
                }
                Step::Known | Step::Gap | Step::Conflict => {
                    return Err(format!("event {seq} does not follow the one before it"));
                }
            }
            loaded.set.apply(*seq, &claims.event, boot);
            loaded.contains |= known == Some(Mark::from(loaded.head));
        }
        if page.len() < MAX_PAGE {
            break;
        }
    }
    for (secret, version) in store.tombstones().await.map_err(|fault| fault.to_string())? {
        loaded.set.bury(secret, version);
    }
    Ok(loaded)
}

/// The hash of an applied event; `None` when it is missing.
pub(super) async fn hash_at(store: &Arc<dyn VaultStore>, seq: u64) -> Result<Option<EventHash>, StoreFault> {
    let Some(before) = seq.checked_sub(1) else { return Ok(Some(NO_EVENT)) };
    let found = store.events(before, 1).await?;
    Ok(found.first().filter(|(found, _)| *found == seq).map(|(_, compact)| event_hash(compact)))
}

/// The database's form of an event that follows number `after`.
pub(super) fn new_event(after: u64, claims: &EventClaims, compact: &str) -> NewEvent {
    let destroys = match claims.event {
        Event::Destroy(environment, secret_id, version) => Some(VersionName { environment, secret_id, version }),
        Event::Token(_)
        | Event::Subject(_)
        | Event::Credential(_)
        | Event::Environment(_)
        | Event::Secret(_)
        | Event::Version(..)
        | Event::SigningKey(_)
        | Event::All => None,
    };
    NewEvent { after, seq: claims.seq, compact: compact.to_owned(), destroys }
}
