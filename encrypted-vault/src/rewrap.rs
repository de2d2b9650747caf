//! The vault's part in the exchange of a root key: handing out wrapped keys, adding those of a newer epoch, and erasing
//! those of older ones.
//!
//! Guarantees that a row keeps every wrapped key until `retire`, that no key replaces another, and that a retirement is
//! signed only when nothing is left below its epoch. It handles wrapped keys only, which open nothing without a release
//! key.

use std::sync::Arc;

use service_runtime::audit::{AuditLog, Origin};
use service_runtime::clock::Clock;
use service_runtime::{Fact, Refusal};
use shared_proto::Rejected;
use shared_proto::envelope::Inner;
use shared_proto::error::ErrorCode;
use shared_proto::retirement::{Retirement, RetirementFacts};
use shared_proto::secret::TransferKey;
use shared_proto::wire::vault::{
    HandedOut, Handout, HandoutAnswer, MAX_BATCH, Retire, RetireAnswer, Rewrap, RowToRewrap, StoreAnswer, StoreResult,
    VersionName,
};

use crate::audit_event::{Act, Outcome};
use crate::ingest::ReceiptSigner;
use crate::keys::{KeyRing, LoadedKeys};
use crate::row_cache::RowCache;
use crate::store::{NewKey, Rewrapped, VaultStore, WrappedKey};
use crate::transfer::TransferKeys;

/// Exchanges wrapped keys of rows.
pub struct Rewrapper {
    keys: Arc<KeyRing>,
    transfer_keys: Arc<TransferKeys>,
    store: Arc<dyn VaultStore>,
    rows: Arc<RowCache>,
    receipts: Arc<ReceiptSigner>,
    audit: AuditLog,
    clock: Arc<dyn Clock>,
}

impl Rewrapper {
    /// A rewrapper for the rows of `store`, which `rows` keeps in memory.
    pub fn new(
        keys: Arc<KeyRing>,
        transfer_keys: Arc<TransferKeys>,
        (store, rows): (Arc<dyn VaultStore>, Arc<RowCache>),
        receipts: Arc<ReceiptSigner>,
        audit: AuditLog,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { keys, transfer_keys, store, rows, receipts, audit, clock }
    }

    /// Carries out a `handout` command. One audit line stands for all its rows, as for `rewrap`: a rotation touches
    /// every row, and opens none.
    ///
    /// # Errors
    /// The transfer key cannot be unwrapped, the batch has a wrong size, or nothing could be recorded or read.
    pub async fn handout(&self, body: Handout, meta: &Origin) -> Result<HandoutAnswer, Refusal> {
        check(body.versions.len(), body.epoch)?;
        let transfer_key = self.transfer_keys.open(body.transport_kid, body.transfer_key).await?;
        self.audit.record(Act::WrappedKeyHandOut(body.versions.len()), meta).await?;
        let found = self.store.wrapped(body.epoch, body.versions).await?;
        let keys = self.keys.current();
        let rows = found.into_iter().map(|found| {
            let Some((digest, key)) = found else { return HandedOut::Refused { error: ErrorCode::SecretNotFound } };
            match keys.storage.load_inner(key.storage_key, &key.stored).and_then(|inner| inner.move_with(&transfer_key))
            {
                Ok(moved) => HandedOut::Key { digest, moved },
                // An altered row must not keep the others back.
                Err(Rejected) => HandedOut::Refused { error: ErrorCode::Internal },
            }
        });
        Ok(HandoutAnswer { rows: rows.collect() })
    }

    /// Carries out a `rewrap` command.
    ///
    /// # Errors
    /// The transfer key cannot be unwrapped, the batch has a wrong size, or nothing could be recorded or committed.
    pub async fn rewrap(&self, body: Rewrap, meta: &Origin) -> Result<StoreAnswer, Refusal> {
        check(body.rows.len(), body.epoch)?;
        let transfer_key = self.transfer_keys.open(body.transport_kid, body.transfer_key).await?;
        // Held until the commit, so that no storage key is retired while a row is on its way under it.
        let keys = self.keys.current();
        let sent: Vec<Option<(Inner, NewKey)>> =
            body.rows.iter().map(|row| take_in(&keys, &transfer_key, body.epoch, row).ok()).collect();
        self.audit.record(Act::WrappedKeyAdd(sent.len()), meta).await?;
        let good: Vec<NewKey> = sent.iter().flatten().map(|(_, key)| key.clone()).collect();
        let names: Vec<VersionName> = good.iter().map(|key| key.name).collect();
        let rewrapped = self.store.rewrap(good).await;
        // Also when it is not known whether they were written.
        self.rows.forget(names.iter().map(|name| (name.secret_id, name.version)));
        drop(keys);
        let mut found = rewrapped?.into_iter();
        let results = sent.iter().map(|sent| match sent {
            None => StoreResult { error: Some(ErrorCode::BodyInvalid), receipt: None },
            Some((inner, _)) => self.outcome(inner, found.next().flatten()),
        });
        Ok(StoreAnswer { results: results.collect() })
    }

    /// Carries out a `retire` command.
    ///
    /// # Errors
    /// A row lacks the epoch, or nothing could be recorded or committed.
    pub async fn retire(&self, body: Retire, meta: &Origin) -> Result<RetireAnswer, Refusal> {
        check(1, body.epoch)?;
        self.audit.record(Act::EpochRetire, meta).await?;
        let found = self.store.retire(body.environment, body.epoch).await?;
        if found.lacking > 0 {
            self.audit.note(Outcome::EpochNotRetired(ErrorCode::EpochIncomplete), meta);
            return Err(Refusal::new(ErrorCode::EpochIncomplete).fact(Fact::Lacking(found.lacking)));
        }
        let (environment, epoch, time) = (body.environment, body.epoch, self.clock.now());
        let facts = RetirementFacts { environment, epoch, rows: found.rows, time };
        let keys = self.keys.current();
        Ok(RetireAnswer { retirement: Retirement::sign(&keys.identity, keys.id, &facts) })
    }

    fn outcome(&self, sent: &Inner, found: Option<Rewrapped>) -> StoreResult {
        let Some(Rewrapped { facts, key }) = found else {
            return StoreResult { error: Some(ErrorCode::SecretNotFound), receipt: None };
        };
        // Compared unwrapped: the same key sent again may be under another storage key by now.
        let ours = key.is_some_and(|key| {
            let there = self.keys.current().storage.load_inner(key.storage_key, &key.stored);
            there.is_ok_and(|there| there.is_same(sent))
        });
        StoreResult { error: (!ours).then_some(ErrorCode::VersionConflict), receipt: Some(self.receipts.sign(&facts)) }
    }
}

fn check(count: usize, epoch: u32) -> Result<(), Refusal> {
    let fits = (1..=MAX_BATCH).contains(&count) && epoch > 0;
    fits.then_some(()).ok_or_else(|| Refusal::new(ErrorCode::ParameterInvalid).detail("1 to 64 rows, epochs from 1."))
}

fn take_in(
    keys: &LoadedKeys,
    transfer_key: &TransferKey,
    epoch: u32,
    row: &RowToRewrap,
) -> Result<(Inner, NewKey), Rejected> {
    let name = VersionName { environment: row.environment, secret_id: row.secret_id, version: row.version };
    let inner = Inner::from_moved(transfer_key, &row.moved)?;
    let (storage_key, stored) = keys.storage.store(&inner)?;
    Ok((inner, NewKey { name, digest: row.digest, key: WrappedKey { epoch, storage_key, stored } }))
}
