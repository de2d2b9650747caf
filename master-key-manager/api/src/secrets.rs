//! Requests and answers about secrets.

use serde::{Deserialize, Deserializer, Serialize};
use shared_proto::Malformed;
use shared_proto::encoding::present;
use shared_proto::id::{EnvironmentId, SecretId, Version};
use shared_proto::secret::ValueEncoding;
use zeroize::Zeroizing;

use crate::edit::Edit;
use crate::end::end;
use crate::generate::Generate;
use crate::kind::{Class, SecretKind};
use crate::metadata::Metadata;
use crate::name::{Description, EnvironmentName, Note, Reason, SecretPath, UserLabel};
use crate::policy::PartyId;
use crate::read_limit::ReadLimit;
use crate::retention::Retention;
use crate::rotation::{RotationDetails, RotationPlan};
use crate::tags::Tags;
use crate::wire::IssuedToken;

/// Body of `POST /api/secrets`. It has no `Debug` form.
#[derive(Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateSecret {
    /// Name of the environment.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub environment: Option<EnvironmentName>,
    /// The environment by its name, its id or its ordinal, instead of `environment`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub environment_id: Option<EnvironmentSelector>,
    /// Name of the secret in the environment.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub path: Option<SecretPath>,
    /// The same, instead of `path`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub name: Option<SecretPath>,
    /// The kind of the value; `text` by default.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub kind: Option<SecretKind>,
    /// The same, instead of `kind`; also in capitals: `API_KEY`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub secret_type: Option<SecretKind>,
    /// The value, at most 1 MiB after decoding.
    #[cfg_attr(feature = "openapi", schema(value_type = String, max_length = 1_398_104))]
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub value: Option<Zeroizing<String>>,
    /// The value that the manager makes, in place of `value`. It is not in the answer.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub generate: Option<Generate>,
    /// Encoding of `value`; text by default.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub encoding: Option<ValueEncoding>,
    /// A description for people.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub description: Option<Description>,
    /// The person, service or group that answers for it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub owner: Option<PartyId>,
    /// Pairs that the policy may name and by which it is found.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// Pairs for people and programs.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
    /// The class; that of its kind by default.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub class: Option<Class>,
    /// The rotation period, 1 to 3,650 days; that of its class by default.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 3650))]
    pub rotation_days: Option<u16>,
    /// The rule by which its former versions are destroyed; none by default.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub retention: Option<Retention>,
    /// True if its versions have no end but that which they are given.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub never_expires: bool,
    /// The way in which it is rotated.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub rotation: Option<RotationPlan>,
    /// True for a secret that people never read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub service_only: bool,
    /// True for a secret that is read after an approval only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub requires_approval: bool,
    /// How often tokens are made for it; without a limit by default.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub rate_limit: Option<ReadLimit>,
    /// A note about the first version.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub note: Option<Note>,
    /// When the first version ends (Unix seconds); after the rotation period by default.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "end")]
    pub expires_at: Option<u64>,
    /// Label of the token's subject.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub user_id: Option<UserLabel>,
    /// Whether an access token for the version is wanted; true by default. Who may not read gets none.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub token: Option<bool>,
}

/// Body of `PUT /api/secrets/{key_id}` and of `POST /api/secrets/{key_id}/versions`. It has no `Debug` form.
#[derive(Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct WriteVersion {
    /// The value, at most 1 MiB after decoding.
    #[cfg_attr(feature = "openapi", schema(value_type = String, max_length = 1_398_104))]
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub value: Option<Zeroizing<String>>,
    /// The value that the manager makes, in place of `value`. It is not in the answer.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub generate: Option<Generate>,
    /// Encoding of `value`; text by default.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub encoding: Option<ValueEncoding>,
    /// The current version, if nothing shall be written once there is another one; 0 if there must be none.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub if_version: Option<u64>,
    /// A note about the version.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub note: Option<Note>,
    /// When the version ends (Unix seconds); after the rotation period by default.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "end")]
    pub expires_at: Option<u64>,
    /// The stage that the version gets; `current` by default.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub stage: Option<NewStage>,
    /// True if the value that is current already shall make no version. It needs `read` besides `write`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skip_unchanged: bool,
    /// Label of the token's subject.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub user_id: Option<UserLabel>,
    /// Whether an access token for the version is wanted; true by default. Who may not read gets none.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub token: Option<bool>,
}

/// The stage that a new version gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum NewStage {
    /// Readers who name no version get it at once.
    Current,
    /// It is read by its stage only, until it is promoted.
    Pending,
}

