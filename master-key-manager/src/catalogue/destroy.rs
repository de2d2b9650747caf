//! Destruction of versions. An envelope to which no version points any more is erased by an event, which leaves a
//! tombstone in the vault.

use std::collections::BTreeSet;

use manager_api::wire::CatalogueState;
use manager_policy::{AnyAction, Destroy, Permit};
use service_runtime::Refusal;
use service_runtime::audit::{AuditLog, Origin};
use shared_proto::error::ErrorCode;
use shared_proto::id::{SecretId, Version};
use tokio::sync::OwnedMutexGuard;

use super::{SecretKeeper, Settler, rules_of};
use crate::audit_event::Act;
use crate::revocation::{Revocations, Sequences};
use manager_store::{CatalogueStore, SecretState, VersionRow};

/// The most versions of one request.
const MAX_VERSIONS: usize = 64;

/// Destroys versions of a secret, and returns those whose envelope stays because of other versions. An envelope that is
/// destroyed already keeps its event.
///
/// # Errors
/// A version is unknown or was never stored, a pending one cannot be settled now, or the audit log cannot be written.
pub async fn destroy(
    store: &dyn CatalogueStore,
    settler: &Settler,
    revocations: &Revocations,
    audit: &AuditLog,
    (permit, secret, versions): (Permit<Destroy>, SecretId, Vec<Version>),
    meta: &Origin,
) -> Result<(Sequences, Vec<Version>), Refusal> {
    let versions: BTreeSet<Version> = versions.into_iter().collect();
    if !(1..=MAX_VERSIONS).contains(&versions.len()) {
        return Err(Refusal::parameter("1 to 64 versions are destroyed at once."));
    }
    let look = permit.to_look();
    let state = store.secret(&look, secret).await?.ok_or_else(|| Refusal::new(ErrorCode::SecretNotFound))?;
    let view = revocations.view().await?;
    if rules_of(&view, state.environment).destroy_needs_approval {
        // Otherwise one alone would destroy a secret version by version.
        let detail = "Here somebody else approves it: destroy one version at a time, or delete the secret and destroy it as a whole.";
        return Err(Refusal::new(ErrorCode::ApprovalRequired).detail(detail));
    }
    let (held, _rows) = settled(store, settler, (&look, &state), &versions).await?;
    // What cannot be undone is on the disk before it happens.
    let versions: Vec<Version> = versions.into_iter().collect();
    audit.record(Act::SecretDestroy { secret, path: &state.path, versions: versions.clone() }, meta).await?;
    let recorded = revocations.destroy(&permit, secret, versions).await;
    drop(held);
    recorded
}

/// Versions that can be destroyed, or are, under the lock of their path.
async fn settled(
    store: &dyn CatalogueStore,
    settler: &Settler,
    (look, state): (&Permit<AnyAction>, &SecretState),
    versions: &BTreeSet<Version>,
) -> Result<(OwnedMutexGuard<()>, Vec<VersionRow>), Refusal> {
    let secret = state.secret;
    let held = settler.locks().lock(&(state.environment, state.path.clone())).await;
    let pending = store.secret(look, secret).await?.map(|state| state.pending).unwrap_or_default();
    let asked: Vec<_> = pending.into_iter().filter(|row| versions.contains(&row.version)).collect();
    settler.settle(&asked).await?;
    let mut rows = Vec::with_capacity(versions.len());
    for version in versions.iter().copied() {
        let row = store.version(look, secret, version).await?.ok_or_else(|| Refusal::new(ErrorCode::SecretNotFound))?;
        match row.state {
            CatalogueState::Committed | CatalogueState::Destroyed => rows.push(row),
            CatalogueState::Pending | CatalogueState::Abandoned => return Err(Refusal::new(ErrorCode::SecretNotFound)),
        }
    }
    Ok((held, rows))
}

impl SecretKeeper {
    /// A version that somebody is asked about, or has decided on. The lock of its path is held with it, so that a write which is
    /// under way is settled first.
    ///
    /// # Errors
    /// It is unknown or was never stored, or a pending one cannot be settled now.
    pub(crate) async fn destroyable(
        &self,
        permit: &Permit<Destroy>,
        secret: SecretId,
        version: Version,
    ) -> Result<(OwnedMutexGuard<()>, VersionRow), Refusal> {
        let (store, look) = (self.store.as_ref(), permit.to_look());
        let state = store.secret(&look, secret).await?.ok_or_else(|| Refusal::new(ErrorCode::SecretNotFound))?;
        let (held, rows) = settled(store, &self.settler, (&look, &state), &BTreeSet::from([version])).await?;
        let row = rows.into_iter().next().ok_or_else(|| Refusal::new(ErrorCode::SecretNotFound))?;
        Ok((held, row))
    }
}
