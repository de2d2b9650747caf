//! Credentials of services: what they are for, how they are exchanged, and what ends them.

use std::net::{IpAddr, SocketAddr};

use actix_web::http::Method;
use futures_util::future::join_all;
use manager_api::policy::Role;
use master_key_manager::config::{Config, RawConfig};
use master_key_manager::init::reset_administrator;
use serde_json::{Value, json};
use service_runtime::config::Mode;
use service_runtime::sql::Fault;

use crate::services::{all, caller, credential, registered};
use crate::support::{Answer, Installed, Manager, until};

/// A manager with a service that reads `pay/**`, and a secret of it.
async fn ready() -> (Installed, Manager, String, String) {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = manager.store_value("pay/db", "v").await.expect(201).member("key_id");
    manager.store_value("pay/key", "v").await.expect(201);
    let service = registered(&manager, "billing", &["pay/**"]).await;
    manager.post(&format!("/api/services/{service}:approve"), all(&["pay/**"])).await.expect(200);
    (installed, manager, service, secret)
}

async fn own(manager: &Manager, bearer: &str) -> u16 {
    manager.with(bearer, Method::GET, "/api/services", None).await.status.as_u16()
}

async fn mint(manager: &Manager, bearer: &str, secret: &str) -> Answer {
    let body = json!({"secrets": [{"key_id": secret}]});
    manager.with(bearer, Method::POST, "/api/tokens", Some(body)).await
}

async fn listed(manager: &Manager, service: &str) -> Vec<Value> {
    let list = manager.admin(Method::GET, &format!("/api/services/{service}/credentials"), None).await.expect(200);
    list.json()["credentials"].as_array().unwrap().clone()
}

#[actix_web::test]
async fn two_credentials_live_at_once_and_no_third_one() {
    let (_installed, manager, service, secret) = ready().await;
    let path = format!("/api/services/{service}/credentials");
    let (first, first_id) = credential(&manager, &service, json!({})).await;
    // Twenty at once make one.
    let body = || json!({"name": "second", "expires_in": "30d"});
    let all = join_all((0..20).map(|_| manager.post(&path, body()))).await;
    let made: Vec<&Answer> = all.iter().filter(|answer| answer.status == 201).collect();
    assert_eq!(made.len(), 1);
    let second = made[0].member("credential");
    for answer in all.iter().filter(|answer| answer.status != 201) {
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (409, "too_many_credentials"));
    }
    let token = json!({"service_name": "billing", "expires_in": 60});
    manager.post("/tokens", token.clone()).await.expect(409).refused("too_many_credentials");
    assert_eq!((mint(&manager, &first, &secret).await.status, mint(&manager, &second, &secret).await.status), {
        let made = actix_web::http::StatusCode::CREATED;
        (made, made)
    });
    let gone = manager.admin(Method::DELETE, &format!("{path}/{first_id}"), None).await.expect(200).json();
    assert_eq!(gone["status"], "revoked");
    let again = manager.admin(Method::DELETE, &format!("{path}/{first_id}"), None).await.expect(200).json();
    assert_eq!(again["sequence"], gone["sequence"]);
    assert_eq!((own(&manager, &first).await, own(&manager, &second).await), (401, 200));
    let token = manager.post("/tokens", token).await.expect(201);
    assert_eq!(own(&manager, &token.member("token")).await, 200);
    manager.stop().await;
}

#[actix_web::test]
async fn records_of_ended_credentials_do_not_grow() {
    let (_installed, manager, service, _) = ready().await;
    for _ in 0..12 {
        let (_, id) = credential(&manager, &service, json!({"max_uses": 1})).await;
        manager.admin(Method::DELETE, &format!("/api/services/{service}/credentials/{id}"), None).await.expect(200);
    }
    assert_eq!(listed(&manager, &service).await.len(), 9);
    manager.stop().await;
}

