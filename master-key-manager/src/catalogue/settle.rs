//! Settling of pending versions. The vault answers with the receipt of a version that it has. For any other it writes a
//! tombstone, so that a late store command is refused. Either way the outcome is final.

use std::sync::Arc;

use manager_api::name::SecretPath;
use service_runtime::Refusal;
use shared_proto::command::Operation;
use shared_proto::error::ErrorCode;
use shared_proto::id::{EnvironmentId, SecretId, Version};
use shared_proto::receipt::{ReceiptFacts, VersionState};
use shared_proto::wire::vault::{Inventory, InventoryCursor, MAX_BATCH, MAX_PAGE, Receipts, Settle, VersionName};

use super::KeyedLocks;
use crate::keys::KeyRing;
use crate::vault_client::{CallError, VaultClient};
use manager_store::{CatalogueStore, VersionRow};

/// The final outcome of a pending version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The vault has it.
    Committed,
    /// The vault will never have it.
    Abandoned,
}

/// The outcome of asking the vault for a number without an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserved {
    /// The vault has never known the number, and will never take an envelope under it.
    Yes,
    /// The number was used, perhaps by an earlier attempt whose answer was lost.
    Used,
}

/// Settles versions. The caller holds the lock of the secret's path: a version that is being written must not be
/// settled.
pub struct Settler {
    store: Arc<dyn CatalogueStore>,
    client: Arc<VaultClient>,
    keys: Arc<KeyRing>,
    locks: Arc<KeyedLocks<(EnvironmentId, SecretPath)>>,
}

impl Settler {
    /// A settler for this store and vault.
    pub fn new(
        store: Arc<dyn CatalogueStore>,
        client: Arc<VaultClient>,
        keys: Arc<KeyRing>,
        locks: Arc<KeyedLocks<(EnvironmentId, SecretPath)>>,
    ) -> Self {
        Self { store, client, keys, locks }
    }

    /// The locks that writers of a path take.
    pub fn locks(&self) -> &KeyedLocks<(EnvironmentId, SecretPath)> {
        &self.locks
    }

    /// Settles versions of one secret, in order.
    ///
    /// # Errors
    /// The vault cannot say now.
    pub async fn settle(&self, rows: &[VersionRow]) -> Result<Vec<Settled>, Refusal> {
        let mut settled = Vec::with_capacity(rows.len());
        for chunk in rows.chunks(MAX_BATCH) {
            for (row, facts) in chunk.iter().zip(self.ask(chunk).await?) {
                settled.push(self.conclude(row, &facts).await?);
            }
        }
        Ok(settled)
    }

    /// Settles the pending versions that no write holds. Maintenance calls it while the vault can be reached.
    pub async fn settle_idle(&self) -> Result<(), Refusal> {
        for row in self.store.pending(MAX_BATCH).await? {
            let Some(secret) = self.store.secret_to_settle(row.secret).await? else { continue };
            let Some(_held) = self.locks.try_lock(&(secret.environment, secret.path.clone())) else { continue };
            // Read again under the lock: its writer may just have finished.
            if let Some(now) = self.store.secret_to_settle(row.secret).await? {
                self.settle(&now.pending).await?;
            }
        }
        Ok(())
    }

    /// Makes the number of a pending rollback known to the vault, which must not have known it.
    ///
    /// # Errors
    /// `unavailable`: the vault has not got the number, and the version is given up at the next settling.
    /// `outcome_unknown`: it may have got it.
    pub async fn reserve(&self, row: &VersionRow) -> Result<Reserved, Refusal> {
        const UNCLEAR: &str = "the vault did not confirm the version number";
        let request = Settle { versions: vec![name(row)], unused: true };
        match self.client.command::<Receipts>(Operation::Settle, &request).await {
            Ok(answer) => match self.fitting(&answer, std::slice::from_ref(row)).as_deref() {
                Some([facts]) if facts.state == VersionState::Tombstone => Ok(Reserved::Yes),
                Some(_) | None => Err(Refusal::outcome_unknown(UNCLEAR)),
            },
            Err(CallError::Refused(ErrorCode::VersionConflict)) => Ok(Reserved::Used),
            Err(
                CallError::Unclear
                | CallError::BadAnswer
                | CallError::Refused(ErrorCode::OutcomeUnknown | ErrorCode::Internal),
            ) => Err(Refusal::outcome_unknown(UNCLEAR)),
            Err(CallError::NotSent(_) | CallError::Refused(_)) => {
                Err(Refusal::unavailable("the vault does not take the version number"))
            }
        }
    }

    /// Tells whether the vault has the envelope that a version points to. It may not after a restore.
    ///
    /// # Errors
    /// The vault does not say.
    pub async fn has_envelope(&self, row: &VersionRow) -> Result<bool, Refusal> {
        let unclear = || Refusal::unavailable("the vault does not say whether it has the envelope");
        let request = Inventory { after: just_before(row.secret, row.envelope), limit: 1 };
        let answer: Receipts = self.client.command(Operation::Inventory, &request).await.map_err(|_| unclear())?;
        let Some(receipt) = answer.receipts.first() else { return Ok(false) };
        let facts = receipt.verify(&self.keys.now().pins).map_err(|_| unclear())?;
        let found = (facts.environment, facts.secret, facts.version, facts.digest);
        Ok(facts.state == VersionState::Stored && found == (row.environment, row.secret, row.envelope, row.digest))
    }

