//! Endings of sessions and people, raced with what is done in them; and what must not outlive its right.

use std::collections::{BTreeMap, BTreeSet};

use actix_web::http::Method;
use futures_util::future::{join, join_all};
use manager_api::policy::Role;
use manager_registry::{Author, Change, Entry, RecordName};
use manager_store::RegistryStore as _;
use serde_json::{Value, json};
use service_runtime::config::Mode;
use shared_proto::event::Event;
use shared_proto::id::{CredentialId, PersonId};
use tokio::sync::oneshot;

use crate::people::{give, made};
use crate::support::{
    Answer, Facts, Installed, Manager, PASSWORD, Person, account, add_person, guarded_routes, now, until,
};

/// Somebody with a session, made in the registry itself: passwords take long.
struct Racer {
    person: PersonId,
    session: CredentialId,
    bearer: String,
}

impl Racer {
    fn new(manager: &Manager, name: &str) -> (Self, [Change; 2]) {
        let account = account(name);
        let (person, (bearer, record)) = (account.person_id, manager.session_of(account.person_id));
        (Self { person, session: record.credential_id, bearer }, [account.into(), record.into()])
    }
}

async fn act(manager: &Manager, racer: &Racer, number: usize, secret: &str) -> Answer {
    let (path, body) = if number.is_multiple_of(2) {
        ("/api/tokens", json!({"secrets": [{"key_id": secret}]}))
    } else {
        let folder = format!("late-{number}/**");
        ("/api/permissions", crate::support::permission(&racer.person.to_string(), "deny", &["list"], &folder))
    };
    manager.with_bearer(&racer.bearer, Method::POST, path, Some(body)).await
}

async fn end(manager: &Manager, racer: &Racer, number: usize) -> Answer {
    match number / 10 % 3 {
        0 => manager.admin(Method::DELETE, &format!("/api/sessions/{}", racer.session), None).await,
        1 => manager.post(&format!("/api/people/{}:disable", racer.person), json!({})).await,
        _ => {
            let path = format!("/api/sessions/{}", racer.session);
            manager.with_bearer(&racer.bearer, Method::DELETE, &path, None).await
        }
    }
}

/// Both at once, but for a few of which one comes after the other.
async fn race(
    manager: &Manager,
    number: usize,
    act: impl Future<Output = Answer>,
    end: impl Future<Output = Answer>,
) -> [Answer; 2] {
    match number % 10 {
        0 | 1 => [act.await, end.await],
        2 | 3 => {
            let end = end.await;
            [act.await, end]
        }
        turns => {
            // A token is quicker than an end, and a change of policy is slower, because its line comes first.
            let (before_act, before_end) = if number.is_multiple_of(2) { (turns, 0) } else { (0, 4 * turns) };
            let (act, end) = join(after(manager, before_act, act), after(manager, before_end, end)).await;
            [act, end]
        }
    }
}

async fn after(manager: &Manager, turns: usize, answer: impl Future<Output = Answer>) -> Answer {
    for _ in 0..turns {
        manager.store.registry_number().await.unwrap();
    }
    answer.await
}

