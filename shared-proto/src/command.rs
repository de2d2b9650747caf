//! Commands: EdDSA-signed, seconds-long orders of the manager to the vault, bound to a body by its hash.

use serde::{Deserialize, Serialize};

use crate::Rejected;
use crate::encoding::{Bytes, sha256};
use crate::id::{TokenId, VaultId};
use crate::identity::Issuer;
use crate::jws::VerifiedPayload;
use crate::token::{Expected, Times};

/// Life of a command in seconds.
pub const LIFE_SECONDS: u64 = 60;

/// An order of the manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// Exchange newest event number, key statements and feed state.
    Poll,
    /// Apply events.
    Push,
    /// Return applied events.
    Replay,
    /// Store envelopes.
    Store,
    /// Report the state of versions, and write a tombstone for each missing one.
    Settle,
    /// List the stored versions.
    Inventory,
    /// Hand out the wrapped keys of rows under one epoch.
    Handout,
    /// Add wrapped keys of a newer epoch to rows.
    Rewrap,
    /// Erase the wrapped keys below an epoch, and take no more of them.
    Retire,
    /// Compare fingerprints of values with those of versions.
    Compare,
    /// Compare the fingerprint of a version with those of others.
    Find,
}

impl Operation {
    /// The word in the `op` claim.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Poll => "poll",
            Self::Push => "push",
            Self::Replay => "replay",
            Self::Store => "store",
            Self::Settle => "settle",
            Self::Inventory => "inventory",
            Self::Handout => "handout",
            Self::Rewrap => "rewrap",
            Self::Retire => "retire",
            Self::Compare => "compare",
            Self::Find => "find",
        }
    }

    /// The largest body in bytes.
    pub fn body_limit(self) -> usize {
        match self {
            Self::Store => 16 << 20,
            Self::Push => 1 << 20,
            Self::Poll
            | Self::Replay
            | Self::Settle
            | Self::Inventory
            | Self::Handout
            | Self::Rewrap
            | Self::Retire
            | Self::Compare
            | Self::Find => 64 << 10,
        }
    }
}

/// The claims of a command.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandClaims {
    iss: Issuer,
    aud: VaultId,
    iat: u64,
    nbf: u64,
    exp: u64,
    /// Id of the command.
    pub jti: TokenId,
    /// The order.
    pub op: Operation,
    body: Bytes<32>,
}

impl CommandClaims {
    /// An order with this body, made at `now` (Unix seconds).
    #[cfg(feature = "seal")]
    pub fn new(issuer: Issuer, audience: VaultId, op: Operation, body: &[u8], now: u64) -> Self {
        Self {
            iss: issuer,
            aud: audience,
            iat: now,
            nbf: now,
            exp: now + LIFE_SECONDS,
            jti: TokenId::generate(),
            op,
            body: Bytes(sha256(body)),
        }
    }

    /// Reads and checks the claims of a command whose signature is valid. The body comes later.
    pub fn check(payload: &VerifiedPayload, expected: &Expected) -> Result<Self, Rejected> {
        let claims: Self = payload.claims()?;
        if claims.fits(expected) { Ok(claims) } else { Err(Rejected) }
    }

    /// Whether issuer, audience and times still fit. Call it again when time has passed since [`Self::check`].
    pub fn fits(&self, expected: &Expected) -> bool {
        let times = Times { issued_at: self.iat, not_before: self.nbf, expires_at: self.exp };
        expected.fits(self.iss, self.aud, times, LIFE_SECONDS)
    }

    /// Whether only the times of a command are wrong: the clocks of the services differ, or the command is old.
    pub fn is_untimely(payload: &VerifiedPayload, expected: &Expected) -> bool {
        payload.claims::<Self>().is_ok_and(|claims| {
            let then = Expected { now: claims.iat, ..*expected };
            Self::check(payload, expected).is_err() && Self::check(payload, &then).is_ok()
        })
    }

    /// When it was signed (Unix seconds).
    pub fn issued_at(&self) -> u64 {
        self.iat
    }

    /// Checks that the command was signed for this body.
    pub fn covers(&self, body: &[u8]) -> Result<(), Rejected> {
        if self.body.0 == sha256(body) { Ok(()) } else { Err(Rejected) }
    }
}
