//! Stored passwords: Argon2id (RFC 9106) with a key of the key folder and person, as PHC strings.
//!
//! Guarantees that a stolen database gives no password to guess at without the key folder, that a hash that was planted
//! or moved to another person does not verify, and that a wrong password, an unknown account and a text that cannot be a
//! password take the same work. The memory of a hash is wiped. How many hashes run at once is the caller's to bound:
//! each takes [`Cost::memory_bytes`].

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use shared_proto::Rejected;
use shared_proto::id::PersonId;
use zeroize::Zeroizing;

use super::{ChosenPassword, Password};
use crate::key::{Purpose, SignOnKey};

/// The cost of a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    memory_kibibytes: u32,
    passes: u32,
    lanes: u32,
}

impl Cost {
    /// 19 MiB and two passes: the least that OWASP recommends, and the default. Its memory allows several at once.
    pub const OWASP: Self = Self { memory_kibibytes: 19_456, passes: 2, lanes: 1 };
    /// 64 MiB, three passes and four lanes: the second choice of RFC 9106 section 4.
    pub const RFC_9106: Self = Self { memory_kibibytes: 65_536, passes: 3, lanes: 4 };

    /// Another cost, from [`Self::OWASP`]'s memory for one pass over 7 MiB upwards.
    ///
    /// # Errors
    /// It is below what OWASP recommends, or above what a login may cost (1 GiB, 16 passes, 16 lanes).
    pub fn new(memory_kibibytes: u32, passes: u32, lanes: u32) -> Result<Self, Rejected> {
        let cost = Self { memory_kibibytes, passes, lanes };
        // OWASP's five recommended pairs lie close to this product.
        let enough = memory_kibibytes >= 7_168 && u64::from(memory_kibibytes) * u64::from(passes) >= 35_840;
        if enough && cost.is_bearable() { Ok(cost) } else { Err(Rejected) }
    }

    /// The memory that one hash takes while it is computed.
    pub fn memory_bytes(self) -> usize {
        usize::try_from(self.memory_kibibytes).unwrap_or(usize::MAX).saturating_mul(1024)
    }

    fn is_bearable(self) -> bool {
        self.memory_kibibytes <= 1 << 20 && (1..=16).contains(&self.passes) && (1..=16).contains(&self.lanes)
    }

    fn params(self) -> Result<Params, Rejected> {
        Params::new(self.memory_kibibytes, self.passes, self.lanes, Some(HASH_BYTES)).map_err(|_| Rejected)
    }
}

/// A password as it is stored. It has no `Debug` form.
pub struct StoredPassword {
    cost: Cost,
    salt: Salt,
    hash: [u8; HASH_BYTES],
}

impl StoredPassword {
    /// Reads the stored text.
    ///
    /// # Errors
    /// It is not a PHC string of Argon2id, version 19, with a bearable cost.
    pub fn parse(text: &str) -> Result<Self, Rejected> {
        if text.len() > LONGEST_TEXT {
            return Err(Rejected);
        }
        let read = PasswordHash::new(text).map_err(|_| Rejected)?;
        let only = read.params.iter().all(|(name, _)| matches!(name.as_str(), "m" | "t" | "p"));
        if read.algorithm != ARGON2ID_IDENT || read.version != Some(Version::V0x13.into()) || !only {
            return Err(Rejected);
        }
        let number = |name: &str| read.params.get_decimal(name).ok_or(Rejected);
        let cost = Cost { memory_kibibytes: number("m")?, passes: number("t")?, lanes: number("p")? };
        let hash = read.hash.as_ref().and_then(|hash| hash.as_bytes().try_into().ok()).ok_or(Rejected)?;
        let salt = read.salt.filter(|salt| salt.len() == SALT_BYTES).ok_or(Rejected)?;
        if !cost.is_bearable() || cost.params().is_err() {
            return Err(Rejected);
        }
        Ok(Self { cost, salt, hash })
    }

    /// The text to store.
    ///
    /// # Errors
    /// The library cannot write it.
    pub fn to_text(&self) -> Result<String, Rejected> {
        let text = PasswordHash {
            algorithm: ARGON2ID_IDENT,
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(&self.cost.params()?).map_err(|_| Rejected)?,
            salt: Some(self.salt),
            hash: Some(Output::new(&self.hash).map_err(|_| Rejected)?),
        };
        Ok(text.to_string())
    }

    /// The memory that verifying it takes.
    pub fn memory_bytes(&self) -> usize {
        self.cost.memory_bytes()
    }
}

/// The outcome of a verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The password is right. With `rehash` it was stored at another cost, and is to be hashed and stored once more.
    Right {
        /// True if the present cost differs from the stored one.
        rehash: bool,
    },
    /// The password is wrong, or there is no such account.
    Wrong,
}

/// Hashes and verifies passwords. It has no `Debug` form.
pub struct PasswordHasher {
    key: SignOnKey,
    cost: Cost,
}

impl PasswordHasher {
    /// A hasher under this key, at this cost.
    pub fn new(key: SignOnKey, cost: Cost) -> Self {
        Self { key, cost }
    }

