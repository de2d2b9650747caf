//! Recovery codes: what a person signs on with who has lost the device that shows one-time codes.
//!
//! Guarantees that the stored form of a code opens nothing, counts for one person only, and cannot be made without the
//! key folder. A used code is a fact that the transaction of the login stores: this crate remembers nothing.

use aws_lc_rs::hmac;
use shared_proto::id::PersonId;
use zeroize::Zeroizing;

use crate::code::{CodeError, push_groups, typed, with_checksum};
use crate::key::{Purpose, SignOnKey, keyed_hash, same};

/// The number of recovery codes that a person gets at once.
pub const RECOVERY_CODES: usize = 10;

/// A recovery code: 80 random bits. It has no `Debug` form.
///
/// Its text form is four groups of five letters or digits, such as `ABCDE-FGHIJ-…`.
pub struct RecoveryCode(Zeroizing<[u8; 10]>);

impl RecoveryCode {
    /// The codes of these random bytes.
    pub fn make_all(random: &Zeroizing<[[u8; 10]; RECOVERY_CODES]>) -> [Self; RECOVERY_CODES] {
        random.map(|bytes| Self(Zeroizing::new(bytes)))
    }

    /// Reads the text form. Case, spaces and missing hyphens do not matter.
    ///
    /// # Errors
    /// It is not the text of a recovery code; the error says what to look for.
    pub fn parse(text: &str) -> Result<Self, CodeError> {
        typed::<10, 12, 20>(text).map(Self)
    }

    /// The text form. It is shown once, when the codes are made.
    pub fn expose_text(&self) -> Zeroizing<String> {
        let bytes: Zeroizing<[u8; 12]> = with_checksum(&self.0);
        let mut text = Zeroizing::new(String::with_capacity(24));
        push_groups(&mut text, &*bytes, 5);
        text
    }
}

/// Makes and compares the stored forms of one person's recovery codes. It has no `Debug` form.
pub struct RecoveryHasher(hmac::Key);

impl RecoveryHasher {
    /// The hasher of a person.
    pub fn new(key: &SignOnKey, person: PersonId) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, &*key.for_person(Purpose::Recovery, person)))
    }

    /// The stored form of a code.
    pub fn hash(&self, code: &RecoveryCode) -> [u8; 32] {
        *keyed_hash(&self.0, &*code.0)
    }

    /// The stored form that `code` has among the unused ones of the person, all of which are compared. The caller
    /// removes it in the transaction that lets the person in, and lets nobody in if it was gone.
    pub fn find<'a>(&self, code: &RecoveryCode, unused: impl IntoIterator<Item = &'a [u8; 32]>) -> Option<[u8; 32]> {
        let hash = self.hash(code);
        let found = unused.into_iter().fold(false, |found, stored| found | same(stored, &hash));
        found.then_some(hash)
    }
}

#[cfg(test)]
mod tests {
    use static_assertions::assert_not_impl_any;

    use super::*;

    assert_not_impl_any!(RecoveryCode: std::fmt::Debug, std::fmt::Display, Clone, serde::Serialize, PartialEq);

    fn codes() -> [RecoveryCode; RECOVERY_CODES] {
        let mut random = Zeroizing::new([[0; 10]; RECOVERY_CODES]);
        for (at, code) in random.iter_mut().enumerate() {
            code[9] = u8::try_from(at).unwrap();
        }
        RecoveryCode::make_all(&random)
    }

    #[test]
    fn used_code_is_not_found_again_and_the_others_are() {
        let hasher = RecoveryHasher::new(&SignOnKey::new(&[1; 32]), PersonId::from_bytes([1; 16]));
        let mut unused: Vec<_> = codes().iter().map(|code| hasher.hash(code)).collect();
        let typed = RecoveryCode::parse(&codes()[3].expose_text().to_lowercase()).unwrap();
        let used = hasher.find(&typed, &unused).unwrap();
        unused.retain(|stored| *stored != used);
        assert_eq!(unused.len(), RECOVERY_CODES - 1);
        assert!(hasher.find(&typed, &unused).is_none());
        assert_eq!(codes().iter().filter(|code| hasher.find(code, &unused).is_some()).count(), RECOVERY_CODES - 1);
    }

    #[test]
    fn code_that_was_moved_to_another_person_does_not_count() {
        let key = SignOnKey::new(&[1; 32]);
        let [of_one, of_other] = [1, 2].map(|byte| RecoveryHasher::new(&key, PersonId::from_bytes([byte; 16])));
        let code = &codes()[0];
        assert!(of_one.find(code, &[of_one.hash(code)]).is_some());
        assert!(of_other.find(code, &[of_one.hash(code)]).is_none());
        assert!(of_one.find(code, []).is_none());
    }

    #[test]
    fn typing_error_is_told_from_a_wrong_code() {
        let text = codes()[1].expose_text();
        assert_eq!(text.len(), 23);
        let other = if text.starts_with('A') { "B" } else { "A" };
        assert_eq!(RecoveryCode::parse(&format!("{other}{}", &text[1..])).err(), Some(CodeError::Checksum));
        assert_eq!(RecoveryCode::parse("ABCDE").err(), Some(CodeError::Length { expected: 20, found: 5 }));
        assert_eq!(RecoveryCode::parse("").err(), Some(CodeError::Length { expected: 20, found: 0 }));
    }
}
