//! Taking anything away revokes in the same transaction; giving revokes nothing; what ends by itself mints nothing.

use actix_web::http::Method;
use futures_util::future::join_all;
use manager_api::tokens::{SecretTarget, Stage, WantedSecret, WantedVersion};
use master_key_manager::access::Caller;
use master_key_manager::issuer::MintRequest;
use serde_json::{Value, json};
use service_runtime::audit::Origin;
use service_runtime::config::Mode;
use shared_proto::error::ErrorCode;
use shared_proto::event::Event;

use crate::support::{Feed, Installed, Manager, Principal, now, permission, until};

/// A service and a group that both may read `app/**` in `dev`, and a secret there.
struct Team {
    installed: Installed,
    manager: Manager,
    billing: Principal,
    group: String,
    secret: String,
}

impl Team {
    async fn new() -> Self {
        let installed = Installed::new(Mode::Production).await;
        let manager = installed.start().await;
        let billing = manager.service("billing").await;
        let group = manager.group("team").await;
        let secret = manager.store_value("app/db", "v").await.expect(201).member("key_id");
        Self { installed, manager, billing, group, secret }
    }

    fn revoked(&self) -> Vec<Event> {
        self.installed.vault.applied()
    }

    async fn delete(&self, path: String) -> Value {
        let answer = self.manager.admin(Method::DELETE, &path, None).await.expect(200).json();
        assert_eq!(answer["status"], "revoked");
        answer
    }
}

/// Each way to take the right to read away, with what makes it and what takes it.
#[actix_web::test]
async fn what_takes_a_right_away_revokes_the_tokens_of_those_who_lose_it() {
    let team = Team::new().await;
    let (manager, billing) = (&team.manager, &team.billing);
    let bystander = manager.service("bystander").await;
    manager.assign(&bystander.id(), "service_user", "app/**").await;
    let mut expected = Vec::new();
    for way in ["permission", "role", "member", "deny", "deny the group", "disable"] {
        let allow = manager.permit(&team.group, "allow", &["read"], "app/**").await;
        manager.join(&team.group, billing).await;
        let own = match way {
            "permission" => Some(manager.permit(&billing.id(), "allow", &["read"], "app/db").await),
            "role" => Some(manager.assign(&billing.id(), "service_user", "app/**").await),
            _ => None,
        };
        assert!(manager.mints(billing, &team.secret).await, "{way}");
        assert_eq!(team.revoked(), expected, "{way}: giving revokes nothing");
        let answer = match (way, own) {
            ("permission", Some(id)) => team.delete(format!("/api/permissions/{id}")).await,
            ("role", Some(id)) => team.delete(format!("/api/roles/{id}")).await,
            ("member", _) => team.delete(format!("/api/groups/{}/members/{}", team.group, billing.id())).await,
            ("deny", _) => {
                let body = permission(&billing.id(), "deny", &["read"], "app/db");
                manager.post("/api/permissions", body).await.expect(201).json()
            }
            ("deny the group", _) => {
                let body = permission(&team.group, "deny", &["read"], "app/**");
                manager.post("/api/permissions", body).await.expect(201).json()
            }
            _ => {
                manager.disable(billing).await;
                json!({})
            }
        };
        expected.push(Event::Credential(billing.credential));
        until(way, async || team.revoked() == expected).await;
        if let Some(numbers) = answer["sequences"].as_array() {
            assert_eq!(numbers.len(), 1, "{way}");
        }
        // Everything is undone for the next way; taking it away revokes once more where somebody loses it.
        if way == "deny" || way == "deny the group" {
            manager
                .admin(Method::DELETE, &format!("/api/permissions/{}", answer["permission_id"].as_str().unwrap()), None)
                .await
                .expect(200);
        }
        if way == "disable" {
            break;
        }
        if way != "member" {
            team.delete(format!("/api/groups/{}/members/{}", team.group, billing.id())).await;
            expected.push(Event::Credential(billing.credential));
        }
        let gone = team.delete(format!("/api/permissions/{allow}")).await;
        assert_eq!(gone["sequences"], json!([]), "{way}: nobody is in the group");
        assert_eq!(team.revoked(), expected, "{way}");
    }
    assert!(manager.mints(&bystander, &team.secret).await);
    team.manager.stop().await;
}

#[actix_web::test]
async fn widening_and_what_is_not_about_reading_revoke_nothing() {
    let team = Team::new().await;
    let (manager, billing) = (&team.manager, &team.billing);
    manager.permit(&billing.id(), "allow", &["read"], "app/db").await;
    manager.permit(&billing.id(), "allow", &["read", "write"], "app/**").await;
    manager.permit(&billing.id(), "deny", &["write"], "app/**").await;
    let role = manager.assign(&billing.id(), "publisher", "app/**").await;
    team.delete(format!("/api/roles/{role}")).await;
    manager.join(&team.group, billing).await;
    team.delete(format!("/api/groups/{}/members/{}", team.group, billing.id())).await;
    assert_eq!(team.revoked(), []);
    assert!(manager.mints(billing, &team.secret).await);
    team.manager.stop().await;
}

