//! The outcome of a write, without the write: everything is looked at that refuses one, except the vault.

use manager_api::kind::SecretKind;
use manager_api::name::SecretPath;
use manager_api::secrets::EnvironmentSelector;
use manager_policy::{Permit, Write};
use service_runtime::Refusal;
use service_runtime::audit::Origin;
use shared_proto::error::ErrorCode;
use shared_proto::id::SecretId;

use super::least_strength::LeastScore;
use super::secret_writer::{SecretWriter, deleted, other_reading};
use super::store_request::StoreRequest;
use super::taking_over::taken;
use super::target::StoreTo;
use crate::access::Caller;

impl SecretWriter {
    /// The secret at a place, with the permit to write there. `None` if there is none, or one that a create may take over: what
    /// comes to nothing is settled before.
    ///
    /// # Errors
    /// The caller may not write there, or there is no such environment. `Unavailable`, `OutcomeUnknown`: the vault does not say what became of a
    /// version.
    pub async fn writable_at(
        &self,
        (environment, path): (&EnvironmentSelector, &SecretPath),
        caller: &Caller,
    ) -> Result<(Option<SecretId>, Permit<Write>), Refusal> {
        let environment = self.environments.selected(caller, environment)?;
        let new = (SecretId::generate(), None);
        let _one_writer = self.settler.locks().lock(&(environment.id, path.clone())).await;
        let (facts, is_there, permit) = self.permit_at::<Write>((&environment, path), new, caller).await?;
        let known = if is_there { self.store.secret(&permit.to_look(), facts.id).await? } else { None };
        let Some(known) = known else { return Ok((None, permit)) };
        let is_empty = match self.check_empty(&known, &permit).await {
            Ok(()) => true,
            Err(refusal) if refusal.code() == ErrorCode::AlreadyExists => false,
            Err(refusal) => return Err(refusal),
        };
        Ok((Some(known.secret).filter(|_| !is_empty), permit))
    }

    /// Refuses what [`Self::store`] would refuse, as far as it can be known before. Whoever tells of it looks again at the permit
    /// that it is told by. True for a value that would make no version.
    ///
    /// # Errors
    /// Those of the write.
    pub async fn preview(&self, request: &StoreRequest, caller: &Caller, meta: &Origin) -> Result<bool, Refusal> {
        let to = self.destination::<Write>(&request.to, caller).await?;
        if let Some(closed) = to.environment.closed() {
            return Err(closed.into());
        }
        let Some(path) = &to.path else { return Ok(false) };
        let new = (SecretId::generate(), None);
        let (facts, is_there, permit) = self.permit_at::<Write>((&to.environment, path), new, caller).await?;
        let (mut kind, mut state, is_new) = (None, None, matches!(request.to, StoreTo::New { .. }));
        if is_there {
            let known = self.store.secret(&permit.to_look(), facts.id).await?;
            let known = known.ok_or_else(|| Refusal::new(ErrorCode::SecretNotFound))?;
            if is_new && (known.had_value || known.rules.frozen.is_some()) {
                return Err(taken());
            }
            if known.rules.deletion.is_some() {
                return Err(deleted());
            }
            kind = known.kind;
            state = Some(known);
        } else {
            let twin = path.from_dots().or_else(|| path.to_dots());
            if let Some(twin) = twin {
                let found = self.store.facts_at(vec![(to.environment.id, twin)]).await?;
                if found.into_iter().flatten().next().is_some() {
                    return Err(other_reading());
                }
            }
        }
        if let StoreTo::New { details, .. } = &request.to {
            kind = details.kind;
        }
        let least = LeastScore::of(&self.rules_in(to.environment.id).await?);
        let rules = (kind.unwrap_or(SecretKind::Text), least);
        let checked = self.values.checked(&request.value, rules, (caller.subject(), self.clock.now())).await?;
        let Some(known) = state else { return Ok(false) };
        Ok(self.unchanged((request, &checked.value), (&known, &facts), caller, meta).await?.is_some())
    }
}
