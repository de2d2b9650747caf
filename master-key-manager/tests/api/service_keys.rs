//! Registered public keys of services, and assertions that are signed with them.

use actix_web::http::Method;
use futures_util::future::join_all;
use manager_registry::Credential;
use manager_sign_on::oauth::TokenRequest;
use master_key_manager::sign_on::Answered;
use serde_json::{Value, json};
use service_runtime::audit::Origin;
use shared_proto::event::Event;
use shared_proto::id::Subject;

use crate::oauth::{JWT_BEARER, Shop, basic, details, fails, now};
use crate::support::{ISSUER, Signer};

const CLIENT_ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

#[actix_web::test]
async fn keys_are_registered_listed_and_disabled() {
    let shop = Shop::new().await;
    let signer = Signer::rsa("one");
    let made = shop.register(&signer).await.expect(201).json();
    assert_eq!((&made["service_id"], &made["name"]), (&json!(shop.reader.service), &json!("deploy")));
    assert_eq!(made["jwk"], signer.jwk());
    assert_eq!(made["expires_at"].as_u64().unwrap() - made["created_at"].as_u64().unwrap(), 90 * 86_400);
    let again = shop.register(&signer).await.expect(409).refused("already_exists");
    assert_eq!(again.json()["id"], made["credential_id"]);
    shop.register(&Signer::p256("two")).await.expect(201);
    let listed = shop.manager.admin(Method::GET, &shop.keys(), None).await.expect(200).json();
    assert_eq!(listed["keys"].as_array().unwrap().len(), 2);
    let path = format!("{}/{}", shop.keys(), made["credential_id"].as_str().unwrap());
    assert_eq!(shop.manager.admin(Method::DELETE, &path, None).await.expect(200).member("status"), "revoked");
    shop.manager.admin(Method::DELETE, &path, None).await.expect(200);
    // A key that was disabled does not come back.
    shop.register(&signer).await.expect(409).refused("already_exists");
    let listed = shop.manager.admin(Method::GET, &shop.keys(), None).await.expect(200).json();
    let disabled = listed["keys"].as_array().unwrap().iter().filter(|key| key.get("disabled_at").is_some());
    assert_eq!(disabled.count(), 1);
    // Nothing but keys of this service.
    for (service, id) in [
        (shop.reader.service.to_string(), shop.reader.credential_id.to_string()),
        (shop.reader.service.to_string(), "x".to_owned()),
    ] {
        let path = format!("/api/services/{service}/keys/{id}");
        shop.manager.admin(Method::DELETE, &path, None).await.expect(404).refused("credential_not_found");
    }
    let nobody = "/api/services/svc_AAAAAAAAAAAAAAAAAAAAAA/keys";
    shop.manager.admin(Method::GET, nobody, None).await.expect(404).refused("service_not_found");
    shop.manager.stop().await;
}

#[actix_web::test]
async fn weak_private_and_malformed_keys_are_refused_and_named_by_no_error() {
    let shop = Shop::new().await;
    let mut private = Signer::ed25519("a").jwk();
    private["d"] = json!("CANARY");
    let mut small = Signer::rsa("a").jwk();
    small["n"] = json!(small["n"].as_str().unwrap()[..170]);
    for jwk in [private, small, json!({"kty": "oct", "k": "CANARY"}), json!({}), json!({"kty": "EC", "crv": "P-384"})] {
        let body = json!({"name": "k", "expires_in": "1d", "jwk": jwk});
        let answer = shop.manager.post(&shop.keys(), body).await.expect(400).refused("parameter_invalid");
        assert!(!answer.text.contains("CANARY"), "{}", answer.text);
    }
    for expires_in in ["2y", "0s", ""] {
        let body = json!({"name": "k", "expires_in": expires_in, "jwk": Signer::ed25519("a").jwk()});
        shop.manager.post(&shop.keys(), body).await.expect(400).refused("name_invalid");
    }
    for number in 0..master_key_manager::sign_on::MAX_KEYS {
        shop.register(&Signer::ed25519(&number.to_string())).await.expect(201);
    }
    shop.register(&Signer::ed25519("more")).await.expect(409).refused("too_many_credentials");
    shop.manager.stop().await;
}

