//! Comparison of value fingerprints for the manager: the vault's part in "unchanged value" and "same value elsewhere".
//!
//! Guarantees that the vault learns nothing from a `compare` but its result, and from a `find` which of the named
//! versions have the same value, of no other. A fingerprint that is not its row's is never called the same. Refuses
//! guesses at one version beyond a budget.

use std::sync::Arc;

use futures_util::future::join_all;
use service_runtime::audit::{AuditLog, Origin};
use service_runtime::clock::Clock;
use service_runtime::{Fact, Refusal};
use shared_proto::Rejected;
use shared_proto::comparison::{Comparison, ComparisonNonce, Likeness};
use shared_proto::envelope::{BoundFingerprint, ValueFingerprint};
use shared_proto::error::ErrorCode;
use shared_proto::secret::{BindingKey, TransferKey};
use shared_proto::wire::fingerprint::{Compare, ComparisonAnswer, Find, MAX_OTHERS, ValueToCompare, VersionToCompare};
use shared_proto::wire::vault::{MAX_BATCH, VersionName};

use crate::audit_event::Act;
use crate::guesses::{GuessBudgets, Spent};
use crate::keys::{KeyRing, LoadedKeys};
use crate::store::{FingerprintStore, WrappedFingerprint};
use crate::transfer::TransferKeys;

/// Compares fingerprints.
pub struct Comparer {
    keys: Arc<KeyRing>,
    transfer_keys: Arc<TransferKeys>,
    store: Arc<dyn FingerprintStore>,
    budgets: GuessBudgets,
    audit: AuditLog,
    clock: Arc<dyn Clock>,
}

impl Comparer {
    /// A comparer of the fingerprints in `store`.
    pub fn new(
        keys: Arc<KeyRing>,
        transfer_keys: Arc<TransferKeys>,
        store: Arc<dyn FingerprintStore>,
        audit: AuditLog,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { keys, transfer_keys, store, budgets: GuessBudgets::default(), audit, clock }
    }

    /// Carries out a `compare` command: each value is compared with one version.
    ///
    /// # Errors
    /// The batch has a wrong size, a fingerprint or the transfer key cannot be unwrapped, a version was guessed at too
    /// often, or nothing could be recorded or read.
    pub async fn compare(&self, body: Compare, meta: &Origin) -> Result<ComparisonAnswer, Refusal> {
        if !(1..=MAX_BATCH).contains(&body.values.len()) {
            return Err(Refusal::new(ErrorCode::ParameterInvalid).detail("1 to 64 values."));
        }
        let transfer_key = self.transfer_keys.open(body.transport_kid, body.transfer_key).await?;
        let asked: Vec<BoundFingerprint> =
            body.values.iter().map(|value| take_in(&transfer_key, value)).collect::<Result<_, _>>()?;
        let names: Vec<VersionName> = body.values.iter().map(name_of_value).collect();
        self.count(&names)?;
        // Recorded before the act; all lines of a command share one durable write.
        let lines = names.iter().map(|name| self.audit.record(Act::ValueCompare(name.secret_id), meta));
        for line in join_all(lines).await {
            line?;
        }
        // Held before the rows are read, so that none is moved to a storage key that these keys do not have.
        let keys = self.keys.current();
        let found = self.store.fingerprints(names).await?;
        let results = asked.iter().zip(found).map(|(asked, found)| match load(&keys, found) {
            Ok(kept) if kept.is_same(asked) => Likeness::Same,
            Ok(_) => Likeness::Different,
            Err(Rejected) => Likeness::Unknown,
        });
        Ok(self.answer(body.nonce, results.collect()))
    }

    /// Carries out a `find` command: each of the others is compared with the one.
    ///
    /// # Errors
    /// The batch has a wrong size, a binding key or the transfer key cannot be unwrapped, a version was guessed at too
    /// often, or nothing could be recorded or read.
    pub async fn find(&self, body: Find, meta: &Origin) -> Result<ComparisonAnswer, Refusal> {
        if !(1..=MAX_OTHERS).contains(&body.others.len()) {
            return Err(Refusal::new(ErrorCode::ParameterInvalid).detail("1 to 100 others."));
        }
        let transfer_key = self.transfer_keys.open(body.transport_kid, body.transfer_key).await?;
        let asked: Vec<&VersionToCompare> = std::iter::once(&body.one).chain(&body.others).collect();
        let binding_keys: Vec<BindingKey> =
            asked.iter().map(|one| binding_key(&transfer_key, one)).collect::<Result<_, _>>()?;
        let names: Vec<VersionName> = asked.iter().map(|one| name_of_version(one)).collect();
        // Whoever has versions of his own with guesses tests them so, from either side.
        self.count(&names)?;
        self.audit.record(Act::ValueFind(body.one.secret_id, body.others.len()), meta).await?;
        // Held before the rows are read, so that none is moved to a storage key that these keys do not have.
        let keys = self.keys.current();
        let found = self.store.fingerprints(names).await?;
        let mut read = found.into_iter().zip(&binding_keys).map(|(found, key)| unbound(&keys, found, key));
        let one = read.next().unwrap_or(Err(Rejected));
        let results = read.map(|other| match (&one, other) {
            (Ok(one), Ok(other)) if one.is_same(&other) => Likeness::Same,
            (Ok(_), Ok(_)) => Likeness::Different,
            (Err(Rejected), _) | (_, Err(Rejected)) => Likeness::Unknown,
        });
        Ok(self.answer(body.nonce, results.collect()))
    }

    fn count(&self, names: &[VersionName]) -> Result<(), Refusal> {
        let versions = names.iter().map(|name| (name.secret_id, name.version));
        let counted = self.budgets.take(versions, self.clock.boot());
        counted.map_err(|Spent { wait }| Refusal::new(ErrorCode::RateLimited).fact(Fact::Wait(wait)))
    }

    fn answer(&self, nonce: ComparisonNonce, results: Vec<Likeness>) -> ComparisonAnswer {
        let keys = self.keys.current();
        ComparisonAnswer { comparison: Comparison::sign(&keys.identity, keys.id, nonce, results, self.clock.now()) }
    }
}

/// The fingerprint that is kept of a row, still bound.
fn load(keys: &LoadedKeys, found: Option<WrappedFingerprint>) -> Result<BoundFingerprint, Rejected> {
    let found = found.ok_or(Rejected)?;
    keys.storage.load_fingerprint(found.storage_key, &found.stored)
}

fn unbound(
    keys: &LoadedKeys,
    found: Option<WrappedFingerprint>,
    key: &BindingKey,
) -> Result<ValueFingerprint, Rejected> {
    load(keys, found)?.unbind_with(key)
}

fn take_in(transfer_key: &TransferKey, value: &ValueToCompare) -> Result<BoundFingerprint, Refusal> {
    BoundFingerprint::from_moved(transfer_key, &value.fingerprint).map_err(|Rejected| does_not_open())
}

fn binding_key(transfer_key: &TransferKey, one: &VersionToCompare) -> Result<BindingKey, Refusal> {
    BindingKey::from_moved(transfer_key, &one.binding_key).map_err(|Rejected| does_not_open())
}

fn does_not_open() -> Refusal {
    Refusal::new(ErrorCode::BodyInvalid).detail("A fingerprint or a binding key does not open.")
}

fn name_of_value(value: &ValueToCompare) -> VersionName {
    VersionName { environment: value.environment, secret_id: value.secret_id, version: value.version }
}

fn name_of_version(one: &VersionToCompare) -> VersionName {
    VersionName { environment: one.environment, secret_id: one.secret_id, version: one.version }
}
