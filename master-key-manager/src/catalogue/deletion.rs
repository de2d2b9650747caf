//! Deletion of secrets, taking them back, and their destruction.
//!
//! Guarantees that a deletion revokes the tokens of the secret with it, that a deleted secret keeps its path and all that it
//! had until a date, and that each step is decided on the state that it is made of. A destruction is one change of the
//! registry, from which there is no way back; the envelopes follow in steps ([`super::erasing`]).

use manager_api::name::{Reason, SecretPath};
use manager_api::tags::Tags;
use manager_policy::{Delete, Destroy, SecretFacts};
use manager_registry::{Change, Deletion, EnvironmentRules, Place, SecretRules};
use manager_store::{ActError, Details, NewPlace};
use service_runtime::Refusal;
use service_runtime::audit::Origin;
use shared_proto::error::ErrorCode;
use shared_proto::event::Event;
use shared_proto::id::{EnvironmentId, SecretId};

use super::changes::{Known, SecretKeeper};
use super::secret_writer::deleted;
use crate::access::{Asked, Caller, View};
use crate::audit_event::{Act, SecretAct};
use crate::revocation::Sequences;
use manager_api::approvals::ApprovalState;
use manager_registry::Approval;

/// The seconds of a day.
const DAY: u64 = 86_400;

impl SecretKeeper {
    /// Deletes a secret for a time in which it can be taken back. One that is deleted already stays as it is.
    ///
    /// # Errors
    /// `SecretNotFound`: it is unknown, or the caller may not delete it. `SecretDeleted`: it is destroyed.
    pub async fn delete(
        &self,
        secret: SecretId,
        reason: Option<&Reason>,
        caller: &Caller,
        origin: &Origin,
    ) -> Result<(Deletion, Sequences), Refusal> {
        let (known, permit) = self.known_to::<Delete>(secret, caller).await?;
        if let Some(deletion) = known.placed.rules.deletion {
            let basis = permit.basis_for(permit.scope());
            self.store.look_again_at(basis.ok_or_else(|| Refusal::internal("a permit is not for its scope"))?).await?;
            return match deletion {
                Deletion { destroyed: true, .. } => Err(deleted()),
                Deletion { destroyed: false, .. } => {
                    Ok((deletion, self.revocations.progress_of(Event::Secret(secret)).await?))
                }
            };
        }
        self.pace.take(caller.subject())?;
        let facts = &known.placed.facts;
        self.audit.record(Act::Secret(SecretAct::Delete, secret, &facts.path), origin).await?;
        let mut made = None;
        let decide = |caller: &Caller, view: &View| {
            caller.permit_on::<Delete>(Some(facts))?;
            let days = rules_of(view, facts.environment).deletion_days();
            let now = caller.now();
            let deletion = Deletion {
                deleted_at: now,
                recoverable_until: now.saturating_add(u64::from(days) * DAY),
                deleted_by: caller.subject(),
                destroyed: false,
            };
            made = Some(deletion);
            let rules = SecretRules { deletion: Some(deletion), ..known.placed.rules.clone() };
            let place = place_after(&known, facts.path.clone(), rules);
            Ok(Asked {
                changes: vec![Place::changed(secret).into()],
                places: vec![place].into(),
                events: vec![Event::Secret(secret)],
            })
        };
        let done = self.revocations.change_places(caller, reason, decide).await?;
        Ok((made.ok_or_else(|| Refusal::internal("a deletion was not decided"))?, done))
    }

    /// Takes a deletion back. Whoever the policy lets read the secret now reads it again, with new tokens.
    ///
    /// # Errors
    /// `SecretNotFound`: it is unknown, or the caller may not delete it. `SecretNotDeleted`: it is active. `SecretDeleted`: it
    /// is destroyed, or its time has passed.
    pub async fn undelete(
        &self,
        secret: SecretId,
        reason: Option<&Reason>,
        caller: &Caller,
        origin: &Origin,
    ) -> Result<Sequences, Refusal> {
        let (known, _permit) = self.known_to::<Delete>(secret, caller).await?;
        may_take_back(&known, caller)?;
        self.pace.take(caller.subject())?;
        let facts = &known.placed.facts;
        self.audit.record(Act::Secret(SecretAct::Undelete, secret, &facts.path), origin).await?;
        let decide = |caller: &Caller, view: &View| {
            may_take_back(&known, caller)?;
            let rules = SecretRules { deletion: None, ..known.placed.rules.clone() };
            let mut changes = ended_destructions(view, secret, None, caller.now());
            changes.push(Place::changed(secret).into());
            Ok(Asked {
                changes,
                places: vec![place_after(&known, facts.path.clone(), rules)].into(),
                events: Vec::new(),
            })
        };
        self.revocations.change_places(caller, reason, decide).await
    }

