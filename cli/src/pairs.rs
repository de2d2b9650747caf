//! Pairs `key=value` of tags and metadata in arguments.

use std::collections::BTreeMap;

use client::manager_api::metadata::Metadata;
use client::manager_api::name::{TagKey, TagValue};
use client::manager_api::tags::Tags;
use client::shared_proto::Malformed;

use crate::failure::Failure;

/// A pair in an argument.
#[derive(Clone, Debug)]
pub(crate) struct Pair(TagKey, TagValue);

impl Pair {
    pub(crate) fn parse(text: &str) -> Result<Self, Malformed> {
        let (key, value) = text.split_once('=').ok_or(Malformed("a pair has the form key=value"))?;
        Ok(Self(TagKey::parse(key)?, TagValue::parse(value)?))
    }
}

/// Tags of pairs, of which the last of a key counts.
pub(crate) fn tags(pairs: impl IntoIterator<Item = Pair>) -> Result<Tags, Failure> {
    let pairs: BTreeMap<TagKey, TagValue> = pairs.into_iter().map(|Pair(key, value)| (key, value)).collect();
    Ok(Tags::new(pairs)?)
}

/// Metadata of pairs, of which the last of a key counts.
pub(crate) fn metadata(pairs: impl IntoIterator<Item = Pair>) -> Result<Metadata, Failure> {
    let pairs = pairs.into_iter().map(|Pair(key, value)| (key, value)).collect();
    Ok(Metadata::new(pairs)?)
}

/// The tags of before with others added, and without some.
pub(crate) fn changed(before: &Tags, added: Vec<Pair>, removed: &[TagKey]) -> Result<Tags, Failure> {
    let kept =
        before.iter().filter(|(key, _)| !removed.contains(key)).map(|(key, value)| Pair(key.clone(), value.clone()));
    tags(kept.chain(added).collect::<Vec<_>>())
}

/// Tags for people.
pub(crate) fn shown(tags: &Tags) -> String {
    let pairs = tags.iter().map(|(key, value)| format!("{key}={value}"));
    pairs.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tag_is_added_exchanged_and_removed() {
        let pair = |text: &str| Pair::parse(text).unwrap();
        let before = tags([pair("a=1"), pair("b=2")]).unwrap();
        let after = changed(&before, vec![pair("a=x=y"), pair("c=3")], &[TagKey::parse("b").unwrap()]).unwrap();
        assert_eq!(shown(&after), "a=x=y c=3");
        assert!(Pair::parse("a").is_err() && Pair::parse("=a").is_err());
    }
}
