//! The rule by which former versions of a secret are destroyed.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use shared_proto::Malformed;
use shared_proto::encoding::present;

/// The most versions that a rule keeps. All of them are looked at in one transaction.
pub const MAX_KEPT_VERSIONS: u16 = 1_000;
/// The most days that a rule keeps a version which was replaced: ten years.
pub const MAX_KEPT_DAYS: u16 = 3_650;

/// The newest versions that are kept, and for how long others are. A version outside of either is destroyed, unless it has
/// a stage. The newest one never is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Retention {
    /// How many versions are kept, the newest ones: 1 to 1,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 1000))]
    versions: Option<u16>,
    /// How many days a version is kept after the next one was written: 1 to 3,650.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 3650))]
    days: Option<u16>,
}

impl Retention {
    /// A rule of a number of versions, of days, or of both.
    ///
    /// # Errors
    /// It has neither, or one is out of its range.
    pub fn new(versions: Option<u16>, days: Option<u16>) -> Result<Self, Malformed> {
        if versions.is_none() && days.is_none() {
            return Err(Malformed("a rule of retention has versions, days, or both"));
        }
        if versions.is_some_and(|versions| !(1..=MAX_KEPT_VERSIONS).contains(&versions)) {
            return Err(Malformed("1 to 1000 versions are kept"));
        }
        if days.is_some_and(|days| !(1..=MAX_KEPT_DAYS).contains(&days)) {
            return Err(Malformed("versions are kept for 1 to 3650 days"));
        }
        Ok(Self { versions, days })
    }

    /// Tells whether this rule destroys a version that another one keeps; `None` keeps all.
    pub fn destroys_more_than(self, other: Option<Self>) -> bool {
        let (versions, days) = (other.and_then(Self::versions), other.and_then(Self::days));
        let is_less =
            |own: Option<u16>, other: Option<u16>| own.is_some_and(|own| other.is_none_or(|other| own < other));
        is_less(self.versions, versions) || is_less(self.days, days)
    }

    /// How many versions are kept; `None` for any number.
    pub fn versions(self) -> Option<u16> {
        self.versions
    }

    /// For how many days a version is kept that was replaced; `None` for ever.
    pub fn days(self) -> Option<u16> {
        self.days
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    #[serde(default, deserialize_with = "present")]
    versions: Option<u16>,
    #[serde(default, deserialize_with = "present")]
    days: Option<u16>,
}

impl<'de> Deserialize<'de> for Retention {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Form { versions, days } = Form::deserialize(deserializer)?;
        Self::new(versions, days).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_harder_if_it_keeps_fewer_versions_or_days_than_another_one() {
        let rule = |versions, days| Retention::new(versions, days).unwrap();
        let (few, some_days) = (rule(Some(2), None), rule(None, Some(9)));
        assert!(few.destroys_more_than(None) && few.destroys_more_than(Some(some_days)));
        assert!(few.destroys_more_than(Some(rule(Some(3), Some(9)))));
        assert!(rule(Some(2), Some(8)).destroys_more_than(Some(rule(Some(2), Some(9)))));
        assert!(!few.destroys_more_than(Some(few)) && !rule(Some(3), None).destroys_more_than(Some(few)));
        assert!(!few.destroys_more_than(Some(rule(Some(2), Some(9)))));
    }

    #[test]
    fn a_rule_keeps_at_least_one_version_or_one_day() {
        let read = |text: &str| serde_json::from_str::<Retention>(text);
        for good in [r#"{"versions":1}"#, r#"{"days":3650}"#, r#"{"versions":1000,"days":1}"#] {
            assert_eq!(serde_json::to_string(&read(good).unwrap()).unwrap(), good);
        }
        for bad in [
            "{}",
            r#"{"versions":0}"#,
            r#"{"versions":1001}"#,
            r#"{"days":0}"#,
            r#"{"days":3651}"#,
            r#"{"versions":-1}"#,
            r#"{"versions":null,"days":1}"#,
            r#"{"versions":2,"weeks":1}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
