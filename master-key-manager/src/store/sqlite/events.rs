//! The chain of events. One transaction reads the newest number, signs the next event and inserts it, so that two
//! revocations never get the same number and no number is without its event.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};
use service_runtime::sql::{Tx, row_limit};
use shared_proto::chain::ChainHead;
use shared_proto::encoding::Bytes;
use shared_proto::event::{Event, EventHash, NO_EVENT, event_hash};

use super::SqliteStore;
use super::credentials::{disable, is_enabled, not_to_be_disabled};
use super::rows::{chain_head, event_row, integer, newest_event, unreadable, unsigned};
use crate::store::{
    ActError, Acted, Actor, DROPPED_AT_ONCE, Decision, EventStore, NUMBERED_AT_ONCE, RevocationPage, SignEvent, Stored,
    StoredEvent, event_name,
};

#[async_trait]
impl EventStore for SqliteStore {
    async fn newest_event(&self) -> Stored<(u64, EventHash)> {
        self.readers.read(|conn| Ok(newest_event(&mut Tx::on(conn))?)).await
    }

    async fn chain_head(&self) -> Stored<ChainHead> {
        self.readers.read(chain_head).await
    }

    async fn event_hash(&self, sequence: u64) -> Stored<Option<EventHash>> {
        if sequence == 0 {
            return Ok(Some(NO_EVENT));
        }
        self.readers
            .read(move |conn| {
                let Ok(sequence) = integer(sequence) else { return Ok(None) };
                conn.prepare_cached("SELECT hash FROM events WHERE seq = ?1")?
                    .query_row([sequence], |row| row.get(0).map(Bytes))
                    .optional()
            })
            .await
    }

    async fn events_after(&self, after: u64, limit: usize) -> Stored<Vec<StoredEvent>> {
        self.readers.read(move |conn| events_after(conn, after, limit)).await
    }

    async fn revocations(&self, actor: Actor, after: u64, limit: usize) -> Acted<RevocationPage> {
        self.read_for(actor, move |conn| {
            let (newest, _hash) = newest_event(&mut Tx::on(conn))?;
            Ok(RevocationPage { events: events_after(conn, after, limit)?, newest, deferred: deferred(conn)? })
        })
        .await
    }

    async fn number(&self, actor: Actor, decisions: Vec<Decision>, sign: SignEvent, now: u64) -> Acted<Vec<u64>> {
        self.decide(actor, decisions, move |conn, decisions| {
            let numbered = decisions.iter().map(|decision| {
                apply(conn, decision, now)?;
                number(conn, &decision.event(), &sign, now)
            });
            numbered.collect()
        })
        .await
    }

    async fn defer(&self, actor: Actor, decisions: Vec<Decision>, now: u64) -> Acted<()> {
        self.decide(actor, decisions, move |conn, decisions| {
            decisions.iter().try_for_each(|decision| defer(conn, decision, now))
        })
        .await
    }

    async fn number_deferred(&self, sign: SignEvent, now: u64) -> Stored<Vec<u64>> {
        self.write_credentials(move |conn| {
            let waiting: Vec<(i64, String)> = conn
                .prepare_cached("SELECT position, name FROM pending_revocations ORDER BY position LIMIT ?1")?
                .query_map([row_limit(NUMBERED_AT_ONCE)], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<_>>()?;
            let mut numbers = Vec::with_capacity(waiting.len());
            for (position, name) in &waiting {
                let event = event_name::event_of(name).map_err(|_| unreadable())?;
                numbers.push(number(conn, &event, &sign, now)?);
                conn.prepare_cached("DELETE FROM pending_revocations WHERE position = ?1")?.execute([position])?;
            }
            Ok(numbers)
        })
        .await
    }

    async fn deferred(&self) -> Stored<u64> {
        self.readers.read(deferred).await
    }

    async fn recover_events(&self, after: ChainHead, events: Vec<StoredEvent>) -> Stored<bool> {
        self.write_credentials(move |conn| {
            if chain_head(conn)? != after {
                return Ok(false);
            }
            for event in &events {
                insert(conn, event)?;
                // The event does not say whether it was disabled or its tokens were revoked: the safe choice is made.
                let decision = if let Event::Credential(credential) = event.event {
                    Decision::DisableCredential(credential)
                } else {
                    Decision::Event(event.event)
                };
                apply(conn, &decision, event.issued_at)?;
            }
            Ok(true)
        })
        .await
    }

    async fn drop_events(&self, below: u64, issued_before: u64) -> Stored<usize> {
        let find = move |conn: &Connection| {
            conn.prepare_cached("SELECT seq, issued_at FROM events WHERE lasting = 0 ORDER BY seq LIMIT ?1")?
                .query_map([row_limit(DROPPED_AT_ONCE)], |row| Ok((unsigned(row, 0)?, unsigned(row, 1)?)))?
                .collect::<rusqlite::Result<Vec<_>>>()
        };
        let oldest = self.readers.read(find).await?.into_iter();
        let ended = oldest.filter(|(seq, issued_at)| *seq < below && *issued_at < issued_before);
        let ended: Vec<u64> = ended.map(|(seq, _)| seq).collect();
        if ended.is_empty() {
            return Ok(0);
        }
        self.writer
            .run(move |conn| {
                let mut statement = conn.prepare_cached("DELETE FROM events WHERE seq = ?1 AND lasting = 0")?;
                ended.into_iter().map(|seq| statement.execute([integer(seq)?])).sum()
            })
            .await
    }
}

impl SqliteStore {
    /// A transaction that records decisions, if the actor still may and none of them is refused.
    async fn decide<T, F>(&self, actor: Actor, decisions: Vec<Decision>, job: F) -> Acted<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection, &[Decision]) -> rusqlite::Result<T> + Send + 'static,
    {
        let decided = self.write_credentials(move |conn| {
            let refused = if is_enabled(&mut Tx::on(conn), actor.credential())? {
                refusal_of(conn, &decisions)?
            } else {
                Some(ActError::CredentialDisabled)
            };
            refused.map_or_else(|| job(conn, &decisions).map(Ok), |why| Ok(Err(why)))
        });
        decided.await?
    }
}

