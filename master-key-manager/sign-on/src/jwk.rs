//! Public keys that others sign with: JWK and JWK sets (RFC 7517, RFC 7518 section 6, RFC 8037).
//!
//! RSA of 2048 to 8192 bits, P-256 and Ed25519 only. A key is bound to its algorithms when it is read, so that a
//! signature of another algorithm is never compared with it. A document that holds a private key is refused: whoever
//! published it must replace it.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ParsedPublicKey};
use jsonwebtoken::DecodingKey;
use serde_json::Value;
use shared_proto::encoding::{b64, from_b64, from_b64_exact, sha256};
use shared_proto::jwk::Thumbprint;

use crate::json::{self, Object};

/// The longest JWK in bytes: an RSA key of 8192 bits has 1,400, and certificates may stand beside it.
pub const MAX_JWK_BYTES: usize = 16 << 10;
/// The longest JWK set in bytes.
pub const MAX_SET_BYTES: usize = 256 << 10;
/// The most keys of a set, those included that are skipped.
pub const MAX_SET_KEYS: usize = 64;
/// The longest key id in bytes.
pub const MAX_KEY_ID_BYTES: usize = 256;

/// The signature algorithms in use (RFC 7518 section 3.1, RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// All names that a token may use.
    pub const NAMES: &'static [&'static str] = &["RS256", "PS256", "ES256", "EdDSA", "Ed25519"];

    /// The algorithm with this exact name. RFC 9864 calls Ed25519 by its own name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "PS256" => Some(Self::Ps256),
            "ES256" => Some(Self::Es256),
            "EdDSA" | "Ed25519" => Some(Self::EdDsa),
            _ => None,
        }
    }

    fn library(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Ps256 => jsonwebtoken::Algorithm::PS256,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        }
    }
}

/// The reason why a document is no usable public key. It never repeats the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwkError {
    /// Too long.
    #[error("it is too long")]
    TooLong,
    /// Not a JSON object, or a member comes twice.
    #[error("it is not a JSON object, or a member comes twice")]
    NotAnObject,
    /// The document has a private or a symmetric key.
    #[error("it holds a private or secret key; replace that key, and send only its public half")]
    Private,
    /// Key type or curve.
    #[error("its type is none of RSA, EC with P-256, and OKP with Ed25519")]
    Type,
    /// A member is missing or not canonical base64url, or its value is no key.
    #[error("its numbers are missing, malformed or no key of its type")]
    Value,
    /// RSA modulus or exponent outside their limits.
    #[error("an RSA key has 2048 to 8192 bits and a public exponent from 65537 to 4294967295")]
    Size,
    /// `use`, `key_ops` or `alg` say that it is for something else.
    #[error("its use, key_ops or alg say that it is not for verifying signatures of its type")]
    Use,
    /// `kid` is no text of 1 to 256 bytes.
    #[error("its kid is not a text of 1 to {MAX_KEY_ID_BYTES} bytes without control characters")]
    KeyId,
    /// Too many keys, or a key id comes twice.
    #[error("it is not a set of 1 to {MAX_SET_KEYS} keys with different kid")]
    Set,
    /// A set, of which no key can be used.
    #[error("it is a set of keys, none of which can be used")]
    NoneUsable,
}

/// A public key with its algorithms.
#[derive(Clone)]
pub struct Jwk {
    kind: Kind,
    /// The one that the document names.
    only: Option<Algorithm>,
    kid: Option<String>,
    verifying: DecodingKey,
}

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256 { x: [u8; 32], y: [u8; 32] },
    Ed25519 { x: [u8; 32] },
}

impl std::fmt::Debug for Jwk {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Jwk({:?})", self.thumbprint())
    }
}

impl Jwk {
    /// Reads a document. Members that are not known are ignored (RFC 7517 section 4).
    ///
    /// # Errors
    /// It is no usable public key.
    pub fn parse(document: &[u8]) -> Result<Self, JwkError> {
        if document.len() > MAX_JWK_BYTES {
            return Err(JwkError::TooLong);
        }
        Self::read(&json::object(document).map_err(|_| JwkError::NotAnObject)?)
    }

