//! Notices: made from the current versions and their descriptions, once for each threshold, and from the records of incidents.

mod incidents;

use async_trait::async_trait;
use manager_api::id::IncidentId;
use manager_api::notices::NoticeKind;
use manager_policy::Visible;
use manager_registry::RowKey;
use service_runtime::sql::{Row, SqlError, Tx, row_limit};
use shared_proto::id::SecretId;

use super::rows::{one_version, optional_version, version};
use super::search::within::{Walk, Within};
use super::{SqlStore, due, ends, places};
use crate::notices::{THIRTY_DAYS, threshold};
use crate::{Acted, Bounds, DuePlace, Expiry, NOTICE_SECONDS, Notice, NoticePage, NoticeStore, Stored};

/// Notices behind a number, in the order of their numbers.
const WALK: Walk = Walk {
    // All kinds are named, so that the secret's notices are found by the index that has the kind first.
    within: "SELECT n.number, n.kind, n.secret_id, n.version, n.threshold_days, n.deadline_hours, n.due_at, n.created_at, n.delivered_at,
             i.environment_id, i.path
         FROM search_secrets i CROSS JOIN notices n
         WHERE i.environment_id = ?1 AND i.path >= ?2 AND i.path < ?3
             AND n.kind IN ('expiry', 'rotation', 'compromise', 'loss') AND n.secret_id = i.secret_id AND n.number > ?4
         ORDER BY n.number LIMIT ?5",
    along: "SELECT n.number, n.kind, n.secret_id, n.version, n.threshold_days, n.deadline_hours, n.due_at, n.created_at, n.delivered_at,
             s.environment_id, s.path
         FROM notices n JOIN secrets s ON s.secret_id = n.secret_id WHERE n.number > ?1 ORDER BY n.number LIMIT ?2",
    columns: 9,
};

#[async_trait]
impl NoticeStore for SqlStore {
    async fn notice(
        &self,
        kind: NoticeKind,
        after: Option<DuePlace>,
        now: u64,
        limit: usize,
    ) -> Stored<Option<DuePlace>> {
        let key = self.key();
        self.sql.write("notice", move |tx| notice(tx, &key, kind, after, now, limit)).await
    }

    async fn notice_incident(&self, incident: IncidentId, now: u64) -> Stored<()> {
        let key = self.key();
        self.sql
            .write("notice_incident", move |tx| match key.open_incident_with(incident) {
                Some(incident) => incidents::notice(tx, &key, &incident, now),
                None => Ok(()),
            })
            .await
    }

    async fn notice_incidents(&self, after: Option<IncidentId>, now: u64, limit: usize) -> Stored<Option<IncidentId>> {
        let key = self.key();
        self.sql
            .write("notice_incidents", move |tx| {
                let found = key.open_incidents(after, limit);
                for incident in &found {
                    incidents::notice(tx, &key, incident, now)?;
                }
                Ok(found.last().map(|incident| incident.incident_id).filter(|_| found.len() == limit))
            })
            .await
    }

    async fn drop_notices(&self, after: u64, now: u64, limit: usize) -> Stored<Option<u64>> {
        let key = self.key();
        self.sql.write("drop_notices", move |tx| drop_notices(tx, &key, after, now, limit)).await
    }

    async fn notices(&self, visible: &Visible, after: u64, limit: usize) -> Acted<NoticePage> {
        let (key, visible, bounds) = (self.key(), visible.clone(), self.bounds);
        self.read_as("notices", visible.basis(), move |tx| notices(tx, &key, (&visible, bounds), after, limit)).await
    }

    async fn undelivered_notices(&self, after: u64, limit: usize) -> Stored<Vec<Notice>> {
        self.sql
            .read("undelivered_notices", move |tx| {
                tx.all(
                    "SELECT number, kind, secret_id, version, threshold_days, deadline_hours, due_at, created_at, delivered_at
                     FROM notices WHERE number > ?1 AND delivered_at IS NULL ORDER BY number LIMIT ?2",
                    &[&after, &row_limit(limit)],
                    |row| Ok(read(row).ok()),
                )
                .map(|found| found.into_iter().flatten().collect())
            })
            .await
    }

