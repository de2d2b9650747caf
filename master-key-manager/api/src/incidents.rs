//! Requests and answers about incidents: the compromise or the loss of a secret.

use serde::{Deserialize, Serialize};
use shared_proto::id::{CredentialId, SecretId, Subject, TokenId, Version};

use crate::id::IncidentId;
use crate::name::{EnvironmentName, Note, Reason, SecretPath};
use crate::policy::PartyId;
use crate::policy_questions::AccessDetails;
use crate::wire::RevocationStatus;

/// The most notes of an incident.
pub const MAX_INCIDENT_NOTES: usize = 32;

const HOUR: u64 = 3_600;

/// The kind of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum IncidentKind {
    /// Somebody may know its value who should not.
    Compromise,
    /// Nobody can read its value any more.
    Loss,
}

/// A step of a procedure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum IncidentStep {
    /// Compromise, 1 hour: nobody reads the former value any more, or nobody reads the secret.
    Contain,
    /// Compromise, 1 hour: its owner and its readers know.
    Tell,
    /// Compromise, 24 hours: it has another value.
    Rotate,
    /// Compromise, 48 hours: the report is written.
    Report,
    /// Loss, 1 hour: it is known what is lost, and who needs it.
    Assess,
    /// Loss, 24 hours: it came back from a backup, or it is known that it cannot.
    Recover,
    /// Loss, 24 hours: it has another value, if it did not come back.
    Regenerate,
    /// Loss, 48 hours: everything that uses it has the value.
    Update,
    /// Loss, 48 hours: what happened is written down.
    Document,
}

impl IncidentKind {
    /// The steps of its procedure, each with its time from the opening (seconds).
    pub const fn steps(self) -> &'static [(IncidentStep, u64)] {
        match self {
            Self::Compromise => &[
                (IncidentStep::Contain, HOUR),
                (IncidentStep::Tell, HOUR),
                (IncidentStep::Rotate, 24 * HOUR),
                (IncidentStep::Report, 48 * HOUR),
            ],
            Self::Loss => &[
                (IncidentStep::Assess, HOUR),
                (IncidentStep::Recover, 24 * HOUR),
                (IncidentStep::Regenerate, 24 * HOUR),
                (IncidentStep::Update, 48 * HOUR),
                (IncidentStep::Document, 48 * HOUR),
            ],
        }
    }
}

impl IncidentKind {
    /// The hours from the opening within which steps of its procedure are to be done, each once.
    pub fn deadline_hours(self) -> impl Iterator<Item = u64> {
        let mut last = None;
        let hours = self.steps().iter().map(|(_, seconds)| seconds / HOUR);
        hours.filter(move |hours| last.replace(*hours) != Some(*hours))
    }
}

/// Body of `POST /api/secrets/{key_id}:compromise`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct OpenIncident {
    /// Its kind.
    pub kind: IncidentKind,
    /// How it came to light.
    pub reason: Reason,
    /// The time since when (Unix seconds), if it is known.
    #[serde(default)]
    pub since: Option<u64>,
    /// True to make no token for the secret until the freeze is lifted.
    #[serde(default)]
    pub freeze: bool,
    /// True to revoke all tokens for the secret; so by default for a compromise, and always with a freeze.
    #[serde(default)]
    pub revoke: Option<bool>,
}

/// Body of `PATCH /api/incidents/{incident_id}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ChangeIncident {
    /// Steps that are done. One that was done before keeps who did it, and when.
    #[serde(default)]
    pub done: Vec<IncidentStep>,
    /// A note.
    #[serde(default)]
    pub note: Option<Note>,
    /// True to lift the freeze that this incident set.
    #[serde(default)]
    pub lift_freeze: bool,
    /// True to close it. All steps are done then, and its freeze is lifted.
    #[serde(default)]
    pub close: bool,
}

/// A step of an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IncidentStepDetails {
    /// The step.
    pub step: IncidentStep,
    /// Its deadline (Unix seconds).
    pub due_at: u64,
    /// The principal who marked it as done. Absent while nobody has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_by: Option<Subject>,
    /// When it was marked (Unix seconds).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_at: Option<u64>,
    /// True if its deadline passed before it was done.
    pub late: bool,
}

/// A note about an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IncidentNote {
    /// The principal who wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Subject>,
    /// When (Unix seconds).
    pub at: u64,
    /// The text.
    pub note: Note,
}

/// An incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IncidentDetails {
    /// Its id.
    pub incident_id: IncidentId,
    /// Its kind.
    pub kind: IncidentKind,
    /// The secret.
    pub key_id: SecretId,
    /// Its environment.
    pub environment: EnvironmentName,
    /// The path that it had when the incident was opened.
    pub path: SecretPath,
    /// How it came to light.
    pub reason: Reason,
    /// The time since when (Unix seconds).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// The principal who opened it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened_by: Option<Subject>,
    /// When (Unix seconds).
    pub opened_at: u64,
    /// True while no token is made for the secret because of it.
    pub frozen: bool,
    /// The steps of its procedure, with their deadlines.
    pub steps: Vec<IncidentStepDetails>,
    /// Notes, 32 at most.
    pub notes: Vec<IncidentNote>,
    /// The principal who closed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_by: Option<Subject>,
    /// When it was closed (Unix seconds). Absent for an open one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<u64>,
}

/// Answer of `POST /api/secrets/{key_id}:compromise` and of `PATCH /api/incidents/{incident_id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChangedIncident {
    /// The incident.
    pub incident: IncidentDetails,
    /// `revoked` when the vault has signed that what is revoked is.
    pub status: RevocationStatus,
    /// The numbers of the revocations; empty for none, and while the manager may not number events.
    pub sequences: Vec<u64>,
}

/// Answer of `GET /api/incidents`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IncidentList {
    /// Those about secrets that the caller may rotate, or whose audit he may read, ordered by id.
    pub incidents: Vec<IncidentDetails>,
    /// `after` of the next page, if there may be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<IncidentId>,
}

/// A living token that names the secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NamingToken {
    /// Its id.
    pub jti: TokenId,
    /// The principal, or the label's subject, that it was made for.
    pub subject: Subject,
    /// The credential that it was made with.
    pub credential_id: CredentialId,
    /// The version that it opens.
    pub version: Version,
    /// When it was made (Unix seconds).
    pub issued_at: u64,
    /// When it ends (Unix seconds).
    pub expires_at: u64,
    /// True if a revocation of the secret, or of the token itself, came after it.
    pub revoked: bool,
}

/// The use of the secret by a principal, as living tokens show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SecretUse {
    /// The principal.
    pub principal: Subject,
    /// When the newest of his living tokens was made (Unix seconds).
    pub last_minted_at: u64,
    /// How many of his tokens live.
    pub tokens: u64,
}

/// Answer of `GET /api/incidents/{incident_id}/report`: what the manager's own records say. Readings are in the vault's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IncidentReport {
    /// The incident.
    pub incident: IncidentDetails,
    /// When the report was made (Unix seconds).
    pub made_at: u64,
    /// The owner of the secret, who is to be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<PartyId>,
    /// The principals who may read the secret now, and are to be told; 500 at most.
    pub could_read: Vec<AccessDetails>,
    /// True if there are more of them: `who-can` has all.
    pub more_readers: bool,
    /// Living tokens that name the secret; 500 at most.
    pub tokens: Vec<NamingToken>,
    /// True if not all tokens were looked at.
    pub more_tokens: bool,
    /// The principals of these tokens. A token is forgotten when it ends: who used the secret before is in the audit log.
    pub uses: Vec<SecretUse>,
    /// The number of the newest revocation of all tokens for the secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_by: Option<u64>,
}
