//! Names that people choose: one parser for each, with its limits beside it.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use shared_proto::{Malformed, id::SecretId};
use unicode_normalization::is_nfc;

/// The longest path in bytes.
pub const MAX_PATH_BYTES: usize = 512;
/// The longest environment name in bytes (a DNS label).
pub const MAX_ENVIRONMENT_BYTES: usize = 63;
/// The longest name of a service, an account or a group in bytes.
pub const MAX_ACCOUNT_BYTES: usize = 63;
/// The longest description in bytes.
pub const MAX_DESCRIPTION_BYTES: usize = 512;
/// The longest display name in bytes.
pub const MAX_DISPLAY_NAME_BYTES: usize = 128;
/// The longest e-mail address in bytes (RFC 5321 section 4.5.3.1).
pub const MAX_EMAIL_BYTES: usize = 254;
/// The longest `user_id` label in bytes.
pub const MAX_LABEL_BYTES: usize = 256;
/// The longest key of a tag in bytes.
pub const MAX_TAG_KEY_BYTES: usize = 128;
/// The longest value of a tag in bytes.
pub const MAX_TAG_VALUE_BYTES: usize = 512;
/// The longest reason of a change in bytes.
pub const MAX_REASON_BYTES: usize = 512;
/// The longest note of a version in characters.
pub const MAX_NOTE_CHARACTERS: usize = 256;
/// The longest `Idempotency-Key` in bytes.
pub const MAX_IDEMPOTENCY_KEY_BYTES: usize = 128;

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $check:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Parses a name and checks its rules.
            pub fn parse(text: impl Into<String>) -> Result<Self, Malformed> {
                let text = text.into();
                $check(&text)?;
                Ok(Self(text))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::parse(String::deserialize(deserializer)?).map_err(Malformed::into_name_error)
            }
        }
    };
}

name_type! {
    /// The name of a secret in its environment: segments joined by `/`.
    SecretPath, check_path
}
name_type! {
    /// The name of an environment: `dev`, `staging`, `production`.
    EnvironmentName, check_environment
}
name_type! {
    /// A name for people, in any language. It is never an identity.
    DisplayName, check_display_name
}
name_type! {
    /// The name of a service, a person's account or a group: `billing-api`. It is unique in its kind.
    AccountName, check_account
}
name_type! {
    /// A description for people, in any language.
    Description, check_description
}
name_type! {
    /// An e-mail address. It is never an identity, and nothing is sent to it.
    EmailAddress, check_email
}
name_type! {
    /// A label that a submitter chooses (`user_id`). It is never an identity.
    UserLabel, check_label
}
name_type! {
    /// The key of a tag: `team`.
    TagKey, check_tag_key
}
name_type! {
    /// The value of a tag: `payments`.
    TagValue, check_tag_value
}
name_type! {
    /// A reason that somebody gives for a change, in any language.
    Reason, check_reason
}
name_type! {
    /// A note that somebody adds to a version, in any language.
    Note, check_note
}
name_type! {
    /// A submitter's name for one request (`Idempotency-Key`), by which a repeat is recognized.
    IdempotencyKey, check_idempotency_key
}

impl SecretPath {
    /// The path of a secret that was submitted without a path.
    pub fn unnamed(secret: SecretId) -> Self {
        Self(format!("{UNNAMED}/{secret}"))
    }

    /// The folder of such secrets.
    pub fn unnamed_folder() -> Self {
        Self(UNNAMED.to_owned())
    }

    /// The path of a secret that is destroyed. It gives the path that it had to others.
    pub fn destroyed(secret: SecretId) -> Self {
        Self(format!("{DESTROYED}/{secret}"))
    }

    /// The path that dots stand for: `a/b/c` for `a.b.c`. `None` if it has a slash, has no dot, or dots are part of a name.
    pub fn from_dots(&self) -> Option<Self> {
        let dotted = self.0.contains('.') && !self.0.contains('/');
        dotted.then(|| self.0.replace('.', "/")).and_then(|text| Self::parse(text).ok())
    }

    /// The path of which this one is the reading: `a.b.c` for `a/b/c`. `None` if it has no slash, or has a dot.
    pub fn to_dots(&self) -> Option<Self> {
        let slashed = self.0.contains('/') && !self.0.contains('.');
        slashed.then(|| self.0.replace('/', ".")).and_then(|text| Self::parse(text).ok())
    }

