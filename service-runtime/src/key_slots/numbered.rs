//! Numbered symmetric keys: root keys by environment and epoch, storage keys by number.
//!
//! `<name>.key` is in use, and the highest one wraps or seals new things. `<name>.unconfirmed.key` is not used before
//! its backup is confirmed. `<name>.retired.key` has nothing under it any more and waits to be destroyed.

use std::path::{Path, PathBuf};

use serde::Serialize;
use zeroize::Zeroizing;

use super::{begin_age, cannot, in_place_since};
use crate::StartError;
use crate::files::{check_private_directory, sync_parent};
use crate::key_folder::{entries, read_key, refused, write_key};

/// The state of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// Made and stated; used when the other service accepts it.
    Next,
    /// Made; used when its backup is confirmed.
    Unconfirmed,
    /// In use.
    Active,
    /// Replaced, and still accepted or still needed.
    Previous,
    /// Nothing is under it; a restored backup may need it.
    Retired,
}

impl KeyState {
    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Unconfirmed => "unconfirmed",
            Self::Active => "active",
            Self::Previous => "previous",
            Self::Retired => "retired",
        }
    }
}

/// A numbered key.
pub struct NumberedKey {
    /// The part of its name before the number, without the dot; empty if there is none.
    pub scope: String,
    /// Its number, from 1.
    pub number: u32,
    /// Unconfirmed, active or retired, by its name. The caller finds the highest active one.
    pub state: KeyState,
    /// When it got this state (Unix seconds).
    pub since: u64,
    /// The key.
    pub key: Zeroizing<[u8; 32]>,
}

/// Reads all keys of a folder, ordered by scope and number.
///
/// # Errors
/// A file is not named or formed like such a key, is open to others, or a number is there twice.
pub fn load_numbered(folder: &Path) -> Result<Vec<NumberedKey>, StartError> {
    check_private_directory(folder)?;
    let mut names = entries(folder)?;
    for _ in 0..MOST_READS {
        let keys = load_named(folder, &names);
        let again = entries(folder)?;
        if again == names {
            return keys;
        }
        // A service renames a key while a command beside it reads them.
        names = again;
    }
    Err(refused(folder, "its files change all the time", "run this again"))
}

/// How often a folder is read anew that changes meanwhile.
const MOST_READS: usize = 100;

fn load_named(folder: &Path, names: &[String]) -> Result<Vec<NumberedKey>, StartError> {
    let mut keys = Vec::new();
    for name in names {
        let path = folder.join(name);
        let Some((scope, number, state)) = parse_name(name) else {
            return Err(refused(&path, "it is not named like a key of this folder", "move it away"));
        };
        let since = in_place_since(&path)?;
        keys.push(NumberedKey { scope: scope.to_owned(), number, state, since, key: read_key(&path)? });
    }
    keys.sort_by(|one, other| (&one.scope, one.number).cmp(&(&other.scope, other.number)));
    let twice =
        |pair: &[NumberedKey]| matches!(pair, [one, other] if (&one.scope, one.number) == (&other.scope, other.number));
    if keys.windows(2).any(twice) {
        return Err(refused(folder, "one number is there in two states", "move the file away that is not needed"));
    }
    Ok(keys)
}

/// Makes the file of a new key.
///
/// # Errors
/// The number is there in some state, or the file cannot be written.
pub fn create_numbered(
    folder: &Path,
    (scope, number): (&str, u32),
    state: KeyState,
    key: &[u8; 32],
) -> Result<(), StartError> {
    let states = [KeyState::Unconfirmed, KeyState::Active, KeyState::Retired];
    if let Some(there) = states.map(|other| path_of(folder, scope, number, other)).iter().find(|path| path.exists()) {
        return Err(refused(there, "this number was used already", "use the next one"));
    }
    write_key(&path_of(folder, scope, number, state), key)
}

/// Takes an unconfirmed key into use.
///
/// # Errors
/// There is no such key, or its file cannot be renamed.
pub fn confirm(folder: &Path, scope: &str, number: u32) -> Result<(), StartError> {
    change(folder, (scope, number), KeyState::Unconfirmed, KeyState::Active)
}

/// Retires a key: it has nothing under it any more. A retired one stays as it is.
///
/// # Errors
/// Its file cannot be renamed.
pub fn retire(folder: &Path, scope: &str, number: u32) -> Result<(), StartError> {
    if path_of(folder, scope, number, KeyState::Retired).exists() {
        return Ok(());
    }
    change(folder, (scope, number), KeyState::Active, KeyState::Retired)
}

