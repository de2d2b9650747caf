//! Destroying a secret where somebody else approves it.

use actix_web::http::Method;
use futures_util::future::{join, join_all};
use manager_api::policy::PartyId;
use manager_registry::Service;
use serde_json::{Value, json};
use service_runtime::config::Mode;
use shared_proto::event::Event;
use shared_proto::id::{ServiceId, Subject};

use crate::deletion::envelopes;
use crate::support::{Answer, Installed, Manager, Principal};

/// A manager whose environment `dev` wants approvals, with two administrators.
pub(crate) struct Two {
    pub(crate) installed: Installed,
    pub(crate) manager: Manager,
    pub(crate) first: Principal,
    pub(crate) second: Principal,
}

impl Two {
    pub(crate) async fn new() -> Self {
        let installed = Installed::new(Mode::Production).await;
        let manager = installed.start().await;
        let change = Some(json!({"destroy_needs_approval": true}));
        let changed = manager.admin(Method::PATCH, "/api/environments/dev", change).await.expect(200).json();
        assert_eq!(changed["destroy_needs_approval"], true);
        let (first, second) = (manager.service("first").await, manager.service("second").await);
        for who in [&first, &second] {
            let body = json!({"party": who.id(), "role": "super_admin", "pattern": "**", "reason": "test"});
            manager.post("/api/roles", body).await.expect(201);
        }
        Self { installed, manager, first, second }
    }

    pub(crate) async fn deleted(&self, path: &str) -> String {
        let secret = self.manager.store_value(path, "v").await.expect(201).member("key_id");
        self.manager.delete(&secret).await.expect(200);
        secret
    }

    pub(crate) async fn destroy(&self, who: &Principal, secret: &str) -> Answer {
        let path = format!("/api/secrets/{secret}:destroy");
        self.manager.by(who, Method::POST, &path, Some(json!({"reason": "no longer used"}))).await
    }

    /// Somebody asks, and gets the id of the approval.
    pub(crate) async fn asks(&self, who: &Principal, secret: &str) -> String {
        let asked = self.destroy(who, secret).await.expect(202);
        assert_eq!(asked.member("status"), "awaits-approval");
        asked.member("approval_id")
    }

    pub(crate) async fn decide(&self, who: &Principal, id: &str, verb: &str) -> Answer {
        self.manager.by(who, Method::POST, &format!("/api/approvals/{id}:{verb}"), None).await
    }

    async fn shown(&self, who: &Principal, id: &str) -> Answer {
        self.manager.by(who, Method::GET, &format!("/api/approvals/{id}"), None).await
    }

    async fn listed(&self, who: &Principal, query: &str) -> Vec<Value> {
        let list = self.manager.by(who, Method::GET, &format!("/api/approvals{query}"), None).await.expect(200).json();
        list["approvals"].as_array().unwrap().clone()
    }
}

#[actix_web::test]
async fn a_second_administrator_approves_and_that_destroys_once() {
    let two = Two::new().await;
    let secret = two.deleted("app/db").await;
    let id = two.asks(&two.first, &secret).await;
    assert_eq!(two.asks(&two.first, &secret).await, id, "the same is not asked for twice");
    assert_eq!(envelopes(&two.installed, &secret), (1, 0));
    let open = two.shown(&two.second, &id).await.expect(200).json();
    assert_eq!((&open["state"], &open["act"], &open["path"]), (&json!("open"), &json!("destroy"), &json!("app/db")));
    assert_eq!((&open["asked_by"], &open["reason"]), (&json!(two.first.id()), &json!("no longer used")));

    two.decide(&two.first, &id, "approve").await.expect(403).refused("not_permitted");
    let other = two.manager.another_credential(&two.first, |_| {}).await;
    two.decide(&other, &id, "approve").await.expect(403).refused("not_permitted");
    two.decide(&two.first, &id, "reject").await.expect(403).refused("not_permitted");
    two.decide(&two.second, &id, "cancel").await.expect(404).refused("approval_not_found");
    assert_eq!(envelopes(&two.installed, &secret), (1, 0), "nobody but a second one decides");

    let used = two.decide(&two.second, &id, "approve").await.expect(200).json();
    assert_eq!((&used["state"], &used["decided_by"]), (&json!("used"), &json!(two.second.id())));
    assert_eq!(envelopes(&two.installed, &secret).0, 0);
    assert_eq!(two.manager.described(&secret).await["state"], "destroyed");
    for (who, verb) in [(&two.second, "approve"), (&two.second, "reject"), (&two.first, "cancel")] {
        two.decide(who, &id, verb).await.expect(409).refused("approval_decided");
    }
    assert_eq!(two.listed(&two.first, "?state=used").await.len(), 1);
    assert!(two.listed(&two.second, "?state=open").await.is_empty());
    let lines = two.manager.admin(Method::GET, "/api/audit?limit=200", None).await.expect(200).text;
    assert!(["approval.create", "approval.approve", "secret.erase"].iter().all(|act| lines.contains(act)));
    two.manager.stop().await;
}