#[actix_web::test]
async fn terms_of_a_credential_have_bounds_and_are_shown_without_its_secret() {
    let (_installed, manager, service, _) = ready().await;
    let path = format!("/api/services/{service}/credentials");
    let good = json!({"name": "n", "expires_in": "1y", "allowed_addresses": ["10.0.0.0/8", "2001:db8::1"], "max_uses": 5,
        "limits": [{"actions": ["read"], "environment": "dev", "pattern": "pay/db"}], "default_environment": "dev"});
    for (member, wrong, code) in [
        ("expires_in", json!("366d"), "name_invalid"),
        ("expires_in", json!("2y"), "name_invalid"),
        ("expires_in", json!(0), "name_invalid"),
        ("expires_in", json!("soon"), "name_invalid"),
        ("expires_in", json!(null), "body_invalid"),
        ("name", json!(" n"), "name_invalid"),
        ("allowed_addresses", json!([]), "parameter_invalid"),
        ("allowed_addresses", json!(["10.0.0.1/8"]), "name_invalid"),
        ("allowed_addresses", json!(["office"]), "name_invalid"),
        ("allowed_addresses", json!(vec!["10.0.0.0/8"; 33]), "parameter_invalid"),
        ("max_uses", json!(0), "parameter_invalid"),
        ("max_uses", json!(1_001), "parameter_invalid"),
        ("limits", json!([]), "parameter_invalid"),
        ("limits", json!([{"actions": [], "pattern": "**"}]), "parameter_invalid"),
        ("limits", json!([{"actions": ["read"], "pattern": "a//b"}]), "name_invalid"),
        ("limits", json!([{"actions": ["everything"], "pattern": "a"}]), "body_invalid"),
        ("default_environment", json!("nowhere"), "name_invalid"),
        ("more", json!(1), "body_invalid"),
    ] {
        let mut body = good.clone();
        body[member] = wrong.clone();
        let answer = manager.post(&path, body).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (400, code), "{member} {wrong}");
    }
    for needed in ["name", "expires_in"] {
        let mut body = good.clone();
        body.as_object_mut().unwrap().remove(needed);
        manager.post(&path, body).await.expect(400).refused("body_invalid");
    }
    assert!(listed(&manager, &service).await.is_empty());
    let made = manager.post(&path, good.clone()).await.expect(201);
    let details = made.json()["details"].clone();
    assert_eq!(details["expires_at"].as_u64().unwrap() - details["created_at"].as_u64().unwrap(), 31_536_000);
    assert_eq!(details["allowed_addresses"], json!(["10.0.0.0/8", "2001:db8::1/128"]));
    for member in ["name", "max_uses", "limits", "default_environment"] {
        assert_eq!(details[member], good[member], "{member}");
    }
    let list = listed(&manager, &service).await;
    assert_eq!(list, [details]);
    assert!(!json!(list).to_string().contains(&made.member("credential")));
    manager.stop().await;
}

#[actix_web::test]
async fn secret_of_a_credential_is_shown_once() {
    let (_installed, manager, service, _) = ready().await;
    let bearer = format!("Bearer {}", manager.credential);
    let headers = [("authorization", bearer.as_str()), ("idempotency-key", "k")];
    let path = format!("/api/services/{service}/credentials");
    let body = json!({"name": "n", "expires_in": "1d"}).to_string();
    let make = async || manager.send(Method::POST, &path, &headers, Some(body.clone())).await;
    let id = make().await.expect(201).json()["details"]["credential_id"].clone();
    let again = make().await.expect(409).refused("already_exists");
    assert_eq!(again.json()["id"], id);
    assert_eq!(listed(&manager, &service).await.len(), 1);
    // A renewal is another request, and has an id of its own.
    let renew = format!("{path}/{}:renew", id.as_str().unwrap());
    manager.send(Method::POST, &renew, &headers, None).await.expect(201);
    manager.send(Method::POST, &renew, &headers, None).await.expect(409).refused("already_exists");
    manager.stop().await;
}

async fn from(manager: &Manager, bearer: &str, peer: Option<&str>, headers: &[(&str, &str)]) -> (u16, String) {
    let bearer = format!("Bearer {bearer}");
    let headers: Vec<(&str, &str)> =
        [("authorization", bearer.as_str())].into_iter().chain(headers.iter().copied()).collect();
    let peer = peer.map(|peer| SocketAddr::new(peer.parse::<IpAddr>().unwrap(), 4711));
    let answer = manager.send_from(peer, Method::GET, "/api/services", &headers, None).await;
    let (status, mut body) = (answer.status.as_u16(), answer.json());
    if let Some(body) = body.as_object_mut() {
        body.remove("request_id");
    }
    (status, body.to_string())
}

