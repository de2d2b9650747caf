//! A service is killed at the worst moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use system_tests::proxy::Verdict;
use system_tests::{Installation, Stored, wait_until};

/// Submits `db/password`, and kills the manager once its store command has passed the proxy, before it hears an answer.
async fn kill_manager_while_it_stores(installation: &mut Installation, reaches_vault: bool) {
    let passed = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&passed);
    installation.proxy().rule(move |exchange| match exchange.op().as_str() {
        "store" | "settle" if reaches_vault => {
            flag.store(true, Ordering::Relaxed);
            Verdict::DropAnswer
        }
        "store" | "settle" => {
            flag.store(true, Ordering::Relaxed);
            Verdict::DropRequest
        }
        _ => Verdict::Pass,
    });
    let body = json!({"user_id": "user123", "key_data": "value", "path": "db/password", "environment": "dev"});
    let call = installation.manager.call("POST", "/api/keys").bearer(&installation.admin()).json(&body);
    call.send_and_hang_up(None).await;
    wait_until("the command has passed", async || passed.load(Ordering::Relaxed)).await;
    if reaches_vault {
        let proxy = installation.proxy();
        let stored = || proxy.exchanges().iter().any(|exchange| exchange.op() == "store" && exchange.status == 200);
        wait_until("the vault has stored it", async || stored()).await;
    }
    installation.manager.kill();
    installation.proxy().pass();
}

async fn versions(installation: &Installation) -> Vec<(u64, String)> {
    match installation.secrets().await.first() {
        Some((key_id, _)) => installation.versions(key_id).await,
        None => Vec::new(),
    }
}

#[tokio::test]
async fn manager_killed_after_the_vault_stored_finds_the_version_again() {
    let mut installation = Installation::builder().recorded().running().await;
    kill_manager_while_it_stores(&mut installation, true).await;
    installation.manager.start().await;
    installation.ready().await;
    wait_until("it is settled", async || versions(&installation).await == [(1, "committed".to_owned())]).await;
    let list = installation.admin_call("GET", "/api/secrets", None).await.json();
    let key_id = list["secrets"][0]["key_id"].as_str().unwrap().to_owned();
    let token = installation.mint(&[(&key_id, 1)]).await.expect(201).text("access_token");
    assert_eq!(installation.read(&key_id, &token).await.expect(200).text("decrypted_key"), "value");
}

#[tokio::test]
async fn manager_killed_before_the_vault_stored_gives_the_number_up_and_a_late_store_is_refused() {
    let mut installation = Installation::builder().recorded().running().await;
    kill_manager_while_it_stores(&mut installation, false).await;
    let late = installation.proxy().exchanges().into_iter().find(|exchange| exchange.op() == "store").unwrap();
    installation.manager.start().await;
    installation.ready().await;
    wait_until("it is settled", async || versions(&installation).await == [(1, "abandoned".to_owned())]).await;

    let mut replay = installation.vault.call("POST", &late.path).body(late.request.clone());
    for (name, value) in
        late.headers.iter().filter(|(name, _)| matches!(name.as_str(), "authorization" | "content-type"))
    {
        replay = replay.header(name, value);
    }
    let answer = replay.send().await.expect(200).json();
    assert_eq!(answer["results"][0]["error"], "version_conflict", "{answer}");
    assert_eq!(answer["results"][0]["receipt"]["state"], "tombstone");

    let second = installation.store_at("db/password", "again").await;
    assert_eq!(second.version, 2);
    assert!(installation.opens(&second).await);
}

#[tokio::test]
async fn acknowledged_writes_outlive_kills_of_both_services() {
    let mut installation = Installation::running().await;
    let mut written: Vec<(Stored, String)> = Vec::new();
    for round in 0..3 {
        for number in 0..4 {
            let value = format!("value {round}.{number}");
            written.push((installation.store_at(&format!("a/{number}"), &value).await, value));
        }
        installation.vault.kill();
        installation.manager.kill();
        installation.start().await;
        for (stored, value) in &written {
            let token = installation.mint(&[(&stored.key_id, stored.version)]).await.expect(201).text("access_token");
            assert_eq!(installation.read(&stored.key_id, &token).await.expect(200).text("decrypted_key"), *value);
            assert!(installation.opens(stored).await, "tokens outlive a crash of the process, for its seal keys do");
        }
    }
}

#[tokio::test]
async fn client_that_hangs_up_stops_neither_a_store_nor_a_revocation() {
    let installation = Installation::running().await;
    let body = json!({"user_id": "user123", "key_data": "value", "path": "db/password", "environment": "dev"});
    let call = installation.manager.call("POST", "/api/keys").bearer(&installation.admin()).json(&body);
    call.send_and_hang_up(None).await;
    wait_until("it is stored", async || versions(&installation).await == [(1, "committed".to_owned())]).await;

    let stored = installation.store("other").await;
    assert!(installation.opens(&stored).await);
    let path = format!("/api/tokens/{}", stored.jti);
    installation.manager.call("DELETE", &path).bearer(&installation.admin()).send_and_hang_up(None).await;
    wait_until("it is refused", async || !installation.opens(&stored).await).await;
}

#[tokio::test]
async fn half_a_request_changes_nothing() {
    let installation = Installation::running().await;
    let body = json!({"user_id": "user123", "key_data": "value".repeat(1000), "environment": "dev"});
    let call = installation.manager.call("POST", "/api/keys").bearer(&installation.admin()).json(&body);
    for length in [10, 200, 1000, call.to_bytes().len() - 1] {
        call.clone().send_and_hang_up(Some(length)).await;
    }
    let stored = installation.store("other").await;
    let list = installation.admin_call("GET", "/api/secrets", None).await.expect(200).json();
    assert_eq!(list["secrets"].as_array().unwrap().len(), 1, "{list}");
    assert!(installation.opens(&stored).await);
}
