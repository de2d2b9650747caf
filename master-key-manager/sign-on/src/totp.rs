//! Time-based one-time codes (RFC 6238, RFC 4226): SHA-1, six digits, thirty seconds, the form that every authenticator
//! reads.
//!
//! Guarantees that a code counts once, if the caller stores the step that it is told of. It takes the step before and
//! the one after the present one, too (RFC 6238 section 5.2). Codes and seeds are in no error.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use data_encoding::BASE32_NOPAD;
use shared_proto::Rejected;
use shared_proto::encoding::lp;
use shared_proto::id::PersonId;
use zeroize::Zeroizing;

use crate::key::{Purpose, SignOnKey};

/// The length of a step in seconds.
pub const STEP_SECONDS: u64 = 30;
/// The digits of a code.
pub const DIGITS: u32 = 6;
/// The length of a sealed seed in bytes: nonce, seed, tag.
pub const SEALED_SEED_BYTES: usize = NONCE_BYTES + SEED_BYTES + TAG_BYTES;

/// The number of a time step. The last used one is stored with the seed, in the transaction that lets the person in;
/// that transaction compares it again, so that a code that is sent twice at the same time counts once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Step(pub u64);

impl Step {
    /// The step of a time (Unix seconds).
    pub fn of(now: u64) -> Self {
        Self(now / STEP_SECONDS)
    }
}

/// The reason why a code does not count. Both look the same to the caller; audit lines tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TotpFault {
    /// It is no code of the three steps.
    #[error("the one-time code is wrong")]
    Wrong,
    /// It is a code of a step that was used already, or that is older than such a step.
    #[error("the one-time code was used before")]
    Used,
}

/// The seed that a person's authenticator shares with the manager: 160 random bits (RFC 4226 section 4). It has no
/// `Debug` form.
pub struct Seed(Zeroizing<[u8; SEED_BYTES]>);

impl Seed {
    /// The seed of these random bytes.
    pub fn new(random: Zeroizing<[u8; SEED_BYTES]>) -> Self {
        Self(random)
    }

    /// The seed as an `otpauth` address, for a QR code. It is shown once.
    pub fn expose_uri(&self, issuer: &str, account: &str) -> Zeroizing<String> {
        let (issuer, account) = (percent(issuer), percent(account));
        let secret = self.expose_base32();
        let mut uri = Zeroizing::new(String::with_capacity(128 + 2 * issuer.len() + account.len() + secret.len()));
        let parts: [&str; 9] = [
            "otpauth://totp/",
            &issuer,
            ":",
            &account,
            "?secret=",
            &secret,
            "&issuer=",
            &issuer,
            "&algorithm=SHA1&digits=6&period=30",
        ];
        for part in parts {
            uri.push_str(part);
        }
        uri
    }

    /// The seed in base32, for an authenticator without a camera. It is shown once.
    pub fn expose_base32(&self) -> Zeroizing<String> {
        Zeroizing::new(BASE32_NOPAD.encode(&*self.0))
    }

