//! Values that are the current ones already, which make no version when the writer asks for that.
//!
//! Guarantees that nobody learns so whether a guess is right who may not read the secret: asking takes the right to read
//! beside that to write, and for a secret that is read after an approval an approval in force.

use manager_api::tokens::{SecretTarget, WantedSecret, WantedVersion};
use manager_policy::{Permit, Read, SecretFacts};
use manager_store::SecretState;
use service_runtime::Refusal;
use service_runtime::audit::Origin;
use shared_proto::comparison::Likeness;
use shared_proto::error::ErrorCode;
use shared_proto::id::Version;
use shared_proto::secret::SecretValue;

use super::secret_writer::{SecretWriter, StoredSecret, answer, deleted, other_version};
use super::store_request::StoreRequest;
use super::target::Target;
use crate::access::Caller;
use crate::issuer::MintRequest;

impl SecretWriter {
    /// The current version, if it has this value and the request asks for that. Nothing if it has another one, or that cannot
    /// be known.
    pub(super) async fn unchanged(
        &self,
        (request, value): (&StoreRequest, &SecretValue),
        (known, facts): (&SecretState, &SecretFacts),
        caller: &Caller,
        meta: &Origin,
    ) -> Result<Option<Version>, Refusal> {
        if !request.skip_unchanged {
            return Ok(None);
        }
        let read: Permit<Read> = caller.permit_on(Some(facts)).map_err(needs_read)?;
        if known.rules.deletion.is_some() {
            return Err(deleted());
        }
        let Some(current) = known.stages.current else { return Ok(None) };
        if request.if_version.is_some_and(|seen| !seen.holds(Some(current))) {
            return Err(other_version());
        }
        match self.fingerprints.compare((caller, &read), (facts.id, current), value, meta).await {
            Ok(Likeness::Same) => Ok(Some(current)),
            Ok(Likeness::Different | Likeness::Unknown) => Ok(None),
            // Its current version is destroyed.
            Err(refusal) if refusal.code() == ErrorCode::SecretNotFound => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }

    /// The answer that names the current version, with a token for it.
    pub(super) async fn answer_unchanged(
        &self,
        target: Target<'_>,
        current: Version,
        (request, known): (&StoreRequest, &SecretState),
        caller: &Caller,
        meta: &Origin,
    ) -> Result<StoredSecret, Refusal> {
        let is_held_back = known.rules.requires_approval || known.rules.frozen.is_some();
        let token = if request.token && !is_held_back {
            let target = SecretTarget::Id(known.secret);
            let wanted = MintRequest {
                secrets: vec![WantedSecret { target, version: WantedVersion::Number(current) }],
                label: request.label.clone().filter(|_| caller.names_subjects()),
                life: None,
            };
            self.mint.mint_for_writer(wanted, caller, meta).await?
        } else {
            None
        };
        let ending = self.store.expiry(known.secret, current).await?.told_at(self.clock.now());
        let answer = answer(target, current, (request.encoding(), ending), token);
        Ok(StoredSecret { is_unchanged: true, ..answer })
    }
}

/// Names the missing right: a writer knows that the secret is there.
fn needs_read(refusal: Refusal) -> Refusal {
    if refusal.code() == ErrorCode::SecretNotFound {
        return Refusal::new(ErrorCode::NotPermitted)
            .detail("skip_unchanged tells whether a guess is right, so it needs the right to read the secret.");
    }
    refusal
}
