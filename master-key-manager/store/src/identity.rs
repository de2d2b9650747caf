//! The subjects of labels, and a last look before an act outside of the database.

use async_trait::async_trait;
use manager_api::name::UserLabel;
use manager_policy::{Basis, Operate, Permit, Share};
use shared_proto::id::Subject;

use crate::Acted;

/// The subjects of labels, and a last look before an act outside of the database.
#[async_trait]
pub trait IdentityStore: Send + Sync {
    /// Checks once more that a permit counts, before an act outside of the database.
    async fn look_again(&self, permit: &Permit<Operate>) -> Acted<()>;
    /// Checks once more what something was decided from, before it is given out from memory.
    async fn look_again_at(&self, basis: Basis) -> Acted<()>;
    /// The subject that a label stands for; `None` before its first use.
    async fn subject_of(&self, permit: &Permit<Share>, label: UserLabel) -> Acted<Option<Subject>>;
}
