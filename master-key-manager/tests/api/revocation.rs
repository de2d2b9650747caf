//! Revocations and destructions: told only on the vault's signature, never lost.

use actix_web::http::Method;
use master_key_manager::init::{policy, replace_administrators};
use master_key_manager::installation::restore;
use master_key_manager::revocation::FeedStatus;
use serde_json::{Value, json};
use service_runtime::config::Mode;
use service_runtime::sqlite;
use shared_proto::credential::PlainCredential;
use shared_proto::event::Event;

use crate::support::{Answer, Feed, Holder, Installed, Manager, rsa_pem, until};

async fn revoke(manager: &Manager, jti: &str) -> Answer {
    manager.admin(Method::DELETE, &format!("/api/tokens/{jti}"), None).await
}

async fn token(manager: &Manager) -> String {
    manager.store_value("p", "v").await.expect(201).member("jti")
}

async fn list(manager: &Manager) -> Value {
    manager.admin(Method::GET, "/api/revocations", None).await.expect(200).json()
}

#[actix_web::test]
async fn a_revocation_is_told_when_the_vault_has_signed_and_a_repeat_is_the_same_event() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let jti = token(&manager).await;
    let first = revoke(&manager, &jti).await.expect(200);
    assert_eq!((first.member("status"), first.json()["sequence"].as_u64()), ("revoked".to_owned(), Some(1)));
    assert_eq!(installed.vault.applied(), [Event::Token(jti.parse().unwrap())]);
    let again = revoke(&manager, &jti).await.expect(200);
    assert_eq!(again.json(), first.json());
    assert_eq!(installed.vault.applied().len(), 1);
    let listed = manager.admin(Method::GET, "/api/tokens", None).await.expect(200).json();
    assert_eq!(listed["tokens"][0]["revoked"], true);
    for none in ["AAAAAAAAAAAAAAAAAAAAA", "x", "..x"] {
        revoke(&manager, none).await.expect(404).refused("token_not_found");
    }
    // One that it does not know may have been minted before it was restored.
    let unknown = revoke(&manager, "AAAAAAAAAAAAAAAAAAAAAA").await.expect(200);
    assert_eq!((unknown.member("status"), unknown.json()["sequence"].as_u64()), ("revoked".to_owned(), Some(2)));
    manager.stop().await;
}

#[actix_web::test]
async fn every_kind_of_revocation_reaches_the_vault() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let stored = manager.store_value("p", "v").await.expect(201);
    let (secret, jti) = (stored.member("key_id"), stored.member("jti"));
    let bodies = [
        json!({"kind": "token", "jti": jti}),
        json!({"kind": "subject", "user_id": "user123"}),
        json!({"kind": "secret", "key_id": secret}),
        json!({"kind": "version", "key_id": secret, "version": 1}),
        json!({"kind": "signing-key", "kid": shared_proto::encoding::b64(&[7; 32])}),
        json!({"kind": "all"}),
    ];
    for (body, number) in bodies.into_iter().zip(1_u64..) {
        let answer = manager.post("/api/revocations", body).await.expect(200);
        assert_eq!(answer.json(), json!({"status": "revoked", "sequence": number}));
    }
    let terms = installed.vault.check_token(&stored.member("access_token")).terms;
    let kinds: Vec<&str> = installed.vault.applied().iter().map(Event::kind).collect();
    assert_eq!(kinds, ["token", "subject", "secret", "version", "signing-key", "all"]);
    assert_eq!(installed.vault.applied()[1], Event::Subject(terms.subject));
    let newer = manager.store_value("q", "v").await.expect(201);
    assert_eq!(installed.vault.check_token(&newer.member("access_token")).terms.rseq, 6);
    for body in [
        json!({"kind": "secret", "key_id": "sec_AAAAAAAAAAAAAAAAAAAAAA"}),
        json!({"kind": "version", "key_id": secret, "version": 9}),
    ] {
        manager.post("/api/revocations", body).await.expect(404);
    }
    manager.post("/api/revocations", json!({"kind": "all", "jti": jti})).await.expect(400);
    let listed = list(&manager).await;
    assert_eq!((listed["newest"].as_u64(), listed["applied"].as_u64()), (Some(6), Some(6)));
    manager.stop().await;
}

