//! Permits: the outcome of a decision as a value, which what acts takes.

use std::marker::PhantomData;

use shared_proto::id::CredentialId;

use crate::{Action, ActionType, Actor, Facts, PolicyEpoch, Ruling, Scope, decide};

/// The right to one action in one scope. What mints, writes or gives out takes one.
///
/// Only a decision makes one:
///
/// ```
/// use manager_policy::{Actor, Facts, Permit, Scope, Write};
/// fn decided(facts: &Facts, actor: &Actor) -> Option<Permit<Write>> {
///     Permit::decide(facts, actor, Scope::Installation).ok()
/// }
/// ```
///
/// ```compile_fail,E0451
/// use std::marker::PhantomData;
/// use manager_policy::{Basis, Permit, Scope, Write};
/// fn forged(basis: Basis) -> Option<Permit<Write>> {
///     Some(Permit { basis, scope: Scope::Installation, action: PhantomData })
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
    action: PhantomData<A>,
}

/// The permit's action is one of all. Enough to read what an act needs to know of its target.
#[derive(Debug)]
pub enum AnyAction {}

/// The facts that a permit was decided from. The transaction that acts compares them with the database.
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
    credential: CredentialId,
    epoch: PolicyEpoch,
}

/// The rows of lists that a caller may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visible {
    basis: Basis,
    scopes: Vec<Scope>,
}

/// The policy does not allow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the policy does not allow it")]
pub struct Denied;

impl<A: ActionType> Permit<A> {
    /// The permit for the action in a scope, if the policy allows it there. The only way to one.
    ///
    /// # Errors
    /// No line of the policy allows it.
    pub fn decide(facts: &Facts, actor: &Actor, scope: Scope) -> Result<Self, Denied> {
        match decide(facts, actor, A::ACTION, &scope) {
            Ruling::Allowed(_) => Ok(Self { basis: Basis::of(facts, actor), scope, action: PhantomData }),
            Ruling::Denied => Err(Denied),
        }
    }
}

impl<A> Permit<A> {
    /// The scope that was decided about.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The credential that tokens will name.
    pub fn credential(&self) -> CredentialId {
        self.basis.credential
    }

    /// The facts that the permit was decided from, if it is for this target.
    pub fn basis_for(&self, target: &Scope) -> Option<Basis> {
        self.scope.contains(target).then_some(self.basis)
    }

    /// The same permit without its action: it writes nothing and gives nothing out.
    pub fn to_look(&self) -> Permit<AnyAction> {
        Permit { basis: self.basis, scope: self.scope.clone(), action: PhantomData }
    }
}

impl Basis {
    fn of(facts: &Facts, actor: &Actor) -> Self {
        Self { credential: actor.credential, epoch: facts.epoch }
    }

    /// The credential of the caller.
    pub fn credential(&self) -> CredentialId {
        self.credential
    }

    /// The epoch of the facts.
    pub fn epoch(&self) -> PolicyEpoch {
        self.epoch
    }
}

impl Visible {
    /// The scopes in which the policy lets an actor list secrets. There may be none.
    pub fn decide(facts: &Facts, actor: &Actor) -> Self {
        let lines = facts.lines.iter().filter(|line| line.holder == actor.holder);
        let listing = lines.filter(|line| line.actions.contains(Action::List));
        Self { basis: Basis::of(facts, actor), scopes: listing.map(|line| line.scope.clone()).collect() }
    }

    /// The facts that it was decided from.
    pub fn basis(&self) -> Basis {
        self.basis
    }

    /// Whether the whole of a scope may be listed.
    pub fn shows(&self, target: &Scope) -> bool {
        self.scopes.iter().any(|scope| scope.contains(target))
    }
}
