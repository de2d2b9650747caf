//! Many operations on secrets in one request.
//!
//! Guarantees that each one is decided, counted against the rate limits and audited as its own route would, with the rights
//! of the moment; that they happen one after the other, and that each is done or not done whatever becomes of the others.
//! The work has a bound: one request of a principal at a time, four in all, and none begins an operation after 30 seconds.

use std::sync::Arc;

use manager_api::kind::SecretKind;
use manager_api::name::{EnvironmentName, IdempotencyKey, Note, Reason, SecretPath};
use manager_api::secrets::{ChangeSecret, EnvironmentSelector};
use manager_api::versions::ChangeVersion;
use manager_policy::{Permit, Write};
use manager_registry::{Deletion, SecretRules};
use manager_store::{AboutVersion, CHANGED, Details, ManagerStore};
use service_runtime::Refusal;
use service_runtime::audit::{AuditLog, AuditRecord, Origin};
use service_runtime::clock::Clock;
use shared_proto::error::ErrorCode;
use shared_proto::id::{SecretId, Subject, Version};
use shared_proto::secret::SecretValue;
use tokio::sync::Semaphore;

use crate::access::{Caller, Limits, Registry};
use crate::approvals::{Approvals, Destruction};
use crate::audit_event::Act;
use crate::catalogue::{
    AfterChange, KeyedLocks, NewValue, RollbackRequest, RolledBack, RotateRequest, Rotated, SecretKeeper,
    SecretRotator, SecretWriter, StoreRequest, StoreTo, StoredSecret, VersionKeeper, destroy as destroy_versions,
};
use crate::idempotency::BodyMark;
use crate::revocation::{Revocations, Sequences};

/// Carries many operations out.
pub struct Bulk {
    /// The database.
    pub store: Arc<dyn ManagerStore>,
    /// The rights of the moment.
    pub registry: Arc<Registry>,
    /// Counts operations as requests.
    pub limits: Arc<Limits>,
    /// Stores values and rolls back.
    pub secret_writer: Arc<SecretWriter>,
    /// Rotates.
    pub secret_rotator: Arc<SecretRotator>,
    /// Changes versions.
    pub version_keeper: Arc<VersionKeeper>,
    /// Changes, deletes and takes back.
    pub secret_keeper: Arc<SecretKeeper>,
    /// Destroys secrets, or asks for it.
    pub approvals: Arc<Approvals>,
    /// Revokes what is destroyed.
    pub revocations: Arc<Revocations>,
    /// The audit log.
    pub audit: AuditLog,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The requests that may be under way.
    pub turns: Turns,
}

/// The requests that are carried out at once.
pub struct Turns {
    all: Semaphore,
    own: KeyedLocks<Subject>,
}

/// Requests that are carried out at once. Each holds its body in memory.
const AT_ONCE: usize = 4;
/// The seconds after which no operation is begun: clients and proxies wait no longer.
const MOST_SECONDS: u64 = 30;

impl Default for Turns {
    fn default() -> Self {
        Self { all: Semaphore::new(AT_ONCE), own: KeyedLocks::default() }
    }
}

/// One operation with the id of its own route.
pub struct Step {
    /// The action of its audit line when it is refused.
    pub route: &'static str,
    /// The operation, or why it cannot be one.
    pub work: Result<Work, Refusal>,
}

/// An operation.
pub enum Work {
    /// A value is stored.
    Store(Box<StoreRequest>),
    /// A value of a document is stored at its path.
    Put(Box<Put>),
    /// A secret is rolled back.
    Rollback(RollbackRequest),
    /// A secret is rotated.
    Rotate(Box<RotateRequest>),
    /// The note or the stages of a version are changed.
    ChangeVersion((SecretId, Version), ChangeVersion),
    /// A secret is changed.
    Change(SecretId, Box<ChangeSecret>),
    /// A secret is deleted.
    Delete(SecretId, Option<Reason>),
    /// A deletion is taken back.
    Undelete(SecretId, Option<Reason>),
    /// A deleted secret is destroyed.
    Destroy(SecretId, Reason),
    /// Versions are destroyed.
    DestroyVersions(SecretId, Vec<Version>),
}

/// A value for the secret at a path, which need not exist.
pub struct Put {
    /// The environment.
    pub environment: EnvironmentName,
    /// The path.
    pub path: SecretPath,
    /// The value.
    pub value: Arc<SecretValue>,
    /// The kind of a secret that is made.
    pub kind: Option<SecretKind>,
    /// The note of the version.
    pub note: Option<Note>,
    /// True if a secret that exists stays as it is.
    pub keeps: bool,
    /// True if a value that is the current one makes no version.
    pub skip_unchanged: bool,
    /// True if nothing shall happen.
    pub is_dry: bool,
    /// The idempotency key and the mark of the value.
    pub idempotency: Option<(IdempotencyKey, BodyMark)>,
}

