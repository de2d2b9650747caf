//! Base64 and fixed-length bytes: each text that is accepted is the only one for its bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shared_proto::encoding::{Bytes, b64, base64_value, from_b64_exact, from_b64_secret, from_base64_value};
use splitvault_fuzz::planted;

fuzz_target!(|data: &[u8]| {
    assert_eq!(planted::from_b64(&b64(data)).as_deref(), Ok(data));
    assert_eq!(*from_base64_value(&base64_value(data)).unwrap(), data);
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(bytes) = planted::from_b64(text) {
        assert_eq!(b64(&bytes), text);
        assert_eq!(from_b64_exact::<32>(text).is_ok(), bytes.len() == 32);
        assert_eq!(from_b64_secret::<32>(text).is_ok(), bytes.len() == 32);
    }
    if let Ok(bytes) = from_base64_value(text) {
        assert_eq!(*base64_value(&bytes), text);
    }
    if let Ok(bytes) = serde_json::from_slice::<Bytes<12>>(data) {
        let again = serde_json::to_string(&bytes).unwrap();
        assert_eq!(serde_json::from_str::<String>(text).unwrap(), serde_json::from_str::<String>(&again).unwrap());
    }
});
