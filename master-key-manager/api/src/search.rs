//! The list and the search of secrets, and folders: queries and answers.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use shared_proto::Malformed;
use shared_proto::id::SecretId;

use crate::kind::{Class, SecretKind};
use crate::name::{EnvironmentName, MAX_PATH_BYTES, SecretPath, TagKey, TagValue};
use crate::policy::PartyId;
use crate::secrets::{SecretStatus, StagedVersions};
use crate::tags::Tags;

/// The fewest characters of a part of a name that is looked for.
pub const MIN_PART_CHARACTERS: usize = 2;
/// The most tags that one query names.
pub const MAX_TAG_FILTERS: usize = 8;
/// The longest time in days within which something may be due.
pub const MAX_DUE_DAYS: u64 = 3_650;

/// A part of a path that is looked for, in any case: 2 characters up to 512 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePart(String);

impl NamePart {
    /// A part of this text.
    ///
    /// # Errors
    /// It is too short, too long, or has what no path has.
    pub fn parse(text: String) -> Result<Self, Malformed> {
        let fits = text.chars().count() >= MIN_PART_CHARACTERS && text.len() <= MAX_PATH_BYTES;
        if fits && !text.chars().any(|c| c.is_control() || c == '\\') {
            Ok(Self(text))
        } else {
            Err(Malformed("a part of a path has 2 characters up to 512 bytes"))
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A tag that is looked for: `key=value`, or `key` for any value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagSelector {
    /// Its key. One with a `=` is looked for by its value.
    pub key: TagKey,
    /// Its value; `None` means any.
    pub value: Option<TagValue>,
}

impl FromStr for TagSelector {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        match text.split_once('=') {
            None => Ok(Self { key: TagKey::parse(text)?, value: None }),
            Some((key, value)) => Ok(Self { key: TagKey::parse(key)?, value: Some(TagValue::parse(value)?) }),
        }
    }
}

/// The order of a list; `-` before it turns it round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SecretSort {
    /// The thing by which it is ordered.
    pub by: SortBy,
    /// Set if the greatest comes first.
    pub descending: bool,
}

/// The thing by which a list of secrets is ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortBy {
    /// Environment and path.
    #[default]
    Path,
    /// The time at which it was made.
    CreatedAt,
    /// The time of its last change.
    UpdatedAt,
    /// The time at which it is due.
    DueAt,
}

impl SortBy {
    const ALL: [Self; 4] = [Self::Path, Self::CreatedAt, Self::UpdatedAt, Self::DueAt];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::CreatedAt => "created_at",
            Self::UpdatedAt => "updated_at",
            Self::DueAt => "due_at",
        }
    }
}

impl fmt::Display for SecretSort {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{}", if self.descending { "-" } else { "" }, self.by.as_str())
    }
}

impl FromStr for SecretSort {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let (word, descending) = text.strip_prefix('-').map_or((text, false), |word| (word, true));
        let by = SortBy::ALL.into_iter().find(|by| by.as_str() == word);
        by.map(|by| Self { by, descending }).ok_or(Malformed("not an order of secrets"))
    }
}

/// The states of secrets in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateFilter {
    /// One state.
    Only(SecretStatus),
    /// Every state.
    All,
}

impl FromStr for StateFilter {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        match text {
            "active" => Ok(Self::Only(SecretStatus::Active)),
            "deleted" => Ok(Self::Only(SecretStatus::Deleted)),
            "destroyed" => Ok(Self::Only(SecretStatus::Destroyed)),
            "all" => Ok(Self::All),
            _ => Err(Malformed("not a state of secrets")),
        }
    }
}

shared_proto::schema::described!(NamePart, shared_proto::schema::name(MAX_PATH_BYTES));
shared_proto::schema::described!(TagSelector, shared_proto::schema::text("^[^=]{1,128}(=.*)?$"));
shared_proto::schema::described!(SecretSort, shared_proto::schema::text("^-?(path|created_at|updated_at|due_at)$"));
shared_proto::schema::described!(StateFilter, shared_proto::schema::text("^(active|deleted|destroyed|all)$"));

/// A secret in a list, without any value.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SecretSummary {
    /// The secret.
    pub key_id: SecretId,
    /// Environment.
    pub environment: EnvironmentName,
    /// Name.
    pub path: SecretPath,
    /// The kind of its values. Absent, as class, owner and rotation, if the database holds a description that the manager did not
    /// write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<SecretKind>,
    /// Its class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<Class>,
    /// The person, service or group that answers for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<PartyId>,
    /// Its tags.
    pub tags: Tags,
    /// Its state.
    pub state: SecretStatus,
    /// The versions that have a stage.
    pub stages: StagedVersions,
    /// How often it was changed, without its versions.
    pub revision: u64,
    /// When its first version was begun, or adopted (Unix seconds).
    pub created_at: u64,
    /// When it changed last: place, rules, description or stages (Unix seconds).
    pub updated_at: u64,
    /// When its current version is to be rotated (Unix seconds).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation_due_at: Option<u64>,
    /// When its current version ends (Unix seconds).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
}

/// Answer of `GET /api/secrets`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SecretList {
    /// A page of secrets. It may be short, or empty, and have a next one.
    pub secrets: Vec<SecretSummary>,
    /// `after` of the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A secret or a folder in a folder. A path may be both.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FolderEntry {
    /// The path.
    pub path: SecretPath,
    /// The secret with this path; absent for a folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<SecretId>,
    /// Secrets below the folder, 10 at most; absent for a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// True if there are perhaps more than were counted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_least: bool,
}

/// Answer of `GET /api/folders`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FolderList {
    /// A page of what is in the folder, in the order of paths.
    pub entries: Vec<FolderEntry>,
    /// `after` of the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tag_is_looked_for_by_its_key_or_with_a_value_that_may_have_any_sign() {
        let read = |text: &str| text.parse::<TagSelector>();
        assert_eq!(read("team").unwrap().value, None);
        let both = read("team=a=b").unwrap();
        assert_eq!((both.key.as_str(), both.value.unwrap().as_str()), ("team", "a=b"));
        for wrong in ["", "=a"] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn order_and_state_have_one_form() {
        for text in ["path", "-path", "created_at", "-updated_at", "due_at"] {
            assert_eq!(text.parse::<SecretSort>().unwrap().to_string(), text);
        }
        for wrong in ["", "-", "--path", "Path", "kind"] {
            assert!(wrong.parse::<SecretSort>().is_err(), "{wrong:?}");
        }
        assert_eq!("deleted".parse(), Ok(StateFilter::Only(SecretStatus::Deleted)));
        assert!("".parse::<StateFilter>().is_err());
    }

    #[test]
    fn part_of_a_name_has_two_characters_and_none_that_no_path_has() {
        for (text, fits) in [("ab", true), ("é.", true), ("a", false), ("", false), ("a\n", false), ("a\\", false)] {
            assert_eq!(NamePart::parse(text.to_owned()).is_ok(), fits, "{text:?}");
        }
        assert!(NamePart::parse("a".repeat(MAX_PATH_BYTES + 1)).is_err());
    }
}
