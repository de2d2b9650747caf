//! People: from the first one, over login and authenticator, to the end of an account.

use std::sync::Arc;

use actix_web::http::Method;
use futures_util::future::join_all;
use manager_api::id::AssignmentId;
use manager_api::policy::{PartyId, PatternText, Role};
use manager_registry::{Proof, RoleAssignment, Terms};
use master_key_manager::init::policy;
use serde_json::{Value, json};
use service_runtime::clock::{Clock as _, ManualClock, SystemClock};
use service_runtime::config::Mode;
use shared_proto::event::Event;
use shared_proto::id::{PersonId, Subject};

use crate::support::{Installed, Manager, PASSWORD, Person, add_person, totp_now, until};

/// Gives a person a role for everything, as an operator.
pub(crate) async fn give(manager: &Manager, id: PersonId, role: Role) {
    manager.put(vec![everything(id, role).into()]).await;
}

/// A role of a person in the whole installation.
pub(crate) fn everything(id: PersonId, role: Role) -> RoleAssignment {
    RoleAssignment {
        assignment_id: AssignmentId::generate(),
        party: PartyId::Principal(Subject::Person(id)),
        role,
        environment: None,
        pattern: PatternText::parse("**").unwrap(),
        terms: Terms::unlimited(1),
    }
}

/// Makes a person as the administrator, with a code.
pub(crate) async fn made(manager: &Manager, name: &str) -> (PersonId, String) {
    let person = manager.post("/api/people", json!({"name": name})).await.expect(201).member("person_id");
    let code = manager.post("/api/enrolments", json!({"person_id": person})).await.expect(201).member("enrolment_code");
    (person.parse().unwrap(), code)
}

fn sessions_of(list: &Value) -> Vec<String> {
    let sessions = list["sessions"].as_array().unwrap();
    sessions.iter().map(|session| session["session_id"].as_str().unwrap().to_owned()).collect()
}

#[actix_web::test]
async fn first_person_begins_with_a_code_and_manages_nothing_before_an_authenticator_is_set_up() {
    let installed = Installed::new(Mode::Production).await;
    let (id, code) = add_person(&installed, "ann", Some(Role::SuperAdmin)).await;
    let manager = installed.start().await;
    manager.redeem(&code, None).await.expect(400).refused("parameter_invalid");
    manager.redeem(&code, Some("ann12345")).await.expect(400).refused("parameter_invalid");
    let redeemed = manager.redeem(&code, Some(PASSWORD)).await.expect(200);
    assert_eq!((redeemed.member("subject"), redeemed.member("name")), (id.to_string(), "ann".to_owned()));
    manager.redeem(&code, Some(PASSWORD)).await.expect(401).refused("enrolment_invalid");
    let login = manager.login("ann", PASSWORD, None).await.expect(201);
    assert!(login.json()["must_enrol_totp"] == true && login.json()["mfa"] == false);
    let mut ann = Person::of(&login);
    let me = ann.get(&manager, "/api/me").await.expect(200).json();
    assert!(me["vault_url"].as_str().is_some_and(|url| url.starts_with("http://127.0.0.1:")), "{me}");
    assert_eq!((&me["principal"], &me["login"]["must_enrol_totp"]), (&json!(id), &json!(true)));
    for (method, path) in [
        (Method::GET, "/api/people"),
        (Method::GET, "/api/tokens"),
        (Method::GET, "/api/secrets"),
        (Method::POST, "/api/me/recovery-codes"),
        (Method::DELETE, "/api/me/totp"),
    ] {
        manager.with_bearer(&ann.session, method, path, None).await.expect(403).refused("mfa_required");
    }
    let early = ann.post(&manager, "/api/me/totp:confirm", Some(json!({"code": "000000"}))).await;
    early.expect(400).refused("parameter_invalid");
    ann.seed = ann.post(&manager, "/api/me/totp", None).await.expect(200).member("secret");
    let wrong = ann.post(&manager, "/api/me/totp:confirm", Some(json!({"code": "00000x"}))).await;
    wrong.expect(401).refused("login_failed");
    let right = json!({"code": totp_now(&ann.seed, 0)});
    let codes = ann.post(&manager, "/api/me/totp:confirm", Some(right)).await.expect(200).json();
    assert_eq!(codes["recovery_codes"].as_array().unwrap().len(), 10);
    ann.get(&manager, "/api/people").await.expect(200);
    ann.delete(&manager, "/api/me/totp").await.expect(403).refused("mfa_required");
    // From now on a password alone is not enough.
    manager.login("ann", PASSWORD, None).await.expect(401).refused("login_failed");
    let again = manager.login("ann", PASSWORD, Some(&totp_now(&ann.seed, 1))).await.expect(201);
    assert!(again.json()["must_enrol_totp"] == false && again.json()["mfa"] == true);
    let me = Person::of(&again).get(&manager, "/api/me").await.expect(200).json();
    assert_eq!(me["roles"][0]["role"], "super_admin");
    ann.delete(&manager, &format!("/api/sessions/{}", ann.session_id)).await.expect(200);
    ann.get(&manager, "/api/me").await.expect(401).refused("credential_invalid");
    manager.stop().await;
}