    /// The step that `code` belongs to. All three steps are always computed and compared.
    ///
    /// # Errors
    /// The code is wrong, or its step is not later than `last_used`.
    pub fn check(&self, code: &str, now: u64, last_used: Option<Step>) -> Result<Step, TotpFault> {
        let code = digits(code);
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &*self.0);
        let Step(present) = Step::of(now);
        let mut found = None;
        for step in [present.checked_sub(1), Some(present), present.checked_add(1)].into_iter().flatten() {
            let right = Zeroizing::new(hotp(&key, step, 10_u32.pow(DIGITS)).to_be_bytes());
            let is_right = verify_slices_are_equal(&*right, &code.unwrap_or(u32::MAX).to_be_bytes()).is_ok();
            // The latest, if two steps have the same code: what is used up then is more.
            found = if is_right { Some(Step(step)) } else { found };
        }
        let step = found.filter(|_| code.is_some()).ok_or(TotpFault::Wrong)?;
        if last_used.is_some_and(|used| step <= used) { Err(TotpFault::Used) } else { Ok(step) }
    }

    /// The seed as it is stored: sealed for its person under the sign-on key (AES-256-GCM with a random nonce).
    ///
    /// # Errors
    /// The cipher fails.
    pub fn seal(
        &self,
        key: &SignOnKey,
        person: PersonId,
        nonce: [u8; NONCE_BYTES],
    ) -> Result<[u8; SEALED_SEED_BYTES], Rejected> {
        let cipher = cipher(key)?;
        let mut seed = Zeroizing::new(*self.0);
        let nonce_used = Nonce::assume_unique_for_key(nonce);
        let tag = cipher
            .seal_in_place_separate_tag(nonce_used, Aad::from(context(person)), seed.as_mut_slice())
            .map_err(|_| Rejected)?;
        let mut out = [0; SEALED_SEED_BYTES];
        for (to, from) in out.iter_mut().zip(nonce.iter().chain(seed.iter()).chain(tag.as_ref())) {
            *to = *from;
        }
        Ok(out)
    }

    /// Opens a sealed seed.
    ///
    /// # Errors
    /// It was not sealed under this key, for this person, or it was altered.
    pub fn open(key: &SignOnKey, person: PersonId, sealed: &[u8]) -> Result<Self, Rejected> {
        if sealed.len() != SEALED_SEED_BYTES {
            return Err(Rejected);
        }
        let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(Rejected)?;
        let mut buffer = Zeroizing::new(ciphertext.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened =
            cipher(key)?.open_in_place(nonce, Aad::from(context(person)), &mut buffer).map_err(|_| Rejected)?;
        let seed: &[u8; SEED_BYTES] = (&*opened).try_into().map_err(|_| Rejected)?;
        Ok(Self(Zeroizing::new(*seed)))
    }
}

/// RFC 4226 section 5.3: the code of a counter, below `modulus`.
fn hotp(key: &hmac::Key, counter: u64, modulus: u32) -> u32 {
    let tag = hmac::sign(key, &counter.to_be_bytes());
    let tag = tag.as_ref();
    let offset = tag.last().map_or(0, |last| usize::from(last & 0x0f));
    let chosen = tag.get(offset..).and_then(|rest| rest.first_chunk::<4>()).copied().unwrap_or_default();
    (u32::from_be_bytes(chosen) & 0x7fff_ffff) % modulus
}

/// The number that six digits stand for. Authenticators show them with a space in the middle.
fn digits(text: &str) -> Option<u32> {
    let mut bytes = text.bytes().filter(|byte| *byte != b' ');
    let mut number = 0_u32;
    for _ in 0..DIGITS {
        let digit = bytes.next().filter(u8::is_ascii_digit)?;
        number = number * 10 + u32::from(digit - b'0');
    }
    bytes.next().is_none().then_some(number)
}

fn cipher(key: &SignOnKey) -> Result<LessSafeKey, Rejected> {
    let key = key.for_purpose(Purpose::Seed);
    UnboundKey::new(&AES_256_GCM, &*key).map(LessSafeKey::new).map_err(|_| Rejected)
}

fn context(person: PersonId) -> Vec<u8> {
    lp(&[b"splitvault/1/sign-on/totp-seed", person.as_bytes()])
}

/// Percent-encodes everything but unreserved characters (RFC 3986 section 2.3).
fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&data_encoding::HEXUPPER.encode(&[byte]));
        }
    }
    out
}

