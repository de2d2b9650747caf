//! Changes of a secret that are no versions: its path, its rules and its description.
//!
//! Guarantees that a change which gives the secret to somebody needs the right to share it, that tokens of before are revoked
//! with a change of what decisions rest on, and that it is decided on the state of the moment.

use std::sync::Arc;

use manager_api::name::SecretPath;
use manager_api::policy::PartyId;
use manager_api::rotation::RotationPlan;
use manager_api::secrets::{ChangeSecret, MAX_ROTATION_DAYS};
use manager_policy::{ActionType, Destroy, Permit, Read, SecretFacts, Share, Write};
use manager_registry::{Place, SecretRules};
use manager_store::{Details, ManagerStore, NewDetails, NewPlace, PlacedSecret};
use service_runtime::Refusal;
use service_runtime::audit::{AuditLog, Origin};
use shared_proto::Malformed;
use shared_proto::error::ErrorCode;
use shared_proto::event::Event;
use shared_proto::id::SecretId;

use super::Settler;
use super::gains::Gains;
use super::secret_writer::deleted;
use super::target::OTHER_READING;
use crate::access::{Asked, Caller, ChangePace, View, check_owner, conflict_refused};
use crate::audit_event::SecretChange;
use crate::revocation::{Revocations, Sequences};

/// Changes secrets.
pub struct SecretKeeper {
    pub(crate) store: Arc<dyn ManagerStore>,
    pub(crate) revocations: Arc<Revocations>,
    /// Asks the vault what it has.
    pub(crate) settler: Arc<Settler>,
    pub(crate) audit: AuditLog,
    /// Of changes of places, and of acts that are asked for.
    pub(crate) pace: Arc<ChangePace>,
}

/// A secret with the state that a change is made on.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) placed: PlacedSecret,
    pub(super) details: Details,
    pub(super) revision: u64,
}

impl Known {
    /// The owner of the secret, as its description says.
    pub(crate) fn owner(&self) -> Option<PartyId> {
        self.details.owner
    }
}

/// The place and the rules of a secret after a change.
#[derive(Clone)]
pub(super) struct After {
    pub(super) path: SecretPath,
    pub(super) rules: SecretRules,
    pub(super) details: Option<Details>,
}

impl SecretKeeper {
    /// Changes a secret.
    ///
    /// # Errors
    /// `SecretNotFound`: it is unknown, or the caller may not write to it. `NotPermitted`: he may not write at its new place, or
    /// somebody would gain the right to read, and he may not share it; or former versions would be destroyed, and he may not do
    /// that. `ParameterInvalid`: nobody is the owner that it names. `AlreadyExists`, `VersionConflict`, `SecretDeleted`.
    pub async fn change(
        &self,
        secret: SecretId,
        asked: ChangeSecret,
        caller: &Caller,
        origin: &Origin,
    ) -> Result<Sequences, Refusal> {
        check(&asked)?;
        let (known, permit) = self.known_to::<Write>(secret, caller).await?;
        if known.placed.rules.deletion.is_some() {
            return Err(deleted());
        }
        if asked.if_revision.is_some_and(|seen| seen != known.revision) {
            return Err(conflict_refused(manager_store::PlaceConflict::OtherRevision));
        }
        let (rules, details) = (rules_after(&known.placed.rules, &asked), details_after(&known.details, &asked));
        if details.owner != known.details.owner {
            let view = self.revocations.view().await?;
            check_owner(&view, details.owner)?;
        }
        let path = asked.path.clone().unwrap_or_else(|| known.placed.facts.path.clone());
        let is_same_place = path == known.placed.facts.path && rules == known.placed.rules;
        if is_same_place && details == known.details {
            let basis = permit.basis_for(permit.scope());
            self.store.look_again_at(basis.ok_or_else(|| Refusal::internal("a permit is not for its scope"))?).await?;
            return Ok(Sequences { numbers: Vec::new(), applied: true });
        }
        if !is_same_place {
            let details = Some(details).filter(|details| *details != known.details);
            let after = After { path, rules, details };
            // Whoever may not write it at all has nothing looked for.
            may_write(caller, (&known, &after))?;
            self.pace.take(caller.subject())?;
            let facts = &known.placed.facts;
            let gains = Gains::of(caller, facts.clone(), facts_after(facts, &after)).await?;
            may_change(caller, (&known, &after), &gains)?;
            self.audit.record(act(&known, &after), origin).await?;
            return self.replace((&known, after, gains), (asked.if_revision, asked.reason.as_ref()), caller).await;
        }
        let after = After { path, rules, details: Some(details.clone()) };
        self.audit.record(act(&known, &after), origin).await?;
        let new = NewDetails { secret, details, expected: known.revision };
        let changed = self.store.describe(&permit, new).await?;
        changed.map_err(conflict_refused)?;
        Ok(Sequences { numbers: Vec::new(), applied: true })
    }

