//! Exchange of a root key: moves the versions of an environment to the next one, without a ciphertext and without a
//! value.
//!
//! For each version, the vault hands out the wrapped data key of the old epoch. It is wrapped under the new one, stored
//! beside the old one, read back and compared. Only then does the catalogue name the new epoch. An interrupted version
//! still has its old epoch here and its old key in the vault, and is started again. When none is left and the tokens of
//! the old epoch have ended, the vault is ordered to erase the old keys, and signs that it did.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use service_runtime::key_slots;
use shared_proto::command::Operation;
use shared_proto::envelope::Inner;
use shared_proto::envelope::seal::release_key;
use shared_proto::error::ErrorCode;
use shared_proto::id::EnvironmentId;
use shared_proto::receipt::{ReceiptFacts, VersionState};
use shared_proto::retirement::Retirement;
use shared_proto::secret::{DataKey, RootKey};
use shared_proto::statement::Purpose;
use shared_proto::wire::vault::{
    HandedOut, Handout, HandoutAnswer, MAX_BATCH, Retire, RetireAnswer, Rewrap, RowToRewrap, StoreAnswer, StoreResult,
    VersionName,
};

use super::{Halt, KeyRotation, Worker, on_disk, record};
use crate::audit_event::KeyStep;
use crate::catalogue::{Transfer, TransferKeys};
use crate::keys::LoadedKeys;
use crate::vault_client::CallError;
use manager_store::EnvelopeRow;

/// Exchanges root keys.
pub(super) struct Exchange {
    parts: KeyRotation,
    transfer: TransferKeys,
    overlap_seconds: u64,
    /// When all versions of an environment were last seen under this epoch.
    looked_at: HashMap<(EnvironmentId, u32), u64>,
    /// Environments that rest for some steps, and why.
    halted: HashMap<EnvironmentId, (u32, Halt)>,
}

/// The pause between two batches: at most 500 versions a second are moved, so that reads and writes continue.
const PACE: Duration = Duration::from_millis(130);
/// A version that was being stored when the root key changed is committed or settled by then.
const SETTLING_SECONDS: u64 = 60;
/// Steps that an environment rests after a failure, so that a vault which answers wrongly does not fill the audit log.
const REST_STEPS: u32 = 10;
/// The failure for an answer of the vault that contradicts the request or the catalogue.
const UNFIT: Halt = Halt::Vault("the vault's answer about wrapped keys does not fit");

impl Worker for Exchange {
    async fn step(&mut self) -> Result<(), Halt> {
        // Without the vault nothing can be moved; the feed says so.
        if self.parts.vault_view.keys_for_storing().is_err() {
            return Ok(());
        }
        if self.parts.keys.take_exchange_wanted() {
            self.looked_at.clear();
        }
        let mut result = Ok(());
        for environment in self.parts.keys.environments().now().iter() {
            // One environment that waits does not hold up the others.
            result = result.and(self.try_exchange(environment.id).await);
        }
        result
    }
}

impl Exchange {
    pub(super) fn new(parts: KeyRotation, overlap_seconds: u64) -> Self {
        let transfer = TransferKeys::new(Arc::clone(&parts.clock));
        Self { parts, transfer, overlap_seconds, looked_at: HashMap::new(), halted: HashMap::new() }
    }

    /// Exchanges, and after a failure leaves the environment in peace for some steps.
    async fn try_exchange(&mut self, environment: EnvironmentId) -> Result<(), Halt> {
        if let Some((steps @ 1.., halt)) = self.halted.get_mut(&environment) {
            *steps -= 1;
            return Err(halt.clone());
        }
        let result = self.exchange(environment).await;
        match &result {
            Ok(()) => self.halted.remove(&environment),
            Err(halt) => self.halted.insert(environment, (REST_STEPS, halt.clone())),
        };
        result
    }

