//! Keys in the forms of OpenSSH (PROTOCOL.key, `authorized_keys`).

use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair};
use ssh_encoding::Decode as _;
use ssh_key::private::{EcdsaKeypair, EcdsaPrivateKey};
use ssh_key::public::{EcdsaPublicKey, KeyData};
use ssh_key::{EcdsaCurve, HashAlg, Mpint, PrivateKey};
use zeroize::Zeroizing;

use super::public::{KeyAlgorithm, PublicKey};
use super::{KeyBlock, KeyFacts, facts, private};
use crate::{Refused, pem};

/// The most public keys of one value.
const MOST_LINES: usize = 64;
/// The longest line of a public key; RSA with 8,192 bits takes 1,400 characters.
const MAX_LINE_BYTES: usize = 4096;

/// Reads the bytes of an `OPENSSH PRIVATE KEY`.
pub(super) fn from_private(bytes: &[u8]) -> Result<KeyBlock, Refused> {
    const OUT_OF_FORM: Refused =
        Refused::new("the private key is not in the form of OpenSSH, or holds more than one key");
    const APART: Refused = Refused::new("the halves of the private key do not belong together");
    let key = PrivateKey::from_bytes(bytes).map_err(|_| OUT_OF_FORM)?;
    let public = of_data(key.public_key().key_data())?;
    if key.is_encrypted() {
        return Ok(KeyBlock::Encrypted(Some(public)));
    }
    let data = key.key_data();
    if let Some(pair) = data.ed25519() {
        let whole = Ed25519KeyPair::from_seed_and_public_key(pair.private.as_ref(), pair.public.as_ref());
        whole.map(|_| ()).map_err(|_| APART)?;
    } else if let Some(pair) = data.ecdsa() {
        let signs = private::curve_of(public.algorithm).ok_or(OUT_OF_FORM)?;
        let (secret, point) = (pair.private_key_bytes(), pair.public_key_bytes());
        EcdsaKeyPair::from_private_key_and_public_key(signs, secret, point).map(|_| ()).map_err(|_| APART)?;
    } else if let Some(pair) = data.rsa() {
        let [p, q, n] = [&pair.private.p, &pair.private.q, &pair.public.n].map(Mpint::as_positive_bytes);
        let (Some(p), Some(q), Some(n)) = (p, q, n) else { return Err(OUT_OF_FORM) };
        if p.len() > MOST_RSA_BYTES || q.len() > MOST_RSA_BYTES || product(p, q).as_slice() != n {
            return Err(APART);
        }
    } else if public.algorithm != KeyAlgorithm::SecurityKey {
        return Err(OUT_OF_FORM);
    }
    Ok(KeyBlock::Private(public))
}

/// Reads public keys, one a line; `None` if the first line is none.
pub(super) fn public_lines(value: &[u8]) -> Result<Option<KeyFacts>, Refused> {
    if value.len() > MOST_LINES * MAX_LINE_BYTES {
        return Err(Refused::new("public keys have at most 262144 bytes"));
    }
    let text = pem::utf8(value)?;
    let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty() && !line.starts_with('#'));
    let mut found: Option<KeyFacts> = None;
    for (count, (line, number)) in lines.enumerate() {
        let begins = ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"].iter().any(|name| line.starts_with(name));
        if !begins && count == 0 {
            return Ok(None);
        }
        let at = |refused: Refused| Refused::at_line(refused.reason(), number);
        if !begins || count >= MOST_LINES || line.len() > MAX_LINE_BYTES {
            return Err(at(Refused::new("this is no line with a public key, or the 65th; options are not taken")));
        }
        let key = ssh_key::PublicKey::from_openssh(line)
            .map_err(|_| at(Refused::new("the public key is not in the form of OpenSSH")))?;
        let facts = facts(Some(of_data(key.key_data()).map_err(at)?), false, false);
        // Of several keys only that they are keys is a fact.
        found = Some(if count == 0 { facts } else { KeyFacts::default() });
    }
    Ok(found)
}

