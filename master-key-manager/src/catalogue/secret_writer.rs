//! Storing a value, from the request to the acknowledged version.
//!
//! Order: the vault is usable → the audit line is durable → the version is pending with its digest → the vault's
//! receipt fits → committed, together with the token's claims → token. A crash anywhere leaves a pending version that
//! is settled later.

use std::sync::Arc;

use manager_api::name::{EnvironmentName, IdempotencyKey, SecretPath, UserLabel};
use manager_api::tags::Tags;
use manager_api::wire::{CatalogueState, IssuedToken};
use manager_policy::{Permit, Read, Scope, SecretFacts, Write};
use service_runtime::audit::{AuditLog, Origin};
use service_runtime::clock::Clock;
use service_runtime::tasks::by_size;
use service_runtime::{Fact, Refusal};
use shared_proto::error::ErrorCode;
use shared_proto::id::{SecretId, Subject, TokenId, Version};
use shared_proto::jwk::Thumbprint;
use shared_proto::secret::{SecretValue, ValueEncoding};
use shared_proto::statement::StatedKey;

use super::repeat::First;
use super::{Delivery, DeliveryQueue, Settler};
use crate::access::Caller;
use crate::audit_event::Act;
use crate::environments::Environments;
use crate::idempotency::{Bodies, BodyMark};
use crate::issuer::signing_key_revoked;
use crate::issuer::{Batches, Mint};
use crate::revocation::VaultView;
use crate::sealing::Sealer;
use manager_store::{
    BeginOutcome, CHANGED, CatalogueStore, CommitOutcome, Environment, NewToken, NewVersion, SecretState, VersionRow,
};

/// Stores values.
pub struct SecretWriter {
    /// The catalogue.
    pub store: Arc<dyn CatalogueStore>,
    /// The vault's keys.
    pub vault_view: Arc<VaultView>,
    /// Encrypts values.
    pub sealer: Arc<Sealer>,
    /// Sends envelopes to the vault.
    pub delivery: DeliveryQueue,
    /// Settles versions that an earlier write left pending, and holds the locks of paths.
    pub settler: Arc<Settler>,
    /// Makes tokens.
    pub mint: Arc<Mint>,
    /// Batches of writes that end in a token. The mint has its own: a vault that does not answer must not delay a
    /// token.
    pub batches: Batches,
    /// Compares repeats.
    pub bodies: Arc<Bodies>,
    /// The audit log.
    pub audit: AuditLog,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The environments at this moment.
    pub environments: Arc<Environments>,
}

/// A value to be stored.
pub struct StoreRequest {
    /// The submitter's label.
    pub label: UserLabel,
    /// The value.
    pub value: Arc<SecretValue>,
    /// Its path; a reserved one without it.
    pub path: Option<SecretPath>,
    /// Its environment.
    pub environment: EnvironmentName,
    /// Whether a token is wanted.
    pub token: bool,
    /// The idempotency key and the mark of the body, to recognize a repeat.
    pub idempotency: Option<(IdempotencyKey, BodyMark)>,
}

/// A value that is stored.
pub struct StoredSecret {
    /// The secret.
    pub secret: SecretId,
    /// The version.
    pub version: Version,
    /// Its environment.
    pub environment: EnvironmentName,
    /// Its path.
    pub path: SecretPath,
    /// Text or bytes.
    pub encoding: ValueEncoding,
    /// The token, if it was wanted.
    pub token: Option<IssuedToken>,
}

/// The most version numbers tried when the vault has them already (a restored manager). Beyond it, `reconcile` is the way.
pub(super) const MAX_TRIES: usize = 64;

