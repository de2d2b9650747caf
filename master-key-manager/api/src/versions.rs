//! Requests and answers about the versions of a secret.

use serde::{Deserialize, Serialize};
use shared_proto::Malformed;
use shared_proto::encoding::present;
use shared_proto::id::{SecretId, Subject, Version};

use crate::edit::Edit;
use crate::name::{EnvironmentName, Note, SecretPath};
use crate::tokens::Stage;

/// The number of a version in the path of a request. It has one form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionInPath(Version);

impl VersionInPath {
    /// The version.
    pub fn get(self) -> Version {
        self.0
    }
}

impl std::str::FromStr for VersionInPath {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let number = text.parse().map_err(|_| Malformed("not the number of a version"))?;
        let version = Version::new(number)?;
        if version.to_string() == text { Ok(Self(version)) } else { Err(Malformed("a number has one form")) }
    }
}

shared_proto::schema::described!(VersionInPath, shared_proto::schema::text("^[1-9][0-9]{0,15}$"));

/// State of a version, as its readers see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum VersionStatus {
    /// The vault's receipt has not come yet: it cannot be read.
    Pending,
    /// It is stored, and has the stage `current` or `pending`.
    Committed,
    /// It is stored, and another version has taken its place. It is read by its number, or as `previous`.
    Superseded,
    /// It never reached the vault and never will.
    Abandoned,
    /// It was destroyed.
    Destroyed,
}

/// A version of a secret, without its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VersionDetails {
    /// Its number.
    pub version: Version,
    /// Number of the envelope that it points to. It is an older one after a rollback.
    pub envelope: Version,
    /// Its state.
    pub state: VersionStatus,
    /// Its stages.
    pub stages: Vec<Stage>,
    /// When it was made (Unix seconds).
    pub created_at: u64,
    /// The principal who wrote it. Absent for a stranger in development mode, and for an adopted version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub author: Option<Subject>,
    /// The note about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
    /// When it ends (Unix seconds). Absent for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// The secrets that its value refers to, those that its author could read when he wrote and that the caller may read.
    /// Only in the answer about one version, for who may read it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<ReferencedSecret>,
}

/// A secret that a value refers to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReferencedSecret {
    /// Its id.
    pub key_id: SecretId,
    /// Its environment.
    pub environment: EnvironmentName,
    /// Its path now.
    pub path: SecretPath,
}

/// A version after a change of it. Without the right to list the secret, its number and its stages are told, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VersionAfterChange {
    /// Its number.
    pub version: Version,
    /// Its stages.
    pub stages: Vec<Stage>,
    /// Number of the envelope that it points to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<u64>))]
    pub envelope: Option<Version>,
    /// Its state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<VersionStatus>,
    /// When it was made (Unix seconds).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<u64>,
    /// The principal who wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub author: Option<Subject>,
    /// The note about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
    /// When it ends (Unix seconds). Absent for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
}

/// Answer of `GET /api/secrets/{key_id}/versions`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VersionHistory {
    /// A page of versions.
    pub versions: Vec<VersionDetails>,
    /// `after` of the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Version>,
}

/// The order of a history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum HistorySort {
    /// The newest first.
    #[default]
    #[serde(rename = "-version")]
    NewestFirst,
    /// The oldest first.
    #[serde(rename = "version")]
    OldestFirst,
}

/// Body of `PATCH /api/secrets/{key_id}/versions/{version}`. What is absent stays as it is; `null` removes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ChangeVersion {
    /// The note about it, or `null`.
    #[serde(default, skip_serializing_if = "Edit::keeps")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Note>))]
    pub note: Edit<Note>,
    /// `previous` gives the stage to this version; `null` takes `previous` or `pending` away from it.
    #[serde(default, skip_serializing_if = "Edit::keeps")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<GivenStage>))]
    pub stage: Edit<GivenStage>,
    /// The current version, if nothing shall be changed once there is another one.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub if_version: Option<Version>,
}

/// The stage that a version can be given later. `current` moves by a write, a rollback or a promotion, and `pending` is what
/// a version is written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum GivenStage {
    /// The version that readers of `previous` get.
    Previous,
}

/// Metadata in which two versions may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum DifferingMember {
    /// The envelope that they point to.
    Envelope,
    /// The principals who wrote them.
    Author,
    /// The notes about them.
    Note,
    /// The times at which they end.
    ExpiresAt,
}

/// Answer of `GET /api/secrets/{key_id}/versions/{version}:diff`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VersionDifference {
    /// The secret.
    pub key_id: SecretId,
    /// The version of the path.
    pub version: VersionDetails,
    /// The version that it is compared with.
    pub with: VersionDetails,
    /// The members in which they differ.
    pub differs: Vec<DifferingMember>,
    /// True if both have the same value. Absent if that is not known, or the caller may not read the secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_value: Option<bool>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_in_a_path_has_one_form() {
        assert_eq!("7".parse::<VersionInPath>().unwrap().get().get(), 7);
        for bad in ["", "0", "+7", "07", "7 ", "-7", "9007199254740992", "x"] {
            assert!(bad.parse::<VersionInPath>().is_err(), "{bad}");
        }
    }

    #[test]
    fn null_removes_and_absence_keeps() {
        let read = |text: &str| serde_json::from_str::<ChangeVersion>(text);
        assert_eq!(read("{}").unwrap(), ChangeVersion::default());
        assert_eq!(read(r#"{"stage": null}"#).unwrap().stage, Edit::Remove);
        assert_eq!(read(r#"{"stage": "previous"}"#).unwrap().stage, Edit::Set(GivenStage::Previous));
        assert_eq!(read(r#"{"note": null}"#).unwrap().note, Edit::Remove);
        for bad in [r#"{"stage": "current"}"#, r#"{"stage": "pending"}"#, r#"{"if_version": 0}"#, r#"{"value": "x"}"#] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
