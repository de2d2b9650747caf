//! Strings of a JSON text, with their places.

use std::ops::Range;

use serde::de::IgnoredAny;
use shared_proto::Malformed;
use zeroize::Zeroizing;

/// A string of a JSON text that is a value, not the name of a member.
pub(super) struct JsonString {
    /// Its place with its quotes.
    pub(super) place: Range<usize>,
    /// Its meaning.
    pub(super) content: Zeroizing<String>,
}

/// The strings of a text, in their order.
pub(super) fn strings(text: &str) -> Result<Vec<JsonString>, Malformed> {
    const REFUSED: Malformed = Malformed("the value is not JSON");
    serde_json::from_str::<IgnoredAny>(text).map_err(|_| REFUSED)?;
    let mut found = Vec::new();
    let mut at = 0;
    // In JSON a quote outside of a string begins one.
    while let Some(start) = text.get(at..).and_then(|rest| rest.find('"')).map(|offset| at + offset) {
        let end = end_of_string(text, start).ok_or(REFUSED)?;
        at = end;
        let is_name = text.get(end..).is_some_and(|rest| rest.trim_start().starts_with(':'));
        if !is_name {
            let token = text.get(start..end).ok_or(REFUSED)?;
            let content = serde_json::from_str(token).map(Zeroizing::new).map_err(|_| REFUSED)?;
            found.push(JsonString { place: start..end, content });
        }
    }
    Ok(found)
}

/// A text as a JSON string. YAML reads it as the same text, in double quotes.
pub(crate) fn quoted(text: &str) -> Zeroizing<String> {
    // Room for the longest form, so that nothing is moved and left behind.
    let mut out = Zeroizing::new(String::with_capacity(text.len() * 6 + 2));
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // YAML does not take these as they are.
            '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                out.push_str("\\u");
                for shift in [12, 8, 4, 0] {
                    out.push(char::from_digit((u32::from(character) >> shift) & 0xf, 16).unwrap_or('0'));
                }
            }
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

/// The end of the string that begins at `start`, behind its quote.
fn end_of_string(text: &str, start: usize) -> Option<usize> {
    let mut escaped = false;
    for (offset, byte) in text.as_bytes().get(start + 1..)?.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(start + offset + 2),
            _ => {}
        }
    }
    None
}