    /// The key id that the document gives, which names the key within its set only.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// RFC 7638: the thumbprint, by which the key is known here.
    pub fn thumbprint(&self) -> Thumbprint {
        let canonical = match &self.kind {
            Kind::Rsa { n, e } => format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, b64(e), b64(n)),
            Kind::P256 { x, y } => format!(r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#, b64(x), b64(y)),
            Kind::Ed25519 { x } => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, b64(x)),
        };
        shared_proto::encoding::Bytes(sha256(canonical.as_bytes()))
    }

    /// The document to store: the members of the thumbprint, `kid`, and `alg` if the key is bound to one.
    pub fn to_json(&self) -> String {
        let mut object = match &self.kind {
            Kind::Rsa { n, e } => serde_json::json!({"kty": "RSA", "n": b64(n), "e": b64(e)}),
            Kind::P256 { x, y } => serde_json::json!({"kty": "EC", "crv": "P-256", "x": b64(x), "y": b64(y)}),
            Kind::Ed25519 { x } => serde_json::json!({"kty": "OKP", "crv": "Ed25519", "x": b64(x)}),
        };
        if let Value::Object(members) = &mut object {
            let alg = self.only.map(|only| match only {
                Algorithm::Rs256 => "RS256",
                Algorithm::Ps256 => "PS256",
                Algorithm::Es256 => "ES256",
                Algorithm::EdDsa => "EdDSA",
            });
            let optional = [("kid", self.kid.as_deref()), ("alg", alg)];
            members.extend(optional.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?.into()))));
        }
        object.to_string()
    }

    /// True if tokens of this algorithm may be signed with the key.
    pub fn allows(&self, algorithm: Algorithm) -> bool {
        let of_type = match self.kind {
            Kind::Rsa { .. } => matches!(algorithm, Algorithm::Rs256 | Algorithm::Ps256),
            Kind::P256 { .. } => algorithm == Algorithm::Es256,
            Kind::Ed25519 { .. } => algorithm == Algorithm::EdDsa,
        };
        of_type && self.only.is_none_or(|only| only == algorithm)
    }

    /// True if a signature (base64url) of this algorithm is by this key.
    pub(crate) fn verifies(&self, algorithm: Algorithm, input: &str, signature: &str) -> bool {
        self.allows(algorithm)
            && matches!(
                jsonwebtoken::crypto::verify(signature, input.as_bytes(), &self.verifying, algorithm.library()),
                Ok(true)
            )
    }

    fn read(object: &Object) -> Result<Self, JwkError> {
        if PRIVATE.iter().any(|name| object.contains_key(*name)) || text(object, "kty") == Some("oct") {
            return Err(JwkError::Private);
        }
        let kind = match (text(object, "kty"), text(object, "crv")) {
            (Some("RSA"), _) => rsa(object)?,
            (Some("EC"), Some("P-256")) => p256(object)?,
            (Some("OKP"), Some("Ed25519")) => ed25519(object)?,
            _ => return Err(JwkError::Type),
        };
        let verifying = match &kind {
            Kind::Rsa { n, e } => DecodingKey::from_rsa_raw_components(n, e),
            Kind::P256 { x, y } => DecodingKey::from_ec_der(&point(x, y)),
            Kind::Ed25519 { x } => DecodingKey::from_ed_der(x),
        };
        let kid = match object.get("kid") {
            None => None,
            Some(Value::String(kid)) if is_key_id(kid) => Some(kid.clone()),
            Some(_) => return Err(JwkError::KeyId),
        };
        let mut key = Self { kind, only: None, kid, verifying };
        if let Some(alg) = object.get("alg") {
            let named = alg.as_str().and_then(Algorithm::named).filter(|alg| key.allows(*alg));
            key.only = Some(named.ok_or(JwkError::Use)?);
        }
        if is_for_signatures(object) { Ok(key) } else { Err(JwkError::Use) }
    }
}

/// The usable keys of a set.
#[derive(Clone, Debug)]
pub struct KeySet {
    keys: Vec<Jwk>,
    /// Keys of the document that are not for us: of other types, other uses, or without a `kid`.
    skipped: usize,
}

impl KeySet {
    /// Reads the key set of an issuer. Keys that cannot be used are skipped (RFC 7517 section 5); so are keys without a
    /// `kid`, because tokens have to name theirs.
    ///
    /// # Errors
    /// It is no key set, it publishes a private key, a `kid` comes twice, or no key can be used.
    pub fn parse(document: &[u8]) -> Result<Self, JwkError> {
        if document.len() > MAX_SET_BYTES {
            return Err(JwkError::TooLong);
        }
        let object = json::object(document).map_err(|_| JwkError::NotAnObject)?;
        let Some(Value::Array(documents)) = object.get("keys") else { return Err(JwkError::Set) };
        if documents.len() > MAX_SET_KEYS {
            return Err(JwkError::Set);
        }
        let mut keys: Vec<Jwk> = Vec::new();
        for document in documents {
            let Value::Object(document) = document else { return Err(JwkError::Set) };
            match Jwk::read(document) {
                Ok(key) if key.kid.is_some() => {
                    if keys.iter().any(|known| known.kid == key.kid) {
                        return Err(JwkError::Set);
                    }
                    keys.push(key);
                }
                Err(JwkError::Private) => return Err(JwkError::Private),
                Ok(_) | Err(_) => {}
            }
        }
        let skipped = documents.len() - keys.len();
        if keys.is_empty() { Err(JwkError::NoneUsable) } else { Ok(Self { keys, skipped }) }
    }