#[actix_web::test]
async fn nobody_is_not_revoked_and_a_name_that_looks_like_another_is_no_name() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let submit = async |user_id: &str| {
        manager.post("/api/keys", json!({"user_id": user_id, "key_data": "v", "environment": "dev"})).await
    };
    let revoke =
        async |user_id: &str| manager.post("/api/revocations", json!({"kind": "subject", "user_id": user_id})).await;
    let terms = installed.vault.check_token(&submit("Zo\u{eb}").await.expect(201).member("access_token")).terms;
    for nobody in ["zo\u{eb}", "Zoe", "Zo\u{eb}2"] {
        revoke(nobody).await.expect(404).refused("subject_not_found");
    }
    for twin in ["Zoe\u{308}", "Zo\u{eb} ", "\u{200b}Zo\u{eb}"] {
        submit(twin).await.expect(400).refused("name_invalid");
        revoke(twin).await.expect(400).refused("name_invalid");
    }
    assert!(installed.vault.applied().is_empty());
    revoke("Zo\u{eb}").await.expect(200);
    assert_eq!(installed.vault.applied(), [Event::Subject(terms.subject)]);
    manager.stop().await;
}

#[actix_web::test]
async fn destroyed_versions_are_tombstones_and_the_number_is_not_used_again() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = manager.store_value("p", "v").await.expect(201).member("key_id");
    let path = format!("/api/keys/{secret}/destroy");
    let done = manager.post(&path, json!({"versions": [1, 1]})).await.expect(200).json();
    assert_eq!(done, json!({"status": "destroyed", "sequences": [1]}));
    assert_eq!(manager.post(&path, json!({"versions": [1]})).await.expect(200).json(), done);
    assert_eq!(manager.store_value("p", "v").await.expect(201).json()["version"], 2);
    manager.post(&path, json!({"versions": [9]})).await.expect(404).refused("secret_not_found");
    manager.post(&path, json!({"versions": []})).await.expect(400).refused("parameter_invalid");
    manager.post("/api/keys/x/destroy", json!({"versions": [1]})).await.expect(404).refused("secret_not_found");
    manager.stop().await;
}

#[actix_web::test]
async fn while_the_vault_is_away_a_revocation_is_pending_and_arrives_later() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let jti = token(&manager).await;
    installed.vault.go_down().await;
    let answer = revoke(&manager, &jti).await.expect(202);
    assert_eq!(answer.json(), json!({"status": "pending", "sequence": 1}));
    installed.vault.come_back().await;
    until("it arrives", async || list(&manager).await["applied"] == 1).await;
    assert_eq!(revoke(&manager, &jti).await.expect(200).json(), json!({"status": "revoked", "sequence": 1}));
    manager.stop().await;
}

#[actix_web::test]
async fn a_vault_that_keeps_silent_about_an_event_is_not_believed_to_have_it() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let jti = token(&manager).await;
    installed.vault.state().deaf = true;
    revoke(&manager, &jti).await.expect(202);
    manager.stop().await;
}

#[actix_web::test]
async fn an_impostors_applied_is_not_believed() {
    for lie in [Feed::WrongSignature, Feed::WrongNonce, Feed::Garble] {
        let installed = Installed::new(Mode::Production).await;
        let manager = installed.start().await;
        let jti = token(&manager).await;
        installed.vault.state().deaf = true;
        installed.vault.state().feed = lie;
        let answer = revoke(&manager, &jti).await.expect(202);
        assert_eq!(answer.member("status"), "pending", "{lie:?}");
        assert_eq!(list(&manager).await["applied"], 0);
        manager.stop().await;
    }
}

