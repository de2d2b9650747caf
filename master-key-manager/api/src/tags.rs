//! Tags of a secret: pairs of a key and a value, by which it is found and which conditions of the policy name.

use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use shared_proto::Malformed;

use crate::name::{TagKey, TagValue};

/// The most tags of a secret or a condition.
pub const MAX_TAGS: usize = 32;

/// Tags with one value for each key. May be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tags(Box<[(TagKey, TagValue)]>);

impl Tags {
    /// Tags of these pairs.
    ///
    /// # Errors
    /// There are more than [`MAX_TAGS`], or two have the same key.
    pub fn new(pairs: impl IntoIterator<Item = (TagKey, TagValue)>) -> Result<Self, Malformed> {
        let mut pairs: Vec<_> = pairs.into_iter().take(MAX_TAGS + 1).collect();
        if pairs.len() > MAX_TAGS {
            return Err(Malformed("there are 32 tags at most"));
        }
        pairs.sort_unstable();
        if pairs.windows(2).any(|two| matches!(two, [(one, _), (other, _)] if one == other)) {
            return Err(Malformed("two tags have the same key"));
        }
        Ok(Self(pairs.into()))
    }

    /// The value of the tag with this key.
    pub fn get(&self, key: &TagKey) -> Option<&TagValue> {
        let place = self.0.binary_search_by(|(own, _)| own.cmp(key)).ok()?;
        self.0.get(place).map(|(_, value)| value)
    }

    /// The pairs, by key.
    pub fn iter(&self) -> impl Iterator<Item = &(TagKey, TagValue)> {
        self.0.iter()
    }

    /// Tells whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Tells whether all pairs of the others are among these.
    pub fn contain(&self, others: &Self) -> bool {
        others.iter().all(|(key, value)| self.get(key) == Some(value))
    }
}

impl Serialize for Tags {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(key, value)| (key, value)))
    }
}

impl<'de> Deserialize<'de> for Tags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = Tags;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object of tags")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tags, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry::<TagKey, TagValue>()? {
                    pairs.push(pair);
                    if pairs.len() > MAX_TAGS {
                        break;
                    }
                }
                Tags::new(pairs).map_err(A::Error::custom)
            }
        }

        deserializer.deserialize_map(Pairs)
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for Tags {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type, schema::AdditionalProperties};
        let value = <TagValue as utoipa::PartialSchema>::schema();
        let object = ObjectBuilder::new().schema_type(Type::Object).max_properties(Some(MAX_TAGS));
        RefOr::T(Schema::Object(object.additional_properties(Some(AdditionalProperties::RefOr(value))).build()))
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for Tags {}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> Result<Tags, Malformed> {
        Tags::new(pairs.iter().map(|(key, value)| (TagKey::parse(*key).unwrap(), TagValue::parse(*value).unwrap())))
    }

    #[test]
    fn tags_contain_others_when_all_their_pairs_are_the_same() {
        let both = tags(&[("team", "a"), ("stage", "x")]).unwrap();
        assert_eq!(both, tags(&[("stage", "x"), ("team", "a")]).unwrap(), "the order does not matter");
        for other in [&[][..], &[("team", "a")], &[("stage", "x"), ("team", "a")]] {
            assert!(both.contain(&tags(other).unwrap()), "{other:?}");
        }
        for other in [&[("team", "b")][..], &[("team", "A")], &[("a", "team")], &[("team", "a"), ("zone", "x")]] {
            assert!(!both.contain(&tags(other).unwrap()), "{other:?}");
        }
    }

    #[test]
    fn tags_with_one_key_twice_or_too_many_are_refused() {
        assert!(tags(&[("team", "a"), ("team", "b")]).is_err());
        let pairs = |many: usize| {
            Tags::new((0..many).map(|n| (TagKey::parse(n.to_string()).unwrap(), TagValue::parse("v").unwrap())))
        };
        assert!(pairs(MAX_TAGS).is_ok() && pairs(MAX_TAGS + 1).is_err());
    }

    #[test]
    fn tags_are_an_object_without_repeats() {
        let both = tags(&[("team", "a"), ("stage", "x")]).unwrap();
        let text = serde_json::to_string(&both).unwrap();
        assert_eq!(text, r#"{"stage":"x","team":"a"}"#);
        assert_eq!(serde_json::from_str::<Tags>(&text).unwrap(), both);
        for wrong in [r#"{"team":"a","team":"a"}"#, r#"{"":"a"}"#, "[]", r#"{"team":1}"#] {
            assert!(serde_json::from_str::<Tags>(wrong).is_err(), "{wrong}");
        }
    }
}
