//! What a stranger puts into an `Authorization` header: the scheme, and a service credential.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shared_proto::credential::{PlainCredential, bearer_in};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let bearer = bearer_in(text);
    if let Some(credential) = bearer {
        let (scheme, rest) = text.split_at(6);
        assert!(scheme.eq_ignore_ascii_case("bearer"));
        let spaces = rest.strip_suffix(credential).unwrap();
        assert!(!spaces.is_empty() && spaces.bytes().all(|byte| byte == b' '));
        assert!(!credential.is_empty() && credential.bytes().all(|byte| (0x21..0x7f).contains(&byte)));
    }
    for text in bearer.into_iter().chain([text]) {
        if let Ok(credential) = PlainCredential::parse(text) {
            assert_eq!(*credential.expose_text(), text);
        }
    }
    if let Some(key) = data.first_chunk::<32>() {
        // Every key has a text, and a text with any other character is another text.
        let made = text_of(key);
        assert_eq!(PlainCredential::parse(&made).unwrap().expose(), key);
        let at = usize::from(data[0]) % made.len();
        let mut changed = made.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        assert!(PlainCredential::parse(std::str::from_utf8(&changed).unwrap()).is_err());
    }
});

fn text_of(key: &[u8; 32]) -> String {
    let checksum = shared_proto::encoding::sha256(key);
    format!("spv_{}", shared_proto::encoding::b64(&[key.as_slice(), &checksum[..4]].concat()))
}
