//! Limits of time, of guesses and of factors.

use std::net::SocketAddr;
use std::sync::Arc;

use actix_web::http::Method;
use manager_api::policy::Role;
use serde_json::json;
use service_runtime::clock::{Clock as _, ManualClock, SystemClock};
use service_runtime::config::Mode;

use crate::people::{give, made};
use crate::support::{Installed, Manager, PASSWORD, Person, add_person, totp, totp_now};

async fn clocked(installed: &Installed) -> (Manager, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(SystemClock.now(), 1_000));
    (installed.start_at(clock.clone()).await, clock)
}

#[actix_web::test]
async fn sensitive_acts_need_a_login_of_the_last_ten_minutes() {
    let installed = Installed::new(Mode::Production).await;
    let (_, code) = add_person(&installed, "ann", Some(Role::SuperAdmin)).await;
    let (manager, clock) = clocked(&installed).await;
    let ann = manager.sign_on_twice("ann", &code).await;
    let (bob, _) = made(&manager, "bob").await;
    let acts = async |person: &Person, name: &str| {
        let renamed = json!({"display_name": name});
        vec![
            person.post(&manager, "/api/people", Some(json!({"name": name}))).await,
            manager.with_bearer(&person.session, Method::PATCH, &format!("/api/people/{bob}"), Some(renamed)).await,
            person.post(&manager, "/api/enrolments", Some(json!({"person_id": bob}))).await,
            person.post(&manager, "/api/me/recovery-codes", None).await,
        ]
    };
    for answer in acts(&ann, "carl").await {
        assert!(answer.status.is_success(), "{}", answer.text);
    }
    clock.advance(601);
    for answer in acts(&ann, "dora").await {
        answer.expect(403).refused("login_required");
    }
    let change = json!({"old_password": PASSWORD, "new_password": "copper lanterns over nine canals"});
    ann.post(&manager, "/api/me/password", Some(change)).await.expect(403).refused("login_required");
    let key = "sec_AAAAAAAAAAAAAAAAAAAAAA";
    let destroy = ann.post(&manager, &format!("/api/keys/{key}/destroy"), Some(json!({"versions": [1]}))).await;
    destroy.expect(404).refused("secret_not_found");
    // To look, and to take one's own leave, needs none.
    ann.get(&manager, "/api/people").await.expect(200);
    let wrong = json!({"password": PASSWORD});
    ann.post(&manager, "/api/sessions:reauthenticate", Some(wrong)).await.expect(401).refused("login_failed");
    let code = totp(&ann.seed, clock.now() / 30);
    let right = json!({"password": PASSWORD, "totp": code});
    ann.post(&manager, "/api/sessions:reauthenticate", Some(right)).await.expect(200);
    for answer in acts(&ann, "dora").await {
        assert!(answer.status.is_success(), "{}", answer.text);
    }
    clock.advance(601);
    ann.delete(&manager, &format!("/api/sessions/{}", ann.session_id)).await.expect(200);
    manager.stop().await;
}

#[actix_web::test]
async fn destruction_needs_a_recent_login_only_of_who_may_destroy() {
    let installed = Installed::new(Mode::Production).await;
    let (_, code) = add_person(&installed, "ann", Some(Role::SuperAdmin)).await;
    let (_, readers) = add_person(&installed, "reader", Some(Role::ServiceUser)).await;
    let (manager, clock) = clocked(&installed).await;
    let stored = manager.store_value("p", "v").await.expect(201).member("key_id");
    let ann = manager.sign_on_twice("ann", &code).await;
    let reader = manager.sign_on("reader", &readers).await;
    clock.advance(601);
    let (path, body) = (format!("/api/keys/{stored}/destroy"), json!({"versions": [1]}));
    ann.post(&manager, &path, Some(body.clone())).await.expect(403).refused("login_required");
    reader.post(&manager, &path, Some(body)).await.expect(404).refused("secret_not_found");
    manager.stop().await;
}

#[actix_web::test]
async fn session_ends_when_it_is_not_used_and_after_twelve_hours_in_any_case() {
    let installed = Installed::new(Mode::Production).await;
    let (_, code) = add_person(&installed, "ann", None).await;
    let (manager, clock) = clocked(&installed).await;
    let used = manager.sign_on("ann", &code).await;
    let idle = Person::of(&manager.login("ann", PASSWORD, None).await.expect(201));
    clock.advance(29 * 60);
    used.get(&manager, "/api/me").await.expect(200);
    clock.advance(2 * 60);
    idle.get(&manager, "/api/me").await.expect(401).refused("credential_invalid");
    for _ in 0..23 {
        used.get(&manager, "/api/me").await.expect(200);
        clock.advance(29 * 60);
    }
    used.get(&manager, "/api/me").await.expect(200);
    clock.advance(23 * 60);
    used.get(&manager, "/api/me").await.expect(401).refused("credential_invalid");
    manager.stop().await;
}

