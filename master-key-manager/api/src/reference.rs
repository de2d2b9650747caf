//! References to secrets: `sv://<environment>/<path>[#field][@version or stage]`.
//!
//! One grammar for files, templates, command arguments and other secrets; `tests/references/` has its vectors, which
//! other languages use too. A `%`, `#`, `@`, `:` or `*` of a path is written `%25`, `%23`, `%40`, `%3A` or `%2A`, and
//! nothing else is encoded, so that each reference has one spelling. An error never repeats the text.

pub(crate) mod json;
pub mod template;
mod yaml;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use shared_proto::Malformed;
use shared_proto::id::Version;

use crate::name::{EnvironmentName, MAX_ENVIRONMENT_BYTES, MAX_PATH_BYTES, SecretPath};
use crate::path_key::PathKey;
use crate::tokens::{Stage, WantedVersion};

pub use template::{Template, references_in};

/// The beginning of every reference.
pub const SCHEME: &str = "sv://";
/// The longest name of a field in bytes.
pub const MAX_FIELD_BYTES: usize = 64;
/// The longest reference in bytes: each byte of the path may be encoded.
pub const MAX_REFERENCE_BYTES: usize =
    SCHEME.len() + MAX_ENVIRONMENT_BYTES + 1 + 3 * MAX_PATH_BYTES + 1 + MAX_FIELD_BYTES + 1 + 16;
/// The most different secrets that one value may refer to, directly and through others.
pub const MAX_TARGETS: usize = 64;
/// The longest chain of references: a value that refers to a value, and so on.
pub const MAX_DEPTH: usize = 10;

/// A reference to a secret, or to a field of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    /// Its environment.
    pub environment: EnvironmentName,
    /// Its path, as it was written.
    pub path: SecretPath,
    /// The field, if one is meant.
    pub field: Option<FieldName>,
    /// The version. Without one the current version is meant.
    pub version: Option<WantedVersion>,
}

/// The version of a secret that is read for a reference. Two references to fields of one secret have the same target, and
/// so have a dotted path and the one with slashes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReferenceTarget {
    /// The environment.
    pub environment: EnvironmentName,
    /// The path in its canonical form.
    pub path: PathKey,
    /// The version.
    pub version: WantedVersion,
}

/// The name of a field: 1 to 64 of `a-z`, `A-Z`, `0-9`, `_` and `-`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldName(String);

impl Reference {
    /// The current version at a path.
    pub fn new(environment: EnvironmentName, path: SecretPath) -> Self {
        Self { environment, path, field: None, version: None }
    }

    /// The version that is read for it.
    pub fn target(&self) -> ReferenceTarget {
        ReferenceTarget {
            environment: self.environment.clone(),
            path: PathKey::of(&self.path),
            version: self.version.unwrap_or(WantedVersion::Stage(Stage::Current)),
        }
    }
}

impl FieldName {
    /// Parses the name of a field.
    pub fn parse(text: impl Into<String>) -> Result<Self, Malformed> {
        let text = text.into();
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if !(1..=MAX_FIELD_BYTES).contains(&text.len()) || !text.bytes().all(allowed) {
            return Err(Malformed("a field has 1 to 64 of a-z, A-Z, 0-9, _ and -"));
        }
        Ok(Self(text))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Reference {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        if text.len() > MAX_REFERENCE_BYTES {
            return Err(Malformed("a reference is too long"));
        }
        let rest = text.strip_prefix(SCHEME).ok_or(Malformed("a reference begins with sv://"))?;
        let (environment, rest) = rest
            .split_once('/')
            .ok_or(Malformed("a reference has an environment and a path, sv://environment/path"))?;
        let (rest, version) = match rest.split_once('@') {
            Some((rest, version)) => (rest, Some(parse_version(version)?)),
            None => (rest, None),
        };
        let (path, field) = match rest.split_once('#') {
            Some((path, field)) => (path, Some(FieldName::parse(field)?)),
            None => (rest, None),
        };
        let path = SecretPath::parse(decoded(path)?)?;
        Ok(Self { environment: environment.parse()?, path, field, version })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{SCHEME}{}/{}", self.environment, encoded(self.path.as_str()))?;
        if let Some(FieldName(field)) = &self.field {
            write!(formatter, "#{field}")?;
        }
        match self.version {
            None => Ok(()),
            Some(WantedVersion::Number(number)) => write!(formatter, "@{number}"),
            Some(WantedVersion::Stage(stage)) => write!(formatter, "@{stage}"),
        }
    }
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(Malformed::into_name_error)
    }
}

