//! Services: registered, approved, changed and disabled, by who may and by nobody else.

use actix_web::http::Method;
use futures_util::future::join_all;
use manager_api::id::{AssignmentId, PermissionId};
use manager_api::name::AccountName;
use manager_api::policy::{Action, Effect, PartyId, PatternText, Role};
use manager_registry::{Author, Change, Credential, Kind, Permission, Proof, Record, RoleAssignment, Service, Terms};
use serde_json::{Value, json};
use service_runtime::config::Mode;
use shared_proto::credential::PlainCredential;
use shared_proto::id::{CredentialId, ServiceId, Subject};

use crate::support::{Installed, Manager};

/// Changes the registry as no route does.
pub(crate) async fn put(manager: &Manager, records: Vec<Change>) {
    manager.app.registry.change((Author::Operator, "", 1), None, |_| Ok(records)).await.unwrap();
}

/// A service with a credential, which has this role in a part of the environment `dev`, or nothing.
pub(crate) async fn caller(manager: &Manager, name: &str, role: Option<(Role, &str)>) -> (ServiceId, String) {
    let (id, plain) = (ServiceId::generate(), PlainCredential::generate());
    let hash = manager.app.keys.now().credentials.hash(&plain);
    let subject = Subject::Service(id);
    let mut records: Vec<Change> = vec![
        Service::new(id, AccountName::parse(name).unwrap(), 1).into(),
        Credential::new(CredentialId::generate(), subject, Proof::opaque(hash), 1).into(),
    ];
    if let Some((role, pattern)) = role {
        records.push(
            RoleAssignment {
                assignment_id: AssignmentId::generate(),
                party: PartyId::Principal(subject),
                role,
                environment: Some(manager.environment("dev")),
                pattern: PatternText::parse(pattern).unwrap(),
                terms: Terms::unlimited(1),
            }
            .into(),
        );
    }
    put(manager, records).await;
    (id, plain.expose_text().to_string())
}

/// Lets a service do something in a part of the environment `dev`.
pub(crate) async fn allow(manager: &Manager, service: ServiceId, actions: &[Action], pattern: &str) {
    let permission = Permission {
        permission_id: PermissionId::generate(),
        party: PartyId::Principal(Subject::Service(service)),
        effect: Effect::Allow,
        actions: actions.iter().copied().collect(),
        environment: Some(manager.environment("dev")),
        pattern: PatternText::parse(pattern).unwrap(),
        tags: manager_api::tags::Tags::default(),
        terms: Terms::unlimited(1),
    };
    put(manager, vec![permission.into()]).await;
}

pub(crate) fn needs(name: &str, patterns: &[&str]) -> Value {
    let keys: Vec<Value> = patterns.iter().map(|pattern| json!({"environment": "dev", "pattern": pattern})).collect();
    json!({"name": name, "required_keys": keys})
}

/// Body that approves.
pub(crate) fn all(patterns: &[&str]) -> Value {
    json!({"required_keys": needs("x", patterns)["required_keys"]})
}

/// Registers a service as the administrator.
pub(crate) async fn registered(manager: &Manager, name: &str, patterns: &[&str]) -> String {
    manager.post("/api/services", needs(name, patterns)).await.expect(201).member("service_id")
}