#[actix_web::test]
async fn guesses_are_slowed_and_the_owner_gets_in_from_his_device() {
    let installed = Installed::new(Mode::Production).await;
    let (_, code) = add_person(&installed, "ann", None).await;
    let (manager, clock) = clocked(&installed).await;
    let ann = manager.sign_on("ann", &code).await;
    for _ in 0..6 {
        manager.login("ann", "a wrong password of ann", None).await.expect(401);
    }
    let slowed = manager.login("ann", PASSWORD, None).await.expect(429).refused("rate_limited");
    assert_eq!(slowed.headers.get("retry-after").unwrap(), "1");
    // Nobody else, and not the owner on a device of his.
    manager.login("bob", PASSWORD, None).await.expect(401);
    let mine = json!({"name": "ann", "password": PASSWORD, "device_code": ann.device});
    manager.login_with(mine).await.expect(201);
    let others = json!({"name": "ann", "password": PASSWORD, "device_code": "spd_AAAA"});
    manager.login_with(others).await.expect(429);
    clock.advance(2);
    manager.login("ann", PASSWORD, None).await.expect(201);
    manager.stop().await;
}

#[actix_web::test]
async fn wrong_enrolment_codes_are_slowed_and_keep_no_right_one_out() {
    let installed = Installed::new(Mode::Production).await;
    let (_, code) = add_person(&installed, "ann", None).await;
    let (manager, clock) = clocked(&installed).await;
    let wrong = "spe_AEBAGBAFAYDQQCIKBMGA2DQPCAIREEYU";
    manager.redeem(&code[..40], Some(PASSWORD)).await.expect(400).refused("parameter_invalid");
    let (_, other) = made(&manager, "bob").await;
    let first = manager.admin(Method::GET, "/api/enrolments", None).await.expect(200).json();
    assert_eq!(first["enrolments"].as_array().unwrap().len(), 2);
    manager.redeem(wrong, Some(PASSWORD)).await.expect(400);
    manager.redeem(&other, Some(PASSWORD)).await.expect(200);
    for _ in 0..6 {
        manager.redeem(&other, Some(PASSWORD)).await.expect(401).refused("enrolment_invalid");
    }
    manager.redeem(&other, Some(PASSWORD)).await.expect(429).refused("rate_limited");
    clock.advance(2);
    manager.redeem(&other, Some(PASSWORD)).await.expect(401).refused("enrolment_invalid");
    manager.redeem(&other, Some(PASSWORD)).await.expect(429).refused("rate_limited");
    manager.redeem(&code, Some(PASSWORD)).await.expect(200);
    manager.stop().await;
}

#[actix_web::test]
async fn enrolment_code_ends_after_its_minutes_and_counts_for_its_address_alone() {
    let installed = Installed::new(Mode::Production).await;
    let (manager, clock) = clocked(&installed).await;
    let person = manager.post("/api/people", json!({"name": "ann"})).await.expect(201).member("person_id");
    for minutes in [0, 61] {
        let body = json!({"person_id": person, "minutes": minutes});
        manager.post("/api/enrolments", body).await.expect(400).refused("parameter_invalid");
    }
    let nowhere = json!({"person_id": person, "address": "::"});
    manager.post("/api/enrolments", nowhere).await.expect(400).refused("parameter_invalid");
    let from = async |peer: Option<&str>, code: &str| {
        let peer = peer.map(|peer| SocketAddr::new(peer.parse().unwrap(), 4711));
        let body = json!({"code": code, "password": PASSWORD}).to_string();
        manager.send_from(peer, Method::POST, "/api/enrolments:redeem", &[], Some(body)).await
    };
    let own = json!({"person_id": person, "minutes": 1, "address": "192.0.2.1"});
    let code = manager.post("/api/enrolments", own.clone()).await.expect(201).member("enrolment_code");
    for elsewhere in [None, Some("192.0.2.2"), Some("::1")] {
        from(elsewhere, &code).await.expect(401).refused("enrolment_invalid");
    }
    // Of the wall alone: maintenance counts by the other clock, and removes nothing yet.
    clock.set_now(clock.now() + 60);
    from(Some("192.0.2.1"), &code).await.expect(401).refused("enrolment_invalid");
    let code = manager.post("/api/enrolments", own).await.expect(201).member("enrolment_code");
    clock.set_now(clock.now() + 59);
    from(Some("::ffff:192.0.2.1"), &code).await.expect(200);
    for body in [json!({}), json!({"person_id": person, "credential_name": "x"})] {
        manager.post("/api/enrolments", body).await.expect(400).refused("parameter_invalid");
    }
    manager.stop().await;
}

