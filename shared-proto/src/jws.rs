//! JWS compact serializations (RFC 7515) of the three kinds, read strictly (RFC 8725).
//!
//! One algorithm, one `typ` and one length limit for each kind; exactly three header members; canonical base64url. A
//! payload can be read only through [`Compact::verify`].

use std::sync::Arc;

use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::encoding::{b64, from_b64, from_json};
use crate::jwk::Thumbprint;
use crate::{Malformed, Rejected};

/// The kinds of signed token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `at+jwt` (RFC 9068), RS256.
    AccessToken,
    /// `command+jwt`, `EdDSA`.
    Command,
    /// `secevent+jwt` (RFC 8417), `EdDSA`.
    Event,
}

impl Kind {
    fn typ(self) -> &'static str {
        match self {
            Self::AccessToken => "at+jwt",
            Self::Command => "command+jwt",
            Self::Event => "secevent+jwt",
        }
    }

    fn algorithm(self) -> &'static str {
        match self {
            Self::AccessToken => "RS256",
            Self::Command | Self::Event => "EdDSA",
        }
    }

    /// The longest compact form in bytes.
    pub fn limit(self) -> usize {
        match self {
            Self::AccessToken => 8_000,
            Self::Command | Self::Event => 2_000,
        }
    }
}

/// A token whose form and header are right and whose signature nobody checked.
pub struct Compact<'a> {
    kind: Kind,
    kid: Thumbprint,
    signing_input: &'a str,
    payload: &'a str,
    signature: &'a str,
}

/// A payload whose signature held. Only [`Compact::verify`] makes one.
pub struct VerifiedPayload(Vec<u8>);

impl<'a> Compact<'a> {
    /// Checks length, form and header.
    pub fn parse(kind: Kind, text: &'a str) -> Result<Self, Rejected> {
        if text.len() > kind.limit() {
            return Err(Rejected);
        }
        let (signing_input, signature) = text.rsplit_once('.').ok_or(Rejected)?;
        let (header, payload) = signing_input.split_once('.').ok_or(Rejected)?;
        if payload.contains('.') || payload.is_empty() || signature.is_empty() {
            return Err(Rejected);
        }
        let header: Header = object(&from_b64(header).map_err(|_| Rejected)?)?;
        if header.alg != kind.algorithm() || header.typ != kind.typ() {
            return Err(Rejected);
        }
        Ok(Self { kind, kid: header.kid, signing_input, payload, signature })
    }

    /// The key that claims to have signed.
    pub fn kid(&self) -> &Thumbprint {
        &self.kid
    }

    /// Checks the signature with `key`, which the caller looked up by [`Self::kid`].
    pub fn verify(&self, key: &VerifyingKey) -> Result<VerifiedPayload, Rejected> {
        let signature = from_b64(self.signature).map_err(|_| Rejected)?;
        let payload = from_b64(self.payload).map_err(|_| Rejected)?;
        let input = self.signing_input.as_bytes();
        let holds = match (self.kind, &key.0) {
            (Kind::AccessToken, Form::Rsa(key)) => key.verify_sig(input, &signature).is_ok(),
            (Kind::Command | Kind::Event, Form::Ed25519(key)) => {
                matches!(jsonwebtoken::crypto::verify(self.signature, input, key, Algorithm::EdDSA), Ok(true))
            }
            (Kind::AccessToken, Form::Ed25519(_)) | (Kind::Command | Kind::Event, Form::Rsa(_)) => false,
        };
        if holds { Ok(VerifiedPayload(payload)) } else { Err(Rejected) }
    }
}

impl Compact<'_> {
    /// The payload, whoever signed it.
    #[cfg(feature = "sabotage")]
    pub fn unverified(&self) -> Result<VerifiedPayload, Rejected> {
        self.stored_payload()
    }

    /// The payload of a token that was verified before it was stored.
    pub(crate) fn stored_payload(&self) -> Result<VerifiedPayload, Rejected> {
        from_b64(self.payload).map(VerifiedPayload).map_err(|_| Rejected)
    }
}

