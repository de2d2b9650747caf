//! JSON of a value: each member once, bounded depth. Nothing is kept.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};

use crate::{Refused, text};

/// The deepest nesting of JSON and YAML.
pub(crate) const DEEPEST: usize = 64;

/// Checks that a value is one JSON document.
pub(crate) fn check(value: &[u8]) -> Result<(), Refused> {
    let text = text::utf8(value)?;
    if text.trim_start().is_empty() {
        return Err(Refused::new("the value is empty"));
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let walked = Walk { depth: DEEPEST }.deserialize(&mut reader).and_then(|()| reader.end());
    walked.map_err(|error| {
        // The walk's own errors are of this class.
        let reason = if error.is_data() {
            "the JSON has a member twice, or is nested deeper than 64"
        } else {
            "the value is not JSON"
        };
        Refused::at_line(reason, error.line())
    })
}

#[derive(Clone, Copy)]
struct Walk {
    depth: usize,
}

impl Walk {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        let depth = self.depth.checked_sub(1).ok_or_else(|| E::custom("too deep"))?;
        Ok(Self { depth })
    }
}

impl<'de> DeserializeSeed<'de> for Walk {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON without repeated members")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let deeper = self.deeper()?;
        while items.next_element_seed(deeper)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let deeper = self.deeper()?;
        let mut known = HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            if !known.insert(name) {
                return Err(A::Error::custom("a member comes twice"));
            }
            members.next_value_seed(deeper)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_taken_and_what_two_readers_could_read_differently_is_not() {
        for good in ["{}", " [1, -2.5e3, null, true, \"\\u00e9\"]\r\n", "1", "\"a\"", r#"{"a":{"a":1},"b":[{"a":2}]}"#]
        {
            assert_eq!(check(good.as_bytes()), Ok(()), "{good}");
        }
        for bad in
            ["", " ", "{", "{}{}", "{'a':1}", "[1,]", "NaN", "\"\\ud800\"", r#"{"a":1,"\u0061":2}"#, "\u{feff}{}"]
        {
            assert!(check(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(check(b"\"\xff\"").is_err() && check(b"\xff\xfe{\0}\0").unwrap_err().reason().contains("UTF-16"));
        assert_eq!(check(b"{\n\"a\":1,\n\"a\":2}").unwrap_err().line(), Some(3));
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert_eq!(check(deep(64).as_bytes()), Ok(()));
        assert!(check(deep(65).as_bytes()).is_err());
        assert!(check(deep(500_000).as_bytes()).is_err());
    }
}
