//! Minting and listing tokens.

use actix_web::http::Method;
use futures_util::future::{join_all, select_all};
use master_key_manager::revocation::LastSync;
use serde_json::{Value, json};
use service_runtime::config::Mode;
use shared_proto::command::Operation;

use crate::support::{Answer, Installed, Manager, StoreMood, until};

async fn stored(manager: &Manager, path: &str, value: &str) -> String {
    manager.store_value(path, value).await.expect(201).member("key_id")
}

#[actix_web::test]
async fn a_token_opens_the_versions_that_were_asked_for() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let first = stored(&manager, "a", "a1").await;
    stored(&manager, "a", "a2").await;
    let second = stored(&manager, "b", "b1").await;
    let body = json!({"secrets": [{"key_id": first, "version": 1}, {"key_id": second}], "user_id": "bob"});
    let answer = manager.post("/api/tokens", body).await.expect(201);
    let opened = installed.vault.open(&answer.member("access_token"));
    assert_eq!((opened[0].expose(), opened[1].expose()), (&b"a1"[..], &b"b1"[..]));
    let newest = manager.post("/api/tokens", json!({"secrets": [{"key_id": first}]})).await.expect(201);
    assert_eq!(newest.json()["secrets"][0]["version"], 2);
    let listed = manager.admin(Method::GET, "/api/tokens?limit=500", None).await.expect(200).json();
    let bobs: Vec<&Value> =
        listed["tokens"].as_array().unwrap().iter().filter(|token| token["user_id"] == "bob").collect();
    assert_eq!(bobs.len(), 1);
    assert_eq!(bobs[0]["grants"].as_array().unwrap().len(), 2);
    assert!(!listed.to_string().contains(&answer.member("access_token")));
    manager.stop().await;
}

#[actix_web::test]
async fn what_is_not_committed_does_not_exist_for_a_token() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = stored(&manager, "a", "a1").await;
    installed.vault.state().store_mood = StoreMood::Garble;
    manager.store_value("a", "a2").await.expect(503);
    let mint = async |grants: Value| manager.post("/api/tokens", json!({ "secrets": grants })).await;
    mint(json!([{"key_id": secret, "version": 2}])).await.expect(404).refused("secret_not_found");
    mint(json!([{"key_id": secret, "version": 9}])).await.expect(404).refused("secret_not_found");
    let unknown = "sec_AAAAAAAAAAAAAAAAAAAAAA";
    mint(json!([{"key_id": secret}, {"key_id": unknown}])).await.expect(404).refused("secret_not_found");
    let destroyed = manager.post(&format!("/api/keys/{secret}/destroy"), json!({"versions": [1]})).await;
    assert_eq!(destroyed.expect(200).member("status"), "destroyed");
    mint(json!([{"key_id": secret, "version": 1}])).await.expect(404).refused("secret_not_found");
    mint(json!([{"key_id": secret}])).await.expect(404).refused("secret_not_found");
    manager.stop().await;
}

#[actix_web::test]
async fn terms_out_of_range_are_refused() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = stored(&manager, "a", "a1").await;
    let elsewhere = json!({"user_id": "u", "key_data": "x", "environment": "staging"});
    let elsewhere = manager.post("/api/keys", elsewhere).await.expect(201).member("key_id");
    let grant = json!({"key_id": secret});
    let many: Vec<Value> =
        (0..65).map(|_| json!({"key_id": shared_proto::id::SecretId::generate().to_string()})).collect();
    let wrong = [
        json!({"secrets": []}),
        json!({ "secrets": many }),
        json!({"secrets": [grant, grant]}),
        json!({"secrets": [grant, {"key_id": elsewhere}]}),
        json!({"secrets": [grant], "life_seconds": 0}),
        json!({"secrets": [grant], "life_seconds": 2_701}),
    ];
    for body in wrong {
        manager.post("/api/tokens", body).await.expect(400).refused("parameter_invalid");
    }
    manager.post("/api/tokens", json!({"secrets": [grant], "more": 1})).await.expect(400).refused("body_invalid");
    manager.stop().await;
}

#[actix_web::test]
async fn a_token_never_outlives_its_seal_key() {
    let installed = Installed::new(Mode::Production).await;
    installed.vault.state().seal_life = 300;
    let manager = installed.start().await;
    let secret = stored(&manager, "a", "a1").await;
    let body = json!({"secrets": [{"key_id": secret}], "life_seconds": 2_700});
    let terms =
        installed.vault.check_token(&manager.post("/api/tokens", body).await.expect(201).member("access_token"));
    assert!(terms.terms.expires_at - terms.terms.issued_at <= 300);
    installed.vault.state().seal_life = 3_600;
    let body = json!({"secrets": [{"key_id": secret}], "life_seconds": 60});
    let terms =
        installed.vault.check_token(&manager.post("/api/tokens", body).await.expect(201).member("access_token"));
    assert_eq!(terms.terms.expires_at - terms.terms.issued_at, 60);
    manager.stop().await;
}

