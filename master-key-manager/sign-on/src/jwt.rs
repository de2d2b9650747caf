//! Tokens that others sign: JWS compact serialization (RFC 7515) and claims (RFC 7519), read as RFC 8725 advises.
//!
//! Length, form and header are checked before a key is looked up, and claims can be read only behind a signature that
//! held. The header decides nothing but which of the known keys is asked: a key, a certificate or an address in it
//! refuses the token, as do critical extensions, and an algorithm that the key is not bound to.

use serde_json::Value;
use shared_proto::encoding::from_b64;

use crate::json;
use crate::jwk::{Algorithm, Jwk, MAX_KEY_ID_BYTES};

/// The longest token in bytes. Those of CI systems have 1,500 to 4,000.
pub const MAX_TOKEN_BYTES: usize = 16 << 10;
/// The tolerated difference of the issuer's clock, in seconds.
pub const SKEW_SECONDS: u64 = 60;

/// The reason why a token is refused, for audit lines and dry runs. It never repeats the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum JwtFault {
    /// Longer than the limit.
    #[error("the token is longer than {MAX_TOKEN_BYTES} bytes")]
    TooLong,
    /// Not three parts of canonical base64url.
    #[error("the token is not three parts of base64url")]
    Form,
    /// The header is not a JSON object, has a member twice, or one of the wrong type.
    #[error("the token's header is malformed")]
    Header,
    /// The header brings a key, certificate or address, or asks for extensions.
    #[error("the token's header has a key, certificate, address, compression or critical extension of its own")]
    HeaderMember,
    /// `typ` or `cty` say that it is a token of another kind.
    #[error("the token is of another kind")]
    Type,
    /// `alg` is none of the known names.
    #[error("the token's algorithm is not accepted")]
    Algorithm,
    /// No `kid`.
    #[error("the token does not name its key")]
    NoKey,
    /// No known key has the `kid`.
    #[error("the token names an unknown key")]
    UnknownKey,
    /// The key exists and is not for the algorithm.
    #[error("the token's algorithm is not that of the key that it names")]
    OtherAlgorithm,
    /// The signature is wrong.
    #[error("the token's signature is wrong")]
    Signature,
    /// The claims are not a JSON object, or have a member twice.
    #[error("the token's claims are malformed")]
    Claims,
    /// `iss` is missing or another one.
    #[error("the token's issuer is another one")]
    Issuer,
    /// `sub` is missing or malformed.
    #[error("the token's subject is missing or not of the expected form")]
    Subject,
    /// `aud` is missing or another one.
    #[error("the token is for another audience")]
    Audience,
    /// `exp`, `iat` or `nbf` is missing or no whole number.
    #[error("the token's times are missing or not whole seconds")]
    Times,
    /// `exp` is past.
    #[error("the token is expired")]
    Expired,
    /// `nbf` or `iat` is in the future by more than the skew.
    #[error("the token is not valid yet")]
    NotYet,
    /// It is valid for longer than is allowed.
    #[error("the token is valid for too long")]
    TooLongLived,
    /// `jti` is missing or malformed.
    #[error("the token has no usable id")]
    TokenId,
}

/// A token whose form and header are right, and whose signature nobody checked.
pub struct UnverifiedJwt<'a> {
    algorithm: Algorithm,
    typ: Option<String>,
    kid: String,
    signing_input: &'a str,
    payload: &'a str,
    signature: &'a str,
}

