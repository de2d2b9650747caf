//! The secrets that a version's value refers to and that its author could read, in columns with a tag of their own.
//!
//! Guarantees that only what the manager recorded counts: an attacker with write access to the database can take the record of a
//! version away, and can neither add to it nor give it to another version, to another value or to another author.

use async_trait::async_trait;
use manager_policy::{AnyAction, Permit, Scope};
use manager_registry::{RowKey, RowKind, RowTag};
use service_runtime::clock::{Clock as _, SystemClock};
use service_runtime::sql::{SqlError, Tx};
use shared_proto::id::{SecretId, Version};

use super::registry::outdated;
use super::version_tags::Pointer;
use super::{SqlStore, places};
use crate::{Acted, ReadableTarget, ReferenceStore};

#[async_trait]
impl ReferenceStore for SqlStore {
    async fn targets(&self, permit: &Permit<AnyAction>, secret: SecretId, version: Version) -> Acted<Vec<SecretId>> {
        let basis = crate::basis_for(permit, &Scope::Secret(secret))?;
        let key = self.key();
        self.read_as("targets", basis, move |tx| of(tx, &key, secret, version)).await
    }
}

/// A version and its value, by which its record is tagged.
struct About {
    secret: SecretId,
    version: Version,
    /// The digest of the envelope, which the vault's receipt and its list of versions name too.
    digest: [u8; 32],
    author: Option<String>,
}

impl About {
    fn of(tx: &mut Tx<'_>, secret: SecretId, version: Version) -> Result<Option<Self>, SqlError> {
        tx.optional(
            "SELECT e.digest, v.author FROM versions v
             JOIN envelopes e ON e.secret_id = v.secret_id AND e.envelope = v.envelope
             WHERE v.secret_id = ?1 AND v.version = ?2",
            &[&secret.as_bytes(), &version.get()],
            |row| Ok(Self { secret, version, digest: row.get(0)?, author: row.get(1)? }),
        )
    }

    fn with_parts<T>(&self, targets: &str, of: impl FnOnce(&[&[u8]]) -> T) -> T {
        let number = self.version.get().to_be_bytes();
        let author = self.author.as_deref().unwrap_or_default();
        of(&[self.secret.as_bytes(), &number, &self.digest, author.as_bytes(), targets.as_bytes()])
    }
}

/// The recorded targets of a version.
pub(super) fn of(tx: &mut Tx<'_>, key: &RowKey, secret: SecretId, version: Version) -> Result<Vec<SecretId>, SqlError> {
    let found: Option<(String, Option<RowTag>)> = tx.optional(
        "SELECT targets, targets_tag FROM versions WHERE secret_id = ?1 AND version = ?2 AND targets <> ''",
        &[&secret.as_bytes(), &version.get()],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let Some((targets, tag)) = found else { return Ok(Vec::new()) };
    let Some(about) = About::of(tx, secret, version)? else { return Ok(Vec::new()) };
    let name = format_args!("{secret}, {version}");
    if !about.with_parts(&targets, |parts| key.fits(RowKind::Targets, name, parts, tag.as_ref())) {
        return Ok(Vec::new());
    }
    serde_json::from_str(&targets).map_err(|_| SqlError::unreadable())
}

/// Records the targets of a version whose row is there, those that its author may read at this moment. `among` are the only ones
/// that may be; `None` for any.
pub(super) fn record(
    tx: &mut Tx<'_>,
    key: &RowKey,
    (secret, version, _): Pointer,
    (targets, among): (&[ReadableTarget], Option<&[SecretId]>),
    now: u64,
) -> Result<(), SqlError> {
    let mut recorded = Vec::with_capacity(targets.len());
    for target in targets {
        let is_meant = among.is_none_or(|among| among.contains(&target.secret));
        if is_meant && is_readable(tx, key, target, now)? {
            recorded.push(target.secret);
        }
    }
    if recorded.is_empty() {
        return Ok(());
    }
    recorded.sort_unstable();
    recorded.dedup();
    let text = serde_json::to_string(&recorded).map_err(|_| SqlError::unreadable())?;
    let about = About::of(tx, secret, version)?.ok_or_else(SqlError::unreadable)?;
    let tag = about.with_parts(&text, |parts| key.tag(RowKind::Targets, parts));
    tx.execute(
        "UPDATE versions SET targets = ?3, targets_tag = ?4 WHERE secret_id = ?1 AND version = ?2",
        &[&secret.as_bytes(), &version.get(), &text, &tag],
    )
    .map(|_rows| ())
}

/// Tells whether what was decided about a target is as it was, and nothing else keeps its author from reading it.
fn is_readable(tx: &mut Tx<'_>, key: &RowKey, target: &ReadableTarget, now: u64) -> Result<bool, SqlError> {
    if outdated(tx, target.basis, now)?.is_some() {
        return Ok(false);
    }
    let placed = places::placed(tx, key, target.secret)?.filter(|placed| placed.facts.number == target.number);
    let is_approved = target.approved_until.is_some_and(|until| SystemClock.now() < until);
    Ok(placed.is_some_and(|placed| placed.rules.deletion.is_none() && (is_approved || !placed.rules.requires_approval)))
}