#[actix_web::test]
async fn tokens_are_made_while_the_vault_is_away_and_not_with_a_revoked_key() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = stored(&manager, "a", "a1").await;
    installed.vault.go_down().await;
    until("the manager sees it", async || manager.app.vault_view.view().last_sync == LastSync::Failed).await;
    let body = json!({"secrets": [{"key_id": secret}]});
    manager.post("/api/tokens", body.clone()).await.expect(201);
    installed.vault.come_back().await;
    until("it is back", async || manager.get("/health/ready").await.status == 200).await;
    let jwks = manager.get("/.well-known/jwks.json").await.json();
    let revoked = manager.post("/api/revocations", json!({"kind": "signing-key", "kid": jwks["keys"][0]["kid"]}));
    revoked.await.expect(200);
    manager.post("/api/tokens", body).await.expect(503).refused("unavailable");
    // A write that would end in a dead token writes nothing; one without a token is fine.
    let mut write = json!({"user_id": "u", "key_data": "v", "environment": "dev", "path": "after"});
    manager.post("/api/keys", write.clone()).await.expect(503).refused("unavailable");
    write["token"] = json!(false);
    let stored = manager.post("/api/keys", write).await.expect(201).json();
    assert_eq!(stored["version"], 1);
    manager.stop().await;
}

#[actix_web::test]
async fn writes_that_a_silent_vault_holds_up_hold_up_no_token() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = stored(&manager, "a", "a1").await;
    installed.vault.state().store_mood = StoreMood::Silent;
    // More than go through at once.
    let cores = std::thread::available_parallelism().unwrap().get();
    let paths: Vec<String> = (0..8 * cores).map(|number| format!("b{number}")).collect();
    let orders = || installed.vault.state().orders.iter().filter(|order| **order == Operation::Store).count();
    let before = orders();
    let mint = async {
        until("writes are under way", async || orders() > before).await;
        manager.post("/api/tokens", json!({"secrets": [{"key_id": secret}]})).await.expect(201);
    };
    {
        let mut writes = select_all(paths.iter().map(|path| Box::pin(manager.store_value(path, "b"))));
        tokio::select! {
            _ = &mut writes => panic!("a write gave up before there was a token"),
            () = mint => {}
        }
        installed.vault.go_down().await;
        let (first, _, others) = writes.await;
        for write in join_all(others).await.into_iter().chain([first]) {
            write.expect(503);
        }
    }
    manager.stop().await;
}

#[actix_web::test]
async fn lists_are_paged_and_their_parameters_strict() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    for n in 0..5 {
        stored(&manager, &format!("p{n}"), "v").await;
    }
    for (path, rows, id) in [("/api/secrets", "secrets", "key_id"), ("/api/tokens", "tokens", "jti")] {
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let page = manager.admin(Method::GET, &format!("{path}?limit=2{after}"), None).await.expect(200).json();
            let ids = page[rows].as_array().unwrap().iter().map(|row| row[id].as_str().unwrap().to_owned());
            seen.extend(ids);
            let Some(next) = page.get("next").and_then(Value::as_str) else { break };
            after = format!("&after={next}");
        }
        let mut unique = seen.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!((seen.len(), unique.len()), (5, 5), "{path}");
        for wrong in ["limit=0", "limit=501", "typo=1", "limit=1&limit=2", "after=x"] {
            let refused = manager.admin(Method::GET, &format!("{path}?{wrong}"), None).await;
            refused.expect(400).refused("parameter_invalid");
        }
    }
    let none = manager.admin(Method::GET, "/api/secrets?environment=production", None).await.expect(200).json();
    assert_eq!(none["secrets"].as_array().unwrap().len(), 0);
    manager.stop().await;
}

#[actix_web::test]
async fn null_is_no_way_to_leave_a_member_out() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = stored(&manager, "a", "a1").await;
    let store = |member: &str| {
        let mut body = json!({"user_id": "u", "key_data": "v", "environment": "dev"});
        body[member] = Value::Null;
        ("/api/keys", body)
    };
    let mint = |member: &str| {
        let mut body = json!({"secrets": [{"key_id": secret}]});
        body[member] = Value::Null;
        ("/api/tokens", body)
    };
    let bodies = [
        store("path"),
        store("environment"),
        store("encoding"),
        store("token"),
        mint("user_id"),
        mint("life_seconds"),
        ("/api/tokens", json!({"secrets": [{"key_id": secret, "version": null}]})),
        ("/api/reconcile", json!({"adopt": false, "after": null})),
    ];
    for (path, body) in bodies {
        let answer = manager.post(path, body.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (400, "body_invalid"), "{body}");
    }
    manager.stop().await;
}

