//! Integrity of secrets: the catalogue's rows, compared with the receipts that the vault signs for what it has.
//!
//! Guarantees that no value is opened, and that a page costs a bounded number of rows and commands. What changed while it was
//! looked at is said to be changing, and never called a fault. That the vault *lacks* an envelope is its word: only what it has
//! is signed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use manager_api::integrity::{CheckedVersion as Answer, SecretFault, VersionFault};
use manager_api::wire::CatalogueState;
use manager_policy::{List, Operate, Permit, Scope};
use manager_store::{CatalogueRows, CheckedEnvelope, CheckedVersion, Erasure, ManagerStore, RowOrigin, VersionKey};
use service_runtime::Refusal;
use service_runtime::audit::{AuditLog, Origin};
use shared_proto::command::Operation;
use shared_proto::id::{SecretId, Version};
use shared_proto::receipt::{ReceiptFacts, VersionState};
use shared_proto::wire::vault::{Inventory, InventoryCursor, MAX_PAGE, Receipts};

use super::settle::just_before;
use crate::access::Caller;
use crate::audit_event::response::CheckAct;
use crate::keys::KeyRing;
use crate::revocation::VaultView;
use crate::vault_client::VaultClient;

/// Pages of the vault's inventory that one request reads: 1,024 envelopes.
const PAGES_AT_ONCE: usize = 4;
/// Envelopes of earlier pages that one request asks the vault for, one by one: those of rollbacks.
const EARLIER_AT_ONCE: usize = 32;

/// Compares the catalogue with the vault.
pub struct Integrity {
    store: Arc<dyn ManagerStore>,
    client: Arc<VaultClient>,
    keys: Arc<KeyRing>,
    vault_view: Arc<VaultView>,
    audit: AuditLog,
}

/// A page of what was checked.
#[derive(Clone, Debug, Default)]
pub struct CheckedPage {
    /// The faults of rows of secrets.
    pub secrets: BTreeMap<SecretId, BTreeSet<SecretFault>>,
    /// All versions of the page, and envelopes that no row is about.
    pub versions: Vec<(SecretId, Answer)>,
    /// The version after which the next page begins; `None` for the last page.
    pub next: Option<VersionKey>,
}

/// The part of the vault's inventory that a page is compared with.
struct Stored {
    envelopes: BTreeMap<VersionKey, ReceiptFacts>,
    /// The place up to which all is there; `None` for the end.
    complete_to: Option<VersionKey>,
    /// The newest event that the vault had applied before it was asked.
    applied: u64,
}

impl Integrity {
    /// A check of this store against this vault.
    pub(crate) fn new(
        store: Arc<dyn ManagerStore>,
        (client, keys): (Arc<VaultClient>, Arc<KeyRing>),
        vault_view: Arc<VaultView>,
        audit: AuditLog,
    ) -> Self {
        Self { store, client, keys, vault_view, audit }
    }

    /// A page of the versions of a secret.
    ///
    /// # Errors
    /// `SecretNotFound`: it is unknown, or the caller may not list it. The vault does not say what it has.
    pub async fn of_secret(
        &self,
        secret: SecretId,
        after: Option<Version>,
        caller: &Caller,
        origin: &Origin,
    ) -> Result<CheckedPage, Refusal> {
        let permit: Permit<List> = caller.permit_on_id(self.store.as_ref(), secret).await?;
        let look = permit.to_look();
        let before = self.store.rows_of(&look, secret, after).await?;
        self.audit.record(CheckAct::Secret(secret), origin).await?;
        let from = match after {
            Some(version) => Some(InventoryCursor { secret_id: secret, version }),
            None => just_before(secret, Version::FIRST),
        };
        let end = Some(before.complete_to.unwrap_or((secret, Version::LAST)));
        let stored = self.inventory(from, end).await?;
        let again = self.store.rows_of(&look, secret, after).await?;
        let mut page = self.compare(from, end, (&before, &again), stored).await?;
        page.next = page.next.filter(|next| *next < (secret, Version::LAST));
        Ok(page)
    }

