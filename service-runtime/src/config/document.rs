//! Parser of configuration files, with errors that do not quote the file.
//!
//! `toml`'s messages repeat the input. Guarantees that an error about a bad file consists of the program's own words:
//! the file's name, a line number, a plain key, and what was expected.

use serde::de::DeserializeOwned;

/// Reads the text of the file called `name`.
///
/// # Errors
/// The sentence for the operator.
pub(super) fn parse<T: DeserializeOwned>(name: &str, text: &str) -> Result<T, String> {
    toml::from_str(text).map_err(|error| explain(name, text, &error))
}

/// The sentence for a TOML error, built from what the program knows and from the place, never from the value.
fn explain(name: &str, text: &str, error: &toml::de::Error) -> String {
    let start = error.span().map_or(0, |span| span.start).min(text.len());
    let before = text.get(..start).unwrap_or_default();
    let line_number = before.matches('\n').count() + 1;
    let line = text.lines().nth(line_number - 1).unwrap_or_default();
    let place = format!("{name} line {line_number}");
    let key = line.split_once('=').map_or("", |(key, _)| key.trim());
    let key = if is_plain_key(key) { full_key(before, key) } else { String::new() };
    let message = error.message();
    if let Some(missing) = message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
        return format!("The configuration file {name} lacks the key `{missing}`; add it.");
    }
    if message.starts_with("unknown field `") {
        return format!("{place}: there is no setting `{key}`; remove it or correct its name.");
    }
    if message.starts_with("duplicate ") {
        return format!("{place}: the key `{key}` is given twice; keep one.");
    }
    let typed = ["invalid type: ", "invalid value: ", "invalid length ", "unknown variant `"];
    if typed.iter().any(|prefix| message.starts_with(prefix)) {
        // What serde expected stands behind the last of these words; before it stands the value.
        let expected = message.rsplit_once(", expected ").map_or("another form", |(_, expected)| expected);
        return format!("{place}: the value of `{key}` does not fit; expected {expected}.");
    }
    format!("{place}: the value or syntax at `{key}` is not accepted; see the documentation of this key.")
}

/// Whether this can be the name of a key, and not a value that lost its key.
fn is_plain_key(key: &str) -> bool {
    !key.is_empty() && key.len() <= 64 && key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn full_key(before: &str, key: &str) -> String {
    let table = before.lines().rev().map(str::trim).find(|line| line.starts_with('['));
    match table.map(|line| line.trim_matches(['[', ']'])) {
        Some(table) if is_plain_key(table) => format!("{table}.{key}"),
        Some(_) | None => key.to_owned(),
    }
}