    async fn exchange(&mut self, environment: EnvironmentId) -> Result<(), Halt> {
        let keys = self.parts.keys.now();
        let Some((epoch, slot)) = keys.roots.in_use(environment).last() else { return Ok(()) };
        // Nothing can be under an older key than the first.
        if keys.roots.all(environment).count() == 1 && epoch == 1 {
            return Ok(());
        }
        let (target, now) = ((environment, epoch), self.parts.clock.now());
        // Once more after a while: what was sealed before the change may be committed after it.
        let settled_at = slot.since.saturating_add(SETTLING_SECONDS);
        let looked_at = self.looked_at.get(&target).copied();
        if looked_at.is_none_or(|at| at < settled_at && now >= settled_at) {
            self.move_all(target).await?;
            self.looked_at.insert(target, now);
        }
        let state = self.parts.store.rotation(environment, epoch).await?;
        if state.retirement.is_none() && keys.roots.all(environment).any(|(older, _)| older < epoch) {
            let quiet_since = state.changed_at.unwrap_or(0).max(slot.since);
            let passed = now >= quiet_since.saturating_add(self.overlap_seconds);
            if !passed || !self.parts.vault_view.clock_is_confirmed() {
                return Ok(());
            }
            if self.parts.store.open_below(environment, epoch).await? > 0 {
                self.looked_at.remove(&target);
                return Ok(());
            }
            self.retire(target).await?;
        }
        self.retire_files(&keys, target).await
    }

    async fn move_all(&self, target: (EnvironmentId, u32)) -> Result<(), Halt> {
        let mut after = None;
        loop {
            let rows = self.parts.store.envelopes_below(target, after, MAX_BATCH).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = Some((last.secret, last.envelope));
            record(&self.parts.audit, KeyStep::RootKeyExchange, format!("{}.{}", target.0, target.1)).await?;
            let mut epochs: BTreeMap<u32, Vec<EnvelopeRow>> = BTreeMap::new();
            for row in rows {
                epochs.entry(row.epoch).or_default().push(row);
            }
            for (old, rows) in epochs {
                self.move_rows(old, target, rows).await?;
            }
            tokio::time::sleep(PACE).await;
        }
    }

    /// Moves versions that are under one epoch.
    async fn move_rows(&self, old: u32, target: (EnvironmentId, u32), rows: Vec<EnvelopeRow>) -> Result<(), Halt> {
        let keys = self.parts.keys.now();
        let transport = self
            .parts
            .vault_view
            .key(Purpose::Transport)
            .ok_or(Halt::Vault("no transport key of the vault is known"))?;
        let transfer = self.transfer.for_transport(&transport);
        let transfer = transfer.map_err(|_| Halt::Vault("the vault's transport key is not usable"))?;
        let new_root = keys.roots.of(target.0, target.1).ok_or(UNFIT)?;
        // A version that the vault has under the new epoch only was moved before the catalogue was restored.
        let known = match keys.roots.of(target.0, old) {
            Some(old_root) => self.hand_out(&transfer, (old, old_root), &rows).await?,
            None => rows.iter().map(|_| None).collect(),
        };
        self.rewrap(&transfer, (target.1, new_root), &keys, rows.iter().zip(&known)).await?;
        let read_back = self.hand_out(&transfer, (target.1, new_root), &rows).await?;
        let (mut moved, mut lacking) = (Vec::new(), Vec::new());
        for ((row, before), after) in rows.iter().zip(&known).zip(&read_back) {
            let name = (row.secret, row.envelope);
            match (before, after) {
                (Some(before), Some(after)) if !same(before, after) => {
                    return Err(Halt::Vault("the vault has another data key than it was given"));
                }
                (_, Some(_)) => moved.push(name),
                (Some(_), None) => return Err(Halt::Vault("the vault does not have what it signed a receipt for")),
                (None, None) => lacking.push(name),
            }
        }
        if !lacking.is_empty() {
            tracing::warn!(
                count = lacking.len(),
                "versions of the catalogue are not in the vault; the rotation goes on"
            );
            self.parts.store.mark_missing(target.1, lacking).await?;
        }
        if !moved.is_empty() {
            self.parts.store.move_to_epoch(target, moved, self.parts.clock.now()).await?;
        }
        Ok(())
    }

    /// The data keys that the vault has under an epoch; `None` where it has none.
    async fn hand_out(
        &self,
        transfer: &Transfer,
        (epoch, root): (u32, &RootKey),
        rows: &[EnvelopeRow],
    ) -> Result<Vec<Option<DataKey>>, Halt> {
        let request = Handout {
            transfer_key: transfer.wrapped.clone(),
            transport_kid: transfer.transport_kid,
            epoch,
            versions: rows.iter().map(name).collect(),
        };
        let answer: HandoutAnswer = self.parts.client.command(Operation::Handout, &request).await?;
        if answer.rows.len() != rows.len() {
            return Err(UNFIT);
        }
        rows.iter()
            .zip(&answer.rows)
            .map(|(row, handed)| match handed {
                HandedOut::Key { digest, moved } if *digest == row.digest => {
                    let opened = Inner::from_moved(&transfer.key, moved).and_then(|inner| {
                        let release_key = release_key(root, digest)?;
                        inner.unwrap_with(&release_key)
                    });
                    opened.map(Some).map_err(|_| UNFIT)
                }
                HandedOut::Refused { error: ErrorCode::SecretNotFound } => Ok(None),
                HandedOut::Key { .. } | HandedOut::Refused { .. } => Err(UNFIT),
            })
            .collect()
    }