#[actix_web::test]
async fn whatever_is_wrong_with_a_login_has_one_answer() {
    let installed = Installed::new(Mode::Production).await;
    let (_, code) = add_person(&installed, "ann", None).await;
    add_person(&installed, "new", None).await;
    let manager = installed.start().await;
    let ann = manager.sign_on_twice("ann", &code).await;
    let fresh = totp_now(&ann.seed, 1);
    let (bob, bobs) = made(&manager, "bob").await;
    manager.sign_on("bob", &bobs).await;
    manager.post(&format!("/api/people/{bob}:disable"), json!({})).await.expect(200);
    let recovery = json!({"name": "ann", "password": PASSWORD, "recovery_code": "AAAAA-AAAAA-AAAAA-AAAAA"});
    let both = json!({"name": "ann", "password": PASSWORD, "totp": "000000", "recovery_code": ann.recovery[0]});
    let answers = [
        manager.login("nobody", PASSWORD, None).await,
        manager.login("new", PASSWORD, None).await,
        manager.login("bob", PASSWORD, None).await,
        manager.login("ann", "lamps under seventeen rivulets", Some(&fresh)).await,
        manager.login("ann", "", Some(&fresh)).await,
        manager.login("ann", PASSWORD, None).await,
        manager.login("nobody", &"x".repeat(600), None).await,
        manager.login_with(recovery).await,
    ];
    let mut texts: Vec<(u16, Value)> = Vec::new();
    for answer in answers {
        let mut problem = answer.json();
        problem["request_id"] = json!("");
        texts.push((answer.status.as_u16(), problem));
    }
    assert_eq!(texts[0].0, 401);
    assert!(texts.iter().all(|text| *text == texts[0]), "{texts:?}");
    assert_eq!(texts[0].1["code"], "login_failed");
    // The control, with the device code that keeps the failures of others apart.
    let mut good = json!({"name": "ann", "password": PASSWORD, "totp": fresh, "device_code": ann.device});
    manager.login_with(good.clone()).await.expect(201);
    good["totp"] = json!("000000");
    manager.login_with(good).await.expect(401);
    assert_eq!(manager.login_with(both).await.code(), "login_failed");
    manager.stop().await;
}

