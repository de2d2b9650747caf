//! Removal of destroyed secrets that are no longer kept.

use async_trait::async_trait;
use shared_proto::id::SecretId;

use crate::{DueErasure, Stored};

/// Removal of destroyed secrets. The rows themselves go with their record ([`crate::PrunedSecret`]); what is here finds them and
/// prepares that.
#[async_trait]
pub trait PruneStore: Send + Sync {
    /// The first secrets after one of them that are no longer kept at a time, or of which the database says so. A closed
    /// environment keeps everything.
    async fn due_prunes(&self, after: Option<DueErasure>, now: u64, limit: usize) -> Stored<Vec<DueErasure>>;
    /// Removes rows of versions of a destroyed secret until `limit` of them are left at most, and no more than `limit` at once.
    /// Returns whether more are left. Those that may still be opened stay.
    async fn shorten(&self, secret: SecretId, limit: usize) -> Stored<bool>;
    /// The number up to which a renewal that begins now renews rows. A row that it does not see has this one or a higher one: a
    /// transaction may see an entry before the number of that is verified, and then writes the one before.
    fn renewal_floor(&self) -> u64;
    /// Renews the rows behind a secret, up to `limit` of all, that have no change of their place and are older than a number of
    /// the registry. Returns the last one that it has looked at; `None` after the last of all. A row that does not count stays as it is.
    async fn renew_places(&self, after: Option<SecretId>, floor: u64, limit: usize) -> Stored<Option<SecretId>>;
}