#[actix_web::test]
async fn only_who_may_manage_identities_and_holds_what_the_service_holds_registers_a_key() {
    let shop = Shop::new().await;
    let signer = Signer::ed25519("a");
    let body = json!({"name": "k", "expires_in": "1d", "jwk": signer.jwk()}).to_string();
    let register = async |credential: &str| {
        let header = format!("Bearer {credential}");
        shop.manager.send(Method::POST, &shop.keys(), &[("authorization", &header)], Some(body.clone())).await
    };
    register(&shop.reader.credential).await.expect(403).refused("not_permitted");
    // Managing identities is not reading: he would hand out what he does not hold.
    let clerk = shop.manager.service_with("clerk", &[manager_api::policy::Action::ManageIdentities], None).await;
    let refused = register(&clerk.credential).await.expect(403).refused("not_permitted");
    assert!(refused.member("detail").contains("where you do not hold it"), "{}", refused.text);
    register(&shop.manager.credential).await.expect(201);
    shop.manager.stop().await;
}

#[actix_web::test]
async fn repeat_of_a_registration_finds_the_key_and_another_body_is_refused() {
    let shop = Shop::new().await;
    let register = async |name: &str, signer: &Signer| {
        let body = json!({"name": name, "expires_in": "1d", "jwk": signer.jwk()}).to_string();
        let header = format!("Bearer {}", shop.manager.credential);
        let headers = [("authorization", header.as_str()), ("idempotency-key", "one")];
        shop.manager.send(Method::POST, &shop.keys(), &headers, Some(body)).await
    };
    let signer = Signer::ed25519("a");
    let first = register("k", &signer).await.expect(201).json();
    assert_eq!(register("k", &signer).await.expect(201).json(), first);
    register("other", &signer).await.expect(422).refused("idempotency_mismatch");
    register("k", &Signer::ed25519("b")).await.expect(422).refused("idempotency_mismatch");
    shop.manager.stop().await;
}

#[actix_web::test]
async fn assertion_with_a_registered_key_is_a_grant_and_authenticates_a_client() {
    let shop = Shop::new().await;
    for (number, signer) in [Signer::ed25519("a"), Signer::p256("b"), Signer::rsa("c")].iter().enumerate() {
        let key = shop.register(signer).await.expect(201).member("credential_id");
        let jti = |use_: &str| format!("{use_}{number}");
        let answer = shop.grant(&signer.token(&shop.claims(&jti("grant")))).await.expect(200);
        let terms = shop.installed.vault.check_token(&answer.member("access_token")).terms;
        assert_eq!((terms.subject, terms.client_id.to_string()), (shop.reader.subject, key));
        shop.opens(answer);
        let assertion = signer.token(&shop.claims(&jti("client")));
        let client = [("client_assertion_type", CLIENT_ASSERTION), ("client_assertion", assertion.as_str())];
        shop.opens(shop.ask(None, &client).await);
    }
    // A client that authenticates is the one that the assertion is of.
    let signer = Signer::ed25519("d");
    shop.register(&signer).await.expect(201);
    let other = shop.manager.reader_of("other", "dev", "**").await;
    let assertion = signer.token(&shop.claims("own"));
    let grant = [("grant_type", JWT_BEARER), ("assertion", assertion.as_str())];
    shop.opens(shop.ask(Some(&basic("web", &shop.reader.credential)), &grant).await);
    // Both are used.
    let once = crate::oauth::credential_with(&shop, |new| Credential { max_uses: Some(1), ..new }).await;
    for (jti, counts) in [("first", true), ("second", false)] {
        let assertion = signer.token(&shop.claims(jti));
        let grant = [("grant_type", JWT_BEARER), ("assertion", assertion.as_str())];
        let answer = shop.ask(Some(&basic("web", &once)), &grant).await;
        if counts { drop(shop.opens(answer)) } else { fails(answer, 401, "invalid_client") }
    }
    let assertion = signer.token(&shop.claims("foreign"));
    let grant = [("grant_type", JWT_BEARER), ("assertion", assertion.as_str())];
    fails(shop.ask(Some(&basic("other", &other.credential)), &grant).await, 400, "unauthorized_client");
    let assertion = signer.token(&shop.claims("named"));
    let grant = [("grant_type", JWT_BEARER), ("assertion", assertion.as_str()), ("client_id", "other")];
    fails(shop.ask(None, &grant).await, 400, "invalid_grant");
    shop.manager.stop().await;
}