    /// The state of a secret, and the permit of a caller for an action on it. Nothing but its facts is read for a caller who has
    /// none: it takes as long as for a secret that does not exist.
    ///
    /// # Errors
    /// `SecretNotFound`: it is unknown, or the policy does not allow the action.
    pub(crate) async fn known_to<A: ActionType>(
        &self,
        secret: SecretId,
        caller: &Caller,
    ) -> Result<(Known, Permit<A>), Refusal> {
        let _may_know: Permit<A> = caller.permit_on_id(self.store.as_ref(), secret).await?;
        let known = self.known(secret).await?.ok_or_else(|| Refusal::new(ErrorCode::SecretNotFound))?;
        // It may have moved between the two.
        let permit = caller.permit_on(Some(&known.placed.facts))?;
        Ok((known, permit))
    }

    /// The state of a secret that a change is made on.
    pub(crate) async fn known(&self, secret: SecretId) -> Result<Option<Known>, Refusal> {
        let found = self.store.placed(vec![secret]).await?.into_iter().next().flatten();
        Ok(found.map(|(placed, details, revision)| Known { placed, details, revision }))
    }

    /// Gives a secret another place or other rules.
    async fn replace(
        &self,
        (known, after, gains): (&Known, After, Gains),
        (if_revision, reason): (Option<u64>, Option<&manager_api::name::Reason>),
        caller: &Caller,
    ) -> Result<Sequences, Refusal> {
        let decide = |caller: &Caller, _view: &View| {
            may_change(caller, (known, &after), &gains)?;
            Ok(asked_for(caller, known, after.clone(), if_revision))
        };
        self.revocations.change_places(caller, reason, decide).await
    }
}

/// The act of a change, with what a reader of the log cannot find out afterwards: where the secret was, and what became another.
pub(super) fn act<'a>(known: &'a Known, after: &'a After) -> SecretChange<'a> {
    let (before, rules) = (&known.placed.facts, &known.placed.rules);
    let former = Some(&before.path).filter(|former| **former != after.path);
    let places = [
        ("path", former.is_some()),
        ("tags", rules.tags != after.rules.tags),
        ("service_only", rules.service_only != after.rules.service_only),
        ("requires_approval", rules.requires_approval != after.rules.requires_approval),
        ("retention", rules.retention != after.rules.retention),
        ("rate_limit", rules.rate_limit != after.rules.rate_limit),
    ];
    let old = &known.details;
    let descriptions = after.details.iter().flat_map(|new| {
        [
            ("kind", old.kind != new.kind),
            ("class", old.class != new.class),
            ("description", old.description != new.description),
            ("owner", old.owner != new.owner),
            ("metadata", old.metadata != new.metadata),
            ("never_expires", old.never_expires != new.never_expires),
            ("rotation_days", old.rotation_days != new.rotation_days),
            ("rotation", old.rotation != new.rotation),
        ]
    });
    let changed = places.into_iter().chain(descriptions).filter(|(_, is_other)| *is_other).map(|(name, _)| name);
    SecretChange { secret: before.id, path: &after.path, former, changed: changed.collect() }
}

/// The change of the registry for another place or other rules of a secret.
pub(super) fn asked_for(caller: &Caller, known: &Known, after: After, if_revision: Option<u64>) -> Asked {
    let facts = &known.placed.facts;
    // Also for the holder of a credential that is limited to a part, and whatever the policy says about the others.
    let is_told_apart = caller.facts().tell_apart(facts, &facts_after(facts, &after));
    // Tokens of before were made without an approval.
    let needs_more = after.rules.requires_approval && !known.placed.rules.requires_approval;
    // A description is replaced as a whole: nobody's change of before gets lost.
    let if_revision = if_revision.or(after.details.as_ref().map(|_| known.revision));
    let place = NewPlace {
        secret: facts.id,
        environment: facts.environment,
        expected: facts.number,
        path: after.path,
        rules: after.rules,
        details: after.details,
        if_revision,
    };
    let events = if is_told_apart || needs_more { vec![Event::Secret(facts.id)] } else { Vec::new() };
    Asked { changes: vec![Place::changed(facts.id).into()], places: vec![place].into(), events }
}

/// Refuses a change that the caller may not make: writing at both ends, and sharing if somebody gains a right by it.
fn may_change(caller: &Caller, (known, after): (&Known, &After), gains: &Gains) -> Result<(), Refusal> {
    may_write(caller, (known, after))?;
    let before = &known.placed.facts;
    let new = facts_after(before, after);
    may_keep_few(caller, known, &after.rules)?;
    let needs_less = known.placed.rules.requires_approval && !after.rules.requires_approval;
    let is_loosened = known.placed.rules.rate_limit.is_some_and(|limit| limit.is_loosened_by(after.rules.rate_limit));
    // By a credential that is limited to the new place.
    let reads = |secret: &SecretFacts| caller.permit_on::<Read>(Some(secret)).is_ok();
    if needs_less || is_loosened || gains.are_given(caller) || (reads(&new) && !reads(before)) {
        let share: Result<Permit<Share>, Refusal> = caller.permit_on(Some(before));
        share.map_err(|_| {
            not_permitted("Somebody could do more with the secret afterwards, and you may not share it.")
        })?;
        if let Some(signed_on) = caller.signed_on() {
            signed_on.check_open()?;
            signed_on.check_recent(caller.now())?;
        }
    }
    Ok(())
}

