//! The facts that policy decides from, as the records say them.

use std::collections::BTreeSet;
use std::sync::Arc;

use manager_api::id::PermissionId;
use manager_api::policy::{Action, Effect};
use manager_api::tags::Tags;
use manager_policy::{
    Actor, Facts, Group, Holder, Line, ManageIdentities, ManagePolicy, Note, Party, Period, Permission, Permit,
    PolicyEpoch, Principal, Reach, Scope, State, who_can,
};
use shared_proto::id::{CredentialId, PersonId, Subject};

use crate::{Credential, Proof, SignOn, Snapshot};

impl Snapshot {
    /// The facts. With `strangers`, as in development mode, callers without a credential may write, and read what they
    /// wrote.
    pub fn facts(&self, strangers: bool) -> Facts {
        let services = self.services().map(|service| (service.subject(), service.disabled_at));
        let people = self.people().map(|person| (person.subject(), person.disabled_at));
        let principal = |(id, disabled_at): (Subject, Option<u64>)| Principal { id, disabled: disabled_at.is_some() };
        let group = |group: &crate::Group| Group { id: group.group_id, members: group.members.clone() };
        let mut lines: Vec<Arc<Line>> = self.lines().cloned().collect();
        if strangers {
            lines.push(Arc::new(strangers_line()));
        }
        let principals = services.chain(people).map(principal).collect();
        let state = State { principals, groups: self.groups().map(group).collect(), lines };
        Facts::new(PolicyEpoch(self.number()), state)
    }

    /// Tells whether a principal is known and not disabled.
    pub fn is_enabled(&self, subject: Subject) -> bool {
        match subject {
            Subject::Service(id) => self.service(id).is_some_and(|service| service.disabled_at.is_none()),
            Subject::Person(id) => self.person(id).is_some_and(|person| person.disabled_at.is_none()),
        }
    }

    /// The caller who proved a credential; `None` if the credential or its principal is disabled, has ended or is unknown.
    pub fn actor(&self, id: CredentialId, now: u64) -> Option<Actor> {
        let credential = self.credential(id).filter(|credential| credential.is_enabled_at(now))?;
        let holder = match credential.proof {
            Proof::Stranger => Holder::Stranger,
            Proof::Opaque { .. } | Proof::Session { .. } | Proof::PublicKey { .. } | Proof::Trust { .. } => {
                let subject = Some(credential.subject).filter(|subject| self.is_enabled(*subject));
                Holder::Principal(subject?)
            }
        };
        Some(Actor { holder, credential: id, limits: self.limits_of(id).cloned(), ends_at: credential.expires_at })
    }

    /// Tells whether a credential may be used once more, as far as the count of its uses says.
    pub fn has_uses_left(&self, credential: &Credential) -> bool {
        credential.max_uses.is_none_or(|most| self.uses(credential.uses_id()).map_or(0, |uses| uses.count) < most)
    }

    /// The credentials with which somebody may make policy and principals now, those of one together. Sessions are none of
    /// them: they end by themselves.
    pub fn administrators<'a>(&'a self, facts: &'a Facts, now: u64) -> impl Iterator<Item = CredentialId> + 'a {
        let credentials = policy_makers(facts, now).into_iter().flat_map(|subject| self.credentials_of(subject));
        let lasting = credentials.filter(|credential| credential.proof.login().is_none());
        let ids = lasting.map(|credential| credential.credential_id);
        ids.filter(move |id| self.administers(*id, facts, now))
    }

    /// Tells whether somebody may make policy and principals now with a credential.
    pub fn administers(&self, id: CredentialId, facts: &Facts, now: u64) -> bool {
        self.actor(id, now).is_some_and(|actor| administers(facts, &actor, now))
    }

    /// Tells whether a person who can log in may make policy and principals now.
    pub fn has_administrating_person(&self, facts: &Facts, now: u64) -> bool {
        policy_makers(facts, now).into_iter().any(|subject| {
            let Subject::Person(person) = subject else { return false };
            let can_log_in = self.sign_on_of(person).is_some_and(|own| own.password.is_some());
            can_log_in && self.is_enabled(subject) && is_administrator(facts, subject, now)
        })
    }

    /// The means by which a person signs on, if it was ever made.
    pub fn sign_on_of(&self, person: PersonId) -> Option<&SignOn> {
        self.sign_on(SignOn::id_of(person))
    }

    /// The credentials of a principal that are not disabled, ordered by id.
    pub fn credentials_of(&self, subject: Subject) -> impl Iterator<Item = &Credential> {
        self.all_credentials_of(subject).filter(|credential| credential.disabled_at.is_none())
    }

    /// Every trust, those included that are disabled, ordered by id.
    pub fn trusts(&self) -> impl Iterator<Item = &Credential> {
        self.trust_ids().filter_map(|id| self.credential(id))
    }
}

/// Tells whether a principal may make policy and principals, with a credential that has all of its rights.
pub fn is_administrator(facts: &Facts, subject: Subject, now: u64) -> bool {
    let holder = Holder::Principal(subject);
    let credential = CredentialId::from_bytes([0; 16]);
    administers(facts, &Actor { holder, credential, limits: None, ends_at: None }, now)
}

fn administers(facts: &Facts, actor: &Actor, now: u64) -> bool {
    Permit::<ManagePolicy>::decide(facts, actor, &Scope::Installation, now).is_ok()
        && Permit::<ManageIdentities>::decide(facts, actor, &Scope::Installation, now).is_ok()
}

/// The principals who may make policy in the whole installation, as far as lines say.
fn policy_makers(facts: &Facts, now: u64) -> BTreeSet<Subject> {
    let holders = who_can(facts, Action::ManagePolicy, &Scope::Installation, None, now).map(|access| access.holder);
    let principals = holders.filter_map(|holder| match holder {
        Holder::Principal(subject) => Some(subject),
        Holder::Stranger => None,
    });
    principals.collect()
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
        note: Note { author: None, reason: None },
    })
}
