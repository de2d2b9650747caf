//! A store that fails on demand, around a real one, for tests of the answers when the disk fails.

use async_trait::async_trait;
use service_runtime::sqlite::StoreFault;
use shared_proto::envelope::EnvelopeDigest;
use shared_proto::id::{EnvironmentId, SecretId, Version};
use shared_proto::receipt::ReceiptFacts;
use shared_proto::wire::vault::VersionName;
use tokio::sync::watch;

use super::{Completeness, KeyOfRow, NewEvent, NewKey, NewRow, Rewrapped, Row, Statements, VaultStore, WrappedKey};

/// A kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Writes fail before anything is written.
    WritesFail,
    /// Writes happen, but the answer is lost.
    AnswersLost,
    /// Reads fail.
    ReadsFail,
    /// Writes happen, but the answer is lost, and nothing can be read to find out.
    Blind,
    /// Reads wait until another fault is set.
    ReadsWait,
}

/// A wrapped store.
pub struct FaultyStore<S> {
    inner: S,
    fault: watch::Sender<Fault>,
    waiting: watch::Sender<bool>,
}

impl<S: VaultStore> FaultyStore<S> {
    /// A store without a fault.
    pub fn new(inner: S) -> Self {
        Self { inner, fault: watch::Sender::new(Fault::None), waiting: watch::Sender::new(false) }
    }

    /// Sets the failure from now on.
    pub fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    /// Returns when a read waits.
    pub async fn read_begun(&self) {
        let mut waiting = self.waiting.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _waits = waiting.wait_for(|waits| *waits).await;
    }

    fn has(&self, fault: Fault) -> bool {
        *self.fault.borrow() == fault
    }

    async fn write<T: Send>(&self, act: impl Future<Output = Result<T, StoreFault>> + Send) -> Result<T, StoreFault> {
        if self.has(Fault::WritesFail) {
            return Err(StoreFault::Unavailable);
        }
        let outcome = act.await;
        if self.has(Fault::AnswersLost) || self.has(Fault::Blind) { Err(StoreFault::OutcomeUnknown) } else { outcome }
    }

    async fn look<T: Send>(&self, act: impl Future<Output = Result<T, StoreFault>> + Send) -> Result<T, StoreFault> {
        if self.has(Fault::ReadsWait) {
            self.waiting.send_replace(true);
            let mut fault = self.fault.subscribe();
            let _changed = fault.wait_for(|fault| *fault != Fault::ReadsWait).await;
        }
        if self.has(Fault::ReadsFail) || self.has(Fault::Blind) { Err(StoreFault::Unavailable) } else { act.await }
    }
}

#[async_trait]
impl<S: VaultStore> VaultStore for FaultyStore<S> {
    async fn insert(&self, rows: Vec<NewRow>, now: u64) -> Result<Vec<Option<ReceiptFacts>>, StoreFault> {
        self.write(self.inner.insert(rows, now)).await
    }

    async fn settle(&self, names: Vec<VersionName>, now: u64) -> Result<Vec<ReceiptFacts>, StoreFault> {
        self.write(self.inner.settle(names, now)).await
    }

    async fn read(&self, secret: SecretId, version: Version) -> Result<Option<Row>, StoreFault> {
        self.look(self.inner.read(secret, version)).await
    }

    async fn inventory(
        &self,
        after: Option<(SecretId, Version)>,
        limit: usize,
    ) -> Result<Vec<ReceiptFacts>, StoreFault> {
        self.look(self.inner.inventory(after, limit)).await
    }

    async fn wrapped(
        &self,
        epoch: u32,
        names: Vec<VersionName>,
    ) -> Result<Vec<Option<(EnvelopeDigest, WrappedKey)>>, StoreFault> {
        self.look(self.inner.wrapped(epoch, names)).await
    }

    async fn rewrap(&self, keys: Vec<NewKey>) -> Result<Vec<Option<Rewrapped>>, StoreFault> {
        self.write(self.inner.rewrap(keys)).await
    }

    async fn retire(&self, environment: EnvironmentId, epoch: u32) -> Result<Completeness, StoreFault> {
        self.write(self.inner.retire(environment, epoch)).await
    }

    async fn not_under(
        &self,
        storage_key: u32,
        after: Option<(SecretId, Version, u32)>,
        limit: usize,
    ) -> Result<Vec<KeyOfRow>, StoreFault> {
        self.look(self.inner.not_under(storage_key, after, limit)).await
    }

    async fn exchange(&self, keys: Vec<(KeyOfRow, WrappedKey)>) -> Result<(), StoreFault> {
        self.write(self.inner.exchange(keys)).await
    }

    async fn append_events(&self, events: Vec<NewEvent>, now: u64) -> Result<(), StoreFault> {
        self.write(self.inner.append_events(events, now)).await
    }

    async fn drop_events(&self, numbers: Vec<u64>) -> Result<(), StoreFault> {
        self.write(self.inner.drop_events(numbers)).await
    }

    async fn events(&self, after: u64, limit: usize) -> Result<Vec<(u64, String)>, StoreFault> {
        self.look(self.inner.events(after, limit)).await
    }

    async fn tombstones(&self) -> Result<Vec<(SecretId, Version)>, StoreFault> {
        self.look(self.inner.tombstones()).await
    }

    async fn replace_statements(&self, statements: Statements) -> Result<(), StoreFault> {
        self.write(self.inner.replace_statements(statements)).await
    }

    async fn statements(&self) -> Result<Statements, StoreFault> {
        self.look(self.inner.statements()).await
    }

    fn is_healthy(&self) -> bool {
        self.has(Fault::None) && self.inner.is_healthy()
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
