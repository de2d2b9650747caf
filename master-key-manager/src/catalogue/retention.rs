//! Retention: the destruction of versions that the rule of their secret does not keep.
//!
//! Order: the path is locked → the versions are read → the vault says that it has those that are kept → the audit line is durable
//! → those that the rule still does not keep are destroyed. Guarantees that a round is bounded, and that a version with a stage
//! and the newest one stay. Refuses environments in which a second administrator approves what is destroyed.

use std::sync::Arc;

use manager_store::{ManagerStore, OUTLIVED_AT_ONCE};
use service_runtime::Refusal;
use service_runtime::audit::{AuditLog, Origin};
use shared_proto::error::ErrorCode;
use shared_proto::id::SecretId;

use super::Settler;
use crate::audit_event::{Act, Outcome};
use crate::revocation::Revocations;

/// Secrets that one round looks at: a second of work at most.
const SECRETS_IN_A_ROUND: usize = 4_096;
/// Versions that one round destroys: each is an event, which the vault applies in turn.
const VERSIONS_IN_A_ROUND: usize = 1_024;
/// Secrets that are read at once.
const SECRETS_AT_ONCE: usize = 256;

/// Carries out the rules of retention.
pub struct Retention {
    /// The rules, and the versions that they are about.
    pub store: Arc<dyn ManagerStore>,
    /// Holds the locks of paths.
    pub settler: Arc<Settler>,
    /// Destroys.
    pub revocations: Arc<Revocations>,
    /// The audit log.
    pub audit: AuditLog,
}

/// The bounds of a round, as far as they are left.
struct Left {
    secrets: usize,
    versions: usize,
}

impl Retention {
    /// Looks at the secrets behind one of them, until `is_stopped` or a bound is reached, and moves on with it: to `None`
    /// after the last of all. What is destroyed at `now` cannot be undone: it is a time that the vault agrees with.
    ///
    /// # Errors
    /// The database or the audit log does not work, or a secret cannot be read. The next round begins behind that one.
    pub async fn round(
        &self,
        after: &mut Option<SecretId>,
        now: u64,
        is_stopped: impl Fn() -> bool,
    ) -> Result<(), Refusal> {
        let mut left = Left { secrets: SECRETS_IN_A_ROUND, versions: VERSIONS_IN_A_ROUND };
        while left.secrets > 0 {
            let asked = SECRETS_AT_ONCE.min(left.secrets);
            let secrets = self.store.with_retention(*after, asked).await?;
            left.secrets = left.secrets.saturating_sub(asked);
            let is_last = secrets.len() < asked;
            for secret in secrets {
                loop {
                    if left.versions == 0 || is_stopped() {
                        return Ok(());
                    }
                    let before = after.replace(secret);
                    let destroyed = self.destroy_outlived(secret, now).await?;
                    left.versions = left.versions.saturating_sub(destroyed);
                    if destroyed < OUTLIVED_AT_ONCE {
                        break;
                    }
                    // There may be more of it, for the next round if not for this one.
                    *after = before;
                }
            }
            if is_last {
                *after = None;
                return Ok(());
            }
        }
        Ok(())
    }

    /// Destroys what the rule of a secret does not keep, up to a bound, and returns how many versions that were. A secret
    /// that is being written is left to the next round.
    async fn destroy_outlived(&self, secret: SecretId, now: u64) -> Result<usize, Refusal> {
        let Some(found) = self.store.outlived(secret, now).await?.filter(|found| !found.versions.is_empty()) else {
            return Ok(0);
        };
        let Some(_held) = self.settler.locks().try_lock(&(found.environment, found.path)) else { return Ok(0) };
        // Read again under the lock: a writer may just have finished.
        let Some(found) = self.store.outlived(secret, now).await?.filter(|found| !found.versions.is_empty()) else {
            return Ok(0);
        };
        // Their state in the database has no tag: a number that was given up must not be why another one goes.
        if !self.settler.has_all((found.environment, secret), &found.kept).await? {
            return Err(Refusal::unavailable("the vault lacks a version that the rule of its secret keeps"));
        }
        let act = Act::VersionRetire { secret, path: &found.path, versions: found.versions.clone() };
        // What cannot be undone is on the disk before it happens.
        self.audit.record(act, &Origin::background()).await?;
        let versions = found.versions.clone();
        let count = versions.len();
        let done = self.revocations.destroy_outlived(secret, found, now).await;
        // The environment may have been frozen since: the line before must not stand alone.
        let kept_because = match &done {
            Ok(true) => None,
            Ok(false) => Some(ErrorCode::Unavailable),
            Err(refusal) => Some(refusal.code()),
        };
        if let Some(code) = kept_because {
            self.audit.note(Outcome::VersionsKept(secret, versions, code), &Origin::background());
        }
        done.map(|_is_done| count)
    }
}
