//! Destruction of versions: one event for each, which erases the envelope in the vault and leaves a tombstone.

use std::collections::BTreeSet;

use manager_api::wire::CatalogueState;
use manager_policy::{Destroy, Permit};
use service_runtime::Refusal;
use service_runtime::audit::{AuditLog, Origin};
use shared_proto::error::ErrorCode;
use shared_proto::id::{SecretId, Version};

use super::Settler;
use crate::audit_event::Act;
use crate::revocation::{Revocations, Sequences};
use manager_store::{CatalogueStore, Decision};

/// The most versions of one request.
const MAX_VERSIONS: usize = 64;

/// Destroys versions of a secret. A version that is destroyed already keeps its event.
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
) -> Result<Sequences, Refusal> {
    let versions: BTreeSet<Version> = versions.into_iter().collect();
    if !(1..=MAX_VERSIONS).contains(&versions.len()) {
        return Err(Refusal::parameter("1 to 64 versions are destroyed at once."));
    }
    let look = permit.to_look();
    let state = store.secret(&look, secret).await?.ok_or_else(|| Refusal::new(ErrorCode::SecretNotFound))?;
    let held = settler.locks().lock(&(state.environment, state.path.clone())).await;
    let pending = store.secret(&look, secret).await?.map(|state| state.pending).unwrap_or_default();
    let asked: Vec<_> = pending.into_iter().filter(|row| versions.contains(&row.version)).collect();
    settler.settle(&asked).await?;
    let mut decisions = Vec::with_capacity(versions.len());
    for version in versions.iter().copied() {
        let row =
            store.version(&look, secret, version).await?.ok_or_else(|| Refusal::new(ErrorCode::SecretNotFound))?;
        match row.state {
            CatalogueState::Committed | CatalogueState::Destroyed => {
                decisions.push(Decision::destroy(&permit, state.environment, secret, version)?);
            }
            CatalogueState::Pending | CatalogueState::Abandoned => return Err(Refusal::new(ErrorCode::SecretNotFound)),
        }
    }
    // What cannot be undone is on the disk before it happens.
    let versions = versions.into_iter().collect();
    audit.record(Act::SecretDestroy { secret, path: &state.path, versions }, meta).await?;
    let recorded = revocations.record(decisions).await;
    drop(held);
    recorded
}