impl VerifiedPayload {
    /// Reads the claims strictly.
    pub(crate) fn claims<T: DeserializeOwned>(&self) -> Result<T, Rejected> {
        object(&self.0)
    }
}

/// A public key in the form that signatures are verified with. It fits the algorithm of one kind or of two.
#[derive(Clone)]
pub struct VerifyingKey(Form);

#[derive(Clone)]
enum Form {
    /// Parsed once. A `DecodingKey` of RSA is parsed anew for each signature, which takes a fifth of the verification.
    Rsa(Arc<ParsedPublicKey>),
    Ed25519(DecodingKey),
}

impl VerifyingKey {
    /// An RSA public key whose length and exponent were checked; big-endian numbers without leading zeros.
    pub(crate) fn rsa(n: &[u8], e: &[u8]) -> Result<Self, Malformed> {
        let parsed = RsaPublicKeyComponents { n, e }.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256);
        let key = parsed.map_err(|_| Malformed("not a usable RSA public key"))?;
        Ok(Self(Form::Rsa(Arc::new(key))))
    }
}

/// The verifying form of an Ed25519 public key.
pub fn ed25519_key(raw: &[u8; 32]) -> VerifyingKey {
    VerifyingKey(Form::Ed25519(DecodingKey::from_ed_der(raw)))
}

/// Builds a compact serialization; `sign` gets the signing input and answers with the raw signature.
pub fn sign<T: Serialize>(
    kind: Kind,
    kid: Thumbprint,
    claims: &T,
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, Rejected>,
) -> Result<String, Rejected> {
    let header = Header { alg: kind.algorithm().to_owned(), typ: kind.typ().to_owned(), kid };
    let mut text = b64(&serde_json::to_vec(&header).map_err(|_| Rejected)?);
    text.push('.');
    text.push_str(&b64(&serde_json::to_vec(claims).map_err(|_| Rejected)?));
    let signature = sign(text.as_bytes())?;
    text.push('.');
    text.push_str(&b64(&signature));
    if text.len() > kind.limit() { Err(Rejected) } else { Ok(text) }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    typ: String,
    kid: Thumbprint,
}

// serde also reads a struct from an array; a JOSE header and a claims set are objects.
fn object<T: DeserializeOwned>(json: &[u8]) -> Result<T, Rejected> {
    if json.first() != Some(&b'{') {
        return Err(Rejected);
    }
    from_json(json).map_err(|_| Rejected)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256};

    use super::*;
    use crate::encoding::Bytes;
    use crate::rsa_key::{RsaPrivate, verifying_key};

    /// Signed by `signed_by`, whatever its kind says.
    fn compact(kind: Kind, signed_by: &dyn Fn(&[u8]) -> Vec<u8>) -> String {
        sign(kind, Bytes([0; 32]), &serde_json::json!({}), |input| Ok(signed_by(input))).unwrap()
    }

    #[test]
    fn a_good_signature_of_the_other_algorithm_does_not_count() {
        let ed25519 = Ed25519KeyPair::generate().unwrap();
        let rsa = RsaPrivate::from_pem(&RsaPrivate::generate_pem(2048).unwrap()).unwrap();
        let pair = rsa.signing_pair().unwrap();
        let by_ed25519 = |input: &[u8]| ed25519.sign(input).as_ref().to_vec();
        let by_rsa = |input: &[u8]| {
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input, &mut signature).unwrap();
            signature
        };
        let of_ed25519 = ed25519_key(ed25519.public_key().as_ref().try_into().unwrap());
        let of_rsa = verifying_key(rsa.public()).unwrap();
        for kind in [Kind::AccessToken, Kind::Command, Kind::Event] {
            let holds = |text: &str, key| Compact::parse(kind, text).unwrap().verify(key).is_ok();
            let is_rsa = kind == Kind::AccessToken;
            assert_eq!(holds(&compact(kind, &by_rsa), &of_rsa), is_rsa, "{kind:?}");
            assert_eq!(holds(&compact(kind, &by_ed25519), &of_ed25519), !is_rsa, "{kind:?}");
        }
    }
}
