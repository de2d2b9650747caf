//! The versions whose values may be compared.

use async_trait::async_trait;
use manager_policy::{Permit, Read, Visible};
use manager_registry::ApprovedRead;
use shared_proto::id::{EnvironmentId, SecretId, Version};

use crate::{Acted, Closed, VersionRow};

/// The versions whose values may be compared. Whoever compares a value tests a guess at it, so that takes what reading
/// takes:
///
/// ```
/// use manager_policy::{Permit, Read};
/// use manager_store::ComparisonStore;
/// use shared_proto::id::{SecretId, Version};
/// async fn may_read(store: &dyn ComparisonStore, permit: Permit<Read>, secret: SecretId, version: Version) {
///     let _ = store.comparable(&permit, secret, vec![version], Vec::new()).await;
/// }
/// ```
///
/// ```compile_fail,E0308
/// use manager_policy::{Permit, Write};
/// use manager_store::ComparisonStore;
/// use shared_proto::id::{SecretId, Version};
/// async fn may_write(store: &dyn ComparisonStore, permit: Permit<Write>, secret: SecretId, version: Version) {
///     let _ = store.comparable(&permit, secret, vec![version], Vec::new()).await;
/// }
/// ```
#[async_trait]
pub trait ComparisonStore: Send + Sync {
    /// Committed versions of a secret, in the order of the request. `None` if one of them is missing or not committed.
    /// `approved` are the secrets that the caller may read by approvals, each until it ends.
    async fn comparable(
        &self,
        permit: &Permit<Read>,
        secret: SecretId,
        versions: Vec<Version>,
        approved: Vec<ApprovedRead>,
    ) -> Acted<Option<Result<Vec<VersionRow>, Withheld>>>;
    /// A page of up to `limit` envelopes of an environment after one of them, in order, of secrets that lie in
    /// `readable`, without those that need an approval that is not among `approved` or has ended. A page with fewer is the last one, or
    /// it looked at as many rows as a page of [`crate::SearchStore::secrets`].
    async fn readable_envelopes(
        &self,
        (readable, approved): (&Visible, Vec<ApprovedRead>),
        environment: EnvironmentId,
        after: Option<(SecretId, Version)>,
        limit: usize,
    ) -> Acted<EnvelopePage>;
}

/// The reason why versions are not compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withheld {
    /// Nothing is given out of the environment.
    Closed(Closed),
    /// The secret is read after an approval, and there is none.
    ApprovalRequired,
}

/// A page of envelopes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnvelopePage {
    /// Secrets with the numbers of envelopes.
    pub envelopes: Vec<(SecretId, Version)>,
    /// The last one that was looked at; `None` if there are no more.
    pub next: Option<(SecretId, Version)>,
}