/// The permission goes between the authentication of a mint and its transaction, which decides.
#[actix_web::test]
async fn a_mint_that_raced_the_end_of_its_permission_gets_nothing() {
    let team = Team::new().await;
    let (manager, billing) = (&team.manager, &team.billing);
    let line = manager.permit(&billing.id(), "allow", &["read"], "app/**").await;
    let view = manager.app.registry.now().await.unwrap();
    let actor = view.state.actor(billing.credential, now()).unwrap();
    let caller = Caller::new(actor, &view, now());
    let mint = async || {
        let target = SecretTarget::Id(team.secret.parse().unwrap());
        let secrets = vec![WantedSecret { target, version: WantedVersion::Stage(Stage::Current) }];
        let request = MintRequest { secrets, label: None, life: None };
        manager.app.secret_writer.mint.mint(request, &caller, &Origin::background()).await
    };
    assert!(mint().await.is_ok(), "the control");
    let minted = manager.admin(Method::GET, "/api/tokens", None).await.expect(200).text;
    team.delete(format!("/api/permissions/{line}")).await;
    let refusal = mint().await.err().map(|refusal| refusal.code());
    assert_eq!(refusal, Some(ErrorCode::CredentialInvalid));
    let count = |tokens: &str| tokens.matches(&billing.credential.to_string()).count();
    let tokens = manager.admin(Method::GET, "/api/tokens", None).await.expect(200).text;
    assert_eq!(count(&tokens), count(&minted), "{tokens}");
    assert!(!manager.mints(billing, &team.secret).await);
    team.manager.stop().await;
}

/// Every token that was given out before the removal carries a number below that of the revocation, or was revoked by it.
#[actix_web::test]
async fn of_two_hundred_mints_at_once_with_a_removal_none_comes_after_it() {
    let team = Team::new().await;
    let (manager, billing) = (&team.manager, &team.billing);
    let line = manager.permit(&billing.id(), "allow", &["read"], "app/**").await;
    let body = json!({"secrets": [{"key_id": team.secret}]});
    let mint = || manager.by(billing, Method::POST, "/api/tokens", Some(body.clone()));
    let removal = async {
        let removed = manager.admin(Method::DELETE, &format!("/api/permissions/{line}"), None).await.expect(200);
        (removed, mint().await.status.as_u16())
    };
    let (before, (removed, after)) = tokio::join!(join_all((0..200).map(|_| mint())), removal);
    assert_eq!(after, 404, "after the answer nothing is minted");
    assert_eq!(removed.json()["sequences"].as_array().unwrap().len(), 1);
    for answer in &before {
        assert!(matches!(answer.status.as_u16(), 201 | 401 | 404), "{}", answer.text);
    }
    assert_eq!(team.revoked(), [Event::Credential(billing.credential)]);
    team.manager.stop().await;
}

#[actix_web::test]
async fn a_token_never_outlives_the_permission_that_it_rests_on() {
    let team = Team::new().await;
    let (manager, billing) = (&team.manager, &team.billing);
    let end = now() + 60;
    let mut limited = permission(&billing.id(), "allow", &["read"], "app/**");
    limited["ends_at"] = json!(end);
    manager.post("/api/permissions", limited).await.expect(201);
    let body = json!({"secrets": [{"key_id": team.secret}], "life_seconds": 900});
    let minted = manager.by(billing, Method::POST, "/api/tokens", Some(body)).await.expect(201).json();
    assert!(minted["expires_at"].as_u64().unwrap() <= end, "{minted}");
    team.manager.stop().await;
}

/// Nothing is changed and nothing is revoked: time alone decides.
#[actix_web::test]
async fn a_permission_that_has_ended_or_not_begun_mints_nothing() {
    let team = Team::new().await;
    let (manager, billing) = (&team.manager, &team.billing);
    let mut late = permission(&billing.id(), "allow", &["read"], "app/**");
    late["starts_at"] = json!(now() + 1_000);
    manager.post("/api/permissions", late).await.expect(201);
    assert!(!manager.mints(billing, &team.secret).await);
    let mut limited = permission(&billing.id(), "allow", &["read"], "app/**");
    limited["ends_at"] = json!(now() + 2);
    manager.post("/api/permissions", limited).await.expect(201);
    until("it has ended", async || !manager.mints(billing, &team.secret).await).await;
    assert_eq!(team.revoked(), []);
    team.manager.stop().await;
}

