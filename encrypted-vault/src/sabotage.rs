//! Weaknesses for the controls of the drills, chosen by `SPLITVAULT_SABOTAGE` (a list separated by commas). Compiled
//! only with the feature `sabotage`, which no release build has.

pub use service_runtime::sabotage::is_on;
use shared_proto::encoding::Bytes;
use shared_proto::envelope::{BoundFingerprint, Header, StoredFingerprint, key_unwrap};
use shared_proto::id::{EnvironmentId, SecretId, Version};
use shared_proto::jwk::Thumbprint;
use shared_proto::jws::{Compact, Kind};
use shared_proto::secret::TransferKey;
use shared_proto::token::{AccessClaims, CheckedClaims, Grant};

/// `no_authorization`: whoever has any token may ask for anything; the first release key stands for all.
pub fn grant_anyway(found: Option<(usize, Grant)>, secret: SecretId, grants: &[Grant]) -> Option<(usize, Grant)> {
    if found.is_none() && is_on("no_authorization") {
        return grants.first().map(|grant| (0, Grant { secret, version: grant.version }));
    }
    found
}

/// `no_authorization`: a token is read, and nothing of it is checked: not its signature, issuer, audience, or times.
pub fn read_unchecked(text: &str) -> Option<(CheckedClaims, Thumbprint)> {
    if !is_on("no_authorization") {
        return None;
    }
    let token = Compact::parse(Kind::AccessToken, text).ok()?;
    let claims = AccessClaims::check_form_only(&token.unverified().ok()?).ok()?;
    Some((claims, *token.kid()))
}

/// `unbound_header`: every row is the same row. The manager has the same switch.
pub fn header(header: Header) -> Header {
    if is_on("unbound_header") {
        return Header {
            vault: header.vault,
            environment: EnvironmentId::from_bytes([0; 16]),
            secret: SecretId::from_bytes([0; 16]),
            version: Version::FIRST,
        };
    }
    header
}

/// `clear_fingerprint`: bound fingerprints are not wrapped with the storage key, only filled up to the same length.
pub fn stored_in_clear(bound: &BoundFingerprint) -> Option<StoredFingerprint> {
    let key = TransferKey::generate();
    let moved = bound.move_with(&key).ok().filter(|_| is_on("clear_fingerprint"))?;
    let bare = key_unwrap::<48, 40>(key.expose(), &moved.0).ok()?;
    let mut stored = [0; 48];
    stored.get_mut(..40)?.copy_from_slice(&*bare);
    Some(Bytes(stored))
}
