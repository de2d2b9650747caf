//! Token signing keys, identities and pins that change while the service runs.

use master_key_manager::installation::restore;
use serde_json::{Value, json};
use service_runtime::config::Mode;
use service_runtime::files::create_private;
use service_runtime::sqlite;
use shared_proto::encoding::b64;
use shared_proto::identity::{IdentityDocument, IdentityKey};
use shared_proto::jws::{Compact, Kind};

use crate::support::{Feed, Installed, Manager, raw_key, until};

/// As long as a replaced token signing key is accepted.
const OVERLAP: u64 = 2_760;

async fn mint(manager: &Manager, secret: &str) -> String {
    let answer = manager.post("/api/tokens", json!({"secrets": [{"key_id": secret}]})).await;
    answer.expect(201).member("access_token")
}

fn kid_of(token: &str) -> String {
    b64(&Compact::parse(Kind::AccessToken, token).unwrap().kid().0)
}

/// The kids that the last poll stated, and when each ends.
fn stated(installed: &Installed) -> Vec<(String, u64)> {
    let poll = installed.vault.state().last_poll.clone().unwrap();
    poll.statements.iter().map(|stated| (b64(&stated.key.thumbprint().0), stated.not_after)).collect()
}

async fn published(manager: &Manager) -> Vec<Value> {
    let document = manager.get("/.well-known/jwks.json").await.expect(200).json();
    document["keys"].as_array().unwrap().iter().map(|key| key["kid"].clone()).collect()
}

#[actix_web::test]
async fn next_token_signing_key_signs_nothing_before_the_vault_acknowledged_it() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = manager.store_value("p", "v").await.expect(201).member("key_id");
    let before = kid_of(&mint(&manager, &secret).await);
    installed.vault.state().feed = Feed::Garble;
    installed.rotates(&["token-signing", "--wait", "0"]);
    until("the next key is stated and published", async || {
        stated(&installed).len() == 2 && published(&manager).await.len() == 2
    })
    .await;
    let polls = installed.vault.state().polls;
    until("more polls", async || installed.vault.state().polls > polls + 3).await;
    assert_eq!(kid_of(&mint(&manager, &secret).await), before);
    let again = installed.refuses_to_rotate(&["token-signing"]);
    assert!(again.contains("waits for the vault to acknowledge"), "{again}");
    installed.vault.state().feed = Feed::Honest;
    until("it is used", async || kid_of(&mint(&manager, &secret).await) != before).await;
    assert!(!installed.file("token-signing-next.pem").exists());
    manager.stop().await;
}

#[actix_web::test]
async fn key_that_the_vault_never_saw_signs_nothing_whoever_put_it_there() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = manager.store_value("p", "v").await.expect(201).member("key_id");
    installed.vault.state().feed = Feed::Garble;
    let before = manager.app.keys.now().tokens.active.kid();
    let pem = shared_proto::rsa_key::RsaPrivate::generate_pem(2_048).unwrap();
    std::fs::write(installed.file("token-signing.pem"), pem.as_bytes()).unwrap();
    until("it is loaded", async || manager.app.keys.now().tokens.active.kid() != before).await;
    let body = json!({"secrets": [{"key_id": secret}]});
    manager.post("/api/tokens", body.clone()).await.expect(503).refused("unavailable");
    installed.vault.state().feed = Feed::Honest;
    until("the vault knows it", async || manager.post("/api/tokens", body.clone()).await.status == 201).await;
    manager.stop().await;
}

#[actix_web::test]
async fn tokens_of_the_previous_key_open_until_its_overlap_ends_and_not_after() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let stored = manager.store_value("p", "v").await.expect(201);
    let (secret, old) = (stored.member("key_id"), stored.member("access_token"));
    installed.rotates(&["token-signing", "--wait", "0"]);
    until("the next key is used", async || kid_of(&mint(&manager, &secret).await) != kid_of(&old)).await;
    let new = mint(&manager, &secret).await;
    until("the previous one is stated with its end", async || {
        stated(&installed).iter().any(|(kid, end)| *kid == kid_of(&old) && *end < now() + OVERLAP + 1)
    })
    .await;
    for token in [&old, &new] {
        assert_eq!(installed.vault.open(token)[0].expose(), b"v");
    }
    let under_way = installed.refuses_to_rotate(&["token-signing"]);
    assert!(under_way.contains("accepted for"), "{under_way}");
    installed.age("token-signing.pem", OVERLAP - 60);
    until("it was read", async || manager.app.keys.now().tokens.previous_ends_at() < now() + 61).await;
    let polls = installed.vault.state().polls;
    until("more polls", async || installed.vault.state().polls > polls + 3).await;
    assert_eq!(installed.vault.open(&old)[0].expose(), b"v");
    installed.age("token-signing.pem", 61);
    until("the previous key is gone", async || !installed.file("token-signing-previous.pem").exists()).await;
    until("it is not stated any more", async || stated(&installed).len() == 1).await;
    assert_eq!(published(&manager).await, [kid_of(&new)]);
    assert_eq!(installed.vault.open(&new)[0].expose(), b"v");
    manager.stop().await;
}

