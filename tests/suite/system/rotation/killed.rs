//! Both services are killed (SIGKILL) after each step of each rotation; started again, they finish it.

use serde_json::{Value, json};
use system_tests::{Installation, Stored};

use super::{fingerprint, installation, pin_next, root_keys, rotate, rows, until};

/// Kills both services, wherever they are, and starts them again.
async fn kill_both(installation: &mut Installation) {
    installation.vault.kill();
    installation.manager.kill();
    installation.start().await;
}

/// Whether the values are there, with tokens made now.
async fn all_open(installation: &Installation, stored: &[Stored]) {
    for (number, stored) in stored.iter().enumerate() {
        let token = installation.mint(&[(&stored.key_id, 0)]).await.expect(201).text("access_token");
        let answer = installation.read(&stored.key_id, &token).await.expect(200);
        assert_eq!(answer.text("decrypted_key"), format!("value {number}"));
    }
}

async fn with_secrets(count: usize) -> (Installation, Vec<Stored>) {
    let installation = installation().running().await;
    let mut stored = Vec::new();
    for number in 0..count {
        stored.push(Stored::of(&installation.submit(json!({"key_data": format!("value {number}")})).await));
    }
    (installation, stored)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotations_of_one_service_that_were_killed_in_the_middle_are_finished() {
    let (mut installation, stored) = with_secrets(20).await;
    let signing = fingerprint(&rotate(&installation.manager, &["status"]), "token-signing", "active");
    let transport = fingerprint(&rotate(&installation.vault, &["status"]), "transport", "active");
    rotate(&installation.manager, &["token-signing", "--wait", "0"]);
    rotate(&installation.vault, &["transport", "--wait", "0"]);
    rotate(&installation.vault, &["storage-key", "--wait", "0"]);
    kill_both(&mut installation).await;
    kill_both(&mut installation).await;
    until(&installation.manager, "the next token signing key is in use", |report| {
        fingerprint(report, "token-signing", "active") != signing
    })
    .await;
    let changed = |report: &Value| {
        rows(report, "transport").len() == 1
            && fingerprint(report, "transport", "active") != transport
            && rows(report, "storage-key") == [(Some(2), "active".to_owned(), Some(20))]
    };
    until(&installation.vault, "the keys of the vault are exchanged and the old ones destroyed", changed).await;
    all_open(&installation, &stored).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_identity_that_were_killed_in_the_middle_are_finished() {
    let (mut installation, stored) = with_secrets(3).await;
    let vault = fingerprint(&rotate(&installation.vault, &["status"]), "identity", "active");
    let manager = fingerprint(&rotate(&installation.manager, &["status"]), "identity", "active");
    rotate(&installation.vault, &["identity"]);
    rotate(&installation.manager, &["identity"]);
    kill_both(&mut installation).await;
    pin_next(&installation.vault, &installation.manager);
    pin_next(&installation.manager, &installation.vault);
    kill_both(&mut installation).await;
    for (service, old) in [(&installation.vault, &vault), (&installation.manager, &manager)] {
        let changed =
            |report: &Value| rows(report, "identity").len() == 1 && fingerprint(report, "identity", "active") != *old;
        until(service, "the identity is changed", changed).await;
    }
    kill_both(&mut installation).await;
    rotate(&installation.manager, &["unpin", &vault]);
    rotate(&installation.vault, &["unpin", &manager]);
    installation.revoke(&stored[0].jti).await;
    assert!(!installation.opens(&stored[0]).await);
    kill_both(&mut installation).await;
    all_open(&installation, &stored).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exchange_of_a_root_key_that_was_killed_in_the_middle_is_finished() {
    let (mut installation, stored) = with_secrets(150).await;
    rotate(&installation.manager, &["root-key", "dev", "--wait", "0"]);
    kill_both(&mut installation).await;
    until(&installation.manager, "some are under the new root key", |report| {
        root_keys(report).iter().any(|(number, _, under)| *number == 2 && *under > 0)
    })
    .await;
    kill_both(&mut installation).await;
    all_open(&installation, &stored).await;
    until(&installation.manager, "the old root key is retired", |report| {
        root_keys(report).iter().any(|(number, state, _)| (*number, state.as_str()) == (1, "retired"))
    })
    .await;
    kill_both(&mut installation).await;
    let older = "SELECT count(*) FROM wrapped_keys WHERE epoch < 2";
    assert_eq!(installation.vault.ask(older), 0);
    rotate(&installation.manager, &["destroy", "root-key", "dev", "1"]);
    kill_both(&mut installation).await;
    all_open(&installation, &stored).await;
}
