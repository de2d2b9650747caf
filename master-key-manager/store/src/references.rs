//! The secrets that the value of a version refers to, as far as its author could read them when he wrote.

use async_trait::async_trait;
use manager_policy::{AnyAction, Basis, Permit, Read, Scope};
use manager_registry::ApprovedRead;
use shared_proto::id::{SecretId, Version};

use crate::Acted;

/// A secret that a value refers to and that its author may read. Whether he may is looked at again in the transaction that
/// records it:
///
/// ```
/// use manager_policy::{Permit, Read};
/// use manager_store::ReadableTarget;
/// fn may_read(permit: &Permit<Read>) -> Option<ReadableTarget> {
///     ReadableTarget::of(permit, &[])
/// }
/// ```
///
/// ```compile_fail,E0308
/// use manager_policy::{List, Permit};
/// use manager_store::ReadableTarget;
/// fn may_list(permit: &Permit<List>) -> Option<ReadableTarget> {
///     ReadableTarget::of(permit, &[])
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadableTarget {
    pub(crate) secret: SecretId,
    /// The number of its place that was decided about.
    pub(crate) number: u64,
    pub(crate) basis: Basis,
    /// The end of the approval by which the author reads it, if there is one.
    pub(crate) approved_until: Option<u64>,
}

impl ReadableTarget {
    /// The target of a permit for a secret. `approved` are the secrets that the author may read by approvals, each until it ends.
    pub fn of(permit: &Permit<Read>, approved: &[ApprovedRead]) -> Option<Self> {
        let Scope::Secret(secret) = permit.scope() else { return None };
        let basis = permit.basis_for(permit.scope())?;
        let (_, number) = basis.secret().filter(|(own, _)| own == secret)?;
        let approved = approved.iter().filter(|right| (right.secret, right.place) == (*secret, number));
        Some(Self { secret: *secret, number, basis, approved_until: approved.map(|right| right.until).max() })
    }
}

/// Recorded targets of references. They are recorded by ids, with the version: a path may be given to another secret.
#[async_trait]
pub trait ReferenceStore: Send + Sync {
    /// The recorded targets of a version. None of one that is unknown, and none that the manager did not write.
    async fn targets(&self, permit: &Permit<AnyAction>, secret: SecretId, version: Version) -> Acted<Vec<SecretId>>;
}
