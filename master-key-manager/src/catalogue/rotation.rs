//! Rotation of secrets: the next value, and the steps until the former one counts no more.
//!
//! Guarantees that readers of the current version get the former or the new value and never none, that two rotations do not run
//! at once, and that whatever a crash leaves is finished or taken back by [`SecretRotator::repair`], or by maintenance.

use std::sync::Arc;

use manager_api::fields::fields_of;
use manager_api::generate::Generate;
use manager_api::kind::SecretKind;
use manager_api::name::{IdempotencyKey, Note, UserLabel};
use manager_api::rotation::{MAX_GRACE_SECONDS, RotationMode, RotationPlan};
use manager_policy::{Permit, Rotate};
use manager_secret_kinds::{PublicFacts, Strength};
use manager_store::{
    AboutVersion, DescribedSecret, ENDED_AT_ONCE, IfVersion, ManagerStore, NewRotation, Promotion, StepOutcome,
    Verified,
};
use service_runtime::Refusal;
use service_runtime::audit::{AuditLog, Origin};
use service_runtime::clock::Clock;
use shared_proto::error::ErrorCode;
use shared_proto::event::Event;
use shared_proto::id::{SecretId, Version};
use shared_proto::secret::SecretValue;

use super::StoreTo;
use super::secret_writer::{SecretWriter, deleted, other_version};
use super::store_request::StoreRequest;
use super::value::{Filling, NewValue};
use crate::access::Caller;
use crate::audit_event::{Act, SecretAct};
use crate::idempotency::BodyMark;
use crate::revocation::{Revocations, Sequences};

/// Rotates secrets.
pub struct SecretRotator {
    store: Arc<dyn ManagerStore>,
    writer: Arc<SecretWriter>,
    revocations: Arc<Revocations>,
    audit: AuditLog,
    clock: Arc<dyn Clock>,
}

/// A request for a rotation.
pub struct RotateRequest {
    /// The secret.
    pub secret: SecretId,
    /// The new value, or the document of which a field gets it.
    pub value: Option<Arc<SecretValue>>,
    /// The value that is made.
    pub generate: Option<Generate>,
    /// The field that it gets.
    pub field: Option<String>,
    /// True if the new version is current at once; the plan of the secret says it by default.
    pub activate: Option<bool>,
    /// True if every token of before is revoked.
    pub emergency: bool,
    /// Seconds in which the former version counts; the plan of the secret says it by default.
    pub grace_seconds: Option<u32>,
    /// The state of the secret that the caller has seen.
    pub if_version: Option<IfVersion>,
    /// A note about the version.
    pub note: Option<Note>,
    /// The idempotency key and the mark of the body, to recognize a repeat.
    pub idempotency: Option<(IdempotencyKey, BodyMark)>,
}

/// The outcome of a step.
pub struct Rotated {
    /// The version that it was about; `None` if there was nothing to do.
    pub version: Option<Version>,
    /// The secret afterwards.
    pub found: DescribedSecret,
    /// The revocations that it made.
    pub revoked: Sequences,
    /// The public part of a value that was made.
    pub public: Option<PublicFacts>,
    /// The strength of a password that was given.
    pub strength: Option<Strength>,
}

impl SecretRotator {
    /// A rotator of the secrets of this store.
    pub fn new(
        store: Arc<dyn ManagerStore>,
        writer: Arc<SecretWriter>,
        revocations: Arc<Revocations>,
        audit: AuditLog,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { store, writer, revocations, audit, clock }
    }

