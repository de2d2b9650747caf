//! The PostgreSQL server ends, cuts its connections and comes back: the services say `storage`, acknowledge nothing that
//! is not there, and go on by themselves.

use std::path::Path;

use serde_json::json;
use system_tests::faults::build;
use system_tests::loot::set_mode;
use system_tests::{Engine, Installation, Service, Stored, only_on, wait_until};
use test_postgres::Server;

const SERVER: &str = "it is about a database server";

async fn says_storage(service: &Service) {
    let says = async || service.readiness().await.contains(&"storage".to_owned());
    wait_until(&format!("{} says storage", service.name()), says).await;
}

async fn written(installation: &Installation) -> Option<Stored> {
    let answer = installation.submit(json!({"key_data": "value"})).await;
    assert!(matches!(answer.status, 201 | 503), "{answer}");
    (answer.status == 201).then(|| Stored::of(&answer))
}

async fn all_there(installation: &Installation, stored: &[Stored]) {
    for one in stored {
        let minted = installation.mint(&[(&one.key_id, one.version)]).await.expect(201);
        let read = installation.read(&one.key_id, &minted.text("access_token")).await.expect(200);
        assert_eq!(read.text("decrypted_key"), "value");
    }
}

#[tokio::test]
async fn server_that_ends_stops_writes_and_minting_and_the_services_go_on_when_it_is_back() {
    if !only_on(Engine::Postgres, SERVER) {
        return;
    }
    let installation = Installation::builder().apart().running().await;
    let mut stored = vec![installation.store("value").await];
    let mut revoked = vec![installation.store("revoked").await];
    installation.revoke(&revoked[0].jti).await;
    for service in [&installation.vault, &installation.manager] {
        for end in [Server::halt, Server::kill] {
            let (server, victim) = (service.postgres().server(), installation.store("victim").await);
            end(server);
            says_storage(service).await;
            for _ in 0..3 {
                assert!(written(&installation).await.is_none(), "it was acknowledged without a database");
                let path = format!("/api/tokens/{}", victim.jti);
                let answer = installation.admin_call("DELETE", &path, None).await;
                assert!(matches!(answer.status, 202 | 503), "{answer}");
                for dead in &revoked {
                    assert!(!installation.opens(dead).await);
                }
            }
            assert!(!service.is_ready().await);
            server.start();
            installation.ready().await;
            stored.extend(written(&installation).await);
            all_there(&installation, &stored).await;
            installation.revoke(&victim.jti).await;
            revoked.push(victim);
        }
    }
    for dead in &revoked {
        installation.read(&dead.key_id, &dead.token).await.expect_code("token_invalid");
    }
    assert_eq!(stored.len(), 5);
    for service in [&installation.vault, &installation.manager] {
        assert!(!service.log().contains("panicked"), "{}", service.name());
    }
}

/// As a failover, an idle time-out or an administrator does it.
#[tokio::test]
async fn connections_that_are_cut_again_and_again_under_load_lose_nothing_and_need_no_restart() {
    if !only_on(Engine::Postgres, SERVER) {
        return;
    }
    let installation = Installation::running().await;
    let mut stored = Vec::new();
    for round in 0..20 {
        let service = [&installation.vault, &installation.manager][round % 2];
        let (answer, ()) = tokio::join!(written(&installation), async {
            tokio::task::yield_now().await;
            service.postgres().disconnect();
        });
        stored.extend(answer);
        installation.ready().await;
    }
    stored.extend(written(&installation).await);
    assert!(!stored.is_empty());
    all_there(&installation, &stored).await;
}

/// A server ends when it cannot write its log, and does not start before there is room.
#[tokio::test]
async fn server_whose_disk_is_full_is_storage_loses_nothing_and_is_used_again_when_there_is_room() {
    if !only_on(Engine::Postgres, SERVER) {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    set_mode(place.path(), 0o755);
    let (folder, fault) = (place.path().join("server"), place.path().join("fault"));
    std::fs::write(&fault, "").unwrap();
    let shim = build("faulty_disk", place.path());
    let below = folder.join("server/data");
    let variables = [("LD_PRELOAD", Path::new(&shim)), ("FAULT_FILE", &fault), ("FAULT_BELOW", &below)];
    let server = Server::own_in(&folder, &variables);
    let installation = Installation::builder().vault_on(&server).running().await;
    let (mut stored, revoked) = (vec![installation.store("value").await], installation.store("revoked").await);
    installation.revoke(&revoked.jti).await;

    std::fs::write(&fault, "full").unwrap();
    wait_until("the vault says storage", async || {
        stored.extend(written(&installation).await);
        installation.vault.readiness().await.contains(&"storage".to_owned())
    })
    .await;
    assert!(written(&installation).await.is_none());
    std::fs::write(&fault, "").unwrap();
    server.halt();
    server.start();
    installation.ready().await;
    all_there(&installation, &stored).await;
    assert!(!installation.opens(&revoked).await);
    assert!(written(&installation).await.is_some());
}
