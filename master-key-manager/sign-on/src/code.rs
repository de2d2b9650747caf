//! Opaque codes: sessions, enrolment codes and device codes.
//!
//! They are made and stored as service credentials are (`shared_proto::credential`): random bytes with a prefix and a
//! checksum in their text form, and a keyed hash in the database. The checksum tells a typing error from a wrong code
//! before any lookup, and protects nothing.

use aws_lc_rs::hmac;
use data_encoding::BASE32_NOPAD;
use shared_proto::encoding::{b64, from_b64_secret, lp, sha256};
use shared_proto::id::PersonId;
use zeroize::Zeroizing;

use crate::key::{Purpose, SignOnKey, keyed_hash, same};

/// The prefix of session codes.
pub const SESSION_PREFIX: &str = "sps_";
/// The prefix of device codes.
pub const DEVICE_PREFIX: &str = "spd_";
/// The prefix of enrolment codes.
pub const ENROLMENT_PREFIX: &str = "spe_";

/// The reason why a text is no code. It never repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// Another kind of code, or no code.
    #[error("it does not begin with {0}")]
    Prefix(&'static str),
    /// A character that no code has.
    #[error("it has a character that no code has; codes have the letters A to Z and the digits 2 to 7")]
    Character,
    /// Too short or too long, after spaces and hyphens were dropped.
    #[error("it has {found} characters instead of {expected}; it is cut off or was typed twice")]
    Length {
        /// Characters of a code, without prefix and hyphens.
        expected: usize,
        /// Characters of the text.
        found: usize,
    },
    /// The checksum does not fit.
    #[error("there is a typing error in it")]
    Checksum,
}

/// The code of a person's session: 256 random bits. It has no `Debug` form.
pub struct SessionCode(Zeroizing<[u8; 32]>);

impl SessionCode {
    /// The session code of these random bytes.
    pub fn new(random: Zeroizing<[u8; 32]>) -> Self {
        Self(random)
    }

    /// Reads the text form. Browsers and programs send it, nobody types it: there is one error.
    ///
    /// # Errors
    /// It is not the text of a session code.
    pub fn parse(text: &str) -> Result<Self, CodeError> {
        let body = text.strip_prefix(SESSION_PREFIX).ok_or(CodeError::Prefix(SESSION_PREFIX))?;
        let bytes = from_b64_secret::<36>(body).map_err(|_| CodeError::Checksum)?;
        checked(&*bytes).map(Self)
    }

    /// The text form. It is shown once, when the session begins.
    pub fn expose_text(&self) -> Zeroizing<String> {
        let bytes: Zeroizing<[u8; 36]> = with_checksum(&self.0);
        Zeroizing::new(format!("{SESSION_PREFIX}{}", *Zeroizing::new(b64(&*bytes))))
    }
}

/// A one-time code that makes a credential or a first login: 128 random bits. It has no `Debug` form.
///
/// Its text form is eight groups of four letters or digits, such as `spe_ABCD-EFGH-…`. Case, spaces and missing hyphens
/// do not matter, and 0 and 8 are read as O and B, which they are mistaken for.
pub struct EnrolmentCode(Zeroizing<[u8; 16]>);

impl EnrolmentCode {
    /// The enrolment code of these random bytes.
    pub fn new(random: Zeroizing<[u8; 16]>) -> Self {
        Self(random)
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// It is not the text of an enrolment code; the error says what to look for.
    pub fn parse(text: &str) -> Result<Self, CodeError> {
        let text = text.trim_matches(' ');
        let body = text
            .split_at_checked(ENROLMENT_PREFIX.len())
            .and_then(|(prefix, body)| prefix.eq_ignore_ascii_case(ENROLMENT_PREFIX).then_some(body))
            .ok_or(CodeError::Prefix(ENROLMENT_PREFIX))?;
        typed::<16, 20, 32>(body).map(Self)
    }

    /// The text form. It is shown once, when the code is made.
    pub fn expose_text(&self) -> Zeroizing<String> {
        let bytes: Zeroizing<[u8; 20]> = with_checksum(&self.0);
        let mut text = Zeroizing::new(String::with_capacity(48));
        text.push_str(ENROLMENT_PREFIX);
        push_groups(&mut text, &*bytes, 4);
        text
    }
}

/// Makes the stored forms of session and enrolment codes, and makes and checks device codes. It has no `Debug` form.
pub struct CodeHasher {
    sessions: hmac::Key,
    enrolments: hmac::Key,
    devices: hmac::Key,
}

impl CodeHasher {
    /// A hasher under this key.
    pub fn new(key: &SignOnKey) -> Self {
        let of = |purpose| hmac::Key::new(hmac::HMAC_SHA256, &*key.for_purpose(purpose));
        Self { sessions: of(Purpose::Session), enrolments: of(Purpose::Enrolment), devices: of(Purpose::Device) }
    }

    /// The stored form of a session code.
    pub fn session(&self, code: &SessionCode) -> [u8; 32] {
        *keyed_hash(&self.sessions, &*code.0)
    }

