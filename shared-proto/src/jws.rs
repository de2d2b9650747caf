//! JWS compact serializations (RFC 7515) of the three kinds, read strictly (RFC 8725).
//!
//! One algorithm, one `typ` and one length limit for each kind; exactly three header members; canonical base64url. A
//! payload can be read only through [`Compact::verify`].

use jsonwebtoken::{Algorithm, DecodingKey};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Rejected;
use crate::encoding::{b64, from_b64, from_json};
use crate::jwk::Thumbprint;

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

    fn algorithm(self) -> (Algorithm, &'static str) {
        match self {
            Self::AccessToken => (Algorithm::RS256, "RS256"),
            Self::Command | Self::Event => (Algorithm::EdDSA, "EdDSA"),
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
        if header.alg != kind.algorithm().1 || header.typ != kind.typ() {
            return Err(Rejected);
        }
        Ok(Self { kind, kid: header.kid, signing_input, payload, signature })
    }

    /// The key that claims to have signed.
    pub fn kid(&self) -> &Thumbprint {
        &self.kid
    }

    /// Checks the signature with `key`, which the caller looked up by [`Self::kid`].
    pub fn verify(&self, key: &DecodingKey) -> Result<VerifiedPayload, Rejected> {
        from_b64(self.signature).map_err(|_| Rejected)?;
        let payload = from_b64(self.payload).map_err(|_| Rejected)?;
        let algorithm = self.kind.algorithm().0;
        match jsonwebtoken::crypto::verify(self.signature, self.signing_input.as_bytes(), key, algorithm) {
            Ok(true) => Ok(VerifiedPayload(payload)),
            Ok(false) | Err(_) => Err(Rejected),
        }
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

/// The verifying form of an Ed25519 public key.
pub fn ed25519_key(raw: &[u8; 32]) -> DecodingKey {
    DecodingKey::from_ed_der(raw)
}

/// Builds a compact serialization; `sign` gets the signing input and answers with the raw signature.
pub fn sign<T: Serialize>(
    kind: Kind,
    kid: Thumbprint,
    claims: &T,
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, Rejected>,
) -> Result<String, Rejected> {
    let header = Header { alg: kind.algorithm().1.to_owned(), typ: kind.typ().to_owned(), kid };
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
