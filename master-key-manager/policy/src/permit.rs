//! Permits: the outcome of a decision as a value, which what acts takes.

use std::marker::PhantomData;

use manager_api::name::SecretPath;
use shared_proto::id::{CredentialId, EnvironmentId, SecretId};

use crate::decide::decide_region;
use crate::{ActionType, Actor, Facts, Holder, LineId, Period, PolicyEpoch, Ruling, Scope, Target, Why};

/// The right to one action in one scope or on one secret. What mints, writes or gives out takes one.
///
/// Only a decision makes one:
///
/// ```
/// use manager_policy::{Actor, Facts, Permit, Scope, Write};
/// fn decided(facts: &Facts, actor: &Actor, now: u64) -> Option<Permit<Write>> {
///     Permit::decide(facts, actor, &Scope::Installation, now).ok()
/// }
/// ```
///
/// ```compile_fail,E0451
/// use std::marker::PhantomData;
/// use manager_policy::{Basis, LineId, Permit, Scope, Write};
/// fn forged(basis: Basis, line: LineId) -> Option<Permit<Write>> {
///     Some(Permit { basis, scope: Scope::Installation, place: None, line, action: PhantomData })
/// }
/// ```
///
/// A permit for one action is none for another:
///
/// ```
/// use manager_policy::{Permit, Read, Write};
/// fn write(permit: &Permit<Write>) {}
/// fn same(permit: &Permit<Write>) { write(permit) }
/// ```
///
/// ```compile_fail,E0308
/// use manager_policy::{Permit, Read, Write};
/// fn write(permit: &Permit<Write>) {}
/// fn other(permit: &Permit<Read>) { write(permit) }
/// ```
///
/// It is not copied, so what consumes it acts once:
///
/// ```
/// use manager_policy::{Permit, Read};
/// fn mint(permit: Permit<Read>) {}
/// fn once(permit: Permit<Read>) { mint(permit) }
/// ```
///
/// ```compile_fail,E0382
/// use manager_policy::{Permit, Read};
/// fn mint(permit: Permit<Read>) {}
/// fn twice(permit: Permit<Read>) { mint(permit); mint(permit) }
/// ```
#[derive(Debug, PartialEq, Eq)]
pub struct Permit<A> {
    basis: Basis,
    scope: Scope,
    /// The place of the secret, if that was decided about, too.
    place: Option<(EnvironmentId, SecretPath)>,
    line: LineId,
    action: PhantomData<A>,
}

/// The permit's action is one of all. Enough to read what an act needs to know of its target.
#[derive(Debug)]
pub enum AnyAction {}

/// The facts that a permit was decided from. The transaction that acts compares them with the database and its clock.
///
/// It cannot be had without naming the target:
///
/// ```
/// use manager_policy::{Basis, Permit, Scope, Write};
/// fn named(permit: &Permit<Write>, target: &Scope) -> Option<Basis> { permit.basis_for(target) }
/// ```
///
/// ```compile_fail,E0616
/// use manager_policy::{Basis, Permit, Write};
/// fn unnamed(permit: &Permit<Write>) -> Basis { permit.basis }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Basis {
    holder: Holder,
    credential: CredentialId,
    epoch: PolicyEpoch,
    unchanged: Period,
    /// The secret that was decided about, with the number of its facts.
    secret: Option<(SecretId, u64)>,
}

/// The policy does not allow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the policy does not allow it")]
pub struct Denied {
    /// The line that denies it; `None` if no line allows it, or the caller is disabled or too narrow.
    pub line: Option<LineId>,
}

impl<A: ActionType> Permit<A> {
    /// The permit for the action in a scope or on a secret, if the policy allows it now. The only way to one.
    ///
    /// # Errors
    /// The policy does not allow it.
    pub fn decide<'t>(facts: &Facts, actor: &Actor, target: impl Into<Target<'t>>, now: u64) -> Result<Self, Denied> {
        let target = target.into();
        let (ruling, unchanged) = decide_region(facts, actor, A::ACTION, target.region(), now);
        let line = match ruling {
            Ruling::Allowed(line) => line.id(),
            Ruling::Denied(Why::Line(line)) => return Err(Denied { line: Some(line.id()) }),
            Ruling::Denied(_) => return Err(Denied { line: None }),
        };
        let mut basis = Basis::of(facts, actor, unchanged);
        let (scope, place) = match target {
            Target::Scope(scope) => (scope.clone(), None),
            Target::Secret(secret) => {
                basis.secret = Some((secret.id, secret.number));
                (Scope::Secret(secret.id), Some((secret.environment, secret.path.clone())))
            }
        };
        Ok(Self { basis, scope, place, line, action: PhantomData })
    }
}

impl<A> Permit<A> {
    /// The scope that was decided about: for a secret, its id.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The line that allows it.
    pub fn line(&self) -> LineId {
        self.line
    }

    /// The credential that tokens will name.
    pub fn credential(&self) -> CredentialId {
        self.basis.credential
    }

    /// The facts that the permit was decided from, if it is for this target. A permit for a secret is for its id and
    /// for its path.
    pub fn basis_for(&self, target: &Scope) -> Option<Basis> {
        let at_its_path = match (&self.place, target) {
            (Some((environment, path)), Scope::Path(other, same)) => (environment, path) == (other, same),
            (Some(_) | None, _) => false,
        };
        (at_its_path || self.scope.contains(target)).then_some(self.basis)
    }

    /// The same permit without its action: it writes nothing and gives nothing out.
    pub fn to_look(&self) -> Permit<AnyAction> {
        let (scope, place) = (self.scope.clone(), self.place.clone());
        Permit { basis: self.basis, scope, place, line: self.line, action: PhantomData }
    }
}

impl Basis {
    pub(crate) fn of(facts: &Facts, actor: &Actor, unchanged: Period) -> Self {
        let (holder, credential) = (actor.holder, actor.credential);
        let unchanged = unchanged.until(actor.ends_at);
        Self { holder, credential, epoch: facts.epoch(), unchanged, secret: None }
    }

    /// The caller.
    pub fn holder(&self) -> Holder {
        self.holder
    }

    /// The credential of the caller.
    pub fn credential(&self) -> CredentialId {
        self.credential
    }

    /// The epoch of the facts.
    pub fn epoch(&self) -> PolicyEpoch {
        self.epoch
    }

    /// The secret that was decided about, with the number of its facts. They may have changed since. `None` if none was, or
    /// several were, whose facts the transaction that acts has read.
    pub fn secret(&self) -> Option<(SecretId, u64)> {
        self.secret
    }

    /// Tells whether the decision is the same at another second. A line that begins or ends may change it.
    pub fn holds_at(&self, now: u64) -> bool {
        self.unchanged.contains(now)
    }

    /// The earliest second at which the decision may change by itself; `None` if time does not change it.
    pub fn valid_until(&self) -> Option<u64> {
        self.unchanged.end()
    }

    /// The basis of two decisions together; `None` if they were made for two callers, or from two states of the policy.
    #[must_use]
    pub fn and(self, other: Self) -> Option<Self> {
        let same = (self.credential, self.epoch) == (other.credential, other.epoch);
        let unchanged = self.unchanged.common(other.unchanged).filter(|_| same)?;
        let secret = self.secret.filter(|_| self.secret == other.secret);
        Some(Self { unchanged, secret, ..self })
    }
}
