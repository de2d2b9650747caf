//! Rotation of secrets: how a secret is rotated, the steps, and lists of what is due.

use serde::{Deserialize, Serialize};
use shared_proto::Malformed;
use shared_proto::encoding::present;
use shared_proto::id::{SecretId, Subject, Version};
use shared_proto::secret::ValueEncoding;
use zeroize::Zeroizing;

use crate::generate::Generate;
use crate::name::{EnvironmentName, Note, SecretPath, UserLabel};
use crate::secrets::{GeneratedFacts, MAX_ROTATION_DAYS, PasswordStrength, StagedVersions};

/// The longest grace time in seconds: 30 days.
pub const MAX_GRACE_SECONDS: u32 = 30 * 24 * 60 * 60;

/// The grace time of a rotation that names none: one day.
pub const GRACE_SECONDS: u32 = 24 * 60 * 60;

/// The most days of a calendar.
pub const MAX_CALENDAR_DAYS: u64 = 366;

/// The way in which a secret is rotated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RotationPlan {
    /// The value that a rotation makes which is given none. The last one that was asked for is kept here.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub generate: Option<Generate>,
    /// Days from one rotation to the next, 1 to 3,650; the rotation period of the secret by default.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 3650))]
    pub every_days: Option<u16>,
    /// The way of a rotation that does not say it.
    #[serde(default)]
    pub mode: RotationMode,
    /// Seconds in which the former value counts beside the new one, up to 30 days; one day by default.
    #[serde(default = "one_day")]
    #[cfg_attr(feature = "openapi", schema(maximum = 2_592_000, default = 86_400))]
    pub grace_seconds: u32,
    /// The two accounts of the mode `pair`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Vec<UserLabel>>))]
    pub pair: Option<[UserLabel; 2]>,
}

const fn one_day() -> u32 {
    GRACE_SECONDS
}

/// The way of a rotation that does not say it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum RotationMode {
    /// The new version is current at once.
    #[default]
    Activate,
    /// The new version waits as `pending` until it is promoted.
    Staged,
    /// As `staged`, and values alternate between two accounts.
    Pair,
}

impl RotationPlan {
    /// The plan of a secret that has none.
    pub fn none() -> Self {
        Self { grace_seconds: GRACE_SECONDS, ..Self::default() }
    }

    /// Checks the numbers, and that accounts and mode belong together.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn check(&self) -> Result<(), Malformed> {
        if self.every_days.is_some_and(|days| !(1..=MAX_ROTATION_DAYS).contains(&days)) {
            return Err(Malformed("every_days is 1 to 3650."));
        }
        if self.grace_seconds > MAX_GRACE_SECONDS {
            return Err(Malformed("grace_seconds is at most 2592000."));
        }
        match (&self.pair, self.mode) {
            (Some([one, other]), RotationMode::Pair) if one != other => Ok(()),
            (None, RotationMode::Activate | RotationMode::Staged) => Ok(()),
            (Some(_) | None, _) => Err(Malformed("The mode pair, and no other, has two different accounts.")),
        }
    }

    /// The account whose turn it is after another one; `None` without a pair.
    pub fn account_after(&self, current: Option<&UserLabel>) -> Option<&UserLabel> {
        let [first, second] = self.pair.as_ref()?;
        Some(if current == Some(first) { second } else { first })
    }
}

/// Body of `POST /api/secrets/{key_id}:rotate`. It has no `Debug` form.
#[derive(Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Rotate {
    /// The new value, at most 1 MiB after decoding.
    #[cfg_attr(feature = "openapi", schema(value_type = String, max_length = 1_398_104))]
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub value: Option<Zeroizing<String>>,
    /// Encoding of `value`; text by default.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub encoding: Option<ValueEncoding>,
    /// The new value that the manager makes. Without it and without `value` the last request to make one is repeated.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub generate: Option<Generate>,
    /// The field of `value` that gets the made value. Both members are given then.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub field: Option<String>,
    /// True if the new version is current at once; false if it waits as `pending`. The mode of the secret says it by default.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub activate: Option<bool>,
    /// True to revoke every token of the secret at once. There is no grace time, and no version is `previous`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub emergency: bool,
    /// Seconds in which the former value counts beside the new one, up to 30 days.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[cfg_attr(feature = "openapi", schema(maximum = 2_592_000))]
    pub grace_seconds: Option<u32>,
    /// The current version, if nothing shall be written once there is another one; 0 if there must be none.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub if_version: Option<u64>,
    /// A note about the version.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub note: Option<Note>,
}

