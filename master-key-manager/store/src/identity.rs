//! The subjects of labels, the last uses of credentials, and a last look before an act outside of the database.

use async_trait::async_trait;
use manager_api::name::UserLabel;
use manager_policy::{Basis, Operate, Permit, Share};
use shared_proto::id::{CredentialId, Subject};

use crate::{Acted, Stored};

/// The most last uses that one transaction writes.
pub const USES_AT_ONCE: usize = 256;

/// The subjects of labels, the last uses of credentials, and a last look before an act outside of the database.
#[async_trait]
pub trait IdentityStore: Send + Sync {
    /// Checks once more that a permit counts, before an act outside of the database.
    async fn look_again(&self, permit: &Permit<Operate>) -> Acted<()>;
    /// Checks once more that what was decided from the registry in memory counts, before that is given out.
    async fn look_again_at(&self, basis: Basis) -> Acted<()>;
    /// The subject that a label stands for; `None` before its first use.
    async fn subject_of(&self, permit: &Permit<Share>, label: UserLabel) -> Acted<Option<Subject>>;
    /// Notes when credentials were used last (Unix seconds). A later time that is known stays. These rows are not
    /// authenticated: they inform, and nothing is decided from them.
    async fn note_uses(&self, uses: Vec<(CredentialId, u64)>) -> Stored<()>;
    /// When these credentials were used last, of those of which it is known.
    async fn last_uses(&self, credentials: Vec<CredentialId>) -> Stored<Vec<(CredentialId, u64)>>;
}