    /// Reads what an issuer publishes. It may withdraw all of its keys: a set without a usable key, and one that gives a
    /// private key away, has none.
    ///
    /// # Errors
    /// It is no key set.
    pub fn published(document: &[u8]) -> Result<Self, JwkError> {
        match Self::parse(document) {
            Err(JwkError::NoneUsable | JwkError::Private) => Ok(Self { keys: Vec::new(), skipped: 0 }),
            other => other,
        }
    }

    /// The key with this id.
    pub fn find(&self, kid: &str) -> Option<&Jwk> {
        self.keys.iter().find(|key| key.kid() == Some(kid))
    }

    /// The number of usable keys, and of those that were skipped.
    pub fn counts(&self) -> (usize, usize) {
        (self.keys.len(), self.skipped)
    }
}

fn rsa(object: &Object) -> Result<Kind, JwkError> {
    let (n, e) = (bytes(object, "n")?, bytes(object, "e")?);
    let odd = |bytes: &[u8]| bytes.last().is_some_and(|last| last % 2 == 1);
    // RFC 7518 section 6.3.1: the minimum number of octets.
    let minimal = |bytes: &[u8]| bytes.first().is_some_and(|first| *first != 0);
    if !odd(&n) || !odd(&e) || !minimal(&n) || !minimal(&e) {
        return Err(JwkError::Value);
    }
    let bits = n.len() * 8 - n.first().map_or(0, |first| first.leading_zeros() as usize);
    let exponent = e.iter().try_fold(0_u32, |sum, byte| sum.checked_mul(256)?.checked_add(u32::from(*byte)));
    if !(2048..=8192).contains(&bits) || exponent.is_none_or(|exponent| exponent < 65_537) {
        return Err(JwkError::Size);
    }
    Ok(Kind::Rsa { n, e })
}

fn p256(object: &Object) -> Result<Kind, JwkError> {
    let (x, y) = (exact(object, "x")?, exact(object, "y")?);
    // The library refuses points that are not on the curve.
    ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point(&x, &y)).map_err(|_| JwkError::Value)?;
    Ok(Kind::P256 { x, y })
}

fn ed25519(object: &Object) -> Result<Kind, JwkError> {
    let x: [u8; 32] = exact(object, "x")?;
    let mut magnitude = x;
    if let Some(last) = magnitude.last_mut() {
        *last &= 0x7f;
    }
    // Anybody can sign for a key of small order.
    if SMALL_ORDER.contains(&magnitude) { Err(JwkError::Value) } else { Ok(Kind::Ed25519 { x }) }
}

/// SEC 1 section 2.3.3, uncompressed.
fn point(x: &[u8; 32], y: &[u8; 32]) -> Vec<u8> {
    [&[4][..], x, y].concat()
}

fn is_for_signatures(object: &Object) -> bool {
    // `jwt-svid` is the use that SPIFFE gives to keys of JWTs.
    let right_use = match object.get("use") {
        None => true,
        Some(of) => matches!(of.as_str(), Some("sig" | "jwt-svid")),
    };
    let right_operations = match object.get("key_ops") {
        None => true,
        Some(Value::Array(operations)) => matches!(operations.as_slice(), [only] if only.as_str() == Some("verify")),
        Some(_) => false,
    };
    right_use && right_operations
}

fn is_key_id(kid: &str) -> bool {
    (1..=MAX_KEY_ID_BYTES).contains(&kid.len()) && !kid.chars().any(char::is_control)
}

fn text<'a>(object: &'a Object, name: &str) -> Option<&'a str> {
    object.get(name).and_then(Value::as_str)
}

fn bytes(object: &Object, name: &str) -> Result<Vec<u8>, JwkError> {
    text(object, name).and_then(|text| from_b64(text).ok()).ok_or(JwkError::Value)
}

fn exact(object: &Object, name: &str) -> Result<[u8; 32], JwkError> {
    text(object, name).and_then(|text| from_b64_exact(text).ok()).ok_or(JwkError::Value)
}

/// Members that only private and symmetric keys have (RFC 7518 sections 6.2.2, 6.3.2 and 6.4).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// The y-coordinates, sign bit cleared, of Ed25519 points of order 1, 2, 4 and 8, the two spellings above the prime
/// included.
const SMALL_ORDER: [[u8; 32]; 7] = {
    const fn filled(first: u8, between: u8, last: u8) -> [u8; 32] {
        let mut bytes = [between; 32];
        bytes[0] = first;
        bytes[31] = last;
        bytes
    }
    [
        filled(0, 0, 0),
        filled(1, 0, 0),
        filled(0xec, 0xff, 0x7f),
        filled(0xed, 0xff, 0x7f),
        filled(0xee, 0xff, 0x7f),
        [
            0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
            0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
        ],
        [
            0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
            0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
        ],
    ]
};

#[cfg(test)]
mod tests;