/// Refuses a change of a secret that the caller may not write where it is and where it goes.
fn may_write(caller: &Caller, (known, after): (&Known, &After)) -> Result<(), Refusal> {
    let before = &known.placed.facts;
    caller.permit_on::<Write>(Some(before))?;
    let at_the_new_place: Result<Permit<Write>, Refusal> = caller.permit_on(Some(&facts_after(before, after)));
    at_the_new_place.map_err(|_| not_permitted("You may not write at the new place of the secret."))?;
    if after.path != before.path && !caller.may_give(before.environment, &after.path) {
        return Err(not_permitted(OTHER_READING));
    }
    Ok(())
}

/// Refuses a rule of retention that destroys more than the one before, from a caller who may not destroy.
fn may_keep_few(caller: &Caller, known: &Known, after: &SecretRules) -> Result<(), Refusal> {
    if !after.retention.is_some_and(|rule| rule.destroys_more_than(known.placed.rules.retention)) {
        return Ok(());
    }
    let destroy: Result<Permit<Destroy>, Refusal> = caller.permit_on(Some(&known.placed.facts));
    destroy
        .map(|_permit| ())
        .map_err(|_| not_permitted("The rule would destroy versions, and you may not destroy them."))
}

fn not_permitted(detail: &'static str) -> Refusal {
    Refusal::new(ErrorCode::NotPermitted).detail(detail)
}

/// What decisions about a secret rest on after a change.
pub(super) fn facts_after(before: &SecretFacts, after: &After) -> SecretFacts {
    let (path, tags) = (after.path.clone(), after.rules.tags.clone());
    SecretFacts { path, tags, service_only: after.rules.service_only, ..before.clone() }
}

fn check(asked: &ChangeSecret) -> Result<(), Refusal> {
    let ChangeSecret { if_revision, reason, .. } = asked;
    if *asked == (ChangeSecret { if_revision: *if_revision, reason: reason.clone(), ..ChangeSecret::default() }) {
        return Err(Refusal::parameter("Name what shall change."));
    }
    if asked.path.as_ref().is_some_and(SecretPath::is_reserved) {
        return Err(Refusal::new(ErrorCode::NameInvalid)
            .detail("Paths under unnamed/ and destroyed/ are given by the service."));
    }
    check_rotation(asked.rotation_days.value().copied())?;
    check_plan(asked.rotation.value())
}

/// Refuses a plan of rotation that breaks its rules.
///
/// # Errors
/// `parameter_invalid`.
pub fn check_plan(plan: Option<&RotationPlan>) -> Result<(), Refusal> {
    plan.map_or(Ok(()), |plan| plan.check().map_err(|Malformed(rule)| Refusal::parameter(rule)))
}

/// Refuses a rotation period out of its range.
///
/// # Errors
/// `parameter_invalid`.
pub fn check_rotation(days: Option<u16>) -> Result<(), Refusal> {
    if days.is_some_and(|days| !(1..=MAX_ROTATION_DAYS).contains(&days)) {
        return Err(Refusal::parameter("rotation_days is 1 to 3650."));
    }
    Ok(())
}

fn rules_after(before: &SecretRules, asked: &ChangeSecret) -> SecretRules {
    SecretRules {
        tags: asked.tags.clone().unwrap_or_else(|| before.tags.clone()),
        service_only: asked.service_only.unwrap_or(before.service_only),
        requires_approval: asked.requires_approval.unwrap_or(before.requires_approval),
        retention: asked.retention.after(before.retention.as_ref()),
        rate_limit: asked.rate_limit.after(before.rate_limit.as_ref()),
        ..before.clone()
    }
}

fn details_after(before: &Details, asked: &ChangeSecret) -> Details {
    Details {
        kind: asked.kind.or(before.kind),
        class: asked.class.after(before.class.as_ref()),
        description: asked.description.after(before.description.as_ref()),
        owner: asked.owner.after(before.owner.as_ref()),
        metadata: asked.metadata.clone().unwrap_or_else(|| before.metadata.clone()),
        rotation_days: asked.rotation_days.after(before.rotation_days.as_ref()),
        never_expires: asked.never_expires.unwrap_or(before.never_expires),
        rotation: asked.rotation.after(before.rotation.as_ref()),
    }
}
