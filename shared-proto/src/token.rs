//! Access tokens: the claims of `at+jwt`, and their checks against a clock, an issuer and an audience.

use serde::de::{Deserializer, Error as _};
use serde::ser::{SerializeMap as _, Serializer};
use serde::{Deserialize, Serialize};

use crate::Rejected;
use crate::encoding::{ByteString, Bytes, lp, present, unique_members};
use crate::id::{CredentialId, EnvironmentId, SecretId, Subject, TokenId, VaultId, Version};
use crate::identity::Issuer;
use crate::jwk::Thumbprint;
use crate::jws::VerifiedPayload;

/// The longest life that the vault accepts, in seconds, whatever is signed.
pub const MAX_LIFE_SECONDS: u64 = 45 * 60;
/// How far `nbf` and `iat` may be ahead of the reader's clock, in seconds. `exp` has no leeway.
pub const LEEWAY_SECONDS: u64 = 30;
/// The most grants in one token.
pub const MAX_GRANTS: usize = 64;
/// The most seal keys (copies of the vault) in one token.
pub const MAX_SEALS: usize = 8;

/// One line of an access token: a version of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Grant {
    /// The secret.
    pub secret: SecretId,
    /// The version that may be read.
    pub version: Version,
}

impl Serialize for Grant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.secret.bare(), self.version).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Grant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (secret, version) = <(String, Version)>::deserialize(deserializer)?;
        Ok(Self { secret: SecretId::from_bare(&secret).map_err(D::Error::custom)?, version })
    }
}

/// Proof of possession that a token asks for (`cnf`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Confirmation {
    /// `DPoP` key thumbprint (RFC 9449).
    #[serde(rename = "jkt")]
    Dpop(Thumbprint),
    /// Client certificate thumbprint (RFC 8705).
    #[serde(rename = "x5t#S256")]
    Certificate(Thumbprint),
}

impl Confirmation {
    fn bound_form(&self) -> String {
        match self {
            Self::Dpop(thumbprint) => format!("jkt:{thumbprint:?}"),
            Self::Certificate(thumbprint) => format!("x5t#S256:{thumbprint:?}"),
        }
    }
}

/// Everything that a token says, except its sealed release keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenTerms {
    /// The manager that made it.
    pub issuer: Issuer,
    /// The vault that it is for.
    pub audience: VaultId,
    /// Its subject.
    pub subject: Subject,
    /// The credential that was used.
    pub client_id: CredentialId,
    /// Its id.
    pub jti: TokenId,
    /// Proof of possession, if demanded.
    pub confirmation: Option<Confirmation>,
    /// When it was made (Unix seconds).
    pub issued_at: u64,
    /// When it ends (Unix seconds).
    pub expires_at: u64,
    /// The newest event when it was decided on.
    pub rseq: u64,
    /// The environment of all its grants.
    pub environment: EnvironmentId,
    /// What may be read, each secret once.
    pub grants: Vec<Grant>,
}

/// The holder of a token, as audit lines and budgets name him.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TokenHolder {
    /// Id of the token.
    pub jti: TokenId,
    /// Its subject.
    pub subject: Subject,
    /// The credential that was used.
    pub client_id: CredentialId,
}

impl TokenTerms {
    /// The holder of the token.
    pub fn holder(&self) -> TokenHolder {
        TokenHolder { jti: self.jti, subject: self.subject, client_id: self.client_id }
    }

    /// The bytes that the seal is bound to (HPKE `info` and the additional data of `rk`).
    pub fn info(&self) -> Vec<u8> {
        let grants: Vec<u8> = self
            .grants
            .iter()
            .flat_map(|grant| lp(&[grant.secret.as_bytes(), &grant.version.get().to_be_bytes()]))
            .collect();
        lp(&[
            b"splitvault/1/token",
            self.issuer.to_string().as_bytes(),
            self.audience.to_string().as_bytes(),
            self.subject.to_string().as_bytes(),
            self.client_id.to_string().as_bytes(),
            self.jti.to_string().as_bytes(),
            self.confirmation.map(|cnf| cnf.bound_form()).unwrap_or_default().as_bytes(),
            &self.issued_at.to_be_bytes(),
            &self.expires_at.to_be_bytes(),
            &self.rseq.to_be_bytes(),
            self.environment.as_bytes(),
            &grants,
        ])
    }

    /// The position of `secret` among the grants.
    pub fn grant_of(&self, secret: SecretId) -> Option<(usize, Grant)> {
        self.grants.iter().copied().enumerate().find(|(_, grant)| grant.secret == secret)
    }
}

/// The content key sealed to one seal key: HPKE `enc` (32 bytes) and ciphertext (48 bytes).
pub type SealedContentKey = Bytes<80>;

/// The claims of an access token as they are signed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessClaims {
    iss: Issuer,
    sub: Subject,
    aud: VaultId,
    exp: u64,
    nbf: u64,
    iat: u64,
    jti: TokenId,
    client_id: CredentialId,
    #[serde(serialize_with = "bare_environment", deserialize_with = "from_bare_environment")]
    env: EnvironmentId,
    grants: Vec<Grant>,
    rseq: u64,
    #[serde(serialize_with = "seals_object", deserialize_with = "unique_seals")]
    seals: Vec<(Thumbprint, SealedContentKey)>,
    rk: ByteString,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    cnf: Option<Confirmation>,
}