    /// Tells whether the path lies in a folder whose paths the service gives: of unnamed submissions, and of destroyed secrets.
    pub fn is_reserved(&self) -> bool {
        let folder = self.0.split('/').next();
        // Also by its other reading, which would keep the service from giving the path.
        folder == Some(UNNAMED) || folder == Some(DESTROYED) || self.from_dots().is_some_and(|path| path.is_reserved())
    }
}

impl std::str::FromStr for EnvironmentName {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        Self::parse(text)
    }
}

impl DisplayName {
    /// The display name of an environment that was given none.
    pub fn of(name: &EnvironmentName) -> Self {
        Self(name.0.clone())
    }

    /// The display name of an account that was given none.
    pub fn of_account(name: &AccountName) -> Self {
        Self(name.0.clone())
    }
}

fn check_path(text: &str) -> Result<(), Malformed> {
    if text.is_empty() || text.len() > MAX_PATH_BYTES {
        return Err(Malformed("a path has 1 to 512 bytes"));
    }
    if text.chars().any(|c| c.is_control() || c == '\\') {
        return Err(Malformed("a path has no control character and no backslash"));
    }
    if !is_nfc(text) {
        return Err(Malformed("a path is in Unicode normalization form C"));
    }
    if text.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
        return Err(Malformed("a path has no empty, . or .. segment"));
    }
    Ok(())
}

fn check_environment(text: &str) -> Result<(), Malformed> {
    let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    if text.len() > MAX_ENVIRONMENT_BYTES || !text.bytes().all(allowed) || text.is_empty() || text.starts_with('-') {
        return Err(Malformed("an environment name has 1 to 63 of a-z, 0-9 and -, and does not begin with -"));
    }
    Ok(())
}

fn check_account(text: &str) -> Result<(), Malformed> {
    let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'-' | b'_' | b'.');
    let begins = text.bytes().next().is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    if text.len() > MAX_ACCOUNT_BYTES || !begins || !text.bytes().all(allowed) {
        return Err(Malformed("a name has 1 to 63 of a-z, 0-9, -, _ and ., and begins with a letter or digit"));
    }
    Ok(())
}

fn check_email(text: &str) -> Result<(), Malformed> {
    const REFUSED: Malformed =
        Malformed("an email has 1 to 254 visible ASCII characters, one @, and a domain of a-z, A-Z, 0-9, - and .");
    let (local, domain) = text.split_once('@').ok_or(REFUSED)?;
    let visible = |c: u8| c.is_ascii_graphic() && !matches!(c, b'@' | b'<' | b'>' | b'"' | b',' | b';' | b':' | b'\\');
    let in_domain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.');
    let has_parts = domain.split('.').all(|part| !part.is_empty() && !part.starts_with('-') && !part.ends_with('-'));
    let good = text.len() <= MAX_EMAIL_BYTES
        && (1..=64).contains(&local.len())
        && local.bytes().all(visible)
        && domain.bytes().all(in_domain)
        && has_parts;
    if good { Ok(()) } else { Err(REFUSED) }
}

fn check_label(text: &str) -> Result<(), Malformed> {
    if text.is_empty() || text.len() > MAX_LABEL_BYTES || text.chars().any(char::is_control) {
        return Err(Malformed("a user_id has 1 to 256 bytes and no control character"));
    }
    if !is_nfc(text) {
        return Err(Malformed("a user_id is in Unicode normalization form C"));
    }
    if text.starts_with(' ') || text.ends_with(' ') || text.chars().any(|c| is_invisible(c) && c != ' ') {
        return Err(Malformed("a user_id has no space at its ends, and no other white or invisible character"));
    }
    Ok(())
}

fn check_display_name(text: &str) -> Result<(), Malformed> {
    if text.is_empty() || text.len() > MAX_DISPLAY_NAME_BYTES || text.chars().any(char::is_control) {
        return Err(Malformed("a display_name has 1 to 128 bytes and no control character"));
    }
    if !is_nfc(text) {
        return Err(Malformed("a display_name is in Unicode normalization form C"));
    }
    if text.starts_with(' ') || text.ends_with(' ') || text.chars().any(|c| is_invisible(c) && c != ' ') {
        return Err(Malformed("a display_name has no space at its ends, and no other white or invisible character"));
    }
    Ok(())
}

