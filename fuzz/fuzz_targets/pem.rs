//! Key files: what is accepted is a key that works, within the limits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shared_proto::encoding::from_b64_secret;
use shared_proto::identity::IdentityKey;
use shared_proto::jwk::PublicJwk;
use shared_proto::rsa_key::{MAX_BITS, MIN_BITS, RsaPrivate};
use splitvault_fuzz::installation::INSTALLATION;
use splitvault_fuzz::meaning::tells_nothing;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    check(text);
    // Changes (place, new character) to the file of a good key.
    let mut good = INSTALLATION.token_signing_pem.clone().into_bytes();
    for change in data.chunks_exact(3) {
        let at = usize::from(u16::from_be_bytes([change[0], change[1]])) % good.len();
        good[at] = change[2];
    }
    if let Ok(text) = std::str::from_utf8(&good) {
        check(text);
    }
});

fn check(text: &str) {
    match IdentityKey::from_pem(text) {
        Ok(key) => {
            assert_eq!(key.kid(), key.public().thumbprint());
            assert_eq!(key.sign(b"message"), key.sign(b"message"));
        }
        Err(error) => tells_nothing(error.0),
    }
    match RsaPrivate::from_pem(text) {
        Ok(key) => {
            let PublicJwk::Rsa { n, .. } = key.public() else { panic!("not an RSA key") };
            let bits = n.0.len() * 8 - usize::try_from(n.0[0].leading_zeros()).unwrap();
            assert!((MIN_BITS..=MAX_BITS).contains(&bits));
            assert_eq!(key.signing_pair().is_ok(), key.decrypting_key().is_ok());
        }
        Err(error) => tells_nothing(&error.to_string()),
    }
    if let Ok(key) = from_b64_secret::<32>(text.strip_suffix('\n').unwrap_or(text)) {
        assert_eq!(shared_proto::encoding::b64(&*key), text.trim_end_matches('\n'));
    }
}