#[actix_web::test]
async fn code_for_a_service_that_is_redeemed_200_times_at_once_gives_one_credential() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let view = manager.app.registry.now().await.unwrap();
    let service = view.state.services().next().unwrap().service_id;
    let end = SystemClock.now() + 3_600;
    let body = json!({"service_id": service, "credential_name": "laptop", "credential_expires_at": end, "minutes": 60});
    let made = manager.post("/api/enrolments", body).await.expect(201);
    assert!(made.member("url").starts_with("http://127.0.0.1") && made.json().get("ca_sha256").is_none());
    let code = made.member("enrolment_code");
    let answers = join_all((0..200).map(|_| manager.redeem(&code, None))).await;
    let good: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
    assert_eq!(good.len(), 1);
    let refused = |code: &str| answers.iter().filter(|answer| answer.code() == code).count();
    assert_eq!(refused("enrolment_invalid") + refused("rate_limited"), 199);
    let credential = good[0].member("credential");
    let me = manager.with_bearer(&credential, Method::GET, "/api/me", None).await.expect(200).json();
    assert_eq!((&me["client_id"], &me["expires_at"]), (&good[0].json()["client_id"], &json!(end)));
    manager.stop().await;
}

#[actix_web::test]
async fn code_of_a_person_that_is_redeemed_many_times_at_once_sets_one_password() {
    let installed = Installed::new(Mode::Production).await;
    let (_, code) = add_person(&installed, "ann", None).await;
    let manager = installed.start().await;
    let passwords: Vec<String> = (0..40).map(|number| format!("{PASSWORD} {number}")).collect();
    let answers = join_all(passwords.iter().map(|password| manager.redeem(&code, Some(password)))).await;
    let good: Vec<_> = (0..40).filter(|at| answers[*at].status == 200).collect();
    assert_eq!(good.len(), 1);
    manager.login("ann", &passwords[good[0]], None).await.expect(201);
    manager.stop().await;
}

#[actix_web::test]
async fn one_time_code_and_recovery_code_let_in_once_also_at_once_and_after_a_restart() {
    let installed = Installed::new(Mode::Production).await;
    let (_, code) = add_person(&installed, "ann", None).await;
    let manager = installed.start().await;
    let ann = manager.sign_on_twice("ann", &code).await;
    let shown = totp_now(&ann.seed, 1);
    let by_totp = json!({"name": "ann", "password": PASSWORD, "totp": shown, "device_code": ann.device});
    let by_recovery =
        json!({"name": "ann", "password": PASSWORD, "recovery_code": ann.recovery[3], "device_code": ann.device});
    for body in [&by_totp, &by_recovery] {
        let answers = join_all((0..5).map(|_| manager.login_with(body.clone()))).await;
        let good = answers.iter().filter(|answer| answer.status == 201).count();
        assert_eq!(good, 1, "{:?}", answers.iter().map(|answer| answer.text.clone()).collect::<Vec<_>>());
    }
    manager.stop().await;
    let manager = installed.start().await;
    for body in [by_totp, by_recovery] {
        manager.login_with(body).await.expect(401).refused("login_failed");
    }
    let other = json!({"name": "ann", "password": PASSWORD, "recovery_code": ann.recovery[4]});
    manager.login_with(other).await.expect(201);
    let me = ann.get(&manager, "/api/me").await.expect(200).json();
    assert_eq!(me["login"]["recovery_codes"], 8);
    let renewed = ann.post(&manager, "/api/me/recovery-codes", None).await.expect(200).json();
    assert_eq!(renewed["recovery_codes"].as_array().unwrap().len(), 10);
    let old = json!({"name": "ann", "password": PASSWORD, "recovery_code": ann.recovery[5]});
    manager.login_with(old).await.expect(401);
    manager.stop().await;
}

#[actix_web::test]
async fn twenty_sessions_live_at_once_and_one_more_ends_the_oldest() {
    let installed = Installed::new(Mode::Production).await;
    let (_, code) = add_person(&installed, "ann", None).await;
    let clock = Arc::new(ManualClock::new(SystemClock.now(), 1));
    let manager = installed.start_at(clock.clone()).await;
    let first = manager.sign_on("ann", &code).await;
    let mut last = None;
    for _ in 0..20 {
        clock.advance(1);
        last = Some(Person::of(&manager.login("ann", PASSWORD, None).await.expect(201)));
    }
    let last = last.unwrap();
    let list = last.get(&manager, "/api/sessions").await.expect(200).json();
    let ids = sessions_of(&list);
    assert!(ids.len() == 20 && ids.contains(&last.session_id) && !ids.contains(&first.session_id));
    let current = list["sessions"].as_array().unwrap().iter().filter(|session| session["current"] == true);
    assert_eq!(current.map(|session| session["session_id"].clone()).collect::<Vec<_>>(), [json!(last.session_id)]);
    first.get(&manager, "/api/me").await.expect(401);
    manager.stop().await;
}