#[actix_web::test]
async fn wrong_assertions_are_no_grant() {
    let shop = Shop::new().await;
    let signer = Signer::ed25519("a");
    shop.register(&signer).await.expect(201);
    let other = shop.manager.reader_of("other", "dev", "**").await;
    let foreign = Signer::ed25519("a");
    let body = json!({"name": "k", "expires_in": "1d", "jwk": foreign.jwk()});
    shop.manager.post(&format!("/api/services/{}/keys", other.service), body).await.expect(201);
    let good = shop.claims("x");
    let changed = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        signer.token(&claims)
    };
    let other_id = other.service.to_string();
    for (name, assertion) in [
        ("key of another service", foreign.token(&good)),
        ("another service", changed("sub", json!(other_id))),
        ("another issuer", changed("iss", json!(other_id))),
        ("another audience", changed("aud", json!("https://other.example"))),
        ("the endpoint as audience", changed("aud", json!(format!("{ISSUER}/oauth/token")))),
        ("expired", changed("exp", json!(now() - 1))),
        ("long-lived", changed("exp", json!(now() + 400))),
        ("from the future", changed("iat", json!(now() + 60))),
        ("without iat", changed("iat", Value::Null)),
        ("without jti", changed("jti", Value::Null)),
        ("not a token", "a.b.c".to_owned()),
    ] {
        let answer = shop.grant(&assertion).await;
        assert_eq!(answer.json()["error"], "invalid_grant", "{name}: {}", answer.text);
        fails(answer, 400, "invalid_grant");
        let client = [("client_assertion_type", CLIENT_ASSERTION), ("client_assertion", assertion.as_str())];
        fails(shop.ask(None, &client).await, 401, "invalid_client");
    }
    shop.opens(shop.grant(&signer.token(&good)).await);
    shop.manager.stop().await;
}

#[actix_web::test]
async fn assertion_counts_once_also_of_two_hundred_at_once_and_after_a_restart() {
    let mut shop = Shop::new().await;
    let signer = Signer::ed25519("a");
    shop.register(&signer).await.expect(201);
    let assertion = signer.token(&shop.claims("once"));
    let answers = join_all((0..200).map(|_| shop.grant(&assertion))).await;
    let taken = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(taken, 1);
    assert!(answers.iter().all(|answer| answer.status == 200 || answer.json()["error"] == "invalid_grant"));
    // Also one that got nothing by it.
    let assertion = signer.token(&shop.claims("wasted"));
    let nothing = details(&json!([{"environment": "dev", "path": "nowhere"}]));
    let form = [("grant_type", JWT_BEARER), ("assertion", assertion.as_str()), ("authorization_details", &nothing)];
    fails(shop.ask(None, &form).await, 400, "invalid_authorization_details");
    fails(shop.grant(&assertion).await, 400, "invalid_grant");
    let (used, unused) = (signer.token(&shop.claims("before")), signer.token(&shop.claims("kept")));
    shop.opens(shop.grant(&used).await);
    shop.manager.stop().await;
    // What was forgotten by the restart is not taken: it was issued before.
    shop.installed.began_ago = 0;
    shop.manager = shop.installed.start().await;
    fails(shop.grant(&used).await, 503, "temporarily_unavailable");
    fails(shop.grant(&unused).await, 503, "temporarily_unavailable");
    shop.manager.stop().await;
    // The control: a manager that had begun earlier would have taken it a second time.
    shop.installed.began_ago = 100;
    shop.manager = shop.installed.start().await;
    shop.opens(shop.grant(&used).await);
    shop.manager.stop().await;
}

#[actix_web::test]
async fn disabled_key_signs_nothing_more_and_its_tokens_are_revoked() {
    let shop = Shop::new().await;
    let signer = Signer::ed25519("a");
    let key = shop.register(&signer).await.expect(201).member("credential_id");
    shop.opens(shop.grant(&signer.token(&shop.claims("1"))).await);
    let path = format!("{}/{key}", shop.keys());
    assert_eq!(shop.manager.admin(Method::DELETE, &path, None).await.expect(200).member("status"), "revoked");
    assert_eq!(shop.installed.vault.applied().len(), 1);
    fails(shop.grant(&signer.token(&shop.claims("2"))).await, 400, "invalid_grant");
    shop.manager.stop().await;
}

