//! Secrets that are read after an approval only.

use actix_web::http::Method;
use manager_api::id::ApprovalId;
use manager_registry::Approval;
use rusqlite::Connection;
use serde_json::{Value, json};
use service_runtime::config::Mode;
use shared_proto::event::Event;
use shared_proto::id::{SecretId, Subject};

use crate::support::{Answer, Installed, Manager, Principal, now};

pub(crate) struct Guarded {
    pub(crate) installed: Installed,
    pub(crate) manager: Manager,
    pub(crate) secret: String,
    pub(crate) reader: Principal,
    pub(crate) approver: Principal,
}

impl Guarded {
    pub(crate) async fn new() -> Self {
        let installed = Installed::new(Mode::Production).await;
        let manager = installed.start().await;
        let secret = manager.store_value("app/db", "v").await.expect(201).member("key_id");
        let (reader, approver) = (manager.service("reader").await, manager.service("approver").await);
        manager.permit(&reader.id(), "allow", &["read"], "app/**").await;
        manager.permit(&approver.id(), "allow", &["read", "approve"], "app/**").await;
        assert!(manager.mints(&reader, &secret).await, "the control: it needs no approval yet");
        let guarded = Self { installed, manager, secret, reader, approver };
        guarded.guard(true).await.expect(200);
        guarded
    }

    async fn guard(&self, requires_approval: bool) -> Answer {
        let body = Some(json!({"requires_approval": requires_approval}));
        self.manager.admin(Method::PATCH, &format!("/api/secrets/{}", self.secret), body).await
    }

    pub(crate) async fn mint(&self, who: &Principal, life: Option<u64>) -> Answer {
        let mut body = json!({"secrets": [{"key_id": self.secret}]});
        if let Some(life) = life {
            body["life_seconds"] = json!(life);
        }
        self.manager.by(who, Method::POST, "/api/tokens", Some(body)).await
    }

    pub(crate) async fn ask(&self, who: &Principal, seconds: u64) -> Answer {
        let body = json!({"key_id": self.secret, "seconds": seconds, "reason": "a call at night"});
        self.manager.by(who, Method::POST, "/api/approvals", Some(body)).await
    }

    pub(crate) async fn decide(&self, who: &Principal, id: &str, verb: &str) -> Answer {
        self.manager.by(who, Method::POST, &format!("/api/approvals/{id}:{verb}"), None).await
    }

    fn revoked(&self) -> usize {
        let secret: SecretId = self.secret.parse().unwrap();
        self.installed.vault.applied().into_iter().filter(|event| *event == Event::Secret(secret)).count()
    }

    /// Runs statements on the database, which is read again.
    fn plant(&self, statements: &str) {
        Connection::open(self.installed.config.database()).unwrap().execute_batch(statements).unwrap();
        self.manager.app.registry.forget();
    }
}

#[actix_web::test]
async fn a_token_is_for_whoever_was_approved_and_for_as_long() {
    let all = Guarded::new().await;
    assert_eq!(all.revoked(), 1, "tokens of before were made without an approval");
    for who in [&all.reader, &all.approver] {
        all.mint(who, None).await.expect(403).refused("approval_required");
    }
    all.manager.mint(&all.secret).await.expect(403).refused("approval_required");
    let stored = all.manager.store_value("app/db", "w").await.expect(201).json();
    assert!(stored["token"].is_null() && stored["access_token"].is_null(), "a write is no way around it: {stored}");
    all.ask(&all.reader, 59).await.expect(400).refused("parameter_invalid");
    all.ask(&all.reader, 86_401).await.expect(400).refused("parameter_invalid");
    let stranger = all.manager.service("stranger").await;
    all.ask(&stranger, 60).await.expect(404).refused("secret_not_found");

    let asked = all.ask(&all.reader, 60).await.expect(202);
    let id = asked.member("approval_id");
    assert_eq!((asked.member("state"), asked.member("act")), ("open".to_owned(), "read".to_owned()));
    all.mint(&all.reader, None).await.expect(403).refused("approval_required");
    all.decide(&all.reader, &id, "approve").await.expect(403).refused("not_permitted");
    let approved = all.decide(&all.approver, &id, "approve").await.expect(200).json();
    let until = approved["in_force_until"].as_u64().unwrap();
    assert!(approved["state"] == "approved" && until <= now() + 60);
    let minted = all.mint(&all.reader, Some(900)).await.expect(201).json();
    assert!(minted["expires_at"].as_u64().is_none_or(|end| end <= until), "{minted}");
    let claims = all.installed.vault.check_token(minted["access_token"].as_str().unwrap());
    assert!(claims.terms.expires_at <= until, "it ends with the approval");
    all.mint(&all.approver, None).await.expect(403).refused("approval_required");
    let by_path = json!({"secrets": [{"environment": "dev", "path": "app/db"}]});
    all.manager.by(&all.reader, Method::POST, "/api/tokens", Some(by_path)).await.expect(201);
    // Of another credential of his, too.
    let other = all.manager.another_credential(&all.reader, |_| {}).await;
    all.mint(&other, None).await.expect(201);
    all.manager.stop().await;
}

