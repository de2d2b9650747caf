//! The secrets that nobody but one service may read, for whoever ends it.

use manager_api::name::SecretPath;
use manager_policy::{Access, Action, Facts, Holder, Line, Principal, Role, SecretFacts, State, who_can};
use manager_store::{Position, SecretPage, SecretQuery};
use service_runtime::Refusal;
use shared_proto::id::{EnvironmentId, SecretId, ServiceId, Subject};

use super::{Services, manages, seen};
use crate::access::Caller;

/// A page of secrets.
#[derive(Clone, Debug, Default)]
pub struct SoleSecrets {
    /// The secrets, in the order of environment and path.
    pub secrets: Vec<(SecretId, EnvironmentId, SecretPath)>,
    /// The position after which the next page begins, if there may be one. The caller need not be allowed to see it. A page
    /// may be empty and have a next one.
    pub next: Option<Position>,
}

/// The secrets that one page looks through.
const SCANNED: usize = 200;

impl Services {
    /// A page of the secrets that a service may read, or could until it was disabled, and that nobody else may read but
    /// administrators of the whole installation. Only those that the caller may list.
    ///
    /// # Errors
    /// The caller does not manage the service, has lost its right, or the database cannot be read.
    pub async fn sole_secrets(
        &self,
        id: ServiceId,
        after: Option<Position>,
        caller: &Caller,
    ) -> Result<SoleSecrets, Refusal> {
        let view = self.registry.now().await?;
        let caller = caller.again(&view)?;
        let (service, _) = seen(&caller, &view, id)?;
        let basis = manages(&caller, &service.required).ok_or_else(super::not_permitted)?;
        // In every state: what was deleted may come back.
        let page = self.store.secrets(&caller.visible(), SecretQuery::default(), after, SCANNED).await?;
        let SecretPage { rows, next } = page;
        let found = self.store.secret_facts(rows.iter().map(|row| row.secret).collect()).await?;
        let facts = as_if_enabled(&view.facts, service.subject());
        let now = self.clock.now();
        let sole = found.into_iter().flatten().filter(|secret| is_sole(&facts, service.subject(), secret, now));
        let secrets = sole.map(|secret| (secret.id, secret.environment, secret.path)).collect();
        self.store.look_again_at(basis).await?;
        Ok(SoleSecrets { secrets, next })
    }
}

/// The facts in which a principal is enabled.
fn as_if_enabled(facts: &Facts, subject: Subject) -> Facts {
    let enabled = |known: &Principal| Principal { disabled: known.disabled && known.id != subject, ..*known };
    let principals = facts.state().principals.iter().map(enabled).collect();
    Facts::new(facts.epoch(), State { principals, ..facts.state().clone() })
}

fn is_sole(facts: &Facts, subject: Subject, secret: &SecretFacts, now: u64) -> bool {
    let mut is_reader = false;
    for access in who_can(facts, Action::Read, secret, None, now) {
        if access.holder == Holder::Principal(subject) {
            is_reader = true;
        } else if !is_administrator(&access) {
            return false;
        }
    }
    is_reader
}

/// Tells whether somebody may read because everything is his.
fn is_administrator(access: &Access<'_>) -> bool {
    access.through.iter().all(|considered| match considered.line {
        Line::Assignment(assignment) => assignment.role() == Role::SuperAdmin,
        Line::Permission(_) => false,
    })
}