#[actix_web::test]
async fn credential_counts_from_its_addresses_alone_and_looks_wrong_elsewhere() {
    let mut installed = Installed::new(Mode::Production).await;
    let proxies = serde_json::from_value(json!(["192.0.2.0/24"])).unwrap();
    installed.config = Config::new(RawConfig { trusted_proxies: proxies, ..installed.config.get().clone() }).unwrap();
    let manager = installed.start().await;
    let service = registered(&manager, "billing", &[]).await;
    let (bearer, _) = credential(&manager, &service, json!({"allowed_addresses": ["10.1.0.0/16"]})).await;
    let wrong = from(&manager, "spv_nonsense", Some("10.1.2.3"), &[]).await;
    assert_eq!(wrong.0, 401);
    let forwarded = [("x-forwarded-for", "10.1.9.9")];
    for (peer, headers, counts) in [
        (Some("10.1.2.3"), &[][..], true),
        (Some("::ffff:10.1.2.3"), &[], true),
        (Some("10.2.2.3"), &[], false),
        (None, &[], false),
        // Only a proxy that is named says where a request comes from.
        (Some("198.51.100.1"), &forwarded, false),
        (Some("192.0.2.1"), &forwarded, true),
        (Some("192.0.2.1"), &[("forwarded", "for=10.1.2.3")], true),
        (Some("192.0.2.1"), &[], false),
        (Some("192.0.2.1"), &[("x-forwarded-for", "10.1.2.3, 203.0.113.9")], false),
        (Some("192.0.2.1"), &[("x-forwarded-for", "203.0.113.9, 10.1.2.3, 192.0.2.7")], true),
        (Some("192.0.2.1"), &[("x-forwarded-for", "203.0.113.9"), ("forwarded", "for=10.1.2.3")], false),
        // Whom it does not name, it may not hide either.
        (Some("10.1.2.3"), &[("x-forwarded-for", "203.0.113.9")], true),
    ] {
        let found = from(&manager, &bearer, peer, headers).await;
        if counts {
            assert_eq!(found.0, 200, "{peer:?} {headers:?}");
        } else {
            assert_eq!(found, wrong, "{peer:?} {headers:?}");
        }
    }
    manager.app.gate.audit.flush_and_close().await;
    let lines = std::fs::read_to_string(installed.config.audit_log()).unwrap();
    assert!(lines.contains("\"10.1.9.9\"") && !lines.contains("\"192.0.2.7\""), "the audit log names the client");
    manager.stop().await;
}

#[actix_web::test]
async fn two_hundred_requests_at_once_with_five_uses_are_five() {
    let (installed, manager, service, secret) = ready().await;
    let (bearer, _) = credential(&manager, &service, json!({"max_uses": 5})).await;
    let all = join_all((0..200).map(|_| mint(&manager, &bearer, &secret))).await;
    assert_eq!(all.iter().filter(|answer| answer.status == 201).count(), 5);
    for answer in all.iter().filter(|answer| answer.status != 201) {
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (401, "credential_invalid"));
    }
    let shown = listed(&manager, &service).await;
    assert_eq!((&shown[0]["uses"], &shown[0]["max_uses"]), (&json!(5), &json!(5)));
    // What was minted with a use lives.
    assert!(installed.vault.applied().is_empty());
    manager.stop().await;
    let manager = installed.start().await;
    assert_eq!(own(&manager, &bearer).await, 401, "a restart gives no use back");
    manager.stop().await;
}

#[actix_web::test]
async fn refused_request_of_a_known_caller_is_a_use() {
    let (_installed, manager, service, secret) = ready().await;
    let (bearer, _) = credential(&manager, &service, json!({"max_uses": 3})).await;
    manager.with(&bearer, Method::POST, "/api/tokens", Some(json!({"wrong": 1}))).await.expect(400);
    manager.with(&bearer, Method::GET, "/api/revocations", None).await.expect(403);
    mint(&manager, &bearer, &secret).await.expect(201);
    mint(&manager, &bearer, &secret).await.expect(401).refused("credential_invalid");
    manager.stop().await;
}

#[actix_web::test]
async fn use_that_cannot_be_written_lets_nobody_in() {
    let (_installed, manager, service, secret) = ready().await;
    let (bearer, _) = credential(&manager, &service, json!({"max_uses": 3})).await;
    for (fault, left) in [(Fault::WritesFail, 3), (Fault::AnswersLost, 2)] {
        manager.faults.set(fault);
        mint(&manager, &bearer, &secret).await.expect(503);
        manager.faults.set(Fault::None);
        let uses = listed(&manager, &service).await[0]["uses"].as_u64().unwrap();
        assert_eq!(3 - uses, left, "{fault:?}");
    }
    mint(&manager, &bearer, &secret).await.expect(201);
    manager.stop().await;
}