    /// The stored form of an enrolment code.
    pub fn enrolment(&self, code: &EnrolmentCode) -> [u8; 32] {
        *keyed_hash(&self.enrolments, &*code.0)
    }

    /// The code that a device keeps after its person has signed on there. It lets nobody in: with it, failures of
    /// others do not slow the person down ([`crate::guesses`]). Nothing is stored; another password, which has another time,
    /// ends it, and so does a new sign-on key.
    pub fn device(&self, (person, password_changed_at): (PersonId, u64), random: [u8; 16]) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([0; 48]);
        let (device, tag) = bytes.split_at_mut(16);
        device.copy_from_slice(&random);
        tag.copy_from_slice(&*self.device_tag((person, password_changed_at), &random));
        Zeroizing::new(format!("{DEVICE_PREFIX}{}", *Zeroizing::new(b64(&*bytes))))
    }

    /// The device that a code was made for, if it was made for this person with this password.
    pub fn known_device(&self, owner: (PersonId, u64), text: &str) -> Option<[u8; 16]> {
        let bytes = from_b64_secret::<48>(text.strip_prefix(DEVICE_PREFIX)?).ok()?;
        let (device, tag) = bytes.split_first_chunk::<16>()?;
        same(tag.first_chunk()?, &self.device_tag(owner, device)).then_some(*device)
    }

    fn device_tag(&self, (person, password_changed_at): (PersonId, u64), device: &[u8; 16]) -> Zeroizing<[u8; 32]> {
        keyed_hash(&self.devices, &lp(&[person.as_bytes(), &password_changed_at.to_be_bytes(), device]))
    }
}

/// `random`, and as many bytes of its SHA-256 as fill the rest.
pub(crate) fn with_checksum<const N: usize, const M: usize>(random: &[u8; N]) -> Zeroizing<[u8; M]> {
    let mut out = Zeroizing::new([0; M]);
    let digest = Zeroizing::new(sha256(random));
    for (to, from) in out.iter_mut().zip(random.iter().chain(digest.iter())) {
        *to = *from;
    }
    out
}

/// Reads what people type: `N` random bytes and a checksum, `M` bytes in all, as `C` characters of base32.
pub(crate) fn typed<const N: usize, const M: usize, const C: usize>(
    text: &str,
) -> Result<Zeroizing<[u8; N]>, CodeError> {
    let mut characters = Zeroizing::new([0_u8; C]);
    let mut found = 0_usize;
    for byte in text.bytes().filter(|byte| !matches!(byte, b' ' | b'-')) {
        let read = match byte.to_ascii_uppercase() {
            b'0' => b'O',
            b'8' => b'B',
            other if other.is_ascii_uppercase() || matches!(other, b'2'..=b'7') => other,
            _ => return Err(CodeError::Character),
        };
        if let Some(place) = characters.get_mut(found) {
            *place = read;
        }
        found += 1;
    }
    if found != C {
        return Err(CodeError::Length { expected: C, found });
    }
    let mut bytes = Zeroizing::new([0; M]);
    // Unused bits that are set are a typing error, too.
    let decoded = BASE32_NOPAD.decode_mut(&*characters, &mut *bytes).map_err(|_| CodeError::Checksum)?;
    if decoded == M { checked(&*bytes) } else { Err(CodeError::Checksum) }
}

/// Adds bytes to a text as base32 in groups. The text has room for them, so that no copy is left behind.
pub(crate) fn push_groups(text: &mut String, bytes: &[u8], group: usize) {
    let characters = Zeroizing::new(BASE32_NOPAD.encode(bytes));
    for (at, character) in characters.chars().enumerate() {
        if at > 0 && at % group == 0 {
            text.push('-');
        }
        text.push(character);
    }
}

