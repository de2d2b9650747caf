//! Repeats of a store request under an `Idempotency-Key`: the version of the first request is settled, then the same
//! answer is given.

use manager_api::name::IdempotencyKey;
use manager_api::tokens::{SecretTarget, WantedSecret, WantedVersion};
use manager_api::wire::CatalogueState;
use manager_policy::{ActionType, Permit, Read};
use service_runtime::audit::Origin;
use service_runtime::{Fact, Refusal};
use shared_proto::error::ErrorCode;
use shared_proto::id::{Subject, Version};

use super::secret_writer::{SecretWriter, StoredSecret, act, answer};
use super::store_request::StoreRequest;
use super::target::Target;
use crate::access::Caller;
use crate::idempotency::{BodyMark, Comparison};
use crate::issuer::MintRequest;
use manager_store::{Environment, SecretState, VersionRow};

/// The outcome of the first request with an idempotency key.
pub(super) enum First {
    /// There was none.
    None,
    /// The vault has its version.
    Committed(SecretState, Version),
    /// Its version never came to the vault.
    Abandoned(SecretState),
}

impl SecretWriter {
    /// Finds the outcome of the first request with this key.
    pub(super) async fn first_request<A: ActionType>(
        &self,
        (caller, permit): (&Caller, &Permit<A>),
        subject: &Subject,
        key: &IdempotencyKey,
        mark: &BodyMark,
    ) -> Result<First, Refusal> {
        let found =
            self.store.idempotent(&permit.to_look(), *subject, key.as_str().to_owned(), self.clock.now()).await?;
        let Some((secret, version)) = found else { return Ok(First::None) };
        let comparison = self.bodies.compare(subject, key, mark);
        if comparison == Comparison::Different {
            return Err(Refusal::new(ErrorCode::IdempotencyMismatch));
        }
        let look = caller.permit_on_id::<A>(self.store.as_ref(), secret).await?.to_look();
        let state = self.store.secret(&look, secret).await?.ok_or_else(|| Refusal::new(ErrorCode::SecretNotFound))?;
        let held = self.settler.locks().lock(&(state.environment, state.path.clone())).await;
        let pending: Vec<VersionRow> =
            self.store.secret(&look, secret).await?.map(|state| state.pending).unwrap_or_default();
        let settled = self.settler.settle(&pending).await;
        drop(held);
        settled.map_err(|_| Refusal::outcome_unknown("the vault does not say what became of the first request"))?;
        let row =
            self.store.version(&look, secret, version).await?.ok_or_else(|| Refusal::new(ErrorCode::SecretNotFound))?;
        match (row.state, comparison) {
            (CatalogueState::Abandoned, _) => Ok(First::Abandoned(state)),
            (CatalogueState::Committed, Comparison::Same) => Ok(First::Committed(state, version)),
            (CatalogueState::Committed, Comparison::Forgotten | Comparison::Different) => {
                Err(Refusal::new(ErrorCode::IdempotencyUnknown).fact(Fact::Written(secret, version)))
            }
            (CatalogueState::Destroyed, _) => Err(Refusal::new(ErrorCode::SecretNotFound)),
            (CatalogueState::Pending, _) => Err(Refusal::outcome_unknown("the first request is not settled")),
        }
    }

    /// The same id and version, with a new token.
    pub(super) async fn answer_again(
        &self,
        environment: &Environment,
        request: &StoreRequest,
        state: &SecretState,
        version: Version,
        caller: &Caller,
        meta: &Origin,
    ) -> Result<StoredSecret, Refusal> {
        let facts = self.store.secret_facts(vec![state.secret]).await?.into_iter().next().flatten();
        let facts = facts.ok_or_else(|| Refusal::new(ErrorCode::SecretNotFound))?;
        let target = Target { environment, facts };
        let read = caller.permit_on::<Read>(Some(&target.facts));
        let token = if request.token && read.is_ok() && !state.rules.requires_approval && state.rules.frozen.is_none() {
            let wanted = MintRequest {
                secrets: vec![WantedSecret {
                    target: SecretTarget::Id(state.secret),
                    version: WantedVersion::Number(version),
                }],
                label: request.label.clone().filter(|_| caller.names_subjects()),
                life: None,
            };
            self.mint.mint_for_writer(wanted, caller, meta).await?
        } else {
            None
        };
        if token.is_none() {
            self.audit.record(act(&target, None), meta).await?;
        }
        let ending = self.store.expiry(state.secret, version).await?.told_at(self.clock.now());
        Ok(answer(target, version, (request.encoding(), ending), token))
    }
}
