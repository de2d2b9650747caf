//! Rules for choosing a password: its length, and how hard it is to guess.
//!
//! `zxcvbn` estimates the number of guesses from lists of common passwords, words and names, keyboard rows, repeats,
//! sequences and dates, which is the blocklist of NIST SP 800-63B.

use zxcvbn::zxcvbn;

use super::{MAX_BYTES, MIN_CHARACTERS, NoPassword, Password};

/// A password that somebody may have. Only [`Password::choose`] makes one. It has no `Debug` form.
pub struct ChosenPassword(Password);

/// The reason why a password may not be chosen. It never repeats the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Weakness {
    /// Shorter than [`MIN_CHARACTERS`], or longer than [`MAX_BYTES`].
    #[error("a password has {MIN_CHARACTERS} characters or more, and at most {MAX_BYTES} bytes")]
    Length,
    /// A control character: it was pasted with a line break or a tabulator.
    #[error("a password has no line breaks, tabulators and other control characters")]
    Control,
    /// On a list, a word of the context, or a pattern: it is among the first guesses.
    #[error("this password is easy to guess: it is common, has your name or e-mail address in it, or is a pattern")]
    Guessable,
}

impl Password {
    /// Takes a password that somebody chooses. `context` are the words that belong to him and to the service: name,
    /// e-mail address, name of the service; at most [`MOST_CONTEXT`] of them are looked at.
    ///
    /// # Errors
    /// It is short or easy to guess.
    pub fn choose(self, context: &[&str]) -> Result<ChosenPassword, Weakness> {
        if self.characters < MIN_CHARACTERS {
            return Err(Weakness::Length);
        }
        if self.expose().chars().any(char::is_control) {
            return Err(Weakness::Control);
        }
        // What is behind the first characters makes it only harder to guess.
        let looked_at: zeroize::Zeroizing<String> =
            self.expose().chars().take(MOST_LOOKED_AT).collect::<String>().into();
        let words: Vec<&str> =
            context.iter().take(MOST_CONTEXT).flat_map(|text| words(text)).take(MOST_WORDS).collect();
        if zxcvbn(&looked_at, &words).guesses() < FEWEST_GUESSES {
            return Err(Weakness::Guessable);
        }
        Ok(ChosenPassword(self))
    }
}

impl ChosenPassword {
    pub(super) fn password(&self) -> &Password {
        &self.0
    }
}

impl From<NoPassword> for Weakness {
    fn from(NoPassword: NoPassword) -> Self {
        Self::Length
    }
}

/// The text itself, and the words in it: of `ann.lee@example.com` also `ann`, `lee` and `example`.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let parts = text.split(|character: char| !character.is_alphanumeric()).filter(|part| part.chars().count() > 2);
    std::iter::once(text).chain(parts).filter(|part| part.len() <= LONGEST_WORD)
}

/// Texts of the context that are looked at.
pub const MOST_CONTEXT: usize = 8;
/// 10^8: what the authors of zxcvbn call safe against guessing at a service; offline, the sign-on key is missing.
const FEWEST_GUESSES: u64 = 100_000_000;
/// Bounds the work of zxcvbn, which grows with the substitutions (`4` for `a`) that a text may have: 75 ms for the worst
/// 32 characters that were found, 320 ms for 64.
const MOST_LOOKED_AT: usize = 32;
const MOST_WORDS: usize = 32;
const LONGEST_WORD: usize = 128;
#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CONTEXT: &[&str] = &["Annegret Winterfeldt", "a.winterfeldt@kontorhaus.example", "Splitvault"];

    fn chosen(text: &str) -> Result<(), Weakness> {
        Password::entered(text).map_err(Weakness::from).and_then(|password| password.choose(CONTEXT)).map(|_| ())
    }

    #[test]
    fn twelve_characters_are_enough_and_eleven_are_not() {
        assert_eq!(chosen("gk4-Vq9m.Wz"), Err(Weakness::Length));
        assert_eq!(chosen("gk4-Vq9m.Wzt"), Ok(()));
        assert_eq!(chosen("яблоко-груша"), Ok(()));
        assert_eq!(chosen(""), Err(Weakness::Length));
        assert_eq!(chosen(&"gk4-Vq9m.Wzt".repeat(43)), Err(Weakness::Length));
    }

    #[test]
    fn nothing_but_length_and_guesses_is_asked_for() {
        for text in ["korrekt pferd batterie heftklammer", "lamps under seventeen rivers", "tqxvhrbwmzkdnp"] {
            assert_eq!(chosen(text), Ok(()), "{text}");
        }
        assert_eq!(chosen(&"lamps under seventeen rivers ".repeat(15)), Ok(()));
    }

    #[test]
    fn common_passwords_patterns_and_words_of_the_context_are_refused() {
        let guessable = [
            "administrator",
            "password1234",
            "Password1234",
            "P@ssw0rd1234",
            "qwertyuiop[]",
            "1q2w3e4r5t6y",
            "aaaaaaaaaaaa",
            "abcdefghijkl",
            "123456789012",
            "passwordpassword",
            "19841984198419",
            "qwertyqwerty",
            "SonnenSchein",
            "familiyafamiliya",
            "Winterfeldt1",
            "winterfeldt!!",
            "Annegret1999",
            "Splitvault2026",
            "kontorhaus2026!",
            "tdlefretniw1",
            "a.winterfeldt@kontorhaus.example",
        ];
        for text in guessable {
            assert_eq!(chosen(text), Err(Weakness::Guessable), "{text}");
        }
        let other = Password::entered("Winterfeldt-Ufer").unwrap();
        assert!(other.choose(&[]).is_ok(), "the control: to others it is no word of the context");
        assert_eq!(chosen("Winterfeldt-1"), Err(Weakness::Guessable));
    }

    #[test]
    fn pasted_line_break_is_refused() {
        assert_eq!(chosen("gk4-Vq9m.Wzt\n"), Err(Weakness::Control));
        assert_eq!(chosen("gk4-Vq9m\t.Wzt"), Err(Weakness::Control));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_password_panics(text: String, context: Vec<String>) {
            let context: Vec<&str> = context.iter().map(String::as_str).collect();
            if let Ok(password) = Password::entered(&text) {
                let _ = password.choose(&context);
            }
        }
    }
}