    /// A page of all secrets.
    ///
    /// # Errors
    /// The caller may not operate the service. The vault does not say what it has.
    pub async fn of_all(
        &self,
        after: Option<VersionKey>,
        caller: &Caller,
        origin: &Origin,
    ) -> Result<CheckedPage, Refusal> {
        let permit: Permit<Operate> = caller.permit(&Scope::Installation)?;
        let before = self.store.rows_after(&permit, after).await?;
        self.audit.record(CheckAct::Catalogue, origin).await?;
        let from = after.map(|(secret_id, version)| InventoryCursor { secret_id, version });
        let end = before.complete_to;
        let stored = self.inventory(from, end).await?;
        let again = self.store.rows_after(&permit, after).await?;
        self.compare(from, end, (&before, &again), stored).await
    }

    /// The part of the vault's inventory from a place on, up to an end or to the most pages.
    async fn inventory(&self, from: Option<InventoryCursor>, end: Option<VersionKey>) -> Result<Stored, Refusal> {
        let applied = self.vault_view.view().applied;
        let mut stored = Stored { envelopes: BTreeMap::new(), complete_to: None, applied };
        let mut after = from;
        for _page in 0..PAGES_AT_ONCE {
            let page = self.ask(after, MAX_PAGE).await?;
            for facts in &page {
                let key = (facts.secret, facts.version);
                // Strictly ascending, so that the loop ends.
                let ascends = after.is_none_or(|last| (last.secret_id, last.version) < key);
                if facts.state != VersionState::Stored || !ascends {
                    return Err(unclear());
                }
                after = Some(InventoryCursor { secret_id: key.0, version: key.1 });
                if end.is_none_or(|end| key <= end) {
                    stored.envelopes.insert(key, *facts);
                }
            }
            let last = after.map(|last| (last.secret_id, last.version));
            let is_behind = end.is_some_and(|end| last.is_some_and(|last| last >= end));
            if page.len() < MAX_PAGE || is_behind {
                stored.complete_to = None;
                return Ok(stored);
            }
            stored.complete_to = last;
        }
        Ok(stored)
    }

    async fn ask(&self, after: Option<InventoryCursor>, limit: usize) -> Result<Vec<ReceiptFacts>, Refusal> {
        let request = Inventory { after, limit };
        let answer: Receipts = self.client.command(Operation::Inventory, &request).await.map_err(|_| unclear())?;
        let pins = &self.keys.now().pins;
        answer.receipts.iter().map(|receipt| receipt.verify(pins).map_err(|_| unclear())).collect()
    }

    async fn compare(
        &self,
        from: Option<InventoryCursor>,
        end: Option<VersionKey>,
        (before, again): (&CatalogueRows, &CatalogueRows),
        mut stored: Stored,
    ) -> Result<CheckedPage, Refusal> {
        // Rows that came meanwhile may push others out of the second look.
        let mut end = [end, stored.complete_to, again.complete_to].into_iter().flatten().min();
        let first = from.map(|cursor| (cursor.secret_id, cursor.version));
        let mut page = CheckedPage::default();
        let known: BTreeMap<VersionKey, &CheckedVersion> =
            before.versions.iter().map(|row| ((row.secret, row.version), row)).collect();
        let mut in_catalogue = BTreeSet::new();
        let (mut asked, mut last) = (BTreeMap::new(), None);
        for row in &again.versions {
            let key = (row.secret, row.version);
            if end.is_some_and(|end| key > end) {
                break;
            }
            let pointed = (row.secret, row.envelope);
            let is_elsewhere = first.is_some_and(|first| pointed <= first) || end.is_some_and(|end| pointed > end);
            let envelope = if !is_elsewhere {
                stored.envelopes.get(&pointed).copied()
            } else if let Some(found) = asked.get(&pointed) {
                *found
            } else if asked.len() >= EARLIER_AT_ONCE {
                end = last;
                break;
            } else {
                let found = self.one(pointed).await?;
                asked.insert(pointed, found);
                found
            };
            let mut faults = judge(row, envelope, stored.applied);
            if row.envelope != row.version && stored.envelopes.contains_key(&key) {
                faults.push(VersionFault::UnknownToCatalogue);
            }
            if !faults.is_empty() && known.get(&key).is_none_or(|earlier| *earlier != row) {
                faults = vec![VersionFault::Changing];
            }
            if row.environment.is_none() {
                page.secrets.entry(row.secret).or_default().insert(SecretFault::PlaceAltered);
            }
            in_catalogue.insert(key);
            last = Some(key);
            let (version, envelope, state) = (row.version, Some(row.envelope), row.state);
            page.versions.push((row.secret, Answer { version, envelope, state, faults }));
        }
        let is_here = |key: VersionKey| end.is_none_or(|end| key <= end);
        for row in again.secrets.iter().filter(|row| is_here((row.secret, Version::FIRST)) && !row.faults.is_empty()) {
            page.secrets.entry(row.secret).or_default().extend(row.faults.iter().copied());
        }
        stored.envelopes.retain(|key, _| is_here(*key) && !in_catalogue.contains(key));
        for (secret, version) in stored.envelopes.into_keys() {
            let faults = vec![VersionFault::UnknownToCatalogue];
            page.versions.push((secret, Answer { version, envelope: None, state: None, faults }));
        }
        page.versions.sort_by_key(|(secret, answer)| (*secret, answer.version));
        page.next = end;
        Ok(page)
    }

