//! What people may do by the way in which they have signed on, beside what the policy allows them.
//!
//! Guarantees, whichever route asks: somebody who manages the installation does nothing before he has two factors; people
//! read in an environment that asks for two factors only after a login with two; sensitive acts of people need a login of
//! the last ten minutes. Services have no login, and are not held up.

use manager_policy::{
    Action, ActionType, Actor, Facts, Holder, ManageIdentities, ManagePolicy, Permit, Scope, SecretFacts,
};
use manager_registry::Login;
use service_runtime::Refusal;
use shared_proto::error::ErrorCode;
use shared_proto::id::{CredentialId, EnvironmentId, Subject};

use super::View;

/// A login counts as recent for so long.
pub const RECENT_SECONDS: u64 = 10 * 60;

/// Acts of people that need a recent login. What changes the registry needs one, too ([`super::Caller::check_change`]).
const SENSITIVE: [Action; 1] = [Action::Destroy];

/// How a person has signed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedOn {
    /// The login; `None` for a person without a session, who counts as one with no factor and no recent login.
    login: Option<Login>,
    /// True if nothing is allowed before an authenticator is set up.
    must_enrol: bool,
    /// The environments that ask for two factors, which this login lacks.
    closed: Vec<EnvironmentId>,
}

impl View {
    /// The caller who proved a credential; `None` if the credential or its principal is disabled, has ended or is unknown.
    pub fn actor(&self, id: CredentialId, now: u64) -> Option<Actor> {
        let mut actor = self.state.actor(id, now)?;
        if self.signed_on(&actor, now).is_some_and(|signed_on| signed_on.must_enrol) {
            actor.limits = Some([].into());
        }
        Some(actor)
    }

    /// How a person has signed on; `None` for a service and for a stranger.
    pub fn signed_on(&self, actor: &Actor, now: u64) -> Option<SignedOn> {
        let Holder::Principal(subject @ Subject::Person(_)) = actor.holder else { return None };
        let login = self.state.credential(actor.credential).and_then(|known| known.proof.login());
        if login.is_some_and(|login| login.mfa) {
            return Some(SignedOn { login, must_enrol: false, closed: Vec::new() });
        }
        let rules = self.state.all_environment_rules().filter(|rules| rules.require_mfa);
        let closed = rules.map(|rules| rules.environment_id).collect();
        Some(SignedOn { login, must_enrol: manages(&self.facts, subject, now), closed })
    }
}

/// Tells whether a principal may make policy or principals everywhere: he needs two factors.
pub fn manages(facts: &Facts, subject: Subject, now: u64) -> bool {
    let actor = actor_of(subject);
    Permit::<ManagePolicy>::decide(facts, &actor, &Scope::Installation, now).is_ok()
        || manages_identities(facts, &actor, now)
}

/// Tells whether an actor may make principals everywhere.
pub fn manages_identities(facts: &Facts, actor: &Actor, now: u64) -> bool {
    Permit::<ManageIdentities>::decide(facts, actor, &Scope::Installation, now).is_ok()
}

/// A principal with all of its rights, whatever credential it may show.
pub fn actor_of(subject: Subject) -> Actor {
    let credential = CredentialId::from_bytes([0; 16]);
    Actor { holder: Holder::Principal(subject), credential, limits: None, ends_at: None }
}

impl View {
    /// Tells whether the policy lets a principal do an action to a secret, with a credential that has all of its rights.
    pub fn lets<A: ActionType>(&self, subject: Subject, secret: &SecretFacts, now: u64) -> bool {
        Permit::<A>::decide(&self.facts, &actor_of(subject), secret, now).is_ok()
    }
}

impl SignedOn {
    /// The login, if there is a session.
    pub fn login(&self) -> Option<Login> {
        self.login
    }

    /// True if nothing is allowed before an authenticator is set up.
    pub fn must_enrol(&self) -> bool {
        self.must_enrol
    }

    /// Refuses somebody who must set up an authenticator first.
    ///
    /// # Errors
    /// `mfa_required`.
    pub fn check_enrolled(&self) -> Result<(), Refusal> {
        if self.must_enrol { Err(Refusal::new(ErrorCode::MfaRequired)) } else { Ok(()) }
    }