#[actix_web::test]
async fn rotation_after_a_revocation_of_the_signing_key_brings_minting_back_without_a_restart() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let stored = manager.store_value("p", "v").await.expect(201);
    let revoked = kid_of(&stored.member("access_token"));
    manager.post("/api/revocations", json!({"kind": "signing-key", "kid": revoked})).await.expect(200);
    let body = json!({"secrets": [{"key_id": stored.member("key_id")}]});
    manager.post("/api/tokens", body.clone()).await.expect(503).refused("unavailable");
    until("it is not stated any more", async || stated(&installed).is_empty()).await;
    assert!(installed.rotates(&["status"]).contains("was revoked"));
    installed.rotates(&["token-signing", "--wait", "0"]);
    until("it mints", async || manager.post("/api/tokens", body.clone()).await.status == 201).await;
    let kids: Vec<_> = stated(&installed).into_iter().map(|(kid, _)| kid).collect();
    assert!(!kids.contains(&revoked) && !published(&manager).await.contains(&json!(revoked)));
    assert!(!installed.file("token-signing-previous.pem").exists(), "nothing that it signed is accepted");
    manager.stop().await;
}

#[actix_web::test]
async fn a_folder_that_is_not_in_order_changes_nothing_until_it_is() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = manager.store_value("p", "v").await.expect(201).member("key_id");
    for (name, text) in [("pins/next.json", "{\"id\":"), ("notes.txt", "x"), ("transport.pem", "x")] {
        let path = installed.file(name);
        create_private(&path, text.as_bytes()).unwrap();
        let refused = installed.refuses_to_rotate(&["status"]);
        assert!(refused.contains(name), "{refused}");
        let polls = installed.vault.state().polls;
        until("more polls", async || installed.vault.state().polls > polls + 5).await;
        manager.get("/health/ready").await.expect(200);
        mint(&manager, &secret).await;
        std::fs::remove_file(&path).unwrap();
    }
    let before = kid_of(&mint(&manager, &secret).await);
    installed.rotates(&["token-signing", "--wait", "0"]);
    until("the folder is followed again", async || kid_of(&mint(&manager, &secret).await) != before).await;
    manager.stop().await;
}

#[actix_web::test]
async fn manager_signs_with_its_next_identity_when_the_vault_accepts_it_and_takes_back_what_the_old_one_signed() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let document = |name: &str| -> IdentityDocument {
        serde_json::from_slice(&std::fs::read(installed.file(name)).unwrap()).unwrap()
    };
    let backup = installed.file("../before.db");
    sqlite::backup(&installed.config.database(), &backup).unwrap();
    manager.post("/api/revocations", json!({"kind": "all"})).await.expect(200);
    installed.rotates(&["identity"]);
    let (old, new) = (raw_key(&document("identity.json")), raw_key(&document("identity-next.json")));
    let polls = installed.vault.state().polls;
    until("more polls", async || installed.vault.state().polls > polls + 3).await;
    assert_eq!(raw_key(&document("identity.json")), old);
    assert!(installed.refuses_to_rotate(&["identity"]).contains("waits for the vault to accept"));
    installed.vault.trust_keys(&[old, new]);
    until("it is used", async || raw_key(&document("identity.json")) == new).await;
    until("commands are signed with it", async || {
        let poll = installed.vault.state().last_poll.clone().unwrap();
        poll.statements.iter().all(|stated| stated.kid == document("identity.json").key.thumbprint())
    })
    .await;
    installed.vault.trust_keys(&[new]);
    manager.store_value("p", "v").await.expect(201);
    manager.stop().await;
    restore(&installed.config, &backup).unwrap();
    let manager = installed.start().await;
    let list = manager.admin(actix_web::http::Method::GET, "/api/revocations", None).await.expect(200).json();
    assert_eq!(list["newest"], 1, "an event that the earlier identity signed is ours");
    manager.stop().await;
}

#[actix_web::test]
async fn vault_changes_its_identity_while_both_are_pinned_and_the_old_one_counts_no_more_afterwards() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let old = installed.vault.document(Mode::Production);
    let (next, pem) = IdentityKey::generate().unwrap();
    let document = IdentityDocument { key: next.public().clone(), ..old.clone() };
    create_private(&installed.file("pins/next.json"), &serde_json::to_vec(&document).unwrap()).unwrap();
    until("polls name both pins", async || installed.vault.state().last_poll.as_ref().unwrap().pins.len() == 2).await;
    assert!(installed.rotates(&["status"]).contains("unpin"));
    installed.vault.change_identity(next);
    manager.store_value("p", "v").await.expect(201);
    installed.rotates(&["unpin", &b64(&old.key.thumbprint().0)]);
    until("one pin is left", async || installed.vault.state().last_poll.as_ref().unwrap().pins.len() == 1).await;
    manager.store_value("p", "v2").await.expect(201);
    assert!(installed.refuses_to_rotate(&["unpin", &b64(&document.key.thumbprint().0)]).contains("only pin"));
    drop(pem);
    manager.stop().await;
    // Who has the old key is an impostor now.
    installed.vault.change_identity(IdentityKey::generate().unwrap().0);
    let manager = installed.start_unready().await;
    let polls = installed.vault.state().polls;
    until("more polls", async || installed.vault.state().polls > polls + 3).await;
    manager.get("/health/ready").await.expect(503);
    manager.stop().await;
}

fn now() -> u64 {
    use service_runtime::clock::Clock as _;
    service_runtime::clock::SystemClock.now()
}