#[actix_web::test]
async fn people_read_in_an_environment_that_asks_for_two_factors_with_two_factors_only() {
    let installed = Installed::new(Mode::Production).await;
    let (_, code) = add_person(&installed, "ann", Some(Role::ServiceUser)).await;
    let manager = installed.start().await;
    let stored = manager.store_value("p", "v").await.expect(201).member("key_id");
    let ann = manager.sign_on("ann", &code).await;
    let mint = json!({"secrets": [{"key_id": stored}]});
    ann.post(&manager, "/api/tokens", Some(mint.clone())).await.expect(201);
    let asked = json!({"require_mfa": true});
    let changed = manager.admin(Method::PATCH, "/api/environments/dev", Some(asked)).await.expect(200).json();
    assert_eq!(changed["require_mfa"], true);
    ann.post(&manager, "/api/tokens", Some(mint.clone())).await.expect(403).refused("mfa_required");
    let unknown = json!({"secrets": [{"key_id": "sec_AAAAAAAAAAAAAAAAAAAAAA"}]});
    ann.post(&manager, "/api/tokens", Some(unknown)).await.expect(404).refused("secret_not_found");
    manager.post("/api/tokens", mint.clone()).await.expect(201);
    ann.get(&manager, "/api/secrets").await.expect(200);
    let seed = ann.post(&manager, "/api/me/totp", None).await.expect(200).member("secret");
    let shown = json!({"code": totp_now(&seed, 0)});
    ann.post(&manager, "/api/me/totp:confirm", Some(shown)).await.expect(200);
    ann.post(&manager, "/api/tokens", Some(mint.clone())).await.expect(201);
    ann.delete(&manager, "/api/me/totp").await.expect(200);
    ann.post(&manager, "/api/tokens", Some(mint.clone())).await.expect(403).refused("mfa_required");
    // Also after a restart, and whatever the table of environments says.
    manager.stop().await;
    let manager = installed.start().await;
    ann.post(&manager, "/api/tokens", Some(mint)).await.expect(403).refused("mfa_required");
    manager.stop().await;
}

/// He would read with the credential that he makes for a service.
#[actix_web::test]
async fn somebody_with_one_factor_gives_nothing_that_reads_while_two_are_asked_for() {
    let installed = Installed::new(Mode::Production).await;
    let (id, code) = add_person(&installed, "ann", None).await;
    let manager = installed.start().await;
    let line = json!({
        "party": id.to_string(), "role": "service_admin", "environment": "dev", "pattern": "shop/**", "reason": "test",
    });
    manager.post("/api/roles", line).await.expect(201);
    let ann = manager.sign_on("ann", &code).await;
    let needs = json!([{"environment": "dev", "pattern": "shop/**"}]);
    let register = async |name: &str| {
        let body = json!({"name": name, "required_keys": needs});
        ann.post(&manager, "/api/services", Some(body)).await.expect(201).member("service_id")
    };
    let (known, other) = (register("known").await, register("other").await);
    let credential = || Some(json!({"name": "c", "expires_in": "1d"}));
    let made = ann.post(&manager, &format!("/api/services/{known}/credentials"), credential()).await.expect(201).json();
    let made = made["details"]["credential_id"].as_str().unwrap().to_owned();
    let asked = json!({"require_mfa": true});
    manager.admin(Method::PATCH, "/api/environments/dev", Some(asked)).await.expect(200);
    for (path, body) in [
        (format!("/api/services/{known}:approve"), Some(json!({"required_keys": needs, "reason": "test"}))),
        (format!("/api/services/{known}/credentials"), credential()),
        (format!("/api/services/{known}/credentials/{made}:renew"), None),
    ] {
        ann.post(&manager, &path, body).await.expect(403).refused("mfa_required");
    }
    // Taking away is for everybody who may.
    ann.delete(&manager, &format!("/api/services/{known}/credentials/{made}")).await.expect(200);
    ann.post(&manager, &format!("/api/services/{other}:disable"), None).await.expect(200);
    register("third").await;
    manager.stop().await;
}

#[actix_web::test]
async fn somebody_who_becomes_an_administrator_needs_an_authenticator_in_his_living_session_too() {
    let installed = Installed::new(Mode::Production).await;
    let (id, code) = add_person(&installed, "ann", Some(Role::Auditor)).await;
    let manager = installed.start().await;
    let ann = manager.sign_on("ann", &code).await;
    ann.get(&manager, "/api/tokens").await.expect(200);
    give(&manager, id, Role::SuperAdmin).await;
    ann.get(&manager, "/api/tokens").await.expect(403).refused("mfa_required");
    ann.post(&manager, "/api/people", Some(json!({"name": "x"}))).await.expect(403).refused("mfa_required");
    manager.stop().await;
}

#[actix_web::test]
async fn last_administrator_may_be_a_person_who_can_log_in() {
    let installed = Installed::new(Mode::Production).await;
    let (id, code) = add_person(&installed, "ann", Some(Role::SuperAdmin)).await;
    let manager = installed.start().await;
    let service = crate::authentication::administrators_credential(&manager).await;
    assert!(service.is_null(), "no token was made");
    let view = manager.app.registry.now().await.unwrap();
    let known = view.state.credentials().find(|known| known.name.is_none() && known.proof.hmac().is_some()).unwrap();
    let disable = json!({"kind": "disable-credential", "client_id": known.credential_id});
    // She has only a code: nobody could log in.
    manager.post("/api/revocations", disable.clone()).await.expect(409).refused("last_administrator");
    let ann = manager.sign_on_twice("ann", &code).await;
    ann.post(&manager, "/api/revocations", Some(disable)).await.expect(200);
    ann.post(&manager, &format!("/api/people/{id}:disable"), None).await.expect(409).refused("last_administrator");
    manager.stop().await;
}
