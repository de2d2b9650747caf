//! Registering, describing, changing, disabling and enabling services.

use manager_api::name::{AccountName, Description, IdempotencyKey};
use manager_api::policy::PartyId;
use manager_registry::{Change, Kind, RequiredKeys, Service};
use manager_store::ActError;
use service_runtime::Refusal;
use service_runtime::audit::Origin;
use shared_proto::Malformed;
use shared_proto::error::ErrorCode;
use shared_proto::event::Event;
use shared_proto::id::ServiceId;

use super::{Services, managed, manages, manages_all, manages_each, not_permitted, seen, sees};
use crate::access::{Caller, View, check_owner};
use crate::audit_event::{RegistryAct, action};
use crate::revocation::Sequences;

/// The most services. The records of so many, with two credentials each, are some 25 MB in memory.
const MAX_SERVICES: usize = 20_000;
/// The most required keys of a service.
const MAX_REQUIRED: usize = 32;

/// A service to be registered.
#[derive(Clone, Debug)]
pub struct NewService {
    /// Its name.
    pub name: AccountName,
    /// Its description.
    pub description: Option<Description>,
    /// The principal or group that answers for it.
    pub owner: Option<PartyId>,
    /// The secrets that it needs.
    pub required: Vec<RequiredKeys>,
}

/// A change of a service. What is absent stays.
#[derive(Clone, Debug)]
pub struct ServiceChange {
    /// Its description.
    pub description: Option<Description>,
    /// The principal or group that answers for it.
    pub owner: Option<PartyId>,
    /// The secrets that it needs.
    pub required: Option<Vec<RequiredKeys>>,
}

impl Services {
    /// Registers a service. A repeat under the same key answers with the one that the first request made.
    ///
    /// # Errors
    /// The caller may not manage identities in all that it needs, its name is taken, or there are too many services.
    pub async fn register(
        &self,
        new: NewService,
        key: Option<&IdempotencyKey>,
        caller: &Caller,
        origin: &Origin,
    ) -> Result<Service, Refusal> {
        check_required(&new.required)?;
        let id = self.keys.now().credentials.new_id(caller, action::SERVICE_CREATE, key);
        let service = Service {
            description: new.description,
            owner: new.owner,
            required: new.required,
            ..Service::new(ServiceId::from_bytes(id), new.name, self.clock.now())
        };
        let act = (RegistryAct::ServiceCreate, service.service_id.to_string());
        self.make((caller, origin), act, None, |caller, view| {
            manages(caller, &service.required).ok_or_else(not_permitted)?;
            if let Some(known) = view.state.service(service.service_id) {
                let is_repeat = known.name == service.name && sees(caller, known).is_some();
                let repeated = is_repeat.then(|| (Vec::new(), known.clone()));
                return repeated.ok_or_else(|| Refusal::new(ErrorCode::IdempotencyMismatch));
            }
            check_owner(view, service.owner)?;
            if view.state.named(Kind::Service, &service.name).is_some() {
                return Err(Refusal::new(ErrorCode::AlreadyExists).detail("Another service has this name."));
            }
            if view.state.services().count() >= MAX_SERVICES {
                let detail = "There are 20,000 services, and no more are registered.";
                return Err(Refusal::new(ErrorCode::LimitReached).detail(detail));
            }
            Ok((vec![service.clone().into()], service.clone()))
        })
        .await
    }

    /// A service that the caller sees.
    ///
    /// # Errors
    /// There is none.
    pub async fn describe(&self, id: ServiceId, caller: &Caller) -> Result<Service, Refusal> {
        let view = self.registry.now().await?;
        let caller = caller.again(&view)?;
        let (service, basis) = seen(&caller, &view, id)?;
        self.store.look_again_at(basis).await?;
        Ok(service.clone())
    }

