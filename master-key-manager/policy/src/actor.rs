//! Callers, as the policy sees them.

use std::sync::Arc;

use shared_proto::id::{CredentialId, Subject};

use crate::region::Region;
use crate::{Action, Actions, Reach};

/// A caller: the one whose rights are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Holder {
    /// A principal.
    Principal(Subject),
    /// Somebody without a credential.
    Stranger,
}

/// A caller whose credential was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// The caller.
    pub holder: Holder,
    /// The credential, which is checked again in the transaction that acts.
    pub credential: CredentialId,
    /// The parts that the credential is limited to; `None` if it is not narrower than the rights of its holder.
    pub limits: Option<Arc<[Limit]>>,
    /// When the credential ends by itself (Unix seconds). A decision holds until then at the longest.
    pub ends_at: Option<u64>,
}

/// A part of its holder's rights that a credential keeps. It gives no right. A credential with an empty list of them
/// may do nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The actions.
    pub actions: Actions,
    /// The secrets.
    pub reach: Reach,
}

impl Actor {
    /// Tells whether the credential may be used for an action in the whole of a region. A region that only several limits
    /// hold together is refused.
    pub(crate) fn is_within_limits(&self, action: Action, region: &Region<'_>) -> bool {
        self.limits.as_ref().is_none_or(|limits| limits.iter().any(|limit| limit.covers(action, region)))
    }
}

impl Limit {
    pub(crate) fn covers(&self, action: Action, region: &Region<'_>) -> bool {
        let Reach { environment, pattern } = &self.reach;
        self.actions.contains(action) && Region::part(*environment, pattern.shape(), None).contains(region)
    }
}

impl Holder {
    /// Tells whether the caller is a person.
    pub(crate) fn is_person(self) -> bool {
        match self {
            Self::Principal(Subject::Person(_)) => true,
            Self::Principal(Subject::Service(_)) | Self::Stranger => false,
        }
    }
}
