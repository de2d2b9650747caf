//! Lines of the policy.

use manager_api::id::{AssignmentId, PermissionId};
use manager_api::name::Reason;
use manager_api::policy::{Actions, Effect, PartyId, PatternText, Role};
use manager_api::tags::Tags;
use manager_policy::{Limit, Line, Note, Party, PathPattern, Period, Reach};
use serde::{Deserialize, Serialize};
use shared_proto::Malformed;
use shared_proto::id::{EnvironmentId, ServiceId, Subject};

use crate::RequiredKeys;
use crate::credential::CredentialLimit;

/// A role that a principal or group has in a reach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleAssignment {
    /// Its id.
    pub assignment_id: AssignmentId,
    /// The principal or group.
    pub party: PartyId,
    /// The role.
    pub role: Role,
    /// The environment; absent for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentId>,
    /// The paths.
    pub pattern: PatternText,
    /// Its time and origin.
    #[serde(flatten)]
    pub terms: Terms,
}

/// Actions that a principal or group is allowed or denied in a reach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Permission {
    /// Its id.
    pub permission_id: PermissionId,
    /// The principal or group.
    pub party: PartyId,
    /// The effect.
    pub effect: Effect,
    /// The actions.
    pub actions: Actions,
    /// The environment; absent for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentId>,
    /// The paths.
    pub pattern: PatternText,
    /// The tags that a secret must have; none for all secrets.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// Its time and origin.
    #[serde(flatten)]
    pub terms: Terms,
}

/// The time in which a line holds, and its origin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// When it begins to hold (Unix seconds). Absent if it always did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<u64>,
    /// When it ends (Unix seconds). Absent if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<u64>,
    /// The reason for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The principal that made it. Absent for what the installation has by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Subject>,
    /// When it was made (Unix seconds).
    pub created_at: u64,
}

impl Terms {
    /// From now on, without an end, made by the installation itself.
    pub fn unlimited(created_at: u64) -> Self {
        Self { starts_at: None, ends_at: None, reason: None, author: None, created_at }
    }

    fn period(&self) -> Result<Period, Malformed> {
        Period::new(self.starts_at, self.ends_at)
    }

    fn note(&self) -> Note {
        Note { author: self.author, reason: self.reason.clone() }
    }
}

impl RoleAssignment {
    /// That of a service that administers the installation: everything, everywhere. Its id is the service's own.
    ///
    /// # Errors
    /// None; the pattern is a constant.
    pub fn administrator(service: ServiceId, created_at: u64) -> Result<Self, Malformed> {
        Ok(Self {
            assignment_id: AssignmentId::from_bytes(*service.as_bytes()),
            party: PartyId::Principal(Subject::Service(service)),
            role: Role::SuperAdmin,
            environment: None,
            pattern: PatternText::parse("**")?,
            terms: Terms::unlimited(created_at),
        })
    }

    /// The line of the policy that it says.
    ///
    /// # Errors
    /// Its pattern, its time or its reach breaks a rule.
    pub fn line(&self) -> Result<Line, Malformed> {
        let reach = reach(self.environment, &self.pattern)?;
        let to = (party(self.party), self.role);
        let assignment =
            manager_policy::Assignment::new(self.assignment_id, to, reach, self.terms.period()?, self.terms.note())?;
        Ok(Line::Assignment(assignment))
    }
}

impl Permission {
    /// The line of the policy that it says.
    ///
    /// # Errors
    /// Its pattern or its time breaks a rule, or it names no action.
    pub fn line(&self) -> Result<Line, Malformed> {
        if self.actions.is_empty() {
            return Err(Malformed("a permission names one action or more"));
        }
        Ok(Line::Permission(manager_policy::Permission {
            id: self.permission_id,
            party: party(self.party),
            effect: self.effect,
            actions: self.actions,
            reach: reach(self.environment, &self.pattern)?,
            condition: self.tags.clone(),
            period: self.terms.period()?,
            note: self.terms.note(),
        }))
    }
}

impl CredentialLimit {
    /// The limit of the policy that it says.
    ///
    /// # Errors
    /// Its pattern breaks a rule.
    pub fn limit(&self) -> Result<Limit, Malformed> {
        Ok(Limit { actions: self.actions, reach: reach(self.environment, &self.pattern)? })
    }
}

impl RequiredKeys {
    /// The part of the installation that they are.
    ///
    /// # Errors
    /// The pattern breaks a rule.
    pub fn reach(&self) -> Result<Reach, Malformed> {
        reach(Some(self.environment), &self.pattern)
    }
}

/// The party of a line.
pub fn party(id: PartyId) -> Party {
    match id {
        PartyId::Principal(subject) => Party::Principal(subject),
        PartyId::Group(group) => Party::Group(group),
    }
}

fn reach(environment: Option<EnvironmentId>, pattern: &PatternText) -> Result<Reach, Malformed> {
    Ok(Reach { environment, pattern: pattern.as_str().parse::<PathPattern>()? })
}
