//! Key statements: public keys with owner, purpose and validity, signed by the owner's identity key.

use serde::{Deserialize, Serialize};

use crate::Rejected;
use crate::encoding::{lp, read_from_objects_only};
use crate::identity::{IdentityKey, Owner, Pins, Signature};
use crate::jwk::{PublicJwk, Thumbprint};

/// The purpose of a stated key. One key has one purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// The manager's RS256 keys for access tokens.
    TokenSigning,
    /// The vault's RSA-OAEP keys for transfer keys.
    Transport,
    /// The vault's HPKE keys for content keys.
    Seal,
}

impl Purpose {
    /// The word in JSON and under the signature.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TokenSigning => "token-signing",
            Self::Transport => "transport",
            Self::Seal => "seal",
        }
    }
}

/// A signed public key, in the form that is sent. Nothing in it is trusted before [`KeyStatement::verify`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct KeyStatement {
    /// The owner of the key.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub owner: Owner,
    /// The purpose of the key.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub purpose: Purpose,
    /// The key.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub key: PublicJwk,
    /// First second of validity (Unix seconds).
    pub not_before: u64,
    /// First second after validity (Unix seconds).
    pub not_after: u64,
    /// The identity key that signed.
    #[cfg_attr(feature = "openapi", schema(value_type = String, pattern = r"^[A-Za-z0-9_-]{43}$"))]
    pub kid: Thumbprint,
    /// Its signature.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub signature: Signature,
}

/// A key whose statement was verified. [`StatedKey::valid_at`] must be checked at each use.
#[derive(Clone, Debug)]
pub struct StatedKey {
    /// Thumbprint of the key.
    pub kid: Thumbprint,
    /// The key.
    pub key: PublicJwk,
    /// The purpose of the key.
    pub purpose: Purpose,
    /// First second of validity.
    pub not_before: u64,
    /// First second after validity.
    pub not_after: u64,
}

impl StatedKey {
    /// Whether the key may be used at `now` (Unix seconds).
    pub fn valid_at(&self, now: u64) -> bool {
        (self.not_before..self.not_after).contains(&now)
    }
}

read_from_objects_only!(KeyStatement);

impl KeyStatement {
    /// States `key` for `purpose` from `not_before` to `not_after` (Unix seconds).
    pub fn sign(
        identity: &IdentityKey,
        owner: Owner,
        purpose: Purpose,
        key: PublicJwk,
        (not_before, not_after): (u64, u64),
    ) -> Self {
        let message = message(&owner, purpose, &key, not_before, not_after);
        Self { owner, purpose, key, not_before, not_after, kid: identity.kid(), signature: identity.sign(&message) }
    }

    /// Checks owner and signature against the pins.
    pub fn verify(&self, pins: &Pins) -> Result<StatedKey, Rejected> {
        let purpose_fits = match (self.purpose, &self.owner, &self.key) {
            (Purpose::TokenSigning, Owner::Manager(_), PublicJwk::Rsa { .. })
            | (Purpose::Transport, Owner::Vault(_), PublicJwk::Rsa { .. }) => true,
            (Purpose::Seal, Owner::Vault(_), key @ PublicJwk::Okp { .. }) => key.okp(crate::jwk::Curve::X25519).is_ok(),
            (Purpose::TokenSigning | Purpose::Transport | Purpose::Seal, _, _) => false,
        };
        if !purpose_fits || self.owner != pins.id() || self.not_before >= self.not_after {
            return Err(Rejected);
        }
        let message = message(&self.owner, self.purpose, &self.key, self.not_before, self.not_after);
        pins.verify(&self.kid, &message, &self.signature)?;
        Ok(StatedKey {
            kid: self.key.thumbprint(),
            key: self.key.clone(),
            purpose: self.purpose,
            not_before: self.not_before,
            not_after: self.not_after,
        })
    }
}

fn message(owner: &Owner, purpose: Purpose, key: &PublicJwk, not_before: u64, not_after: u64) -> Vec<u8> {
    lp(&[
        b"splitvault/1/key",
        owner.as_bytes(),
        purpose.as_str().as_bytes(),
        &key.thumbprint().0,
        &not_before.to_be_bytes(),
        &not_after.to_be_bytes(),
    ])
}
