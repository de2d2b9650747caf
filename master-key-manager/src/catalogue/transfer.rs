//! The transfer key in use. It lives in memory only, for five minutes, and belongs to one transport key.

use std::sync::{Arc, Mutex, PoisonError};

use service_runtime::Refusal;
use service_runtime::clock::Clock;
use shared_proto::envelope::WrappedTransferKey;
use shared_proto::envelope::seal::new_transfer_key;
use shared_proto::jwk::Thumbprint;
use shared_proto::rsa_key::encrypting_key;
use shared_proto::secret::TransferKey;
use shared_proto::statement::StatedKey;

use crate::sealing::cipher_refused;

/// A transfer key with its form for the vault.
pub(crate) struct Transfer {
    pub(crate) key: TransferKey,
    pub(crate) wrapped: WrappedTransferKey,
    pub(crate) transport_kid: Thumbprint,
    made_at: u64,
}

/// Keeps the newest transfer key.
pub(crate) struct TransferKeys {
    newest: Mutex<Option<Arc<Transfer>>>,
    clock: Arc<dyn Clock>,
}

/// Half of what the vault caches, so that it is paid for once and not kept long.
const LIFE_SECONDS: u64 = 5 * 60;

impl TransferKeys {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { newest: Mutex::default(), clock }
    }

    /// The key in use, or a new one when it is old or the transport key is another.
    pub(crate) fn for_transport(&self, transport: &StatedKey) -> Result<Arc<Transfer>, Refusal> {
        let now = self.clock.boot();
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(transfer) = newest.as_ref().filter(|transfer| {
            transfer.transport_kid == transport.kid && now.saturating_sub(transfer.made_at) < LIFE_SECONDS
        }) {
            return Ok(Arc::clone(transfer));
        }
        let public = encrypting_key(&transport.key)
            .map_err(|_| Refusal::unavailable("the vault's transport key is not usable"))?;
        let (key, wrapped) = new_transfer_key(&public).map_err(cipher_refused)?;
        #[cfg(feature = "sabotage")]
        crate::sabotage::leak_transfer_key(&key);
        let transfer = Arc::new(Transfer { key, wrapped, transport_kid: transport.kid, made_at: now });
        *newest = Some(Arc::clone(&transfer));
        Ok(transfer)
    }
}
