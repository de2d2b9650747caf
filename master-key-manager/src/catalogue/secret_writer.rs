//! Storing a value, from the request to the acknowledged version.
//!
//! Order: the vault is usable → the audit line is durable → the version is pending with its digest → the vault's
//! receipt fits → committed, together with the token's claims → token. A crash anywhere leaves a pending version that
//! is settled later.

use std::sync::Arc;

use manager_api::environments::ExpiredVersions;
use manager_api::kind::SecretKind;
use manager_api::name::{EnvironmentName, SecretPath};
use manager_api::wire::{CatalogueState, IssuedToken};
use manager_policy::{Permit, Read, Write};
use manager_secret_kinds::{PublicFacts, Strength};
use service_runtime::audit::{AuditLog, Origin};
use service_runtime::clock::Clock;
use service_runtime::tasks::by_size;
use service_runtime::{Fact, Refusal};
use shared_proto::error::ErrorCode;
use shared_proto::id::{SecretId, Subject, TokenId, Version};
use shared_proto::jwk::Thumbprint;
use shared_proto::secret::{SecretValue, ValueEncoding};
use shared_proto::statement::StatedKey;

use super::least_strength::LeastScore;
use super::repeat::First;
use super::store_request::{StoreRequest, goes_to};
use super::taking_over::taken;
use super::target::{Destination, MakesVersions, StoreTo, Target};
use super::value::Values;
use super::{Delivery, DeliveryQueue, Fingerprints, Settler};
use crate::access::{Caller, ChangePace, Registry, check_owner};
use crate::audit_event::Act;
use crate::environments::Environments;
use crate::idempotency::Bodies;
use crate::issuer::{Batches, Mint, signing_key_revoked};
use crate::revocation::VaultView;
use crate::sealing::Sealer;
use manager_store::{
    AboutVersion, ActError, BeginOutcome, CHANGED, CommitOutcome, Details, Ending, Expiry, ManagerStore, NewToken,
    NewVersion, ReadableTarget, SecretState, VersionRow,
};

/// Stores values.
pub struct SecretWriter {
    /// The catalogue.
    pub store: Arc<dyn ManagerStore>,
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
    /// Makes and checks values.
    pub values: Values,
    /// Tells whether a value is the current one.
    pub fingerprints: Arc<Fingerprints>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The environments at this moment.
    pub environments: Arc<Environments>,
    /// The rules of environments.
    pub registry: Arc<Registry>,
    /// Of creates that take over what an earlier one has left.
    pub pace: Arc<ChangePace>,
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
    /// When the version ends (Unix seconds); `None` for never.
    pub expires_at: Option<u64>,
    /// True if that is over. Where the environment refuses it, there is no token.
    pub is_over: bool,
    /// The public part of a value that was made; `None` for one that was given, and for a repeat.
    pub public: Option<PublicFacts>,
    /// The strength of a password that was given; `None` for other kinds, and for a repeat.
    pub strength: Option<Strength>,
    /// The token, if it was wanted.
    pub token: Option<IssuedToken>,
    /// True if the version is the one that was current before: it has this value already.
    pub is_unchanged: bool,
}

/// The most version numbers tried when the vault has them already (a restored manager). Beyond it, `reconcile` is the way.
pub(super) const MAX_TRIES: usize = 64;

impl SecretWriter {
    /// Stores a value. Run it in a task that the client's disconnect does not end.
    ///
    /// # Errors
    /// `Unavailable`: nothing was acknowledged and nothing will be read. `OutcomeUnknown`: a repeat settles it.
    pub async fn store(&self, request: StoreRequest, caller: Caller, meta: &Origin) -> Result<StoredSecret, Refusal> {
        self.store_as::<Write>(request, caller, meta).await
    }