/// 500 times somebody mints or changes policy while his session is ended or he is disabled. In the log nothing of a session comes
/// after its end, and a token that was minted before it is revoked with it.
#[actix_web::test]
async fn nothing_is_done_in_a_session_after_its_end_and_its_tokens_end_with_it() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = manager.store_value("p", "v").await.expect(201).member("key_id");
    let (mut minted, mut done, mut refused, mut ended) = (BTreeMap::new(), 0, 0, BTreeSet::new());
    for batch in 0..25 {
        let made: Vec<_> = (0..20).map(|one| Racer::new(&manager, &format!("racer-{batch}-{one}"))).collect();
        let (racers, records): (Vec<Racer>, Vec<[Change; 2]>) = made.into_iter().unzip();
        let mut changes: Vec<Change> = records.into_iter().flatten().collect();
        let lines: Vec<_> =
            racers.iter().map(|racer| crate::people::everything(racer.person, Role::SuperAdmin)).collect();
        changes.extend(lines.iter().cloned().map(Change::from));
        manager.put(changes).await;
        let races = racers.iter().enumerate().map(|(one, racer)| {
            let number = batch * 20 + one;
            race(&manager, number, act(&manager, racer, number, &secret), end(&manager, racer, number))
        });
        for (racer, [act, end]) in racers.iter().zip(join_all(races).await) {
            assert!(matches!(end.status.as_u16(), 200 | 202), "{}", end.text);
            ended.insert(racer.session);
            match act.status.as_u16() {
                201 if act.json().get("jti").is_some() => drop(minted.insert(act.member("jti"), racer.session)),
                200..=202 => done += 1,
                401 => refused += 1,
                _ => panic!("{} {}", act.status, act.text),
            }
        }
        // So that the next ones are not slower.
        let gone = lines.iter().map(|line| RecordName::from(line.assignment_id));
        let gone = gone.chain(racers.iter().map(|racer| RecordName::from(racer.person)));
        manager.put(gone.map(Change::from).collect()).await;
    }
    assert!(minted.len() >= 50 && done >= 50 && refused >= 100, "{} {done} {refused}", minted.len());
    let log = manager.store.registry(0).await.unwrap().log;
    let mut over = BTreeSet::new();
    for written in log {
        let entry: Entry = serde_json::from_str(&written.text).unwrap();
        if let Author::Caller { credential, .. } = entry.author {
            assert!(!over.contains(&credential), "entry {} comes after the end of its session", entry.number);
        }
        let removed = entry.changes.iter().filter(|change| change.after.is_none());
        over.extend(removed.filter_map(|change| change.name.id.parse::<CredentialId>().ok()));
    }
    assert!(ended.is_subset(&over));
    until("the tokens are revoked at the vault", async || {
        let revoked = installed.vault.applied();
        minted.iter().all(|(token, session): (&String, &CredentialId)| {
            let token = Event::Token(token.parse().unwrap());
            revoked.contains(&token) || revoked.contains(&Event::Credential(*session))
        })
    })
    .await;
    manager.stop().await;
}

/// The end is in the database, and nobody has heard of it: who is still let in by what is in memory does nothing any more.
#[actix_web::test]
async fn token_between_the_commit_of_an_end_and_its_answer_is_refused() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = manager.store_value("p", "v").await.expect(201).member("key_id");
    for number in 0..3 {
        let (racer, [account, session]) = Racer::new(&manager, &format!("racer-{number}"));
        let line = crate::people::everything(racer.person, Role::SuperAdmin);
        manager.put(vec![account, session, line.into()]).await;
        act(&manager, &racer, 0, &secret).await.expect(201);
        let (committed, is_committed) = oneshot::channel();
        let (resume, resumed) = oneshot::channel();
        manager.faults.after_calls("change_registry", 1, move || async move {
            committed.send(()).unwrap();
            resumed.await.unwrap();
        });
        let late = async {
            is_committed.await.unwrap();
            let late = act(&manager, &racer, 0, &secret).await;
            resume.send(()).unwrap();
            late
        };
        let (ended, late) = join(end(&manager, &racer, 10 * number), late).await;
        assert!(matches!(ended.status.as_u16(), 200 | 202), "{}", ended.text);
        late.expect(401).refused("credential_invalid");
        act(&manager, &racer, 1, &secret).await.expect(401).refused("credential_invalid");
    }
    manager.stop().await;
}

/// A session that became an administrator's without an authenticator does nothing on any route, also where no permit is asked for.
#[actix_web::test]
async fn session_that_needs_an_authenticator_first_does_nothing_else_on_any_route() {
    let installed = Installed::new(Mode::Production).await;
    let (id, code) = add_person(&installed, "ann", None).await;
    let manager = installed.start().await;
    let facts = Facts::new(&installed, &manager).await;
    let ann = manager.sign_on("ann", &code).await;
    give(&manager, id, Role::SuperAdmin).await;
    let mut open = Vec::new();
    for route in guarded_routes() {
        let request = facts.request(route).unwrap();
        let answer = manager.with_bearer(&ann.session, request.method, &request.target, request.body).await;
        if answer.code() != "mfa_required" {
            open.push(route.id);
        }
    }
    open.sort_unstable();
    // The session that the request of the last one but one ends is somebody else's: that needs a permit.
    assert_eq!(open, ["me.show", "session.reauthenticate", "totp.confirm", "totp.offer"]);
    ann.delete(&manager, &format!("/api/sessions/{}", ann.session_id)).await.expect(200);
    manager.stop().await;
}

