//! JSON of strangers: objects only, no member twice at any depth, bounded depth.
//!
//! Other readers keep the first or the last of two members with the same name. A signed text that two readers understand
//! differently is refused instead.

use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use shared_proto::Malformed;

/// A JSON object, read strictly.
pub(crate) type Object = Map<String, Value>;

/// Reads an object. The caller has looked at the length of the text.
pub(crate) fn object(bytes: &[u8]) -> Result<Object, Malformed> {
    let Value::Object(object) = value(bytes)? else { return Err(Malformed("not a JSON object")) };
    Ok(object)
}

/// Reads any value.
pub(crate) fn value(bytes: &[u8]) -> Result<Value, Malformed> {
    const REFUSED: Malformed = Malformed("not JSON, or JSON with a member that comes twice or too deep");
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { depth: DEEPEST }.deserialize(&mut reader).map_err(|_| REFUSED)?;
    reader.end().map_err(|_| REFUSED)?;
    Ok(value)
}

/// The deepest nesting. Tokens of Kubernetes have four levels.
const DEEPEST: usize = 16;

#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl Strict {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        let depth = self.depth.checked_sub(1).ok_or_else(|| E::custom("too deep"))?;
        Ok(Self { depth })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON without repeated members")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let deeper = self.deeper()?;
        let mut values = Vec::new();
        while let Some(value) = items.next_element_seed(deeper)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let deeper = self.deeper()?;
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.contains_key(&name) {
                return Err(A::Error::custom("a member comes twice"));
            }
            let value = members.next_value_seed(deeper)?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn member_that_comes_twice_is_refused_at_any_depth() {
        assert!(object(br#"{"a":1,"b":{"a":[{"a":2}]}}"#).is_ok());
        for twice in
            [r#"{"a":1,"a":1}"#, r#"{"a":1,"\u0061":2}"#, r#"{"x":{"a":1,"a":2}}"#, r#"{"x":[[{"a":1,"b":1,"a":2}]]}"#]
        {
            assert!(object(twice.as_bytes()).is_err(), "{twice}");
        }
    }

    #[test]
    fn text_that_is_not_one_object_is_refused() {
        for text in [
            "",
            "[]",
            "1",
            "null",
            "\"a\"",
            "{} {}",
            "{}x",
            "{'a':1}",
            "{\"a\":1,}",
            "{\"a\":NaN}",
            "{\"a\":\"\\ud800\"}",
        ] {
            assert!(object(text.as_bytes()).is_err(), "{text}");
        }
        assert!(object(b"{\"a\":\"\xff\"}").is_err());
    }

    #[test]
    fn deep_nesting_is_refused_before_the_stack_ends() {
        let deep = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        assert!(object(deep(15).as_bytes()).is_ok());
        assert!(object(deep(16).as_bytes()).is_err());
        assert!(object(deep(100_000).as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics(text: Vec<u8>, inner in "[\\[\\]{}\",:0-9a-e. ]{0,60}") {
            let _ = value(&text);
            let _ = value(inner.as_bytes());
        }

        #[test]
        fn what_is_read_is_what_serde_reads(text in r#"\{("[a-c]":([0-9]{1,3}|"[a-z]{0,3}"|\[[0-9],null\]|true),){0,3}"d":\{\}\}"#) {
            if let Ok(read) = value(text.as_bytes()) {
                prop_assert_eq!(read, serde_json::from_slice::<Value>(text.as_bytes()).unwrap());
            }
        }
    }
}
