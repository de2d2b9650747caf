//! Ingest of envelopes: unwrap from the transfer key, wrap under the storage key, commit, sign receipts.

use std::sync::Arc;

use futures_util::future::join_all;
use service_runtime::Refusal;
use service_runtime::audit::{AuditLog, Origin};
use service_runtime::clock::Clock;
use service_runtime::tasks::by_size;
use shared_proto::Rejected;
use shared_proto::envelope::{BoundFingerprint, Ciphertext, Header, Inner, MovedFingerprint, digest};
use shared_proto::error::ErrorCode;
use shared_proto::receipt::{Receipt, ReceiptFacts, VersionState};
use shared_proto::secret::TransferKey;
use shared_proto::wire::vault::{
    EnvelopeToStore, MAX_BATCH, Receipts, Settle, Store, StoreAnswer, StoreResult, VersionName,
};

use crate::audit_event::{Act, Outcome};
use crate::keys::{KeyRing, LoadedKeys};
use crate::store::{NewRow, VaultStore, WrappedFingerprint, WrappedKey};
use crate::transfer::TransferKeys;

/// Takes envelopes in.
pub struct Ingest {
    keys: Arc<KeyRing>,
    transfer_keys: Arc<TransferKeys>,
    store: Arc<dyn VaultStore>,
    receipts: Arc<ReceiptSigner>,
    audit: AuditLog,
    clock: Arc<dyn Clock>,
}

/// Signs receipts with the identity key in use.
pub struct ReceiptSigner {
    keys: Arc<KeyRing>,
    clock: Arc<dyn Clock>,
}

impl ReceiptSigner {
    /// A signer with the keys of this ring.
    pub fn new(keys: Arc<KeyRing>, clock: Arc<dyn Clock>) -> Self {
        Self { keys, clock }
    }

    /// Signs the facts of a version.
    pub fn sign(&self, facts: &ReceiptFacts) -> Receipt {
        let keys = self.keys.current();
        Receipt::sign(&keys.identity, keys.id, facts, self.clock.now())
    }
}

impl Ingest {
    /// An ingest into `store`.
    pub fn new(
        keys: Arc<KeyRing>,
        transfer_keys: Arc<TransferKeys>,
        store: Arc<dyn VaultStore>,
        receipts: Arc<ReceiptSigner>,
        audit: AuditLog,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { keys, transfer_keys, store, receipts, audit, clock }
    }

    /// Carries out a `store` command.
    ///
    /// # Errors
    /// The transfer key cannot be unwrapped, the batch has a wrong size, or nothing could be recorded or committed.
    pub async fn store(&self, body: Store, meta: &Origin) -> Result<StoreAnswer, Refusal> {
        if !(1..=MAX_BATCH).contains(&body.envelopes.len()) {
            return Err(Refusal::new(ErrorCode::ParameterInvalid).detail("1 to 64 envelopes."));
        }
        let transfer_key = self.transfer_keys.open(body.transport_kid, body.transfer_key).await?;
        let names: Vec<VersionName> = body.envelopes.iter().map(name_of).collect();
        // Held until the commit, so that no storage key is retired while a row is on its way under it.
        let keys = self.keys.current();
        let (worker, bytes) = (Arc::clone(&keys), body.envelopes.iter().map(|one| one.ciphertext.0.len()).sum());
        let rows: Vec<Option<NewRow>> = by_size(bytes, move || {
            body.envelopes.into_iter().map(|envelope| take_in(&worker, &transfer_key, envelope).ok()).collect()
        })
        .await?;
        // Recorded before the act; all lines of a command share one durable write.
        let lines = names.iter().map(|name| self.audit.record(Act::EnvelopeStore(name.secret_id), meta));
        for line in join_all(lines).await {
            line?;
        }
        let good: Vec<NewRow> = rows.iter().flatten().cloned().collect();
        let mut found = match self.store.insert(good, self.clock.now()).await {
            Ok(found) => found.into_iter(),
            Err(fault) => {
                for name in &names {
                    self.audit.note(Outcome::EnvelopeNotStored(name.secret_id), meta);
                }
                return Err(fault.into());
            }
        };
        let results = rows.iter().zip(&names).map(|(row, name)| {
            let result = match row {
                None => StoreResult { error: Some(ErrorCode::BodyInvalid), receipt: None },
                Some(row) => match found.next() {
                    Some(Some(facts)) => self.outcome(row, &facts),
                    // Its epoch is retired.
                    Some(None) => StoreResult { error: Some(ErrorCode::VersionConflict), receipt: None },
                    None => StoreResult { error: Some(ErrorCode::Internal), receipt: None },
                },
            };
            if let Some(code) = result.error {
                self.audit.note(Outcome::EnvelopeRefused(name.secret_id, code), meta);
            }
            result
        });
        let results = results.collect();
        drop(keys);
        Ok(StoreAnswer { results })
    }

