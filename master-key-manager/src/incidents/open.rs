//! Opening an incident.

use std::collections::{BTreeMap, BTreeSet};

use manager_api::id::IncidentId;
use manager_api::incidents::{IncidentKind, OpenIncident};
use manager_policy::Rotate;
use manager_registry::{Change, Incident, RecordName, SecretRules};
use service_runtime::Refusal;
use service_runtime::audit::Origin;
use shared_proto::error::ErrorCode;
use shared_proto::event::Event;
use shared_proto::id::{SecretId, Subject};

use super::{Incidents, MOST, MOST_CLOSED_OF_SECRET, MOST_OPEN_OF_ONE, Shown, with_rules};
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
        self.keeper.pace.take(caller.subject())?;
        self.audit.record(IncidentAct::Open(secret, incident_id), origin).await?;
        let mut made = None;
        let reason = asked.reason.clone();
        let change = |caller: &Caller, view: &View| {
            let (change, shown) = decide(caller, view)?;
            made = Some(shown);
            Ok(change)
        };
        let done = self.revocations.change_places(caller, Some(&reason), change).await?;
        // The incident is open, whatever becomes of its notices: those that are missing are made within the hour.
        if let Err(fault) = self.store.notice_incident(incident_id, caller.now()).await {
            tracing::warn!(%fault, "the notices of an incident were not made yet");
        }
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
    let mut changes = make_room(view, facts.id, asked.kind, caller.subject())?;
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

/// Refuses more incidents than there may be, or removes a closed one to make room: the oldest of this secret that the same
/// principal opened, if he opened many of it, and else of whoever has opened the most. So a flood removes its own.
fn make_room(view: &View, secret: SecretId, kind: IncidentKind, by: Option<Subject>) -> Result<Vec<Change>, Refusal> {
    let (mut all, mut open_of_one) = (0, 0);
    let mut of_secret: BTreeSet<(u64, IncidentId)> = BTreeSet::new();
    let mut closed: BTreeMap<Option<Subject>, BTreeSet<(u64, IncidentId)>> = BTreeMap::new();
    for incident in view.state.incidents() {
        all += 1;
        let is_own = incident.opened_by == by;
        open_of_one += usize::from(incident.is_open() && is_own);
        if incident.is_open() && incident.secret_id == secret && incident.incident_kind == kind {
            let detail = format!("{} of the secret is open.", incident.incident_id);
            return Err(Refusal::new(ErrorCode::AlreadyExists).detail(detail));
        }
        if let Some(at) = incident.closed_at {
            let end = (at, incident.incident_id);
            closed.entry(incident.opened_by).or_default().insert(end);
            if is_own && incident.secret_id == secret {
                of_secret.insert(end);
            }
        }
    }
    if open_of_one >= MOST_OPEN_OF_ONE {
        return Err(Refusal::new(ErrorCode::LimitReached).detail("256 incidents that you opened are open."));
    }
    let gone = if of_secret.len() >= MOST_CLOSED_OF_SECRET {
        of_secret.first()
    } else if all >= MOST {
        let most = closed.values().max_by_key(|ends| ends.len()).and_then(BTreeSet::first);
        Some(most.ok_or_else(|| Refusal::new(ErrorCode::LimitReached).detail("2,000 incidents are open."))?)
    } else {
        None
    };
    Ok(gone.into_iter().map(|(_, id)| RecordName::from(*id).into()).collect())
}