/// An operation that is done.
pub enum Done {
    /// A value is stored.
    Stored(Box<StoredSecret>),
    /// A value of a document is stored, or would be; true for a secret that is made.
    Put(bool, Option<(SecretId, Version)>),
    /// The secret at the path of a document stays as it is.
    Kept,
    /// It has the value of the document already, in this version.
    Unchanged(Option<(SecretId, Version)>),
    /// A secret is rolled back.
    RolledBack(RolledBack),
    /// A secret is rotated.
    Rotated(Box<Rotated>),
    /// A version is changed.
    ChangedVersion(AfterChange),
    /// A secret is changed, or its deletion is taken back.
    Changed(Sequences),
    /// A secret is deleted.
    Deleted(SecretId, Deletion, Sequences),
    /// A secret is destroyed, or somebody is asked about it.
    Destroyed(SecretId, Destruction),
    /// Versions are destroyed; some envelopes may stay.
    DestroyedVersions(Sequences, Vec<Version>),
}

impl Bulk {
    /// Carries operations out, in their order.
    ///
    /// # Errors
    /// `Overloaded`: another request of the caller is under way, or too many of others. `CredentialInvalid`: the credential or
    /// the policy changed before anything was done.
    pub async fn run(
        &self,
        steps: Vec<Step>,
        caller: Caller,
        origin: &Origin,
    ) -> Result<Vec<Result<Done, Refusal>>, Refusal> {
        let Some(subject) = caller.subject() else { return Err(Refusal::new(ErrorCode::CredentialInvalid)) };
        let busy = |detail: &'static str| Refusal::new(ErrorCode::Overloaded).detail(detail);
        let own = self.turns.own.try_lock(&subject);
        let _own = own.ok_or_else(|| busy("Another bulk request of this caller is under way."))?;
        let _turn = self.turns.all.try_acquire().map_err(|_| busy("Too many bulk requests are under way."))?;
        let (end, mut results) = (self.clock.boot().saturating_add(MOST_SECONDS), Vec::with_capacity(steps.len()));
        let mut is_done = false;
        for (number, Step { route, work }) in steps.into_iter().enumerate() {
            let result = if number > 0 && self.clock.boot() >= end {
                Err(Refusal::unavailable("a bulk request took too long")
                    .detail("It was not begun: the request took too long."))
            } else {
                self.step(route, work, (&caller, subject, number == 0), origin).await
            };
            match result {
                // It is about the caller, so it is the same for all that follows.
                Err(refusal) if refusal.code() == ErrorCode::CredentialInvalid && !is_done => return Err(refusal),
                Err(refusal) => results.push(Err(refusal)),
                Ok(done) => {
                    is_done = true;
                    results.push(Ok(done));
                }
            }
        }
        Ok(results)
    }

    async fn step(
        &self,
        route: &'static str,
        work: Result<Work, Refusal>,
        (caller, subject, is_first): (&Caller, Subject, bool),
        origin: &Origin,
    ) -> Result<Done, Refusal> {
        // The request was counted and authenticated for the first one.
        if is_first {
            return self.recorded(route, work, (caller, Ok(())), origin).await;
        }
        let view = self.registry.now().await?;
        let (now, credential) = (self.clock.now(), caller.credential());
        let actor = view.actor(credential, now).ok_or_else(|| Refusal::new(ErrorCode::CredentialInvalid));
        let again = match actor {
            Ok(actor) => Caller::new(actor, &view, now),
            Err(refusal) => return self.recorded(route, work, (caller, Err(refusal)), origin).await,
        };
        let origin = origin.clone().authenticated(again.method(), again.rules());
        let counted = match self.limits.take_principal(subject) {
            Ok(()) if view.state.credential(credential).is_some_and(|known| known.max_uses.is_some()) => {
                self.registry.use_credential(credential, now).await
            }
            counted => counted,
        };
        self.recorded(route, work, (&again, counted), &origin).await
    }

    /// Carries an operation out, and records a refusal as its own route does.
    async fn recorded(
        &self,
        route: &'static str,
        work: Result<Work, Refusal>,
        (caller, allowed): (&Caller, Result<(), Refusal>),
        origin: &Origin,
    ) -> Result<Done, Refusal> {
        let result = match allowed.and(work) {
            Ok(work) => self.perform(work, caller, origin).await,
            Err(refusal) => Err(refusal),
        };
        result.inspect_err(|refusal| {
            self.audit.record_refusal(AuditRecord::refused(route, refusal, origin));
            if refusal.cause_text() == Some(CHANGED) {
                self.registry.suspect();
            }
        })
    }

