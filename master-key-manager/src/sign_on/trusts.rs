//! Trusts: definitions of the tokens of external issuers that stand for a service.

use manager_api::name::{DisplayName, IdempotencyKey};
use manager_api::trusts::{CreateTrust, KeySource, TrustCheck, TrustDefinition};
use manager_policy::{Basis, ManageIdentities, Scope};
use manager_registry::{Credential, Proof};
use manager_sign_on::trust::{Finding, Trust, parse_token};
use service_runtime::Refusal;
use service_runtime::audit::Origin;
use shared_proto::error::ErrorCode;
use shared_proto::id::{CredentialId, ServiceId, Subject};

use super::{SignOn, manages, room_for_one, same_again};
use crate::access::{Caller, View};
use crate::audit_event::{Act, RegistryAct};
use crate::revocation::Sequences;

/// The most trusts of an installation, those included that are disabled.
pub const MAX_TRUSTS: usize = 256;
/// The longest pinned key set in bytes: a record of the registry is read at each start.
const MAX_PINNED_BYTES: usize = 16 << 10;

/// The outcome of a dry run.
#[derive(Clone, Debug)]
pub struct DryRun {
    /// The service that the token would stand for.
    pub service: ServiceId,
    /// The checks, in order.
    pub checks: Vec<TrustCheck>,
}

impl SignOn {
    /// Makes a trust.
    ///
    /// # Errors
    /// The caller does not manage the service or does not hold all that it is allowed, the definition is malformed or too
    /// broad, or there are too many trusts.
    pub async fn create_trust(
        &self,
        new: CreateTrust,
        key: Option<&IdempotencyKey>,
        (caller, origin): (&Caller, &Origin),
    ) -> Result<Credential, Refusal> {
        let act = RegistryAct::TrustCreate;
        let id = CredentialId::from_bytes(self.keys.now().credentials.new_id(caller, act.action(), key));
        let now = self.clock.now();
        let CreateTrust { name, service_id, trust } = new;
        let may_be = self.check(&trust, service_id);
        let proof = Proof::Trust { definition: trust };
        let trust = Credential { name: Some(name), ..Credential::new(id, Subject::Service(service_id), proof, now) };
        let decide = |caller: &Caller, view: &View| {
            manages(caller)?;
            view.state.service(service_id).ok_or_else(|| Refusal::new(ErrorCode::ServiceNotFound))?;
            // Whoever may not define one is told nothing about the definition.
            may_be.clone()?;
            if let Some(known) = view.state.credential(id) {
                let told = |one: &Credential| (one.subject, one.proof.clone(), one.name.clone());
                return same_again(told(known) == told(&trust), known.clone());
            }
            let all: Vec<&Credential> = view.state.trusts().collect();
            let room = room_for_one(&all, MAX_TRUSTS, now)?;
            Ok((room.into_iter().chain([trust.clone().into()]).collect(), trust.clone()))
        };
        self.make((caller, origin), (act, id.to_string()), decide).await
    }

    /// Changes a trust. Tokens that were made by it are revoked if other tokens count from now on.
    ///
    /// # Errors
    /// Those of [`Self::create_trust`], or there is no such trust, or it is disabled.
    pub async fn change_trust(
        &self,
        id: CredentialId,
        (name, definition): (Option<DisplayName>, Option<TrustDefinition>),
        (caller, origin): (&Caller, &Origin),
    ) -> Result<Credential, Refusal> {
        if name.is_none() && definition.is_none() {
            return Err(Refusal::parameter("Name what is to be changed: name, trust, or both."));
        }
        let decide = |caller: &Caller, view: &View| {
            let known = trust_with(caller, view, id)?;
            if known.disabled_at.is_some() {
                return Err(Refusal::new(ErrorCode::TrustNotFound).detail("It is disabled."));
            }
            let mut changed = known.clone();
            if let Some(definition) = &definition {
                self.check(definition, service_of(known)?)?;
                changed.proof = Proof::Trust { definition: definition.clone() };
            }
            changed.name = name.clone().or(changed.name);
            let changes = if changed == *known { Vec::new() } else { vec![changed.clone().into()] };
            Ok((changes, changed))
        };
        self.make((caller, origin), (RegistryAct::TrustUpdate, id.to_string()), decide).await
    }

    /// Disables a trust, and revokes the tokens that were made by it. One that is disabled stays as it is.
    ///
    /// # Errors
    /// The caller may not manage trusts, or there is none with this id.
    pub async fn disable_trust(&self, id: CredentialId, caller: &Caller) -> Result<Sequences, Refusal> {
        let may = move |caller: &Caller, view: &View| trust_with(caller, view, id).map(drop);
        self.revocations.disable_credential(caller, id, may).await
    }