#[actix_web::test]
async fn service_renews_the_credential_that_it_shows_with_the_same_terms() {
    let (_installed, manager, service, secret) = ready().await;
    let terms = json!({"expires_in": "30d", "limits": [{"actions": ["list", "read"], "pattern": "pay/**"}]});
    let (first, first_id) = credential(&manager, &service, terms).await;
    let path = |id: &str| format!("/api/services/{service}/credentials/{id}");
    let made = manager.with(&first, Method::POST, &format!("{}:renew", path(&first_id)), None).await.expect(201);
    let (second, details) = (made.member("credential"), made.json()["details"].clone());
    let before =
        listed(&manager, &service).await.into_iter().find(|known| known["credential_id"] == *first_id).unwrap();
    let life = |known: &Value| known["expires_at"].as_u64().unwrap() - known["created_at"].as_u64().unwrap();
    assert_eq!(
        (life(&details), &details["limits"], &details["name"]),
        (life(&before), &before["limits"], &before["name"])
    );
    // Two live: the next renewal waits until the first one is gone, which the service does itself.
    let second_id = details["credential_id"].as_str().unwrap().to_owned();
    let renew = format!("{}:renew", path(&second_id));
    manager.with(&second, Method::POST, &renew, None).await.expect(409).refused("too_many_credentials");
    manager.with(&second, Method::DELETE, &path(&first_id), None).await.expect(200);
    assert_eq!(
        (mint(&manager, &first, &secret).await.status.as_u16(), mint(&manager, &second, &secret).await.status.as_u16()),
        (401, 201)
    );
    manager.with(&second, Method::POST, &renew, None).await.expect(201);
    let disabled = format!("{}:renew", path(&first_id));
    manager.admin(Method::POST, &disabled, None).await.expect(404).refused("credential_not_found");
    manager.stop().await;
}

#[actix_web::test]
async fn renewal_gives_no_more_than_the_credential_that_is_shown() {
    let (_installed, manager, service, _) = ready().await;
    let (wide, wide_id) = credential(&manager, &service, json!({})).await;
    let narrow = json!({"limits": [{"actions": ["read"], "pattern": "pay/key"}], "max_uses": 9});
    let (narrow, narrow_id) = credential(&manager, &service, narrow).await;
    let path = |id: &str| format!("/api/services/{service}/credentials/{id}");
    // Not another one, and not one whose uses are counted.
    for (bearer, id) in [(&narrow, &wide_id), (&wide, &narrow_id), (&narrow, &narrow_id)] {
        let answer = manager.with(bearer, Method::POST, &format!("{}:renew", path(id)), None).await;
        answer.expect(403).refused("not_permitted");
    }
    // The narrow one does not end the wide one.
    manager.with(&narrow, Method::DELETE, &path(&wide_id), None).await.expect(403).refused("not_permitted");
    assert_eq!(own(&manager, &wide).await, 200);
    manager.admin(Method::DELETE, &path(&wide_id), None).await.expect(200);
    let renewed = manager.admin(Method::POST, &format!("{}:renew", path(&narrow_id)), None).await.expect(201).json();
    assert_eq!((&renewed["details"]["max_uses"], &renewed["details"]["uses"]), (&json!(9), &json!(0)));
    manager.stop().await;
}

/// A counted one ends by itself, so it is no administrator's last one; but it is one that a reset replaces.
#[actix_web::test]
async fn counted_credential_of_an_administrator_is_not_the_last_one_and_does_not_survive_a_reset() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let list = manager.admin(Method::GET, "/api/services", None).await.expect(200).json();
    let service = list["services"][0]["service_id"].as_str().unwrap().to_owned();
    let first = listed(&manager, &service).await[0]["credential_id"].as_str().unwrap().to_owned();
    let (counted, _) = credential(&manager, &service, json!({"max_uses": 100})).await;
    assert_eq!(own(&manager, &counted).await, 200);
    let path = format!("/api/services/{service}/credentials/{first}");
    manager.with(&counted, Method::DELETE, &path, None).await.expect(409).refused("last_administrator");
    manager.stop().await;
    let next = reset_administrator(&installed.config).await.unwrap().expose_text().to_string();
    let manager = installed.start().await;
    assert_eq!((own(&manager, &counted).await, own(&manager, &next).await), (401, 200));
    manager.stop().await;
}

/// Each is an entry of a log that is kept.
#[actix_web::test]
async fn service_does_not_renew_without_end() {
    let (_installed, manager, service, _) = ready().await;
    let (mut bearer, mut id) = credential(&manager, &service, json!({})).await;
    let path = |id: &str| format!("/api/services/{service}/credentials/{id}");
    for _ in 0..5 {
        let made = manager.with(&bearer, Method::POST, &format!("{}:renew", path(&id)), None).await.expect(201);
        let next = made.json()["details"]["credential_id"].as_str().unwrap().to_owned();
        bearer = made.member("credential");
        manager.with(&bearer, Method::DELETE, &path(&id), None).await.expect(200);
        id = next;
    }
    let renew = format!("{}:renew", path(&id));
    let refused = manager.with(&bearer, Method::POST, &renew, None).await.expect(429).refused("rate_limited");
    assert_eq!(refused.headers.get("retry-after").unwrap(), "3600");
    manager.admin(Method::POST, &renew, None).await.expect(201);
    manager.stop().await;
}