    async fn perform(&self, work: Work, caller: &Caller, origin: &Origin) -> Result<Done, Refusal> {
        let (writer, keeper) = (&self.secret_writer, &self.secret_keeper);
        match work {
            Work::Store(request) => {
                let stored = writer.store(*request, caller.clone(), origin).await?;
                Ok(Done::Stored(Box::new(stored)))
            }
            Work::Put(put) => self.put(*put, caller, origin).await,
            Work::Rollback(request) => writer.rollback(request, caller.clone(), origin).await.map(Done::RolledBack),
            Work::Rotate(request) => {
                let done = self.secret_rotator.rotate(*request, caller.clone(), origin).await?;
                Ok(Done::Rotated(Box::new(done)))
            }
            Work::ChangeVersion(at, asked) => {
                self.version_keeper.change(at, asked, caller, origin).await.map(Done::ChangedVersion)
            }
            Work::Change(secret, asked) => keeper.change(secret, *asked, caller, origin).await.map(Done::Changed),
            Work::Delete(secret, reason) => {
                let (deletion, done) = keeper.delete(secret, reason.as_ref(), caller, origin).await?;
                Ok(Done::Deleted(secret, deletion, done))
            }
            Work::Undelete(secret, reason) => {
                keeper.undelete(secret, reason.as_ref(), caller, origin).await.map(Done::Changed)
            }
            Work::Destroy(secret, reason) => {
                let done = self.approvals.destroy(secret, reason, caller, origin).await?;
                Ok(Done::Destroyed(secret, done))
            }
            Work::DestroyVersions(secret, versions) => {
                let asked = (caller.permit_on_id(self.store.as_ref(), secret).await?, secret, versions);
                let (store, settler) = (self.store.as_ref(), &writer.settler);
                let done = destroy_versions(store, settler, &self.revocations, &self.audit, asked, origin).await?;
                Ok(Done::DestroyedVersions(done.0, done.1))
            }
        }
    }

    /// Stores a value of a document, or says what would happen.
    async fn put(&self, put: Put, caller: &Caller, origin: &Origin) -> Result<Done, Refusal> {
        let environment = EnvironmentSelector::Name(put.environment.clone());
        let (found, permit) = self.secret_writer.writable_at((&environment, &put.path), caller).await?;
        let is_new = found.is_none();
        if put.keeps && !is_new {
            return self.still(&permit).await.map(|()| Done::Kept);
        }
        let to = match found {
            Some(secret) => StoreTo::Id(secret),
            None => StoreTo::New {
                environment,
                path: put.path,
                rules: SecretRules::default(),
                details: Box::new(Details { kind: put.kind, ..Details::default() }),
            },
        };
        let request = StoreRequest {
            label: None,
            value: NewValue::Given(put.value),
            to,
            if_version: None,
            about: AboutVersion { note: put.note, ..AboutVersion::default() },
            token: false,
            rotation: None,
            skip_unchanged: put.skip_unchanged,
            idempotency: put.idempotency,
        };
        if put.is_dry {
            let is_unchanged = self.secret_writer.preview(&request, caller, origin).await?;
            self.still(&permit).await?;
            return Ok(if is_unchanged { Done::Unchanged(None) } else { Done::Put(is_new, None) });
        }
        let stored = self.secret_writer.store(request, caller.clone(), origin).await?;
        let written = Some((stored.secret, stored.version));
        if stored.is_unchanged {
            return Ok(Done::Unchanged(written));
        }
        // A repeat finds what the first request made.
        Ok(Done::Put(is_new || stored.version == Version::FIRST, written))
    }

    /// Looks again at what a permit was decided from, where nothing is asked of the store with it.
    async fn still(&self, permit: &Permit<Write>) -> Result<(), Refusal> {
        let basis = permit.basis_for(permit.scope());
        let basis = basis.ok_or_else(|| Refusal::internal("a permit is not for its scope"))?;
        Ok(self.store.look_again_at(basis).await?)
    }

    /// Records durably that somebody is told what an import would do.
    ///
    /// # Errors
    /// The audit log cannot be written.
    pub async fn tell(&self, origin: &Origin) -> Result<(), Refusal> {
        Ok(self.audit.record(Act::ImportTry, origin).await?)
    }
}
