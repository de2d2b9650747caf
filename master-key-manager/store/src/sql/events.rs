//! The chain of events. One transaction reads the newest number, signs the next event and inserts it, so that two
//! revocations never get the same number and no number is without its event.

use async_trait::async_trait;
use manager_policy::{Basis, Destroy, Permit, ReadAudit, Scope};
use manager_registry::{RowKey, RowKind, RowTag, Rows};
use service_runtime::clock::{Clock as _, SystemClock};
use service_runtime::sql::{SqlError, Tx, row_limit};
use shared_proto::chain::ChainHead;
use shared_proto::encoding::Bytes;
use shared_proto::event::{Event, EventHash, NO_EVENT, event_hash};
use shared_proto::id::{SecretId, Version};
use shared_proto::jwk::Thumbprint;

use super::SqlStore;
use super::destruction::{destroy, destroy_envelope};
use super::environments;
use super::registry::{self, outdated};
use super::rows::{chain_head, event_row, newest_event};
use crate::events::Effect;
use crate::{
    ActError, Acted, DROPPED_AT_ONCE, Decision, Destroyed, EventStore, NUMBERED_AT_ONCE, RevocationPage, SignEvent,
    Stored, StoredEvent, basis_for, event_name,
};

#[async_trait]
impl EventStore for SqlStore {
    async fn newest_event(&self) -> Stored<(u64, EventHash)> {
        self.sql.read("newest_event", newest_event).await
    }

    async fn chain_head(&self) -> Stored<ChainHead> {
        self.sql.read("chain_head", chain_head).await
    }

    async fn event_hash(&self, sequence: u64) -> Stored<Option<EventHash>> {
        if sequence == 0 {
            return Ok(Some(NO_EVENT));
        }
        let Ok(sequence) = i64::try_from(sequence) else { return Ok(None) };
        self.sql
            .read("event_hash", move |tx| {
                tx.optional("SELECT hash FROM events WHERE seq = ?1", &[&sequence], |row| row.get(0).map(Bytes))
            })
            .await
    }

    async fn events_after(&self, after: u64, limit: usize) -> Stored<Vec<StoredEvent>> {
        self.sql.read("events_after", move |tx| events_after(tx, after, limit)).await
    }

    async fn revocations(&self, permit: &Permit<ReadAudit>, after: u64, limit: usize) -> Acted<RevocationPage> {
        let basis = basis_for(permit, &Scope::Installation)?;
        self.read_as("revocations", basis, move |tx| {
            let (newest, _hash) = newest_event(tx)?;
            Ok(RevocationPage { events: events_after(tx, after, limit)?, newest, deferred: deferred(tx)? })
        })
        .await
    }

    async fn number(&self, decisions: Vec<Decision>, sign: SignEvent, now: u64) -> Acted<Vec<u64>> {
        let key = self.key();
        self.decide("number", decisions, move |tx, effect| {
            if let Some(known) = number_of_former(tx, effect)? {
                return Ok(known);
            }
            apply(tx, &key, effect, now)?;
            number(tx, &effect.event(), &sign, now)
        })
        .await
    }

    async fn defer(&self, decisions: Vec<Decision>, now: u64) -> Acted<()> {
        let key = self.key();
        let deferred = self.decide("defer", decisions, move |tx, effect| match number_of_former(tx, effect)? {
            Some(_) => Ok(()),
            None => defer(tx, &key, effect, now),
        });
        let deferred = deferred.await;
        deferred.map(|_each| ())
    }

    async fn destroy(
        &self,
        permit: &Permit<Destroy>,
        secret: SecretId,
        versions: Vec<Version>,
        sign: Option<SignEvent>,
        now: u64,
    ) -> Acted<Destroyed> {
        let basis = basis_for(permit, &Scope::Secret(secret))?;
        let key = self.key();
        self.write_as("destroy", basis, move |tx| destroy(tx, &key, secret, &versions, sign.as_ref(), now)).await
    }

    async fn number_deferred(&self, sign: SignEvent, now: u64) -> Stored<Vec<u64>> {
        let key = self.key();
        self.sql.write("number_deferred", move |tx| number_deferred(tx, &key, &sign, now)).await
    }

    async fn deferred(&self) -> Stored<u64> {
        self.sql.read("deferred", deferred).await
    }

    async fn recover_events(&self, after: ChainHead, events: Vec<StoredEvent>, change: Option<Rows>) -> Stored<bool> {
        let key = self.key();
        let recover = move |tx: &mut Tx<'_>| recover_events(tx, &key, after, &events, change.as_ref());
        self.sql.write("recover_events", recover).await
    }

    async fn drop_events(&self, below: u64, issued_before: u64) -> Stored<usize> {
        let oldest = self.sql.read("oldest_events", oldest_events).await?.into_iter();
        let ended = oldest.filter(|(seq, issued_at)| *seq < below && *issued_at < issued_before);
        let ended: Vec<u64> = ended.map(|(seq, _)| seq).collect();
        if ended.is_empty() {
            return Ok(0);
        }
        self.sql
            .write("drop_events", move |tx| {
                let drop = |seq: &u64| tx.execute("DELETE FROM events WHERE seq = ?1 AND lasting = 0", &[seq]);
                ended.iter().map(drop).sum()
            })
            .await
    }

