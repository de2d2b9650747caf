//! Incidents as they are shown, to those who may rotate the secret, or read its audit.

use manager_api::id::IncidentId;
use manager_policy::Action;
use manager_registry::Incident;
use service_runtime::Refusal;
use service_runtime::audit::Origin;
use shared_proto::id::SecretId;

use super::{Incidents, Shown, is_frozen_by, not_found, permit_to_see};
use crate::access::Caller;
use crate::audit_event::response::IncidentAct;

/// A page that is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Only those of this secret.
    pub secret: Option<SecretId>,
    /// Only those that are open, or closed.
    pub open: Option<bool>,
    /// The last incident of the page before.
    pub after: Option<IncidentId>,
    /// The most incidents.
    pub limit: usize,
}

impl Incidents {
    /// A page of incidents, ordered by id. There are 2,000 at most, so that all of their secrets are looked up.
    ///
    /// # Errors
    /// Nothing can be given out.
    pub async fn list(&self, wanted: Wanted, caller: &Caller, origin: &Origin) -> Result<Vec<Shown>, Refusal> {
        let view = self.registry.now().await?;
        let caller = caller.again(&view)?;
        let after = wanted.after.map(|id| id.to_string()).unwrap_or_default();
        let is_wanted = |incident: &&Incident| {
            incident.incident_id.to_string() > after
                && wanted.secret.is_none_or(|secret| secret == incident.secret_id)
                && wanted.open.is_none_or(|open| open == incident.is_open())
        };
        let all: Vec<&Incident> = view.state.incidents().filter(is_wanted).collect();
        let (rotates, audits) = (caller.may(Action::Rotate), caller.may(Action::ReadAudit));
        let mut page = Vec::new();
        for some in all.chunks(AT_ONCE) {
            let placed = self.store.placed(some.iter().map(|incident| incident.secret_id).collect()).await?;
            for (incident, placed) in some.iter().zip(placed) {
                let Some((placed, _, _)) = placed else { continue };
                if rotates.shows(&placed.facts) || audits.shows(&placed.facts) {
                    let frozen = placed.rules.frozen == Some(incident.incident_id);
                    page.push(Shown { incident: (*incident).clone(), frozen });
                }
            }
            if page.len() >= wanted.limit {
                break;
            }
        }
        page.truncate(wanted.limit);
        self.store.look_again_at(rotates.basis()).await?;
        self.audit.record(IncidentAct::List, origin).await?;
        Ok(page)
    }

    /// One incident.
    ///
    /// # Errors
    /// `IncidentNotFound`: it is unknown, or not the caller's to see.
    pub async fn show(&self, id: IncidentId, caller: &Caller, origin: &Origin) -> Result<Shown, Refusal> {
        let view = self.registry.now().await?;
        let incident = view.state.incident(id).ok_or_else(not_found)?.clone();
        let known = self.known(incident.secret_id).await?;
        let permit = permit_to_see(&caller.again(&view)?, known.as_ref().map(|known| &known.placed.facts))?;
        let basis = permit.basis_for(permit.scope());
        self.store.look_again_at(basis.ok_or_else(|| Refusal::internal("a permit is not for its scope"))?).await?;
        self.audit.record(IncidentAct::Show(incident.secret_id, id), origin).await?;
        let frozen = is_frozen_by(known.as_ref(), id);
        Ok(Shown { incident, frozen })
    }
}

/// Incidents whose secrets are looked up at once.
const AT_ONCE: usize = 256;