    /// Destroys a deleted secret with all its versions, unless its environment asks for an approval. Returns whether versions
    /// are left for later.
    ///
    /// # Errors
    /// `SecretNotFound`: it is unknown, or the caller may not destroy it. `SecretNotDeleted`. `ApprovalRequired`.
    pub async fn destroy(
        &self,
        secret: SecretId,
        reason: Option<&Reason>,
        caller: &Caller,
        origin: &Origin,
    ) -> Result<(Sequences, bool), Refusal> {
        let (known, permit) = self.known_to::<Destroy>(secret, caller).await?;
        match known.placed.rules.deletion {
            None => return Err(Refusal::new(ErrorCode::SecretNotDeleted)),
            Some(Deletion { destroyed: true, .. }) => {
                let basis = permit.basis_for(permit.scope());
                let basis = basis.ok_or_else(|| Refusal::internal("a permit is not for its scope"))?;
                self.store.look_again_at(basis).await?;
                return Ok(self.erase_now(secret).await);
            }
            Some(Deletion { destroyed: false, .. }) => {}
        }
        let facts = &known.placed.facts;
        let needs_approval = |view: &View| rules_of(view, facts.environment).destroy_needs_approval;
        let view = self.revocations.view().await?;
        if needs_approval(&view) {
            return Err(Refusal::new(ErrorCode::ApprovalRequired));
        }
        self.audit.record(Act::Secret(SecretAct::Destroy, secret, &facts.path), origin).await?;
        let decide = |caller: &Caller, view: &View| {
            caller.permit_on::<Destroy>(Some(facts))?;
            if needs_approval(view) {
                return Err(Refusal::new(ErrorCode::ApprovalRequired));
            }
            let mut changes = ended_destructions(view, secret, None, caller.now());
            changes.push(Place::changed(secret).into());
            Ok(Asked { changes, places: vec![destroyed_place(&known)?].into(), events: Vec::new() })
        };
        self.revocations.change_places(caller, reason, decide).await?;
        Ok(self.erase_now(secret).await)
    }
}

/// Refuses to take back what cannot be, and what the caller may not.
fn may_take_back(known: &Known, caller: &Caller) -> Result<(), Refusal> {
    caller.permit_on::<Delete>(Some(&known.placed.facts))?;
    match known.placed.rules.deletion {
        None => Err(Refusal::new(ErrorCode::SecretNotDeleted)),
        Some(Deletion { destroyed: true, .. }) => Err(deleted()),
        Some(deletion) if caller.now() >= deletion.recoverable_until => {
            Err(deleted().detail("Its time has passed, and it is about to be destroyed."))
        }
        // Others read it afterwards.
        Some(_) => match caller.signed_on() {
            Some(signed_on) => signed_on.check_open().and_then(|()| signed_on.check_recent(caller.now())),
            None => Ok(()),
        },
    }
}

/// The place of a deleted secret from its destruction on: its path is free for others.
///
/// # Errors
/// It is not deleted, or destroyed already.
pub(crate) fn destroyed_place(known: &Known) -> Result<NewPlace, Refusal> {
    let rules = &known.placed.rules;
    match rules.deletion {
        None => Err(Refusal::new(ErrorCode::SecretNotDeleted)),
        Some(Deletion { destroyed: true, .. }) => Err(deleted()),
        Some(deletion) => {
            let deletion = Some(Deletion { destroyed: true, ..deletion });
            let path = SecretPath::destroyed(known.placed.facts.id);
            // Others see it there than at its former place: what described it goes with its values.
            let rules = SecretRules { deletion, tags: Tags::default(), ..rules.clone() };
            let details = Details { kind: known.details.kind, class: known.details.class, ..Details::default() };
            Ok(NewPlace { details: Some(details), ..place_after(known, path, rules) })
        }
    }
}

fn place_after(known: &Known, path: SecretPath, rules: SecretRules) -> NewPlace {
    let facts = &known.placed.facts;
    NewPlace {
        secret: facts.id,
        environment: facts.environment,
        expected: facts.number,
        path,
        rules,
        details: None,
        if_revision: None,
    }
}

/// The end of the destructions that somebody has asked for and nobody decided: the secret is destroyed, or no longer deleted.
pub(crate) fn ended_destructions(view: &View, secret: SecretId, except: Option<&Approval>, now: u64) -> Vec<Change> {
    let is_about = |known: &&Approval| !known.is_read() && known.act.secret() == secret;
    let open = view.state.approvals().filter(is_about).filter(|known| known.is_open_at(now));
    let others = open.filter(|known| except.is_none_or(|except| except.approval_id != known.approval_id));
    others.map(|known| Approval { state: ApprovalState::Ended, ended_at: Some(now), ..known.clone() }.into()).collect()
}

/// Refuses what was decided about a secret that has another place or other rules by now.
pub(crate) fn check_still_at(view: &View, facts: &SecretFacts) -> Result<(), Refusal> {
    let newest = view.state.place(facts.id).map_or(0, |place| place.number);
    if newest == facts.number { Ok(()) } else { Err(ActError::SecretChanged.into()) }
}

/// The rules of an environment.
pub(crate) fn rules_of(view: &View, environment: EnvironmentId) -> EnvironmentRules {
    view.state.environment_rules(environment).copied().unwrap_or(EnvironmentRules::new(environment))
}
