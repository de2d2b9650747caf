//! Incidents: compromises and losses of secrets, with what was done about them.
//!
//! Records of the registry, so that an attacker with write access to the database can neither close one, nor alter it, nor take
//! it away unseen.

use std::sync::PoisonError;

use manager_api::id::IncidentId;
use manager_api::incidents::{IncidentKind, IncidentNote, IncidentStep};
use manager_api::name::{Reason, SecretPath};
use serde::{Deserialize, Serialize};
use shared_proto::id::{EnvironmentId, SecretId, Subject};

use crate::RowKey;

const HOUR: u64 = 3_600;

/// An incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Incident {
    /// Its id.
    pub incident_id: IncidentId,
    /// Its kind.
    pub incident_kind: IncidentKind,
    /// The secret.
    pub secret_id: SecretId,
    /// The environment of the secret.
    pub environment_id: EnvironmentId,
    /// The path of the secret when it was opened. It informs: rights are decided by the path of the moment.
    pub path: SecretPath,
    /// How it came to light.
    pub reason: Reason,
    /// The time since when (Unix seconds).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// The principal who opened it; absent for a stranger of development mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened_by: Option<Subject>,
    /// When it was opened (Unix seconds).
    pub opened_at: u64,
    /// The steps that are done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub done: Vec<DoneStep>,
    /// Notes about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<IncidentNote>,
    /// The principal who closed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_by: Option<Subject>,
    /// When it was closed (Unix seconds); absent while it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<u64>,
}

/// A step that is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DoneStep {
    /// The step.
    pub step: IncidentStep,
    /// The principal who marked it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Subject>,
    /// When (Unix seconds).
    pub at: u64,
}

impl Incident {
    /// Tells whether it is open.
    pub fn is_open(&self) -> bool {
        self.closed_at.is_none()
    }

    /// The hours from its opening within which a step is to be done that is not, each once.
    pub fn open_deadlines(&self) -> impl Iterator<Item = u64> + '_ {
        let is_open = |hours: &u64| {
            let steps = self.incident_kind.steps().iter().filter(|(_, seconds)| *seconds == hours * HOUR);
            steps.map(|(step, _)| step).any(|step| !self.done.iter().any(|done| done.step == *step))
        };
        self.incident_kind.deadline_hours().filter(is_open)
    }

    /// The steps of its procedure that are not done.
    pub fn open_steps(&self) -> impl Iterator<Item = IncidentStep> + '_ {
        let steps = self.incident_kind.steps().iter().map(|(step, _)| *step);
        steps.filter(|step| !self.done.iter().any(|done| done.step == *step))
    }
}

impl RowKey {
    /// The open incident of a secret, by the newest verified state. There is one of each kind at most.
    pub fn open_incident(&self, secret: SecretId, kind: IncidentKind) -> Option<Incident> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let is_it =
            |incident: &&Incident| incident.is_open() && incident.secret_id == secret && incident.incident_kind == kind;
        state.incidents().find(is_it).cloned()
    }

    /// An incident with an id, if it is open by the newest verified state.
    pub fn open_incident_with(&self, id: IncidentId) -> Option<Incident> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.incident(id).filter(|incident| incident.is_open()).cloned()
    }

    /// Open incidents after one, ordered by id, up to a limit.
    pub fn open_incidents(&self, after: Option<IncidentId>, limit: usize) -> Vec<Incident> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let is_after = |incident: &&Incident| {
            after.is_none_or(|after| incident.incident_id.as_bytes() > after.as_bytes()) && incident.is_open()
        };
        let mut found: Vec<&Incident> = state.incidents().filter(is_after).collect();
        found.sort_unstable_by_key(|incident| *incident.incident_id.as_bytes());
        found.into_iter().take(limit).cloned().collect()
    }
}