    /// Writes the next version of a secret as a rotation. Run it in a task that the client's disconnect does not end.
    ///
    /// # Errors
    /// `SecretNotFound`: it is unknown, or the caller may not rotate it. `RotationConflict`: a rotation is under way. Those of
    /// [`SecretWriter::store`].
    pub async fn rotate(&self, asked: RotateRequest, caller: Caller, origin: &Origin) -> Result<Rotated, Refusal> {
        check_grace(asked.grace_seconds)?;
        let (permit, found) = self.found(asked.secret, &caller).await?;
        if found.state.rules.deletion.is_some() {
            return Err(deleted());
        }
        let details = found.details.as_ref();
        let details = details.ok_or_else(|| Refusal::unavailable("the description is not what the manager wrote"))?;
        // One that only time kept from its end is not in the way.
        self.revocations.end_rotation(asked.secret).await?;
        let plan = details.rotation.clone().unwrap_or_else(RotationPlan::none);
        let account = plan.account_after(found.rotation.account.as_ref()).cloned();
        let kind = details.kind.unwrap_or(SecretKind::Text);
        let (value, kept) = new_value(&asked, &plan, (kind, account.as_ref()))?;
        let activate = asked.emergency || asked.activate.unwrap_or(plan.mode == RotationMode::Activate);
        let grace_seconds = u64::from(asked.grace_seconds.unwrap_or(plan.grace_seconds));
        let rotation = NewRotation { activate, emergency: asked.emergency, grace_seconds, generate: kept };
        // The account is that of the other one's turn, and a write in between must not take it.
        let seen = found.state.stages.current.map_or(IfVersion::Absent, IfVersion::Current);
        let request = StoreRequest {
            label: None,
            value,
            to: StoreTo::Id(asked.secret),
            if_version: asked.if_version.or(Some(seen)),
            about: AboutVersion { note: asked.note, is_pending: !activate, account, ..AboutVersion::default() },
            token: false,
            rotation: Some(rotation),
            skip_unchanged: false,
            idempotency: asked.idempotency,
        };
        self.audit.record(Act::Secret(SecretAct::Rotate, asked.secret, &found.state.path), origin).await?;
        let stored = self.writer.store_as::<Rotate>(request, caller.clone(), origin).await?;
        let revoked = if asked.emergency { self.finish_written(&permit, &stored).await } else { nothing() };
        let done = self.done(&permit, (asked.secret, Some(stored.version)), revoked).await?;
        Ok(Rotated { public: stored.public, strength: stored.strength, ..done })
    }

    /// The revocation of an emergency. Its version is there: what fails here is done by maintenance.
    async fn finish_written(&self, permit: &Permit<Rotate>, stored: &super::StoredSecret) -> Sequences {
        match self.revocations.finish_rotation(permit, (stored.secret, Some(stored.version))).await {
            Ok((Some(_), revoked)) => revoked,
            // A former request has finished it, or maintenance: what that recorded counts.
            Ok((None, _)) => self.revocation_of(stored.secret).await,
            Err(_) => nothing_yet(),
        }
    }

    /// The progress of the newest revocation of a secret.
    async fn revocation_of(&self, secret: SecretId) -> Sequences {
        self.revocations.progress_of(Event::Secret(secret)).await.unwrap_or_else(|_| nothing_yet())
    }

    /// Records that a pending version works.
    ///
    /// # Errors
    /// `SecretNotFound`, or `RotationConflict`: there is no such version.
    pub async fn verify(
        &self,
        (secret, version): (SecretId, Option<Version>),
        caller: Caller,
        origin: &Origin,
    ) -> Result<Rotated, Refusal> {
        let (permit, found) = self.found(secret, &caller).await?;
        self.audit.record(Act::Secret(SecretAct::Verify, secret, &found.state.path), origin).await?;
        let verified = Verified { at: self.clock.now(), by: caller.subject() };
        let done = step(self.store.verify_rotation(&permit, (secret, version), verified).await?)?;
        self.done(&permit, (secret, Some(done)), nothing()).await
    }