    /// A page of trusts, ordered by id, with the facts from which the caller may see them.
    ///
    /// # Errors
    /// The caller may not manage trusts.
    pub async fn trusts(
        &self,
        (after, limit): (Option<CredentialId>, usize),
        caller: &Caller,
    ) -> Result<(Vec<Credential>, Basis), Refusal> {
        let view = self.registry.now().await?;
        let basis = basis(&caller.again(&view)?)?;
        let page = view.state.trusts().filter(|trust| after.is_none_or(|after| trust.credential_id > after));
        Ok((page.take(limit).cloned().collect(), basis))
    }

    /// A trust, with the facts from which the caller may see it.
    ///
    /// # Errors
    /// The caller may not manage trusts, or there is none with this id.
    pub async fn trust(&self, id: CredentialId, caller: &Caller) -> Result<(Credential, Basis), Refusal> {
        let view = self.registry.now().await?;
        let caller = caller.again(&view)?;
        Ok((trust_with(&caller, &view, id)?.clone(), basis(&caller)?))
    }

    /// Checks a token as the token endpoint does, with this trust only.
    ///
    /// # Errors
    /// Those of [`Self::trust`], or the key set cannot be had.
    pub async fn dry_run(
        &self,
        id: CredentialId,
        token: &str,
        (caller, origin): (&Caller, &Origin),
    ) -> Result<(DryRun, Basis), Refusal> {
        let (known, _) = self.trust(id, caller).await?;
        self.audit.record(Act::Registry(RegistryAct::TrustDryRun, Some(id.to_string())), origin).await?;
        let service = service_of(&known)?;
        let mut checks = Vec::new();
        let mut check = |name: &str, fault: Option<String>| checks.push(TrustCheck { check: name.to_owned(), fault });
        let view = self.registry.now().await?;
        let is_enabled = view.state.actor(id, self.clock.now()).is_some();
        check("trust", (!is_enabled).then(|| "the trust or its service is disabled".to_owned()));
        match parse_token(token) {
            Err(fault) => check("form", Some(fault.to_string())),
            Ok(token) => {
                check("form", None);
                let definition = known.proof.trust().ok_or_else(|| Refusal::internal("a trust is none"))?;
                let trust = Trust::define(definition, service, self.key_sets.rules());
                // A newer version may have stricter rules than that in which it was defined.
                let trust = trust.map_err(|error| Refusal::parameter(format!("The trust counts no more: {error}.")))?;
                let key = self.key_sets.key(&trust, token.kid()).await;
                let key = key.map_err(|_| Refusal::unavailable("the key set of the issuer cannot be fetched"))?;
                let findings = trust.dry_run(&token, key.as_ref(), self.clock.now());
                for Finding { check: name, fault } in findings {
                    check(&name, fault.map(|fault| fault.to_string()));
                }
            }
        }
        // The network was waited for.
        let (_, basis) = self.trust(id, caller).await?;
        Ok((DryRun { service, checks }, basis))
    }

    fn check(&self, definition: &TrustDefinition, service: ServiceId) -> Result<(), Refusal> {
        if matches!(&definition.keys, KeySource::Pinned(document) if document.len() > MAX_PINNED_BYTES) {
            return Err(Refusal::parameter("A pinned key set has 16384 bytes at most."));
        }
        let defined = Trust::define(definition, service, self.key_sets.rules());
        defined.map(drop).map_err(|error| Refusal::parameter(format!("It is refused: {error}.")))
    }
}

/// The service of a trust.
pub(super) fn service_of(trust: &Credential) -> Result<ServiceId, Refusal> {
    match trust.subject {
        Subject::Service(service) => Ok(service),
        Subject::Person(_) => Err(Refusal::internal("a trust of a person")),
    }
}

fn trust_with<'a>(caller: &Caller, view: &'a View, id: CredentialId) -> Result<&'a Credential, Refusal> {
    manages(caller)?;
    let known = view.state.credential(id).filter(|known| known.proof.trust().is_some());
    known.ok_or_else(|| Refusal::new(ErrorCode::TrustNotFound))
}

fn basis(caller: &Caller) -> Result<Basis, Refusal> {
    let scope = Scope::Installation;
    let basis = caller.permit::<ManageIdentities>(&scope)?.basis_for(&scope);
    basis.ok_or_else(|| Refusal::internal("a permit for something else"))
}
