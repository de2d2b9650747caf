//! Notices of incidents: that one is open, and of the deadlines of its steps.
//!
//! They follow from the record of the incident, which is in the registry: what somebody plants in their table, or takes out of it,
//! is no incident and ends none.

use manager_api::incidents::IncidentKind;
use manager_api::notices::NoticeKind;
use manager_api::secrets::SecretStatus;
use manager_registry::{Incident, RowKey};
use service_runtime::sql::{SqlError, Tx};
use shared_proto::id::{SecretId, Version};

use super::super::rows::optional_version;
use super::super::{due, places};
use super::enter;
use crate::{NOTICE_SECONDS, Notice};

const HOUR: u64 = 3_600;

/// Makes the notices of an open incident that are missing.
pub(super) fn notice(tx: &mut Tx<'_>, key: &RowKey, incident: &Incident, now: u64) -> Result<(), SqlError> {
    let (secret, kind) = (incident.secret_id, NoticeKind::of_incident(incident.incident_kind));
    // Later they are dropped, and would be made again and again.
    let is_young = now < incident.opened_at.saturating_add(NOTICE_SECONDS);
    if !is_young || !is_there(tx, key, secret)? {
        return Ok(());
    }
    let version = version_of(tx, secret)?;
    for hours in std::iter::once(0).chain(incident.open_deadlines()) {
        let due_at = incident.opened_at.saturating_add(hours.saturating_mul(HOUR));
        // What is left of an earlier one is in the way. Nothing is computed from columns, which may hold any number.
        tx.execute(
            "DELETE FROM notices WHERE kind = ?1 AND secret_id = ?2 AND deadline_hours = ?3 AND due_at <> ?4",
            &[&kind.as_str(), &secret.as_bytes(), &hours, &due_at],
        )?;
        let known = tx.exists(
            "SELECT 1 FROM notices WHERE kind = ?1 AND secret_id = ?2 AND deadline_hours = ?3",
            &[&kind.as_str(), &secret.as_bytes(), &hours],
        )?;
        if !known {
            enter(tx, (kind, secret), due::Due { version, due_at }, (0, hours), now)?;
        }
    }
    Ok(())
}

/// Tells whether what a notice says of an incident is still so: it is open, and a step is not done that its deadline is for.
pub(super) fn has_cause(tx: &mut Tx<'_>, key: &RowKey, notice: &Notice, kind: IncidentKind) -> Result<bool, SqlError> {
    let Some(incident) = key.open_incident(notice.secret, kind) else { return Ok(false) };
    let hours = notice.deadline_hours;
    let is_its_own = notice.due_at == incident.opened_at.saturating_add(hours.saturating_mul(HOUR));
    let is_open = hours == 0 || incident.open_deadlines().any(|open| open == hours);
    Ok(is_its_own && is_open && is_there(tx, key, notice.secret)?)
}

/// Tells whether a secret is not destroyed.
fn is_there(tx: &mut Tx<'_>, key: &RowKey, secret: SecretId) -> Result<bool, SqlError> {
    let placed = places::placed(tx, key, secret)?;
    Ok(placed.is_some_and(|found| found.rules.status() != SecretStatus::Destroyed))
}

/// The version that is current; the first one of a secret that has none.
fn version_of(tx: &mut Tx<'_>, secret: SecretId) -> Result<Version, SqlError> {
    let sql = "SELECT current_version FROM secrets WHERE secret_id = ?1";
    let current = tx.optional(sql, &[&secret.as_bytes()], |row| optional_version(row, 0))?.flatten();
    Ok(current.unwrap_or(Version::FIRST))
}