const SEED_BYTES: usize = 20;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use static_assertions::assert_not_impl_any;

    use super::*;

    assert_not_impl_any!(Seed: std::fmt::Debug, std::fmt::Display, Clone, serde::Serialize, PartialEq);

    fn seed() -> Seed {
        Seed::new(Zeroizing::new(*b"12345678901234567890"))
    }

    /// The code of the seed at a time, as an authenticator shows it.
    fn shown(now: u64) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"12345678901234567890");
        format!("{:06}", hotp(&key, now / 30, 1_000_000))
    }

    #[test]
    fn rfc_4226_appendix_d() {
        let codes =
            ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"];
        for (counter, code) in codes.into_iter().enumerate() {
            assert_eq!(shown(30 * u64::try_from(counter).unwrap()), code);
        }
    }

    #[test]
    fn rfc_6238_appendix_b() {
        let long = b"1234567890123456789012345678901234567890123456789012345678901234";
        let algorithms = [
            (
                hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
                20,
                [94_287_082, 7_081_804, 14_050_471, 89_005_924, 69_279_037, 65_353_130],
            ),
            (hmac::HMAC_SHA256, 32, [46_119_246, 68_084_774, 67_062_674, 91_819_424, 90_698_825, 77_737_706]),
            (hmac::HMAC_SHA512, 64, [90_693_936, 25_091_201, 99_943_326, 93_441_116, 38_618_901, 47_863_826]),
        ];
        let times = [59, 1_111_111_109, 1_111_111_111, 1_234_567_890, 2_000_000_000, 20_000_000_000_u64];
        for (algorithm, length, codes) in algorithms {
            let key = hmac::Key::new(algorithm, &long[..length]);
            for (time, code) in times.into_iter().zip(codes) {
                assert_eq!(hotp(&key, time / STEP_SECONDS, 100_000_000), code, "{time}");
            }
        }
    }

    #[test]
    fn code_of_the_neighbouring_step_counts_and_of_the_next_but_one_does_not() {
        let now = 1_111_111_111_u64;
        for (offset, counts) in [(-60_i64, false), (-30, true), (0, true), (30, true), (60, false)] {
            let at = now.checked_add_signed(offset).unwrap();
            let expected = if counts { Ok(Step::of(at)) } else { Err(TotpFault::Wrong) };
            assert_eq!(seed().check(&shown(at), now, None), expected, "{offset}");
        }
    }

    #[test]
    fn used_code_does_not_count_again_and_neither_does_an_older_one() {
        let now = 1_111_111_111;
        let used = seed().check(&shown(now), now, None).unwrap();
        assert_eq!(seed().check(&shown(now), now, Some(used)), Err(TotpFault::Used));
        assert_eq!(seed().check(&shown(now - 30), now, Some(used)), Err(TotpFault::Used));
        assert_eq!(seed().check(&shown(now + 30), now, Some(used)), Ok(Step(used.0 + 1)));
    }

    #[test]
    fn text_that_is_no_code_is_wrong() {
        let now = 59;
        let code = shown(now);
        assert!(seed().check(&format!("{} {}", &code[..3], &code[3..]), now, None).is_ok());
        for text in ["", "28708", "2870822", "28708a", "-28708", "２８７０８２", "4294967295"] {
            assert_eq!(seed().check(text, now, None), Err(TotpFault::Wrong), "{text}");
        }
        assert!(seed().check(&shown(0), 0, None).is_ok());
    }

    #[test]
    fn address_is_what_authenticators_read() {
        let uri = seed().expose_uri("Splitvault (prod)", "ann@example.com");
        assert_eq!(
            *uri,
            "otpauth://totp/Splitvault%20%28prod%29:ann%40example.com?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\
             &issuer=Splitvault%20%28prod%29&algorithm=SHA1&digits=6&period=30"
        );
    }

    #[test]
    fn sealed_seed_opens_for_its_person_under_its_key_only() {
        let (key, person) = (SignOnKey::new(&[1; 32]), PersonId::from_bytes([1; 16]));
        let sealed = seed().seal(&key, person, [5; 12]).unwrap();
        assert_eq!(*Seed::open(&key, person, &sealed).unwrap().0, *seed().0);
        assert!(Seed::open(&key, PersonId::from_bytes([2; 16]), &sealed).is_err());
        assert!(Seed::open(&SignOnKey::new(&[2; 32]), person, &sealed).is_err());
        for at in 0..sealed.len() {
            let mut altered = sealed;
            altered[at] ^= 1;
            assert!(Seed::open(&key, person, &altered).is_err(), "{at}");
        }
        assert!(Seed::open(&key, person, &sealed[..47]).is_err() && Seed::open(&key, person, &[]).is_err());
        assert!(!sealed.windows(4).any(|four| four == b"1234"));
    }

    proptest! {
        #[test]
        fn no_code_panics(text: String, now: u64, last: Option<u64>) {
            let _ = seed().check(&text, now, last.map(Step));
        }
    }
}
