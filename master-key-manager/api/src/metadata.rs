//! Metadata of a secret: pairs of a key and a value for people and programs. No right depends on them.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use shared_proto::Malformed;

use crate::name::{TagKey, TagValue};

/// The most pairs of metadata.
pub const MAX_METADATA: usize = 64;

/// Pairs with one value for each key: keys of 1 to 128 bytes, values of up to 512 bytes. May be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Metadata(BTreeMap<TagKey, TagValue>);

impl Metadata {
    /// Metadata of these pairs.
    ///
    /// # Errors
    /// There are more than [`MAX_METADATA`].
    pub fn new(pairs: BTreeMap<TagKey, TagValue>) -> Result<Self, Malformed> {
        if pairs.len() > MAX_METADATA {
            Err(Malformed("there are 64 pairs of metadata at most"))
        } else {
            Ok(Self(pairs))
        }
    }

    /// Tells whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The pairs, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&TagKey, &TagValue)> {
        self.0.iter()
    }
}

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(BTreeMap::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for Metadata {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type, schema::AdditionalProperties};
        let value = <TagValue as utoipa::PartialSchema>::schema();
        let object = ObjectBuilder::new().schema_type(Type::Object).max_properties(Some(MAX_METADATA));
        RefOr::T(Schema::Object(object.additional_properties(Some(AdditionalProperties::RefOr(value))).build()))
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for Metadata {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixty_five_pairs_are_refused() {
        let of =
            |count: usize| (0..count).map(|number| (format!("k{number}"), "v".to_owned())).collect::<BTreeMap<_, _>>();
        let read = |count| serde_json::from_str::<Metadata>(&serde_json::to_string(&of(count)).unwrap());
        assert_eq!(read(64).unwrap().iter().count(), 64);
        assert!(read(65).is_err());
    }
}
