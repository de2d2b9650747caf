//! The facts that policy decides from, as the records say them.

use std::sync::Arc;

use manager_api::id::{AssignmentId, PermissionId};
use manager_api::tags::Tags;
use manager_policy::{
    Action, Actor, Assignment, Effect, Facts, Holder, Line, Note, Party, Period, Permission, PolicyEpoch, Principal,
    Reach, Role,
};
use shared_proto::id::{CredentialId, ServiceId, Subject};

use crate::Snapshot;

impl Snapshot {
    /// The facts. With `strangers`, as in development mode, callers without a credential may write, and read what they
    /// wrote.
    pub fn facts(&self, strangers: bool) -> Facts {
        let principal = |id| Principal { id: Subject::Service(id), disabled: false };
        let principals = self.services().map(|service| principal(service.service_id)).collect();
        let administrators = self.services().filter(|service| service.is_administrator);
        let mut lines: Vec<Arc<Line>> =
            administrators.filter_map(|service| administrator(service.service_id)).map(Arc::new).collect();
        if strangers {
            lines.push(Arc::new(strangers_line()));
        }
        let state = manager_policy::State { principals, groups: Vec::new(), lines };
        Facts::new(PolicyEpoch(self.number()), state)
    }

    /// The caller who presented an enabled credential; `None` if it is disabled or unknown.
    pub fn actor(&self, id: CredentialId) -> Option<Actor> {
        let credential = self.credential(id).filter(|credential| credential.disabled_at.is_none())?;
        let holder = match credential.hmac {
            Some(_) => Holder::Principal(credential.subject),
            None => Holder::Stranger,
        };
        Some(Actor { holder, credential: id, limits: None })
    }

    /// The enabled credentials of administrators, ordered by id.
    pub fn administrators(&self) -> Vec<CredentialId> {
        let is_administrator = |subject| {
            self.services().any(|service| service.is_administrator && Subject::Service(service.service_id) == subject)
        };
        self.credentials()
            .filter(|credential| credential.hmac.is_some() && credential.disabled_at.is_none())
            .filter(|credential| is_administrator(credential.subject))
            .map(|credential| credential.credential_id)
            .collect()
    }
}

/// The line of an administrator. Its id is the service's own.
fn administrator(service: ServiceId) -> Option<Line> {
    let to = (Party::Principal(Subject::Service(service)), Role::SuperAdmin);
    let id = AssignmentId::from_bytes(*service.as_bytes());
    Assignment::new(id, to, Reach::everything(), Period::ALWAYS, UNSAID).ok().map(Line::Assignment)
}

/// The line of callers without a credential in development mode.
fn strangers_line() -> Line {
    Line::Permission(Permission {
        id: PermissionId::from_bytes([0; 16]),
        party: Party::Strangers,
        effect: Effect::Allow,
        actions: [Action::Write, Action::Read].into_iter().collect(),
        reach: Reach::everything(),
        condition: Tags::default(),
        period: Period::ALWAYS,
        note: UNSAID,
    })
}

const UNSAID: Note = Note { author: None, reason: None };