fn check_description(text: &str) -> Result<(), Malformed> {
    let [length, spelling] = [
        Malformed("a description has 1 to 512 bytes and no control character"),
        Malformed("a description is in normalization form C, without spaces at its ends or invisible characters"),
    ];
    check_words(text, MAX_DESCRIPTION_BYTES, length, spelling)
}

fn check_note(text: &str) -> Result<(), Malformed> {
    let [length, spelling] = [
        Malformed("a note has 1 to 256 characters and no control character"),
        Malformed("a note is in normalization form C, without spaces at its ends or invisible characters"),
    ];
    if text.chars().count() > MAX_NOTE_CHARACTERS {
        return Err(length);
    }
    check_words(text, MAX_NOTE_CHARACTERS * 4, length, spelling)
}

fn check_tag_key(text: &str) -> Result<(), Malformed> {
    let [length, spelling] = [
        Malformed("a key of a tag has 1 to 128 bytes and no control character"),
        Malformed("a key of a tag is in normalization form C, without spaces at its ends or invisible characters"),
    ];
    check_words(text, MAX_TAG_KEY_BYTES, length, spelling)
}

fn check_tag_value(text: &str) -> Result<(), Malformed> {
    let [length, spelling] = [
        Malformed("a value of a tag has 1 to 512 bytes and no control character"),
        Malformed("a value of a tag is in normalization form C, without spaces at its ends or invisible characters"),
    ];
    check_words(text, MAX_TAG_VALUE_BYTES, length, spelling)
}

fn check_reason(text: &str) -> Result<(), Malformed> {
    let [length, spelling] = [
        Malformed("a reason has 1 to 512 bytes and no control character"),
        Malformed("a reason is in normalization form C, without spaces at its ends or invisible characters"),
    ];
    check_words(text, MAX_REASON_BYTES, length, spelling)
}

/// Two texts that look alike are not both accepted.
fn check_words(text: &str, most: usize, length: Malformed, spelling: Malformed) -> Result<(), Malformed> {
    if text.is_empty() || text.len() > most || text.chars().any(char::is_control) {
        return Err(length);
    }
    let hidden = |c| is_invisible(c) && c != ' ';
    if !is_nfc(text) || text.starts_with(' ') || text.ends_with(' ') || text.chars().any(hidden) {
        return Err(spelling);
    }
    Ok(())
}