impl SecretWriter {
    /// Stores a value. Run it in a task that the client's disconnect does not end.
    ///
    /// # Errors
    /// `Unavailable`: nothing was acknowledged and nothing will be read. `OutcomeUnknown`: a repeat settles it.
    pub async fn store(&self, request: StoreRequest, caller: Caller, meta: &Origin) -> Result<StoredSecret, Refusal> {
        let environment = self.environments.known(&caller, &request.environment);
        let environment =
            &environment.ok_or_else(|| Refusal::new(ErrorCode::NameInvalid).detail("There is no such environment."))?;
        let place = match &request.path {
            Some(path) => Scope::Path(environment.id, path.clone()),
            None => Scope::Folder(environment.id, SecretPath::unnamed_folder()),
        };
        let permit = caller.permit::<Write>(&place)?;
        let (Some(subject), Some((key, mark))) = (caller.subject(), request.idempotency.as_ref()) else {
            return self.store_new(environment, &request, None, (&caller, &permit), meta).await;
        };
        let _one_at_a_time = self.bodies.locks.lock(&(subject.to_string(), key.clone())).await;
        match self.first_request((&caller, &permit), &subject, key, mark).await? {
            First::Committed(state, _) if !goes_to(environment, &request, &state) => {
                Err(Refusal::new(ErrorCode::IdempotencyConflict))
            }
            First::Committed(state, version) => {
                self.answer_again(environment, &request, &state, version, &caller, meta).await
            }
            // Its body may be forgotten; what the catalogue knows of it must agree.
            First::Abandoned(state) if !goes_to(environment, &request, &state) => {
                Err(Refusal::new(ErrorCode::IdempotencyConflict))
            }
            First::Abandoned(state) => {
                self.bodies.remember(&subject, key, *mark);
                self.store_new(environment, &request, Some(state.path), (&caller, &permit), meta).await
            }
            First::None => {
                self.bodies.remember(&subject, key, *mark);
                self.store_new(environment, &request, None, (&caller, &permit), meta).await
            }
        }
    }

    async fn store_new(
        &self,
        environment: &Environment,
        request: &StoreRequest,
        again_at: Option<SecretPath>,
        (caller, permit): (&Caller, &Permit<Write>),
        meta: &Origin,
    ) -> Result<StoredSecret, Refusal> {
        // The database decides again; this spares the work and an audit line of a write that does not happen.
        environment.closed().map_or(Ok(()), |closed| Err(Refusal::from(closed)))?;
        // Without the vault nobody waits for anything.
        self.vault_view.keys_for_storing()?;
        let new_id = SecretId::generate();
        let named = again_at.as_ref().or(request.path.as_ref());
        let path = named.cloned().unwrap_or_else(|| SecretPath::unnamed(new_id));
        let _one_writer = self.settler.locks().lock(&(environment.id, path.clone())).await;
        let known = match named {
            Some(_) => self.store.secret_at(permit, environment.id, path.clone()).await?,
            None => None,
        };
        if let Some(state) = &known {
            self.settler.settle(&state.pending).await?;
        }
        let secret = known.as_ref().map_or(new_id, |state| state.secret);
        // Who may write and not read gets no token.
        let target = Target { environment, secret, path };
        let read: Option<Permit<Read>> =
            if request.token { caller.permit_on(Some(&target.facts())).ok() } else { None };
        // Behind the lock of the path: those who wait for that would keep writers of other paths out of their places.
        let _place = if read.is_some() { Some(self.batches.enter().await) } else { None };
        let (seal_key, transport) = self.vault_view.keys_for_storing()?;
        let signing_key = read.is_some().then(|| self.mint.signing_key()).transpose()?;
        let first = next_version(known.and_then(|state| state.last))?;
        // The audit line names it, and comes before the rest of the token is known.
        let jti = read.is_some().then(TokenId::generate);
        self.audit.record(act(&target, jti), meta).await?;
        let (row, subject) =
            self.deliver_next(&target, first, request, (caller, permit, signing_key), &transport).await?;
        let holder = (subject, caller.credential());
        let longest = environment.max_token_life_seconds;
        let token = jti.map(|jti| self.mint.for_version(jti, holder, &row, (longest, &seal_key)));
        let token = read.zip(token);
        let token = self.commit(row, token, seal_key).await?;
        Ok(answer(target, row.version, request, token))
    }

    /// Sends the value under the first version number that is free, in the catalogue and in the vault.
    async fn deliver_next(
        &self,
        target: &Target<'_>,
        mut version: Version,
        request: &StoreRequest,
        (caller, permit, signing_key): (&Caller, &Permit<Write>, Option<Thumbprint>),
        transport: &StatedKey,
    ) -> Result<(VersionRow, Subject), Refusal> {
        for _ in 0..MAX_TRIES {
            let (sealer, value) = (Arc::clone(&self.sealer), Arc::clone(&request.value));
            let (environment, secret) = (target.environment.id, target.secret);
            // EXPOSE: only its length.
            let sealed =
                by_size(request.value.expose().len(), move || sealer.seal(environment, secret, version, &value));
            let sealed = sealed.await.map_err(|_| Refusal::internal("sealing broke down"))??;
            let row = VersionRow {
                secret: target.secret,
                environment: target.environment.id,
                version,
                state: CatalogueState::Pending,
                envelope: version,
                epoch: sealed.epoch,
                digest: sealed.version.digest,
            };
            let idempotency =
                caller.subject().zip(request.idempotency.as_ref().map(|(key, _)| key.as_str().to_owned()));
            let new = NewVersion {
                row,
                path: target.path.clone(),
                subject: caller.subject_for(request.label.clone()),
                idempotency,
                signing_key,
                now: self.clock.now(),
            };
            match self.store.begin(permit, new).await? {
                BeginOutcome::Pending(subject) => match self.delivery.deliver(sealed, transport.clone()).await {
                    Delivery::Stored => return Ok((row, subject)),
                    Delivery::Taken => self.store.abandon(row.secret, row.version).await?,
                    Delivery::NotWritten(why) => return Err(Refusal::unavailable(why)),
                    Delivery::Unclear => return Err(Refusal::outcome_unknown("the vault did not confirm the version")),
                },
                BeginOutcome::Closed(closed) => return Err(closed.into()),
                BeginOutcome::OtherReading => return Err(other_reading()),
                BeginOutcome::Unverified => return Err(unverified()),
                BeginOutcome::SigningKeyRevoked => return Err(signing_key_revoked()),
                BeginOutcome::Taken => {}
            }
            version = next_version(Some(version))?;
        }
        Err(Refusal::unavailable("the vault has many versions that the catalogue lacks; run reconcile"))
    }