/// Answer to [`CreateSecret`] and [`WriteVersion`].
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WrittenSecret {
    /// The secret.
    pub key_id: SecretId,
    /// The version just written.
    pub version: Version,
    /// Environment.
    pub environment: EnvironmentName,
    /// Name in the environment.
    pub path: SecretPath,
    /// Encoding of the value in answers.
    pub encoding: ValueEncoding,
    /// When the version ends (Unix seconds). Absent for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// True if that is over already. Where the environment refuses expired versions, there is no token.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub expired: bool,
    /// The public part of a value that was generated. Absent in the answer to a repeat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public: Option<GeneratedFacts>,
    /// The strength of a password that was given. Absent for other kinds, and in the answer to a repeat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strength: Option<PasswordStrength>,
    /// The token, if one was wanted and the caller may read the secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<IssuedToken>,
    /// True if no version was made: `version` is the current one, and has this value.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unchanged: bool,
}

/// The public part of a generated value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GeneratedFacts {
    /// The public key: a line of OpenSSH for an SSH key, PEM for others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// Fingerprint of the public key (`SHA256:…`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// The certificate signing request, in PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// The self-signed certificate, in PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// The random bits of a value that is no key pair, rounded down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bits: Option<u32>,
}

/// The strength of a password, as `zxcvbn` estimates it from its first 32 characters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PasswordStrength {
    /// 0 (among the first guesses) to 4 (safe also when a hash of it is stolen).
    #[cfg_attr(feature = "openapi", schema(minimum = 0, maximum = 4))]
    pub score: u8,
    /// The decimal logarithm of the number of guesses.
    pub guesses_log10: f64,
}

/// Body of `PATCH /api/secrets/{key_id}`. What is absent stays as it is; what may be `null` is removed by it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ChangeSecret {
    /// Another name in its environment. The id stays.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub path: Option<SecretPath>,
    /// All its tags from then on.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub tags: Option<Tags>,
    /// True for a secret that people never read.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub service_only: Option<bool>,
    /// True for a secret that is read after an approval only.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub requires_approval: Option<bool>,
    /// How often tokens are made for it, or `null`. A looser limit needs `share`.
    #[serde(default, skip_serializing_if = "Edit::keeps")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<ReadLimit>))]
    pub rate_limit: Edit<ReadLimit>,
    /// The kind of its values.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub kind: Option<SecretKind>,
    /// The class; `null` for that of its kind.
    #[serde(default, skip_serializing_if = "Edit::keeps")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Class>))]
    pub class: Edit<Class>,
    /// The rotation period, 1 to 3,650 days; `null` for that of its class.
    #[serde(default, skip_serializing_if = "Edit::keeps")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<u16>, minimum = 1, maximum = 3650))]
    pub rotation_days: Edit<u16>,
    /// True if its versions have no end from now on but that which they are given.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub never_expires: Option<bool>,
    /// The way in which it is rotated; `null` for none.
    #[serde(default, skip_serializing_if = "Edit::keeps")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<RotationPlan>))]
    pub rotation: Edit<RotationPlan>,
    /// A description for people, or `null`.
    #[serde(default, skip_serializing_if = "Edit::keeps")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Description>))]
    pub description: Edit<Description>,
    /// The person, service or group that answers for it, or `null`.
    #[serde(default, skip_serializing_if = "Edit::keeps")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<PartyId>))]
    pub owner: Edit<PartyId>,
    /// All its metadata from then on.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub metadata: Option<Metadata>,
    /// The rule by which its former versions are destroyed, or `null`.
    #[serde(default, skip_serializing_if = "Edit::keeps")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Retention>))]
    pub retention: Edit<Retention>,
    /// The revision, if nothing shall be changed once there is another one.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub if_revision: Option<u64>,
    /// The reason for the change.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub reason: Option<Reason>,
}

/// An environment by its id, its name or its ordinal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvironmentSelector {
    /// Its id.
    Id(EnvironmentId),
    /// Its name.
    Name(EnvironmentName),
    /// Its number among the environments, from 1.
    Ordinal(u32),
}

impl Serialize for EnvironmentSelector {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Id(id) => serializer.collect_str(id),
            Self::Name(name) => serializer.collect_str(name),
            Self::Ordinal(ordinal) => serializer.serialize_u32(*ordinal),
        }
    }
}

impl<'de> Deserialize<'de> for EnvironmentSelector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Number(u32),
            Text(String),
        }
        match Form::deserialize(deserializer)? {
            Form::Number(ordinal) => Ok(Self::Ordinal(ordinal)),
            Form::Text(text) => match text.parse() {
                Ok(id) => Ok(Self::Id(id)),
                Err(_) => EnvironmentName::parse(text).map(Self::Name).map_err(Malformed::into_name_error),
            },
        }
    }
}