#[actix_web::test]
async fn whoever_lacks_approve_or_the_right_itself_decides_nothing() {
    let two = Two::new().await;
    let secret = two.deleted("app/db").await;
    let id = two.asks(&two.first, &secret).await;
    let with = async |name: &str, actions: &[&str], pattern: &str| {
        let who = two.manager.service(name).await;
        two.manager.permit(&who.id(), "allow", actions, pattern).await;
        who
    };
    let destroyer = with("destroyer", &["list", "read", "delete", "destroy"], "**").await;
    two.decide(&destroyer, &id, "approve").await.expect(404).refused("approval_not_found");
    two.decide(&destroyer, &id, "reject").await.expect(404).refused("approval_not_found");
    two.shown(&destroyer, &id).await.expect(404).refused("approval_not_found");
    assert!(two.listed(&destroyer, "").await.is_empty());
    let elsewhere = with("elsewhere", &["approve", "destroy"], "web/**").await;
    two.decide(&elsewhere, &id, "approve").await.expect(404).refused("approval_not_found");
    assert!(two.listed(&elsewhere, "").await.is_empty());
    let approver = with("approver", &["approve"], "app/**").await;
    two.decide(&approver, &id, "approve").await.expect(403).refused("not_permitted");
    assert_eq!(two.listed(&approver, "").await.len(), 1);
    let unknown = id.replace(&id[4..8], "AAAA");
    two.decide(&approver, &unknown, "approve").await.expect(404).refused("approval_not_found");
    assert_eq!(envelopes(&two.installed, &secret), (1, 0));
    // Refusing gives nobody anything.
    assert_eq!(two.decide(&approver, &id, "reject").await.expect(200).member("state"), "rejected");
    two.decide(&two.second, &id, "approve").await.expect(409).refused("approval_decided");
    two.manager.stop().await;
}

#[actix_web::test]
async fn it_is_decided_on_the_state_of_the_moment() {
    let two = Two::new().await;
    // The one who asked may not do it any more.
    let secret = two.deleted("app/one").await;
    let asker = two.manager.service("asker").await;
    let line = two.manager.permit(&asker.id(), "allow", &["list", "destroy"], "app/**").await;
    let id = two.asks(&asker, &secret).await;
    two.manager.admin(Method::DELETE, &format!("/api/permissions/{line}"), None).await.expect(200);
    two.decide(&two.second, &id, "approve").await.expect(403).refused("not_permitted");
    // He has left.
    two.manager.permit(&asker.id(), "allow", &["list", "destroy"], "app/**").await;
    two.manager.disable(&asker).await;
    two.decide(&two.second, &id, "approve").await.expect(403).refused("not_permitted");
    assert_eq!(envelopes(&two.installed, &secret), (1, 0));
    // It was taken back meanwhile, and deleted again.
    let id = two.asks(&two.first, &secret).await;
    two.manager.act(&secret, "undelete").await.expect(200);
    two.decide(&two.second, &id, "approve").await.expect(409).refused("approval_decided");
    two.manager.delete(&secret).await.expect(200);
    two.decide(&two.second, &id, "approve").await.expect(409).refused("approval_decided");
    assert_eq!(envelopes(&two.installed, &secret), (1, 0));
    // Taken back by the one who asked.
    let id = two.asks(&two.first, &secret).await;
    assert_eq!(two.decide(&two.first, &id, "cancel").await.expect(200).member("state"), "cancelled");
    two.decide(&two.second, &id, "approve").await.expect(409).refused("approval_decided");
    two.manager.stop().await;
}