    /// Commits a version that the vault has. From here on a failure of the manager does not mean that nothing was
    /// written.
    async fn commit(
        &self,
        row: VersionRow,
        token: Option<(Permit<Read>, NewToken)>,
        seal_key: StatedKey,
    ) -> Result<Option<IssuedToken>, Refusal> {
        const UNCLEAR: &str = "the catalogue did not record the version";
        let (permit, token) = token.unzip();
        let committed = self.store.commit(row.secret, row.version, permit.zip(token.clone())).await;
        let committed = committed.map_err(|_| Refusal::outcome_unknown(UNCLEAR))?;
        let written = Fact::Written(row.secret, row.version);
        match (committed, token) {
            (CommitOutcome::Yes { .. }, None) => Ok(None),
            (CommitOutcome::Yes { rseq, expires_at }, Some(mut token)) => {
                token.expires_at = expires_at.unwrap_or(token.expires_at);
                self.mint.issue(token, rseq, vec![row], seal_key).await.map(Some)
            }
            (CommitOutcome::Closed(closed), _) => Err(Refusal::from(closed).fact(written)),
            (CommitOutcome::WithoutToken, _) => {
                Err(Refusal::new(ErrorCode::CredentialInvalid).cause(CHANGED).fact(written))
            }
            // It was destroyed, or settled by another process, while it was under way.
            (CommitOutcome::No, _) => Err(Refusal::outcome_unknown(UNCLEAR)),
        }
    }
}

/// The refusal of a place that the database holds otherwise than the manager wrote it.
fn unverified() -> Refusal {
    Refusal::unavailable("the place of the secret in the database is not what the manager wrote")
}

/// The refusal of a path that names another secret, too.
fn other_reading() -> Refusal {
    Refusal::new(ErrorCode::AlreadyExists)
        .detail("A secret has this path with dots in the place of slashes, or with slashes in the place of dots.")
}

/// Whether a request is for the environment and the path of a secret.
fn goes_to(environment: &Environment, request: &StoreRequest, state: &SecretState) -> bool {
    let path = request.path.clone().unwrap_or_else(|| SecretPath::unnamed(state.secret));
    (environment.id, path) == (state.environment, state.path.clone())
}

/// The environment, secret and path of a new version.
pub(super) struct Target<'a> {
    pub(super) environment: &'a Environment,
    pub(super) secret: SecretId,
    pub(super) path: SecretPath,
}

impl Target<'_> {
    /// The facts that policy decides from. No secret has tags yet.
    pub(super) fn facts(&self) -> SecretFacts {
        let (id, environment, path) = (self.secret, self.environment.id, self.path.clone());
        SecretFacts { id, environment, path, tags: Tags::default(), service_only: false }
    }
}

pub(super) fn answer(
    target: Target<'_>,
    version: Version,
    request: &StoreRequest,
    token: Option<IssuedToken>,
) -> StoredSecret {
    StoredSecret {
        secret: target.secret,
        version,
        environment: target.environment.name.clone(),
        path: target.path,
        encoding: request.value.encoding(),
        token,
    }
}

pub(super) fn act<'a>(target: &'a Target<'_>, token: Option<TokenId>) -> Act<'a> {
    Act::SecretStore { secret: target.secret, path: &target.path, token }
}

pub(super) fn next_version(last: Option<Version>) -> Result<Version, Refusal> {
    match last {
        None => Ok(Version::FIRST),
        Some(last) => last.next().map_err(|_| Refusal::parameter("The secret has no version number left.")),
    }
}