    /// One envelope that the vault has; `None` if it has none.
    async fn one(&self, (secret, envelope): VersionKey) -> Result<Option<ReceiptFacts>, Refusal> {
        let found = self.ask(just_before(secret, envelope), 1).await?;
        let fits = |facts: &ReceiptFacts| {
            (facts.secret, facts.version, facts.state) == (secret, envelope, VersionState::Stored)
        };
        Ok(found.into_iter().next().filter(fits))
    }
}

/// The faults of a version, of which the vault has this envelope, or none.
fn judge(row: &CheckedVersion, stored: Option<ReceiptFacts>, applied: u64) -> Vec<VersionFault> {
    let mut faults = Vec::new();
    match row.origin {
        RowOrigin::Manager => {}
        RowOrigin::Untagged => faults.push(VersionFault::RowUntagged),
        RowOrigin::Altered => faults.push(VersionFault::RowAltered),
    }
    let Some(kept) = row.kept else {
        faults.push(VersionFault::EnvelopeRowMissing);
        return faults;
    };
    let (Some(state), Some(kept_state)) = (row.state, kept.state) else {
        faults.push(VersionFault::StateContradicts);
        return faults;
    };
    match state {
        // It is settled soon, and nobody knows what the vault has until then.
        CatalogueState::Pending => {}
        CatalogueState::Committed => {
            // The order to erase it is given to an envelope that no committed version points to.
            if kept_state != CatalogueState::Committed || (row.erasure != Erasure::None && stored.is_some()) {
                faults.push(VersionFault::StateContradicts);
            }
            faults.extend(committed(row, &kept, stored));
        }
        CatalogueState::Destroyed => {
            if stored.is_some() && !row.is_used {
                faults.push(match row.erasure {
                    Erasure::Event(number) if number > applied => VersionFault::ErasurePending,
                    Erasure::Waiting => VersionFault::ErasurePending,
                    Erasure::Event(_) | Erasure::None => VersionFault::StoredButDestroyed,
                });
            }
        }
        CatalogueState::Abandoned => {
            if stored.is_some() && row.envelope == row.version {
                faults.push(VersionFault::StoredButAbandoned);
            }
        }
    }
    faults
}

fn committed(row: &CheckedVersion, kept: &CheckedEnvelope, stored: Option<ReceiptFacts>) -> Vec<VersionFault> {
    let Some(facts) = stored else {
        return vec![match row.erasure {
            Erasure::Event(_) => VersionFault::ErasedInVault,
            Erasure::None | Erasure::Waiting => VersionFault::MissingInVault,
        }];
    };
    let is_elsewhere = row.environment.is_some_and(|environment| environment != facts.environment);
    let checks = [
        (facts.digest != kept.digest, VersionFault::DigestDiffers),
        (is_elsewhere, VersionFault::EnvironmentDiffers),
        (facts.epoch < kept.epoch, VersionFault::EpochBehind),
    ];
    checks.into_iter().filter(|(is_wrong, _)| *is_wrong).map(|(_, fault)| fault).collect()
}

fn unclear() -> Refusal {
    Refusal::unavailable("the vault does not say what it has")
}
