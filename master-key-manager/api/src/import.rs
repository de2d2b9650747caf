//! Requests and answers about the import of a document with many values.

use serde::{Deserialize, Serialize};
use shared_proto::encoding::present;
use shared_proto::id::{SecretId, Version};
use zeroize::Zeroizing;

use crate::bulk::OperationError;
use crate::kind::SecretKind;
use crate::name::{EnvironmentName, Note, SecretPath};

/// The longest document in bytes.
pub const MAX_DOCUMENT_BYTES: usize = 1 << 20;
/// The most values of a document.
pub const MAX_IMPORTED: usize = 500;

/// Body of `POST /api/secrets:import`. It has no `Debug` form.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ImportSecrets {
    /// The format of the document.
    pub format: DocumentFormat,
    /// The document, at most 1 MiB (`yaml`: 256 KiB), with at most 500 values.
    #[cfg_attr(feature = "openapi", schema(value_type = String, max_length = 1_048_576))]
    pub document: Zeroizing<String>,
    /// The environment of the secrets.
    pub environment: EnvironmentName,
    /// The folder that the paths begin in; the top by default.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub folder: Option<SecretPath>,
    /// The kind of secrets that are made; `text` by default. Those that exist keep theirs.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub kind: Option<SecretKind>,
    /// The rule about secrets that exist; they get their next version by default.
    #[serde(default, skip_serializing_if = "ExistingSecrets::is_default")]
    pub existing: ExistingSecrets,
    /// True if values that are current already shall make no versions. It needs `read` besides `write`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skip_unchanged: bool,
    /// A note about each version.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub note: Option<Note>,
    /// True to be told what would happen, without anything happening.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// The format of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum DocumentFormat {
    /// Lines of `NAME=value`.
    Dotenv,
    /// A JSON object; objects in it are folders.
    Json,
    /// A YAML mapping; mappings in it are folders.
    Yaml,
}

/// The treatment of secrets that exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum ExistingSecrets {
    /// They get their next version.
    #[default]
    Update,
    /// They stay as they are.
    Keep,
}

impl ExistingSecrets {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Answer to [`ImportSecrets`]. It holds no value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ImportAnswer {
    /// True if nothing happened.
    pub dry_run: bool,
    /// How many secrets were made, or would be.
    pub created: u64,
    /// How many got their next version, or would.
    pub updated: u64,
    /// How many stayed as they are, or would, because it was asked for.
    pub kept: u64,
    /// How many have the value already.
    pub unchanged: u64,
    /// How many were refused, or would be.
    pub refused: u64,
    /// A row for each value of the document, in its order.
    pub secrets: Vec<ImportedSecret>,
}

/// One value of a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ImportedSecret {
    /// The number of the value in the document, from 1.
    pub number: u64,
    /// The line of the document, where the format has lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The path. Absent if the names in the document make none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<SecretPath>,
    /// The outcome, or the one that there would be.
    pub outcome: ImportOutcome,
    /// The secret. Absent while there is none, and in a dry run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<SecretId>,
    /// The version that was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// The reason of a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<OperationError>,
}

/// The outcome of the import of one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum ImportOutcome {
    /// The secret is made.
    Created,
    /// The secret gets its next version.
    Updated,
    /// The secret stays as it is.
    Kept,
    /// The secret has the value already.
    Unchanged,
    /// Nothing is written, for the reason in `error`.
    Refused,
}

#[cfg(test)]
mod tests {
    use std::fmt::{Debug, Display};

    use static_assertions::assert_not_impl_any;

    use super::*;

    assert_not_impl_any!(ImportSecrets: Debug, Display, Clone);
}
