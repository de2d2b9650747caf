//! Notices: what people and programs are told before it happens.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use shared_proto::Malformed;
use shared_proto::id::{SecretId, Version};

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
}

impl NoticeKind {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expiry => "expiry",
            Self::Rotation => "rotation",
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
        let all = [Self::Expiry, Self::Rotation];
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
    /// The days before it is due at which the notice was made: 30, 7 or 1.
    pub threshold_days: u64,
    /// When it is due (Unix seconds).
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
