//! The versions whose values may be compared.

use async_trait::async_trait;
use manager_api::wire::CatalogueState;
use manager_policy::{Permit, Read, Scope, Visible};
use manager_registry::{ApprovedRead, RowKey};
use service_runtime::clock::{Clock as _, SystemClock};
use service_runtime::sql::{SqlError, Tx};
use shared_proto::id::{EnvironmentId, SecretId, Version};

use super::SqlStore;
use super::environments::open_for_use;
use super::places::UnverifiedPlace;
use super::rows::{one_version, version};
use super::search::within::{Walk, Within};
use crate::{Acted, Bounds, ComparisonStore, EnvelopePage, VersionRow, Withheld, basis_for};

/// Envelopes behind one, with the places of their secrets.
const WALK: Walk = Walk {
    within: "SELECT e.secret_id, e.envelope, e.state = 'committed', s.environment_id, s.path, s.number, s.since, s.rules, s.tag,
             i.environment_id, i.path
         FROM search_secrets i CROSS JOIN secrets s CROSS JOIN envelopes e
         WHERE i.environment_id = ?1 AND i.path >= ?2 AND i.path < ?3 AND s.secret_id = i.secret_id
             AND e.secret_id = i.secret_id AND (e.secret_id, e.envelope) > (?4, ?5)
         ORDER BY e.secret_id, e.envelope LIMIT ?6",
    along: "SELECT e.secret_id, e.envelope, e.state = 'committed', s.environment_id, s.path, s.number, s.since, s.rules, s.tag,
             s.environment_id, s.path
         FROM envelopes e JOIN secrets s ON s.secret_id = e.secret_id
         WHERE (e.secret_id, e.envelope) > (?1, ?2) ORDER BY e.secret_id, e.envelope LIMIT ?3",
    columns: 9,
};

#[async_trait]
impl ComparisonStore for SqlStore {
    async fn comparable(
        &self,
        permit: &Permit<Read>,
        secret: SecretId,
        versions: Vec<Version>,
        approved: Vec<ApprovedRead>,
    ) -> Acted<Option<Result<Vec<VersionRow>, Withheld>>> {
        let basis = basis_for(permit, &Scope::Secret(secret))?;
        let key = self.key();
        self.read_as("comparable", basis, move |tx| comparable(tx, &key, (secret, &versions), &approved)).await
    }

    async fn readable_envelopes(
        &self,
        (readable, approved): (&Visible, Vec<ApprovedRead>),
        environment: EnvironmentId,
        after: Option<(SecretId, Version)>,
        limit: usize,
    ) -> Acted<EnvelopePage> {
        let (basis, key, readable, bounds) = (readable.basis(), self.key(), readable.clone(), self.bounds);
        let page = move |tx: &mut Tx<'_>| {
            readable_envelopes(tx, &key, (&readable, &approved, bounds), environment, (after, limit))
        };
        self.read_as("readable_envelopes", basis, page).await
    }
}

fn comparable(
    tx: &mut Tx<'_>,
    key: &RowKey,
    (secret, versions): (SecretId, &[Version]),
    approved: &[ApprovedRead],
) -> Result<Option<Result<Vec<VersionRow>, Withheld>>, SqlError> {
    // The time of this moment: the request may have waited for its turn.
    let now = SystemClock.now();
    let mut rows = Vec::with_capacity(versions.len());
    for number in versions {
        let found = one_version(tx, key, secret, *number)?.filter(|(_, placed)| placed.rules.deletion.is_none());
        let found = found.filter(|(row, _)| row.state == CatalogueState::Committed);
        let Some((row, placed)) = found else { return Ok(None) };
        if let Err(closed) = open_for_use(tx, key, row.environment)? {
            return Ok(Some(Err(Withheld::Closed(closed))));
        }
        if placed.rules.requires_approval && !in_force(approved, (secret, placed.facts.number), now) {
            return Ok(Some(Err(Withheld::ApprovalRequired)));
        }
        rows.push(row);
    }
    Ok(Some(Ok(rows)))
}

fn readable_envelopes(
    tx: &mut Tx<'_>,
    key: &RowKey,
    (readable, approved, bounds): (&Visible, &[ApprovedRead], Bounds),
    environment: EnvironmentId,
    (after, limit): (Option<(SecretId, Version)>, usize),
) -> Result<EnvelopePage, SqlError> {
    let now = SystemClock.now();
    let (secret, number) = after.map_or(([0; 16], 0), |(secret, number)| (*secret.as_bytes(), number.get()));
    let within = Within::of(tx, readable, Some(environment), bounds)?;
    let found = within.read(tx, WALK, &[&secret, &number], |row| {
        let envelope = (SecretId::from_bytes(row.get(0)?), version(row, 1)?);
        let is_committed: bool = row.get(2)?;
        let place = if is_committed { Some(UnverifiedPlace::read(row, envelope.0, 3)?) } else { None };
        Ok((envelope, place))
    })?;
    let (envelopes, next) = found.page(limit, |envelope, place| {
        let placed = match place {
            Some(place) => place.verify(tx, key)?,
            None => None,
        };
        let is_compared = placed.is_some_and(|placed| {
            let is_withheld =
                placed.rules.requires_approval && !in_force(approved, (placed.facts.id, placed.facts.number), now);
            let is_here = placed.facts.environment == environment;
            is_here && placed.rules.deletion.is_none() && !is_withheld && readable.shows(&placed.facts)
        });
        Ok(is_compared.then_some(envelope))
    })?;
    Ok(EnvelopePage { envelopes, next })
}

/// Tells whether an approval to read the secret with this number of its place is in force.
fn in_force(approved: &[ApprovedRead], place: (SecretId, u64), now: u64) -> bool {
    approved.iter().any(|right| (right.secret, right.place) == place && now < right.until)
}
