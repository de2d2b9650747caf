//! Creates of a path that an earlier create has left to a secret without a value.
//!
//! Guarantees that only a secret is taken over that never had a value: each of its versions was given up, as the vault has signed,
//! and the vault has no envelope of it. Its id and its numbers stay, so that a repeat of the earlier create finds what became of it,
//! and no number stands for two values. It gets the rules and the description of the create that takes it over by a change of the
//! registry: its row from before counts no more, also for somebody who puts it back.

use manager_policy::{ActionType, Permit, SecretFacts};
use manager_registry::SecretRules;
use manager_store::{ActError, Details};
use service_runtime::Refusal;
use service_runtime::audit::Origin;
use shared_proto::error::ErrorCode;
use shared_proto::id::SecretId;

use super::SecretWriter;
use super::changes::{After, Known, act, asked_for, facts_after};
use crate::access::{Asked, Caller, View};

impl SecretWriter {
    /// Takes over the secret that is at the path of a create, and that the caller has this permit for. Returns the caller before the
    /// state of the registry that there is then. The caller of this holds the lock of the path.
    ///
    /// # Errors
    /// `AlreadyExists`: it has a value or had one, is deleted or frozen. `SecretNotFound`: the caller may not write there with these
    /// rules. `Unavailable`: the vault does not say what it has.
    pub(super) async fn take_over<A: ActionType>(
        &self,
        (facts, permit): (&SecretFacts, &Permit<A>),
        (rules, details): (&SecretRules, &Details),
        caller: &Caller,
        meta: &Origin,
    ) -> Result<Caller, Refusal> {
        self.check_empty(facts.id, permit).await?;
        let found = self.store.placed(vec![facts.id]).await?.into_iter().next().flatten();
        let Some((placed, known, revision)) = found.filter(|(placed, ..)| placed.facts == *facts) else {
            return Err(ActError::SecretChanged.into());
        };
        if placed.rules.deletion.is_some() || placed.rules.frozen.is_some() {
            return Err(taken());
        }
        if (&placed.rules, &known) == (rules, details) {
            return Ok(caller.clone());
        }
        let known = Known { placed, details: known, revision };
        let after = After { path: facts.path.clone(), rules: rules.clone(), details: Some(details.clone()) };
        let next = facts_after(facts, &after);
        let _at_the_end: Permit<A> = caller.permit_on(Some(&next))?;
        self.pace.take(caller.subject())?;
        self.audit.record(act(&known, &after), meta).await?;
        let decide = |caller: &Caller, _view: &View| {
            for facts in [facts, &next] {
                caller.permit_on::<A>(Some(facts))?;
            }
            // There is no token for a secret without a value.
            Ok(Asked { events: Vec::new(), ..asked_for(caller, &known, after, Some(known.revision)) })
        };
        let changed = caller.change(&self.registry, None, None, decide).await;
        // The caller of a create has seen no revision.
        let is_conflict = |refusal: &Refusal| refusal.code() == ErrorCode::VersionConflict;
        changed.map_err(|refusal| if is_conflict(&refusal) { ActError::SecretChanged.into() } else { refusal })?;
        let view = self.registry.now().await?;
        caller.again(&view)
    }

    /// Refuses a secret that has a value, had one, or has one in the vault alone, as after a restore.
    async fn check_empty<A: ActionType>(&self, secret: SecretId, permit: &Permit<A>) -> Result<(), Refusal> {
        let look = permit.to_look();
        let state = self.store.secret(&look, secret).await?.ok_or(ActError::SecretChanged)?;
        if state.had_value {
            return Err(taken());
        }
        if !state.pending.is_empty() {
            self.settler.settle(&state.pending).await?;
            let settled = self.store.secret(&look, secret).await?.ok_or(ActError::SecretChanged)?;
            if settled.had_value || !settled.pending.is_empty() {
                return Err(taken());
            }
        }
        if self.settler.stored_of(secret).await?.is_empty() {
            return Ok(());
        }
        Err(Refusal::new(ErrorCode::AlreadyExists).detail(
            "A secret has this path, and the vault has versions of it that the catalogue lacks; run reconcile.",
        ))
    }
}

/// The refusal of a create whose path has a secret.
pub(super) fn taken() -> Refusal {
    Refusal::new(ErrorCode::AlreadyExists).detail("A secret has this path.")
}