/// Body of `POST /api/secrets/{key_id}:verify` and `:finish`.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RotationStep {
    /// The new version of the rotation, if the step is for no other one.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub version: Option<Version>,
}

/// Body of `POST /api/secrets/{key_id}:promote`.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Promote {
    /// The pending version, if no other one shall be promoted.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub version: Option<Version>,
    /// True to promote a version that nobody has verified.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unverified: bool,
    /// Seconds in which the former value counts beside the new one, up to 30 days; those of the rotation by default.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[cfg_attr(feature = "openapi", schema(maximum = 2_592_000))]
    pub grace_seconds: Option<u32>,
}

/// Body of `POST /api/secrets/{key_id}:repair`.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Repair {
    /// True to give up a pending version, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub abandon: bool,
}

/// The step that a rotation is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum RotationState {
    /// No rotation is under way.
    Idle,
    /// The new version is on its way to the vault.
    Writing,
    /// The new version waits to be promoted.
    Pending,
    /// The former version counts beside the new one.
    Grace,
    /// Tokens of before are about to be revoked.
    Revoking,
}

/// The rotation of a secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RotationDetails {
    /// The step.
    pub state: RotationState,
    /// When the next rotation is due (Unix seconds). Absent without a current version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<u64>,
    /// The version that waits to be promoted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Version>,
    /// When somebody said that the pending version works (Unix seconds).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<u64>,
    /// The principal who said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_by: Option<Subject>,
    /// The time until which the former version counts (Unix seconds).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_until: Option<u64>,
    /// The account of the current version, of a pair.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<UserLabel>,
    /// The account of the pending version, of a pair.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_account: Option<UserLabel>,
    /// The way in which it is rotated. Absent if nobody has said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<RotationPlan>,
}

/// Answer to [`Rotate`] and to the steps after it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RotationAnswer {
    /// The secret.
    pub key_id: SecretId,
    /// The version that the step was about. Absent if there was nothing to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// The versions that have a stage now.
    pub stages: StagedVersions,
    /// The rotation now.
    pub rotation: RotationDetails,
    /// The numbers of the revocations that the step made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sequences: Vec<u64>,
    /// The public part of a value that was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public: Option<GeneratedFacts>,
    /// The strength of a password that was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strength: Option<PasswordStrength>,
}

/// A secret in the list of what is due.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DueRotation {
    /// The secret.
    pub key_id: SecretId,
    /// Its environment.
    pub environment: EnvironmentName,
    /// Its name.
    pub path: SecretPath,
    /// Its current version.
    pub version: Version,
    /// When it is due (Unix seconds).
    pub due_at: u64,
}

/// Answer of `GET /api/rotations`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DueRotations {
    /// The secrets, the one that is due first before others.
    pub rotations: Vec<DueRotation>,
    /// `after` of the next page, if there may be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// The secrets of one day.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DueDay {
    /// Its first second (Unix seconds, UTC).
    pub day: u64,
    /// How many secrets are due.
    pub count: u64,
}

/// Answer of `GET /api/rotations:calendar`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Calendar {
    /// The days on which something is due, in order.
    pub days: Vec<DueDay>,
    /// True if there is more than was counted: ask for fewer days.
    pub incomplete: bool,
}

#[cfg(test)]
mod tests {
    use std::fmt::{Debug, Display};

    use static_assertions::assert_not_impl_any;

    use super::*;

    assert_not_impl_any!(Rotate: Debug, Display, Clone);

    #[test]
    fn accounts_take_turns_and_belong_to_the_mode_of_pairs() {
        let [blue, green] = ["app_blue", "app_green"].map(|name| UserLabel::parse(name).unwrap());
        let pair = [blue.clone(), green.clone()];
        let plan = RotationPlan { mode: RotationMode::Pair, pair: Some(pair.clone()), ..RotationPlan::none() };
        assert_eq!(plan.check(), Ok(()));
        assert_eq!(plan.account_after(None), Some(&blue));
        assert_eq!(plan.account_after(Some(&blue)), Some(&green));
        assert_eq!(plan.account_after(Some(&green)), Some(&blue));
        for wrong in [
            RotationPlan { pair: None, ..plan.clone() },
            RotationPlan { mode: RotationMode::Staged, ..plan.clone() },
            RotationPlan { pair: Some([blue.clone(), blue.clone()]), ..plan.clone() },
            RotationPlan { every_days: Some(0), ..RotationPlan::none() },
            RotationPlan { grace_seconds: MAX_GRACE_SECONDS + 1, ..RotationPlan::none() },
        ] {
            assert!(wrong.check().is_err(), "{wrong:?}");
        }
    }
}