#[actix_web::test]
async fn changed_password_ends_other_sessions_and_revokes_their_tokens() {
    let installed = Installed::new(Mode::Production).await;
    let (_, code) = add_person(&installed, "ann", Some(Role::SuperAdmin)).await;
    let manager = installed.start().await;
    let ann = manager.sign_on_twice("ann", &code).await;
    let login = manager.login("ann", PASSWORD, Some(&totp_now(&ann.seed, 1))).await.expect(201);
    let stolen = Person::of(&login);
    let body = json!({"user_id": "u", "key_data": "v", "path": "p", "environment": "dev"});
    stolen.post(&manager, "/api/keys", Some(body)).await.expect(201);
    let new = "copper lanterns over nine canals";
    let wrong = json!({"old_password": "lamps under eighteen rivers", "new_password": new});
    ann.post(&manager, "/api/me/password", Some(wrong)).await.expect(401).refused("login_failed");
    let weak = json!({"old_password": PASSWORD, "new_password": "password1234567"});
    ann.post(&manager, "/api/me/password", Some(weak)).await.expect(400).refused("parameter_invalid");
    stolen.get(&manager, "/api/me").await.expect(200);
    let right = json!({"old_password": PASSWORD, "new_password": new});
    ann.post(&manager, "/api/me/password", Some(right)).await.expect(200);
    stolen.get(&manager, "/api/me").await.expect(401);
    ann.get(&manager, "/api/me").await.expect(200);
    // All of the session, whatever the database says that was minted.
    assert_eq!(installed.vault.applied(), [Event::Credential(stolen.session_id.parse().unwrap())]);
    manager.login("ann", PASSWORD, Some(&totp_now(&ann.seed, 1))).await.expect(401);
    let by_code = json!({"name": "ann", "password": new, "recovery_code": ann.recovery[0]});
    manager.login_with(by_code).await.expect(201);
    manager.stop().await;
}

#[actix_web::test]
async fn disabled_person_is_out_at_once_and_an_enabled_one_has_to_log_in_again() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let (id, code) = made(&manager, "bob").await;
    let bob = manager.sign_on("bob", &code).await;
    bob.get(&manager, "/api/me").await.expect(200);
    let (eve, eves_code) = made(&manager, "eve").await;
    manager.post(&format!("/api/people/{id}:disable"), json!({})).await.expect(200);
    manager.post(&format!("/api/people/{eve}:disable"), json!({})).await.expect(200);
    bob.get(&manager, "/api/me").await.expect(401);
    manager.login("bob", PASSWORD, None).await.expect(401).refused("login_failed");
    manager.redeem(&eves_code, Some(PASSWORD)).await.expect(401).refused("enrolment_invalid");
    let enabled = manager.post(&format!("/api/people/{id}:enable"), json!({})).await.expect(200);
    assert!(enabled.json().get("disabled_at").is_none());
    bob.get(&manager, "/api/me").await.expect(401);
    manager.login("bob", PASSWORD, None).await.expect(201);
    let change = json!({"display_name": "Bob", "email": "bob@example.com"});
    let changed = manager.admin(Method::PATCH, &format!("/api/people/{id}"), Some(change)).await.expect(200);
    assert_eq!((changed.member("display_name"), changed.member("email")), ("Bob".into(), "bob@example.com".into()));
    let unknown = PersonId::generate();
    manager.post(&format!("/api/people/{unknown}:disable"), json!({})).await.expect(404).refused("person_not_found");
    manager.stop().await;
}

