//! Services and their credentials.
//!
//! Guarantees that registering a service gives it nothing, that only who may manage identities in all of its required keys
//! changes it, and that each change is decided on the state that it is made of. What a change hands out and what it
//! revokes follows from that state alone (`access/consequences.rs`).

mod approval;
mod credentials;
mod registration;
mod sole_secrets;

use std::sync::Arc;

use manager_api::name::Reason;
use manager_policy::{Basis, Effect, Line, ManageIdentities, Scope};
use manager_registry::{Change, RequiredKeys, Service};
use manager_store::ManagerStore;
use service_runtime::Refusal;
use service_runtime::audit::{AuditLog, Origin};
use service_runtime::clock::Clock;
use shared_proto::error::ErrorCode;
use shared_proto::id::ServiceId;

use crate::access::{Caller, LastUses, Registry, View};
use crate::audit_event::{Act, RegistryAct};
use crate::keys::KeyRing;
use crate::revocation::Revocations;

pub(crate) use self::credentials::changes as credential_changes;
pub use self::credentials::{KnownCredential, MadeCredential, Of, Terms};
pub use self::registration::{NewService, ServiceChange};
pub use self::sole_secrets::SoleSecrets;

/// Registers, approves and disables services, and makes their credentials.
pub struct Services {
    /// Principals, credentials and policy.
    pub registry: Arc<Registry>,
    /// Makes changes, with the revocations that follow.
    pub revocations: Arc<Revocations>,
    /// The database.
    pub store: Arc<dyn ManagerStore>,
    /// The keys in use.
    pub keys: Arc<KeyRing>,
    /// When credentials were used last.
    pub last_uses: Arc<LastUses>,
    /// The audit log.
    pub audit: AuditLog,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl Services {
    /// Makes a change that gives something: decides, records the act durably, and decides again on the state that the change
    /// is made of. A change of nothing has no line.
    async fn make<T: Send>(
        &self,
        (caller, origin): (&Caller, &Origin),
        (act, target): (RegistryAct, String),
        reason: Option<&Reason>,
        decide: impl Fn(&Caller, &View) -> Result<(Vec<Change>, T), Refusal> + Send + Sync,
    ) -> Result<T, Refusal> {
        let view = self.registry.now().await?;
        let now = caller.again(&view)?;
        let (changes, outcome) = decide(&now, &view)?;
        now.check_change(&view, &changes)?;
        if changes.is_empty() {
            // Nothing is made, so no line says that it was. It is answered from memory.
            self.store.look_again_at(now.visible().basis()).await?;
            return Ok(outcome);
        }
        self.audit.record(Act::Registry(act, Some(target)), origin).await?;
        let mut made = None;
        let decide = |caller: &Caller, view: &View| {
            let (changes, outcome) = decide(caller, view)?;
            made = Some(outcome);
            Ok(changes)
        };
        self.revocations.change(caller, reason, decide).await?;
        made.ok_or_else(|| Refusal::internal("a change was not decided"))
    }
}

/// The facts from which a caller may manage the identities of required keys: of each, or of the whole installation. Without
/// any, only the latter counts.
fn manages(caller: &Caller, required: &[RequiredKeys]) -> Option<Basis> {
    manages_all(caller).or_else(|| manages_each(caller, required))
}

fn manages_all(caller: &Caller) -> Option<Basis> {
    caller.permit::<ManageIdentities>(&Scope::Installation).ok()?.basis_for(&Scope::Installation)
}

fn manages_each(caller: &Caller, required: &[RequiredKeys]) -> Option<Basis> {
    let mut common: Option<Basis> = None;
    for keys in required {
        let scope = Scope::Reach(keys.reach().ok()?);
        let basis = caller.permit::<ManageIdentities>(&scope).ok()?.basis_for(&scope)?;
        common = Some(common.map_or(Some(basis), |common| common.and(basis))?);
    }
    common
}

/// The facts from which a caller may see a service: he manages it, or it is himself.
fn sees(caller: &Caller, service: &Service) -> Option<Basis> {
    if caller.subject() == Some(service.subject()) {
        return Some(caller.visible().basis());
    }
    manages(caller, &service.required)
}

/// A service that the caller sees.
pub(crate) fn seen<'a>(caller: &Caller, view: &'a View, id: ServiceId) -> Result<(&'a Service, Basis), Refusal> {
    let found = view.state.service(id).and_then(|service| Some((service, sees(caller, service)?)));
    found.ok_or_else(|| Refusal::new(ErrorCode::ServiceNotFound))
}

/// A service that the caller manages.
pub(crate) fn managed<'a>(caller: &Caller, view: &'a View, id: ServiceId) -> Result<&'a Service, Refusal> {
    let (service, _) = seen(caller, view, id)?;
    manages(caller, &service.required).ok_or_else(not_permitted)?;
    // Also what others have entrusted to it, whatever it says that it needs.
    let may = |line: &Line| caller.permit::<ManageIdentities>(&Scope::Reach(line.reach().clone())).is_ok();
    let mut given = view.facts.lines_about(service.subject()).filter(|line| line.effect() == Effect::Allow);
    if manages_all(caller).is_some() || given.all(may) { Ok(service) } else { Err(not_permitted()) }
}

fn not_permitted() -> Refusal {
    Refusal::new(ErrorCode::NotPermitted)
}
