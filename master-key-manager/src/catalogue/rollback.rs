//! Rollback: the next version number of a secret points to an older envelope. No value and no key is touched.
//!
//! Order: the audit line is durable → the version is pending → the vault knows its number, as one without an envelope →
//! committed. The vault takes only a number that it has never known, so that a manager which was restored to a time
//! before a rollback never gives its number a second meaning. A pending rollback that is settled later is given up.

use manager_api::kind::SecretKind;
use manager_api::name::{IdempotencyKey, Note, SecretPath};
use manager_api::wire::{CatalogueState, Rollback};
use manager_policy::{Permit, Write};
use service_runtime::Refusal;
use service_runtime::audit::Origin;
use shared_proto::error::ErrorCode;
use shared_proto::id::{EnvironmentId, SecretId, Version};

use super::repeat::First;
use super::secret_writer::{MAX_TRIES, SecretWriter, deleted, next_version, other_version};
use super::settle::Reserved;
use crate::access::Caller;
use crate::audit_event::Act;
use crate::idempotency::BodyMark;
use manager_store::{
    AboutVersion, CommitOutcome, IfVersion, NewRollback, ReadableTarget, RollbackOutcome, SecretState, VersionRow,
};

/// A request for a rollback.
pub struct RollbackRequest {
    /// The secret.
    pub secret: SecretId,
    /// The version whose value is wanted again.
    pub target: Version,
    /// The version that must be the current one.
    pub if_version: Option<Version>,
    /// A note about the new version.
    pub note: Option<Note>,
    /// When the new version ends (Unix seconds).
    pub expires_at: Option<u64>,
    /// The idempotency key and the mark of the body, to recognize a repeat.
    pub idempotency: Option<(IdempotencyKey, BodyMark)>,
}

/// The version that a rollback made.
pub struct RolledBack {
    /// The secret.
    pub secret: SecretId,
    /// Its new version.
    pub version: Version,
    /// The envelope that it points to.
    pub envelope: Version,
    /// Its environment.
    pub environment: EnvironmentId,
    /// Its path.
    pub path: SecretPath,
    /// When it ends (Unix seconds); `None` for never.
    pub expires_at: Option<u64>,
}

impl RollbackRequest {
    /// The request of a body.
    pub fn of(secret: SecretId, body: Rollback, idempotency: Option<(IdempotencyKey, BodyMark)>) -> Self {
        let Rollback { version: target, if_version, note, expires_at } = body;
        Self { secret, target, if_version, note, expires_at, idempotency }
    }
}

impl SecretWriter {
    /// Rolls a secret back. Run it in a task that the client's disconnect does not end.
    ///
    /// # Errors
    /// `SecretNotFound`: the target is not a committed version. `VersionConflict`: `if_version` is not the current one.
    /// `Unavailable`: nothing has changed. `OutcomeUnknown`: a repeat settles it.
    pub async fn rollback(
        &self,
        request: RollbackRequest,
        caller: Caller,
        meta: &Origin,
    ) -> Result<RolledBack, Refusal> {
        let permit = caller.permit_on_id::<Write>(self.store.as_ref(), request.secret).await?;
        let by = (&caller, &permit);
        let (Some(subject), Some((key, mark))) = (caller.subject(), request.idempotency.as_ref()) else {
            return self.roll_back(&request, by, meta).await;
        };
        let _one_at_a_time = self.bodies.locks.lock(&(subject.to_string(), key.clone())).await;
        match self.first_request(by, &subject, key, mark).await? {
            First::Committed(state, _) if state.secret != request.secret => {
                Err(Refusal::new(ErrorCode::IdempotencyConflict))
            }
            First::Committed(state, version) => {
                let row = self.store.version(&permit.to_look(), request.secret, version).await?;
                let row = row.ok_or_else(not_found)?;
                let expires_at = self.end_of(&row).await?;
                self.audit.record(act(&request, &state.path), meta).await?;
                Ok(answer(state, &row, expires_at))
            }
            First::Abandoned(state) if state.secret != request.secret => {
                Err(Refusal::new(ErrorCode::IdempotencyConflict))
            }
            First::Abandoned(_) | First::None => {
                self.bodies.remember(&subject, key, *mark);
                self.roll_back(&request, by, meta).await
            }
        }
    }

