//! Creates of a path that an earlier create has left to a secret without a value.
//!
//! Guarantees that only a secret is taken over that never had a value: each of its versions was given up, as the vault has signed,
//! and the vault has no envelope of it. Its id and its numbers stay, so that a repeat of the earlier create finds what became of it,
//! and no number stands for two values. It gets the rules and the description of the create that takes it over by a change of the
//! registry: its row from before counts no more, also for somebody who puts it back.

use manager_policy::{ActionType, Permit, SecretFacts};
use manager_registry::SecretRules;
use manager_store::{ActError, Details, SecretState};
use service_runtime::Refusal;
use service_runtime::audit::Origin;
use shared_proto::error::ErrorCode;

use super::SecretWriter;
use super::changes::{After, Known, act, asked_for, facts_after};
use crate::access::{Asked, Caller, View};

impl SecretWriter {
    /// Refuses a create of a path whose secret has a value or had one, or that is deleted or frozen. The caller of this holds the
    /// lock of the path.
    ///
    /// # Errors
    /// `AlreadyExists`. `Unavailable`: the vault does not say what became of a version.
    pub(super) async fn check_empty<A: ActionType>(
        &self,
        known: &SecretState,
        permit: &Permit<A>,
    ) -> Result<(), Refusal> {
        if known.had_value || known.rules.deletion.is_some() || known.rules.frozen.is_some() {
            return Err(taken());
        }
        if !known.pending.is_empty() {
            self.settler.settle(&known.pending).await?;
            let settled = self.store.secret(&permit.to_look(), known.secret).await?.ok_or(ActError::SecretChanged)?;
            if settled.had_value {
                return Err(taken());
            }
        }
        Ok(())
    }

    /// Gives the secret at the path of a create, which has passed [`Self::check_empty`], the rules and the description of that, and
    /// a new number in any case: what was approved for the former one is over. Returns the caller before the state of the registry
    /// that there is then.
    ///
    /// # Errors
    /// The caller may not write there with these rules, or the secret has changed meanwhile. `AlreadyExists`: the vault has a value
    /// of it that the catalogue lacks, as after a restore. `Unavailable`: the vault does not say what it has.
    pub(super) async fn take_over<A: ActionType>(
        &self,
        facts: &SecretFacts,
        (rules, details): (&SecretRules, &Details),
        caller: &Caller,
        meta: &Origin,
    ) -> Result<Caller, Refusal> {
        let found = self.store.placed(vec![facts.id]).await?.into_iter().next().flatten();
        // By its number it has the same rules, too.
        let Some((placed, known, revision)) = found.filter(|(placed, ..)| placed.facts == *facts) else {
            return Err(ActError::SecretChanged.into());
        };
        self.pace.take(caller.subject())?;
        if !self.settler.stored_of(facts.id, 1).await?.is_empty() {
            return Err(Refusal::new(ErrorCode::AlreadyExists).detail(
                "A secret has this path, and the vault has versions of it that the catalogue lacks; run reconcile.",
            ));
        }
        let known = Known { placed, details: known, revision };
        let after = After { path: facts.path.clone(), rules: rules.clone(), details: Some(details.clone()) };
        let next = facts_after(facts, &after);
        let _at_the_end: Permit<A> = caller.permit_on(Some(&next))?;
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
}

/// The refusal of a create whose path has a secret.
pub(super) fn taken() -> Refusal {
    Refusal::new(ErrorCode::AlreadyExists).detail("A secret has this path.")
}
