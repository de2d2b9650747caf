//! The chain of events. Reading the newest number, signing the next and inserting it are one transaction, so that two
//! revocations never get the same number and a number never stays without its event.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};
use shared_proto::encoding::Bytes;
use shared_proto::event::{Event, EventHash, NO_EVENT, event_hash};

use super::SqliteStore;
use super::catalogue::limit_of;
use super::rows::{event_row, integer, newest_event, unreadable, unsigned};
use crate::store::{EventStore, NUMBERED_AT_ONCE, SignEvent, Stored, StoredEvent, event_name};

#[async_trait]
impl EventStore for SqliteStore {
    async fn newest_event(&self) -> Stored<(u64, EventHash)> {
        self.readers.read(newest_event).await
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
        self.readers
            .read(move |conn| {
                let Ok(after) = integer(after) else { return Ok(Vec::new()) };
                conn.prepare_cached(
                    "SELECT seq, name, compact, hash, issued_at FROM events WHERE seq > ?1 ORDER BY seq LIMIT ?2",
                )?
                .query_map(params![after, limit_of(limit)], event_row)?
                .collect()
            })
            .await
    }

    async fn number(&self, events: Vec<Event>, sign: SignEvent, now: u64) -> Stored<Vec<u64>> {
        self.write_credentials(move |conn| events.iter().map(|event| number(conn, event, &sign, now)).collect()).await
    }

    async fn defer(&self, events: Vec<Event>, now: u64) -> Stored<()> {
        self.write_credentials(move |conn| events.iter().try_for_each(|event| defer(conn, event, now))).await
    }

    async fn number_deferred(&self, sign: SignEvent, now: u64) -> Stored<Vec<u64>> {
        self.write_credentials(move |conn| {
            let waiting: Vec<(i64, String)> = conn
                .prepare_cached("SELECT position, name FROM pending_revocations ORDER BY position LIMIT ?1")?
                .query_map([limit_of(NUMBERED_AT_ONCE)], |row| Ok((row.get(0)?, row.get(1)?)))?
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
        self.readers
            .read(|conn| {
                conn.prepare_cached("SELECT count(*) FROM pending_revocations")?.query_row([], |row| unsigned(row, 0))
            })
            .await
    }

    async fn take_back(&self, after: u64, hash: EventHash, events: Vec<StoredEvent>) -> Stored<bool> {
        self.write_credentials(move |conn| {
            if newest_event(conn)? != (after, hash) {
                return Ok(false);
            }
            for event in &events {
                insert(conn, event)?;
                apply(conn, &event.event, event.issued_at)?;
            }
            Ok(true)
        })
        .await
    }
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
    let (newest, prev) = newest_event(conn)?;
    let sequence = newest + 1;
    let compact = sign(*event, sequence, prev).map_err(|_| unreadable())?;
    let hash = event_hash(&compact);
    insert(conn, &StoredEvent { sequence, event: *event, compact, hash, issued_at: now })?;
    apply(conn, event, now)?;
    Ok(sequence)
}

fn insert(conn: &Connection, event: &StoredEvent) -> rusqlite::Result<()> {
    conn.prepare_cached("INSERT INTO events (seq, name, compact, hash, issued_at) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![
            integer(event.sequence)?,
            event_name::name_of(&event.event),
            event.compact,
            event.hash.0,
            integer(event.issued_at)?
        ])
        .map(|_rows| ())
}

/// Keeps an event for later, and applies it here.
pub(super) fn defer(conn: &Connection, event: &Event, now: u64) -> rusqlite::Result<()> {
    conn.prepare_cached("INSERT INTO pending_revocations (name, created_at) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
        .execute(params![event_name::name_of(event), integer(now)?])?;
    apply(conn, event, now)
}

/// What an event means in the manager's own tables: nothing is minted any more with the credential, or for the version.
fn apply(conn: &Connection, event: &Event, now: u64) -> rusqlite::Result<()> {
    match event {
        Event::Credential(credential) => conn
            .prepare_cached("UPDATE credentials SET disabled_at = ?2 WHERE credential_id = ?1 AND disabled_at IS NULL")?
            .execute(params![credential.as_bytes(), integer(now)?])
            .map(|_rows| ()),
        Event::Destroy(_, secret, version) => conn
            .prepare_cached("UPDATE versions SET state = 'destroyed' WHERE secret_id = ?1 AND version = ?2")?
            .execute(params![secret.as_bytes(), integer(version.get())?])
            .map(|_rows| ()),
        Event::Token(_)
        | Event::Subject(_)
        | Event::Secret(_)
        | Event::Version(..)
        | Event::SigningKey(_)
        | Event::All => Ok(()),
    }
}