impl<'a> UnverifiedJwt<'a> {
    /// Checks length, form and header.
    ///
    /// # Errors
    /// One of them is wrong.
    pub fn parse(text: &'a str) -> Result<Self, JwtFault> {
        if text.len() > MAX_TOKEN_BYTES {
            return Err(JwtFault::TooLong);
        }
        let (signing_input, signature) = text.rsplit_once('.').ok_or(JwtFault::Form)?;
        let (header, payload) = signing_input.split_once('.').ok_or(JwtFault::Form)?;
        if payload.contains('.') || payload.is_empty() {
            return Err(JwtFault::Form);
        }
        let header = json::object(&from_b64(header).map_err(|_| JwtFault::Form)?).map_err(|_| JwtFault::Header)?;
        if FORBIDDEN.iter().any(|name| header.contains_key(*name)) {
            return Err(JwtFault::HeaderMember);
        }
        if header.contains_key("cty") {
            return Err(JwtFault::Type);
        }
        let text = |name: &str| match header.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.len() <= MAX_KEY_ID_BYTES => Ok(Some(text.clone())),
            Some(_) => Err(JwtFault::Header),
        };
        let algorithm = text("alg")?.and_then(|name| Algorithm::named(&name)).ok_or(JwtFault::Algorithm)?;
        let kid = text("kid")?.ok_or(JwtFault::NoKey)?;
        // Unsigned tokens end here: they have no algorithm either.
        if signature.is_empty() || from_b64(signature).is_err() || from_b64(payload).is_err() {
            return Err(JwtFault::Form);
        }
        Ok(Self { algorithm, typ: text("typ")?, kid, signing_input, payload, signature })
    }

    /// The id of the key that the token claims to be signed with.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Checks that `typ` is missing or one of these (RFC 8725 section 3.11), without regard to case.
    pub(crate) fn of_type(&self, allowed: &[&str]) -> Result<(), JwtFault> {
        let fits = |typ: &String| {
            let typ = typ.strip_prefix("application/").unwrap_or(typ);
            allowed.iter().any(|allowed| typ.eq_ignore_ascii_case(allowed))
        };
        if self.typ.as_ref().is_none_or(fits) { Ok(()) } else { Err(JwtFault::Type) }
    }

    /// A claim that nobody verified, to look up whose keys to ask. It decides nothing.
    pub(crate) fn unverified_text(&self, name: &str) -> Result<String, JwtFault> {
        let claims = self.payload()?;
        claims.text(name).map(str::to_owned).ok_or(JwtFault::Claims)
    }

    /// The claims that nobody verified. They decide nothing.
    pub(crate) fn unverified(&self) -> Result<Claims, JwtFault> {
        self.payload()
    }

    /// Checks the signature with the key that the caller found by [`Self::kid`].
    ///
    /// # Errors
    /// The key is not for the algorithm, the signature is wrong, or the claims are malformed.
    pub(crate) fn verify(&self, key: &Jwk) -> Result<Claims, JwtFault> {
        if !key.allows(self.algorithm) {
            return Err(JwtFault::OtherAlgorithm);
        }
        if !key.verifies(self.algorithm, self.signing_input, self.signature) {
            return Err(JwtFault::Signature);
        }
        self.payload()
    }

    fn payload(&self) -> Result<Claims, JwtFault> {
        let bytes = from_b64(self.payload).map_err(|_| JwtFault::Form)?;
        json::object(&bytes).map(|object| Claims(Value::Object(object))).map_err(|_| JwtFault::Claims)
    }
}

/// The claims of a token.
pub(crate) struct Claims(Value);

/// The times of a token (Unix seconds).
pub(crate) struct Times {
    pub(crate) expires: u64,
    pub(crate) issued: Option<u64>,
    pub(crate) not_before: Option<u64>,
}

impl Claims {
    /// A claim that is a text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    /// Any claim.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Checks that the token is for `audience` and nobody else: a text, or an array of this one text. Whoever else it
    /// were for could present it here.
    pub(crate) fn only_audience(&self, audience: &str) -> Result<(), JwtFault> {
        let same = match self.get("aud") {
            Some(Value::String(only)) => only == audience,
            Some(Value::Array(all)) => matches!(all.as_slice(), [only] if only.as_str() == Some(audience)),
            _ => false,
        };
        // A name that was not configured is nobody's.
        if same && !audience.is_empty() { Ok(()) } else { Err(JwtFault::Audience) }
    }

    /// A claim by JSON pointer (RFC 6901).
    pub(crate) fn pointer(&self, pointer: &str) -> Option<&Value> {
        self.0.pointer(pointer)
    }

    /// `exp`, which is required, `iat` and `nbf`, each of them whole seconds.
    pub(crate) fn times(&self) -> Result<Times, JwtFault> {
        let time = |name: &str| match self.0.get(name) {
            None => Ok(None),
            Some(value) => value.as_u64().filter(|time| *time <= LATEST).map(Some).ok_or(JwtFault::Times),
        };
        let expires = time("exp")?.ok_or(JwtFault::Times)?;
        Ok(Times { expires, issued: time("iat")?, not_before: time("nbf")? })
    }
}

impl Times {
    /// Checks that the token is valid now: `exp` is in the future, without skew; `nbf` and `iat` are not, with skew.
    pub(crate) fn check(&self, now: u64) -> Result<(), JwtFault> {
        if self.expires <= now {
            return Err(JwtFault::Expired);
        }
        let begun = |time: Option<u64>| time.is_none_or(|time| time <= now.saturating_add(SKEW_SECONDS));
        if begun(self.issued) && begun(self.not_before) { Ok(()) } else { Err(JwtFault::NotYet) }
    }

    /// Checks that it lives for `longest` seconds at most, by its own times and from now.
    pub(crate) fn check_life(&self, now: u64, longest: u64) -> Result<(), JwtFault> {
        let by_itself = self.issued.is_none_or(|issued| self.expires.saturating_sub(issued) <= longest);
        let from_now = self.expires <= now.saturating_add(longest + SKEW_SECONDS);
        if by_itself && from_now { Ok(()) } else { Err(JwtFault::TooLongLived) }
    }
}

/// Header members that would let the token choose its key or change how it is read (RFC 7515 section 4.1, RFC 7516,
/// RFC 7797).
const FORBIDDEN: [&str; 8] = ["jwk", "jku", "x5u", "x5c", "crit", "b64", "zip", "enc"];
/// 2^53 − 1: every JSON reader keeps it exact.
const LATEST: u64 = (1 << 53) - 1;

#[cfg(test)]
mod tests;
