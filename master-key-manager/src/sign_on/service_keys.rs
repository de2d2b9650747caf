//! Registered public keys of services.

use manager_api::lifetime::Lifetime;
use manager_api::name::{DisplayName, IdempotencyKey};
use manager_policy::Basis;
use manager_registry::{Credential, Proof};
use manager_sign_on::jwk::Jwk;
use service_runtime::audit::Origin;
use service_runtime::{Fact, Refusal};
use shared_proto::encoding::Bytes;
use shared_proto::error::ErrorCode;
use shared_proto::id::{CredentialId, ServiceId, Subject};

use super::{SignOn, room_for_one, same_again};
use crate::access::{Caller, View};
use crate::audit_event::RegistryAct;
use crate::revocation::Sequences;
use crate::services::{managed, seen};

/// The most keys of a service, those included that are disabled or have ended.
pub const MAX_KEYS: usize = 16;

/// A key to register.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// Its name.
    pub name: DisplayName,
    /// How long it lives.
    pub life: Lifetime,
    /// The key.
    pub jwk: Jwk,
}

impl SignOn {
    /// Registers a public key of a service.
    ///
    /// # Errors
    /// The caller does not manage the service or does not hold all that it is allowed, the service had the key already, or
    /// it has too many.
    pub async fn register_key(
        &self,
        service: ServiceId,
        new: NewKey,
        key: Option<&IdempotencyKey>,
        (caller, origin): (&Caller, &Origin),
    ) -> Result<Credential, Refusal> {
        let act = RegistryAct::ServiceKeyRegister;
        let id = CredentialId::from_bytes(self.keys.now().credentials.new_id(caller, act.action(), key));
        let now = self.clock.now();
        let proof = Proof::PublicKey { thumbprint: Bytes(new.jwk.thumbprint().0), jwk: new.jwk.to_json() };
        let credential = Credential {
            name: Some(new.name),
            expires_at: Some(now.saturating_add(new.life.seconds())),
            ..Credential::new(id, Subject::Service(service), proof, now)
        };
        let decide = |caller: &Caller, view: &View| {
            managed(caller, view, service)?;
            if let Some(known) = view.state.credential(id) {
                let told = |one: &Credential| (one.subject, one.proof.clone(), one.name.clone(), life(one));
                return same_again(told(known) == told(&credential), known.clone());
            }
            let own: Vec<&Credential> = keys_of(view, service).collect();
            // Also one that was disabled: whoever took its rights away gives them back with another key only.
            if let Some(known) =
                own.iter().find(|known| known.proof == credential.proof || same_key(known, &credential))
            {
                let fact = Fact::Id(known.credential_id.to_string());
                return Err(Refusal::new(ErrorCode::AlreadyExists).fact(fact));
            }
            let room = room_for_one(&own, MAX_KEYS, now)?;
            Ok((room.into_iter().chain([credential.clone().into()]).collect(), credential.clone()))
        };
        self.make((caller, origin), (act, id.to_string()), decide).await
    }

    /// The keys of a service, with the facts from which the caller may see them.
    ///
    /// # Errors
    /// The caller does not see the service.
    pub async fn keys_of(&self, service: ServiceId, caller: &Caller) -> Result<(Vec<Credential>, Basis), Refusal> {
        let view = self.registry.now().await?;
        let (_, basis) = seen(&caller.again(&view)?, &view, service)?;
        Ok((keys_of(&view, service).cloned().collect(), basis))
    }

    /// Disables a key, and revokes the tokens that were made with it. One that is disabled stays as it is.
    ///
    /// # Errors
    /// The caller does not manage the service, or it has no such key.
    pub async fn disable_key(
        &self,
        (service, id): (ServiceId, CredentialId),
        caller: &Caller,
    ) -> Result<Sequences, Refusal> {
        let of_service = move |caller: &Caller, view: &View| {
            managed(caller, view, service)?;
            let known = keys_of(view, service).any(|known| known.credential_id == id);
            if known { Ok(()) } else { Err(Refusal::new(ErrorCode::CredentialNotFound)) }
        };
        self.revocations.disable_credential(caller, id, of_service).await
    }
}

fn keys_of(view: &View, service: ServiceId) -> impl Iterator<Item = &Credential> {
    let all = view.state.all_credentials_of(Subject::Service(service));
    all.filter(|credential| credential.proof.public_key().is_some())
}

fn same_key(one: &Credential, other: &Credential) -> bool {
    let thumbprint = |credential: &Credential| credential.proof.public_key().map(|(thumbprint, _)| *thumbprint);
    thumbprint(one) == thumbprint(other)
}

fn life(key: &Credential) -> Option<u64> {
    key.expires_at.map(|end| end.saturating_sub(key.created_at))
}
