//! The key of the key folder that everything stored about sign-on depends on.
//!
//! Guarantees that an attacker with write access to the database can make no password hash, recovery code, session,
//! enrolment code or one-time seed that counts, and can move none of the first two and none of the last to another
//! person. Each purpose has a key of its own, so that a stored form of one purpose is worth nothing as another.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use shared_proto::encoding::lp;
use shared_proto::id::PersonId;
use zeroize::Zeroizing;

/// The sign-on key: 256 random bits of the key folder. It has no `Debug` form.
pub struct SignOnKey(hmac::Key);

/// The purposes of derived keys. Their labels are never changed: stored forms depend on them.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    Password,
    Recovery,
    Seed,
    Session,
    Enrolment,
    Device,
}

impl SignOnKey {
    /// The key with these bytes.
    pub fn new(bytes: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// A key for one purpose.
    pub(crate) fn for_purpose(&self, purpose: Purpose) -> Zeroizing<[u8; 32]> {
        self.derive(purpose, &[])
    }

    /// A key for one purpose and one person.
    pub(crate) fn for_person(&self, purpose: Purpose, person: PersonId) -> Zeroizing<[u8; 32]> {
        self.derive(purpose, person.as_bytes())
    }

    fn derive(&self, purpose: Purpose, of: &[u8]) -> Zeroizing<[u8; 32]> {
        let label: &[u8] = match purpose {
            Purpose::Password => b"splitvault/1/sign-on/password",
            Purpose::Recovery => b"splitvault/1/sign-on/recovery",
            Purpose::Seed => b"splitvault/1/sign-on/seed",
            Purpose::Session => b"splitvault/1/sign-on/session",
            Purpose::Enrolment => b"splitvault/1/sign-on/enrolment",
            Purpose::Device => b"splitvault/1/sign-on/device",
        };
        keyed_hash(&self.0, &lp(&[label, of]))
    }
}

/// The keyed hash that codes are stored as: HMAC-SHA-256, as for service credentials.
pub(crate) fn keyed_hash(key: &hmac::Key, bytes: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut out = Zeroizing::new([0; 32]);
    out.copy_from_slice(hmac::sign(key, bytes).as_ref());
    out
}

/// Compares two keyed hashes in constant time.
pub fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    verify_slices_are_equal(a, b).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_purpose_and_person_has_a_key_of_its_own() {
        let key = SignOnKey::new(&[1; 32]);
        let person = |byte| PersonId::from_bytes([byte; 16]);
        let purposes = [
            Purpose::Password,
            Purpose::Recovery,
            Purpose::Seed,
            Purpose::Session,
            Purpose::Enrolment,
            Purpose::Device,
        ];
        let mut seen = std::collections::HashSet::new();
        for purpose in purposes {
            assert!(seen.insert(*key.for_purpose(purpose)));
            assert!(
                seen.insert(*key.for_person(purpose, person(1))) && seen.insert(*key.for_person(purpose, person(2)))
            );
        }
        assert_eq!(*SignOnKey::new(&[1; 32]).for_purpose(Purpose::Seed), *key.for_purpose(Purpose::Seed));
        assert!(!seen.contains(&*SignOnKey::new(&[2; 32]).for_purpose(Purpose::Seed)));
    }
}
