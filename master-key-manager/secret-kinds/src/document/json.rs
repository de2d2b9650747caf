//! A JSON object. Objects in it are folders, everything else a value.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::{DEEPEST_FOLDER, Entries, Entry, filled};
use crate::Refused;

/// Reads a document.
pub(super) fn read(document: &str) -> Result<Vec<Entry>, Refused> {
    // Members that stand twice are refused here, with their line.
    crate::json::check(document.as_bytes())?;
    let mut entries = Entries::default();
    walk(document.trim_ascii(), &mut Vec::new(), &mut entries)?;
    Ok(entries.0)
}

fn walk(object: &str, names: &mut Vec<String>, entries: &mut Entries) -> Result<(), Refused> {
    if names.len() == DEEPEST_FOLDER {
        return Err(Refused::new("the document is nested deeper than 16"));
    }
    let Members(members) =
        serde_json::from_str(object).map_err(|_| Refused::new("the document is not a JSON object"))?;
    for (name, value) in members {
        names.push(name);
        let text = value.get();
        if text.starts_with('{') {
            walk(text, names, entries)?;
        } else {
            entries.push(Entry { names: names.clone(), line: None, value: leaf(text).and_then(filled) })?;
        }
        names.pop();
    }
    Ok(())
}

fn leaf(text: &str) -> Result<Zeroizing<String>, Refused> {
    match text.bytes().next() {
        Some(b'"') => serde_json::from_str(text).map_err(|_| Refused::new("the value is not a text")),
        Some(b'[') => Err(Refused::new("a list is not a value; store it as a secret of the kind json")),
        Some(b'n') | None => Err(Refused::new("the value is null")),
        // Numbers and booleans as they are written: a number may be longer than programs count.
        Some(_) => Ok(Zeroizing::new(text.to_owned())),
    }
}

/// The members of an object in their order, with their text.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;

        impl<'de> Visitor<'de> for Read {
            type Value = Members<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
                let mut read = Vec::new();
                while let Some(member) = members.next_entry()? {
                    read.push(member);
                }
                Ok(Members(read))
            }
        }

        deserializer.deserialize_map(Read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(document: &str) -> Vec<(String, Option<String>)> {
        let row = |entry: Entry| (entry.names.join("/"), entry.value.ok().map(|value| value.to_string()));
        read(document).ok().unwrap().into_iter().map(row).collect()
    }

    #[test]
    fn objects_are_folders_and_values_are_taken_as_they_stand() {
        let document = r#" {"a": {"b": "x\n\u00e9", "c": {"d": 1.10, "e": 123456789012345678901234567890}},
            "f": true, "g": "$HOME", "h": null, "i": [1], "j": "", "k": {}} "#;
        let value = |text: &str| Some(text.to_owned());
        let expected = [
            ("a/b", value("x\n\u{e9}")),
            ("a/c/d", value("1.10")),
            ("a/c/e", value("123456789012345678901234567890")),
            ("f", value("true")),
            ("g", value("$HOME")),
            ("h", None),
            ("i", None),
            ("j", None),
        ];
        assert_eq!(rows(document), expected.map(|(path, value)| (path.to_owned(), value)));
    }

    #[test]
    fn nothing_of_a_document_out_of_form_is_taken() {
        for bad in ["", "[]", "\"a\"", "1", "{", r#"{"a": "b"} x"#, r#"{"a": {"b": "c", "\u0062": "d"}}"#] {
            assert!(read(bad).is_err(), "{bad}");
        }
        let deep = |levels: usize| r#"{"a": "#.repeat(levels) + "1" + &"}".repeat(levels);
        assert!(read(&deep(DEEPEST_FOLDER)).is_ok() && read(&deep(DEEPEST_FOLDER + 1)).is_err());
        assert!(read(&deep(60)).is_err() && read(&deep(100_000)).is_err());
    }
}
