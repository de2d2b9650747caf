//! Notices: what people and programs are told before it happens.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use shared_proto::Malformed;
use shared_proto::id::{SecretId, Version};

use crate::incidents::IncidentKind;
use crate::name::{EnvironmentName, SecretPath};

/// The subject of a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum NoticeKind {
    /// The current version of a secret ends.
    Expiry,
    /// A secret is due for its next rotation.
    Rotation,
    /// Somebody may know a secret who should not: an incident is open.
    Compromise,
    /// Nobody can read a secret any more: an incident is open.
    Loss,
}

impl NoticeKind {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expiry => "expiry",
            Self::Rotation => "rotation",
            Self::Compromise => "compromise",
            Self::Loss => "loss",
        }
    }

    /// The kind of the incident that it is about.
    pub const fn incident(self) -> Option<IncidentKind> {
        match self {
            Self::Expiry | Self::Rotation => None,
            Self::Compromise => Some(IncidentKind::Compromise),
            Self::Loss => Some(IncidentKind::Loss),
        }
    }

    /// The kind of notices of an incident.
    pub const fn of_incident(kind: IncidentKind) -> Self {
        match kind {
            IncidentKind::Compromise => Self::Compromise,
            IncidentKind::Loss => Self::Loss,
        }
    }
}

impl fmt::Display for NoticeKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for NoticeKind {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let all = [Self::Expiry, Self::Rotation, Self::Compromise, Self::Loss];
        all.into_iter().find(|kind| kind.as_str() == text).ok_or(Malformed("not a kind of notices"))
    }
}

/// A notice.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NoticeDetails {
    /// Its subject.
    pub kind: NoticeKind,
    /// The secret.
    pub key_id: SecretId,
    /// Its current version.
    pub version: Version,
    /// Its environment.
    pub environment: EnvironmentName,
    /// Its name.
    pub path: SecretPath,
    /// The days before it is due at which the notice was made: 30, 7 or 1; 0 for an incident.
    pub threshold_days: u64,
    /// The hours after the opening of an incident within which its steps are to be done: 1, 24 or 48. Absent in the notice that it
    /// is open, and for other kinds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_hours: Option<u64>,
    /// When it is due (Unix seconds); when it was opened, in the notice that an incident is open.
    pub due_at: u64,
    /// When the notice was made (Unix seconds).
    pub created_at: u64,
    /// When it was delivered (Unix seconds). Absent before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered_at: Option<u64>,
}

/// Answer of `GET /api/notices`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NoticeList {
    /// The notices, the oldest first.
    pub notices: Vec<NoticeDetails>,
    /// `after` of the next page, if there may be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
