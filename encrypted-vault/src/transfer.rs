//! Transfer keys in memory, by the hash of their wrapped form, so that RSA is paid once for each and not per secret.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use service_runtime::http::ApiError;
use shared_proto::Rejected;
use shared_proto::encoding::sha256;
use shared_proto::envelope::{WrappedTransferKey, open};
use shared_proto::error::ErrorCode;
use shared_proto::jwk::Thumbprint;
use shared_proto::secret::TransferKey;

use crate::app::Vault;

/// How long a transfer key is remembered, in seconds of the boot clock: twice its life at the manager.
const TRANSFER_KEY_SECONDS: u64 = 10 * 60;
/// How many are remembered. A manager uses one every five minutes; more would be an attack on memory.
const TRANSFER_KEYS: usize = 64;

/// The transfer keys of the last minutes.
#[derive(Default)]
pub struct TransferKeys(Mutex<HashMap<[u8; 32], Remembered>>);

// A key, and the second of the boot clock when it came.
type Remembered = (Arc<TransferKey>, u64);

impl TransferKeys {
    fn get(&self, hash: &[u8; 32]) -> Option<Arc<TransferKey>> {
        let keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        keys.get(hash).map(|(key, _)| Arc::clone(key))
    }

    fn put(&self, hash: [u8; 32], key: TransferKey, boot: u64) -> Arc<TransferKey> {
        let key = Arc::new(key);
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= TRANSFER_KEYS {
            keys.clear();
        }
        keys.insert(hash, (Arc::clone(&key), boot));
        key
    }

    /// Drops and wipes what is over. Called every second.
    pub fn sweep(&self, boot: u64) {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        keys.retain(|_, (_, since)| boot.saturating_sub(*since) < TRANSFER_KEY_SECONDS);
    }
}

/// The transfer key of a command.
///
/// # Errors
/// It is not under an accepted transport key, or does not open.
pub async fn transfer_key(
    vault: &Arc<Vault>,
    transport_kid: Thumbprint,
    wrapped: WrappedTransferKey,
) -> Result<Arc<TransferKey>, ApiError> {
    let keys = vault.keys.current();
    if keys.transport(&transport_kid).is_none() {
        return Err(ApiError::new(ErrorCode::ParameterInvalid).detail("The transport key is not one that is stated."));
    }
    let hash = sha256(&wrapped.0);
    if let Some(key) = vault.transfer_keys.get(&hash) {
        return Ok(key);
    }
    let unwrap = move || {
        let transport = keys.transport(&transport_kid).ok_or(Rejected)?;
        open::unwrap_transfer_key(&transport.private, &wrapped)
    };
    match service_runtime::tasks::blocking(unwrap).await {
        Ok(Ok(key)) => Ok(vault.transfer_keys.put(hash, key, vault.clock.boot())),
        Ok(Err(Rejected)) => Err(ApiError::new(ErrorCode::BodyInvalid).detail("The transfer key does not open.")),
        Err(_) => Err(ApiError::new(ErrorCode::Internal)),
    }
}
