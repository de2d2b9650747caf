//! Secrets of the catalogue as answers.

use manager_api::kind::{Class, SecretKind};
use manager_api::secrets::{GeneratedFacts, PasswordStrength, SecretDetails, StagedVersions};
use manager_secret_kinds::{PublicFacts, Strength};
use manager_store::{DescribedSecret, Stages};
use service_runtime::Refusal;

use super::environment_name;
use crate::app::App;

/// The description of a secret.
pub(super) fn details(app: &App, found: DescribedSecret) -> Result<SecretDetails, Refusal> {
    let DescribedSecret { state, details } = found;
    let details = details.ok_or_else(|| Refusal::unavailable("the description is not what the manager wrote"))?;
    let last_version = state.last.ok_or_else(|| Refusal::internal("a secret without a version"))?;
    let environment = environment_name(app, state.environment)?;
    let kind = details.kind.unwrap_or(SecretKind::Text);
    let class = details.class.unwrap_or_else(|| Class::default_of(kind, environment.as_str() == "dev"));
    let deletion = state.rules.deletion;
    let status = state.rules.status();
    Ok(SecretDetails {
        key_id: state.secret,
        environment,
        path: state.path,
        kind,
        class,
        rotation_days: details.rotation_days.unwrap_or(class.rotation_days()),
        description: details.description,
        owner: details.owner,
        tags: state.rules.tags,
        metadata: details.metadata,
        retention: details.retention,
        service_only: state.rules.service_only,
        requires_approval: state.rules.requires_approval,
        state: status,
        deleted_at: deletion.map(|deletion| deletion.deleted_at),
        recoverable_until: deletion.filter(|deletion| !deletion.destroyed).map(|deletion| deletion.recoverable_until),
        stages: staged(state.stages),
        revision: state.revision,
        created_at: state.created_at,
        last_version,
    })
}

/// What is public of a generated value. The end of a certificate is that of its version, and a checksum is in no answer: it is a part
/// of the value.
pub(super) fn generated(public: PublicFacts) -> GeneratedFacts {
    let PublicFacts { public_key, fingerprint, request, certificate, bits, expires_at: _, checksum: _ } = public;
    GeneratedFacts { public_key, fingerprint, request, certificate, bits }
}

/// The strength of a password.
pub(super) fn strength(strength: Strength) -> PasswordStrength {
    PasswordStrength { score: strength.score, guesses_log10: strength.guesses_log10 }
}

fn staged(stages: Stages) -> StagedVersions {
    let Stages { current, previous, pending } = stages;
    StagedVersions { current, previous, pending }
}
