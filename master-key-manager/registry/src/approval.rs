//! Acts that await the approval of somebody else, and what became of them.
//!
//! One mechanism for every act that needs two principals. A record says what was asked for and how it was decided, and is
//! kept for a while after that. It ends by itself: nothing has to run for that.

use manager_api::approvals::ApprovalState;
use manager_api::id::ApprovalId;
use manager_api::name::{Reason, SecretPath};
use serde::{Deserialize, Serialize};
use shared_proto::id::{EnvironmentId, SecretId, Subject, Version};

/// An act that somebody has asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// Its id.
    pub approval_id: ApprovalId,
    /// The act.
    pub act: AskedAct,
    /// The environment of its secret.
    pub environment_id: EnvironmentId,
    /// The path that its secret had when the act was asked for. It informs: rights are decided by the path of the moment.
    pub path: SecretPath,
    /// The principal who asked for it, and who may do it.
    pub asked_by: Subject,
    /// Why.
    pub reason: Reason,
    /// When it was asked for (Unix seconds).
    pub asked_at: u64,
    /// The end of the time in which it can be decided (Unix seconds).
    pub expires_at: u64,
    /// The last decision.
    pub state: ApprovalState,
    /// The principal who decided; absent while nobody has, and where it ended by itself or with its secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<Subject>,
    /// When it was decided (Unix seconds).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<u64>,
    /// The number of the place of its secret when it was approved, or, for the destruction of a version, when it was asked for: it
    /// is for no other place and no other rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<u64>,
    /// When somebody ended what was approved (Unix seconds).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<u64>,
}

/// What somebody asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum AskedAct {
    /// A deleted secret is destroyed, when it is approved.
    Destroy {
        /// The secret.
        secret_id: SecretId,
    },
    /// One version of a secret is destroyed, when it is approved.
    DestroyVersion {
        /// The secret.
        secret_id: SecretId,
        /// The version.
        version: Version,
    },
    /// The principal gets tokens for a secret that requires approval, for some time from the approval on.
    Read {
        /// The secret.
        secret_id: SecretId,
        /// How long (seconds).
        seconds: u64,
    },
}

/// The right to read a secret by an approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApprovedRead {
    /// The secret.
    pub secret: SecretId,
    /// The number of its place.
    pub place: u64,
    /// When it ends (Unix seconds).
    pub until: u64,
}

impl AskedAct {
    /// The secret.
    pub const fn secret(self) -> SecretId {
        match self {
            Self::Destroy { secret_id } | Self::DestroyVersion { secret_id, .. } | Self::Read { secret_id, .. } => {
                secret_id
            }
        }
    }
}

impl Approval {
    /// Its state at a time.
    pub fn state_at(&self, now: u64) -> ApprovalState {
        match self.state {
            ApprovalState::Open if now >= self.expires_at => ApprovalState::Ended,
            ApprovalState::Approved if self.in_force_until().is_none_or(|until| now >= until) => ApprovalState::Ended,
            state @ (ApprovalState::Open
            | ApprovalState::Approved
            | ApprovalState::Used
            | ApprovalState::Rejected
            | ApprovalState::Cancelled
            | ApprovalState::Withdrawn
            | ApprovalState::Ended) => state,
        }
    }

    /// Tells whether it is decided on at a time.
    pub fn is_open_at(&self, now: u64) -> bool {
        self.state_at(now) == ApprovalState::Open
    }

    /// Tells whether it lets somebody read, once it is approved.
    pub fn is_read(&self) -> bool {
        match self.act {
            AskedAct::Read { .. } => true,
            AskedAct::Destroy { .. } | AskedAct::DestroyVersion { .. } => false,
        }
    }

    /// The end of what was approved (Unix seconds); `None` for an act that is done at once, and for one that was not approved.
    pub fn in_force_until(&self) -> Option<u64> {
        match self.act {
            AskedAct::Read { seconds, .. } => self.decided_at.map(|at| at.saturating_add(seconds)),
            AskedAct::Destroy { .. } | AskedAct::DestroyVersion { .. } => None,
        }
    }

    /// The right that it gives at a time.
    pub fn read_in_force(&self, now: u64) -> Option<ApprovedRead> {
        if self.state_at(now) != ApprovalState::Approved {
            return None;
        }
        // By a clock that went back, nothing is in force that was approved later.
        let until = self.in_force_until().filter(|_| self.decided_at.is_some_and(|at| at <= now))?;
        Some(ApprovedRead { secret: self.act.secret(), place: self.place?, until })
    }

    /// The time from which on nothing comes of it any more (Unix seconds); `None` while something may.
    pub fn over_since(&self, now: u64) -> Option<u64> {
        match self.state_at(now) {
            ApprovalState::Open | ApprovalState::Approved => None,
            ApprovalState::Used
            | ApprovalState::Rejected
            | ApprovalState::Cancelled
            | ApprovalState::Withdrawn
            | ApprovalState::Ended => {
                let by_itself = self.in_force_until().unwrap_or(self.expires_at);
                Some(
                    self.ended_at
                        .or(self.decided_at.filter(|_| self.state != ApprovalState::Approved))
                        .unwrap_or(by_itself),
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use shared_proto::id::ServiceId;

    use super::*;

    fn read(state: ApprovalState, decided_at: Option<u64>) -> Approval {
        Approval {
            approval_id: ApprovalId::from_bytes([1; 16]),
            act: AskedAct::Read { secret_id: SecretId::from_bytes([2; 16]), seconds: 60 },
            environment_id: EnvironmentId::from_bytes([3; 16]),
            path: SecretPath::parse("a").unwrap(),
            asked_by: Subject::Service(ServiceId::from_bytes([4; 16])),
            reason: Reason::parse("a test").unwrap(),
            asked_at: 10,
            expires_at: 100,
            state,
            decided_by: None,
            decided_at,
            place: decided_at.map(|_| 7),
            ended_at: None,
        }
    }

    #[test]
    fn nothing_is_decided_after_the_end_and_nothing_is_in_force_before_or_after_its_time() {
        let open = read(ApprovalState::Open, None);
        assert_eq!([99, 100].map(|now| open.is_open_at(now)), [true, false]);
        assert_eq!(open.read_in_force(50), None);
        let approved = read(ApprovalState::Approved, Some(90));
        let until = |now| approved.read_in_force(now).map(|right| right.until);
        assert_eq!([89, 90, 149, 150].map(until), [None, Some(150), Some(150), None]);
        assert_eq!([149, 150, 900].map(|now| approved.over_since(now)), [None, Some(150), Some(150)]);
    }

    #[test]
    fn what_is_rejected_withdrawn_or_used_gives_nothing() {
        for state in [
            ApprovalState::Used,
            ApprovalState::Rejected,
            ApprovalState::Cancelled,
            ApprovalState::Withdrawn,
            ApprovalState::Ended,
        ] {
            let over = read(state, Some(20));
            assert!(over.read_in_force(30).is_none() && !over.is_open_at(30), "{state:?}");
            assert_eq!(over.over_since(30), Some(20));
        }
    }
}