#[actix_web::test]
async fn a_folder_is_shared_with_engineers_who_read_and_a_publisher_who_writes() {
    let team = Team::new().await;
    let manager = &team.manager;
    let (ada, robot, other) =
        (manager.person("ada").await, manager.service("robot").await, manager.service("other").await);
    manager.assign(&team.group, "service_user", "app/**").await;
    manager.join(&team.group, &ada).await;
    manager.assign(&robot.id(), "publisher", "app/**").await;
    let store = async |who: &Principal, path: &str| {
        let body = json!({"user_id": "u", "key_data": "x", "path": path, "environment": "dev", "token": false});
        manager.by(who, Method::POST, "/api/keys", Some(body)).await.status.as_u16()
    };
    assert_eq!(
        [store(&ada, "app/new").await, store(&robot, "app/new").await, store(&robot, "ap").await],
        [404, 201, 404]
    );
    assert_eq!([manager.mints(&ada, &team.secret).await, manager.mints(&robot, &team.secret).await], [true, false]);
    assert!(!manager.mints(&other, &team.secret).await);
    let paths = async |who: &Principal| {
        let list = manager.by(who, Method::GET, "/api/secrets", None).await.expect(200).json();
        let mut paths: Vec<String> =
            list["secrets"].as_array().unwrap().iter().map(|row| row["path"].as_str().unwrap().to_owned()).collect();
        paths.sort();
        paths
    };
    manager.store_value("apps/hidden", "v").await.expect(201);
    assert_eq!(paths(&ada).await, ["app/db", "app/new"]);
    assert_eq!(paths(&robot).await, ["app/db", "app/new"]);
    assert_eq!(paths(&other).await, [""; 0]);
    team.manager.stop().await;
}

#[actix_web::test]
async fn without_an_audit_log_rights_are_taken_away_and_none_are_given() {
    let team = Team::new().await;
    let (manager, billing) = (&team.manager, &team.billing);
    let line = manager.permit(&billing.id(), "allow", &["read"], "app/**").await;
    let role = manager.assign(&billing.id(), "service_user", "app/**").await;
    let denial = manager.permit(&billing.id(), "deny", &["read"], "other/**").await;
    manager.join(&team.group, billing).await;
    manager.app.gate.audit.flush_and_close().await;
    let gives = [
        (Method::POST, "/api/permissions".to_owned(), Some(permission(&billing.id(), "allow", &["read"], "x"))),
        (Method::POST, "/api/groups".to_owned(), Some(json!({"name": "late"}))),
        (Method::DELETE, format!("/api/permissions/{denial}"), None),
        (Method::GET, "/api/permissions".to_owned(), None),
        (Method::GET, "/api/policy/versions".to_owned(), None),
        (Method::POST, "/api/permissions:who-can".to_owned(), Some(json!({"target": {"key_id": team.secret}}))),
    ];
    let before = manager.app.registry.now().await.unwrap().state.number();
    for (method, path, body) in gives {
        manager.admin(method, &path, body).await.expect(503).refused("audit_unavailable");
    }
    assert_eq!(manager.app.registry.now().await.unwrap().state.number(), before);
    team.delete(format!("/api/permissions/{line}")).await;
    team.delete(format!("/api/roles/{role}")).await;
    team.delete(format!("/api/groups/{}/members/{}", team.group, billing.id())).await;
    let body = permission(&billing.id(), "deny", &["read"], "app/**");
    manager.post("/api/permissions", body).await.expect(201);
    assert_eq!(team.revoked(), [Event::Credential(billing.credential); 4]);
    team.manager.stop().await;
}

/// The manager refuses at once; the vault gets the revocation when it is there again.
#[actix_web::test]
async fn what_is_taken_away_while_the_vault_is_away_is_pending_and_comes_later() {
    let team = Team::new().await;
    let (manager, billing) = (&team.manager, &team.billing);
    let line = manager.permit(&billing.id(), "allow", &["read"], "app/**").await;
    assert!(manager.mints(billing, &team.secret).await);
    team.installed.vault.state().feed = Feed::Garble;
    until("the manager notices", async || manager.get("/health/ready").await.status == 503).await;
    let removed = manager.admin(Method::DELETE, &format!("/api/permissions/{line}"), None).await.expect(202).json();
    assert_eq!(removed["status"], "pending");
    let body = json!({"secrets": [{"key_id": team.secret}]});
    let refused = manager.by(billing, Method::POST, "/api/tokens", Some(body)).await.status.as_u16();
    assert!(matches!(refused, 404 | 503), "{refused}");
    team.installed.vault.state().feed = Feed::Honest;
    until("it comes", async || team.revoked() == [Event::Credential(billing.credential)]).await;
    assert!(!manager.mints(billing, &team.secret).await);
    team.manager.stop().await;
}