/// Whether a character is white space or invisible: a name with it looks like another name.
fn is_invisible(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn check_idempotency_key(text: &str) -> Result<(), Malformed> {
    let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    if !(1..=MAX_IDEMPOTENCY_KEY_BYTES).contains(&text.len()) || !visible {
        return Err(Malformed("an Idempotency-Key has 1 to 128 visible ASCII characters"));
    }
    Ok(())
}

shared_proto::schema::described!(SecretPath, shared_proto::schema::name(MAX_PATH_BYTES));
shared_proto::schema::described!(UserLabel, shared_proto::schema::name(MAX_LABEL_BYTES));
shared_proto::schema::described!(DisplayName, shared_proto::schema::name(MAX_DISPLAY_NAME_BYTES));
#[cfg(feature = "openapi")]
shared_proto::schema::described!(EmailAddress, shared_proto::schema::name(MAX_EMAIL_BYTES));
shared_proto::schema::described!(AccountName, shared_proto::schema::text("^[a-z0-9][a-z0-9_.-]{0,62}$"));
shared_proto::schema::described!(Description, shared_proto::schema::name(MAX_DESCRIPTION_BYTES));
shared_proto::schema::described!(TagKey, shared_proto::schema::name(MAX_TAG_KEY_BYTES));
shared_proto::schema::described!(TagValue, shared_proto::schema::name(MAX_TAG_VALUE_BYTES));
shared_proto::schema::described!(Note, shared_proto::schema::name(MAX_NOTE_CHARACTERS));
shared_proto::schema::described!(Reason, shared_proto::schema::name(MAX_REASON_BYTES));
shared_proto::schema::described!(IdempotencyKey, shared_proto::schema::text("^[!-~]{1,128}$"));
shared_proto::schema::described!(EnvironmentName, shared_proto::schema::text("^[a-z0-9][a-z0-9-]{0,62}$"));

const UNNAMED: &str = "unnamed";
const DESTROYED: &str = "destroyed";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_could_be_read_in_two_ways_are_refused() {
        for good in ["a", "db/primary/password", "ünïcode/é", "a b", "...", "%2e%2e", "a/.b"] {
            assert!(SecretPath::parse(good).is_ok(), "{good:?}");
        }
        let long = "a".repeat(513);
        for bad in
            ["", "/", "/a", "a/", "a//b", ".", "a/../b", "a/./b", "a\0b", "a\nb", "a\u{85}b", "a\\b", "e\u{301}", &long]
        {
            assert!(SecretPath::parse(bad).is_err(), "{bad:?}");
        }
        assert!(SecretPath::parse("a".repeat(512)).is_ok());
    }

    #[test]
    fn environments_and_labels_keep_their_limits() {
        for bad in ["", "-a", "A", "a_b", "a.b", &"a".repeat(64)] {
            assert!(EnvironmentName::parse(bad).is_err(), "{bad:?}");
        }
        assert!(EnvironmentName::parse("a".repeat(63)).is_ok());
        let twins = [
            " a",
            "a ",
            "\u{a0}a",
            "a\u{3000}b",
            "e\u{301}",
            "\u{212b}",
            "a\u{200b}",
            "a\u{200d}b",
            "\u{202e}a",
            "a\u{feff}",
            "a\u{ad}b",
            "\u{2028}",
        ];
        for bad in ["", " ", "a\tb", &"a".repeat(257)].into_iter().chain(twins) {
            assert!(UserLabel::parse(bad).is_err(), "{bad:?}");
            assert!(DisplayName::parse(bad).is_err(), "{bad:?}");
            assert!(TagKey::parse(bad).is_err(), "{bad:?}");
        }
        for bad in twins {
            assert!(TagValue::parse(bad).is_err() && Reason::parse(bad).is_err(), "{bad:?}");
        }
        for (most, parses) in [
            (MAX_TAG_KEY_BYTES, (|text| TagKey::parse(text).is_ok()) as fn(String) -> bool),
            (MAX_TAG_VALUE_BYTES, |text| TagValue::parse(text).is_ok()),
            (MAX_REASON_BYTES, |text| Reason::parse(text).is_ok()),
        ] {
            assert!(parses("a".repeat(most)) && !parses("a".repeat(most + 1)) && !parses(String::new()));
        }
        assert!(DisplayName::parse("a".repeat(129)).is_err() && DisplayName::parse("a".repeat(128)).is_ok());
        for good in ["user123", "User123", "Zoë van der Berg", "a@example.org", "日本語", &"a".repeat(256)] {
            assert!(UserLabel::parse(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn names_of_services_accounts_and_groups_are_plain() {
        for good in ["billing-api", "a", "0", "a.b_c-d", &"a".repeat(63)] {
            assert!(AccountName::parse(good).is_ok(), "{good:?}");
        }
        for bad in ["", "-a", ".a", "_a", "A", "a b", "ä", "a/b", "a@b", &"a".repeat(64)] {
            assert!(AccountName::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Description::parse("Pays invoices").is_ok() && Description::parse(" x").is_err());
    }

    #[test]
    fn email_addresses_have_one_at_sign_and_a_domain() {
        for good in ["ann@example.com", "a.b+c@x", "o'neill@a-b.example", &format!("a@{}", "b".repeat(252))] {
            assert!(EmailAddress::parse(good).is_ok(), "{good:?}");
        }
        let (long, local) = (format!("a@{}", "b".repeat(253)), format!("{}@b", "a".repeat(65)));
        for bad in
            ["", "a", "@b", "a@", "a@b@c", "a b@c", "a@b..c", "a@-b", "a@b.", "ä@b", "a@ä", "<a>@b", &long, &local]
        {
            assert!(EmailAddress::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn idempotency_keys_are_visible_ascii_of_bounded_length() {
        assert!(IdempotencyKey::parse("a").is_ok() && IdempotencyKey::parse("x".repeat(128)).is_ok());
        for wrong in ["", "a b", "a\n", "é", &"x".repeat(129)] {
            assert!(IdempotencyKey::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
