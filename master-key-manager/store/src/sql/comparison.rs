//! The versions whose values may be compared.

use async_trait::async_trait;
use manager_api::wire::CatalogueState;
use manager_policy::{Permit, Read, Scope, Visible};
use manager_registry::RowKey;
use service_runtime::sql::{SqlError, Tx, row_limit};
use shared_proto::id::{EnvironmentId, SecretId, Version};

use super::SqlStore;
use super::environments::open_for_use;
use super::places::UnverifiedPlace;
use super::rows::{one_version, version};
use crate::{Acted, ComparisonStore, EnvelopePage, SCANNED_AT_ONCE, VersionRow, Withheld, basis_for};

#[async_trait]
impl ComparisonStore for SqlStore {
    async fn comparable(
        &self,
        permit: &Permit<Read>,
        secret: SecretId,
        versions: Vec<Version>,
        approved: Vec<(SecretId, u64)>,
    ) -> Acted<Option<Result<Vec<VersionRow>, Withheld>>> {
        let basis = basis_for(permit, &Scope::Secret(secret))?;
        let key = self.key();
        self.read_as("comparable", basis, move |tx| comparable(tx, &key, (secret, &versions), &approved)).await
    }

    async fn readable_envelopes(
        &self,
        (readable, approved): (&Visible, Vec<(SecretId, u64)>),
        environment: EnvironmentId,
        after: Option<(SecretId, Version)>,
        limit: usize,
    ) -> Acted<EnvelopePage> {
        let (basis, key, readable) = (readable.basis(), self.key(), readable.clone());
        let page =
            move |tx: &mut Tx<'_>| readable_envelopes(tx, &key, (&readable, &approved), environment, (after, limit));
        self.read_as("readable_envelopes", basis, page).await
    }
}

fn comparable(
    tx: &mut Tx<'_>,
    key: &RowKey,
    (secret, versions): (SecretId, &[Version]),
    approved: &[(SecretId, u64)],
) -> Result<Option<Result<Vec<VersionRow>, Withheld>>, SqlError> {
    let mut rows = Vec::with_capacity(versions.len());
    for number in versions {
        let found = one_version(tx, key, secret, *number)?.filter(|(_, placed)| placed.rules.deletion.is_none());
        let found = found.filter(|(row, _)| row.state == CatalogueState::Committed);
        let Some((row, placed)) = found else { return Ok(None) };
        if let Err(closed) = open_for_use(tx, key, row.environment)? {
            return Ok(Some(Err(Withheld::Closed(closed))));
        }
        if placed.rules.requires_approval && !approved.contains(&(secret, placed.facts.number)) {
            return Ok(Some(Err(Withheld::ApprovalRequired)));
        }
        rows.push(row);
    }
    Ok(Some(Ok(rows)))
}

fn readable_envelopes(
    tx: &mut Tx<'_>,
    key: &RowKey,
    (readable, approved): (&Visible, &[(SecretId, u64)]),
    environment: EnvironmentId,
    (after, limit): (Option<(SecretId, Version)>, usize),
) -> Result<EnvelopePage, SqlError> {
    let (secret, number) = after.map_or(([0; 16], 0), |(secret, number)| (*secret.as_bytes(), number.get()));
    // Every row counts, also those of other environments: so the work has a bound.
    let rows = tx.all(
        "SELECT e.secret_id, e.envelope, e.state = 'committed', s.environment_id, s.path, s.number, s.rules, s.tag
         FROM envelopes e JOIN secrets s ON s.secret_id = e.secret_id
         WHERE (e.secret_id, e.envelope) > (?1, ?2) ORDER BY e.secret_id, e.envelope LIMIT ?3",
        &[&secret, &number, &row_limit(SCANNED_AT_ONCE)],
        |row| {
            let (secret, number) = (SecretId::from_bytes(row.get(0)?), version(row, 1)?);
            let here = row.get::<bool>(2)? && EnvironmentId::from_bytes(row.get(3)?) == environment;
            let place = if here { Some(UnverifiedPlace::read(row, secret, 3)?) } else { None };
            Ok(((secret, number), place))
        },
    )?;
    let (read, mut page) = (rows.len(), EnvelopePage::default());
    for (envelope, place) in rows {
        if page.envelopes.len() == limit {
            return Ok(page);
        }
        page.next = Some(envelope);
        let placed = match place {
            Some(place) => place.verify(tx, key)?,
            None => None,
        };
        let is_compared = placed.is_some_and(|placed| {
            let is_withheld =
                placed.rules.requires_approval && !approved.contains(&(placed.facts.id, placed.facts.number));
            placed.rules.deletion.is_none() && !is_withheld && readable.shows(&placed.facts)
        });
        if is_compared {
            page.envelopes.push(envelope);
        }
    }
    if read < SCANNED_AT_ONCE {
        page.next = None;
    }
    Ok(page)
}