/// Somebody makes a code in a session or with a credential that is not his. When that is taken from him, the code counts no more.
#[actix_web::test]
async fn code_ends_with_the_session_or_credential_that_it_was_made_with() {
    let installed = Installed::new(Mode::Production).await;
    let (boss, code) = add_person(&installed, "boss", Some(Role::SuperAdmin)).await;
    let manager = installed.start().await;
    let owner = manager.sign_on_twice("boss", &code).await;
    let login = json!({"name": "boss", "password": PASSWORD, "recovery_code": owner.recovery[0]});
    let thief = Person::of(&manager.login_with(login.clone()).await.expect(201));
    let person =
        async |name: &str| manager.post("/api/people", json!({"name": name})).await.expect(201).member("person_id");
    let enrol = async |who: &Person, name: &str| {
        let body = json!({"person_id": person(name).await, "minutes": 60});
        who.post(&manager, "/api/enrolments", Some(body)).await.expect(201).member("enrolment_code")
    };
    let [stolen, own] = [enrol(&thief, "bob").await, enrol(&owner, "carl").await];
    owner.delete(&manager, &format!("/api/sessions/{}", thief.session_id)).await.expect(200);
    manager.redeem(&stolen, Some(PASSWORD)).await.expect(401).refused("enrolment_invalid");
    // Who takes his own leave has handed it over.
    owner.delete(&manager, &format!("/api/sessions/{}", owner.session_id)).await.expect(200);
    manager.redeem(&own, Some(PASSWORD)).await.expect(200);
    // A session that an administrator disables in the way of credentials, and a service.
    let mut again = login;
    again["recovery_code"] = json!(owner.recovery[1]);
    let thief = Person::of(&manager.login_with(again).await.expect(201));
    let stolen = enrol(&thief, "dora").await;
    let disable = json!({"kind": "disable-credential", "client_id": thief.session_id});
    manager.post("/api/revocations", disable).await.expect(200);
    manager.app.people.remove_ended().await.unwrap();
    manager.redeem(&stolen, Some(PASSWORD)).await.expect(401).refused("enrolment_invalid");
    let helper = manager.service("helper").await;
    let line = json!({"party": helper.id(), "role": "super_admin", "pattern": "**", "reason": "test"});
    manager.post("/api/roles", line).await.expect(201);
    let body = json!({"person_id": person("emil").await, "minutes": 60});
    let made = manager.by(&helper, Method::POST, "/api/enrolments", Some(body)).await.expect(201);
    let disable = json!({"kind": "disable-credential", "client_id": helper.credential});
    manager.post("/api/revocations", disable).await.expect(200);
    manager.redeem(&made.member("enrolment_code"), Some(PASSWORD)).await.expect(401).refused("enrolment_invalid");
    assert!(!boss.to_string().is_empty());
    manager.stop().await;
}

/// What was minted after a login with one factor ends when an environment asks for two; what was with two, or by a service, stays.
#[actix_web::test]
async fn tokens_of_one_factor_end_when_an_environment_asks_for_two() {
    let installed = Installed::new(Mode::Production).await;
    let (_, anns) = add_person(&installed, "ann", Some(Role::ServiceUser)).await;
    let (_, bobs) = add_person(&installed, "bob", Some(Role::ServiceUser)).await;
    let manager = installed.start().await;
    let stored = manager.store_value("p", "v").await.expect(201).member("key_id");
    let (ann, bob) = (manager.sign_on("ann", &anns).await, manager.sign_on_twice("bob", &bobs).await);
    let mint = json!({"secrets": [{"key_id": stored}]});
    ann.post(&manager, "/api/tokens", Some(mint.clone())).await.expect(201);
    bob.post(&manager, "/api/tokens", Some(mint.clone())).await.expect(201);
    manager.post("/api/tokens", mint.clone()).await.expect(201);
    let ask = async |asked: bool| {
        let body = json!({"require_mfa": asked});
        manager.admin(Method::PATCH, "/api/environments/dev", Some(body)).await.expect(200);
    };
    ask(true).await;
    let expected = [Event::Credential(ann.session_id.parse().unwrap())];
    until("the token is revoked at the vault", async || installed.vault.applied() == expected).await;
    // The session itself stays, for all that needs one factor.
    ann.get(&manager, "/api/secrets").await.expect(200);
    ask(true).await;
    ask(false).await;
    assert_eq!(installed.vault.applied(), expected, "what asks for nothing more revokes nothing");
    manager.stop().await;
}