    /// A page of the services that the caller sees, ordered by id.
    ///
    /// # Errors
    /// The caller has lost its right, or the database cannot be read.
    pub async fn page(&self, after: Option<ServiceId>, limit: usize, caller: &Caller) -> Result<Vec<Service>, Refusal> {
        let view = self.registry.now().await?;
        let caller = caller.again(&view)?;
        let after = after.map(|id| id.to_string());
        let later = |service: &&Service| after.as_ref().is_none_or(|after| service.service_id.to_string() > *after);
        let mut basis = caller.visible().basis();
        let mut services = Vec::new();
        // Decided once: it looks at all lines of the caller.
        let all = manages_all(&caller);
        for service in view.state.services().filter(later) {
            let is_own = caller.subject() == Some(service.subject());
            let own = is_own.then_some(basis);
            let Some(other) = all.or(own).or_else(|| manages_each(&caller, &service.required)) else { continue };
            basis = basis.and(other).ok_or(ActError::PolicyChanged)?;
            services.push(service.clone());
            if services.len() == limit {
                break;
            }
        }
        self.store.look_again_at(basis).await?;
        Ok(services)
    }

    /// Changes a service. Other required keys are not approved.
    ///
    /// # Errors
    /// The caller does not manage it before and after the change, or it changes nothing.
    pub async fn change(
        &self,
        id: ServiceId,
        change: ServiceChange,
        caller: &Caller,
        origin: &Origin,
    ) -> Result<Service, Refusal> {
        if change.description.is_none() && change.owner.is_none() && change.required.is_none() {
            return Err(Refusal::parameter("A change names a member."));
        }
        change.required.as_deref().map_or(Ok(()), check_required)?;
        let act = (RegistryAct::ServiceUpdate, id.to_string());
        self.make((caller, origin), act, None, |caller, view| {
            let known = managed(caller, view, id)?;
            let mut service = known.clone();
            check_owner(view, change.owner)?;
            if let Some(required) = change.required.as_ref().filter(|required| **required != service.required) {
                manages(caller, required).ok_or_else(not_permitted)?;
                service.required.clone_from(required);
                service.approved_at = None;
            }
            service.description = change.description.clone().or(service.description);
            service.owner = change.owner.or(service.owner);
            let changes = (service != *known).then(|| service.clone().into()).into_iter().collect();
            Ok((changes, service))
        })
        .await
    }

    /// Disables a service, and revokes the tokens of its credentials. One that is disabled stays so.
    ///
    /// # Errors
    /// The caller does not manage it, or nobody could make policy and principals any more: nothing is disabled.
    pub async fn disable(&self, id: ServiceId, caller: &Caller) -> Result<Sequences, Refusal> {
        let (now, view) = (self.clock.now(), self.registry.now().await?);
        let known = managed(&caller.again(&view)?, &view, id)?;
        if known.disabled_at.is_some() {
            let mut numbers = Vec::new();
            for credential in view.state.credentials_of(known.subject()) {
                numbers.extend(self.store.number_of(Event::Credential(credential.credential_id)).await?);
            }
            let none_waits = self.store.deferred().await? == 0;
            let applied = self.revocations.confirm(&numbers).await && none_waits;
            return Ok(Sequences { numbers, applied });
        }
        let decide = |caller: &Caller, view: &View| {
            let known = managed(caller, view, id)?;
            Ok(vec![Service { disabled_at: known.disabled_at.or(Some(now)), ..known.clone() }.into()])
        };
        self.revocations.change(caller, None, decide).await
    }

    /// Enables a service that was disabled, with the credentials and lines of the policy that it has.
    ///
    /// # Errors
    /// The caller does not manage it, or does not hold all that it is allowed.
    pub async fn enable(&self, id: ServiceId, caller: &Caller, origin: &Origin) -> Result<Service, Refusal> {
        let act = (RegistryAct::ServiceEnable, id.to_string());
        self.make((caller, origin), act, None, |caller, view| {
            let known = managed(caller, view, id)?;
            let enabled = Service { disabled_at: None, ..known.clone() };
            let changes: Vec<Change> = (enabled != *known).then(|| enabled.clone().into()).into_iter().collect();
            Ok((changes, enabled))
        })
        .await
    }
}

fn check_required(required: &[RequiredKeys]) -> Result<(), Refusal> {
    if required.len() > MAX_REQUIRED {
        return Err(Refusal::parameter("A service has at most 32 required keys."));
    }
    for (index, keys) in required.iter().enumerate() {
        keys.reach().map_err(|Malformed(rule)| Refusal::new(ErrorCode::NameInvalid).detail(rule))?;
        if required.iter().take(index).any(|other| other == keys) {
            return Err(Refusal::parameter("A required key is named twice."));
        }
    }
    Ok(())
}