    /// The first envelopes that the vault has of a secret, up to so many.
    ///
    /// # Errors
    /// The vault does not say.
    pub async fn stored_of(&self, secret: SecretId, limit: usize) -> Result<Vec<Version>, Refusal> {
        let unclear = || Refusal::unavailable("the vault does not say what it has of the secret");
        let request = Inventory { after: just_before(secret, Version::FIRST), limit };
        let answer: Receipts = self.client.command(Operation::Inventory, &request).await.map_err(|_| unclear())?;
        let pins = &self.keys.now().pins;
        let mut stored = Vec::new();
        for receipt in &answer.receipts {
            let facts = receipt.verify(pins).map_err(|_| unclear())?;
            if facts.secret != secret {
                break;
            }
            if facts.state == VersionState::Stored {
                stored.push(facts.version);
            }
        }
        Ok(stored)
    }

    /// Tells whether the vault has all these envelopes of a secret, which are in order.
    ///
    /// # Errors
    /// The vault does not say.
    pub async fn has_all(
        &self,
        (environment, secret): (EnvironmentId, SecretId),
        envelopes: &[Version],
    ) -> Result<bool, Refusal> {
        let unclear = || Refusal::unavailable("the vault does not say whether it has the envelopes");
        let mut missing = envelopes.iter().copied().peekable();
        while let Some(first) = missing.peek() {
            let request = Inventory { after: just_before(secret, *first), limit: MAX_PAGE };
            let answer: Receipts = self.client.command(Operation::Inventory, &request).await.map_err(|_| unclear())?;
            let pins = &self.keys.now().pins;
            for receipt in &answer.receipts {
                let facts = receipt.verify(pins).map_err(|_| unclear())?;
                let is_wanted = (facts.environment, facts.secret) == (environment, secret)
                    && facts.state == VersionState::Stored
                    && missing.peek() == Some(&facts.version);
                if is_wanted {
                    missing.next();
                } else if missing.peek().is_some_and(|next| (secret, *next) < (facts.secret, facts.version)) {
                    return Ok(false);
                }
            }
            // The end of the inventory.
            if answer.receipts.len() < MAX_PAGE {
                return Ok(missing.peek().is_none());
            }
        }
        Ok(true)
    }

    async fn ask(&self, rows: &[VersionRow]) -> Result<Vec<ReceiptFacts>, Refusal> {
        let versions = rows.iter().map(name).collect();
        let answer: Receipts =
            self.client.command(Operation::Settle, &Settle { versions, unused: false }).await.map_err(|error| {
                match error {
                    CallError::NotSent(_) | CallError::Unclear | CallError::BadAnswer | CallError::Refused(_) => {
                        Refusal::unavailable("the vault does not say what became of an earlier version")
                    }
                }
            })?;
        self.fitting(&answer, rows).ok_or_else(|| Refusal::unavailable("the vault's receipts do not fit"))
    }

    /// The facts of the receipts, if all of them are signed by the pinned vault and are about these versions, in order.
    fn fitting(&self, answer: &Receipts, rows: &[VersionRow]) -> Option<Vec<ReceiptFacts>> {
        let keys = self.keys.now();
        let facts: Vec<ReceiptFacts> =
            answer.receipts.iter().filter_map(|receipt| receipt.verify(&keys.pins).ok()).collect();
        let fitting = facts.len() == rows.len()
            && rows.iter().zip(&facts).all(|(row, facts)| {
                (row.environment, row.secret, row.version) == (facts.environment, facts.secret, facts.version)
            });
        fitting.then_some(facts)
    }

    async fn conclude(&self, row: &VersionRow, facts: &ReceiptFacts) -> Result<Settled, Refusal> {
        let ours = match facts.state {
            // Not the epoch: the vault's root keys may have been rotated since. A rollback has no content of its own; a
            // pending one is given up, because nobody knows whose its number is.
            VersionState::Stored => row.has_own_envelope() && facts.digest == row.digest,
            VersionState::Tombstone => false,
        };
        if ours {
            self.store.commit(row.secret, row.version, None).await?;
            return Ok(Settled::Committed);
        }
        self.store.abandon(row.secret, row.version).await?;
        Ok(Settled::Abandoned)
    }
}

/// The place after which an inventory begins with this envelope; `None` for the very first.
pub(super) fn just_before(secret: SecretId, envelope: Version) -> Option<InventoryCursor> {
    if let Ok(version) = Version::new(envelope.get() - 1) {
        return Some(InventoryCursor { secret_id: secret, version });
    }
    let before = u128::from_be_bytes(*secret.as_bytes()).checked_sub(1)?;
    Some(InventoryCursor { secret_id: SecretId::from_bytes(before.to_be_bytes()), version: Version::LAST })
}

fn name(row: &VersionRow) -> VersionName {
    VersionName { environment: row.environment, secret_id: row.secret, version: row.version }
}
