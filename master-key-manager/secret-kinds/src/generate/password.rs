//! Passwords of characters and of words.

use manager_api::generate::{CharacterClasses, Exclusions, PasswordLength, Separator, WordCount};
use zeroize::Zeroizing;

use super::{Generated, alphabet};
use crate::Refused;
use crate::random::{Pool, Random};

/// A password of characters, with at least one of each class.
///
/// A password that lacks a class is thrown away as a whole: each of those that have all classes is as likely as the others.
/// To put the missing character into a random place would make some likelier.
pub(super) fn characters(
    length: PasswordLength,
    classes: CharacterClasses,
    exclude: &Exclusions,
    no_lookalikes: bool,
    random: &mut dyn Random,
) -> Result<Generated, Refused> {
    let excluded = |symbol: &u8| {
        exclude.as_str().as_bytes().contains(symbol) || (no_lookalikes && alphabet::LOOKALIKES.contains(symbol))
    };
    let wanted = [
        (classes.lower, alphabet::LOWER),
        (classes.upper, alphabet::UPPER),
        (classes.digits, alphabet::DIGITS),
        (classes.symbols, alphabet::SYMBOLS),
    ];
    let wanted: Vec<Vec<u8>> = wanted
        .into_iter()
        .filter(|(wanted, _)| *wanted)
        .map(|(_, symbols)| symbols.iter().copied().filter(|symbol| !excluded(symbol)).collect())
        .collect();
    if wanted.is_empty() {
        return Err(Refused::new("a password has at least one class of characters"));
    }
    if wanted.iter().any(Vec::is_empty) {
        return Err(Refused::new("a class of characters is wanted and excluded as a whole"));
    }
    let symbols = wanted.concat();
    let count = usize::from(length.get());
    let bits = alphabet::bits(count, symbols.len());
    if bits < FEWEST_BITS {
        return Err(Refused::new(
            "the password would have less than 40 bits; make it longer, or exclude fewer characters",
        ));
    }
    let mut pool = Pool::new(random);
    for _ in 0..TRIES {
        let mut value = Zeroizing::new(String::with_capacity(count));
        for _ in 0..count {
            value.push(char::from(*pool.one_of(&symbols)?));
        }
        if wanted.iter().all(|class| value.bytes().any(|byte| class.contains(&byte))) {
            return Ok(Generated::symmetric(value, bits));
        }
    }
    Err(Refused::new("so few characters of a class are left that no password was found; exclude fewer"))
}

/// A password of words.
pub(super) fn words(
    count: WordCount,
    separator: &Separator,
    capitals: bool,
    digit: bool,
    random: &mut dyn Random,
) -> Result<Generated, Refused> {
    let count = usize::from(count.get());
    // Eight letters and the separator for each word: the text never moves.
    let mut value = Zeroizing::new(String::with_capacity(count * 12 + 4));
    let mut pool = Pool::new(random);
    for index in 0..count {
        if index > 0 {
            value.push_str(separator.as_str());
        }
        let word = *pool.one_of(alphabet::words())?;
        let (first, rest) = word.split_at_checked(1).unwrap_or((word, ""));
        value.push_str(&if capitals { first.to_ascii_uppercase() } else { first.to_owned() });
        value.push_str(rest);
    }
    if digit {
        value.push_str(separator.as_str());
        value.push(char::from(*pool.one_of(alphabet::DIGITS)?));
    }
    let of_digit = if digit { 3 } else { 0 };
    Ok(Generated::symmetric(value, alphabet::bits(count, alphabet::words().len()) + of_digit))
}

const FEWEST_BITS: u32 = 40;
/// The hardest request that 40 bits allow (three classes with one character each, 8 characters) fails a try 99 times of
/// 100: a failure of all of them does not happen.
const TRIES: usize = 20_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Seeded, made};

    #[test]
    fn password_has_its_length_all_classes_and_nothing_excluded() {
        for seed in 0..200 {
            let text = made(r#"{"form":"password","length":8}"#, seed).value;
            assert_eq!(text.len(), 8);
            let has = |test: fn(&u8) -> bool| text.as_bytes().iter().any(test);
            assert!(has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase));
            assert!(has(u8::is_ascii_digit) && has(u8::is_ascii_punctuation));
            let text = made(
                r#"{"form":"password","length":40,"classes":{"symbols":false},"exclude":"abcABC","no_lookalikes":true}"#,
                seed,
            );
            assert!(text.value.bytes().all(|byte| byte.is_ascii_alphanumeric() && !b"abcABC0O1lI|".contains(&byte)));
        }
    }

    #[test]
    fn request_that_leaves_too_little_is_refused() {
        let refused = |text: &str| {
            let request = serde_json::from_str(text).unwrap();
            crate::generate(&request, &mut Seeded::new(1), 0).err().map(|refused| refused.reason())
        };
        let none = r#"{"form":"password","classes":{"lower":false,"upper":false,"digits":false,"symbols":false}}"#;
        assert!(refused(none).unwrap().contains("at least one class"));
        assert!(refused(r#"{"form":"password","exclude":"0123456789"}"#).unwrap().contains("as a whole"));
        let digits = |length| {
            format!(
                r#"{{"form":"password","length":{length},"classes":{{"lower":false,"upper":false,"symbols":false}}}}"#
            )
        };
        assert!(refused(&digits(12)).unwrap().contains("40 bits"));
        assert_eq!(refused(&digits(13)), None);
        let few = r##"{"form":"password","length":9,"exclude":"abcdefghijklmnopqrstuvwxy12345678!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|"}"##;
        assert_eq!(refused(few), None);
    }

    #[test]
    fn passphrase_is_words_of_the_list() {
        let text = made(r#"{"form":"passphrase","words":5,"separator":" ","capitals":true,"digit":true}"#, 3);
        let parts: Vec<&str> = text.value.split(' ').collect();
        assert_eq!((parts.len(), text.public.bits), (6, Some(58)));
        for word in &parts[..5] {
            assert!(word.starts_with(|c: char| c.is_ascii_uppercase()));
            assert!(alphabet::words().contains(&word.to_ascii_lowercase().as_str()), "{word}");
        }
        assert!(parts[5].len() == 1 && parts[5].bytes().all(|byte| byte.is_ascii_digit()));
        assert_eq!(made(r#"{"form":"passphrase"}"#, 4).value.split('-').count(), 7);
    }
}