/// Makes a credential as the administrator, and returns its text and id.
pub(crate) async fn credential(manager: &Manager, service: &str, more: Value) -> (String, String) {
    let mut body = json!({"name": "first", "expires_in": "90d"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let made = manager.post(&format!("/api/services/{service}/credentials"), body).await.expect(201);
    (made.member("credential"), made.json()["details"]["credential_id"].as_str().unwrap().to_owned())
}

async fn mints(manager: &Manager, credential: &str, secret: &str) -> u16 {
    let body = json!({"secrets": [{"key_id": secret}]});
    manager.with(credential, Method::POST, "/api/tokens", Some(body)).await.status.as_u16()
}

fn names(list: &Value) -> Vec<String> {
    let services = list["services"].as_array().unwrap();
    services.iter().map(|service| service["name"].as_str().unwrap().to_owned()).collect()
}

#[actix_web::test]
async fn registered_service_reads_nothing_until_what_it_needs_is_approved() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let one = manager.store_value("pay/db", "v").await.expect(201).member("key_id");
    let two = manager.store_value("mail/key", "v").await.expect(201).member("key_id");
    let other = manager.store_value("pay", "v").await.expect(201).member("key_id");
    let service = registered(&manager, "billing", &["pay/**", "mail/key"]).await;
    let (bearer, _) = credential(&manager, &service, json!({})).await;
    assert_eq!((mints(&manager, &bearer, &one).await, mints(&manager, &bearer, &two).await), (404, 404));
    let approve = format!("/api/services/{service}:approve");
    let part = json!({"required_keys": [{"environment": "dev", "pattern": "mail/key"}], "reason": "ticket 7"});
    let approved = manager.post(&approve, part.clone()).await.expect(200).json();
    assert_eq!(approved["permissions"].as_array().unwrap().len(), 1);
    assert_eq!(approved["service"]["approved_at"], Value::Null, "a part is not all");
    assert_eq!((mints(&manager, &bearer, &one).await, mints(&manager, &bearer, &two).await), (404, 201));
    let approved = manager.post(&approve, all(&["pay/**", "mail/key"])).await.expect(200).json();
    assert_eq!(approved["permissions"].as_array().unwrap().len(), 1);
    assert!(approved["service"]["approved_at"].is_u64());
    assert_eq!((mints(&manager, &bearer, &one).await, mints(&manager, &bearer, &other).await), (201, 404));
    let again = manager.post(&approve, all(&["mail/key", "pay/**"])).await.expect(200).json();
    assert_eq!(again["permissions"], json!([]), "what is allowed is not allowed twice");
    let unasked = json!({"required_keys": [{"environment": "dev", "pattern": "**"}]});
    manager.post(&approve, unasked).await.expect(400).refused("parameter_invalid");
    manager.post(&approve, all(&[])).await.expect(400).refused("parameter_invalid");
    manager.stop().await;
}

#[actix_web::test]
async fn administrator_of_a_part_registers_and_approves_in_it_alone() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let (_, team) = caller(&manager, "team-admin", Some((Role::ServiceAdmin, "team/**"))).await;
    let post = async |path: &str, body: Value| manager.with(&team, Method::POST, path, Some(body)).await;
    let own = post("/api/services", needs("own", &["team/a", "team/b/**"])).await.expect(201).member("service_id");
    for wide in [&["team/a", "other"][..], &["**"], &["team"], &["*/a"], &[]] {
        post("/api/services", needs("wide", wide)).await.expect(403).refused("not_permitted");
    }
    // One that does not concern him looks unknown.
    for name in ["nowhere", "staging"] {
        let elsewhere = json!({"name": "x", "required_keys": [{"environment": name, "pattern": "team/a"}]});
        post("/api/services", elsewhere).await.expect(400).refused("name_invalid");
    }
    post(&format!("/api/services/{own}:approve"), all(&["team/b/**", "team/a"])).await.expect(200);
    let patch = format!("/api/services/{own}");
    let wider = json!({"required_keys": [{"environment": "dev", "pattern": "**"}]});
    manager.with(&team, Method::PATCH, &patch, Some(wider.clone())).await.expect(403).refused("not_permitted");
    let changed = manager.admin(Method::PATCH, &patch, Some(wider)).await.expect(200).json();
    assert_eq!(changed["approved_at"], Value::Null, "what it needs now was not approved");
    // Now it needs more than the team's administrator manages.
    manager.with(&team, Method::GET, &patch, None).await.expect(404).refused("service_not_found");
    manager.stop().await;
}

