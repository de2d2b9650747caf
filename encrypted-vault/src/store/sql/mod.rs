//! The store in a database with SQL, by area. Statements and the decisions between them are written once for all engines.

mod events;
mod facts;
mod files;
mod fingerprints;
mod installation;
mod rows;
pub mod schema;
mod statements;
mod wrapped_keys;

use async_trait::async_trait;
use service_runtime::sql::{Database, Faults, StoreFault};
use shared_proto::envelope::EnvelopeDigest;
use shared_proto::id::{EnvironmentId, SecretId, Version};
use shared_proto::receipt::ReceiptFacts;
use shared_proto::wire::vault::VersionName;

use super::{Completeness, KeyOfRow, NewEvent, NewKey, NewRow, Rewrapped, Row, Statements, VaultStore, WrappedKey};

/// Rows whose older keys one transaction erases. Writes wait for it, so it is short.
const ERASED_AT_ONCE: usize = 256;
/// Rows that one read transaction scans. An open one keeps what was deleted meanwhile from being cleared away.
const LOOKED_AT_ONCE: usize = 4_096;

/// The vault's database.
#[derive(Clone, Debug)]
pub struct SqlStore {
    database: Database,
}

impl SqlStore {
    /// A store on a database that has the newest [`schema`] and is this vault's.
    pub fn on(database: Database) -> Self {
        Self { database }
    }

    /// The same store with planned faults. For tests.
    #[must_use]
    pub fn with_faults(self, faults: Faults) -> Self {
        Self { database: self.database.with_faults(faults) }
    }

    /// Scans all rows, a page in each transaction.
    async fn completeness(&self, target: (EnvironmentId, u32)) -> Result<Completeness, StoreFault> {
        let (mut sum, mut after) = (Completeness { rows: 0, lacking: 0 }, None);
        loop {
            let look = self
                .database
                .read("completeness", move |tx| wrapped_keys::completeness(tx, target, after.as_ref(), LOOKED_AT_ONCE));
            let (page, last) = look.await?;
            sum.rows += page.rows;
            sum.lacking += page.lacking;
            if last.is_none() {
                return Ok(sum);
            }
            after = last;
        }
    }
}

#[async_trait]
impl VaultStore for SqlStore {
    async fn insert(&self, rows: Vec<NewRow>, now: u64) -> Result<Vec<Option<ReceiptFacts>>, StoreFault> {
        self.database.write("insert", move |tx| rows.iter().map(|row| rows::insert(tx, row, now)).collect()).await
    }

    async fn settle(&self, names: Vec<VersionName>, now: u64) -> Result<Vec<ReceiptFacts>, StoreFault> {
        self.database.write("settle", move |tx| names.iter().map(|name| rows::settle(tx, *name, now)).collect()).await
    }

    async fn settle_unused(&self, names: Vec<VersionName>, now: u64) -> Result<Option<Vec<ReceiptFacts>>, StoreFault> {
        self.database.write("settle_unused", move |tx| rows::settle_unused(tx, &names, now)).await
    }

    async fn read(&self, secret: SecretId, version: Version) -> Result<Option<Row>, StoreFault> {
        self.database.read("read", move |tx| rows::read(tx, secret, version)).await
    }

    async fn inventory(
        &self,
        after: Option<(SecretId, Version)>,
        limit: usize,
    ) -> Result<Vec<ReceiptFacts>, StoreFault> {
        self.database.read("inventory", move |tx| rows::inventory(tx, after, limit)).await
    }

    async fn wrapped(
        &self,
        epoch: u32,
        names: Vec<VersionName>,
    ) -> Result<Vec<Option<(EnvelopeDigest, WrappedKey)>>, StoreFault> {
        self.database
            .read("wrapped", move |tx| names.iter().map(|name| wrapped_keys::of_epoch(tx, epoch, *name)).collect())
            .await
    }

    async fn rewrap(&self, keys: Vec<NewKey>) -> Result<Vec<Option<Rewrapped>>, StoreFault> {
        self.database.write("rewrap", move |tx| keys.iter().map(|key| wrapped_keys::add(tx, key)).collect()).await
    }

    async fn retire(&self, environment: EnvironmentId, epoch: u32) -> Result<Completeness, StoreFault> {
        let target = (environment, epoch);
        let before = self.completeness(target).await?;
        if before.lacking > 0 {
            return Ok(before);
        }
        self.database.write("retire", move |tx| wrapped_keys::retire_below(tx, environment, epoch)).await?;
        let mut after = None;
        loop {
            let find = self
                .database
                .read("with_older", move |tx| wrapped_keys::with_older(tx, target, after.as_ref(), ERASED_AT_ONCE));
            let page = find.await?;
            let Some(last) = page.last().copied() else { break };
            let erase = self.database.write("erase_below", move |tx| {
                page.iter().try_for_each(|name| wrapped_keys::erase_below(tx, *name, epoch))
            });
            erase.await?;
            after = Some(last);
        }
        // A row that was stored between the first look and the mark shows here.
        self.completeness(target).await
    }

    async fn not_under(
        &self,
        storage_key: u32,
        after: Option<(SecretId, Version, u32)>,
        limit: usize,
    ) -> Result<Vec<KeyOfRow>, StoreFault> {
        self.database.read("not_under", move |tx| wrapped_keys::not_under(tx, storage_key, after, limit)).await
    }

    async fn exchange(&self, keys: Vec<(KeyOfRow, WrappedKey)>) -> Result<(), StoreFault> {
        let exchange = self
            .database
            .write("exchange", move |tx| keys.iter().try_for_each(|(old, new)| wrapped_keys::exchange(tx, old, new)));
        exchange.await
    }

    async fn append_events(&self, events: Vec<NewEvent>, now: u64) -> Result<(), StoreFault> {
        self.database.write("append_events", move |tx| events::append(tx, &events, now)).await
    }

    async fn drop_events(&self, numbers: Vec<u64>) -> Result<(), StoreFault> {
        self.database.write("drop_events", move |tx| events::drop(tx, &numbers)).await
    }

    async fn events(&self, after: u64, limit: usize) -> Result<Vec<(u64, String)>, StoreFault> {
        self.database.read("events", move |tx| events::after(tx, after, limit)).await
    }

    async fn tombstones(&self) -> Result<Vec<(SecretId, Version)>, StoreFault> {
        self.database.read("tombstones", rows::tombstones).await
    }

    async fn replace_statements(&self, statements: Statements) -> Result<(), StoreFault> {
        self.database.write("replace_statements", move |tx| statements::replace(tx, &statements)).await
    }

    async fn statements(&self) -> Result<Statements, StoreFault> {
        self.database.read("statements", statements::all).await
    }

    fn is_healthy(&self) -> bool {
        self.database.is_healthy()
    }

    fn is_held(&self) -> bool {
        self.database.is_held()
    }

    async fn lost(&self) {
        self.database.lost().await;
    }

    async fn close(&self) {
        self.database.close().await;
    }
}