    /// Stores the data keys under the new epoch, and checks the receipts.
    async fn rewrap<'a>(
        &self,
        transfer: &Transfer,
        (epoch, root): (u32, &RootKey),
        keys: &LoadedKeys,
        rows: impl Iterator<Item = (&'a EnvelopeRow, &'a Option<DataKey>)>,
    ) -> Result<(), Halt> {
        let mut request = Rewrap {
            transfer_key: transfer.wrapped.clone(),
            transport_kid: transfer.transport_kid,
            epoch,
            rows: Vec::new(),
        };
        for (row, data_key) in rows {
            let Some(data_key) = data_key else { continue };
            let wrapped = release_key(root, &row.digest).and_then(|release_key| Inner::wrap(&release_key, data_key));
            let moved = wrapped.and_then(|inner| inner.move_with(&transfer.key)).map_err(|_| UNFIT)?;
            let VersionName { environment, secret_id, version } = name(row);
            request.rows.push(RowToRewrap { environment, secret_id, version, digest: row.digest, moved });
        }
        if request.rows.is_empty() {
            return Ok(());
        }
        let answer: StoreAnswer = self.parts.client.command(Operation::Rewrap, &request).await?;
        let fits = |(row, result): (&RowToRewrap, &StoreResult)| {
            let facts = result.receipt.as_ref().and_then(|receipt| receipt.verify(&keys.pins).ok());
            let expected = ReceiptFacts {
                environment: row.environment,
                secret: row.secret_id,
                version: row.version,
                state: VersionState::Stored,
                epoch,
                digest: row.digest,
            };
            result.error.is_none() && facts == Some(expected)
        };
        let all = answer.results.len() == request.rows.len() && request.rows.iter().zip(&answer.results).all(fits);
        if all { Ok(()) } else { Err(Halt::Vault("the vault did not sign for all wrapped keys that it was given")) }
    }

    /// Orders the vault to erase the wrapped keys below the epoch.
    async fn retire(&mut self, target: (EnvironmentId, u32)) -> Result<(), Halt> {
        let (environment, epoch) = target;
        record(&self.parts.audit, KeyStep::EpochRetire, format!("{environment}.{epoch}")).await?;
        let answer = self.parts.client.command::<RetireAnswer>(Operation::Retire, &Retire { environment, epoch }).await;
        let RetireAnswer { retirement } = match answer {
            Err(CallError::Refused(ErrorCode::EpochIncomplete)) => {
                self.looked_at.remove(&target);
                return Err(Halt::Vault(
                    "the vault has versions below the epoch that the catalogue lacks; run reconcile",
                ));
            }
            answered => answered?,
        };
        let text = self.check(&retirement, target)?;
        self.parts.store.record_retirement(target, text, self.parts.clock.now()).await?;
        Ok(())
    }

    fn check(&self, retirement: &Retirement, (environment, epoch): (EnvironmentId, u32)) -> Result<String, Halt> {
        let facts = retirement.verify(&self.parts.keys.now().pins).map_err(|_| UNFIT)?;
        if (facts.environment, facts.epoch) != (environment, epoch) {
            return Err(UNFIT);
        }
        serde_json::to_string(retirement).map_err(|_| UNFIT)
    }

    /// The vault has signed: the files of the older epochs say that nothing is under them.
    async fn retire_files(&self, keys: &LoadedKeys, (environment, epoch): (EnvironmentId, u32)) -> Result<(), Halt> {
        for (older, _) in keys.roots.in_use(environment).filter(|(older, _)| *older < epoch) {
            record(&self.parts.audit, KeyStep::RootKeyRetire, format!("{environment}.{older}")).await?;
            let (ring, scope) = (Arc::clone(&self.parts.keys), environment.to_string());
            on_disk(move || key_slots::retire(&ring.root_folder(), &scope, older).and_then(|()| ring.reload())).await?;
        }
        Ok(())
    }
}

fn name(row: &EnvelopeRow) -> VersionName {
    VersionName { environment: row.environment, secret_id: row.secret, version: row.envelope }
}

fn same(one: &DataKey, other: &DataKey) -> bool {
    // EXPOSE: compared in constant time.
    verify_slices_are_equal(one.expose(), other.expose()).is_ok()
}
