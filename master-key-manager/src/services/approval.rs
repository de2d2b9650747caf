//! Approving what a service needs, in one step.

use manager_api::id::PermissionId;
use manager_api::name::Reason;
use manager_api::policy::{Action, Actions, Effect, PartyId};
use manager_policy::{Approve, Scope};
use manager_registry::{Change, Permission, RequiredKeys, Service, Terms};
use service_runtime::Refusal;
use service_runtime::audit::Origin;
use shared_proto::Malformed;
use shared_proto::id::ServiceId;

use super::{Services, managed};
use crate::access::{Caller, View};
use crate::audit_event::RegistryAct;
use crate::policy::check_room;

impl Services {
    /// Lets a service list and read what it needs, or a part of that. What it is allowed already is not allowed twice. Returns
    /// the service, and the permissions that were made.
    ///
    /// # Errors
    /// The caller does not manage the service or does not hold what he approves, or it does not need what is named.
    pub async fn approve(
        &self,
        id: ServiceId,
        (wanted, reason): (&[RequiredKeys], Option<&Reason>),
        caller: &Caller,
        origin: &Origin,
    ) -> Result<(Service, Vec<PermissionId>), Refusal> {
        let now = self.clock.now();
        let act = (RegistryAct::ServiceApprove, id.to_string());
        self.make((caller, origin), act, reason, |caller, view| {
            let service = managed(caller, view, id)?;
            if wanted.is_empty() || wanted.iter().any(|keys| !service.required.contains(keys)) {
                return Err(Refusal::parameter("The service does not need what is to be approved."));
            }
            for keys in wanted {
                let reach = keys.reach().map_err(|Malformed(rule)| Refusal::parameter(rule))?;
                caller.permit::<Approve>(&Scope::Reach(reach))?;
            }
            check_room(view, wanted.len(), Effect::Allow)?;
            let mut allowed: Vec<RequiredKeys> = allowed(view, service).collect();
            let mut made = Vec::new();
            for keys in wanted {
                if !allowed.contains(keys) {
                    made.push(permission(service, keys, caller, reason, now));
                    allowed.push(keys.clone());
                }
            }
            let permissions = made.iter().map(|permission| permission.permission_id).collect();
            let mut changes: Vec<Change> = made.into_iter().map(Change::from).collect();
            let mut service = service.clone();
            if service.approved_at.is_none() && service.required.iter().all(|keys| allowed.contains(keys)) {
                service.approved_at = Some(now);
                changes.push(service.clone().into());
            }
            Ok((changes, (service, permissions)))
        })
        .await
    }
}

/// The keys that the policy lets a service list and read for ever, by lines of its own.
fn allowed<'a>(view: &'a View, service: &Service) -> impl Iterator<Item = RequiredKeys> + 'a {
    let party = PartyId::Principal(service.subject());
    let own = view.state.permissions().filter(move |known| known.party == party && known.effect == Effect::Allow);
    let lasting = own.filter(|known| {
        let has = |action: Action| known.actions.contains(action);
        let Terms { starts_at, ends_at, .. } = &known.terms;
        has(Action::List) && has(Action::Read) && known.tags.is_empty() && starts_at.or(*ends_at).is_none()
    });
    lasting.filter_map(|known| Some(RequiredKeys { environment: known.environment?, pattern: known.pattern.clone() }))
}

fn permission(
    service: &Service,
    keys: &RequiredKeys,
    caller: &Caller,
    reason: Option<&Reason>,
    now: u64,
) -> Permission {
    let actions: Actions = [Action::List, Action::Read].into_iter().collect();
    Permission {
        permission_id: PermissionId::generate(),
        party: PartyId::Principal(service.subject()),
        effect: Effect::Allow,
        actions,
        environment: Some(keys.environment),
        pattern: keys.pattern.clone(),
        tags: manager_api::tags::Tags::default(),
        terms: Terms {
            starts_at: None,
            ends_at: None,
            reason: reason.cloned(),
            author: caller.subject(),
            created_at: now,
        },
    }
}