#[actix_web::test]
async fn nobody_enrols_or_resets_somebody_who_may_more_than_himself_or_himself() {
    let installed = Installed::new(Mode::Production).await;
    let (boss, bosses_code) = add_person(&installed, "boss", Some(Role::SuperAdmin)).await;
    let (helper, code) = add_person(&installed, "helper", None).await;
    let manager = installed.start().await;
    give(&manager, helper, Role::ServiceAdmin).await;
    let me = manager.sign_on_twice("helper", &code).await;
    let (bob, _) = made(&manager, "bob").await;
    let enrol = |person: PersonId| json!({"person_id": person});
    me.post(&manager, "/api/enrolments", Some(enrol(boss))).await.expect(403).refused("not_permitted");
    me.post(&manager, &format!("/api/people/{boss}:reset"), None).await.expect(403).refused("not_permitted");
    me.post(&manager, &format!("/api/people/{helper}:reset"), None).await.expect(403).refused("not_permitted");
    manager.redeem(&bosses_code, Some(PASSWORD)).await.expect(200);
    let made = me.post(&manager, "/api/enrolments", Some(enrol(bob))).await.expect(201);
    // Bob rises before the code is redeemed: whoever made it does not rise with him.
    give(&manager, bob, Role::SuperAdmin).await;
    manager.redeem(&made.member("enrolment_code"), Some(PASSWORD)).await.expect(401).refused("enrolment_invalid");
    manager.stop().await;
}

#[actix_web::test]
async fn code_ends_with_the_one_who_made_it() {
    let installed = Installed::new(Mode::Production).await;
    let (helper, code) = add_person(&installed, "helper", None).await;
    let manager = installed.start().await;
    give(&manager, helper, Role::ServiceAdmin).await;
    let me = manager.sign_on_twice("helper", &code).await;
    let person = me.post(&manager, "/api/people", Some(json!({"name": "bob"}))).await.expect(201).member("person_id");
    let made = me.post(&manager, "/api/enrolments", Some(json!({"person_id": person}))).await.expect(201);
    manager.post(&format!("/api/people/{helper}:disable"), json!({})).await.expect(200);
    manager.redeem(&made.member("enrolment_code"), Some(PASSWORD)).await.expect(401).refused("enrolment_invalid");
    assert_eq!(manager.admin(Method::GET, "/api/enrolments", None).await.json()["enrolments"], json!([]));
    manager.stop().await;
}

#[actix_web::test]
async fn reset_takes_password_authenticator_and_sessions_and_gives_a_code() {
    let installed = Installed::new(Mode::Production).await;
    let (id, code) = add_person(&installed, "ann", None).await;
    let manager = installed.start().await;
    let ann = manager.sign_on_twice("ann", &code).await;
    let taken = manager.post("/api/enrolments", json!({"person_id": id})).await;
    taken.expect(409).refused("already_exists");
    let reset = manager.post(&format!("/api/people/{id}:reset"), json!({})).await.expect(201);
    ann.get(&manager, "/api/me").await.expect(401);
    manager.login("ann", PASSWORD, Some(&totp_now(&ann.seed, 1))).await.expect(401);
    let person = manager.admin(Method::GET, &format!("/api/people/{id}"), None).await.expect(200).json();
    assert!(person["totp"] == false && person.get("password_changed_at").is_none());
    manager.redeem(&reset.member("enrolment_code"), Some("copper lanterns over nine canals")).await.expect(200);
    manager.login("ann", PASSWORD, None).await.expect(401);
    manager.login("ann", "copper lanterns over nine canals", None).await.expect(201);
    manager.stop().await;
}