    /// Makes a pending version current.
    ///
    /// # Errors
    /// `SecretNotFound`; `RotationConflict`: there is no such version, or nobody has verified it; `VersionConflict`: another
    /// version became current since.
    pub async fn promote(
        &self,
        (secret, version): (SecretId, Option<Version>),
        (unverified, grace_seconds): (bool, Option<u32>),
        caller: Caller,
        origin: &Origin,
    ) -> Result<Rotated, Refusal> {
        check_grace(grace_seconds)?;
        let (permit, found) = self.found(secret, &caller).await?;
        self.audit.record(Act::Secret(SecretAct::Promote, secret, &found.state.path), origin).await?;
        let (grace_seconds, now) = (grace_seconds.map(u64::from), self.clock.now());
        let promotion = Promotion { secret, version, unverified, grace_seconds, now };
        let done = step(self.store.promote(&permit, promotion).await?)?;
        self.done(&permit, (secret, Some(done)), nothing()).await
    }

    /// Ends a grace time before it has passed.
    ///
    /// # Errors
    /// `SecretNotFound`; `RotationConflict`: there is none.
    pub async fn finish(
        &self,
        (secret, version): (SecretId, Option<Version>),
        caller: Caller,
        origin: &Origin,
    ) -> Result<Rotated, Refusal> {
        let (permit, found) = self.found(secret, &caller).await?;
        self.audit.record(Act::Secret(SecretAct::Finish, secret, &found.state.path), origin).await?;
        let (done, revoked) = self.revocations.finish_rotation(&permit, (secret, version)).await?;
        let done = done.ok_or_else(other_step)?;
        self.done(&permit, (secret, Some(done)), revoked).await
    }

    /// Finishes what a crash has left, or takes it back; a pending version is given up if that is asked for.
    ///
    /// # Errors
    /// `SecretNotFound`; `Unavailable`: the vault does not say what became of a version.
    pub async fn repair(
        &self,
        (secret, abandon): (SecretId, bool),
        caller: Caller,
        origin: &Origin,
    ) -> Result<Rotated, Refusal> {
        let (permit, found) = self.found(secret, &caller).await?;
        let DescribedSecret { state, .. } = found;
        self.audit.record(Act::Secret(SecretAct::Repair, secret, &state.path), origin).await?;
        let settler = &self.writer.settler;
        let one_writer = settler.locks().lock(&(state.environment, state.path.clone())).await;
        // Of a version that is settled the rotation knows.
        if let Some(now) = self.store.secret_to_settle(secret).await? {
            settler.settle(&now.pending).await?;
        }
        drop(one_writer);
        let (ended, revoked) = self.revocations.end_rotation(secret).await?;
        let given_up = if abandon { Some(self.store.give_up_rotation(&permit, secret).await?) } else { None };
        let given_up = match given_up {
            Some(StepOutcome::Done(version)) => Some(version),
            Some(_) | None => None,
        };
        // Nobody is told that an earlier emergency has revoked what the vault has not signed yet.
        let revoked = if ended.is_some() { revoked } else { self.revocation_of(secret).await };
        self.done(&permit, (secret, ended.or(given_up)), revoked).await
    }

    /// Ends the rotations from whose end nothing but time kept them. Maintenance calls it. What fails is done the next time.
    ///
    /// # Errors
    /// The database or the audit log cannot be written.
    pub async fn end_all(&self) -> Result<(), Refusal> {
        let ended = self.store.ended_rotations(self.clock.now(), ENDED_AT_ONCE).await?;
        let facts = self.store.secret_facts(ended.clone()).await?;
        for (secret, facts) in ended.into_iter().zip(facts) {
            // As every revocation, it waits for no line. A row that is not the manager's is removed, so that none is in the way.
            let (ended, _) = self.revocations.end_rotation(secret).await?;
            if let Some(facts) = facts.filter(|_| ended.is_some()) {
                self.audit.record(Act::Secret(SecretAct::Finish, facts.id, &facts.path), &Origin::background()).await?;
            }
        }
        Ok(())
    }

    async fn found(&self, secret: SecretId, caller: &Caller) -> Result<(Permit<Rotate>, DescribedSecret), Refusal> {
        let permit = caller.permit_on_id::<Rotate>(self.store.as_ref(), secret).await?;
        let found = self.store.described(&permit.to_look(), secret).await?;
        Ok((permit, found.ok_or_else(|| Refusal::new(ErrorCode::SecretNotFound))?))
    }

