//! Rules for values that are texts.

use crate::Refused;

/// The longest key, token or JWT in bytes. Headers of HTTP take no more.
pub(crate) const MAX_TOKEN_BYTES: usize = 16 << 10;
/// The fewest bytes of a secret that sessions are signed with: 128 bits.
const FEWEST_SESSION_BYTES: usize = 16;

/// The value as text without a byte order mark.
pub(crate) fn utf8(value: &[u8]) -> Result<&str, Refused> {
    if value.starts_with(b"\xff\xfe") || value.starts_with(b"\xfe\xff") {
        return Err(Refused::new("the value is UTF-16; save it as UTF-8"));
    }
    if value.starts_with(b"\xef\xbb\xbf") {
        return Err(Refused::new("the value begins with a byte order mark, which programs trip over; save it without"));
    }
    std::str::from_utf8(value).map_err(|_| Refused::new("the value is not UTF-8"))
}

/// A key or token in one piece of visible characters, as headers and command lines take it.
pub(crate) fn token(value: &[u8]) -> Result<&str, Refused> {
    if value.len() > MAX_TOKEN_BYTES {
        return Err(Refused::new("a key or token has at most 16384 bytes"));
    }
    let text = utf8(value)?;
    if text.is_empty() {
        return Err(Refused::new("the value is empty"));
    }
    if text.ends_with(['\n', '\r']) {
        return Err(Refused::new("the value ends with a line break, which is no part of a key; leave it out"));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Refused::new("a key or token has visible characters of ASCII only, and no spaces"));
    }
    Ok(text)
}

/// A secret that sessions are signed with.
pub(crate) fn session_secret(value: &[u8]) -> Result<(), Refused> {
    if value.ends_with(b"\n") {
        return Err(Refused::new("the value ends with a line break, which is no part of a secret; leave it out"));
    }
    let enough = (FEWEST_SESSION_BYTES..=MAX_TOKEN_BYTES).contains(&value.len());
    if enough { Ok(()) } else { Err(Refused::new("a session secret has 16 to 16384 bytes")) }
}
