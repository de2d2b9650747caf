//! Changing an incident: steps, notes, the end of its freeze, and its own end.

use manager_api::id::IncidentId;
use manager_api::incidents::{ChangeIncident, IncidentNote, MAX_INCIDENT_NOTES};
use manager_policy::{Permit, Rotate};
use manager_registry::{DoneStep, Incident, SecretRules};
use service_runtime::Refusal;
use service_runtime::audit::Origin;
use shared_proto::error::ErrorCode;

use super::{Incidents, Shown, is_frozen_by, not_found, permit_to_see, with_rules};
use crate::access::{Asked, Caller, View};
use crate::audit_event::response::IncidentAct;
use crate::catalogue::{Known, check_still_at};
use crate::revocation::Sequences;

impl Incidents {
    /// Marks steps as done, adds a note, lifts the freeze, closes.
    ///
    /// # Errors
    /// `IncidentNotFound`: it is unknown, or not the caller's to see. `NotPermitted`: he may not rotate the secret.
    /// `ParameterInvalid`: it changes nothing, names a step of another procedure, or closes it while a step is open or its
    /// freeze holds. `AlreadyExists`: it is closed. `LimitReached`: it has as many notes as it may.
    pub async fn change(
        &self,
        id: IncidentId,
        asked: ChangeIncident,
        caller: &Caller,
        origin: &Origin,
    ) -> Result<(Shown, Sequences), Refusal> {
        if asked == ChangeIncident::default() {
            return Err(Refusal::parameter("Name what shall change."));
        }
        let view = self.registry.now().await?;
        let secret = view.state.incident(id).ok_or_else(not_found)?.secret_id;
        let known = self.known(secret).await?;
        permit_to_see(caller, known.as_ref().map(|known| &known.placed.facts))?;
        let known = known.ok_or_else(not_found)?;
        let decide = |caller: &Caller, view: &View| decide(caller, view, &known, id, &asked);
        let again = caller.again(&view)?;
        let (_, shown) = decide(&again, &view)?;
        let before = is_frozen_by(Some(&known), id);
        if view.state.incident(id) == Some(&shown.incident) && shown.frozen == before {
            // Steps that are done already: there is nothing to write.
            let permit: Permit<Rotate> = again.permit_on(Some(&known.placed.facts))?;
            let basis = permit.basis_for(permit.scope());
            let basis = basis.ok_or_else(|| Refusal::internal("a permit is not for its scope"))?;
            self.store.look_again_at(basis).await?;
            return Ok((shown, Sequences { numbers: Vec::new(), applied: true }));
        }
        drop(view);
        self.keeper.pace.take(caller.subject())?;
        self.audit.record(IncidentAct::Change(secret, id), origin).await?;
        let mut made = None;
        let change = |caller: &Caller, view: &View| {
            let (change, shown) = decide(caller, view)?;
            made = Some(shown);
            Ok(change)
        };
        let done = self.revocations.change_places(caller, None, change).await?;
        Ok((made.ok_or_else(|| Refusal::internal("an incident was not changed"))?, done))
    }
}

fn decide(
    caller: &Caller,
    view: &View,
    known: &Known,
    id: IncidentId,
    asked: &ChangeIncident,
) -> Result<(Asked, Shown), Refusal> {
    let incident = view.state.incident(id).ok_or_else(not_found)?;
    let rotates = caller.permit_on::<Rotate>(Some(&known.placed.facts));
    rotates.map_err(|_| Refusal::new(ErrorCode::NotPermitted).detail("You may not rotate the secret."))?;
    check_still_at(view, &known.placed.facts)?;
    if !incident.is_open() {
        return Err(Refusal::new(ErrorCode::AlreadyExists).detail("The incident is closed, and stays as it is."));
    }
    let (now, by) = (caller.now(), caller.subject());
    let mut after = incident.clone();
    mark(&mut after, asked, caller)?;
    if let Some(note) = &asked.note {
        if after.notes.len() >= MAX_INCIDENT_NOTES {
            return Err(Refusal::new(ErrorCode::LimitReached).detail("The incident has 32 notes."));
        }
        after.notes.push(IncidentNote { by, at: now, note: note.clone() });
    }
    let is_frozen = is_frozen_by(Some(known), id);
    let lifts = is_frozen && asked.lift_freeze;
    if lifts && let Some(signed_on) = caller.signed_on() {
        // Others read it afterwards.
        signed_on.check_open()?;
        signed_on.check_recent(now)?;
    }
    if asked.close {
        if after.open_steps().next().is_some() {
            return Err(Refusal::parameter("It is closed when all its steps are done."));
        }
        if is_frozen && !lifts {
            return Err(Refusal::parameter("It is closed when its freeze is lifted: lift_freeze does both."));
        }
        (after.closed_by, after.closed_at) = (by, Some(now));
    }
    let mut change = if lifts {
        with_rules(known, SecretRules { frozen: None, ..known.placed.rules.clone() })
    } else {
        Asked::default()
    };
    change.changes.push(after.clone().into());
    Ok((change, Shown { incident: after, frozen: is_frozen && !lifts }))
}

/// Marks steps as done. One that is done already stays with whoever did it.
fn mark(after: &mut Incident, asked: &ChangeIncident, caller: &Caller) -> Result<(), Refusal> {
    for step in &asked.done {
        if !after.incident_kind.steps().iter().any(|(known, _)| known == step) {
            return Err(Refusal::parameter("A step is of another procedure."));
        }
        if !after.done.iter().any(|done| done.step == *step) {
            after.done.push(DoneStep { step: *step, by: caller.subject(), at: caller.now() });
        }
    }
    Ok(())
}