#[actix_web::test]
async fn a_chain_that_disagrees_stops_everything_until_it_agrees_again() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let stored = manager.store_value("p", "v").await.expect(201);
    let (secret, first) = (stored.member("key_id"), stored.member("jti"));
    revoke(&manager, &first).await.expect(200);
    installed.vault.state().feed = Feed::WrongHash;
    until("the conflict is seen", async || manager.get("/health/ready").await.status == 503).await;
    let body = json!({"secrets": [{"key_id": secret}]});
    until("nothing is minted", async || manager.post("/api/tokens", body.clone()).await.status == 503).await;
    manager.store_value("p", "v2").await.expect(503).refused("unavailable");
    let pending = manager.post("/api/revocations", json!({"kind": "all"})).await.expect(202);
    assert_eq!(pending.json(), json!({"status": "pending", "sequence": null}));
    assert_eq!(installed.vault.applied().len(), 1);
    assert_eq!(list(&manager).await["unnumbered"], 1);
    installed.vault.state().feed = Feed::Honest;
    until("it goes on", async || list(&manager).await["applied"] == 2).await;
    manager.post("/api/tokens", body).await.expect(201);
    manager.stop().await;
}

#[actix_web::test]
async fn before_the_feed_is_known_nothing_is_minted_or_numbered_and_revocations_wait_in_order() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let stored = manager.store_value("p", "v").await.expect(201);
    let (secret, jti) = (stored.member("key_id"), stored.member("jti"));
    manager.stop().await;
    installed.vault.go_down().await;
    let manager = installed.start_unready().await;
    manager.post("/api/tokens", json!({"secrets": [{"key_id": secret}]})).await.expect(503).refused("unavailable");
    let answer = revoke(&manager, &jti).await.expect(202);
    assert_eq!(answer.json(), json!({"status": "pending", "sequence": null}));
    let destroy = manager.post(&format!("/api/keys/{secret}/destroy"), json!({"versions": [1]})).await;
    assert_eq!(destroy.expect(202).json(), json!({"status": "pending", "sequences": []}));
    revoke(&manager, &jti).await.expect(202);
    let listed = list(&manager).await;
    assert_eq!((listed["newest"].as_u64(), listed["unnumbered"].as_u64()), (Some(0), Some(2)));
    installed.vault.come_back().await;
    until("all are applied", async || list(&manager).await["applied"] == 2).await;
    let kinds: Vec<&str> = installed.vault.applied().iter().map(Event::kind).collect();
    assert_eq!(kinds, ["token", "destroy"]);
    manager.stop().await;
}

#[actix_web::test]
async fn a_restored_manager_takes_its_events_back_before_it_numbers_or_mints() {
    let mut installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let stored = manager.store_value("p", "v").await.expect(201);
    let (secret, jti) = (stored.member("key_id"), stored.member("jti"));
    revoke(&manager, &jti).await.expect(200);
    let backup = installed.config.get().data_dir.join("backup.db");
    sqlite::backup(&installed.config.database(), &backup).unwrap();
    // After the backup: a destruction, and a lost administrator credential is replaced and revoked.
    manager.post(&format!("/api/keys/{secret}/destroy"), json!({"versions": [1]})).await.expect(200);
    let lost = installed.credential.clone();
    let second = manager.store_value("q", "v").await.expect(201).member("key_id");
    let successor = PlainCredential::generate();
    replace_administrators(&installed.config, &manager.app.registry, &successor).await.unwrap();
    until("the reset is applied", async || manager.app.store.deferred().await == Ok(0)).await;
    until("the vault has it", async || installed.vault.applied().len() == 3).await;
    manager.stop().await;
    let before = installed.vault.state().events.clone();

    restore(&installed.config, &backup).unwrap();
    let shown = policy(&installed.config, None).await.unwrap();
    policy(&installed.config, shown.split_whitespace().next_back()).await.unwrap();
    installed.vault.state().feed = Feed::Garble;
    let manager = installed.start_unready().await;
    manager.post("/api/tokens", json!({"secrets": [{"key_id": secret}]})).await.expect(503).refused("unavailable");
    installed.vault.state().feed = Feed::Honest;
    until("the manager is ready", async || manager.get("/health/ready").await.status == 200).await;
    // Its old credential is dead, as it was before the restore.
    manager.store_value("p", "v").await.expect(401);
    manager.stop().await;
    let fresh = master_key_manager::init::reset_administrator(&installed.config).await.unwrap();
    installed.credential = fresh.expose_text().to_string();
    assert_ne!(installed.credential, lost);

    let manager = installed.start().await;
    until("the reset is applied", async || list(&manager).await["unnumbered"] == 0).await;
    assert_eq!(installed.vault.state().events[..before.len()], before[..], "the chain was continued, not replaced");
    let grants = json!({"secrets": [{"key_id": secret, "version": 1}]});
    manager.post("/api/tokens", grants).await.expect(404).refused("secret_not_found");
    // What was stored after the backup is forgotten until it is adopted.
    manager.post("/api/tokens", json!({"secrets": [{"key_id": second}]})).await.expect(404);
    let adopted = manager.post("/api/reconcile", json!({"adopt": true})).await.expect(200).json();
    assert_eq!(adopted["adopted"], 1);
    manager.free(&second).await;
    let minted = manager.post("/api/tokens", json!({"secrets": [{"key_id": second}]})).await.expect(201);
    assert_eq!(installed.vault.open(&minted.member("access_token"))[0].expose(), b"v");
    manager.stop().await;
}

