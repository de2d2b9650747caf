//! Secrets of the catalogue as answers.

use manager_api::bulk::OperationError;
use manager_api::deletion::{DeletedSecret, DestroyedSecret, ErasureStatus};
use manager_api::kind::SecretKind;
use manager_api::rotation::{RotationDetails, RotationPlan, RotationState};
use manager_api::search::{FolderEntry, SecretSummary};
use manager_api::secrets::{GeneratedFacts, PasswordStrength, SecretDetails, StagedVersions, WrittenSecret};
use manager_api::wire::{DestroyAnswer, DestructionStatus, RevocationStatus, RollbackAnswer};
use manager_registry::Deletion;
use manager_secret_kinds::{PublicFacts, Strength};
use manager_store::{DescribedSecret, ListedSecret, ShownRotation, Stages, Step};
use service_runtime::{Fact, Refusal};
use shared_proto::id::{SecretId, Version};

use super::{environment_name, environment_of};
use crate::app::App;
use crate::approvals::{Destruction, VersionDestruction};
use crate::catalogue::{RolledBack, StoredSecret};
use crate::revocation::Sequences;

/// The description of a secret.
pub(super) fn details(app: &App, found: DescribedSecret) -> Result<SecretDetails, Refusal> {
    let DescribedSecret { state, details, rotation } = found;
    let details = details.ok_or_else(|| Refusal::unavailable("the description is not what the manager wrote"))?;
    let last_version = state.last.ok_or_else(|| Refusal::internal("a secret without a version"))?;
    let environment = environment_of(app, state.environment)?;
    let (environment_frozen_at, environment_disabled_at) = (environment.frozen_at, environment.disabled_at);
    let environment = environment.name;
    let (class, rotation_days) = (details.class_in(&environment), details.rotation_days_in(&environment));
    let deletion = state.rules.deletion;
    let status = state.rules.status();
    Ok(SecretDetails {
        key_id: state.secret,
        environment,
        path: state.path,
        kind: details.kind.unwrap_or(SecretKind::Text),
        class,
        rotation_days,
        never_expires: details.never_expires,
        rotation: shown(rotation, state.stages, details.rotation),
        description: details.description,
        owner: details.owner,
        tags: state.rules.tags,
        metadata: details.metadata,
        retention: state.rules.retention,
        service_only: state.rules.service_only,
        requires_approval: state.rules.requires_approval,
        rate_limit: state.rules.rate_limit,
        frozen: state.rules.frozen.is_some(),
        environment_frozen_at,
        environment_disabled_at,
        state: status,
        deleted_at: deletion.map(|deletion| deletion.deleted_at),
        recoverable_until: deletion.filter(|deletion| !deletion.destroyed).map(|deletion| deletion.recoverable_until),
        stages: staged(state.stages),
        revision: state.revision,
        created_at: state.created_at,
        last_version,
    })
}

/// A value that was stored.
pub(super) fn written(stored: StoredSecret) -> WrittenSecret {
    WrittenSecret {
        key_id: stored.secret,
        version: stored.version,
        environment: stored.environment,
        path: stored.path,
        encoding: stored.encoding,
        expires_at: stored.expires_at,
        expired: stored.is_over,
        public: stored.public.map(generated),
        strength: stored.strength.map(strength),
        token: stored.token,
        unchanged: stored.is_unchanged,
    }
}

/// A rollback that was done.
pub(super) fn rolled_back(app: &App, done: RolledBack) -> Result<RollbackAnswer, Refusal> {
    Ok(RollbackAnswer {
        key_id: done.secret,
        version: done.version,
        envelope: done.envelope,
        environment: environment_name(app, done.environment)?,
        path: done.path,
        expires_at: done.expires_at,
    })
}

/// A secret that was deleted.
pub(super) fn deleted(secret: SecretId, deletion: Deletion, done: Sequences) -> DeletedSecret {
    DeletedSecret {
        key_id: secret,
        deleted_at: deletion.deleted_at,
        recoverable_until: deletion.recoverable_until,
        status: if done.applied { RevocationStatus::Revoked } else { RevocationStatus::Pending },
        sequences: done.numbers,
    }
}

/// A secret that was destroyed, or will be; true if nothing is left to do.
pub(super) fn destroyed(secret: SecretId, done: &Destruction) -> (bool, DestroyedSecret) {
    let (status, approval_id) = match done {
        Destruction::Decided(Sequences { applied: true, .. }, false) => (ErasureStatus::Destroyed, None),
        Destruction::Decided(_, _) => (ErasureStatus::Pending, None),
        Destruction::Awaits(id) => (ErasureStatus::AwaitsApproval, Some(*id)),
    };
    (status == ErasureStatus::Destroyed, DestroyedSecret { key_id: secret, status, approval_id })
}