/// The password is hashed while the account is reset or disabled.
#[actix_web::test]
async fn login_that_is_under_way_when_its_account_is_reset_or_disabled_lets_nobody_in() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let mut overtaken = 0;
    for (number, verb) in ["reset", "disable", "reset", "disable"].into_iter().enumerate() {
        let name = format!("ann-{number}");
        let (id, code) = made(&manager, &name).await;
        manager.redeem(&code, Some(PASSWORD)).await.expect(200);
        let path = format!("/api/people/{id}:{verb}");
        let (login, ended) = futures_util::join!(manager.login(&name, PASSWORD, None), manager.post(&path, json!({})));
        assert!(ended.status.is_success(), "{}", ended.text);
        if login.status == 201 {
            Person::of(&login).get(&manager, "/api/me").await.expect(401);
        } else {
            overtaken += 1;
            login.expect(401).refused("login_failed");
        }
    }
    assert!(overtaken > 0, "no login was under way");
    manager.stop().await;
}

#[actix_web::test]
async fn repeat_of_a_creation_finds_the_person_and_a_repeat_of_a_code_its_id() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let bearer = format!("Bearer {}", manager.credential);
    let headers = [("authorization", bearer.as_str()), ("idempotency-key", "k")];
    let body = json!({"name": "ann"}).to_string();
    let mut ids = Vec::new();
    for _ in 0..2 {
        let made = manager.send(Method::POST, "/api/people", &headers, Some(body.clone())).await;
        ids.push(made.expect(201).member("person_id"));
    }
    assert_eq!(ids[0], ids[1]);
    let other = manager.post("/api/people", json!({"name": "ann"})).await.expect(409).refused("already_exists");
    assert_eq!(other.member("id"), ids[0]);
    let enrol = json!({"person_id": ids[0]}).to_string();
    let first = manager.send(Method::POST, "/api/enrolments", &headers, Some(enrol.clone())).await.expect(201);
    let again = manager.send(Method::POST, "/api/enrolments", &headers, Some(enrol)).await;
    assert_eq!(again.expect(409).refused("already_exists").member("id"), first.member("enrolment_id"));
    let path = format!("/api/enrolments/{}", first.member("enrolment_id"));
    manager.admin(Method::DELETE, &path, None).await.expect(200);
    manager.redeem(&first.member("enrolment_code"), Some(PASSWORD)).await.expect(401).refused("enrolment_invalid");
    manager.stop().await;
}

#[actix_web::test]
async fn owner_sees_and_ends_his_sessions_and_nobody_elses() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let (ann_id, code) = made(&manager, "ann").await;
    let ann = manager.sign_on("ann", &code).await;
    let (_, code) = made(&manager, "bob").await;
    let bob = manager.sign_on("bob", &code).await;
    bob.get(&manager, &format!("/api/sessions?person={ann_id}")).await.expect(403).refused("not_permitted");
    let path = format!("/api/sessions/{}", ann.session_id);
    bob.delete(&manager, &path).await.expect(403).refused("not_permitted");
    bob.delete(&manager, "/api/sessions/crd_AAAAAAAAAAAAAAAAAAAAAA").await.expect(403).refused("not_permitted");
    ann.get(&manager, "/api/me").await.expect(200);
    let seen = manager.admin(Method::GET, &format!("/api/sessions?person={ann_id}"), None).await.expect(200).json();
    assert_eq!(sessions_of(&seen), std::slice::from_ref(&ann.session_id));
    manager.admin(Method::DELETE, &path, None).await.expect(200);
    ann.get(&manager, "/api/me").await.expect(401);
    let view = manager.app.registry.now().await.unwrap();
    let of_sessions = view.state.credentials().filter(|known| matches!(known.proof, Proof::Session { .. }));
    assert_eq!(of_sessions.count(), 1, "an ended session leaves no record");
    manager.stop().await;
}

