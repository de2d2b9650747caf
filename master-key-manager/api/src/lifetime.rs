//! Lifetimes of what is made for a while.

use std::fmt;
use std::str::FromStr;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use shared_proto::Malformed;

/// The longest lifetime: 365 days.
pub const MAX_LIFETIME_SECONDS: u64 = 365 * DAY;

/// A time from now: a number with a unit (`s`, `m`, `h`, `d` or `y`), or a number of seconds. A day is 24 hours, a year 365
/// days. From one second to one year.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lifetime(u64);

impl Lifetime {
    /// The longest one.
    pub const MAX: Self = Self(MAX_LIFETIME_SECONDS);

    /// A lifetime of this many seconds.
    ///
    /// # Errors
    /// It is none, or longer than a year.
    pub fn of_seconds(seconds: u64) -> Result<Self, Malformed> {
        if (1..=MAX_LIFETIME_SECONDS).contains(&seconds) { Ok(Self(seconds)) } else { Err(LENGTH) }
    }

    /// Its seconds.
    pub fn seconds(self) -> u64 {
        self.0
    }
}

impl FromStr for Lifetime {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let unit = text.chars().next_back().ok_or(FORM)?;
        let number = text.strip_suffix(unit).unwrap_or_default();
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => DAY,
            'y' => MAX_LIFETIME_SECONDS,
            _ => return Err(FORM),
        };
        if number.is_empty() || number.len() > MOST_DIGITS || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(FORM);
        }
        let number: u64 = number.parse().map_err(|_| FORM)?;
        Self::of_seconds(number.checked_mul(seconds).ok_or(LENGTH)?)
    }
}

/// In seconds.
impl fmt::Display for Lifetime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}s", self.0)
    }
}

impl Serialize for Lifetime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl<'de> Deserialize<'de> for Lifetime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl Visitor<'_> for Either {
            type Value = Lifetime;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a lifetime")
            }

            fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Lifetime, E> {
                Lifetime::of_seconds(seconds).map_err(Malformed::into_name_error)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Lifetime, E> {
                text.parse().map_err(Malformed::into_name_error)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

#[cfg(feature = "openapi")]
fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
    let either = utoipa::openapi::OneOfBuilder::new()
        .item(shared_proto::schema::text("^[0-9]{1,9}[smhdy]$"))
        .item(shared_proto::schema::integer(1, MAX_LIFETIME_SECONDS));
    utoipa::openapi::RefOr::T(utoipa::openapi::Schema::OneOf(either.build()))
}

shared_proto::schema::described!(Lifetime, schema());

const DAY: u64 = 24 * 3_600;
const MOST_DIGITS: usize = 9;
const FORM: Malformed = Malformed("a lifetime is a number with s, m, h, d or y, or a number of seconds");
const LENGTH: Malformed = Malformed("a lifetime is from one second to 365 days");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetime_is_a_number_with_a_unit_or_of_seconds() {
        let read = |json: &str| serde_json::from_str::<Lifetime>(json).map(Lifetime::seconds).ok();
        for (json, seconds) in [
            ("\"1s\"", 1),
            ("\"90m\"", 5_400),
            ("\"24h\"", 86_400),
            ("\"90d\"", 7_776_000),
            ("\"1y\"", 31_536_000),
            ("\"365d\"", 31_536_000),
            ("3600", 3_600),
        ] {
            assert_eq!(read(json), Some(seconds), "{json}");
        }
        for wrong in [
            "0",
            "\"0s\"",
            "\"366d\"",
            "\"2y\"",
            "31536001",
            "\"\"",
            "\"1\"",
            "\"d\"",
            "\"1w\"",
            "\"-1d\"",
            "\"+1d\"",
            "\"1 d\"",
            "\"1.5d\"",
            "1.5",
            "null",
            "\"999999999y\"",
            "\"0000000001s\"",
            "\"1ſ\"",
            "\"١d\"",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
