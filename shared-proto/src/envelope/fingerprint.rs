//! Value fingerprints: keyed hashes, by which the manager asks the vault whether two values are the same.
//!
//! Guarantees that neither half can test a guess at a value. Only the manager can make a fingerprint. The vault keeps it
//! bound to its envelope under a key that only the manager can derive, so what the vault keeps shows neither the
//! fingerprint nor which envelopes have the same one. `docs/protocol.md` section 3 has the forms.

use aws_lc_rs::constant_time::verify_slices_are_equal;
#[cfg(feature = "seal")]
use aws_lc_rs::hmac;
use zeroize::Zeroizing;

#[cfg(feature = "seal")]
use super::Header;
#[cfg(feature = "seal")]
use super::format::kind_of;
use super::keys::{key_unwrap, key_wrap};
use crate::Rejected;
#[cfg(feature = "seal")]
use crate::derive::derive;
use crate::encoding::Bytes;
#[cfg(feature = "seal")]
use crate::id::EnvironmentId;
#[cfg(feature = "open")]
use crate::secret::StorageKey;
use crate::secret::{BindingKey, TransferKey};
#[cfg(feature = "seal")]
use crate::secret::{FingerprintKey, SecretValue};

/// The keyed hash of a value in its environment. Equal values of an environment have equal ones.
pub struct ValueFingerprint(Zeroizing<[u8; 32]>);

/// A fingerprint under the binding key of its envelope: `AES-KW(BK, fingerprint)`. Only the manager can make it.
pub struct BoundFingerprint(Zeroizing<[u8; 40]>);

/// A bound fingerprint under a transfer key: the only form in which it crosses the wire.
pub type MovedFingerprint = Bytes<48>;

/// A bound fingerprint under the storage key: the form at rest.
pub type StoredFingerprint = Bytes<48>;

/// A binding key under a transfer key.
pub type MovedBindingKey = Bytes<40>;

impl ValueFingerprint {
    /// `HMAC-SHA-256(F(k, "fingerprint-hash", environment), kind ‖ value)`.
    #[cfg(feature = "seal")]
    pub fn of(key: &FingerprintKey, environment: EnvironmentId, value: &SecretValue) -> Result<Self, Rejected> {
        // EXPOSE: input of the derivation.
        let key = derive(key.expose(), b"splitvault/1/fingerprint-hash", &[environment.as_bytes()])?;
        let mut hash = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key.as_slice()));
        hash.update(&[kind_of(value.encoding())]);
        // EXPOSE: the value goes into the HMAC.
        hash.update(value.expose());
        let mut out = Zeroizing::new([0; 32]);
        out.copy_from_slice(hash.sign().as_ref());
        Ok(Self(out))
    }

    /// Binds it to an envelope.
    #[cfg(feature = "seal")]
    pub fn bind_with(&self, key: &BindingKey) -> Result<BoundFingerprint, Rejected> {
        // EXPOSE: the key goes into the cipher.
        key_wrap(key.expose(), &self.0).map(|bytes| BoundFingerprint(Zeroizing::new(bytes)))
    }

    /// Whether two values are the same, in constant time.
    pub fn is_same(&self, other: &Self) -> bool {
        verify_slices_are_equal(&*self.0, &*other.0).is_ok()
    }
}

/// `BK = F(k, "fingerprint-bind", H)`: reads the fingerprint of this one envelope and no other.
#[cfg(feature = "seal")]
pub fn binding_key(key: &FingerprintKey, header: &Header) -> Result<BindingKey, Rejected> {
    // EXPOSE: input of the derivation.
    derive(key.expose(), b"splitvault/1/fingerprint-bind", &[&header.to_bytes()]).map(BindingKey::from_bytes)
}

impl BindingKey {
    /// Wraps it with a transfer key, for the wire.
    pub fn move_with(&self, transfer_key: &TransferKey) -> Result<MovedBindingKey, Rejected> {
        // EXPOSE: both keys go into the cipher.
        key_wrap(transfer_key.expose(), self.expose()).map(Bytes)
    }

    /// Unwraps it with a transfer key, from the wire.
    pub fn from_moved(transfer_key: &TransferKey, moved: &MovedBindingKey) -> Result<Self, Rejected> {
        // EXPOSE: the key goes into the cipher.
        key_unwrap(transfer_key.expose(), &moved.0).map(Self::from_bytes)
    }
}

impl BoundFingerprint {
    /// Whether two fingerprints that are bound to the same envelope are the same, in constant time. Those of different
    /// envelopes never are.
    pub fn is_same(&self, other: &Self) -> bool {
        verify_slices_are_equal(&*self.0, &*other.0).is_ok()
    }

    /// The fingerprint, read with the binding key of its envelope.
    pub fn unbind_with(&self, key: &BindingKey) -> Result<ValueFingerprint, Rejected> {
        // EXPOSE: the key goes into the cipher.
        key_unwrap(key.expose(), &self.0).map(ValueFingerprint)
    }

    /// Wraps it with a transfer key, for the wire.
    pub fn move_with(&self, transfer_key: &TransferKey) -> Result<MovedFingerprint, Rejected> {
        // EXPOSE: the key goes into the cipher.
        key_wrap(transfer_key.expose(), &self.0).map(Bytes)
    }

    /// Unwraps it with a transfer key, from the wire.
    pub fn from_moved(transfer_key: &TransferKey, moved: &MovedFingerprint) -> Result<Self, Rejected> {
        // EXPOSE: the key goes into the cipher.
        key_unwrap(transfer_key.expose(), &moved.0).map(Self)
    }

    /// Wraps it with a storage key, for the database.
    #[cfg(feature = "open")]
    pub fn store_with(&self, storage_key: &StorageKey) -> Result<StoredFingerprint, Rejected> {
        // EXPOSE: the key goes into the cipher.
        key_wrap(storage_key.expose(), &self.0).map(Bytes)
    }

    /// Unwraps it with a storage key, from the database.
    #[cfg(feature = "open")]
    pub fn from_stored(storage_key: &StorageKey, stored: &StoredFingerprint) -> Result<Self, Rejected> {
        // EXPOSE: the key goes into the cipher.
        key_unwrap(storage_key.expose(), &stored.0).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use static_assertions::assert_not_impl_any;

    use super::*;

    assert_not_impl_any!(
        ValueFingerprint: std::fmt::Debug, std::fmt::Display, Clone, Copy, serde::Serialize, PartialEq
    );
    assert_not_impl_any!(
        BoundFingerprint: std::fmt::Debug, std::fmt::Display, Clone, Copy, serde::Serialize, PartialEq
    );
}
