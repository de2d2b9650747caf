//! Opening an incident.

use manager_api::id::IncidentId;
use manager_api::incidents::{IncidentKind, OpenIncident};
use manager_policy::Rotate;
use manager_registry::{Change, Incident, RecordName, SecretRules};
use service_runtime::Refusal;
use service_runtime::audit::Origin;
use shared_proto::error::ErrorCode;
use shared_proto::event::Event;
use shared_proto::id::{SecretId, Subject};

use super::{Incidents, KEPT_SECONDS, MOST, MOST_CLOSED_OF_SECRET, MOST_OPEN_OF_ONE, Shown, with_rules};
use crate::access::{Asked, Caller, View};
use crate::audit_event::response::IncidentAct;
use crate::catalogue::{Known, check_still_at};
use crate::revocation::Sequences;

impl Incidents {
    /// Opens an incident of a secret, with its freeze and the revocation of its tokens.
    ///
    /// # Errors
    /// `SecretNotFound`: it is unknown, or the caller may not rotate it. `SecretDeleted`: it is destroyed, or is to be frozen
    /// and deleted. `AlreadyExists`: it has an open incident of this kind. `LimitReached`.
    pub async fn open(
        &self,
        secret: SecretId,
        asked: OpenIncident,
        caller: &Caller,
        origin: &Origin,
    ) -> Result<(Shown, Sequences), Refusal> {
        let known = self.known(secret).await?;
        caller.permit_on::<Rotate>(known.as_ref().map(|known| &known.placed.facts))?;
        let known = known.ok_or_else(|| Refusal::new(ErrorCode::SecretNotFound))?;
        let incident_id = IncidentId::generate();
        let decide = |caller: &Caller, view: &View| decide(caller, view, &known, incident_id, &asked);
        let view = self.registry.now().await?;
        decide(&caller.again(&view)?, &view)?;
        drop(view);
        self.audit.record(IncidentAct::Open(secret, incident_id), origin).await?;
        let mut made = None;
        let reason = asked.reason.clone();
        let change = |caller: &Caller, view: &View| {
            let (change, shown) = decide(caller, view)?;
            made = Some(shown);
            Ok(change)
        };
        let done = self.revocations.change_places(caller, Some(&reason), change).await?;
        Ok((made.ok_or_else(|| Refusal::internal("an incident was not opened"))?, done))
    }
}

fn decide(
    caller: &Caller,
    view: &View,
    known: &Known,
    incident_id: IncidentId,
    asked: &OpenIncident,
) -> Result<(Asked, Shown), Refusal> {
    let facts = &known.placed.facts;
    caller.permit_on::<Rotate>(Some(facts))?;
    check_still_at(view, facts)?;
    let now = caller.now();
    if asked.since.is_some_and(|since| since > now) {
        return Err(Refusal::parameter("since is not in the future."));
    }
    let rules = &known.placed.rules;
    match rules.deletion {
        Some(deletion) if deletion.destroyed || asked.freeze => return Err(Refusal::new(ErrorCode::SecretDeleted)),
        Some(_) | None => {}
    }
    let mut changes = make_room(view, facts.id, asked.kind, caller.subject(), now)?;
    // One that is frozen already stays so until that is lifted.
    let freezes = asked.freeze && rules.frozen.is_none();
    let mut change = if freezes {
        with_rules(known, SecretRules { frozen: Some(incident_id), ..rules.clone() })
    } else {
        Asked::default()
    };
    let revokes = asked.freeze || asked.revoke.unwrap_or(asked.kind == IncidentKind::Compromise);
    if revokes {
        change.events.push(Event::Secret(facts.id));
    }
    let incident = Incident {
        incident_id,
        incident_kind: asked.kind,
        secret_id: facts.id,
        environment_id: facts.environment,
        path: facts.path.clone(),
        reason: asked.reason.clone(),
        since: asked.since,
        opened_by: caller.subject(),
        opened_at: now,
        done: Vec::new(),
        notes: Vec::new(),
        closed_by: None,
        closed_at: None,
    };
    changes.push(incident.clone().into());
    change.changes.extend(changes);
    Ok((change, Shown { incident, frozen: freezes }))
}

/// Refuses more incidents than there may be, or removes closed ones to make room.
fn make_room(
    view: &View,
    secret: SecretId,
    kind: IncidentKind,
    by: Option<Subject>,
    now: u64,
) -> Result<Vec<Change>, Refusal> {
    let (mut all, mut open_of_one) = (0, 0);
    let mut closed: Vec<(u64, IncidentId)> = Vec::new();
    let mut oldest: Option<(u64, IncidentId)> = None;
    for incident in view.state.incidents() {
        all += 1;
        open_of_one += usize::from(incident.is_open() && incident.opened_by == by);
        if incident.is_open() && incident.secret_id == secret && incident.incident_kind == kind {
            let detail = format!("{} of the secret is open.", incident.incident_id);
            return Err(Refusal::new(ErrorCode::AlreadyExists).detail(detail));
        }
        let end = incident.closed_at.map(|at| (at, incident.incident_id));
        oldest = oldest.into_iter().chain(end).min();
        closed.extend(end.filter(|_| incident.secret_id == secret));
    }
    if open_of_one >= MOST_OPEN_OF_ONE {
        return Err(Refusal::new(ErrorCode::LimitReached).detail("256 incidents that you opened are open."));
    }
    closed.sort_unstable();
    let excess = (closed.len() + 1).saturating_sub(MOST_CLOSED_OF_SECRET);
    let mut gone: Vec<IncidentId> = closed.into_iter().take(excess).map(|(_, id)| id).collect();
    if gone.is_empty() && all >= MOST {
        let old = oldest.filter(|(at, _)| at.saturating_add(KEPT_SECONDS) <= now);
        let (_, id) = old.ok_or_else(|| Refusal::new(ErrorCode::LimitReached).detail("There are 2,000 incidents."))?;
        gone.push(id);
    }
    Ok(gone.into_iter().map(|id| RecordName::from(id).into()).collect())
}
