//! The end of a version, as requests give it.

use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer};

/// The last second of the year 9999. What is later was likely meant in milliseconds.
const LAST: u64 = 253_402_300_799;

/// Reads an end in Unix seconds. `null` does not count as absent.
pub(crate) fn end<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let end = u64::deserialize(deserializer)?;
    if end > LAST {
        return Err(Error::invalid_value(Unexpected::Unsigned(end), &"Unix seconds before the year 10000"));
    }
    Ok(Some(end))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Asked {
        #[serde(default, deserialize_with = "super::end")]
        expires_at: Option<u64>,
    }

    #[test]
    fn end_in_milliseconds_or_never_is_refused() {
        let read = |text: &str| serde_json::from_str::<Asked>(text).map(|asked| asked.expires_at);
        assert_eq!(read("{}").unwrap(), None);
        assert_eq!(read(r#"{"expires_at": 253402300799}"#).unwrap(), Some(super::LAST));
        for wrong in ["253402300800", "1798675200000", "18446744073709551615", "null", "-1"] {
            assert!(read(&format!(r#"{{"expires_at": {wrong}}}"#)).is_err(), "{wrong}");
        }
    }
}