#[actix_web::test]
async fn limited_credential_reads_its_part_alone() {
    let (_installed, manager, service, secret) = ready().await;
    let limits = json!({"limits": [{"actions": ["read"], "environment": "dev", "pattern": "pay/key"}]});
    let (bearer, _) = credential(&manager, &service, limits).await;
    mint(&manager, &bearer, &secret).await.expect(404).refused("secret_not_found");
    let secrets = manager.admin(Method::GET, "/api/secrets", None).await.expect(200).json();
    let found = secrets["secrets"].as_array().unwrap().iter().find(|secret| secret["path"] == "pay/key").unwrap();
    mint(&manager, &bearer, found["key_id"].as_str().unwrap()).await.expect(201);
    manager.stop().await;
}

#[actix_web::test]
async fn last_use_is_known_to_the_hour_and_outlives_a_restart() {
    let (installed, manager, service, _) = ready().await;
    let (bearer, _) = credential(&manager, &service, json!({})).await;
    assert_eq!(listed(&manager, &service).await[0]["last_used_at"], Value::Null);
    assert_eq!(own(&manager, &bearer).await, 200);
    let hour = listed(&manager, &service).await[0]["last_used_at"].as_u64().unwrap();
    assert_eq!(hour % 3_600, 0);
    assert!(manager.app.clock.now() - hour < 7_200);
    until("it is written", async || manager.app.gate.last_uses.unwritten(9).is_empty()).await;
    manager.stop().await;
    let manager = installed.start().await;
    assert_eq!(listed(&manager, &service).await[0]["last_used_at"].as_u64(), Some(hour));
    manager.stop().await;
}

#[actix_web::test]
async fn holder_lists_and_revokes_his_own_tokens_and_sees_no_others() {
    let (installed, manager, service, secret) = ready().await;
    let (bearer, id) = credential(&manager, &service, json!({})).await;
    let narrow = json!({"limits": [{"actions": ["read"], "pattern": "pay/db"}]});
    let (narrow, _) = credential(&manager, &service, narrow).await;
    let (_, stranger) = caller(&manager, "stranger", Some((Role::ServiceUser, "pay/**"))).await;
    let jti = async |bearer: &str| mint(&manager, bearer, &secret).await.expect(201).member("jti");
    let (own, of_narrow, foreign) = (jti(&bearer).await, jti(&narrow).await, jti(&stranger).await);
    let list = async |bearer: &str, more: &str| {
        let list = manager.with(bearer, Method::GET, &format!("/api/tokens{more}"), None).await.expect(200).json();
        let tokens = list["tokens"].as_array().unwrap().iter();
        tokens.map(|token| token["jti"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(list(&bearer, "").await, std::slice::from_ref(&own));
    assert_eq!(list(&narrow, "").await, std::slice::from_ref(&of_narrow));
    assert_eq!(list(&stranger, "").await, std::slice::from_ref(&foreign));
    let mut all = vec![own.clone(), jti(&bearer).await, jti(&bearer).await];
    all.sort();
    let mut paged = list(&bearer, "?limit=2").await;
    assert_eq!(paged.len(), 2);
    paged.extend(list(&bearer, &format!("?limit=2&after={}", paged[1])).await);
    paged.sort();
    assert_eq!(paged, all);
    let revoke =
        async |bearer: &str, jti: &str| manager.with(bearer, Method::DELETE, &format!("/api/tokens/{jti}"), None).await;
    for unknown in [foreign.as_str(), &of_narrow, "AAAAAAAAAAAAAAAAAAAAAA", "nonsense"] {
        revoke(&bearer, unknown).await.expect(404).refused("token_not_found");
    }
    revoke(&narrow, &own).await.expect(404).refused("token_not_found");
    assert!(installed.vault.applied().is_empty());
    revoke(&bearer, &own).await.expect(200);
    assert_eq!(installed.vault.applied().len(), 1);
    manager.admin(Method::DELETE, &format!("/api/services/{service}/credentials/{id}"), None).await.expect(200);
    revoke(&bearer, &own).await.expect(401);
    manager.stop().await;
}
