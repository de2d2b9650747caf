//! The canonical form of a path, in which a dotted path and the one with slashes are the same.

use crate::name::SecretPath;

/// A path as everybody reads it: `a/b/c` for both `a/b/c` and `a.b.c`.
///
/// Two paths with the same key cannot both be names in one environment: a reader of one could get the other. Dots of a
/// path that has slashes, and dots that leave an empty name (`a..b`, `.env`), are part of a name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct PathKey(SecretPath);

impl PathKey {
    /// The key of a path.
    pub fn of(path: &SecretPath) -> Self {
        Self(path.from_dots().unwrap_or_else(|| path.clone()))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(text: &str) -> PathKey {
        PathKey::of(&SecretPath::parse(text).unwrap())
    }

    #[test]
    fn dotted_and_slashed_paths_collide_and_no_others() {
        assert_eq!(key("a.b.c"), key("a/b/c"));
        assert_eq!(key("a.b").as_str(), "a/b");
        let apart = ["a/b/c", "a/b.c", "a.b/c", "a..b", ".env", "env", "a.", "a", "a-b"];
        for (index, one) in apart.iter().enumerate() {
            for other in &apart[index + 1..] {
                assert_ne!(key(one), key(other), "{one} {other}");
            }
        }
    }

    proptest! {
        /// The rule by which the store finds the twin of a new name.
        #[test]
        fn paths_collide_exactly_when_one_is_the_dotted_reading_of_the_other(one in "[ab./]{1,6}", other in "[ab./]{1,6}") {
            let (Ok(one), Ok(other)) = (SecretPath::parse(one), SecretPath::parse(other)) else { return Ok(()) };
            let twin = one == other || one.from_dots().or_else(|| one.to_dots()).as_ref() == Some(&other);
            prop_assert_eq!(PathKey::of(&one) == PathKey::of(&other), twin);
        }
    }
}
