//! The limit of how often tokens are made for a secret.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use shared_proto::Malformed;
use shared_proto::encoding::present;

/// The most tokens a minute that a limit can say: 1,000 a second. A secret that is read more often needs no limit.
pub const MAX_READS_PER_MINUTE: u32 = 60_000;

/// How many tokens are made for a secret within a minute: of all principals together, and of one.
///
/// As many may be made at once after a quiet minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReadLimit {
    /// Tokens of all principals: 1 to 60,000.
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 60000))]
    reads_per_minute: u32,
    /// Tokens of one principal: 1 to `reads_per_minute`, which it is by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 60000))]
    reads_per_minute_each: Option<u32>,
}

impl ReadLimit {
    /// A limit of all principals together, and of each.
    ///
    /// # Errors
    /// One is out of its range.
    pub fn new(of_all: u32, of_each: Option<u32>) -> Result<Self, Malformed> {
        if !(1..=MAX_READS_PER_MINUTE).contains(&of_all) {
            return Err(Malformed("reads_per_minute is 1 to 60000"));
        }
        if of_each.is_some_and(|each| !(1..=of_all).contains(&each)) {
            return Err(Malformed("reads_per_minute_each is 1 to reads_per_minute"));
        }
        Ok(Self { reads_per_minute: of_all, reads_per_minute_each: of_each })
    }

    /// Tokens of all principals within a minute.
    pub fn of_all(self) -> u32 {
        self.reads_per_minute
    }

    /// Tokens of one principal within a minute, if that is fewer.
    pub fn of_each(self) -> Option<u32> {
        self.reads_per_minute_each.filter(|each| *each < self.reads_per_minute)
    }

    /// Tells whether a secret may be read more often by another limit; `None` limits nothing.
    pub fn is_loosened_by(self, other: Option<Self>) -> bool {
        let each = |limit: Self| limit.of_each().unwrap_or(limit.of_all());
        other.is_none_or(|other| other.of_all() > self.of_all() || each(other) > each(self))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    reads_per_minute: u32,
    #[serde(default, deserialize_with = "present")]
    reads_per_minute_each: Option<u32>,
}

impl<'de> Deserialize<'de> for ReadLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Form { reads_per_minute, reads_per_minute_each } = Form::deserialize(deserializer)?;
        Self::new(reads_per_minute, reads_per_minute_each).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_looser_if_all_or_one_may_read_more() {
        let limit = |all, each| ReadLimit::new(all, each).unwrap();
        let (some, few) = (limit(60, None), limit(60, Some(10)));
        assert!(some.is_loosened_by(None) && some.is_loosened_by(Some(limit(61, Some(1)))));
        assert!(few.is_loosened_by(Some(some)) && few.is_loosened_by(Some(limit(20, Some(11)))));
        assert!(few.is_loosened_by(Some(limit(20, None))));
        for tighter in [few, limit(60, Some(9)), limit(59, Some(10)), limit(10, None)] {
            assert!(!few.is_loosened_by(Some(tighter)), "{tighter:?}");
        }
        assert!(!some.is_loosened_by(Some(limit(60, Some(60)))), "the same");
    }

    #[test]
    fn a_limit_lets_somebody_read() {
        let read = |text: &str| serde_json::from_str::<ReadLimit>(text);
        for good in [r#"{"reads_per_minute":60}"#, r#"{"reads_per_minute":60000,"reads_per_minute_each":1}"#] {
            assert_eq!(serde_json::to_string(&read(good).unwrap()).unwrap(), good);
        }
        for bad in [
            "{}",
            r#"{"reads_per_minute":0}"#,
            r#"{"reads_per_minute":60001}"#,
            r#"{"reads_per_minute_each":1}"#,
            r#"{"reads_per_minute":5,"reads_per_minute_each":0}"#,
            r#"{"reads_per_minute":5,"reads_per_minute_each":6}"#,
            r#"{"reads_per_minute":5,"reads_per_minute_each":null}"#,
            r#"{"reads_per_minute":5,"burst":1}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