/// The random bytes in front of a checksum that fits.
fn checked<const N: usize>(bytes: &[u8]) -> Result<Zeroizing<[u8; N]>, CodeError> {
    let (random, checksum) = bytes.split_first_chunk::<N>().ok_or(CodeError::Checksum)?;
    if sha256(random).starts_with(checksum) { Ok(Zeroizing::new(*random)) } else { Err(CodeError::Checksum) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use static_assertions::assert_not_impl_any;

    use super::*;

    assert_not_impl_any!(SessionCode: std::fmt::Debug, std::fmt::Display, Clone, serde::Serialize, PartialEq);
    assert_not_impl_any!(EnrolmentCode: std::fmt::Debug, std::fmt::Display, Clone, serde::Serialize, PartialEq);

    fn enrolment(byte: u8) -> EnrolmentCode {
        EnrolmentCode::new(Zeroizing::new([byte; 16]))
    }

    #[test]
    fn enrolment_code_reads_back_however_it_is_typed() {
        let text = enrolment(7).expose_text();
        assert_eq!(text.len(), 4 + 32 + 7);
        let variants = [
            text.to_string(),
            text.to_lowercase(),
            text.replace('-', ""),
            format!("  {} ", text.replace('-', " ")),
            text.replace('O', "0").replace('B', "8"),
        ];
        for typed in variants {
            assert!(EnrolmentCode::parse(&typed).is_ok_and(|code| code.0 == enrolment(7).0), "{typed}");
        }
    }

    #[test]
    fn error_says_what_is_wrong_with_a_typed_code() {
        let text = enrolment(7).expose_text();
        let error = |text: &str| EnrolmentCode::parse(text).err();
        assert_eq!(error("ABCD"), Some(CodeError::Prefix("spe_")));
        assert_eq!(error("äöü"), Some(CodeError::Prefix("spe_")));
        assert_eq!(error(""), Some(CodeError::Prefix("spe_")));
        assert_eq!(error("spe_AB.D"), Some(CodeError::Character));
        assert_eq!(error("spe_1111"), Some(CodeError::Character));
        assert_eq!(error(&text[..text.len() - 1]), Some(CodeError::Length { expected: 32, found: 31 }));
        assert_eq!(error(&format!("{}A", *text)), Some(CodeError::Length { expected: 32, found: 33 }));
    }

    #[test]
    fn every_wrong_character_and_every_swap_of_neighbours_is_a_typing_error() {
        let text = EnrolmentCode::new(Zeroizing::new(*b"0123456789abcdef")).expose_text().replace('-', "");
        let (mut wrong, mut swapped) = (0, 0);
        for at in ENROLMENT_PREFIX.len()..text.len() {
            let other = if &text[at..=at] == "A" { "C" } else { "A" };
            let typed = format!("{}{other}{}", &text[..at], &text[at + 1..]);
            assert_eq!(EnrolmentCode::parse(&typed).err(), Some(CodeError::Checksum), "{at}");
            wrong += 1;
            if at + 1 < text.len() && text[at..=at] != text[at + 1..at + 2] {
                let typed = format!("{}{}{}{}", &text[..at], &text[at + 1..at + 2], &text[at..=at], &text[at + 2..]);
                assert_eq!(EnrolmentCode::parse(&typed).err(), Some(CodeError::Checksum), "{at}");
                swapped += 1;
            }
        }
        assert!(wrong == 32 && swapped > 20, "{wrong} {swapped}");
    }

    #[test]
    fn stored_form_of_one_kind_is_not_that_of_another() {
        let hasher = CodeHasher::new(&SignOnKey::new(&[9; 32]));
        let other = CodeHasher::new(&SignOnKey::new(&[8; 32]));
        let session = SessionCode::new(Zeroizing::new([1; 32]));
        assert_eq!(hasher.session(&session), hasher.session(&SessionCode::parse(&session.expose_text()).unwrap()));
        assert_ne!(hasher.session(&session), other.session(&session));
        // The same bytes under the key of the other kind.
        let raw = keyed_hash(&hasher.enrolments, &[1; 32]);
        assert_ne!(hasher.session(&session), *raw);
        assert_ne!(hasher.enrolment(&enrolment(1)), hasher.enrolment(&enrolment(2)));
    }

    #[test]
    fn session_code_of_another_kind_is_refused() {
        let text = SessionCode::new(Zeroizing::new([3; 32])).expose_text();
        assert_eq!(SessionCode::parse(&text.replace("sps_", "spv_")).err(), Some(CodeError::Prefix("sps_")));
        assert_eq!(SessionCode::parse(&text.to_uppercase()).err(), Some(CodeError::Prefix("sps_")));
        let changed = if text.ends_with('A') { "B" } else { "A" };
        assert_eq!(
            SessionCode::parse(&format!("{}{changed}", &text[..text.len() - 1])).err(),
            Some(CodeError::Checksum)
        );
        assert!(shared_proto::credential::PlainCredential::parse(&text).is_err());
    }

    #[test]
    fn device_code_counts_for_its_person_only_and_cannot_be_made_up() {
        let hasher = CodeHasher::new(&SignOnKey::new(&[9; 32]));
        let [ann, bob] = [1, 2].map(|byte| PersonId::from_bytes([byte; 16]));
        let text = hasher.device((ann, 7), [5; 16]);
        assert_eq!(hasher.known_device((ann, 7), &text), Some([5; 16]));
        assert_eq!(hasher.known_device((bob, 7), &text), None);
        assert_eq!(hasher.known_device((ann, 8), &text), None, "another password");
        assert_eq!(CodeHasher::new(&SignOnKey::new(&[8; 32])).known_device((ann, 7), &text), None);
        assert_eq!(hasher.known_device((ann, 7), &format!("spd_{}", b64(&[5; 48]))), None);
        for wrong in ["", "spd_", "spd_AAAA", &text[4..], &text.replace("spd_", "sps_")] {
            assert_eq!(hasher.known_device((ann, 7), wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn every_code_reads_back(random: [u8; 16], session: [u8; 32]) {
            let code = EnrolmentCode::new(Zeroizing::new(random));
            prop_assert!(EnrolmentCode::parse(&code.expose_text()).is_ok_and(|read| *read.0 == random));
            let code = SessionCode::new(Zeroizing::new(session));
            prop_assert!(SessionCode::parse(&code.expose_text()).is_ok_and(|read| *read.0 == session));
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = EnrolmentCode::parse(&text);
            let _ = EnrolmentCode::parse(&format!("spe_{text}"));
            let _ = SessionCode::parse(&format!("sps_{text}"));
        }
    }
}