#[actix_web::test]
async fn what_is_withdrawn_revokes_and_gives_nothing_any_more() {
    for by_asker in [false, true] {
        let all = Guarded::new().await;
        let id = all.ask(&all.reader, 600).await.expect(202).member("approval_id");
        all.decide(&all.approver, &id, "approve").await.expect(200);
        all.mint(&all.reader, None).await.expect(201);
        let before = all.revoked();
        let (who, verb) = if by_asker { (&all.reader, "cancel") } else { (&all.approver, "reject") };
        assert_eq!(all.decide(who, &id, verb).await.expect(200).member("state"), "withdrawn");
        assert_eq!(all.revoked(), before + 1, "its tokens die with it");
        all.mint(&all.reader, None).await.expect(403).refused("approval_required");
        all.decide(&all.approver, &id, "approve").await.expect(409).refused("approval_decided");
        all.manager.stop().await;
    }
}

#[actix_web::test]
async fn the_rule_is_lifted_by_whoever_may_share_alone() {
    let all = Guarded::new().await;
    let writer = all.manager.service("writer").await;
    all.manager.permit(&writer.id(), "allow", &["list", "read", "write"], "app/**").await;
    let lift = Some(json!({"requires_approval": false}));
    let of = format!("/api/secrets/{}", all.secret);
    all.manager.by(&writer, Method::PATCH, &of, lift).await.expect(403).refused("not_permitted");
    all.guard(false).await.expect(200);
    all.ask(&all.reader, 60).await.expect(400).refused("parameter_invalid");
    assert!(all.manager.mints(&all.reader, &all.secret).await);
    let body = Some(json!({"requires_approval": true}));
    all.manager.by(&writer, Method::PATCH, &of, body).await.expect(200);
    all.mint(&all.reader, None).await.expect(403).refused("approval_required");
    let new = json!({"environment": "dev", "path": "app/new", "value": "v", "requires_approval": true});
    let made: Value = all.manager.post("/api/secrets", new).await.expect(201).json();
    assert!(made["token"].is_null());
    all.manager.mint(made["key_id"].as_str().unwrap()).await.expect(403).refused("approval_required");
    all.manager.stop().await;
}

#[actix_web::test]
async fn an_approval_is_for_the_place_and_the_rules_that_it_was_given_for() {
    let all = Guarded::new().await;
    let of = format!("/api/secrets/{}", all.secret);
    let patch = async |body: Value| {
        all.manager.admin(Method::PATCH, &of, Some(body)).await.expect(200);
    };
    let approved = async || {
        let id = all.ask(&all.reader, 600).await.expect(202).member("approval_id");
        all.decide(&all.approver, &id, "approve").await.expect(200);
        all.mint(&all.reader, None).await.expect(201);
    };
    approved().await;
    all.guard(false).await.expect(200);
    all.guard(true).await.expect(200);
    all.mint(&all.reader, None).await.expect(403).refused("approval_required");
    approved().await;
    patch(json!({"path": "app/other"})).await;
    all.mint(&all.reader, None).await.expect(403).refused("approval_required");
    patch(json!({"path": "app/db"})).await;
    all.mint(&all.reader, None).await.expect(403).refused("approval_required");
    approved().await;
    all.manager.admin(Method::DELETE, &of, None).await.expect(200);
    all.manager.admin(Method::POST, &format!("{of}:undelete"), None).await.expect(200);
    all.mint(&all.reader, None).await.expect(403).refused("approval_required");
    all.manager.stop().await;
}