    /// Carries out a `settle` command: reports the state of versions, which is final.
    ///
    /// # Errors
    /// The batch has a wrong size, a number that must be unused is not, or nothing could be committed.
    pub async fn settle(&self, body: Settle, meta: &Origin) -> Result<Receipts, Refusal> {
        if !(1..=MAX_BATCH).contains(&body.versions.len()) {
            return Err(Refusal::new(ErrorCode::ParameterInvalid).detail("1 to 64 versions."));
        }
        for name in &body.versions {
            self.audit.note(Outcome::EnvelopeSettle(name.secret_id), meta);
        }
        let settled = if body.unused {
            let taken = self.store.settle_unused(body.versions, self.clock.now()).await?;
            taken.ok_or(Refusal::new(ErrorCode::VersionConflict))?
        } else {
            self.store.settle(body.versions, self.clock.now()).await?
        };
        Ok(Receipts { receipts: settled.iter().map(|facts| self.receipts.sign(facts)).collect() })
    }

    fn outcome(&self, row: &NewRow, facts: &ReceiptFacts) -> StoreResult {
        let ours = facts.state == VersionState::Stored
            && facts.digest == row.digest
            && facts.environment == row.name.environment;
        StoreResult { error: (!ours).then_some(ErrorCode::VersionConflict), receipt: Some(self.receipts.sign(facts)) }
    }
}

fn take_in(keys: &LoadedKeys, transfer_key: &TransferKey, envelope: EnvelopeToStore) -> Result<NewRow, Rejected> {
    let name = name_of(&envelope);
    let header =
        Header { vault: keys.id, environment: name.environment, secret: name.secret_id, version: name.version };
    #[cfg(feature = "sabotage")]
    let header = crate::sabotage::header(header);
    let ciphertext = Ciphertext::new(envelope.commit, envelope.nonce, envelope.ciphertext.0).map_err(|_| Rejected)?;
    let digest = digest(&header, &ciphertext);
    if digest != envelope.digest || envelope.epoch == 0 {
        return Err(Rejected);
    }
    let inner = Inner::from_moved(transfer_key, &envelope.moved)?;
    let (storage_key, stored) = keys.storage.store(&inner)?;
    let fingerprint = envelope.fingerprint.map(|moved| take_in_fingerprint(keys, transfer_key, &moved)).transpose()?;
    Ok(NewRow { name, digest, ciphertext, key: WrappedKey { epoch: envelope.epoch, storage_key, stored }, fingerprint })
}

fn take_in_fingerprint(
    keys: &LoadedKeys,
    transfer_key: &TransferKey,
    moved: &MovedFingerprint,
) -> Result<WrappedFingerprint, Rejected> {
    let bound = BoundFingerprint::from_moved(transfer_key, moved)?;
    let (storage_key, stored) = keys.storage.store_fingerprint(&bound)?;
    #[cfg(feature = "sabotage")]
    let stored = crate::sabotage::stored_in_clear(&bound).unwrap_or(stored);
    Ok(WrappedFingerprint { storage_key, stored })
}

fn name_of(envelope: &EnvelopeToStore) -> VersionName {
    VersionName { environment: envelope.environment, secret_id: envelope.secret_id, version: envelope.version }
}