    async fn roll_back(
        &self,
        request: &RollbackRequest,
        (caller, permit): (&Caller, &Permit<Write>),
        meta: &Origin,
    ) -> Result<RolledBack, Refusal> {
        // Without the vault nobody waits for anything.
        self.vault_view.keys_for_storing()?;
        let (look, secret) = (permit.to_look(), request.secret);
        let state = self.store.secret(&look, secret).await?.ok_or_else(not_found)?;
        let _one_writer = self.settler.locks().lock(&(state.environment, state.path.clone())).await;
        let state = self.store.secret(&look, secret).await?.ok_or_else(not_found)?;
        self.settler.settle(&state.pending).await?;
        let target = self.store.version(&look, secret, request.target).await?;
        let target = target.filter(|row| row.state == CatalogueState::Committed).ok_or_else(not_found)?;
        if !self.settler.has_envelope(&target).await? {
            return Err(not_found().detail("The vault does not have the envelope of this version."));
        }
        let first = next_version(state.last)?;
        self.audit.record(act(request, &state.path), meta).await?;
        let recorded = self.store.targets(&look, secret, request.target).await?;
        let targets = self.readable_again(recorded, caller).await?;
        let row = self.reserve_next((request, &state, &targets), (caller, permit), first).await?;
        let expires_at = self.end_of(&row).await?;
        match self.store.commit(secret, row.version, None).await {
            Ok(CommitOutcome::Yes { .. }) => Ok(answer(state, &row, expires_at)),
            // It was destroyed with its envelope, or settled by another process, while it was under way.
            Ok(CommitOutcome::WithoutToken | CommitOutcome::Closed(_) | CommitOutcome::Expired | CommitOutcome::No)
            | Err(_) => Err(Refusal::outcome_unknown("the catalogue did not record the version")),
        }
    }

    /// Takes the first version number that is free, in the catalogue and in the vault.
    async fn reserve_next(
        &self,
        (request, state, targets): (&RollbackRequest, &SecretState, &[ReadableTarget]),
        (caller, permit): (&Caller, &Permit<Write>),
        mut version: Version,
    ) -> Result<VersionRow, Refusal> {
        let key = request.idempotency.as_ref().map(|(key, _)| key.as_str().to_owned());
        let environment = self.environments.with_id(state.environment);
        let environment = environment.ok_or_else(|| Refusal::internal("an unknown environment"))?;
        let now = self.clock.now();
        let by_period = state.details.end_of_version(&environment.name, now);
        let expires_at = request.expires_at.or(by_period);
        // An old value gets no younger, unless somebody says so; and what ends by itself does in any case.
        let ends_with_target = request.expires_at.is_none() || ends_by_itself(state.kind);
        for _ in 0..MAX_TRIES {
            let new = NewRollback {
                secret: request.secret,
                version,
                target: request.target,
                if_version: request.if_version.map(IfVersion::Current),
                about: AboutVersion {
                    note: request.note.clone(),
                    author: caller.subject(),
                    expires_at,
                    targets: targets.to_vec(),
                    ..AboutVersion::default()
                },
                ends_with_target,
                idempotency: caller.subject().zip(key.clone()),
                now,
            };
            match self.store.begin_rollback(permit, new).await? {
                RollbackOutcome::Pending(row) => match self.settler.reserve(&row).await? {
                    Reserved::Yes => return Ok(row),
                    Reserved::Used => self.store.abandon(row.secret, row.version).await?,
                },
                RollbackOutcome::Taken => {}
                RollbackOutcome::NotFound => return Err(not_found()),
                RollbackOutcome::Closed(closed) => return Err(closed.into()),
                RollbackOutcome::OtherVersion => return Err(other_version()),
                RollbackOutcome::Deleted => return Err(deleted()),
            }
            version = next_version(Some(version))?;
        }
        Err(Refusal::unavailable("the vault knows many numbers that the catalogue lacks; repeat the request"))
    }

    async fn end_of(&self, row: &VersionRow) -> Result<Option<u64>, Refusal> {
        Ok(self.store.expiry(row.secret, row.version).await?.told_at(0).at)
    }
}

/// Tells whether the values of a kind have an end that stands in them.
fn ends_by_itself(kind: Option<SecretKind>) -> bool {
    matches!(kind, Some(SecretKind::Certificate | SecretKind::Jwt))
}

fn not_found() -> Refusal {
    Refusal::new(ErrorCode::SecretNotFound)
}

fn act<'a>(request: &RollbackRequest, path: &'a SecretPath) -> Act<'a> {
    Act::SecretRollback { secret: request.secret, path, version: request.target }
}

fn answer(state: SecretState, row: &VersionRow, expires_at: Option<u64>) -> RolledBack {
    let SecretState { secret, environment, path, .. } = state;
    RolledBack { secret, version: row.version, envelope: row.envelope, environment, path, expires_at }
}