/// Who makes principals in a part, and reads nothing there.
#[actix_web::test]
async fn nobody_approves_enables_or_makes_a_credential_of_what_he_does_not_hold() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let (clerk_id, clerk) = caller(&manager, "clerk", None).await;
    allow(&manager, clerk_id, &[Action::ManageIdentities], "team/**").await;
    let post = async |path: &str, body: Option<Value>| manager.with(&clerk, Method::POST, path, body).await;
    let own = post("/api/services", Some(needs("own", &["team/a"]))).await.expect(201).member("service_id");
    let secret = manager.store_value("team/a", "v").await.expect(201).member("key_id");
    let (approve, disable) = (format!("/api/services/{own}:approve"), format!("/api/services/{own}:disable"));
    post(&approve, Some(all(&["team/a"]))).await.expect(403).refused("not_permitted");
    manager.post(&approve, all(&["team/a"])).await.expect(200);
    let credentials = format!("/api/services/{own}/credentials");
    let body = json!({"name": "n", "expires_in": "1d"});
    post(&credentials, Some(body.clone())).await.expect(403).refused("not_permitted");
    let token = json!({"service_name": "own", "expires_in": "1y"});
    post("/tokens", Some(token)).await.expect(403).refused("not_permitted");
    let (bearer, id) = credential(&manager, &own, json!({})).await;
    post(&format!("{credentials}/{id}:renew"), None).await.expect(403).refused("not_permitted");
    // Taking away hands out nothing.
    post(&disable, None).await.expect(200);
    post(&format!("/api/services/{own}:enable"), None).await.expect(403).refused("not_permitted");
    assert_eq!(mints(&manager, &bearer, &secret).await, 401);
    // The control: with what it gives, he may.
    allow(&manager, clerk_id, &[Action::List, Action::Read], "team/a").await;
    post(&format!("/api/services/{own}:enable"), None).await.expect(200);
    post(&credentials, Some(body)).await.expect(201);
    assert_eq!(mints(&manager, &bearer, &secret).await, 201);
    manager.stop().await;
}

#[actix_web::test]
async fn service_of_others_looks_unknown_and_a_service_sees_itself() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let foreign = registered(&manager, "foreign", &["other/**"]).await;
    let (_, foreign_credential) = credential(&manager, &foreign, json!({})).await;
    let own = registered(&manager, "own", &["team/a"]).await;
    // The environment concerns it then.
    manager.post(&format!("/api/services/{own}:approve"), all(&["team/a"])).await.expect(200);
    let (bearer, _) = credential(&manager, &own, json!({})).await;
    let (_, team) = caller(&manager, "team-admin", Some((Role::ServiceAdmin, "team/**"))).await;
    let (one, credentials) = (format!("/api/services/{foreign}"), format!("/api/services/{foreign}/credentials"));
    let routes = [
        (Method::GET, one.clone(), None),
        (Method::PATCH, one.clone(), Some(json!({"description": "x"}))),
        (Method::POST, format!("{one}:approve"), Some(all(&["other/**"]))),
        (Method::POST, format!("{one}:disable"), None),
        (Method::POST, format!("{one}:enable"), None),
        (Method::GET, format!("{one}/sole-secrets"), None),
        (Method::GET, credentials.clone(), None),
        (Method::POST, credentials.clone(), Some(json!({"name": "n", "expires_in": 60}))),
        (Method::POST, format!("{credentials}/{foreign_credential}:renew"), None),
        (Method::DELETE, format!("{credentials}/{foreign_credential}"), None),
        (Method::POST, "/tokens".to_owned(), Some(json!({"service_name": "foreign", "expires_in": 60}))),
        (Method::POST, "/tokens".to_owned(), Some(json!({"service_name": "unknown", "expires_in": 60}))),
        (Method::GET, "/api/services/svc_AAAAAAAAAAAAAAAAAAAAAA".to_owned(), None),
        (Method::GET, "/api/services/nonsense".to_owned(), None),
    ];
    for (method, path, body) in routes {
        for caller in [&bearer, &team] {
            let answer = manager.with(caller, method.clone(), &path, body.clone()).await;
            answer.expect(404).refused("service_not_found");
        }
    }
    // The credential of another service is not found under one's own.
    let elsewhere = format!("/api/services/{own}/credentials/{foreign_credential}");
    manager.with(&team, Method::DELETE, &elsewhere, None).await.expect(404).refused("credential_not_found");
    let list = async |bearer: &str| manager.with(bearer, Method::GET, "/api/services", None).await.expect(200).json();
    assert_eq!(names(&list(&bearer).await), ["own"]);
    let mut of_team = names(&list(&team).await);
    of_team.sort();
    assert_eq!(of_team, ["own", "team-admin"]);
    assert_eq!(names(&list(&manager.credential).await).len(), 4, "with the administrator and itself");
    // It sees itself, and changes nothing.
    let own = format!("/api/services/{own}");
    manager.with(&bearer, Method::GET, &own, None).await.expect(200);
    manager.with(&bearer, Method::GET, &format!("{own}/credentials"), None).await.expect(200);
    for (method, path, body) in [
        (Method::PATCH, own.clone(), Some(json!({"description": "x"}))),
        (Method::POST, format!("{own}:disable"), None),
        (Method::POST, format!("{own}/credentials"), Some(json!({"name": "n", "expires_in": 60}))),
        (Method::GET, format!("{own}/sole-secrets"), None),
    ] {
        manager.with(&bearer, method, &path, body).await.expect(403).refused("not_permitted");
    }
    manager.stop().await;
}