#[actix_web::test]
async fn secrets_are_asked_for_by_path_and_the_answer_names_id_and_version() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let slashed = stored(&manager, "shop/db/password", "1").await;
    stored(&manager, "shop/db/password", "2").await;
    let by_id = stored(&manager, "other", "3").await;
    let mint = async |secrets: Value| manager.post("/api/tokens", json!({ "secrets": secrets })).await;
    let at = |path: &str| json!({"environment": "dev", "path": path});
    let answer = mint(json!([at("shop/db/password"), {"key_id": by_id, "stage": "current"}])).await.expect(201);
    let opened = installed.vault.open(&answer.member("access_token"));
    assert_eq!((opened[0].expose(), opened[1].expose()), (&b"2"[..], &b"3"[..]));
    let ends = |at: usize| answer.json()["secrets"][at]["expires_at"].as_u64().unwrap();
    assert_eq!(
        answer.json()["secrets"],
        json!([
            {"key_id": slashed, "version": 2, "envelope": 2, "path": "shop/db/password", "expires_at": ends(0)},
            {"key_id": by_id, "version": 1, "envelope": 1, "expires_at": ends(1)},
        ])
    );
    // Dots mean slashes.
    let answer = mint(json!([at("shop.db.password")])).await.expect(201).json();
    assert_eq!(
        (&answer["secrets"][0]["key_id"], &answer["secrets"][0]["path"]),
        (&json!(slashed), &json!("shop.db.password"))
    );
    let mut first = at("shop.db.password");
    first["version"] = json!(1);
    assert_eq!(mint(json!([first])).await.expect(201).json()["secrets"][0]["version"], 1);
    // Whoever may write there, and in any folder, takes the name from nobody.
    let refused = manager.store_value("shop.db.password", "4").await.expect(409).refused("already_exists");
    assert!(refused.member("detail").contains("dots"), "{}", refused.text);
    let answer = mint(json!([at("shop.db.password")])).await.expect(201).json();
    assert_eq!(answer["secrets"][0]["key_id"], json!(slashed));
    stored(&manager, "bank.key", "5").await;
    manager.store_value("bank/key", "6").await.expect(409).refused("already_exists");
    stored(&manager, "bank.key", "7").await;
    mint(json!([at("shop.db/password")])).await.expect(404).refused("secret_not_found");
    mint(json!([at("Shop/db/password")])).await.expect(404).refused("secret_not_found");
    // One secret in two ways is one secret.
    mint(json!([at("shop/db/password"), {"key_id": slashed}])).await.expect(400).refused("parameter_invalid");
    for (member, value) in [("stage", "previous"), ("stage", "pending")] {
        let mut wanted = at("other");
        wanted[member] = json!(value);
        mint(json!([wanted])).await.expect(404).refused("secret_not_found");
    }
    for wrong in
        [json!({"path": "other"}), json!({"environment": "dev"}), json!({}), json!({"key_id": by_id, "path": "other"})]
    {
        mint(json!([wrong])).await.expect(400).refused("parameter_invalid");
    }
    mint(json!([{"environment": "dev", "path": "a//b"}])).await.expect(400).refused("name_invalid");
    manager.stop().await;
}

/// Somebody who may read one folder asks for places outside of it, and for places that do not exist.
#[actix_web::test]
async fn unknown_and_forbidden_places_look_the_same() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    stored(&manager, "shop/key", "mine").await;
    stored(&manager, "bank/key", "hidden").await;
    let reader = manager.reader_of("reader", "dev", "shop/**").await;
    let ask = async |environment: &str, path: &str| {
        let body = json!({"secrets": [{"environment": environment, "path": path}]}).to_string();
        let header = format!("Bearer {}", reader.credential);
        manager.send(Method::POST, "/api/tokens", &[("authorization", &header)], Some(body)).await
    };
    let answer = ask("dev", "shop/key").await.expect(201);
    assert_eq!(installed.vault.open(&answer.member("access_token"))[0].expose(), b"mine");
    let terms = installed.vault.check_token(&answer.member("access_token")).terms;
    assert_eq!(terms.subject, reader.subject);
    let answer = ask("dev", "shop.key").await.expect(201);
    assert_eq!(installed.vault.open(&answer.member("access_token"))[0].expose(), b"mine");
    let without_id = |answer: Answer| {
        let mut problem = answer.expect(404).json();
        problem["request_id"] = Value::Null;
        problem
    };
    let unknown = without_id(ask("dev", "nowhere").await);
    for (environment, path) in
        [("dev", "bank/key"), ("dev", "bank.key"), ("dev", "shop"), ("staging", "shop/key"), ("nowhere", "shop/key")]
    {
        assert_eq!(without_id(ask(environment, path).await), unknown, "{environment} {path}");
    }
    manager.stop().await;
}
