//! Acts that await the approval of somebody else: a secret or a version is destroyed, or a secret that requires approval is read.
//!
//! Guarantees that nobody decides what he has asked for himself, that whoever approves may approve in that scope and holds the
//! right himself, that it is decided on the state of the moment, once, and that an act which nobody decides ends by itself.
//! Refuses more of them than there may be.

mod ask;
mod decide;
mod lists;
mod versions;

use std::sync::Arc;

use manager_policy::{Approve, Permit, SecretFacts};
use manager_registry::Approval;
use manager_store::ManagerStore;
use service_runtime::Refusal;
use service_runtime::audit::AuditLog;
use service_runtime::clock::Clock;
use shared_proto::error::ErrorCode;
use shared_proto::id::SecretId;

use crate::access::{Caller, Registry};
use crate::catalogue::SecretKeeper;
use crate::revocation::Revocations;

pub use self::ask::Destruction;
pub use self::lists::{ApprovalPage, Asked, SeenApproval};
pub use self::versions::VersionDestruction;

/// Asks for acts and decides them.
pub struct Approvals {
    /// The database.
    pub store: Arc<dyn ManagerStore>,
    /// The acts, and everything that is decided from.
    pub registry: Arc<Registry>,
    /// Makes changes, with the revocations that follow.
    pub revocations: Arc<Revocations>,
    /// Destroys secrets.
    pub keeper: Arc<SecretKeeper>,
    /// The audit log.
    pub audit: AuditLog,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// The time in which an act can be decided, in seconds: a week.
const OPEN_SECONDS: u64 = 7 * 86_400;
/// How long an act is shown of which nothing comes any more, in seconds: 30 days.
const KEPT_SECONDS: u64 = 30 * 86_400;
/// The most acts of a principal that nobody has decided.
const MOST_OF_ONE: usize = 32;
/// The most acts of a principal of which nothing comes any more.
const MOST_OVER_OF_ONE: usize = 256;
/// The most acts that nobody has decided.
const MOST_OPEN: usize = 1_000;
/// The most acts in all. Beyond it, the oldest of which nothing comes any more makes room, of whoever has the most.
const MOST: usize = 4_000;
/// Old acts that one change removes.
const REMOVED_AT_ONCE: usize = 256;

/// The secret that is looked for in the place of that of an unknown act.
const NO_SECRET: SecretId = SecretId::from_bytes([0; 16]);

/// Tells whether a caller has asked for an act himself, with whatever credential.
fn is_own(caller: &Caller, approval: &Approval) -> bool {
    caller.subject() == Some(approval.asked_by)
}

/// Tells whether a caller may approve acts on a secret.
fn may_approve(caller: &Caller, facts: Option<&SecretFacts>) -> bool {
    let permit: Result<Permit<Approve>, Refusal> = caller.permit_on(facts);
    permit.is_ok()
}

fn not_found() -> Refusal {
    Refusal::new(ErrorCode::ApprovalNotFound)
}

fn not_permitted(detail: &'static str) -> Refusal {
    Refusal::new(ErrorCode::NotPermitted).detail(detail)
}

fn decided() -> Refusal {
    Refusal::new(ErrorCode::ApprovalDecided)
}
