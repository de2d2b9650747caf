//! Feed states: the vault's signed statements of the newest event that it has durably applied.

use serde::{Deserialize, Serialize};

use crate::Rejected;
use crate::encoding::{Bytes, lp, read_from_objects_only};
use crate::event::{EventHash, NO_EVENT};
use crate::id::VaultId;
#[cfg(feature = "open")]
use crate::identity::IdentityKey;
use crate::identity::{Owner, Pins, Signature};
use crate::jwk::Thumbprint;

/// 16 random bytes of a request, answered under the signature.
pub type FeedNonce = Bytes<16>;

/// The signed number of the newest applied event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct FeedState {
    /// The vault.
    pub vault: VaultId,
    /// The nonce of the request that it answers.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub nonce: FeedNonce,
    /// Number of the newest applied event, 0 before the first.
    pub applied: u64,
    /// That event's hash.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub event_hash: EventHash,
    /// When it was signed (Unix seconds).
    pub time: u64,
    /// The identity key that signed.
    #[cfg_attr(feature = "openapi", schema(value_type = String, pattern = r"^[A-Za-z0-9_-]{43}$"))]
    pub kid: Thumbprint,
    /// Its signature.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub signature: Signature,
}

read_from_objects_only!(FeedState);

impl FeedState {
    /// Signs that every event up to `applied` is durable.
    #[cfg(feature = "open")]
    pub fn sign(
        identity: &IdentityKey,
        vault: VaultId,
        nonce: FeedNonce,
        applied: u64,
        event_hash: EventHash,
        time: u64,
    ) -> Self {
        let signature = identity.sign(&message(vault, nonce, applied, event_hash, time));
        Self { vault, nonce, applied, event_hash, time, kid: identity.kid(), signature }
    }

    /// Checks that the pinned vault signed this in answer to `nonce`.
    pub fn verify(&self, pins: &Pins, nonce: &FeedNonce) -> Result<(), Rejected> {
        let empty = self.applied == 0;
        if Owner::Vault(self.vault) != pins.id() || self.nonce != *nonce || empty != (self.event_hash == NO_EVENT) {
            return Err(Rejected);
        }
        let message = message(self.vault, self.nonce, self.applied, self.event_hash, self.time);
        pins.verify(&self.kid, &message, &self.signature)
    }
}

fn message(vault: VaultId, nonce: FeedNonce, applied: u64, event_hash: EventHash, time: u64) -> Vec<u8> {
    lp(&[b"splitvault/1/feed", vault.as_bytes(), &nonce.0, &applied.to_be_bytes(), &event_hash.0, &time.to_be_bytes()])
}
