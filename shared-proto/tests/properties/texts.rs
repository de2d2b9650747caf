//! Texts that strangers send: one spelling for each meaning.

use proptest::prelude::*;
use shared_proto::credential::PlainCredential;
use shared_proto::encoding::{b64, base64_value, from_b64, from_base64_value};
use shared_proto::id::{SecretId, Version};

proptest! {
    #[test]
    fn base64url_has_one_spelling(bytes: Vec<u8>, text in "[A-Za-z0-9_=+/ \n-]{0,12}") {
        prop_assert_eq!(from_b64(&b64(&bytes)).unwrap(), bytes.clone());
        prop_assert_eq!(from_base64_value(&base64_value(&bytes)).unwrap().to_vec(), bytes);
        if let Ok(bytes) = from_b64(&text) {
            prop_assert_eq!(b64(&bytes), text.clone());
        }
        if let Ok(bytes) = from_base64_value(&text) {
            prop_assert_eq!(base64_value(&bytes).to_string(), text);
        }
    }

    #[test]
    fn every_spelling_but_one_of_the_last_character_is_refused(bytes: Vec<u8>) {
        let text = b64(&bytes);
        let Some(last) = text.chars().last() else { return Ok(()) };
        let start = &text[..text.len() - 1];
        for other in ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['-', '_']).filter(|other| *other != last) {
            let read = from_b64(&format!("{start}{other}"));
            prop_assert!(read.is_err() || read != Ok(bytes.clone()));
        }
    }

    #[test]
    fn an_id_reads_back_and_no_other_text_is_the_same_id(raw: [u8; 16], place in 4..26_usize, other in "[A-Za-z0-9_-]") {
        let id = SecretId::from_bytes(raw);
        let text = id.to_string();
        prop_assert_eq!(text.parse::<SecretId>(), Ok(id));
        let changed = format!("{}{other}{}", &text[..place], &text[place + 1..]);
        prop_assert_eq!(changed.parse::<SecretId>() == Ok(id), changed == text);
    }

    #[test]
    fn a_version_is_a_whole_number_in_range(number: u64, text in "-?[0-9]{1,17}(\\.0|e0)?") {
        prop_assert_eq!(Version::new(number).is_ok(), (1..1 << 53).contains(&number));
        if let Ok(version) = serde_json::from_str::<Version>(&text) {
            prop_assert_eq!(version.to_string(), text);
        }
    }

    #[test]
    fn a_credential_with_any_character_changed_is_no_credential(place in 4..52_usize, other in "[A-Za-z0-9_-]") {
        let text = PlainCredential::generate().expose_text().to_string();
        let changed = format!("{}{other}{}", &text[..place], &text[place + 1..]);
        prop_assert_eq!(PlainCredential::parse(&changed).is_ok(), changed == text);
    }
}
