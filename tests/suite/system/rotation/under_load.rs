//! Every key takes its turn while clients read and write.

use serde_json::Value;
use system_tests::Installation;

use super::load::Load;
use super::{fingerprint, installation, pin_next, root_keys, rotate, rows, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_key_takes_its_turn_under_load_without_a_failed_request_or_a_wrong_value() {
    let installation = installation().running().await;
    let before = installation.store("stored before every rotation").await;
    let load = Load::start(&installation).await;
    load.go_on(100).await;
    token_signing(&installation);
    load.go_on(50).await;
    transport(&installation).await;
    load.go_on(50).await;
    storage_key(&installation).await;
    load.go_on(50).await;
    identity_of_the_vault(&installation).await;
    load.go_on(50).await;
    identity_of_the_manager(&installation).await;
    load.go_on(50).await;
    assert!(installation.opens(&before).await, "its token is from before all of this");
    root_key(&installation).await;
    load.go_on(50).await;
    let (stored, _reads, _writes) = load.stop().await;
    let all = stored.iter().map(|(key_id, value)| (key_id.as_str(), value.as_str()));
    for (key_id, value) in all.chain([(before.key_id.as_str(), "stored before every rotation")]) {
        let token = installation.mint(&[(key_id, 0)]).await.expect(201).text("access_token");
        assert_eq!(installation.read(key_id, &token).await.expect(200).text("decrypted_key"), value);
    }
}

fn token_signing(installation: &Installation) {
    let old = fingerprint(&rotate(&installation.manager, &["status"]), "token-signing", "active");
    let report = rotate(&installation.manager, &["token-signing"]);
    assert!(done(&report).contains("tokens are signed with it"), "{report}");
    assert_eq!(fingerprint(&report, "token-signing", "previous"), old);
    assert_ne!(fingerprint(&report, "token-signing", "active"), old);
}

async fn transport(installation: &Installation) {
    let old = fingerprint(&rotate(&installation.vault, &["status"]), "transport", "active");
    let report = rotate(&installation.vault, &["transport"]);
    assert!(done(&report).contains("taken it into use"), "{report}");
    let report = until(&installation.vault, "the replaced transport key is destroyed", |report| {
        rows(report, "transport").len() == 1
    })
    .await;
    assert_ne!(fingerprint(&report, "transport", "active"), old);
    assert!(!installation.vault.keys().join("transport-previous.pem").exists());
}

async fn storage_key(installation: &Installation) {
    let report = rotate(&installation.vault, &["storage-key"]);
    assert!(done(&report).contains("moved all rows to it"), "{report}");
    let gone = |report: &Value| rows(report, "storage-key").len() == 1;
    let report = until(&installation.vault, "the replaced storage key is destroyed", gone).await;
    let newest = rows(&report, "storage-key").remove(0);
    assert_eq!((newest.0, newest.1.as_str()), (Some(2), "active"));
    let older = "SELECT count(*) FROM wrapped_keys WHERE storage_key <> 2";
    assert_eq!(installation.vault.ask(older), 0);
}

async fn identity_of_the_vault(installation: &Installation) {
    let old = fingerprint(&rotate(&installation.vault, &["status"]), "identity", "active");
    rotate(&installation.vault, &["identity"]);
    pin_next(&installation.vault, &installation.manager);
    let report = until(&installation.vault, "the vault has changed its identity", |report| {
        rows(report, "identity").len() == 1 && fingerprint(report, "identity", "active") != old
    })
    .await;
    let unpinned = rotate(&installation.manager, &["unpin", &old]);
    assert_eq!(fingerprint(&unpinned, "pin", "active"), fingerprint(&report, "identity", "active"));
}

async fn identity_of_the_manager(installation: &Installation) {
    let old = fingerprint(&rotate(&installation.manager, &["status"]), "identity", "active");
    rotate(&installation.manager, &["identity"]);
    pin_next(&installation.manager, &installation.vault);
    let report = until(&installation.manager, "the manager has changed its identity", |report| {
        rows(report, "identity").len() == 1 && fingerprint(report, "identity", "active") != old
    })
    .await;
    let unpinned = rotate(&installation.vault, &["unpin", &old]);
    assert_eq!(fingerprint(&unpinned, "pin", "active"), fingerprint(&report, "identity", "active"));
}

async fn root_key(installation: &Installation) {
    let stored = installation.store("its token is of the first epoch").await;
    rotate(&installation.manager, &["root-key", "dev"]);
    until(&installation.manager, "everything is under the new root key", |report| {
        root_keys(report).iter().all(|(number, _, under)| *number == 2 || *under == 0)
    })
    .await;
    assert!(installation.opens(&stored).await, "a token of the old epoch, while the overlap lasts");
    let report = until(&installation.manager, "the old root key is retired", |report| {
        root_keys(report).iter().any(|(number, state, _)| (*number, state.as_str()) == (1, "retired"))
    })
    .await;
    assert_eq!(report["retirements"].as_array().unwrap().len(), 1, "{report}");
    assert_eq!(report["retirements"][0]["epoch"], 2);
    let older = "SELECT count(*) FROM wrapped_keys WHERE epoch < 2";
    assert_eq!(installation.vault.ask(older), 0);
    let report = rotate(&installation.manager, &["destroy", "root-key", "dev", "1"]);
    assert_eq!(root_keys(&report).iter().map(|(number, ..)| *number).collect::<Vec<_>>(), [2]);
}

fn done(report: &Value) -> String {
    report["done"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line.as_str().unwrap_or_default())
        .collect::<Vec<_>>()
        .join(" ")
}
