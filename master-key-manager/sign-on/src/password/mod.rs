//! Passwords of people: what may be chosen (NIST SP 800-63B section 3.1.1), and how it is stored (RFC 9106).
//!
//! A password is normalized first (NFKC, Unicode Standard Annex 15), so that it is the same from every keyboard. Its
//! length is the number of code points, after normalization or as typed, whichever is less: one sign that normalizes to
//! many counts once. There are no composition rules, and nothing is cut off.

mod hash;
mod rules;

use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

pub use self::hash::{Cost, PasswordHasher, SALT_BYTES, StoredPassword, Verdict};
pub use self::rules::{ChosenPassword, MOST_CONTEXT, Weakness};

/// The shortest password that may be chosen, in code points.
pub const MIN_CHARACTERS: usize = 12;
/// The longest password in bytes of UTF-8, as it is sent: 128 code points of the longest form.
pub const MAX_BYTES: usize = 512;

/// A password as somebody entered it, normalized. It has no `Debug` form.
pub struct Password {
    normalized: Zeroizing<String>,
    characters: usize,
}

/// The reason why a text cannot be a password. The caller answers as to a wrong password, after the same work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a password has 1 to {MAX_BYTES} bytes")]
pub struct NoPassword;

impl Password {
    /// Normalizes what was entered.
    ///
    /// # Errors
    /// It is empty or longer than [`MAX_BYTES`].
    pub fn entered(text: &str) -> Result<Self, NoPassword> {
        if text.is_empty() || text.len() > MAX_BYTES {
            return Err(NoPassword);
        }
        // With room for the longest expansion of NFKC in UTF-8, so that growing leaves no copy behind.
        let mut normalized = Zeroizing::new(String::with_capacity(text.len() * LONGEST_EXPANSION));
        normalized.extend(text.nfkc());
        let characters = normalized.chars().count().min(text.chars().count());
        Ok(Self { normalized, characters })
    }

    fn expose(&self) -> &str {
        &self.normalized
    }
}

/// Times that NFKC lengthens a text in UTF-8, at most (Unicode FAQ on normalization).
const LONGEST_EXPANSION: usize = 11;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use static_assertions::assert_not_impl_any;

    use super::*;

    assert_not_impl_any!(Password: std::fmt::Debug, std::fmt::Display, Clone, serde::Serialize, PartialEq);
    assert_not_impl_any!(ChosenPassword: std::fmt::Debug, std::fmt::Display, Clone, serde::Serialize, PartialEq);
    assert_not_impl_any!(PasswordHasher: std::fmt::Debug, std::fmt::Display, Clone, serde::Serialize);

    #[test]
    fn same_password_of_another_keyboard_is_the_same() {
        let composed = Password::entered("Zürich-Käse-ﬁn").unwrap();
        let decomposed = Password::entered("Zu\u{308}rich-Ka\u{308}se-fin").unwrap();
        assert_eq!(composed.expose(), decomposed.expose());
    }

    #[test]
    fn sign_that_normalizes_to_many_counts_once() {
        assert_eq!(Password::entered("\u{fdfa}").unwrap().characters, 1);
        assert_eq!(Password::entered("e\u{301}").unwrap().characters, 1);
        assert_eq!(Password::entered("日本語").unwrap().characters, 3);
    }

    #[test]
    fn longest_password_is_taken_and_a_longer_or_empty_one_is_not() {
        assert!(Password::entered(&"x".repeat(MAX_BYTES)).is_ok());
        assert!(Password::entered(&"x".repeat(MAX_BYTES + 1)).is_err());
        assert!(Password::entered("").is_err());
    }

    #[test]
    fn room_for_the_longest_expansion_is_enough() {
        let text = "\u{fdfa}".repeat(MAX_BYTES / 3);
        let password = Password::entered(&text).unwrap();
        assert_eq!(password.expose().len(), 11 * text.len());
        assert!(password.normalized.capacity() == text.len() * LONGEST_EXPANSION);
    }

    proptest! {
        #[test]
        fn no_text_grows_beyond_its_room(text in "\\PC{0,128}") {
            if let Ok(password) = Password::entered(&text) {
                prop_assert_eq!(password.normalized.capacity(), text.len() * LONGEST_EXPANSION);
            }
        }
    }
}