    /// The same by the right to another action.
    pub(super) async fn store_as<A: MakesVersions>(
        &self,
        request: StoreRequest,
        caller: Caller,
        meta: &Origin,
    ) -> Result<StoredSecret, Refusal> {
        let to = self.destination::<A>(&request.to, &caller).await?;
        let permit: Permit<A> = self.first_permit(&to, &caller).await?;
        let (Some(subject), Some((key, mark))) = (caller.subject(), request.idempotency.as_ref()) else {
            return self.store_at::<A>(&to, &request, &caller, meta).await;
        };
        let _one_at_a_time = self.bodies.locks.lock(&(subject.to_string(), key.clone())).await;
        match self.first_request((&caller, &permit), &subject, key, mark).await? {
            First::Committed(state, _) if !goes_to(&to, &request, &state) => {
                Err(Refusal::new(ErrorCode::IdempotencyConflict))
            }
            First::Committed(state, version) => {
                self.answer_again(&to.environment, &request, &state, version, &caller, meta).await
            }
            // Its body may be forgotten; what the catalogue knows of it must agree.
            First::Abandoned(state) if !goes_to(&to, &request, &state) => {
                Err(Refusal::new(ErrorCode::IdempotencyConflict))
            }
            First::Abandoned(state) => {
                self.bodies.remember(&subject, key, *mark);
                let to = Destination { path: Some(state.path), ..to };
                self.store_at::<A>(&to, &request, &caller, meta).await
            }
            First::None => {
                self.bodies.remember(&subject, key, *mark);
                self.store_at::<A>(&to, &request, &caller, meta).await
            }
        }
    }

    async fn store_at<A: MakesVersions>(
        &self,
        to: &Destination,
        request: &StoreRequest,
        caller: &Caller,
        meta: &Origin,
    ) -> Result<StoredSecret, Refusal> {
        let environment = &to.environment;
        // The database decides again; this spares the work and an audit line of a write that does not happen.
        environment.closed().map_or(Ok(()), |closed| Err(Refusal::from(closed)))?;
        // Without the vault nobody waits for anything.
        self.vault_view.keys_for_storing()?;
        let new_id = SecretId::generate();
        let path = to.path.clone().unwrap_or_else(|| SecretPath::unnamed(new_id));
        let _one_writer = self.settler.locks().lock(&(environment.id, path.clone())).await;
        let new = (new_id, request.rules());
        let (facts, is_there, permit) = self.permit_at::<A>((environment, &path), new, caller).await?;
        if matches!(request.to, StoreTo::Id(secret) if secret != facts.id) {
            return Err(ActError::SecretChanged.into());
        }
        let known = if is_there { self.store.secret(&permit.to_look(), facts.id).await? } else { None };
        match (&known, request.first()) {
            (Some(state), Some(_)) => self.check_empty(state, &permit).await?,
            (Some(state), None) => drop(self.settler.settle(&state.pending).await?),
            (None, _) => {}
        }
        if let Some(owner) = request.details().and_then(|details| details.owner) {
            let view = self.registry.now().await?;
            check_owner(&view, Some(owner))?;
        }
        self.may_be_next(request, (facts.id, known.as_ref()), &permit).await?;
        let kind = match &request.to {
            StoreTo::New { details, .. } => details.kind,
            StoreTo::Path { .. } | StoreTo::Id(_) => known.as_ref().and_then(|state| state.kind),
        };
        let now = self.clock.now();
        let in_environment = self.rules_in(environment.id).await?;
        let rules = (kind.unwrap_or(SecretKind::Text), LeastScore::of(&in_environment));
        let checked = self.values.checked(&request.value, rules, (caller.subject(), now)).await?;
        let described = request.details().or(known.as_ref().map(|state| &state.details));
        let by_period = described.unwrap_or(&Details::default()).end_of_version(&environment.name, now);
        let expires_at = earlier(request.about.expires_at.or(by_period), checked.expires_at);
        let ending = Expiry::Known(expires_at).told_at(now);
        let targets = self.readable_targets(&checked.references, caller).await?;
        let version = NewContent { value: Arc::clone(&checked.value), expires_at, targets };
        // As late as that: nothing is changed for a create that is refused.
        let taker = match (&request.to, &known) {
            (StoreTo::New { rules, details, .. }, Some(_)) => {
                Some(self.take_over::<A>(&facts, (rules, details), caller, meta).await?)
            }
            (StoreTo::New { .. } | StoreTo::Path { .. } | StoreTo::Id(_), _) => None,
        };
        let caller = taker.as_ref().unwrap_or(caller);
        let (facts, _, permit) = match taker {
            Some(_) => self.permit_at::<A>((environment, &path), new, caller).await?,
            None => (facts, is_there, permit),
        };
        // Who may write and not read gets no token; nor does anybody for a secret that is read after an approval only, or for a
        // version that is over where that is refused. Rules that change from here on, the permit does not outlive.
        let rules = request.rules().or(known.as_ref().map(|state| &state.rules));
        let is_held_back = rules.is_some_and(|rules| rules.requires_approval || rules.frozen.is_some());
        let is_refused = ending.is_over && in_environment.expired_versions == ExpiredVersions::Refuse;
        let is_wanted = request.token && !is_held_back && !is_refused;
        let target = Target { environment, facts };
        if let Some(state) = known.as_ref().filter(|_| request.skip_unchanged)
            && let Some(current) =
                self.unchanged((request, &version.value), (state, &target.facts), caller, meta).await?
        {
            return self.answer_unchanged(target, current, (request, state), caller, meta).await;
        }
        let read: Option<Permit<Read>> = if is_wanted { caller.permit_on(Some(&target.facts)).ok() } else { None };
        // It counts as every other token for the secret.
        let limit = rules.and_then(|rules| rules.rate_limit);
        let (read, turn) = read.and_then(|read| Some((read, self.mint.turn(target.facts.id, limit, caller)?))).unzip();
        // Behind the lock of the path: those who wait for that would keep writers of other paths out of their places.
        let _place = if read.is_some() { Some(self.batches.enter().await) } else { None };
        let (seal_key, transport) = self.vault_view.keys_for_storing()?;
        let signing_key = read.is_some().then(|| self.mint.signing_key()).transpose()?;
        let first = next_version(known.and_then(|state| state.last))?;
        // The audit line names it, and comes before the rest of the token is known.
        let jti = read.is_some().then(TokenId::generate);
        self.audit.record(act(&target, jti), meta).await?;
        let (row, subject) =
            self.deliver_next(&target, first, (request, &version), (caller, &permit, signing_key), &transport).await?;
        let holder = (subject, caller.credential());
        let longest = environment.max_token_life_seconds;
        let token = jti.map(|jti| self.mint.for_version(jti, holder, &row, (longest, &seal_key)));
        let token = read.zip(token);
        let token = self.commit(row, token, seal_key).await?;
        if let Some(turn) = turn.filter(|_| token.is_some()) {
            turn.keep();
        }
        if jti.is_some() && token.is_none() {
            // The line of before names one that was not made.
            let told = self.audit.record(act(&target, None), meta).await;
            told.map_err(|_| Refusal::outcome_unknown("the audit log did not record the version"))?;
        }
        let stored = answer(target, row.version, (version.value.encoding(), ending), token);
        Ok(StoredSecret { public: checked.public, strength: checked.strength, ..stored })
    }