    async fn note_delivered(&self, number: u64, now: u64) -> Stored<()> {
        self.sql
            .write("note_delivered", move |tx| {
                let sql = "UPDATE notices SET delivered_at = ?2 WHERE number = ?1 AND delivered_at IS NULL";
                tx.execute(sql, &[&number, &now]).map(|_rows| ())
            })
            .await
    }
}

/// A notice. One that somebody planted may be unreadable: it counts as none.
///
/// Columns `number, kind, secret_id, version, threshold_days, deadline_hours, due_at, created_at, delivered_at`.
fn read(row: &Row<'_>) -> Result<Notice, SqlError> {
    Ok(Notice {
        number: row.get(0)?,
        kind: row.parse(1)?,
        secret: SecretId::from_bytes(row.get(2)?),
        version: version(row, 3)?,
        threshold_days: row.get(4)?,
        deadline_hours: row.get(5)?,
        due_at: row.get(6)?,
        created_at: row.get(7)?,
        delivered_at: row.get(8)?,
    })
}

fn notice(
    tx: &mut Tx<'_>,
    key: &RowKey,
    kind: NoticeKind,
    after: Option<DuePlace>,
    now: u64,
    limit: usize,
) -> Result<Option<DuePlace>, SqlError> {
    let from =
        after.unwrap_or(DuePlace { due_at: now.saturating_sub(THIRTY_DAYS), secret: SecretId::from_bytes([0; 16]) });
    // Written out: statements are constants. Each goes along its index.
    let sql = match kind {
        NoticeKind::Expiry => {
            "SELECT v.expires_at, v.secret_id FROM versions v
             JOIN secrets s ON s.secret_id = v.secret_id AND s.current_version = v.version
             WHERE v.expires_at IS NOT NULL AND v.expires_at <= ?3
                 AND (v.expires_at > ?1 OR (v.expires_at = ?1 AND v.secret_id > ?2))
             ORDER BY v.expires_at, v.secret_id LIMIT ?4"
        }
        NoticeKind::Rotation => {
            "SELECT rotation_due_at, secret_id FROM secrets
             WHERE rotation_due_at IS NOT NULL AND rotation_due_at <= ?3
                 AND (rotation_due_at > ?1 OR (rotation_due_at = ?1 AND secret_id > ?2))
             ORDER BY rotation_due_at, secret_id LIMIT ?4"
        }
        // They are made of the records of the incidents.
        NoticeKind::Compromise | NoticeKind::Loss => return Ok(None),
    };
    let until = now.saturating_add(THIRTY_DAYS);
    let found: Vec<DuePlace> =
        tx.all(sql, &[&from.due_at, &from.secret.as_bytes(), &until, &row_limit(limit)], |row| {
            Ok(DuePlace { due_at: row.get(0)?, secret: SecretId::from_bytes(row.get(1)?) })
        })?;
    for place in &found {
        let Some(cause) = cause(tx, key, kind, place.secret)? else { continue };
        if let Some(days) = threshold(cause.due_at, now) {
            insert(tx, (kind, place.secret), cause, days, now)?;
        }
    }
    Ok(found.last().copied().filter(|_| found.len() == limit))
}

/// The current version of a secret that lives, and when it is due; `None` if nothing is.
fn cause(tx: &mut Tx<'_>, key: &RowKey, kind: NoticeKind, secret: SecretId) -> Result<Option<due::Due>, SqlError> {
    let Some(placed) = places::placed(tx, key, secret)?.filter(|found| found.rules.deletion.is_none()) else {
        return Ok(None);
    };
    match kind {
        NoticeKind::Rotation => due::of(tx, key, (secret, placed.facts.environment)),
        NoticeKind::Expiry => {
            let sql = "SELECT current_version FROM secrets WHERE secret_id = ?1";
            let current = tx.optional(sql, &[&secret.as_bytes()], |row| optional_version(row, 0))?.flatten();
            let Some(version) = current else { return Ok(None) };
            let Some((row, _)) = one_version(tx, key, secret, version)? else { return Ok(None) };
            match ends::expiry(tx, key, &row)? {
                Expiry::Known(Some(due_at)) => Ok(Some(due::Due { version, due_at })),
                Expiry::Known(None) | Expiry::Unverified => Ok(None),
            }
        }
        NoticeKind::Compromise | NoticeKind::Loss => Ok(None),
    }
}