/// What the reader of a token expects of it.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// The pinned manager.
    pub issuer: Issuer,
    /// The reader itself.
    pub audience: VaultId,
    /// Unix seconds.
    pub now: u64,
}

/// The times of a token or command, in Unix seconds.
#[derive(Clone, Copy)]
pub(crate) struct Times {
    pub(crate) issued_at: u64,
    pub(crate) not_before: u64,
    pub(crate) expires_at: u64,
}

impl Expected {
    /// Whether something of this issuer, for this audience and with these times, counts now and lives at most `longest`
    /// seconds. It may come from a clock that is [`LEEWAY_SECONDS`] ahead; it has no leeway at its end.
    pub(crate) fn fits(&self, issuer: Issuer, audience: VaultId, times: Times, longest: u64) -> bool {
        let Times { issued_at, not_before, expires_at } = times;
        let ahead = self.now.saturating_add(LEEWAY_SECONDS);
        issuer == self.issuer
            && audience == self.audience
            && self.now < expires_at
            && not_before <= ahead
            && issued_at <= ahead
            && not_before < expires_at
            && expires_at.checked_sub(issued_at).is_some_and(|life| (1..=longest).contains(&life))
    }
}

/// Claims that were checked against [`Expected`], and the sealed release keys.
#[derive(Debug)]
pub struct CheckedClaims {
    /// What the token says.
    pub terms: TokenTerms,
    /// The sealed content key, by seal key.
    pub seals: Vec<(Thumbprint, SealedContentKey)>,
    /// The sealed release keys.
    pub rk: ByteString,
}

impl AccessClaims {
    /// Reads the claims of any token: of every issuer, for every audience, of every time.
    #[cfg(feature = "sabotage")]
    pub fn check_form_only(payload: &VerifiedPayload) -> Result<CheckedClaims, Rejected> {
        let claims: Self = payload.claims()?;
        Self::check(payload, &Expected { issuer: claims.iss, audience: claims.aud, now: claims.iat })
    }

    /// Puts terms and sealed release keys together. `nbf` is `iat`.
    pub fn new(terms: TokenTerms, seals: Vec<(Thumbprint, SealedContentKey)>, rk: ByteString) -> Self {
        Self {
            iss: terms.issuer,
            sub: terms.subject,
            aud: terms.audience,
            exp: terms.expires_at,
            nbf: terms.issued_at,
            iat: terms.issued_at,
            jti: terms.jti,
            client_id: terms.client_id,
            env: terms.environment,
            grants: terms.grants,
            rseq: terms.rseq,
            seals,
            rk,
            cnf: terms.confirmation,
        }
    }

    /// The holder of a token whose signature held and whose claims may not.
    ///
    /// # Errors
    ///
    /// [`Rejected`] when the claims are not those of an access token.
    pub fn holder(payload: &VerifiedPayload) -> Result<TokenHolder, Rejected> {
        let claims: Self = payload.claims()?;
        Ok(TokenHolder { jti: claims.jti, subject: claims.sub, client_id: claims.client_id })
    }

    /// Reads and checks the claims of a token whose signature held.
    ///
    /// # Errors
    ///
    /// [`Rejected`] for any claim that is missing, unknown, wrongly typed, out of range, expired, for another vault or
    /// from another manager; and for any `cnf`, because this version implements no proof of possession.
    pub fn check(payload: &VerifiedPayload, expected: &Expected) -> Result<CheckedClaims, Rejected> {
        let claims: Self = payload.claims()?;
        let times = Times { issued_at: claims.iat, not_before: claims.nbf, expires_at: claims.exp };
        let mut secrets: Vec<SecretId> = claims.grants.iter().map(|grant| grant.secret).collect();
        secrets.sort_unstable();
        secrets.dedup();
        let good = expected.fits(claims.iss, claims.aud, times, MAX_LIFE_SECONDS)
            && (1..=MAX_GRANTS).contains(&claims.grants.len())
            && secrets.len() == claims.grants.len()
            && (1..=MAX_SEALS).contains(&claims.seals.len())
            && claims.rk.0.len() == claims.grants.len() * 32 + 16
            && claims.rseq <= crate::id::MAX_VERSION
            && claims.cnf.is_none();
        if !good {
            return Err(Rejected);
        }
        Ok(CheckedClaims {
            terms: TokenTerms {
                issuer: claims.iss,
                audience: claims.aud,
                subject: claims.sub,
                client_id: claims.client_id,
                jti: claims.jti,
                confirmation: claims.cnf,
                issued_at: claims.iat,
                expires_at: claims.exp,
                rseq: claims.rseq,
                environment: claims.env,
                grants: claims.grants,
            },
            seals: claims.seals,
            rk: claims.rk,
        })
    }
}

fn bare_environment<S: Serializer>(id: &EnvironmentId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&id.bare())
}

fn from_bare_environment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<EnvironmentId, D::Error> {
    EnvironmentId::from_bare(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

fn seals_object<S: Serializer>(seals: &[(Thumbprint, SealedContentKey)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(seals.len()))?;
    for (kid, sealed) in seals {
        map.serialize_entry(kid, sealed)?;
    }
    map.end()
}

fn unique_seals<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(Thumbprint, SealedContentKey)>, D::Error> {
    unique_members::<D, SealedContentKey>(deserializer)?
        .into_iter()
        .map(|(kid, sealed)| Ok((Bytes(crate::encoding::from_b64_exact(&kid).map_err(D::Error::custom)?), sealed)))
        .collect()
}