    /// Refuses what will not be written, before a value is made for it. The store decides again.
    async fn may_be_next<A: MakesVersions>(
        &self,
        request: &StoreRequest,
        (secret, known): (SecretId, Option<&SecretState>),
        permit: &Permit<A>,
    ) -> Result<(), Refusal> {
        let Some(wanted) = request.if_version else { return Ok(()) };
        let settled = match known {
            // One of them may be current by now.
            Some(state) if !state.pending.is_empty() => self.store.secret(&permit.to_look(), secret).await?,
            Some(_) | None => None,
        };
        let state = settled.as_ref().or(known);
        if state.is_some_and(|state| state.rules.deletion.is_some()) {
            return Err(deleted());
        }
        if wanted.holds(state.and_then(|state| state.stages.current)) { Ok(()) } else { Err(other_version()) }
    }

    /// Sends the value under the first version number that is free, in the catalogue and in the vault.
    async fn deliver_next<A: MakesVersions>(
        &self,
        target: &Target<'_>,
        mut version: Version,
        (request, content): (&StoreRequest, &NewContent),
        (caller, permit, signing_key): (&Caller, &Permit<A>, Option<Thumbprint>),
        transport: &StatedKey,
    ) -> Result<(VersionRow, Subject), Refusal> {
        for _ in 0..MAX_TRIES {
            let (sealer, value) = (Arc::clone(&self.sealer), Arc::clone(&content.value));
            let (environment, secret) = (target.environment.id, target.facts.id);
            // EXPOSE: only its length.
            let sealed =
                by_size(content.value.expose().len(), move || sealer.seal(environment, secret, version, &value));
            let sealed = sealed.await.map_err(|_| Refusal::internal("sealing broke down"))??;
            let row = VersionRow {
                secret,
                environment,
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
                path: target.facts.path.clone(),
                rules: request.rules().cloned().unwrap_or_default(),
                details: request.details().cloned().unwrap_or_default(),
                about: AboutVersion {
                    author: caller.subject(),
                    expires_at: content.expires_at,
                    targets: content.targets.clone(),
                    ..request.about.clone()
                },
                if_version: request.first().or(request.if_version),
                subject: caller.subject_of_write(request.label.clone())?,
                idempotency,
                signing_key,
                rotation: request.rotation.clone(),
                now: self.clock.now(),
            };
            match A::begin(self.store.as_ref(), permit, new).await? {
                BeginOutcome::Pending(subject) => match self.delivery.deliver(sealed, transport.clone()).await {
                    Delivery::Stored => return Ok((row, subject)),
                    Delivery::Taken => self.store.abandon(row.secret, row.version).await?,
                    Delivery::NotWritten(why) => return Err(Refusal::unavailable(why)),
                    Delivery::Unclear => return Err(Refusal::outcome_unknown("the vault did not confirm the version")),
                },
                BeginOutcome::Closed(closed) => return Err(closed.into()),
                BeginOutcome::Deleted => return Err(deleted()),
                BeginOutcome::OtherVersion if request.first().is_some() => return Err(taken()),
                BeginOutcome::OtherVersion => return Err(other_version()),
                BeginOutcome::Rotating => return Err(rotating()),
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
            (CommitOutcome::Yes { rseq, expires_at }, Some(mut token)) => {
                token.expires_at = expires_at.unwrap_or(token.expires_at);
                self.mint.issue(token, rseq, vec![row], seal_key).await.map(Some)
            }
            (CommitOutcome::Closed(closed), _) => Err(Refusal::from(closed).fact(written)),
            // Its end, or the rule of its environment, came in between.
            (CommitOutcome::Yes { .. }, None) | (CommitOutcome::Expired, _) => Ok(None),
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
pub(super) fn other_reading() -> Refusal {
    Refusal::new(ErrorCode::AlreadyExists)
        .detail("A secret has this path with dots in the place of slashes, or with slashes in the place of dots.")
}

/// The refusal of a write to a deleted secret.
pub(super) fn deleted() -> Refusal {
    Refusal::new(ErrorCode::SecretDeleted)
}

/// The refusal of a write by somebody who has seen another version.
pub(super) fn other_version() -> Refusal {
    Refusal::new(ErrorCode::VersionConflict).detail("if_version is not the current version.")
}

/// The refusal of a rotation while another one is under way.
fn rotating() -> Refusal {
    Refusal::new(ErrorCode::RotationConflict)
        .detail("A rotation is under way, or a version is pending: :promote it, :finish it, or give it up by :repair with `abandon`.")
}

/// The value of a version that is written, its end, and what it refers to.
struct NewContent {
    value: Arc<SecretValue>,
    expires_at: Option<u64>,
    targets: Vec<ReadableTarget>,
}

/// The earlier one of two ends, of which either may be missing.
fn earlier(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
}

pub(super) fn answer(
    target: Target<'_>,
    version: Version,
    (encoding, ending): (ValueEncoding, Ending),
    token: Option<IssuedToken>,
) -> StoredSecret {
    StoredSecret {
        secret: target.facts.id,
        version,
        environment: target.environment.name.clone(),
        path: target.facts.path,
        expires_at: ending.at,
        is_over: ending.is_over,
        encoding,
        public: None,
        strength: None,
        token,
        is_unchanged: false,
    }
}

pub(super) fn act<'a>(target: &'a Target<'_>, token: Option<TokenId>) -> Act<'a> {
    Act::SecretStore { secret: target.facts.id, path: &target.facts.path, token }
}

pub(super) fn next_version(last: Option<Version>) -> Result<Version, Refusal> {
    match last {
        None => Ok(Version::FIRST),
        Some(last) => last.next().map_err(|_| Refusal::parameter("The secret has no version number left.")),
    }
}