/// The file of a key.
pub fn path_of(folder: &Path, scope: &str, number: u32, state: KeyState) -> PathBuf {
    let dot = if scope.is_empty() { "" } else { "." };
    let suffix = match state {
        KeyState::Unconfirmed => ".unconfirmed",
        KeyState::Retired => ".retired",
        KeyState::Next | KeyState::Active | KeyState::Previous => "",
    };
    folder.join(format!("{scope}{dot}{number}{suffix}.key"))
}

fn change(folder: &Path, (scope, number): (&str, u32), from: KeyState, to: KeyState) -> Result<(), StartError> {
    let (old, new) = (path_of(folder, scope, number, from), path_of(folder, scope, number, to));
    begin_age(&old)?;
    std::fs::rename(&old, &new).and_then(|()| sync_parent(&new)).map_err(|error| cannot(&old, "renamed", &error))
}

fn parse_name(name: &str) -> Option<(&str, u32, KeyState)> {
    let stem = name.strip_suffix(".key")?;
    let (stem, state) = if let Some(stem) = stem.strip_suffix(".unconfirmed") {
        (stem, KeyState::Unconfirmed)
    } else if let Some(stem) = stem.strip_suffix(".retired") {
        (stem, KeyState::Retired)
    } else {
        (stem, KeyState::Active)
    };
    let (scope, digits) = stem.rsplit_once('.').unwrap_or(("", stem));
    let number: u32 = digits.parse().ok()?;
    // One spelling of each name: `01.key` would silently take the place of `1.key`.
    let canonical = number > 0 && number.to_string() == digits && !stem.starts_with('.');
    canonical.then_some((scope, number, state))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::create_private_directory;

    fn states(folder: &Path) -> Vec<(String, u32, KeyState)> {
        load_numbered(folder).unwrap().into_iter().map(|key| (key.scope, key.number, key.state)).collect()
    }

    #[test]
    fn keys_are_read_while_they_change_their_states() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("keys");
        create_private_directory(&folder).unwrap();
        create_numbered(&folder, ("env_a", 1), KeyState::Active, &[1; 32]).unwrap();
        std::thread::scope(|scope| {
            let changing = scope.spawn(|| {
                for number in 2..60 {
                    create_numbered(&folder, ("env_a", number), KeyState::Unconfirmed, &[1; 32]).unwrap();
                    confirm(&folder, "env_a", number).unwrap();
                    retire(&folder, "env_a", number - 1).unwrap();
                }
            });
            while !changing.is_finished() {
                let known = states(&folder);
                assert!(known.iter().zip(1..).all(|((_, number, _), expected)| *number == expected), "{known:?}");
            }
        });
        assert_eq!(states(&folder).len(), 59);
    }

    #[test]
    fn key_is_made_confirmed_retired_and_its_number_never_used_again() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("keys");
        create_private_directory(&folder).unwrap();
        create_numbered(&folder, ("env_a", 1), KeyState::Active, &[1; 32]).unwrap();
        create_numbered(&folder, ("env_a", 2), KeyState::Unconfirmed, &[2; 32]).unwrap();
        create_numbered(&folder, ("", 1), KeyState::Active, &[3; 32]).unwrap();
        let named = |number, state| ("env_a".to_owned(), number, state);
        let bare = (String::new(), 1, KeyState::Active);
        assert_eq!(states(&folder), [bare.clone(), named(1, KeyState::Active), named(2, KeyState::Unconfirmed)]);
        confirm(&folder, "env_a", 2).unwrap();
        confirm(&folder, "env_a", 2).unwrap_err();
        retire(&folder, "env_a", 1).unwrap();
        retire(&folder, "env_a", 1).unwrap();
        assert_eq!(states(&folder), [bare, named(1, KeyState::Retired), named(2, KeyState::Active)]);
        assert_eq!(*load_numbered(&folder).unwrap()[1].key, [1; 32]);
        for number in [1, 2] {
            create_numbered(&folder, ("env_a", number), KeyState::Unconfirmed, &[9; 32]).unwrap_err();
        }
    }

    #[test]
    fn names_have_one_spelling_and_a_number_one_state() {
        for name in ["01.key", "0.key", "+1.key", "1", "1.pem", ".1.key", "a..key", "1.lost.key", "x.key"] {
            assert!(parse_name(name).is_none(), "{name}");
        }
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("keys");
        create_private_directory(&folder).unwrap();
        write_key(&folder.join("1.key"), &[1; 32]).unwrap();
        write_key(&folder.join("1.retired.key"), &[1; 32]).unwrap();
        assert!(load_numbered(&folder).is_err());
    }
}
