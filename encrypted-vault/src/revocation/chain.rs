//! The chain of events: who signs them, and what follows what.

use std::sync::Arc;

use service_runtime::sqlite::StoreFault;
use shared_proto::Rejected;
use shared_proto::event::{Event, EventClaims, EventHash, NO_EVENT, event_hash};
use shared_proto::id::VaultId;
use shared_proto::identity::Issuer;
use shared_proto::jws::{Compact, Kind, ed25519_key};
use shared_proto::wire::vault::{MAX_PAGE, VersionName};

use super::{Mark, working_set::WorkingSet};
use crate::keys::KeyRing;
use crate::store::{NewEvent, VaultStore};

/// Whose events are believed.
pub struct Source {
    /// The pinned manager, and those of its identities that were pinned before.
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

/// The mark before the first event.
pub(super) const START: Mark = Mark { applied: 0, event_hash: NO_EVENT };

/// The mark after an event, if it follows `head`.
pub(super) fn link(head: Mark, claims: &EventClaims, compact: &str) -> Option<Mark> {
    let follows = claims.seq == head.applied + 1 && claims.prev == head.event_hash;
    follows.then(|| Mark { applied: claims.seq, event_hash: event_hash(compact) })
}

/// What a chain in the database comes to.
pub(super) struct Loaded {
    /// Its newest event.
    pub(super) head: Mark,
    /// What it revokes.
    pub(super) set: WorkingSet,
    /// Whether it has the event that was looked for.
    pub(super) contains: bool,
}

/// Reads the whole chain, and looks for `known` in it. Signatures were checked when the events were applied; the links
/// are checked again.
pub(super) async fn load(store: &Arc<dyn VaultStore>, known: Option<Mark>, boot: u64) -> Result<Loaded, String> {
    let mut loaded = Loaded { head: START, set: WorkingSet::default(), contains: known == Some(START) };
    loop {
        let page = store.events(loaded.head.applied, MAX_PAGE).await.map_err(|fault| fault.to_string())?;
        for (seq, compact) in &page {
            let claims = EventClaims::reread(compact).map_err(|_| format!("event {seq} cannot be read"))?;
            let head = link(loaded.head, &claims, compact).filter(|head| head.applied == *seq);
            loaded.head = head.ok_or_else(|| format!("event {seq} does not follow the one before it"))?;
            loaded.set.apply(*seq, &claims.event, boot);
            loaded.contains |= known == Some(loaded.head);
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

/// The hash of an applied event.
pub(super) async fn hash_at(store: &Arc<dyn VaultStore>, seq: u64) -> Result<EventHash, StoreFault> {
    let Some(before) = seq.checked_sub(1) else { return Ok(NO_EVENT) };
    match store.events(before, 1).await?.first() {
        Some((found, compact)) if *found == seq => Ok(event_hash(compact)),
        Some(_) | None => Err(StoreFault::Corrupt),
    }
}

/// An event as the database takes it.
pub(super) fn new_event(claims: &EventClaims, compact: &str) -> NewEvent {
    let destroys = match claims.event {
        Event::Destroy(environment, secret_id, version) => Some(VersionName { environment, secret_id, version }),
        Event::Token(_)
        | Event::Subject(_)
        | Event::Credential(_)
        | Event::Secret(_)
        | Event::Version(..)
        | Event::SigningKey(_)
        | Event::All => None,
    };
    NewEvent { seq: claims.seq, compact: compact.to_owned(), destroys }
}