#[actix_web::test]
async fn a_service_approves_nothing_for_the_people_who_answer_for_it() {
    let two = Two::new().await;
    let secret = two.deleted("app/db").await;
    let Subject::Service(second) = two.second.subject else { panic!("a service") };
    let owned = async |owner: Option<PartyId>| {
        let view = two.manager.app.registry.now().await.unwrap();
        let service = Service { owner, ..view.state.service(second).unwrap().clone() };
        two.manager.put(vec![service.into()]).await;
    };
    let id = two.asks(&two.first, &secret).await;
    owned(Some(PartyId::Principal(two.first.subject))).await;
    two.decide(&two.second, &id, "approve").await.expect(403).refused("not_permitted");
    let group = two.manager.group("team").await;
    two.manager.join(&group, &two.first).await;
    owned(Some(PartyId::Group(group.parse().unwrap()))).await;
    two.decide(&two.second, &id, "approve").await.expect(403).refused("not_permitted");
    // Two groups with a member in common, and one who owns a service that owns another one.
    let person = two.manager.service("between").await;
    let other = two.manager.group("other").await;
    for group in [&group, &other] {
        two.manager.join(group, &person).await;
    }
    let Subject::Service(first) = two.first.subject else { panic!("a service") };
    let Subject::Service(between) = person.subject else { panic!("a service") };
    let owns = async |id: ServiceId, owner: Option<PartyId>| {
        let view = two.manager.app.registry.now().await.unwrap();
        let service = Service { owner, ..view.state.service(id).unwrap().clone() };
        two.manager.put(vec![service.into()]).await;
    };
    let leave = format!("/api/groups/{group}/members/{}", two.first.id());
    two.manager.admin(Method::DELETE, &leave, None).await.expect(200);
    owns(first, Some(PartyId::Group(other.parse().unwrap()))).await;
    two.decide(&two.second, &id, "approve").await.expect(403).refused("not_permitted");
    owns(first, Some(PartyId::Principal(person.subject))).await;
    owns(second, None).await;
    owns(between, Some(PartyId::Principal(two.second.subject))).await;
    two.decide(&two.second, &id, "approve").await.expect(403).refused("not_permitted");
    owns(between, None).await;
    two.decide(&two.second, &id, "approve").await.expect(200);
    two.manager.stop().await;
}

#[actix_web::test]
async fn an_approver_sees_where_a_secret_is_and_not_where_it_was() {
    let two = Two::new().await;
    let body = json!({"environment": "dev", "path": "hidden/db", "value": "v", "requires_approval": true});
    let secret = two.manager.post("/api/secrets", body).await.expect(201).member("key_id");
    let asker = two.manager.service("asker").await;
    two.manager.permit(&asker.id(), "allow", &["read"], "hidden/**").await;
    let approver = two.manager.service("approver").await;
    two.manager.permit(&approver.id(), "allow", &["read", "approve"], "open/**").await;
    let read = Some(json!({"key_id": secret, "seconds": 60, "reason": "test"}));
    let id = two.manager.by(&asker, Method::POST, "/api/approvals", read).await.expect(202).member("approval_id");
    let to = Some(json!({"path": "open/db"}));
    two.manager.admin(Method::PATCH, &format!("/api/secrets/{secret}"), to).await.expect(200);
    assert_eq!(two.shown(&asker, &id).await.expect(200).member("path"), "hidden/db");
    assert_eq!(two.listed(&approver, "").await[0]["path"], "open/db");
    let rejected = two.decide(&approver, &id, "reject").await.expect(200);
    assert_eq!(rejected.member("path"), "open/db");
    // Where he approves no more, he sees what he has decided, and not where it is.
    let to = Some(json!({"path": "hidden/again"}));
    two.manager.admin(Method::PATCH, &format!("/api/secrets/{secret}"), to).await.expect(200);
    let decided = two.shown(&approver, &id).await.expect(200).json();
    assert_eq!((&decided["state"], &decided["path"]), (&json!("rejected"), &Value::Null));
    two.manager.stop().await;
}