    /// The memory that one hash takes.
    pub fn memory_bytes(&self) -> usize {
        self.cost.memory_bytes()
    }

    /// Hashes a password that its person has chosen.
    ///
    /// # Errors
    /// There is no memory.
    pub fn hash(
        &self,
        password: &ChosenPassword,
        person: PersonId,
        salt: [u8; SALT_BYTES],
    ) -> Result<StoredPassword, Rejected> {
        self.hash_entered(password.password(), person, salt)
    }

    /// Hashes a password once more, after [`Verdict::Right`] asked for it.
    ///
    /// # Errors
    /// There is no memory.
    pub fn rehash(
        &self,
        password: &Password,
        person: PersonId,
        salt: [u8; SALT_BYTES],
    ) -> Result<StoredPassword, Rejected> {
        self.hash_entered(password, person, salt)
    }

    /// Verifies a password. Without an account, or with a text that cannot be a password (`None`), the same work is done
    /// in vain.
    ///
    /// # Errors
    /// There is no memory.
    pub fn verify(
        &self,
        entered: Option<&Password>,
        account: Option<(PersonId, &StoredPassword)>,
    ) -> Result<Verdict, Rejected> {
        let decoy_salt = [0; SALT_BYTES];
        let (person, cost, salt) = match account {
            Some((person, stored)) => (person, stored.cost, stored.salt.as_ref()),
            None => (PersonId::from_bytes([0; 16]), self.cost, decoy_salt.as_slice()),
        };
        let text = entered.map_or("", Password::expose);
        let pepper = self.key.for_person(Purpose::Password, person);
        let hash = argon2id(cost.params()?, &*pepper, text.as_bytes(), salt)?;
        let stored = account.map_or([0; HASH_BYTES], |(_, stored)| stored.hash);
        let same = verify_slices_are_equal(&stored, &*hash).is_ok();
        if same && account.is_some() && entered.is_some() {
            Ok(Verdict::Right { rehash: cost != self.cost })
        } else {
            Ok(Verdict::Wrong)
        }
    }

    fn hash_entered(
        &self,
        password: &Password,
        person: PersonId,
        salt: [u8; SALT_BYTES],
    ) -> Result<StoredPassword, Rejected> {
        let pepper = self.key.for_person(Purpose::Password, person);
        let hash = argon2id(self.cost.params()?, &*pepper, password.expose().as_bytes(), &salt)?;
        Ok(StoredPassword { cost: self.cost, salt: Salt::new(&salt).map_err(|_| Rejected)?, hash: *hash })
    }
}

/// RFC 9106 section 3 with a secret value, in memory that is wiped: its first block lets an attacker guess at once.
fn argon2id(
    params: Params,
    secret: &[u8],
    password: &[u8],
    salt: &[u8],
) -> Result<Zeroizing<[u8; HASH_BYTES]>, Rejected> {
    let blocks = params.block_count();
    let mut memory = Zeroizing::new(Vec::<Block>::new());
    memory.try_reserve_exact(blocks).map_err(|_| Rejected)?;
    memory.resize(blocks, Block::default());
    let mut out = Zeroizing::new([0; HASH_BYTES]);
    Argon2::new_with_secret(secret, Algorithm::Argon2id, Version::V0x13, params)
        .and_then(|argon| argon.hash_password_into_with_memory(password, salt, &mut *out, memory.as_mut_slice()))
        .map_err(|_| Rejected)?;
    Ok(out)
}

const HASH_BYTES: usize = 32;
/// The length of a salt in bytes.
pub const SALT_BYTES: usize = 16;
const LONGEST_TEXT: usize = 256;

#[cfg(test)]
mod tests {
    use argon2::{AssociatedData, ParamsBuilder};
    use proptest::prelude::*;

    use super::*;

    /// The least that Argon2 takes, so that tests are quick.
    const QUICK: Cost = Cost { memory_kibibytes: 8, passes: 1, lanes: 1 };

    fn hasher() -> PasswordHasher {
        PasswordHasher::new(SignOnKey::new(&[1; 32]), QUICK)
    }

    fn ann() -> PersonId {
        PersonId::from_bytes([1; 16])
    }

    fn password(text: &str) -> Password {
        Password::entered(text).unwrap()
    }

    fn stored() -> StoredPassword {
        let chosen = password("lamps under seventeen rivers").choose(&[]).unwrap_or_else(|_| unreachable!());
        hasher().hash(&chosen, ann(), [7; 16]).unwrap()
    }

    #[test]
    fn rfc_9106_section_5_3() {
        let mut builder = ParamsBuilder::new();
        builder.m_cost(32).t_cost(3).p_cost(4).output_len(32).data(AssociatedData::new(&[4; 12]).unwrap());
        let hash = argon2id(builder.build().unwrap(), &[3; 8], &[1; 32], &[2; 16]).unwrap();
        assert_eq!(hex::encode(*hash), "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659");
    }

