//! The manager's events, in their order.

use service_runtime::sql::{SqlError, Tx, row_limit};

use super::rows::destroy;
use crate::store::NewEvent;

/// Appends events and erases what they destroy. An event that does not follow the newest one is an error.
pub(super) fn append(tx: &mut Tx<'_>, events: &[NewEvent], now: u64) -> Result<(), SqlError> {
    for event in events {
        // The primary key and this condition together keep the order that was checked.
        let added = tx.execute(
            "INSERT INTO events (seq, compact)
             SELECT ?1, ?2 WHERE (SELECT coalesce(max(seq), 0) FROM events) = ?3 AND ?1 > ?3",
            &[&event.seq, &event.compact, &event.after],
        )?;
        if added != 1 {
            return Err(SqlError::unreadable());
        }
        if let Some(name) = event.destroys {
            destroy(tx, name, now)?;
        }
    }
    Ok(())
}

/// Drops the events with these numbers.
pub(super) fn drop(tx: &mut Tx<'_>, numbers: &[u64]) -> Result<(), SqlError> {
    for number in numbers {
        tx.execute("DELETE FROM events WHERE seq = ?1", &[&number.cast_signed()])?;
    }
    Ok(())
}

/// Up to `limit` events after a number.
pub(super) fn after(tx: &mut Tx<'_>, number: u64, limit: usize) -> Result<Vec<(u64, String)>, SqlError> {
    // A number that no event can have, which the database holds all the same, is found and dropped like the others.
    tx.all(
        "SELECT seq, compact FROM events WHERE seq > ?1 ORDER BY seq LIMIT ?2",
        &[&number.cast_signed(), &row_limit(limit)],
        |row| Ok((row.get::<i64>(0)?.cast_unsigned(), row.get(1)?)),
    )
}
