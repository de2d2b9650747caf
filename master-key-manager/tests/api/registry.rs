//! The registry while it changes, and when it is not what the manager wrote last.

use std::future::Future as _;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::Method;
use futures_util::future::join_all;
use manager_api::name::AccountName;
use manager_registry::{Author, Change, Credential, Proof, Service};
use manager_store::ManagerStore as _;
use master_key_manager::init::{policy, replace_administrators, reset_administrator};
use master_key_manager::installation::{open_registry, open_store};
use rusqlite::Connection;
use serde_json::{Value, json};
use service_runtime::config::Mode;
use service_runtime::files::replace_private;
use shared_proto::credential::PlainCredential;
use shared_proto::encoding::Bytes;
use shared_proto::id::{CredentialId, ServiceId, Subject};

use crate::planted::{Replaced, status};
use crate::support::{Installed, until};

const ENTRY_MORE: &str =
    "INSERT INTO registry_log SELECT number + 1, entry, tag FROM registry_log ORDER BY number DESC LIMIT 1;";

/// Empties the log, and plants the disabled credential as an earlier release would have it.
fn as_an_earlier_release(replaced: &Replaced, also_records: bool) {
    let database = Connection::open(replaced.installed.config.database()).unwrap();
    let disabled = "SELECT body FROM registry_records WHERE body LIKE '%disabled_at%' AND body LIKE '%hmac%'";
    let body: String = database.query_row(disabled, [], |row| row.get(0)).unwrap();
    let body: Value = serde_json::from_str(&body).unwrap();
    let hmac: Bytes<32> = serde_json::from_value(body["proof"]["hmac"].clone()).unwrap();
    if also_records {
        database.execute("DELETE FROM registry_records", []).unwrap();
    }
    database.execute("DELETE FROM registry_log", []).unwrap();
    let insert = "INSERT INTO credentials (credential_id, subject, hmac, created_at) VALUES (?1, ?2, ?3, 1)";
    let planted = database.execute(insert, rusqlite::params![[1_u8; 16], "svc_AAAAAAAAAAAAAAAAAAAAAA", hmac.0]);
    assert_eq!(planted.unwrap(), 1);
}

fn word(shown: &str) -> &str {
    shown.split_whitespace().next_back().unwrap()
}

#[actix_web::test]
async fn a_database_of_an_earlier_release_is_taken_over_by_the_operator_alone() {
    for anchor_is_there in [true, false] {
        let replaced = Replaced::new().await;
        if !anchor_is_there {
            std::fs::remove_file(replaced.installed.file("registry-anchor.json")).unwrap();
        }
        // Its records are of no entry, and go with the take-over.
        as_an_earlier_release(&replaced, anchor_is_there);
        assert!(replaced.refusal().await.is_some_and(|refusal| refusal.contains("earlier release")));
        let shown = policy(&replaced.installed.config, None).await.unwrap();
        assert!(shown.contains("svc_AAAAAAAAAAAAAAAAAAAAAA") && shown.contains("earlier release"), "{shown}");
        policy(&replaced.installed.config, Some(word(&shown))).await.unwrap();
        assert_eq!(replaced.refusal().await, None, "what was confirmed starts");
    }
}

#[actix_web::test]
async fn what_was_not_shown_is_not_confirmed() {
    let replaced = Replaced::new().await;
    std::fs::remove_file(replaced.installed.file("registry-anchor.json")).unwrap();
    let shown = policy(&replaced.installed.config, None).await.unwrap();
    as_an_earlier_release(&replaced, true);
    let confirmed = policy(&replaced.installed.config, Some(word(&shown))).await;
    assert!(confirmed.is_err_and(|error| error.to_string().contains("look again")));
    assert!(replaced.refusal().await.is_some());
}

/// A client disconnects while its authentication reads the registry again, on a worker whose disk is slow.
#[actix_web::test]
async fn a_request_that_was_dropped_lowers_no_anchor() {
    let replaced = Replaced::new().await;
    let manager = replaced.installed.start().await;
    let anchor = replaced.installed.file("registry-anchor.json");
    let early = std::fs::read(&anchor).unwrap();
    let before = replaced.installed.file("../before.db");
    service_runtime::sqlite::backup(&replaced.installed.config.database(), &before).unwrap();
    let registry = Arc::clone(&manager.app.registry);
    let (release, held) = std::sync::mpsc::channel::<()>();
    let other = std::thread::spawn({
        let registry = Arc::clone(&registry);
        move || {
            let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).enable_all().build();
            let runtime = runtime.unwrap();
            runtime.block_on(async {
                let (entered, is_entered) = std::sync::mpsc::channel::<()>();
                registry.forget();
                let mut now = Box::pin(registry.now());
                let _pending = now.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
                drop(tokio::task::spawn_blocking(move || {
                    entered.send(()).unwrap();
                    held.recv().unwrap();
                }));
                let _slow = tokio::time::timeout(Duration::from_millis(200), now.as_mut()).await;
                is_entered.recv().unwrap();
            });
            runtime
        }
    });
    let runtime = tokio::task::spawn_blocking(move || other.join().unwrap()).await.unwrap();
    let new = PlainCredential::generate();
    // The read of the other worker is still under way, and the change waits for it.
    let change = tokio::spawn({
        let (config, registry) = (replaced.installed.config.clone(), Arc::clone(&registry));
        async move { replace_administrators(&config, &registry, &new).await }
    });
    release.send(()).unwrap();
    tokio::task::spawn_blocking(move || drop(runtime)).await.unwrap();
    change.await.unwrap().unwrap();
    assert_ne!(std::fs::read(&anchor).unwrap(), early);
    replaced.plant(&format!(
        "ATTACH '{}' AS kept; DELETE FROM registry_records; DELETE FROM registry_log;
         INSERT INTO registry_records SELECT * FROM kept.registry_records;
         INSERT INTO registry_log SELECT * FROM kept.registry_log",
        before.display()
    ));
    until("it is noticed", async || status(&manager, &replaced.installed.credential).await == 503).await;
    manager.stop().await;
}

