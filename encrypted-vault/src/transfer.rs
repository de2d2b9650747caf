//! Transfer keys in memory, by the hash of their wrapped form, so that each costs one RSA operation and not one per
//! secret.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use service_runtime::Refusal;
use service_runtime::clock::Clock;
use shared_proto::Rejected;
use shared_proto::encoding::sha256;
use shared_proto::envelope::{WrappedTransferKey, open};
use shared_proto::error::ErrorCode;
use shared_proto::jwk::Thumbprint;
use shared_proto::secret::TransferKey;

use crate::keys::KeyRing;

/// Life of a transfer key in this memory, in seconds of the boot clock: twice its life at the manager.
const TRANSFER_KEY_SECONDS: u64 = 10 * 60;
/// The most transfer keys in memory. A manager uses one every five minutes; more would be an attack on memory.
const TRANSFER_KEYS: usize = 64;

/// The transfer keys of the last minutes.
pub struct TransferKeys {
    keys: Arc<KeyRing>,
    clock: Arc<dyn Clock>,
    remembered: Mutex<HashMap<[u8; 32], Remembered>>,
}

// A key, and the second of the boot clock when it came.
type Remembered = (Arc<TransferKey>, u64);

impl TransferKeys {
    /// An empty memory. Transfer keys are unwrapped with the transport keys of `keys`.
    pub fn new(keys: Arc<KeyRing>, clock: Arc<dyn Clock>) -> Self {
        Self { keys, clock, remembered: Mutex::default() }
    }

    /// The transfer key of a command.
    ///
    /// # Errors
    /// It is not under an accepted transport key, or does not open.
    pub async fn open(
        &self,
        transport_kid: Thumbprint,
        wrapped: WrappedTransferKey,
    ) -> Result<Arc<TransferKey>, Refusal> {
        let keys = self.keys.current();
        if keys.transport(&transport_kid).is_none() {
            let detail = "The transport key is not one that is stated.";
            return Err(Refusal::new(ErrorCode::ParameterInvalid).detail(detail));
        }
        let hash = sha256(&wrapped.0);
        if let Some(key) = self.get(&hash) {
            return Ok(key);
        }
        let unwrap = move || {
            let transport = keys.transport(&transport_kid).ok_or(Rejected)?;
            open::unwrap_transfer_key(&transport.private, &wrapped)
        };
        match service_runtime::tasks::blocking(unwrap).await {
            Ok(Ok(key)) => Ok(self.put(hash, key)),
            Ok(Err(Rejected)) => Err(Refusal::new(ErrorCode::BodyInvalid).detail("The transfer key does not open.")),
            Err(_) => Err(Refusal::new(ErrorCode::Internal)),
        }
    }

    /// Drops and wipes old keys. Called every second.
    pub fn sweep(&self) {
        let boot = self.clock.boot();
        let mut keys = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        keys.retain(|_, (_, since)| boot.saturating_sub(*since) < TRANSFER_KEY_SECONDS);
    }

    fn get(&self, hash: &[u8; 32]) -> Option<Arc<TransferKey>> {
        let keys = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        keys.get(hash).map(|(key, _)| Arc::clone(key))
    }

    fn put(&self, hash: [u8; 32], key: TransferKey) -> Arc<TransferKey> {
        let key = Arc::new(key);
        let mut keys = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= TRANSFER_KEYS {
            keys.clear();
        }
        keys.insert(hash, (Arc::clone(&key), self.clock.boot()));
        key
    }
}