#[actix_web::test]
async fn restored_database_that_is_confirmed_brings_no_session_code_or_recovery_code_back() {
    let installed = Installed::new(Mode::Production).await;
    let (_, code) = add_person(&installed, "ann", None).await;
    let manager = installed.start().await;
    let ann = manager.sign_on_twice("ann", &code).await;
    let (_, bobs_code) = made(&manager, "bob").await;
    let old = installed.file("../old.db");
    service_runtime::sqlite::backup(&installed.config.database(), &old).unwrap();
    ann.delete(&manager, &format!("/api/sessions/{}", ann.session_id)).await.expect(200);
    manager.redeem(&bobs_code, Some(PASSWORD)).await.expect(200);
    manager.stop().await;
    std::fs::copy(&old, installed.config.database()).unwrap();
    let shown = policy(&installed.config, None).await.unwrap();
    policy(&installed.config, Some(shown.split_whitespace().next_back().unwrap())).await.unwrap();
    let manager = installed.start().await;
    ann.get(&manager, "/api/me").await.expect(401);
    manager.redeem(&bobs_code, Some(PASSWORD)).await.expect(401).refused("enrolment_invalid");
    let recovery = json!({"name": "ann", "password": PASSWORD, "recovery_code": ann.recovery[0]});
    manager.login_with(recovery).await.expect(401);
    manager.login("ann", PASSWORD, Some(&totp_now(&ann.seed, 1))).await.expect(201);
    manager.stop().await;
}

#[actix_web::test]
async fn sign_on_key_is_made_for_an_older_folder_and_never_made_anew_while_there_are_people() {
    let installed = Installed::new(Mode::Production).await;
    let key = installed.file("sign-on.key");
    std::fs::remove_file(&key).unwrap();
    let manager = installed.start().await;
    assert!(key.exists());
    made(&manager, "ann").await;
    manager.stop().await;
    let kept = std::fs::read(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    let refused = installed.start_refused().await;
    assert!(refused.contains("sign-on.key") && refused.contains("backup"), "{refused}");
    assert!(!key.exists());
    service_runtime::files::create_private(&key, &kept).unwrap();
    installed.start().await.stop().await;
}

#[actix_web::test]
async fn nothing_of_a_person_that_signs_on_lies_in_database_log_or_key_folder() {
    let installed = Installed::new(Mode::Production).await;
    let (_, code) = add_person(&installed, "ann", None).await;
    let manager = installed.start().await;
    let ann = manager.sign_on_twice("ann", &code).await;
    let (_, open) = made(&manager, "bob").await;
    manager.login("ann", "a wrong password of ann", Some("123456")).await.expect(401);
    let mut secrets = vec![PASSWORD.to_owned(), "a wrong password of ann".to_owned(), code, open];
    secrets.extend([ann.session.clone(), ann.seed.clone(), ann.device.clone()]);
    secrets.extend(ann.recovery.clone());
    manager.stop().await;
    let raw = installed.config.get();
    let mut searched = 0;
    for folder in [&raw.data_dir, &raw.key_dir] {
        for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file())
        {
            let bytes = std::fs::read(&entry).unwrap();
            searched += bytes.len();
            for secret in &secrets {
                let part = &secret.as_bytes()[4..];
                let found = bytes.windows(part.len()).any(|window| window == part);
                assert!(!found, "{} in {}", secret, entry.display());
            }
        }
    }
    assert!(searched > 100_000, "{searched}");
}

#[actix_web::test]
async fn ended_sessions_and_codes_leave_the_registry() {
    let installed = Installed::new(Mode::Production).await;
    let (_, code) = add_person(&installed, "ann", None).await;
    let clock = Arc::new(ManualClock::new(SystemClock.now(), 1));
    let manager = installed.start_at(clock.clone()).await;
    let ann = manager.sign_on("ann", &code).await;
    made(&manager, "bob").await;
    let records = async || {
        let view = manager.app.registry.now().await.unwrap();
        let sessions = view.state.credentials().filter(|known| known.proof.login().is_some()).count();
        (sessions, view.state.enrolments().count())
    };
    assert_eq!(records().await, (1, 1));
    clock.advance(16 * 60);
    until("the code is gone", async || records().await == (1, 0)).await;
    clock.advance(16 * 60);
    until("the idle session is gone", async || records().await == (0, 0)).await;
    ann.get(&manager, "/api/me").await.expect(401);
    manager.stop().await;
}