#[actix_web::test]
async fn an_administrator_disables_several_credentials_at_once() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let view = manager.app.registry.now().await.unwrap();
    let subject = Subject::Service(view.state.services().next().unwrap().service_id);
    let credential = |number| Credential::new(CredentialId::generate(), subject, Proof::opaque([number; 32]), 1);
    let more: Vec<Credential> = (1..6).map(credential).collect();
    let changes: Vec<_> = more.iter().cloned().map(Change::from).collect();
    let by = (Author::Operator, "", 1);
    manager.app.registry.change(by, None, |_| Ok(changes.clone())).await.unwrap();
    let disable = async |one: &Credential| {
        let body = json!({"kind": "disable-credential", "client_id": one.credential_id});
        manager.post("/api/revocations", body).await.status.as_u16()
    };
    let all = join_all(more.iter().map(disable)).await;
    assert!(all.iter().all(|status| *status == 200), "{all:?}");
    let view = manager.app.registry.now().await.unwrap();
    assert!(more.iter().all(|one| view.state.actor(one.credential_id, 1).is_none()));
    assert_eq!(installed.vault.applied().len(), 5);
    manager.stop().await;
}

#[actix_web::test]
async fn an_entry_about_another_credential_takes_no_token_from_a_write_under_way() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let registry = Arc::clone(&manager.app.registry);
    manager.faults.after_calls("begin", 1, move || async move {
        let subject = Subject::Service(registry.now().await.unwrap().state.services().next().unwrap().service_id);
        let other = Credential::new(CredentialId::generate(), subject, Proof::opaque([9; 32]), 1);
        let by = (Author::Service, "", 1);
        registry.change(by, None, |_| Ok(vec![other.into()])).await.unwrap();
    });
    manager.store_value("p", "v").await.expect(201).member("access_token");
    manager.stop().await;
}

#[actix_web::test]
async fn strangers_make_a_manager_that_lets_nobody_in_read_no_more_than_once_in_a_while() {
    let replaced = Replaced::new().await;
    let manager = replaced.installed.start().await;
    replaced.plant(ENTRY_MORE);
    until("it is noticed", async || status(&manager, "nonsense").await == 503).await;
    let (before, begun) = (manager.faults.calls("registry"), std::time::Instant::now());
    for _ in 0..200 {
        assert_eq!(status(&manager, "nonsense").await, 503);
    }
    let (reads, seconds) = (manager.faults.calls("registry") - before, begun.elapsed().as_secs());
    assert!(reads <= 2 * seconds + 2, "{reads} reads in {seconds} s");
    manager.stop().await;
}

#[actix_web::test]
async fn an_older_key_folder_beside_a_newer_database_asks_for_the_operator() {
    let replaced = Replaced::new().await;
    let anchor = replaced.installed.file("registry-anchor.json");
    let backup = std::fs::read(&anchor).unwrap();
    reset_administrator(&replaced.installed.config).await.unwrap();
    let one_later = std::fs::read(&anchor).unwrap();
    reset_administrator(&replaced.installed.config).await.unwrap();
    replace_private(&anchor, &backup).unwrap();
    assert!(replaced.refusal().await.is_some_and(|refusal| refusal.contains("or their anchor")));
    replace_private(&anchor, &one_later).unwrap();
    assert_eq!(replaced.refusal().await, None, "the control: one entry more is what a crash leaves");
}

#[actix_web::test]
async fn a_read_that_finds_nothing_new_writes_no_anchor() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let anchor = installed.file("registry-anchor.json");
    let before = std::fs::metadata(&anchor).unwrap();
    let reads = manager.faults.calls("registry");
    manager.app.registry.forget();
    manager.admin(Method::GET, "/api/secrets", None).await.expect(200);
    assert!(manager.faults.calls("registry") > reads);
    let after = std::fs::metadata(&anchor).unwrap();
    assert_eq!((before.ino(), before.mtime_nsec()), (after.ino(), after.mtime_nsec()));
    manager.stop().await;
}

#[actix_web::test]
async fn a_planted_record_of_an_unknown_kind_lets_nobody_in_and_the_manager_says_so() {
    let replaced = Replaced::new().await;
    let manager = replaced.installed.start().await;
    replaced.plant(&format!("INSERT INTO registry_records VALUES ('x', 'y', 'z'); {ENTRY_MORE}"));
    until("it is noticed", async || status(&manager, &replaced.installed.credential).await == 503).await;
    assert!(!manager.app.registry.is_verified());
    assert_eq!(manager.get("/health/ready").await.status, 503);
    manager.stop().await;
    assert!(replaced.refusal().await.is_some_and(|refusal| refusal.contains("not what this manager wrote")));
}

/// Two processes on one database, and nobody reads it again in between.
#[actix_web::test]
async fn a_change_is_made_on_what_another_process_has_changed() {
    let installed = Installed::new(Mode::Production).await;
    let store = open_store(&installed.config).unwrap();
    let open = async || open_registry(&installed.config, Arc::new(store.clone())).await.unwrap();
    let (one, other) = (open().await, open().await);
    for (number, registry) in [&one, &other, &one].into_iter().enumerate() {
        let name = AccountName::parse(format!("service-{number}")).unwrap();
        let service = Service::new(ServiceId::generate(), name, 1);
        registry.change((Author::Operator, "", 1), None, |_| Ok(vec![service.into()])).await.unwrap();
    }
    store.close().await;
}
