//! Key wrapping (RFC 3394) and the three forms of a wrapped data key.
//!
//! `aes-kw` 0.3.1 does RFC 3394 behind exact lengths: without them its unwrap of `a6a6a6a6a6a6a6a6` gives an empty key
//! under any wrapping key. Its RFC 5649 half is not used, because it does not zero its padding.

use aes_kw::KeyInit as _;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use zeroize::Zeroizing;

use crate::Rejected;
use crate::encoding::Bytes;
use crate::secret::{DataKey, ReleaseKey};

/// A data key wrapped with a release key: `AES-KW(RK, DEK)`. Only a holder of RK can make or unwrap it.
pub struct Inner(Zeroizing<[u8; 40]>);

/// An inner key wrapped with a transfer key: the only form in which it crosses the wire.
pub type MovedKey = Bytes<48>;

/// An inner key wrapped with the storage key: the form at rest.
pub type StoredKey = Bytes<48>;

/// A transfer key encrypted to the vault's transport key (RSA-OAEP), as sent with each store command.
pub type WrappedTransferKey = crate::encoding::ByteString;

/// The OAEP label of transfer keys.
pub const TRANSFER_LABEL: &[u8] = b"splitvault/1/transfer";

/// RFC 3394 wrapping of a 32-byte key (40 bytes out) or of a 40-byte one (48 bytes out).
pub fn key_wrap<const IN: usize, const OUT: usize>(key: &[u8; 32], plain: &[u8; IN]) -> Result<[u8; OUT], Rejected> {
    const { assert!(OUT == IN + 8 && (IN == 32 || IN == 40)) };
    let mut out = [0; OUT];
    let wrapped = aes_kw::KwAes256::new(key.into()).wrap_key(plain, &mut out).map_err(|_| Rejected)?;
    if wrapped.len() == OUT { Ok(out) } else { Err(Rejected) }
}

/// The inverse of [`key_wrap`].
pub fn key_unwrap<const IN: usize, const OUT: usize>(
    key: &[u8; 32],
    wrapped: &[u8; IN],
) -> Result<Zeroizing<[u8; OUT]>, Rejected> {
    const { assert!(IN == OUT + 8 && (OUT == 32 || OUT == 40)) };
    let mut out = Zeroizing::new([0; OUT]);
    let length = aes_kw::KwAes256::new(key.into()).unwrap_key(wrapped, out.as_mut_slice()).map_err(|_| Rejected)?.len();
    if length == OUT { Ok(out) } else { Err(Rejected) }
}

impl Inner {
    /// Whether two wrapped keys are the same, in constant time.
    pub fn is_same(&self, other: &Self) -> bool {
        verify_slices_are_equal(&*self.0, &*other.0).is_ok()
    }

    /// Wraps a data key with its release key.
    #[cfg(feature = "seal")]
    pub fn wrap(release_key: &ReleaseKey, data_key: &DataKey) -> Result<Self, Rejected> {
        // EXPOSE: both keys go into the cipher.
        key_wrap(release_key.expose(), data_key.expose()).map(|bytes| Self(Zeroizing::new(bytes)))
    }

    /// Unwraps the data key.
    pub fn unwrap_with(&self, release_key: &ReleaseKey) -> Result<DataKey, Rejected> {
        // EXPOSE: the key goes into the cipher.
        key_unwrap(release_key.expose(), &self.0).map(DataKey::from_bytes)
    }

    /// Wraps it with a transfer key, for the wire.
    pub fn move_with(&self, transfer_key: &crate::secret::TransferKey) -> Result<MovedKey, Rejected> {
        // EXPOSE: the key goes into the cipher.
        key_wrap(transfer_key.expose(), &self.0).map(Bytes)
    }

    /// Unwraps it with a transfer key, from the wire.
    pub fn from_moved(transfer_key: &crate::secret::TransferKey, moved: &MovedKey) -> Result<Self, Rejected> {
        // EXPOSE: the key goes into the cipher.
        key_unwrap(transfer_key.expose(), &moved.0).map(Self)
    }

    /// Wraps it with a storage key, for the database.
    #[cfg(feature = "open")]
    pub fn store_with(&self, storage_key: &crate::secret::StorageKey) -> Result<StoredKey, Rejected> {
        // EXPOSE: the key goes into the cipher.
        key_wrap(storage_key.expose(), &self.0).map(Bytes)
    }

    /// Unwraps it with a storage key, from the database.
    #[cfg(feature = "open")]
    pub fn from_stored(storage_key: &crate::secret::StorageKey, stored: &StoredKey) -> Result<Self, Rejected> {
        // EXPOSE: the key goes into the cipher.
        key_unwrap(storage_key.expose(), &stored.0).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_constant_that_aes_kw_unwraps_to_nothing_is_refused() {
        // aes-kw 0.3.1 answers Ok(empty) to the bare initial value; exact lengths keep it out. Padded to our length it
        // must fail its integrity check.
        let mut wrapped = [0; 40];
        wrapped[..8].copy_from_slice(&[0xa6; 8]);
        for key in [[0; 32], [7; 32]] {
            assert!(key_unwrap::<40, 32>(&key, &wrapped).is_err());
        }
    }

    #[test]
    fn a_wrapped_key_with_any_bit_flipped_is_refused() {
        let wrapped: [u8; 40] = key_wrap(&[1; 32], &[2; 32]).unwrap();
        assert_eq!(*key_unwrap::<40, 32>(&[1; 32], &wrapped).unwrap(), [2; 32]);
        for bit in 0..wrapped.len() * 8 {
            let mut flipped = wrapped;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(key_unwrap::<40, 32>(&[1; 32], &flipped).is_err(), "bit {bit}");
        }
    }
}