shared_proto::schema::described!(Reference, shared_proto::schema::text("^sv://[a-z0-9][a-z0-9-]{0,62}/.+$"));

/// A path as it is written in references, patterns and command arguments.
pub fn encoded(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for character in path.chars() {
        match SPECIAL.iter().find(|(special, _)| *special == character) {
            Some((_, code)) => text.push_str(code),
            None => text.push(character),
        }
    }
    text
}

/// The inverse of [`encoded`]. A special character that is not encoded is refused, and so is every other code.
pub fn decoded(text: &str) -> Result<String, Malformed> {
    const REFUSED: Malformed =
        Malformed("a % # @ : or * of a path is written %25 %23 %40 %3A or %2A, and nothing else is");
    let mut path = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(position) = rest.find(|c| SPECIAL.iter().any(|(special, _)| *special == c)) {
        let (plain, code) = rest.split_at(position);
        path.push_str(plain);
        let (character, code) = SPECIAL.iter().find(|(_, known)| code.starts_with(known)).ok_or(REFUSED)?;
        path.push(*character);
        rest = rest.get(position + code.len()..).unwrap_or_default();
    }
    path.push_str(rest);
    Ok(path)
}

fn parse_version(text: &str) -> Result<WantedVersion, Malformed> {
    const REFUSED: Malformed = Malformed("after @ comes the number of a version, current, previous or pending");
    if let Ok(stage) = text.parse() {
        return Ok(WantedVersion::Stage(stage));
    }
    // One spelling: no sign and no zero in front.
    if text.is_empty() || text.starts_with('0') || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(REFUSED);
    }
    let number = text.parse().map_err(|_| REFUSED)?;
    Version::new(number).map(WantedVersion::Number).map_err(|_| REFUSED)
}

const SPECIAL: [(char, &str); 5] = [('%', "%25"), ('#', "%23"), ('@', "%40"), (':', "%3A"), ('*', "%2A")];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn reference_reads_back_as_it_was_written(
            environment in "[a-z0-9][a-z0-9-]{0,8}",
            path in "[a-c%#@:*/. é}{\"]{1,12}",
            field in proptest::option::of("[a-zA-Z0-9_-]{1,8}"),
            version in proptest::option::of(1_u64..1 << 53),
            stage in proptest::option::of(0_usize..3),
        ) {
            let Ok(path) = SecretPath::parse(path) else { return Ok(()) };
            let version = version.map(|number| WantedVersion::Number(Version::new(number).unwrap()));
            let version = stage.map_or(version, |stage| Some(WantedVersion::Stage(Stage::ALL[stage])));
            let reference = Reference {
                environment: environment.parse().unwrap(),
                path,
                field: field.map(|field| FieldName::parse(field).unwrap()),
                version,
            };
            let text = reference.to_string();
            prop_assert!(text.len() <= MAX_REFERENCE_BYTES);
            prop_assert_eq!(text.parse(), Ok(reference));
        }

        #[test]
        fn text_that_is_read_has_this_one_spelling(text in "sv://(a|b-1|A)/[ab%#@:*/.2350AF]{0,14}") {
            if let Ok(reference) = text.parse::<Reference>() {
                prop_assert_eq!(reference.to_string(), text);
            }
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = text.parse::<Reference>();
            let _ = format!("sv://a/{text}").parse::<Reference>();
        }
    }
}