/// Two histories of one manager: the vault has the one, the database the other.
#[actix_web::test]
async fn events_that_do_not_continue_our_chain_are_not_taken_back() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let backup = installed.config.get().data_dir.join("backup.db");
    sqlite::backup(&installed.config.database(), &backup).unwrap();
    for _ in 0..2 {
        manager.post("/api/revocations", json!({"kind": "all"})).await.expect(200);
    }
    manager.stop().await;
    let other_history = std::mem::take(&mut installed.vault.state().events);
    restore(&installed.config, &backup).unwrap();
    let manager = installed.start().await;
    manager.post("/api/revocations", json!({"kind": "all"})).await.expect(200);
    manager.stop().await;
    installed.vault.state().events = other_history;
    let manager = installed.start_unready().await;
    until("the conflict is seen", async || manager.app.vault_view.view().status == FeedStatus::Conflict).await;
    assert_eq!(list(&manager).await["newest"], 1);
    manager.store_value("p", "v").await.expect(503).refused("unavailable");
    manager.stop().await;
}

#[actix_web::test]
async fn events_that_we_did_not_sign_are_not_taken_back() {
    let installed = Installed::new(Mode::Production).await;
    installed.vault.forge_event(Event::All);
    let manager = installed.start_unready().await;
    until("some polls were answered", async || installed.vault.state().polls > 3).await;
    assert_eq!(list(&manager).await["newest"], 0);
    manager.get("/health/ready").await.expect(503);
    manager.stop().await;
}

#[actix_web::test]
async fn a_restored_vault_gets_the_missing_events_again() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    for _ in 0..3 {
        manager.post("/api/revocations", json!({"kind": "all"})).await.expect(200);
    }
    let all = installed.vault.state().events.clone();
    installed.vault.state().events.truncate(1);
    until("they are back", async || installed.vault.state().events == all).await;
    manager.stop().await;
}

#[actix_web::test]
async fn polls_name_the_newest_event_a_living_seal_key_and_one_statement_for_a_long_time() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    manager.post("/api/revocations", json!({"kind": "all"})).await.expect(200);
    let seen = installed.vault.state().polls;
    until("two more polls", async || installed.vault.state().polls > seen + 1).await;
    let first = installed.vault.state().last_poll.clone().unwrap();
    until("another poll", async || installed.vault.state().last_poll.as_ref().unwrap().nonce != first.nonce).await;
    let second = installed.vault.state().last_poll.clone().unwrap();
    assert_eq!((second.newest, second.statements.len()), (1, 1));
    assert_eq!(second.statements, first.statements, "a statement is not signed anew for each poll");
    let life = second.statements[0].not_after - second.statements[0].not_before;
    assert_eq!(life, 24 * 60 * 60 + 60);
    assert!(second.seal_key.is_some() && second.seal_key == first.seal_key);
    manager.stop().await;
}

#[actix_web::test]
async fn a_vault_that_states_our_token_signing_key_is_not_used() {
    let installed = Installed::new(Mode::Production).await;
    let own = shared_proto::rsa_key::RsaPrivate::from_pem(&rsa_pem(Holder::Manager)).unwrap();
    installed.vault.state().stated_transport = Some(own.public().clone());
    let manager = installed.start_unready().await;
    until("a poll was answered", async || installed.vault.state().polls > 2).await;
    manager.get("/health/ready").await.expect(503);
    manager.store_value("p", "v").await.expect(503).refused("unavailable");
    manager.stop().await;
}