fn insert(
    tx: &mut Tx<'_>,
    (kind, secret): (NoticeKind, SecretId),
    cause: due::Due,
    days: u64,
    now: u64,
) -> Result<(), SqlError> {
    let known = tx.exists(
        "SELECT 1 FROM notices WHERE kind = ?1 AND secret_id = ?2 AND version = ?3 AND threshold_days = ?4",
        &[&kind.as_str(), &secret.as_bytes(), &cause.version.get(), &days],
    )?;
    if known {
        return Ok(());
    }
    enter(tx, (kind, secret), cause, (days, 0), now)
}

/// Enters a notice under the next number.
fn enter(
    tx: &mut Tx<'_>,
    (kind, secret): (NoticeKind, SecretId),
    cause: due::Due,
    (days, hours): (u64, u64),
    now: u64,
) -> Result<(), SqlError> {
    // Of its own: the number of a notice that was dropped is not given again.
    tx.execute(
        "INSERT INTO notice_numbers (one, newest) VALUES (1, 1)
         ON CONFLICT (one) DO UPDATE SET newest = notice_numbers.newest + 1",
        &[],
    )?;
    let number: u64 = tx.one("SELECT newest FROM notice_numbers WHERE one = 1", &[], |row| row.get(0))?;
    // Somebody planted what has this number already.
    tx.execute("DELETE FROM notices WHERE number = ?1", &[&number])?;
    tx.execute(
        "INSERT INTO notices (number, kind, secret_id, version, threshold_days, deadline_hours, due_at, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        &[&number, &kind.as_str(), &secret.as_bytes(), &cause.version.get(), &days, &hours, &cause.due_at, &now],
    )
    .map(|_rows| ())
}

fn drop_notices(tx: &mut Tx<'_>, key: &RowKey, after: u64, now: u64, limit: usize) -> Result<Option<u64>, SqlError> {
    let found = tx.all(
        "SELECT number, kind, secret_id, version, threshold_days, deadline_hours, due_at, created_at, delivered_at
         FROM notices WHERE number > ?1 ORDER BY number LIMIT ?2",
        &[&after, &row_limit(limit)],
        |row| Ok((row.get::<u64>(0)?, read(row).ok())),
    )?;
    for (number, notice) in &found {
        let young = notice.as_ref().filter(|notice| notice.created_at.saturating_add(NOTICE_SECONDS) > now);
        let is_kept = match young {
            Some(notice) => has_cause(tx, key, notice)?,
            None => false,
        };
        if !is_kept {
            tx.execute("DELETE FROM notices WHERE number = ?1", &[number])?;
        }
    }
    Ok(found.last().map(|(number, _)| *number).filter(|_| found.len() == limit))
}

/// Tells whether what a notice says is still so.
fn has_cause(tx: &mut Tx<'_>, key: &RowKey, notice: &Notice) -> Result<bool, SqlError> {
    if let Some(kind) = notice.kind.incident() {
        return incidents::has_cause(tx, key, notice, kind);
    }
    let cause = cause(tx, key, notice.kind, notice.secret)?;
    Ok(cause.is_some_and(|cause| (cause.version, cause.due_at) == (notice.version, notice.due_at)))
}

fn notices(
    tx: &mut Tx<'_>,
    key: &RowKey,
    (visible, bounds): (&Visible, Bounds),
    after: u64,
    limit: usize,
) -> Result<NoticePage, SqlError> {
    let within = Within::of(tx, visible, None, bounds)?;
    let found = within.read(tx, WALK, &[&after], |row| Ok((row.get::<u64>(0)?, read(row).ok())))?;
    let (notices, next) = found.page(limit, |_, notice| {
        let Some(notice) = notice else { return Ok(None) };
        let Some(placed) = places::placed(tx, key, notice.secret)? else { return Ok(None) };
        let facts = placed.facts;
        // What a drop has not reached yet is not told.
        let is_told = visible.shows(&facts) && has_cause(tx, key, &notice)?;
        Ok(is_told.then_some((notice, facts.environment, facts.path)))
    })?;
    Ok(NoticePage { notices, next })
}