    async fn revoked_signing_keys(&self) -> Stored<Vec<Thumbprint>> {
        self.sql.read("revoked_signing_keys", revoked_keys).await
    }
}

impl SqlStore {
    /// A transaction that records decisions in order, if their permits count and none of them is refused.
    async fn decide<T, F>(&self, name: &'static str, decisions: Vec<Decision>, record: F) -> Acted<Vec<T>>
    where
        T: Send + 'static,
        F: Fn(&mut Tx<'_>, &Effect) -> Result<T, SqlError> + Send + 'static,
    {
        let decided = self.sql.write(name, move |tx| match refusal_of(tx, &decisions, SystemClock.now())? {
            Some(why) => Ok(Err(why)),
            None => decisions.iter().map(|decision| record(tx, &decision.effect)).collect::<Result<_, _>>().map(Ok),
        });
        decided.await?
    }
}

fn refusal_of(tx: &mut Tx<'_>, decisions: &[Decision], now: u64) -> Result<Option<ActError>, SqlError> {
    let mut bases: Vec<Basis> = decisions.iter().map(|decision| decision.basis).collect();
    bases.dedup();
    for basis in bases {
        if let Some(why) = outdated(tx, basis, now)? {
            return Ok(Some(why));
        }
    }
    Ok(None)
}

fn events_after(tx: &mut Tx<'_>, after: u64, limit: usize) -> Result<Vec<StoredEvent>, SqlError> {
    let Ok(after) = i64::try_from(after) else { return Ok(Vec::new()) };
    tx.all(
        "SELECT seq, name, compact, hash, issued_at, lasting FROM events WHERE seq > ?1 ORDER BY seq LIMIT ?2",
        &[&after, &row_limit(limit)],
        event_row,
    )
}

fn deferred(tx: &mut Tx<'_>) -> Result<u64, SqlError> {
    tx.one("SELECT count(*) FROM pending_revocations", &[], |row| row.get(0))
}

/// Numbers and times of the oldest events that may be dropped.
fn oldest_events(tx: &mut Tx<'_>) -> Result<Vec<(u64, u64)>, SqlError> {
    tx.all(
        "SELECT seq, issued_at FROM events WHERE lasting = 0 ORDER BY seq LIMIT ?1",
        &[&row_limit(DROPPED_AT_ONCE)],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )
}

fn number_deferred(tx: &mut Tx<'_>, key: &RowKey, sign: &SignEvent, now: u64) -> Result<Vec<u64>, SqlError> {
    let waiting: Vec<(u64, String, Option<RowTag>)> = tx.all(
        "SELECT position, name, tag FROM pending_revocations ORDER BY position LIMIT ?1",
        &[&row_limit(NUMBERED_AT_ONCE)],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    let mut numbers = Vec::with_capacity(waiting.len());
    for (position, name, tag) in &waiting {
        // A planted one is signed for nobody: it could destroy values.
        if key.fits(RowKind::Revocation, name, &[name.as_bytes()], tag.as_ref()) {
            let event = event_name::event_of(name).map_err(|_| SqlError::unreadable())?;
            numbers.push(number(tx, &event, sign, now)?);
        }
        tx.execute("DELETE FROM pending_revocations WHERE position = ?1", &[position])?;
    }
    Ok(numbers)
}

fn waiting_tag(key: &RowKey, name: &str) -> RowTag {
    key.tag(RowKind::Revocation, &[name.as_bytes()])
}

/// Tags rows from before they had tags, up to a limit, and returns how many.
pub(super) fn tag_waiting(tx: &mut Tx<'_>, key: &RowKey, limit: usize) -> Result<usize, SqlError> {
    let sql = "SELECT name FROM pending_revocations WHERE tag IS NULL LIMIT ?1";
    let names: Vec<String> = tx.all(sql, &[&row_limit(limit)], |row| row.get(0))?;
    for name in &names {
        tx.execute("UPDATE pending_revocations SET tag = ?2 WHERE name = ?1", &[name, &waiting_tag(key, name)])?;
    }
    Ok(names.len())
}

fn recover_events(
    tx: &mut Tx<'_>,
    key: &RowKey,
    after: ChainHead,
    events: &[StoredEvent],
    change: Option<&Rows>,
) -> Result<bool, SqlError> {
    if chain_head(tx)? != after {
        return Ok(false);
    }
    if let Some(change) = change
        && !registry::write(tx, change)?
    {
        return Ok(false);
    }
    for event in events {
        insert(tx, event)?;
        // The event does not say whether it was disabled or its tokens were revoked: the safe choice is made.
        let effect = match event.event {
            Event::Environment(environment) => Effect::DisableEnvironment(environment),
            Event::Token(_)
            | Event::Subject(_)
            | Event::Credential(_)
            | Event::Secret(_)
            | Event::Version(..)
            | Event::SigningKey(_)
            | Event::All
            | Event::Destroy(..) => Effect::Event(event.event),
        };
        apply(tx, key, &effect, event.issued_at)?;
    }
    Ok(true)
}

pub(super) fn number(tx: &mut Tx<'_>, event: &Event, sign: &SignEvent, now: u64) -> Result<u64, SqlError> {
    let name = event_name::name_of(event);
    if event_name::happens_once(event) {
        let known =
            tx.optional("SELECT seq FROM events WHERE name = ?1 ORDER BY seq LIMIT 1", &[&name], |row| row.get(0))?;
        if let Some(sequence) = known {
            return Ok(sequence);
        }
    }
    let head = chain_head(tx)?;
    let compact = sign(*event, head).map_err(|_| SqlError::unreadable())?;
    let (sequence, hash, may_be_dropped) = (head.number + 1, event_hash(&compact), !event.lasts());
    insert(tx, &StoredEvent { sequence, event: *event, compact, hash, issued_at: now, may_be_dropped })?;
    Ok(sequence)
}

/// The number of the event that disabled what is disabled already. Its event lasts, so that it is not made again.
fn number_of_former(tx: &mut Tx<'_>, effect: &Effect) -> Result<Option<u64>, SqlError> {
    let is_disabled = match effect {
        Effect::DisableEnvironment(environment) => environments::is_disabled(tx, *environment)?,
        Effect::Event(_) => false,
    };
    if !is_disabled {
        return Ok(None);
    }
    let name = event_name::name_of(&effect.event());
    tx.optional("SELECT seq FROM events WHERE name = ?1 ORDER BY seq DESC LIMIT 1", &[&name], |row| row.get(0))
}

/// Tells whether there is an event of this name, with a number or without.
pub(super) fn was_decided(tx: &mut Tx<'_>, event: &Event) -> Result<bool, SqlError> {
    let name = event_name::name_of(event);
    Ok(tx.exists("SELECT 1 FROM events WHERE name = ?1", &[&name])?
        || tx.exists("SELECT 1 FROM pending_revocations WHERE name = ?1", &[&name])?)
}

fn insert(tx: &mut Tx<'_>, event: &StoredEvent) -> Result<(), SqlError> {
    let lasting = if event.event.lasts() { Some(true) } else { event.may_be_dropped.then_some(false) };
    tx.execute(
        "INSERT INTO events (seq, name, compact, hash, issued_at, lasting) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        &[
            &event.sequence,
            &event_name::name_of(&event.event),
            &event.compact,
            &event.hash.0,
            &event.issued_at,
            &lasting,
        ],
    )
    .map(|_rows| ())
}

/// Keeps the event of a decision for later, and applies the decision here.
pub(super) fn defer(tx: &mut Tx<'_>, key: &RowKey, effect: &Effect, now: u64) -> Result<(), SqlError> {
    // Positions are chosen here: an engine's own numbers would start again in a copy of the database.
    let position: u64 =
        tx.one("SELECT COALESCE(MAX(position), 0) + 1 FROM pending_revocations", &[], |row| row.get(0))?;
    let name = event_name::name_of(&effect.event());
    // The manager signs it later, so that it must be its own by then.
    tx.execute(
        "INSERT INTO pending_revocations (position, name, tag, created_at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (name) DO UPDATE SET tag = excluded.tag",
        &[&position, &name, &waiting_tag(key, &name), &now],
    )?;
    apply(tx, key, effect, now)
}

/// Applies a decision to the manager's own tables: the credential is refused, or nothing is minted for the version.
pub(super) fn apply(tx: &mut Tx<'_>, key: &RowKey, effect: &Effect, now: u64) -> Result<(), SqlError> {
    let event = match effect {
        Effect::DisableEnvironment(environment) => return environments::disable(tx, key, *environment, now),
        Effect::Event(event) => event,
    };
    match event {
        Event::Destroy(_, secret, envelope) => destroy_envelope(tx, *secret, *envelope),
        Event::Token(_)
        | Event::Subject(_)
        | Event::Credential(_)
        | Event::Environment(_)
        | Event::Secret(_)
        | Event::Version(..)
        | Event::SigningKey(_)
        | Event::All => Ok(()),
    }
}

/// Whether this token signing key was revoked.
pub(super) fn is_revoked(tx: &mut Tx<'_>, signing_key: &Thumbprint) -> Result<bool, SqlError> {
    let revocation = event_name::name_of(&Event::SigningKey(*signing_key));
    tx.exists("SELECT 1 FROM events WHERE name = ?1", &[&revocation])
}

pub(super) fn revoked_keys(tx: &mut Tx<'_>) -> Result<Vec<Thumbprint>, SqlError> {
    // `;` is the character after `:`.
    tx.all("SELECT name FROM events WHERE name >= 'signing-key:' AND name < 'signing-key;' ORDER BY seq", &[], |row| {
        match event_name::event_of(&row.get::<String>(0)?) {
            Ok(Event::SigningKey(kid)) => Ok(kid),
            Ok(_) | Err(_) => Err(SqlError::unreadable()),
        }
    })
}