/// A key stands for its service: whatever takes from the service takes from the tokens of the key.
#[actix_web::test]
async fn what_takes_from_a_service_revokes_the_tokens_of_its_keys() {
    let shop = Shop::new().await;
    let (signer, manager) = (Signer::ed25519("a"), &shop.manager);
    let key = shop.register(&signer).await.expect(201).member("credential_id");
    let hits = || {
        let applied = shop.installed.vault.applied().into_iter();
        applied.filter(|event| matches!(event, Event::Credential(id) if id.to_string() == key)).count()
    };
    let deny = json!({
        "party": shop.reader.service, "effect": "deny", "actions": ["read"], "environment": "dev", "pattern": "shop/**",
        "reason": "test",
    });
    let line = manager.post("/api/permissions", deny).await.expect(201).member("permission_id");
    crate::support::until("a denial revokes", async || hits() == 1).await;
    fails(shop.grant(&signer.token(&shop.claims("1"))).await, 400, "invalid_authorization_details");
    manager.admin(Method::DELETE, &format!("/api/permissions/{line}"), None).await.expect(200);
    shop.opens(shop.grant(&signer.token(&shop.claims("2"))).await);
    manager.admin(Method::POST, &format!("/api/services/{}:disable", shop.reader.service), None).await.expect(200);
    crate::support::until("the end of the service revokes", async || hits() == 2).await;
    fails(shop.grant(&signer.token(&shop.claims("3"))).await, 400, "invalid_grant");
    shop.manager.stop().await;
}

/// The key is disabled after the assertion was verified, before the token is decided.
#[actix_web::test]
async fn key_that_is_disabled_on_the_way_to_its_token_gets_none() {
    let shop = Shop::new().await;
    let signer = Signer::ed25519("a");
    let key = shop.register(&signer).await.expect(201).member("credential_id");
    let assertion = signer.token(&shop.claims("1"));
    let form = format!("grant_type={JWT_BEARER}&assertion={assertion}&authorization_details={}", shop.wanted());
    let request = TokenRequest::parse(None, form.as_bytes()).unwrap_or_else(|error| panic!("{error:?}"));
    let sign_on = &shop.manager.app.sign_on;
    let mut origin = Origin::background();
    let Ok(proven) = sign_on.prove(&request, None, &mut origin).await else { panic!("it is proven") };
    assert_eq!(origin.credential(), Some(key.as_str()));
    shop.manager.admin(Method::DELETE, &format!("{}/{key}", shop.keys()), None).await.expect(200);
    let Err(failure) = sign_on.issue(&request, proven, &origin).await else { panic!("it is refused") };
    assert_eq!(failure.answer, Answered::Later);
    fails(shop.grant(&signer.token(&shop.claims("2"))).await, 400, "invalid_grant");
    let tokens = shop.manager.admin(Method::GET, "/api/tokens", None).await.expect(200).json();
    let own = tokens["tokens"].as_array().unwrap().iter().filter(|token| token["sub"] == json!(shop.reader.subject));
    assert_eq!(own.count(), 0);
    shop.manager.stop().await;
}

/// A key or a trust gives access tokens and nothing else, so it administers nothing.
#[actix_web::test]
async fn key_of_an_administrator_does_not_keep_the_last_credential_from_being_the_last() {
    let shop = Shop::new().await;
    let view = shop.manager.app.registry.now().await.unwrap();
    let administrators: Vec<_> = view.state.administrators(&view.facts, now()).collect();
    let [only] = administrators.as_slice() else { panic!("one administrator") };
    let Subject::Service(service) = view.state.credential(*only).unwrap().subject else { panic!("a service") };
    let body = json!({"name": "k", "expires_in": "1d", "jwk": Signer::ed25519("a").jwk()});
    shop.manager.post(&format!("/api/services/{service}/keys"), body).await.expect(201);
    let disable = json!({"kind": "disable-credential", "client_id": only});
    shop.manager.post("/api/revocations", disable).await.expect(409).refused("last_administrator");
    shop.manager.stop().await;
}