#[actix_web::test]
async fn a_page_looks_at_a_bounded_number_of_acts() {
    let two = Two::new().await;
    let secret = two.deleted("app/db").await;
    let id = two.asks(&two.first, &secret).await;
    let view = two.manager.app.registry.now().await.unwrap();
    let approval = view.state.approval(id.parse().unwrap()).unwrap().clone();
    let copies = (0..600).map(|_| {
        let approval_id = manager_api::id::ApprovalId::generate();
        manager_registry::Approval { approval_id, ..approval.clone() }.into()
    });
    two.manager.put(copies.collect()).await;
    let stranger = two.manager.service("stranger").await;
    for (who, expected) in [(&stranger, 0), (&two.second, 601)] {
        let (mut pages, mut seen, mut after) = (0, 0, String::new());
        loop {
            let path = format!("/api/approvals?limit=500{after}");
            let page = two.manager.by(who, Method::GET, &path, None).await.expect(200).json();
            (pages, seen) = (pages + 1, seen + page["approvals"].as_array().unwrap().len());
            let Some(next) = page["next"].as_str() else { break };
            after = format!("&after={next}");
        }
        assert_eq!((pages, seen), (3, expected));
    }
    two.manager.stop().await;
}

#[actix_web::test]
async fn versions_are_not_destroyed_one_by_one_where_a_second_one_is_asked() {
    let two = Two::new().await;
    let secret = two.manager.store_value("app/db", "v").await.expect(201).member("key_id");
    let destroy = format!("/api/keys/{secret}/destroy");
    let body = json!({"versions": [1]});
    two.manager.post(&destroy, body.clone()).await.expect(403).refused("approval_required");
    assert_eq!(envelopes(&two.installed, &secret), (1, 0));
    let off = Some(json!({"destroy_needs_approval": false}));
    two.manager.admin(Method::PATCH, "/api/environments/dev", off).await.expect(200);
    two.manager.post(&destroy, body).await.expect(200);
    two.manager.stop().await;
}

#[actix_web::test]
async fn of_decisions_at_once_one_counts() {
    let two = Two::new().await;
    let third = two.manager.service("third").await;
    let body = json!({"party": third.id(), "role": "super_admin", "pattern": "**", "reason": "test"});
    two.manager.post("/api/roles", body).await.expect(201);
    for race in 0..12 {
        let secret = two.deleted(&format!("race/{race}")).await;
        let id = two.asks(&two.first, &secret).await;
        let decisions = [(&two.second, "approve"), (&third, "approve"), (&third, "reject"), (&two.first, "cancel")];
        let mut asked: Vec<_> = decisions.iter().map(|(who, verb)| two.decide(who, &id, verb)).collect();
        asked.rotate_left(race % 4);
        let (answers, back) = join(join_all(asked), two.manager.act(&secret, "undelete")).await;
        let done = answers.iter().filter(|answer| answer.status.is_success()).count();
        assert!(done + usize::from(back.status.is_success()) >= 1, "somebody decides");
        assert!(done <= 1, "one decision");
        let state = two.shown(&two.first, &id).await.expect(200).member("state");
        let destroyed = two.manager.described(&secret).await["state"] == "destroyed";
        assert_eq!(destroyed, state == "used", "{state}");
        assert!(!(destroyed && back.status.is_success()));
        let erased = two
            .installed
            .vault
            .applied()
            .into_iter()
            .filter(|event| if let Event::Destroy(_, of, _) = event { of.to_string() == secret } else { false });
        assert_eq!(erased.count(), usize::from(destroyed));
    }
    two.manager.stop().await;
}
