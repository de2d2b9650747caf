//! Public keys as JWKs (RFC 7517, RFC 8037) and their thumbprints (RFC 7638).

use serde::{Deserialize, Serialize};

use crate::Malformed;
use crate::encoding::{ByteString, Bytes, b64, read_from_objects_only, sha256};

/// A key id: the thumbprint of the public key, `b64` in JSON. Always recomputed, never believed.
pub type Thumbprint = Bytes<32>;

/// A public key. The members are exactly those that the thumbprint covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kty", deny_unknown_fields, remote = "Self")]
pub enum PublicJwk {
    /// RSA: transport and token signing keys.
    #[serde(rename = "RSA")]
    Rsa {
        /// Modulus, big-endian without leading zeros.
        n: ByteString,
        /// Public exponent, big-endian without leading zeros.
        e: ByteString,
    },
    /// Ed25519 (identity keys) and X25519 (seal keys).
    #[serde(rename = "OKP")]
    Okp {
        /// The curve.
        crv: Curve,
        /// The public key.
        x: Bytes<32>,
    },
}

/// The curves of RFC 8037 in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Curve {
    /// Signatures (RFC 8032).
    Ed25519,
    /// Key agreement (RFC 7748).
    X25519,
}

read_from_objects_only!(PublicJwk);

impl PublicJwk {
    /// An Ed25519 public key.
    pub fn ed25519(x: [u8; 32]) -> Self {
        Self::Okp { crv: Curve::Ed25519, x: Bytes(x) }
    }

    /// An X25519 public key.
    pub fn x25519(x: [u8; 32]) -> Self {
        Self::Okp { crv: Curve::X25519, x: Bytes(x) }
    }

    /// RFC 7638: SHA-256 of the required members in lexicographic order.
    pub fn thumbprint(&self) -> Thumbprint {
        let canonical = match self {
            Self::Rsa { n, e } => format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, b64(&e.0), b64(&n.0)),
            Self::Okp { crv, x } => {
                let crv = match crv {
                    Curve::Ed25519 => "Ed25519",
                    Curve::X25519 => "X25519",
                };
                format!(r#"{{"crv":"{crv}","kty":"OKP","x":"{}"}}"#, b64(&x.0))
            }
        };
        Bytes(sha256(canonical.as_bytes()))
    }

    /// The raw key, if it is on `curve`.
    pub fn okp(&self, curve: Curve) -> Result<&[u8; 32], Malformed> {
        match self {
            Self::Okp { crv, x } if *crv == curve => Ok(&x.0),
            Self::Okp { .. } | Self::Rsa { .. } => Err(Malformed("a key of another type is needed here")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_8037_thumbprint() {
        let key: PublicJwk =
            serde_json::from_str(r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#)
                .unwrap();
        assert_eq!(b64(&key.thumbprint().0), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn members_beyond_the_public_key_are_refused() {
        let with_private =
            r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","d":"AA"}"#;
        assert!(serde_json::from_str::<PublicJwk>(with_private).is_err());
    }
}