    /// Refuses somebody whose login has one factor where an environment asks for two.
    ///
    /// # Errors
    /// `mfa_required`.
    pub fn check_open(&self) -> Result<(), Refusal> {
        if self.closed.is_empty() { Ok(()) } else { Err(Refusal::new(ErrorCode::MfaRequired)) }
    }

    /// Refuses somebody whose login is too long ago.
    ///
    /// # Errors
    /// `login_required`.
    pub fn check_recent(&self, now: u64) -> Result<(), Refusal> {
        // A login of the future counts as none.
        let age = self.login.and_then(|login| now.checked_sub(login.authenticated_at));
        if age.is_some_and(|age| age <= RECENT_SECONDS) {
            return Ok(());
        }
        Err(Refusal::new(ErrorCode::LoginRequired))
    }

    /// Refuses somebody without a recent login with two factors.
    ///
    /// # Errors
    /// `mfa_required` or `login_required`.
    pub fn check_two_factors(&self, now: u64) -> Result<(), Refusal> {
        if !self.login.is_some_and(|login| login.mfa) {
            return Err(Refusal::new(ErrorCode::MfaRequired));
        }
        self.check_recent(now)
    }

    /// Refuses what the policy allows, if it needs another login. `environment` is that of the act; `None` for all.
    ///
    /// # Errors
    /// `mfa_required` or `login_required`.
    pub(super) fn check(&self, action: Action, environment: Option<EnvironmentId>, now: u64) -> Result<(), Refusal> {
        let is_closed = environment.map_or(!self.closed.is_empty(), |id| self.closed.contains(&id));
        if action == Action::Read && is_closed {
            return Err(Refusal::new(ErrorCode::MfaRequired));
        }
        if SENSITIVE.contains(&action) { self.check_recent(now) } else { Ok(()) }
    }
}

/// The environment of a scope; `None` if it may be any.
pub(super) fn environment_of(scope: &Scope) -> Option<EnvironmentId> {
    match scope {
        Scope::Environment(id) | Scope::Folder(id, _) | Scope::Path(id, _) => Some(*id),
        Scope::Reach(reach) => reach.environment,
        Scope::Installation | Scope::Secret(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed_on(authenticated_at: u64, mfa: bool, closed: &[EnvironmentId]) -> SignedOn {
        SignedOn { login: Some(Login { authenticated_at, mfa }), must_enrol: false, closed: closed.to_vec() }
    }

    fn code(outcome: Result<(), Refusal>) -> Option<ErrorCode> {
        outcome.err().map(|refusal| refusal.code())
    }

    #[test]
    fn login_is_recent_for_ten_minutes_and_one_of_the_future_is_not() {
        let one = signed_on(1_000, true, &[]);
        for (now, recent) in [(1_000, true), (1_600, true), (1_601, false), (999, false)] {
            assert_eq!(one.check_recent(now).is_ok(), recent, "{now}");
        }
        let none = SignedOn { login: None, must_enrol: false, closed: Vec::new() };
        assert_eq!(code(none.check_recent(0)), Some(ErrorCode::LoginRequired));
    }

    #[test]
    fn destruction_is_sensitive() {
        let old = signed_on(0, true, &[]);
        let is_refused = |action: &Action| code(old.check(*action, None, 5_000)) == Some(ErrorCode::LoginRequired);
        assert!(Action::ALL.iter().copied().filter(|action| is_refused(action)).eq([Action::Destroy]));
    }

    #[test]
    fn environment_with_two_factors_is_closed_for_reading_alone() {
        let [closed, open] = [EnvironmentId::generate(), EnvironmentId::generate()];
        let one = signed_on(1_000, false, &[closed]);
        assert_eq!(code(one.check(Action::Read, Some(closed), 1_000)), Some(ErrorCode::MfaRequired));
        assert_eq!(code(one.check(Action::Read, None, 1_000)), Some(ErrorCode::MfaRequired));
        assert_eq!(code(one.check(Action::Read, Some(open), 1_000)), None);
        assert_eq!(code(one.check(Action::List, Some(closed), 1_000)), None);
    }
}