#[actix_web::test]
async fn disabled_service_has_its_tokens_revoked_and_comes_back() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = manager.store_value("pay/db", "v").await.expect(201).member("key_id");
    let service = registered(&manager, "billing", &["pay/**"]).await;
    manager.post(&format!("/api/services/{service}:approve"), all(&["pay/**"])).await.expect(200);
    let (bearer, _) = credential(&manager, &service, json!({})).await;
    assert_eq!(mints(&manager, &bearer, &secret).await, 201);
    let before = installed.vault.applied().len();
    let disable = format!("/api/services/{service}:disable");
    let done = manager.admin(Method::POST, &disable, None).await.expect(200).json();
    assert_eq!((done["status"].clone(), installed.vault.applied().len()), (json!("revoked"), before + 1));
    assert_eq!(mints(&manager, &bearer, &secret).await, 401);
    let again = manager.admin(Method::POST, &disable, None).await.expect(200).json();
    assert_eq!((&again["sequence"], installed.vault.applied().len()), (&done["sequence"], before + 1));
    let shown = manager.admin(Method::GET, &format!("/api/services/{service}"), None).await.expect(200).json();
    assert!(shown["disabled_at"].is_u64());
    manager.admin(Method::POST, &format!("/api/services/{service}:enable"), None).await.expect(200);
    assert_eq!(mints(&manager, &bearer, &secret).await, 201);
    // One without a credential has nothing to revoke, and that is done at once.
    let empty = registered(&manager, "empty", &[]).await;
    manager.admin(Method::POST, &format!("/api/services/{empty}:disable"), None).await.expect(200);
    let view = manager.app.registry.now().await.unwrap();
    let name = AccountName::parse(Service::ADMINISTRATOR).unwrap();
    let Some(Record::Service(administrator)) = view.state.named(Kind::Service, &name) else { panic!("there is one") };
    let last = format!("/api/services/{}:disable", administrator.service_id);
    manager.admin(Method::POST, &last, None).await.expect(409).refused("last_administrator");
    manager.stop().await;
}

/// What is minted beside the disabling is revoked by it, and nothing is minted after its answer.
#[actix_web::test]
async fn disabling_that_runs_beside_minting_leaves_no_token_alive() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = manager.store_value("pay/db", "v").await.expect(201).member("key_id");
    let service = registered(&manager, "billing", &["pay/**"]).await;
    manager.post(&format!("/api/services/{service}:approve"), all(&["pay/**"])).await.expect(200);
    let (bearer, _) = credential(&manager, &service, json!({})).await;
    let body = json!({"secrets": [{"key_id": secret}]});
    for _ in 0..25 {
        let mint = async || manager.with(&bearer, Method::POST, "/api/tokens", Some(body.clone())).await;
        let beside = join_all((0..4).map(|_| mint()));
        let disable = format!("/api/services/{service}:disable");
        let (minted, done) = futures_util::future::join(beside, manager.admin(Method::POST, &disable, None)).await;
        let number = done.expect(200).json()["sequence"].as_u64().unwrap();
        for token in minted.iter().filter(|answer| answer.status == 201) {
            let rseq = installed.vault.check_token(&token.member("access_token")).terms.rseq;
            assert!(rseq < number, "a token that knows its revocation: {rseq} {number}");
        }
        assert_eq!(mint().await.status, 401);
        manager.admin(Method::POST, &format!("/api/services/{service}:enable"), None).await.expect(200);
    }
    manager.stop().await;
}