fn of_data(data: &KeyData) -> Result<PublicKey, Refused> {
    const FOREIGN: Refused = Refused::new("the algorithm of this key is not RSA, ECDSA or Ed25519; DSA is out of use");
    let fingerprint = data.fingerprint(HashAlg::Sha256).to_string();
    let mut public = if let Some(key) = data.ed25519() {
        PublicKey::from_point(KeyAlgorithm::Ed25519, key.as_ref())?
    } else if let Some(key) = data.ecdsa() {
        let algorithm = match key.curve() {
            EcdsaCurve::NistP256 => KeyAlgorithm::EcP256,
            EcdsaCurve::NistP384 => KeyAlgorithm::EcP384,
            EcdsaCurve::NistP521 => KeyAlgorithm::EcP521,
        };
        PublicKey::from_point(algorithm, key.as_sec1_bytes())?
    } else if let Some(key) = data.rsa() {
        const OUT_OF_FORM: Refused = Refused::new("the numbers of the RSA key are not positive");
        let modulus = key.n.as_positive_bytes().ok_or(OUT_OF_FORM)?;
        let exponent = key.e.as_positive_bytes().ok_or(OUT_OF_FORM)?;
        let uint = |bytes| der::asn1::UintRef::new(bytes).map_err(|_| OUT_OF_FORM);
        let key = pkcs1::RsaPublicKey { modulus: uint(modulus)?, public_exponent: uint(exponent)? };
        PublicKey::from_pkcs1(&der::Encode::to_der(&key).map_err(|_| OUT_OF_FORM)?)?
    } else if data.is_sk_ed25519() || data.is_sk_ecdsa_p256() {
        PublicKey {
            algorithm: KeyAlgorithm::SecurityKey,
            bits: None,
            spki: ssh_key::PublicKey::from(data.clone()).to_bytes().map_err(|_| FOREIGN)?,
            ssh_fingerprint: None,
        }
    } else {
        return Err(FOREIGN);
    };
    public.ssh_fingerprint = Some(fingerprint);
    Ok(public)
}

/// The product of two numbers, as bytes without a zero in front.
fn product(one: &[u8], other: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut digits = Zeroizing::new(vec![0_u8; one.len() + other.len()]);
    for (i, a) in one.iter().rev().enumerate() {
        let mut carry = 0_u16;
        let columns = digits.iter_mut().skip(i);
        for (digit, b) in columns.zip(other.iter().rev().copied().chain(std::iter::repeat(0))) {
            let sum = u16::from(*a) * u16::from(b) + u16::from(*digit) + carry;
            let [high, low] = sum.to_be_bytes();
            (*digit, carry) = (low, u16::from(high));
        }
    }
    while digits.last() == Some(&0) {
        digits.pop();
    }
    digits.reverse();
    digits
}

/// Half of 8,192 bits, and a byte.
const MOST_RSA_BYTES: usize = 513;

/// The pair of OpenSSH for the point and scalar of P-256.
pub(crate) fn p256_pair(point: &[u8], scalar: &[u8]) -> Result<EcdsaKeypair, Refused> {
    const REFUSED: Refused = Refused::new("the generated key cannot be written in the form of OpenSSH");
    let public = EcdsaPublicKey::from_sec1_bytes(point).map_err(|_| REFUSED)?;
    let EcdsaPublicKey::NistP256(public) = public else { return Err(REFUSED) };
    // The crate makes the private half only by reading it: a length and the bytes.
    let mut written = Zeroizing::new(Vec::with_capacity(36));
    written.extend_from_slice(&32_u32.to_be_bytes());
    written.extend_from_slice(scalar);
    let private = EcdsaPrivateKey::decode(&mut written.as_slice()).map_err(|_| REFUSED)?;
    Ok(EcdsaKeypair::NistP256 { public, private })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn product_is_that_of_the_numbers() {
        for (one, other) in [(1_u64, 1_u64), (255, 255), (256, 257), (65_537, 4_294_967_291), (u64::MAX, u64::MAX)] {
            let bytes = |number: u128| {
                let all = number.to_be_bytes();
                all[number.leading_zeros() as usize / 8..].to_vec()
            };
            let expected = bytes(u128::from(one) * u128::from(other));
            assert_eq!(*product(&bytes(one.into()), &bytes(other.into())), expected);
        }
    }
}