#[cfg(feature = "openapi")]
fn described() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
    use utoipa::openapi::{ObjectBuilder, OneOfBuilder, Type};
    let text = shared_proto::schema::name(crate::name::MAX_ENVIRONMENT_BYTES);
    let ordinal = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1));
    OneOfBuilder::new().item(text).item(ordinal).into()
}
shared_proto::schema::described!(EnvironmentSelector, described());

/// The state of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum SecretStatus {
    /// It may be read and written.
    Active,
    /// Nothing is minted for it and nothing is written; it can be taken back until a date.
    Deleted,
    /// All its envelopes are erased.
    Destroyed,
}

/// The versions that have a stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StagedVersions {
    /// The version of readers who name none. Absent while there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<Version>,
    /// The one that was current before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Version>,
    /// The one that is about to be current.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Version>,
}

/// Answer of `GET /api/secrets/{key_id}`: a secret, without any value.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[expect(clippy::struct_excessive_bools, reason = "each is a member of the JSON answer")]
pub struct SecretDetails {
    /// The secret.
    pub key_id: SecretId,
    /// Environment.
    pub environment: EnvironmentName,
    /// Name.
    pub path: SecretPath,
    /// The kind of its values.
    pub kind: SecretKind,
    /// Its class.
    pub class: Class,
    /// Its rotation period in days.
    pub rotation_days: u16,
    /// True if its versions have no end but that which they are given.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub never_expires: bool,
    /// Its rotation.
    pub rotation: RotationDetails,
    /// A description for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Description>,
    /// The person, service or group that answers for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<PartyId>,
    /// Its tags.
    pub tags: Tags,
    /// Its metadata.
    pub metadata: Metadata,
    /// The rule by which its former versions are destroyed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
    /// True for a secret that people never read.
    pub service_only: bool,
    /// True for a secret that is read after an approval only.
    #[serde(default)]
    pub requires_approval: bool,
    /// How often tokens are made for it. Absent without a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<ReadLimit>,
    /// True while no token is made for it because of an incident.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub frozen: bool,
    /// When its environment was frozen (Unix seconds). Absent while it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment_frozen_at: Option<u64>,
    /// When its environment was disabled (Unix seconds). Absent while it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment_disabled_at: Option<u64>,
    /// Its state.
    pub state: SecretStatus,
    /// When it was deleted (Unix seconds).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<u64>,
    /// The time until which it can be taken back (Unix seconds).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recoverable_until: Option<u64>,
    /// The versions that have a stage.
    pub stages: StagedVersions,
    /// How often it was changed, without its versions. A change may name it as `if_revision`.
    pub revision: u64,
    /// When its first version was begun, or adopted (Unix seconds).
    pub created_at: u64,
    /// The highest version number that was ever used, also by a version that was not stored or is destroyed.
    pub last_version: Version,
}

/// The longest rotation period in days.
pub const MAX_ROTATION_DAYS: u16 = 3_650;

#[cfg(test)]
mod tests {
    use std::fmt::{Debug, Display};

    use static_assertions::assert_not_impl_any;

    use super::*;

    // What holds a value or a token cannot be printed or copied as a whole.
    assert_not_impl_any!(CreateSecret: Debug, Display, Clone);
    assert_not_impl_any!(WriteVersion: Debug, Display, Clone);
    assert_not_impl_any!(WrittenSecret: Debug, Display, Clone);

    #[test]
    fn the_call_of_keeper_is_taken_as_it_stands() {
        let text = r#"{"name": "stripe", "secret_type": "API_KEY", "value": "v", "environment_id": 1}"#;
        let read: CreateSecret = serde_json::from_str(text).unwrap();
        assert_eq!(read.secret_type, Some(SecretKind::ApiKey));
        assert_eq!(read.environment_id, Some(EnvironmentSelector::Ordinal(1)));
        assert_eq!(read.name.unwrap().as_str(), "stripe");
    }

    #[test]
    fn an_environment_is_named_by_id_name_or_ordinal() {
        let id = EnvironmentId::generate();
        let read = |text: &str| serde_json::from_str::<EnvironmentSelector>(text);
        assert_eq!(read(&format!("\"{id}\"")).unwrap(), EnvironmentSelector::Id(id));
        assert_eq!(read("\"dev\"").unwrap(), EnvironmentSelector::Name(EnvironmentName::parse("dev").unwrap()));
        assert!(read("\"Dev\"").is_err() && read("-1").is_err() && read("1.5").is_err());
    }

    #[test]
    fn null_removes_and_absence_keeps() {
        let read = |text: &str| serde_json::from_str::<ChangeSecret>(text);
        assert_eq!(read(r#"{"owner": null}"#).unwrap().owner, Edit::Remove);
        assert_eq!(read("{}").unwrap().owner, Edit::Keep);
        assert!(read(r#"{"path": null}"#).is_err(), "a secret has a path");
    }
}