fn refusal_of(conn: &Connection, decisions: &[Decision]) -> rusqlite::Result<Option<ActError>> {
    let disabled = decisions.iter().filter_map(|decision| match decision {
        Decision::DisableCredential(credential) => Some(*credential),
        Decision::Event(_) => None,
    });
    not_to_be_disabled(conn, &disabled.collect::<Vec<_>>())
}

fn events_after(conn: &Connection, after: u64, limit: usize) -> rusqlite::Result<Vec<StoredEvent>> {
    let Ok(after) = integer(after) else { return Ok(Vec::new()) };
    conn.prepare_cached(
        "SELECT seq, name, compact, hash, issued_at, lasting FROM events WHERE seq > ?1 ORDER BY seq LIMIT ?2",
    )?
    .query_map(params![after, row_limit(limit)], event_row)?
    .collect()
}

fn deferred(conn: &Connection) -> rusqlite::Result<u64> {
    conn.prepare_cached("SELECT count(*) FROM pending_revocations")?.query_row([], |row| unsigned(row, 0))
}

fn number(conn: &Connection, event: &Event, sign: &SignEvent, now: u64) -> rusqlite::Result<u64> {
    let name = event_name::name_of(event);
    if event_name::happens_once(event) {
        let known = conn
            .prepare_cached("SELECT seq FROM events WHERE name = ?1 ORDER BY seq LIMIT 1")?
            .query_row([&name], |row| unsigned(row, 0))
            .optional()?;
        if let Some(sequence) = known {
            return Ok(sequence);
        }
    }
    let head = chain_head(conn)?;
    let compact = sign(*event, head).map_err(|_| unreadable())?;
    let (sequence, hash, may_be_dropped) = (head.number + 1, event_hash(&compact), !event.lasts());
    insert(conn, &StoredEvent { sequence, event: *event, compact, hash, issued_at: now, may_be_dropped })?;
    Ok(sequence)
}

fn insert(conn: &Connection, event: &StoredEvent) -> rusqlite::Result<()> {
    let lasting = if event.event.lasts() { Some(true) } else { event.may_be_dropped.then_some(false) };
    conn.prepare_cached(
        "INSERT INTO events (seq, name, compact, hash, issued_at, lasting) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        integer(event.sequence)?,
        event_name::name_of(&event.event),
        event.compact,
        event.hash.0,
        integer(event.issued_at)?,
        lasting,
    ])
    .map(|_rows| ())
}

/// Keeps the event of a decision for later, and applies the decision here.
pub(super) fn defer(conn: &Connection, decision: &Decision, now: u64) -> rusqlite::Result<()> {
    conn.prepare_cached("INSERT INTO pending_revocations (name, created_at) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
        .execute(params![event_name::name_of(&decision.event()), integer(now)?])?;
    apply(conn, decision, now)
}

/// Applies a decision to the manager's own tables: the credential is refused, or nothing is minted for the version.
fn apply(conn: &Connection, decision: &Decision, now: u64) -> rusqlite::Result<()> {
    let event = match decision {
        Decision::DisableCredential(credential) => return disable(conn, *credential, now),
        Decision::Event(event) => event,
    };
    match event {
        Event::Destroy(_, secret, version) => conn
            .prepare_cached("UPDATE versions SET state = 'destroyed' WHERE secret_id = ?1 AND version = ?2")?
            .execute(params![secret.as_bytes(), integer(version.get())?])
            .map(|_rows| ()),
        Event::Token(_)
        | Event::Subject(_)
        | Event::Credential(_)
        | Event::Secret(_)
        | Event::Version(..)
        | Event::SigningKey(_)
        | Event::All => Ok(()),
    }
}