/// What somebody may do through a group counts as his own does.
#[actix_web::test]
async fn nobody_enrols_resets_or_enables_somebody_who_may_more_through_a_group() {
    let installed = Installed::new(Mode::Production).await;
    let (helper, code) = add_person(&installed, "helper", None).await;
    let manager = installed.start().await;
    give(&manager, helper, Role::ServiceAdmin).await;
    let me = manager.sign_on_twice("helper", &code).await;
    let (bob, _) = made(&manager, "bob").await;
    let group = manager.group("operators").await;
    let member = json!({"principals": [bob]});
    manager.post(&format!("/api/groups/{group}/members"), member).await.expect(200);
    let line = json!({"party": group, "role": "operator", "pattern": "**", "reason": "test"});
    manager.post("/api/roles", line).await.expect(201);
    let enrol = json!({"person_id": bob});
    let code = manager.post("/api/enrolments", enrol.clone()).await.expect(201).member("enrolment_code");
    me.post(&manager, "/api/enrolments", Some(enrol)).await.expect(403).refused("not_permitted");
    me.post(&manager, &format!("/api/people/{bob}:reset"), None).await.expect(403).refused("not_permitted");
    manager.post(&format!("/api/people/{bob}:disable"), json!({})).await.expect(200);
    me.post(&manager, &format!("/api/people/{bob}:enable"), None).await.expect(403).refused("not_permitted");
    manager.redeem(&code, Some(PASSWORD)).await.expect(401).refused("enrolment_invalid");
    manager.stop().await;
}

/// Names that look like one that is taken are none: nobody is made with them, and nobody logs in with them.
#[actix_web::test]
async fn twins_of_an_account_are_refused_and_let_nobody_in() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let (_, code) = made(&manager, "root").await;
    manager.sign_on("root", &code).await;
    for twin in [
        "Root",
        "ROOT",
        "r\u{43e}ot",
        "root\u{200b}",
        "\u{feff}root",
        "ro\u{ad}ot",
        " root",
        "root ",
        "root\0",
        "ｒoot",
        "root\n",
        "",
    ] {
        manager.post("/api/people", json!({"name": twin})).await.expect(400);
        manager.login(twin, PASSWORD, None).await.expect(400);
    }
    // One that begins alike is another one.
    made(&manager, "root-admin").await;
    manager.login("root-admin", PASSWORD, None).await.expect(401).refused("login_failed");
    manager.login("root", PASSWORD, None).await.expect(201);
    manager.stop().await;
}

/// Whoever knows the password writes no entry of the registry for each request, and keeps nobody else out.
#[actix_web::test]
async fn acts_of_one_session_have_a_pace() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let (_, code) = made(&manager, "ann").await;
    let ann = manager.sign_on("ann", &code).await;
    for _ in 0..30 {
        ann.post(&manager, "/api/me/totp", None).await.expect(200);
    }
    let refused = ann.post(&manager, "/api/me/totp", None).await.expect(429).refused("rate_limited");
    assert!(refused.headers.contains_key("retry-after"));
    // The owner logs in all the same, and ends the other session.
    let owner = Person::of(&manager.login("ann", PASSWORD, None).await.expect(201));
    owner.delete(&manager, &format!("/api/sessions/{}", ann.session_id)).await.expect(200);
    ann.get(&manager, "/api/me").await.expect(401);
    manager.stop().await;
}

/// A code gives a service no third credential, and is still good when there is room.
#[actix_web::test]
async fn code_for_a_service_keeps_to_two_credentials_at_once() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let id = manager.post("/api/services", json!({"name": "billing"})).await.expect(201).member("service_id");
    let path = format!("/api/services/{id}/credentials");
    for name in ["first", "second"] {
        manager.post(&path, json!({"name": name, "expires_in": "90d"})).await.expect(201);
    }
    let body = json!({"service_id": id, "credential_expires_at": now() + 60});
    let code = manager.post("/api/enrolments", body).await.expect(201).member("enrolment_code");
    manager.redeem(&code, None).await.expect(409).refused("too_many_credentials");
    let list: Value = manager.admin(Method::GET, &path, None).await.expect(200).json();
    let first = list["credentials"][0]["credential_id"].as_str().unwrap();
    manager.admin(Method::DELETE, &format!("{path}/{first}"), None).await.expect(200);
    manager.redeem(&code, None).await.expect(200);
    manager.redeem(&code, None).await.expect(401).refused("enrolment_invalid");
    manager.stop().await;
}
