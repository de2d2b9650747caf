//! Key statements: this vault's own, and those of its manager, which come with each poll and are kept for a restart.
//!
//! Refuses a poll that is older than the last one and states other keys. Tells whether a poll has confirmed the clock.

use std::cmp;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use service_runtime::StartError;
use service_runtime::clock::Clock;
use service_runtime::standing::StandingStatements;
use shared_proto::Rejected;
use shared_proto::identity::Owner;
use shared_proto::statement::{KeyStatement, Purpose};

use crate::config::KeyTimes;
use crate::keys::{KeyRing, ManagerKeys, SealKeys};
use crate::manager_clock::ManagerClock;
use crate::store::{Statements, VaultStore};

/// How far the wall clock may go from the boot clock before it counts as set.
const CLOCK_DRIFT_SECONDS: u64 = 60;

/// The statements of both services.
pub struct KeyStatements {
    owner: Owner,
    transport_overlap: u64,
    keys: Arc<KeyRing>,
    seal_keys: Arc<SealKeys>,
    manager_keys: Arc<ManagerKeys>,
    manager_clock: Arc<ManagerClock>,
    store: Arc<dyn VaultStore>,
    clock: Arc<dyn Clock>,
    transport: StandingStatements,
    unkept: AtomicBool,
    // The wall clock and the boot clock when a poll was verified last.
    polled_at: Mutex<Option<(u64, u64)>>,
}

impl KeyStatements {
    /// Loads the kept statements of the manager.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn open(
        (keys, key_times): (Arc<KeyRing>, KeyTimes),
        seal_keys: Arc<SealKeys>,
        manager_keys: Arc<ManagerKeys>,
        manager_clock: Arc<ManagerClock>,
        store: Arc<dyn VaultStore>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StartError> {
        let (statements, stated_at) = stored_statements(&*store).await?;
        let current = keys.current();
        let _nothing_is_older = manager_keys.replace(&statements, (stated_at, clock.now()), &current.pins);
        Ok(Self {
            owner: Owner::Vault(current.id),
            transport_overlap: key_times.transport_overlap,
            keys,
            seal_keys,
            manager_keys,
            manager_clock,
            store,
            clock,
            transport: StandingStatements::new(Purpose::Transport),
            unkept: AtomicBool::new(false),
            polled_at: Mutex::default(),
        })
    }

    /// The statements of this vault's living keys.
    pub fn own(&self) -> Vec<KeyStatement> {
        let (owner, keys) = (self.owner, self.keys.current());
        // The key before it is stated for as long as it is accepted; the last one is the one to be used.
        let end = keys.transport.first().map(|active| active.since.saturating_add(self.transport_overlap));
        let ends = std::iter::once(None).chain(std::iter::repeat(end));
        let mut transport: Vec<_> = keys.transport.iter().map(|key| &key.public).zip(ends).collect();
        transport.reverse();
        let mut statements = self.transport.at(self.clock.now(), &keys.identity, owner, &transport);
        statements.extend(self.seal_keys.statements(&keys.identity, owner));
        statements
    }

    /// Accepts the manager's statements of a poll, and keeps them for a restart. On a full disk the poll succeeds
    /// anyway: the statements are in force, and the next poll tries again to keep them. Compares the poll with the
    /// newest before it.
    ///
    /// # Errors
    /// The poll is older than the last accepted one, and states other keys.
    pub async fn learn(&self, statements: &[KeyStatement], stated_at: u64) -> Result<cmp::Ordering, Rejected> {
        let times = (stated_at, self.manager_clock.token_time(&*self.clock));
        let changed = self.manager_keys.replace(statements, times, &self.keys.current().pins)?;
        let order = self.manager_clock.note_poll(stated_at, &*self.clock);
        if order.is_lt() {
            return Ok(order);
        }
        let confirmed = (self.clock.now(), self.clock.boot());
        *self.polled_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(confirmed);
        if self.unkept.fetch_or(changed, Ordering::SeqCst) || changed {
            let documents = statements.iter().filter_map(|statement| serde_json::to_string(statement).ok());
            match self.store.replace_statements(Statements { documents: documents.collect(), stated_at }).await {
                Ok(()) => self.unkept.store(false, Ordering::SeqCst),
                Err(fault) => tracing::warn!(%fault, "the manager's key statements could not be kept"),
            }
        }
        Ok(order)
    }

    /// Whether a poll has confirmed this vault's clock. A command is valid for a minute only, so an accepted one shows
    /// that the two clocks agree. Since then the wall clock must have moved as far as the boot clock. Nothing that
    /// cannot be undone is done by a clock that jumped.
    pub fn clock_is_confirmed(&self) -> bool {
        let polled_at = *self.polled_at.lock().unwrap_or_else(PoisonError::into_inner);
        polled_at.is_some_and(|(now, boot)| {
            let expected = now.saturating_add(self.clock.boot().saturating_sub(boot));
            self.clock.now().abs_diff(expected) <= CLOCK_DRIFT_SECONDS
        })
    }
}

async fn stored_statements(store: &dyn VaultStore) -> Result<(Vec<KeyStatement>, u64), StartError> {
    let found = store.statements().await.map_err(|fault| StartError::new(format!("{fault}.")))?;
    let statements = found.documents.iter().filter_map(|document| serde_json::from_str(document).ok());
    Ok((statements.collect(), found.stated_at))
}