/// Versions that were destroyed.
pub(super) fn destroyed_versions(done: Sequences, kept: Vec<Version>) -> DestroyAnswer {
    let status = match done {
        Sequences { applied: false, .. } => DestructionStatus::Pending,
        Sequences { ref numbers, .. } if numbers.is_empty() => DestructionStatus::Kept,
        Sequences { .. } => DestructionStatus::Destroyed,
    };
    DestroyAnswer { status, sequences: done.numbers, kept, approval_id: None }
}

/// A version that was destroyed, or will be; true if nothing is left to do.
pub(super) fn destroyed_version(done: VersionDestruction) -> (bool, DestroyAnswer) {
    match done {
        VersionDestruction::Decided(done, kept) => (done.applied, destroyed_versions(done, kept)),
        VersionDestruction::Awaits(id) => {
            let (status, approval_id) = (DestructionStatus::AwaitsApproval, Some(id));
            (false, DestroyAnswer { status, sequences: Vec::new(), kept: Vec::new(), approval_id })
        }
    }
}

/// The reason why one of many operations was not done.
pub(super) fn operation_error(refusal: &Refusal) -> OperationError {
    let (key_id, version) = match refusal.known_fact() {
        Some(Fact::Written(secret, version)) => (Some(*secret), Some(*version)),
        Some(Fact::Expected(_) | Fact::Lacking(_) | Fact::Id(_) | Fact::Wait(_) | Fact::Allow(_)) | None => {
            (None, None)
        }
    };
    OperationError { code: refusal.code(), detail: refusal.detail_text().map(str::to_owned), key_id, version }
}

/// The public part of a generated value. The end of a certificate is that of its version, and a checksum is in no answer: it is a part
/// of the value.
pub(super) fn generated(public: PublicFacts) -> GeneratedFacts {
    let PublicFacts { public_key, fingerprint, request, certificate, bits, expires_at: _, checksum: _ } = public;
    GeneratedFacts { public_key, fingerprint, request, certificate, bits }
}

/// The strength of a password.
pub(super) fn strength(strength: Strength) -> PasswordStrength {
    PasswordStrength { score: strength.score, guesses_log10: strength.guesses_log10 }
}

/// A secret in a list.
pub(super) fn summary(app: &App, listed: ListedSecret) -> Result<SecretSummary, Refusal> {
    let details = listed.details.as_ref();
    Ok(SecretSummary {
        key_id: listed.secret,
        environment: environment_name(app, listed.environment)?,
        kind: details.map(|details| details.kind),
        class: details.map(|details| details.class),
        owner: details.and_then(|details| details.details.owner),
        path: listed.path,
        state: listed.rules.status(),
        tags: listed.rules.tags,
        stages: staged(listed.stages),
        revision: listed.revision,
        created_at: listed.created_at,
        updated_at: listed.updated_at,
        rotation_due_at: listed.rotation_due_at,
        expires_at: listed.expires_at,
    })
}

/// A secret or a folder in a folder.
pub(super) fn folder_entry(entry: manager_store::FolderEntry) -> FolderEntry {
    match entry {
        manager_store::FolderEntry::Secret { path, secret } => {
            FolderEntry { path, key_id: Some(secret), count: None, at_least: false }
        }
        manager_store::FolderEntry::Folder { path, count, is_least } => {
            FolderEntry { path, key_id: None, count: Some(count), at_least: is_least }
        }
    }
}

/// The rotation of a secret.
pub(super) fn shown(rotation: ShownRotation, stages: Stages, plan: Option<RotationPlan>) -> RotationDetails {
    let ShownRotation { under_way, account, pending_account, due_at } = rotation;
    let verified = under_way.as_ref().and_then(|found| found.verified);
    RotationDetails {
        state: match under_way.as_ref().map(|found| found.step) {
            Some(Step::Writing) => RotationState::Writing,
            Some(Step::Pending) => RotationState::Pending,
            Some(Step::Grace) => RotationState::Grace,
            Some(Step::Revoking) => RotationState::Revoking,
            None if stages.pending.is_some() => RotationState::Pending,
            None => RotationState::Idle,
        },
        due_at,
        pending: stages.pending,
        verified_at: verified.map(|verified| verified.at),
        verified_by: verified.and_then(|verified| verified.by),
        grace_until: under_way.and_then(|found| found.grace_until),
        account,
        pending_account,
        plan,
    }
}

pub(super) fn staged(stages: Stages) -> StagedVersions {
    let Stages { current, previous, pending } = stages;
    StagedVersions { current, previous, pending }
}
