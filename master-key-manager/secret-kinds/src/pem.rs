//! PEM: blocks of base64 between two lines, with any text around them (RFC 7468; headers of RFC 1421).
//!
//! Lines may end with CRLF and have any length; tools write both. Text before, between and behind blocks is explanation and
//! stays with the value. A block that does not end, or has a foreign character, is refused with its line.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::{Refused, text};

/// The most blocks of one value.
pub(crate) const MOST_BLOCKS: usize = 16;
/// The longest value with blocks in bytes: 16 certificates of the largest keys and their explanation.
pub(crate) const MAX_PEM_BYTES: usize = 256 << 10;

/// A block.
pub(crate) struct Block<'a> {
    /// What it holds: `CERTIFICATE`.
    pub(crate) label: &'a str,
    /// Whether its headers say that it is encrypted.
    pub(crate) encrypted: bool,
    /// Its bytes.
    pub(crate) der: Zeroizing<Vec<u8>>,
    /// The line that it begins in.
    pub(crate) line: usize,
}

/// Tells whether a value has something that looks like a block.
pub(crate) fn looks_like(value: &[u8]) -> bool {
    value.windows(BEGIN.len()).any(|window| window == BEGIN.as_bytes())
}

/// The blocks of a value, at least one.
pub(crate) fn blocks(value: &[u8]) -> Result<Vec<Block<'_>>, Refused> {
    if value.len() > MAX_PEM_BYTES {
        return Err(Refused::new("keys and certificates have at most 262144 bytes"));
    }
    let text = utf8(value)?;
    let mut lines = text.split('\n').map(|line| line.trim_end_matches(['\r', ' ', '\t'])).zip(1..);
    let mut found = Vec::new();
    while let Some((line, number)) = lines.next() {
        let Some(label) = line.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(DASHES)) else {
            if line.contains(BEGIN) || line.starts_with("-----END ") {
                return Err(Refused::at_line("the line that begins or ends a block of PEM is not in form", number));
            }
            continue;
        };
        if found.len() == MOST_BLOCKS {
            return Err(Refused::at_line("the value has more than 16 blocks of PEM", number));
        }
        found.push(block(label, number, &mut lines)?);
    }
    if found.is_empty() { Err(nothing_found(text)) } else { Ok(found) }
}

/// The text of keys and certificates.
pub(crate) fn utf8(value: &[u8]) -> Result<&str, Refused> {
    text::utf8(value).map_err(|refused| match value {
        // DER begins with a SEQUENCE.
        [0x30, 0x80..=0x82, ..] => Refused::new("the value is binary (DER or PKCS#12); convert it to PEM"),
        _ => refused,
    })
}

fn block<'a>(
    label: &'a str,
    begins: usize,
    lines: &mut impl Iterator<Item = (&'a str, usize)>,
) -> Result<Block<'a>, Refused> {
    let mut encoded = Zeroizing::new(String::new());
    let (mut encrypted, mut in_headers) = (false, false);
    for (line, number) in lines {
        if let Some(end) = line.strip_prefix("-----END ") {
            if end.strip_suffix(DASHES) != Some(label) {
                return Err(Refused::at_line("a block of PEM ends with another name than it began with", number));
            }
            let der = STANDARD.decode(encoded.as_bytes()).map(Zeroizing::new);
            let der = der.map_err(|_| Refused::at_line("a block of PEM is not base64", begins))?;
            return Ok(Block { label, encrypted, der, line: begins });
        }
        if line.contains(':') {
            if !encoded.is_empty() {
                return Err(Refused::at_line("a block of PEM has text inside", number));
            }
            encrypted |= line.starts_with("Proc-Type:") && line.ends_with("ENCRYPTED");
            in_headers = true;
        } else if line.is_empty() {
            in_headers = false;
        } else if in_headers && line.starts_with([' ', '\t']) {
            // A header that goes on in this line.
        } else if line.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')) {
            append(&mut encoded, line);
        } else {
            return Err(Refused::at_line("a block of PEM has a character that is not of base64", number));
        }
    }
    Err(Refused::at_line("a block of PEM does not end", begins))
}

/// Appends without leaving a copy behind when the text moves.
fn append(text: &mut Zeroizing<String>, more: &str) {
    let length = text.len() + more.len();
    if length > text.capacity() {
        let mut larger = Zeroizing::new(String::with_capacity(length.next_power_of_two().max(4096)));
        larger.push_str(text);
        *text = larger;
    }
    text.push_str(more);
}

fn nothing_found(text: &str) -> Refused {
    if text.starts_with("PuTTY-User-Key-File-") {
        Refused::new("this is a key file of PuTTY; convert it with puttygen -O private-openssh")
    } else if text.starts_with("---- BEGIN SSH2") {
        Refused::new("this is a key in the form of RFC 4716; convert it with ssh-keygen -i")
    } else if text.is_empty() {
        Refused::new("the value is empty")
    } else {
        Refused::new("the value has no block of PEM (-----BEGIN …-----)")
    }
}

const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_all_tools_are_read() {
        let text = "Bag Attributes: <none>\nsubject=CN = a\n-----BEGIN A B-----\r\nAAEC\r\nAw==\r\n-----END A B-----\r\n\
                    -----BEGIN C-----  \nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n-----END C-----\nrest";
        let found = blocks(text.as_bytes()).unwrap();
        let facts: Vec<_> = found.iter().map(|block| (block.label, block.der.as_slice(), block.encrypted)).collect();
        assert_eq!(facts, [("A B", &[0, 1, 2, 3][..], false), ("C", &[0, 0, 0][..], true)]);
        assert_eq!((found[0].line, found[1].line), (3, 7));
    }

    #[test]
    fn blocks_out_of_form_are_refused_with_reason_and_line() {
        let whole = "-----BEGIN A-----\nAAAA\n-----END A-----\n";
        for (text, reason, line) in [
            ("-----BEGIN A-----\nAAAA\n".to_owned(), "does not end", Some(1)),
            ("-----BEGIN A-----\nAAAA\n-----END B-----".to_owned(), "another name", Some(3)),
            ("-----BEGIN A-----\nAA*A\n-----END A-----".to_owned(), "character", Some(2)),
            ("-----BEGIN A-----\nAAA\n-----END A-----".to_owned(), "not base64", Some(1)),
            ("-----BEGIN A-----\nAAAA\nkey: x\n-----END A-----".to_owned(), "text inside", Some(3)),
            (format!("x{whole}"), "not in form", Some(1)),
            ("-----END A-----".to_owned(), "not in form", Some(1)),
            (format!("\u{feff}{whole}"), "byte order mark", None),
            (whole.repeat(17), "more than 16", Some(49)),
            ("no key".to_owned(), "no block", None),
            (String::new(), "empty", None),
            ("PuTTY-User-Key-File-3: ssh-ed25519\n".to_owned(), "PuTTY", None),
            ("---- BEGIN SSH2 PUBLIC KEY ----\n".to_owned(), "4716", None),
        ] {
            let refused = blocks(text.as_bytes()).err().unwrap_or_else(|| panic!("{text}"));
            assert!(refused.reason().contains(reason) && refused.line() == line, "{text}: {refused}");
        }
        assert!(blocks(b"\x30\x82\x01\x00\xff").err().unwrap().reason().contains("DER"));
        assert!(blocks(&vec![b'\n'; MAX_PEM_BYTES + 1]).is_err());
        assert!(blocks(whole.repeat(16).as_bytes()).is_ok());
    }
}