#[actix_web::test]
async fn whoever_asks_and_takes_back_without_end_removes_his_own_acts_alone() {
    let all = Guarded::new().await;
    let id = all.ask(&all.approver, 60).await.expect(202).member("approval_id");
    all.decide(&all.approver, &id, "cancel").await.expect(200);
    let known = async |who: &Principal| {
        let view = all.manager.app.registry.now().await.unwrap();
        view.state.approvals_of(who.subject).count()
    };
    let own = {
        let view = all.manager.app.registry.now().await.unwrap();
        let made = view.state.approvals_of(all.approver.subject).next().unwrap().clone();
        move |number: u16, asked_by: Subject| {
            let mut bytes = [9; 16];
            bytes[..2].copy_from_slice(&number.to_be_bytes());
            Approval { approval_id: ApprovalId::from_bytes(bytes), asked_by, ..made.clone() }.into()
        }
    };
    all.manager.put((0..256).map(|number| own(number, all.reader.subject)).collect()).await;
    for _ in 0..3 {
        let id = all.ask(&all.reader, 60).await.expect(202).member("approval_id");
        all.decide(&all.reader, &id, "cancel").await.expect(200);
    }
    assert_eq!((known(&all.reader).await, known(&all.approver).await), (256, 1));
    all.manager.stop().await;
}

#[actix_web::test]
async fn open_acts_of_one_principal_have_a_bound() {
    let all = Guarded::new().await;
    for seconds in 60..92 {
        all.ask(&all.reader, seconds).await.expect(202);
    }
    all.ask(&all.reader, 92).await.expect(409).refused("limit_reached");
    all.ask(&all.reader, 91).await.expect(202);
    all.ask(&all.approver, 92).await.expect(202);
    let page = async |query: &str| {
        let path = format!("/api/approvals?limit=20{query}");
        all.manager.by(&all.approver, Method::GET, &path, None).await.expect(200).json()
    };
    let first = page("").await;
    let second = page(&format!("&after={}", first["next"].as_str().unwrap())).await;
    let count = |page: &Value| page["approvals"].as_array().unwrap().len();
    assert_eq!((count(&first), count(&second)), (20, 13));
    let long = now() + 40 * 86_400;
    all.manager.app.approvals.remove_old(long).await.unwrap();
    assert_eq!(count(&page("").await), 0, "what has ended long ago is removed");
    all.manager.stop().await;
}

#[actix_web::test]
async fn a_record_from_before_the_withdrawal_that_somebody_puts_back_lets_nobody_in() {
    let all = Guarded::new().await;
    let id = all.ask(&all.reader, 600).await.expect(202).member("approval_id");
    all.decide(&all.approver, &id, "approve").await.expect(200);
    all.plant("CREATE TABLE before AS SELECT * FROM registry_records WHERE kind = 'approval'");
    all.mint(&all.reader, None).await.expect(201);
    all.decide(&all.approver, &id, "reject").await.expect(200);
    all.plant(
        "CREATE TABLE after AS SELECT * FROM registry_records WHERE kind = 'approval';
         DELETE FROM registry_records WHERE kind = 'approval'; INSERT INTO registry_records SELECT * FROM before",
    );
    all.mint(&all.reader, None).await.expect(503).refused("unavailable");
    all.plant("DELETE FROM registry_records WHERE kind = 'approval'; INSERT INTO registry_records SELECT * FROM after");
    crate::support::until("it is read again", async || all.mint(&all.reader, None).await.status.as_u16() != 503).await;
    all.mint(&all.reader, None).await.expect(403).refused("approval_required");
    all.manager.stop().await;
}