    /// The secret after a step.
    async fn done(
        &self,
        permit: &Permit<Rotate>,
        (secret, version): (SecretId, Option<Version>),
        revoked: Sequences,
    ) -> Result<Rotated, Refusal> {
        let found = self.store.described(&permit.to_look(), secret).await;
        // The step is made: whoever does not hear of it repeats it.
        let found = found.ok().flatten().ok_or_else(|| Refusal::outcome_unknown("the secret was not read again"))?;
        Ok(Rotated { version, found, revoked, public: None, strength: None })
    }
}

/// The value of a rotation, and the request for it that is kept for the next one.
fn new_value(
    asked: &RotateRequest,
    plan: &RotationPlan,
    (kind, account): (SecretKind, Option<&UserLabel>),
) -> Result<(NewValue, Option<Generate>), Refusal> {
    let generate = asked.generate.clone().or_else(|| plan.generate.clone().filter(|_| wants_made(asked)));
    let made = generate.clone().map(|generate| Filling::Made(Box::new(generate)));
    let has_user = fields_of(kind).iter().any(|field| field.name == USER);
    let user = account.filter(|_| has_user).map(|account| (USER.to_owned(), Filling::Account(account.clone())));
    let value = match (&asked.value, &asked.field, made) {
        (Some(document), Some(field), Some(made)) => {
            let fields = std::iter::once((field.clone(), made)).chain(user).collect();
            NewValue::Filled { document: Arc::clone(document), fields }
        }
        (Some(document), None, None) => match user {
            Some(user) => NewValue::Filled { document: Arc::clone(document), fields: vec![user] },
            None => NewValue::Given(Arc::clone(document)),
        },
        (None, None, Some(Filling::Made(generate))) => NewValue::Made(generate),
        (None, None, _) => {
            return Err(Refusal::parameter(
                "Give value or generate: the secret was never asked to be generated before.",
            ));
        }
        (Some(_), None, Some(_)) => return Err(Refusal::parameter("Give value or generate, or both with field.")),
        (_, Some(_), _) => {
            return Err(Refusal::parameter("A field is filled in a value that is given, with one that is made."));
        }
    };
    Ok((value, asked.generate.as_ref().and(generate)))
}

/// Tells whether a request that does not say what to make wants what was made last.
fn wants_made(asked: &RotateRequest) -> bool {
    asked.value.is_none() || asked.field.is_some()
}

fn check_grace(seconds: Option<u32>) -> Result<(), Refusal> {
    if seconds.is_some_and(|seconds| seconds > MAX_GRACE_SECONDS) {
        return Err(Refusal::parameter("grace_seconds is at most 2592000."));
    }
    Ok(())
}

fn step(outcome: StepOutcome) -> Result<Version, Refusal> {
    match outcome {
        StepOutcome::Done(version) => Ok(version),
        StepOutcome::OtherStep => Err(other_step()),
        StepOutcome::Unverified => {
            Err(Refusal::new(ErrorCode::RotationConflict).detail("Nobody has verified the pending version."))
        }
        StepOutcome::OtherVersion => {
            Err(other_version().detail("Another version became current since the rotation began."))
        }
        StepOutcome::Deleted => Err(deleted()),
        StepOutcome::Closed(closed) => Err(closed.into()),
    }
}

fn other_step() -> Refusal {
    Refusal::new(ErrorCode::RotationConflict).detail(
        "The rotation is at another step, or at another version: `rotation` and `stages` of the secret say where.",
    )
}

fn nothing() -> Sequences {
    Sequences { numbers: Vec::new(), applied: true }
}

fn nothing_yet() -> Sequences {
    Sequences { numbers: Vec::new(), applied: false }
}

/// The field of a kind that has the name of an account.
const USER: &str = "user";