    #[test]
    fn stored_text_is_a_phc_string_that_verifies() {
        let text = stored().to_text().unwrap();
        assert!(text.starts_with("$argon2id$v=19$m=8,t=1,p=1$BwcHBwcHBwcHBwcHBwcHBw$"), "{text}");
        let read = StoredPassword::parse(&text).unwrap();
        let right = password("lamps under seventeen rivers");
        assert_eq!(hasher().verify(Some(&right), Some((ann(), &read))), Ok(Verdict::Right { rehash: false }));
        let wrong = password("Lamps under seventeen rivers");
        assert_eq!(hasher().verify(Some(&wrong), Some((ann(), &read))), Ok(Verdict::Wrong));
    }

    #[test]
    fn hash_that_was_planted_or_moved_does_not_verify() {
        let (stored, right) = (stored(), password("lamps under seventeen rivers"));
        let bob = PersonId::from_bytes([2; 16]);
        assert_eq!(hasher().verify(Some(&right), Some((bob, &stored))), Ok(Verdict::Wrong));
        let thief = PasswordHasher::new(SignOnKey::new(&[2; 32]), QUICK);
        let planted = thief.rehash(&right, ann(), [7; 16]).unwrap();
        assert_eq!(thief.verify(Some(&right), Some((ann(), &planted))), Ok(Verdict::Right { rehash: false }));
        assert_eq!(hasher().verify(Some(&right), Some((ann(), &planted))), Ok(Verdict::Wrong));
    }

    #[test]
    fn password_of_another_cost_is_right_and_asks_for_a_rehash() {
        let dearer = Cost { passes: 2, ..QUICK };
        let hasher = PasswordHasher::new(SignOnKey::new(&[1; 32]), dearer);
        let right = password("lamps under seventeen rivers");
        assert_eq!(hasher.verify(Some(&right), Some((ann(), &stored()))), Ok(Verdict::Right { rehash: true }));
        let again = hasher.rehash(&right, ann(), [8; 16]).unwrap();
        assert_eq!(hasher.verify(Some(&right), Some((ann(), &again))), Ok(Verdict::Right { rehash: false }));
    }

    #[test]
    fn nobody_and_nothing_are_wrong() {
        let right = password("lamps under seventeen rivers");
        assert_eq!(hasher().verify(Some(&right), None), Ok(Verdict::Wrong));
        assert_eq!(hasher().verify(None, Some((ann(), &stored()))), Ok(Verdict::Wrong));
        assert_eq!(hasher().verify(None, None), Ok(Verdict::Wrong));
        // The hash of nothing, planted by somebody with the key, and an account whose hash is all zero.
        let nothing =
            argon2id(QUICK.params().unwrap(), &*hasher().key.for_person(Purpose::Password, ann()), b"", &[0; 16]);
        let empty = StoredPassword { cost: QUICK, salt: Salt::new(&[0; 16]).unwrap(), hash: *nothing.unwrap() };
        assert_eq!(hasher().verify(None, Some((ann(), &empty))), Ok(Verdict::Wrong));
    }

    #[test]
    fn stored_text_that_would_cost_too_much_is_refused() {
        let text = stored().to_text().unwrap();
        assert!(StoredPassword::parse(&text).is_ok());
        let changes = [
            ("m=8", "m=4294967295"),
            ("m=8", "m=1048577"),
            ("t=1", "t=17"),
            ("p=1", "p=17"),
            ("m=8", "m=7"),
            ("t=1", "t=0"),
            ("p=1", "p=0"),
            ("argon2id", "argon2i"),
            ("v=19", "v=16"),
            ("$v=19", ""),
            ("p=1", "p=1,data=AAAA"),
            ("p=1", "p=1,keyid=AAAA"),
            ("BwcHBwcHBwcHBwcHBwcHBw", "BwcHBwcHBwcHBwcH"),
        ];
        for (from, to) in changes {
            assert!(text.contains(from));
            assert!(StoredPassword::parse(&text.replacen(from, to, 1)).is_err(), "{from} {to}");
        }
        assert!(StoredPassword::parse("").is_err() && StoredPassword::parse(&text[..60]).is_err());
    }

    #[test]
    fn cost_below_the_recommended_one_is_refused() {
        for (memory, passes) in [(47_104, 1), (19_456, 2), (12_288, 3), (9_216, 4), (7_168, 5)] {
            assert!(Cost::new(memory, passes, 1).is_ok(), "{memory}");
        }
        for (memory, passes) in [(19_456, 1), (7_167, 5), (1 << 21, 1), (65_536, 17), (65_536, 0)] {
            assert!(Cost::new(memory, passes, 1).is_err(), "{memory}");
        }
        assert_eq!(Cost::new(19_456, 2, 1), Ok(Cost::OWASP));
        assert_eq!(Cost::OWASP.memory_bytes(), 19 << 20);
    }

    proptest! {
        #[test]
        fn no_stored_text_panics(text: String, salt in "[A-Za-z0-9+/]{0,70}", hash in "[A-Za-z0-9+/]{0,90}") {
            let _ = StoredPassword::parse(&text);
            let _ = StoredPassword::parse(&format!("$argon2id$v=19$m=8,t=1,p=1${salt}${hash}"));
        }
    }
}