#[actix_web::test]
async fn repeated_registration_finds_the_first_one_and_names_are_taken_once() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let bearer = format!("Bearer {}", manager.credential);
    let headers = [("authorization", bearer.as_str()), ("idempotency-key", "k1")];
    let register = async |name: &str| {
        manager.send(Method::POST, "/api/services", &headers, Some(needs(name, &["a"]).to_string())).await
    };
    let first = register("one").await.expect(201).json();
    assert_eq!(register("one").await.expect(201).json(), first);
    register("two").await.expect(422).refused("idempotency_mismatch");
    manager.post("/api/services", needs("one", &[])).await.expect(409).refused("already_exists");
    // Twenty at once make one.
    let all = join_all((0..20).map(|_| manager.post("/api/services", needs("many", &["a"])))).await;
    assert_eq!(all.iter().filter(|answer| answer.status == 201).count(), 1);
    let twice = json!({"name": "x", "required_keys": [
        {"environment": "dev", "pattern": "a"}, {"environment": "dev", "pattern": "a"}]});
    manager.post("/api/services", twice).await.expect(400).refused("parameter_invalid");
    let many: Vec<String> = (0..33).map(|number| format!("p{number}")).collect();
    let many = needs("x", &many.iter().map(String::as_str).collect::<Vec<_>>());
    manager.post("/api/services", many).await.expect(400).refused("parameter_invalid");
    for pattern in ["a//b", "**/b", "a*", ""] {
        manager.post("/api/services", needs("x", &[pattern])).await.expect(400).refused("name_invalid");
    }
    for name in ["One", "one ", "on\u{200b}e", "öne", "-one"] {
        manager.post("/api/services", needs(name, &[])).await.expect(400).refused("name_invalid");
    }
    let nobody = json!({"name": "x", "owner": "grp_AAAAAAAAAAAAAAAAAAAAAA"});
    manager.post("/api/services", nobody).await.expect(400).refused("parameter_invalid");
    manager.stop().await;
}

#[actix_web::test]
async fn list_of_services_pages_over_all_of_them_in_order() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    for name in ["a", "b", "c", "d"] {
        registered(&manager, name, &[]).await;
    }
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let page = manager.admin(Method::GET, &format!("/api/services?limit=2{after}"), None).await.expect(200).json();
        found.extend(names(&page));
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    found.sort();
    assert_eq!(found, ["a", "administrator", "b", "c", "d"]);
    manager.stop().await;
}

#[actix_web::test]
async fn secrets_that_only_an_ending_service_reads_are_listed_to_who_may_list_them() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    for path in ["pay/own", "pay/shared", "other"] {
        manager.store_value(path, "v").await.expect(201);
    }
    let service = registered(&manager, "billing", &["pay/**"]).await;
    manager.post(&format!("/api/services/{service}:approve"), all(&["pay/**"])).await.expect(200);
    let (reader, _) = caller(&manager, "reader", None).await;
    allow(&manager, reader, &[Action::Read], "pay/shared").await;
    let sole = async || {
        let page = manager.admin(Method::GET, &format!("/api/services/{service}/sole-secrets"), None).await;
        let page = page.expect(200).json();
        let secrets = page["secrets"].as_array().unwrap().iter();
        secrets.map(|secret| secret["path"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(sole().await, ["pay/own"]);
    manager.admin(Method::POST, &format!("/api/services/{service}:disable"), None).await.expect(200);
    assert_eq!(sole().await, ["pay/own"], "as it was until then");
    let (clerk_id, clerk) = caller(&manager, "clerk", None).await;
    allow(&manager, clerk_id, &[Action::ManageIdentities], "pay/**").await;
    let path = format!("/api/services/{service}/sole-secrets");
    let page = manager.with(&clerk, Method::GET, &path, None).await.expect(200).json();
    assert_eq!(page["secrets"], json!([]), "who may not list them does not learn of them");
    manager.stop().await;
}
