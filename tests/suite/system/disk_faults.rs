//! The disk below one of the services fails and works again: nothing is acknowledged that is not there, nothing is
//! released without its audit line, `/health/ready` says what is wrong, and no restart is needed.

use std::collections::HashSet;

use serde_json::json;
use system_tests::faults::DiskFault;
use system_tests::history::audit_segments;
use system_tests::{Engine, Installation, Service, Stored, only_on, wait_until};

/// Why a test knows SQLite only.
const FILES: &str = "the files of PostgreSQL are not the service's; database_down.rs ends the server";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Below {
    Vault,
    Manager,
}

impl Below {
    fn service(self, installation: &mut Installation) -> &mut Service {
        match self {
            Self::Vault => &mut installation.vault,
            Self::Manager => &mut installation.manager,
        }
    }
}

/// What was promised so far.
#[derive(Default)]
struct Promised {
    stored: Vec<Stored>,
    revoked: Vec<Stored>,
    /// Request ids of the answers that held a value.
    released: HashSet<String>,
}

impl Promised {
    /// A write, a read and a revocation; each is done or refused in words.
    async fn try_everything(&mut self, installation: &Installation, victim: &Stored) {
        let written = installation.submit(json!({"key_data": "value"})).await;
        assert!(matches!(written.status, 201 | 503), "{written}");
        if written.status == 201 {
            self.stored.push(Stored::of(&written));
        }
        for stored in &self.stored {
            let read = installation.read(&stored.key_id, &stored.token).await;
            assert!(matches!(read.status, 200 | 503), "{read}");
            if read.status == 200 {
                self.released.insert(read.header("x-request-id").unwrap().to_owned());
            }
        }
        let answer = installation.admin_call("DELETE", &format!("/api/tokens/{}", victim.jti), None).await;
        assert!(matches!(answer.status, 200 | 202 | 503), "{answer}");
        if answer.status == 200 {
            self.revoked.push(victim.clone());
        }
    }

    async fn hold(&self, installation: &Installation) {
        for stored in &self.stored {
            let minted = installation.mint(&[(&stored.key_id, stored.version)]).await.expect(201);
            let read = installation.read(&stored.key_id, &minted.text("access_token")).await.expect(200);
            assert_eq!(read.text("decrypted_key"), "value");
        }
        for stored in &self.revoked {
            installation.read(&stored.key_id, &stored.token).await.expect_code("token_invalid");
        }
        let lines = installation.vault.audit();
        let audited: HashSet<&str> = lines
            .iter()
            .filter(|line| line["action"] == "secret.read" && line["status"] == "success")
            .filter_map(|line| line["request_id"].as_str())
            .collect();
        for released in &self.released {
            assert!(audited.contains(released.as_str()), "a value was released without its audit line: {released}");
        }
    }
}

async fn drill(below: Below) {
    if !only_on(Engine::Sqlite, FILES) {
        return;
    }
    let mut installation = Installation::builder().make();
    below.service(&mut installation).load_shims();
    installation.start().await;
    let mut promised = Promised::default();
    for fault in DiskFault::ALL {
        promised.stored.push(installation.store("value").await);
        let victim = installation.store("victim").await;
        below.service(&mut installation).break_disk(Some(fault));
        let mut words = Vec::new();
        wait_until(&format!("{fault:?} is noticed"), async || {
            promised.try_everything(&installation, &victim).await;
            words = below.service(&mut installation).readiness().await;
            words.first().is_some_and(|word| matches!(word.as_str(), "storage" | "audit"))
        })
        .await;
        for _ in 0..3 {
            promised.try_everything(&installation, &victim).await;
        }
        assert!(!below.service(&mut installation).is_ready().await, "{fault:?} still lasts");
        // Nothing but time and a working disk, and no request of any client.
        below.service(&mut installation).break_disk(None);
        installation.ready().await;
        installation.revoke(&victim.jti).await;
        promised.revoked.push(victim);
        promised.hold(&installation).await;
    }
    // What a crash of the process leaves is the same.
    below.service(&mut installation).kill();
    below.service(&mut installation).start().await;
    installation.ready().await;
    promised.hold(&installation).await;
    for service in [&installation.vault, &installation.manager] {
        assert!(!service.log().contains("panicked"), "{}", service.name());
    }
}

#[tokio::test]
async fn vault_keeps_its_promises_on_a_disk_that_fails_and_recovers_by_itself() {
    drill(Below::Vault).await;
}

#[tokio::test]
async fn manager_keeps_its_promises_on_a_disk_that_fails_and_recovers_by_itself() {
    drill(Below::Manager).await;
}

#[tokio::test]
async fn database_that_is_moved_while_its_service_runs_acknowledges_nothing_until_it_is_back() {
    if !only_on(Engine::Sqlite, FILES) {
        return;
    }
    let installation = Installation::running().await;
    let stored = installation.store("value").await;
    for service in [&installation.vault, &installation.manager] {
        let (database, aside) = (service.sqlite_file(), service.data().join("aside"));
        std::fs::rename(&database, &aside).unwrap();
        wait_until("it is noticed", async || service.readiness().await.contains(&"storage".to_owned())).await;
        assert_eq!(installation.submit(json!({"key_data": "into nowhere"})).await.status, 503);
        service.has_logged(database.to_str().unwrap()).await;
        assert!(!database.exists(), "another database was made");
        std::fs::rename(&aside, &database).unwrap();
        installation.ready().await;
    }
    assert!(installation.opens(&stored).await);
    installation.store("later").await;
}

#[tokio::test]
async fn audit_log_continues_in_a_new_file_after_a_failed_fsync() {
    let mut installation = Installation::builder().make();
    installation.vault.load_shims();
    installation.start().await;
    let stored = installation.store("value").await;
    assert!(installation.opens(&stored).await);
    let segments = |service: &Service| {
        let names = std::fs::read_dir(service.data()).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().starts_with("audit")).count()
    };
    installation.vault.break_disk(Some(DiskFault::FsyncError));
    installation.read(&stored.key_id, &stored.token).await.expect_code("audit_unavailable");
    installation.vault.break_disk(None);
    installation.ready().await;
    assert_eq!(segments(&installation.vault), 2);
    assert!(installation.opens(&stored).await);
    // The chain over both files is verified at a start.
    installation.restart_vault().await;
}

#[tokio::test]
async fn vault_whose_old_audit_lines_were_altered_releases_nothing_and_still_revokes() {
    let mut installation = Installation::running().await;
    let stored = installation.store("value").await;
    while audit_segments(&installation.vault.data()).len() < 3 {
        assert!(installation.opens(&stored).await);
    }
    installation.vault.stop().await;
    let oldest = installation.vault.data().join("audit.jsonl");
    let text = std::fs::read_to_string(&oldest).unwrap();
    std::fs::write(&oldest, text.replacen("\"success\"", "\"denied\"", 1)).unwrap();
    installation.vault.launch();
    wait_until("it is found", async || installation.vault.readiness().await == ["audit"]).await;
    installation.read(&stored.key_id, &stored.token).await.expect_code("audit_unavailable");
    installation.revoke(&stored.jti).await;
    installation.read(&stored.key_id, &stored.token).await.expect_code("token_invalid");
    installation.vault.has_logged("was altered after line").await;
}
