//! A database that keeps what it was given: entries of changes that were refused, and a process that lost it.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use manager_api::name::AccountName;
use manager_registry::{Author, Change, Rows, Service, Snapshot, WrittenEntry};
use manager_store::sql::SqlStore;
use manager_store::{
    CatalogueChanges, ChangeOutcome, DroppedEntries, OldEntries, RegistryRows, RegistryStore, SignEvent, Stored,
    Vouched,
};
use master_key_manager::access::Registry;
use master_key_manager::installation::{InstallationLock, open_registry, open_store};
use rusqlite::Connection;
use service_runtime::config::Mode;
use service_runtime::sql::StoreFault;
use shared_proto::event::Event;
use shared_proto::id::ServiceId;

use crate::support::Installed;

/// A database in the hands of an attacker.
struct Kept {
    inner: SqlStore,
    refuses: AtomicBool,
    is_lost: AtomicBool,
    /// What it was given last and did not take.
    rows: Mutex<Option<Rows>>,
}

#[async_trait]
impl RegistryStore for Kept {
    async fn registry(&self, from: u64) -> Stored<RegistryRows> {
        self.inner.registry(from).await
    }

    async fn registry_number(&self) -> Stored<u64> {
        self.inner.registry_number().await
    }

    async fn policy_entries(&self, from: u64, limit: usize) -> Stored<Vec<WrittenEntry>> {
        self.inner.policy_entries(from, limit).await
    }

    async fn change_places(
        &self,
        rows: Rows,
        places: CatalogueChanges,
        events: Vec<Event>,
        sign: Option<SignEvent>,
        now: u64,
    ) -> Stored<ChangeOutcome> {
        if self.refuses.load(Ordering::SeqCst) {
            *self.rows.lock().unwrap() = Some(rows);
            return Err(StoreFault::Unavailable);
        }
        self.inner.change_places(rows, places, events, sign, now).await
    }

    fn follow(&self, state: &Snapshot) {
        self.inner.follow(state);
    }

    async fn drop_entries(&self, old: OldEntries, limit: usize) -> Stored<DroppedEntries> {
        self.inner.drop_entries(old, limit).await
    }

    async fn vouch(&self, what: Vouched, limit: usize) -> Stored<usize> {
        self.inner.vouch(what, limit).await
    }

    fn is_held(&self) -> bool {
        !self.is_lost.load(Ordering::SeqCst)
    }

    async fn number_of(&self, event: Event) -> Stored<Option<u64>> {
        self.inner.number_of(event).await
    }
}

async fn kept(installed: &Installed) -> (Arc<Kept>, Arc<Registry>) {
    let inner = open_store(&installed.config).unwrap();
    let store =
        Kept { inner, refuses: AtomicBool::new(false), is_lost: AtomicBool::new(false), rows: Mutex::default() };
    let store = Arc::new(store);
    let registry = open_registry(&installed.config, store.clone()).await.unwrap();
    (store, Arc::new(registry))
}

fn planted() -> Vec<Change> {
    vec![Service::new(ServiceId::from_bytes([9; 16]), AccountName::parse("refused").unwrap(), 1).into()]
}

/// Writes what a database kept, as the change would have.
fn plant(installed: &Installed, rows: &Rows) {
    let database = Connection::open(installed.config.database()).unwrap();
    for record in &rows.written {
        let insert = "INSERT INTO registry_records (kind, id, body) VALUES (?1, ?2, ?3)";
        database.execute(insert, [record.name.kind.as_str(), &record.name.id, &record.body]).unwrap();
    }
    let entry = &rows.entry;
    let insert = "INSERT INTO registry_log (number, entry, tag) VALUES (?1, ?2, ?3)";
    database.execute(insert, rusqlite::params![i64::try_from(entry.number).unwrap(), entry.text, entry.tag.0]).unwrap();
}

#[tokio::test]
async fn a_change_that_was_refused_is_not_made_later_by_whoever_kept_its_entry() {
    let installed = Installed::new(Mode::Production).await;
    let (store, registry) = kept(&installed).await;
    let by = (Author::Operator, "", 1);
    store.refuses.store(true, Ordering::SeqCst);
    assert!(registry.change(by, None, |_| Ok(planted())).await.is_err());
    let rows = store.rows.lock().unwrap().take().unwrap();
    // While the database takes nothing, nothing can be settled, and who is known is let in.
    assert!(registry.now().await.is_ok());
    store.refuses.store(false, Ordering::SeqCst);
    registry.refresh().await.unwrap();
    plant(&installed, &rows);
    registry.forget();
    assert!(registry.now().await.is_err() && !registry.is_verified());
    assert!(open_registry(&installed.config, store.clone()).await.is_err(), "nor by a start");
}

#[tokio::test]
async fn a_change_whose_outcome_was_lost_is_made_if_the_database_has_it() {
    let installed = Installed::new(Mode::Production).await;
    let (store, registry) = kept(&installed).await;
    store.refuses.store(true, Ordering::SeqCst);
    assert!(registry.change((Author::Operator, "", 1), None, |_| Ok(planted())).await.is_err());
    let rows = store.rows.lock().unwrap().take().unwrap();
    store.refuses.store(false, Ordering::SeqCst);
    // The answer to the commit was lost.
    plant(&installed, &rows);
    let view = registry.now().await.unwrap();
    assert!(view.state.service(ServiceId::from_bytes([9; 16])).is_some());
    let more = vec![Service::new(ServiceId::generate(), AccountName::parse("next").unwrap(), 1).into()];
    registry.change((Author::Operator, "", 1), None, move |_| Ok(more)).await.unwrap();
}

#[tokio::test]
async fn a_process_that_lost_its_database_lets_nobody_in() {
    let installed = Installed::new(Mode::Production).await;
    let (store, registry) = kept(&installed).await;
    assert!(registry.now().await.is_ok());
    store.is_lost.store(true, Ordering::SeqCst);
    assert!(registry.now().await.is_err(), "what it remembers may have been taken away since");
    store.is_lost.store(false, Ordering::SeqCst);
    assert!(registry.now().await.is_ok());
}

#[tokio::test]
async fn two_installations_do_not_share_a_key_folder() {
    let installed = Installed::new(Mode::Production).await;
    let other = tempfile::tempdir().unwrap();
    let mut raw = installed.config.get().clone();
    raw.data_dir = other.path().to_owned();
    let other = master_key_manager::config::Config::new(raw).unwrap();
    let _first = InstallationLock::acquire(&installed.config).unwrap();
    let refusal = InstallationLock::acquire(&other).unwrap_err().to_string();
    assert!(refusal.contains("keys"), "{refusal}");
}

#[tokio::test]
async fn a_change_about_a_credential_shares_the_facts_of_the_policy() {
    let installed = Installed::new(Mode::Production).await;
    let (_store, registry) = kept(&installed).await;
    let before = registry.now().await.unwrap();
    let known = before.state.credentials().find(|one| one.proof.hmac().is_some()).unwrap().clone();
    let renamed = manager_registry::Credential { expires_at: Some(u64::MAX), ..known };
    registry.change((Author::Operator, "", 1), None, move |_| Ok(vec![renamed.into()])).await.unwrap();
    let after = registry.now().await.unwrap();
    assert!(after.facts.share(&before.facts) && after.facts.epoch() > before.facts.epoch());
    assert_eq!(*after.facts, after.state.facts(false), "they are those of the records");
    registry.change((Author::Operator, "", 1), None, |_| Ok(planted())).await.unwrap();
    let later = registry.now().await.unwrap();
    assert!(!later.facts.share(&after.facts));
    assert_eq!(*later.facts, later.state.facts(false));
}
