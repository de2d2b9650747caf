//! Reading the audit log with `GET /api/audit`: who sees which lines, and what of others shows in them.

use actix_web::http::Method;
use manager_api::policy::{Action, PatternText};
use manager_registry::CredentialLimit;
use master_key_manager::audit_event::Outcome;
use master_key_manager::config::{Config, RawConfig};
use serde_json::{Value, json};
use service_runtime::audit::{AuditSettings, Origin};
use service_runtime::config::Mode;
use shared_proto::id::{SecretId, TokenId};

use crate::support::{Installed, Manager, Principal, permission, until};

async fn begun() -> (Installed, Manager) {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    (installed, manager)
}

/// All lines that somebody may see, over pages of this size.
async fn all(manager: &Manager, bearer: &str, limit: usize) -> Vec<Value> {
    let (mut lines, mut after) = (Vec::new(), String::new());
    loop {
        let path = format!("/api/audit?limit={limit}{after}");
        let page = manager.with(bearer, Method::GET, &path, None).await.expect(200).json();
        let shown = page["lines"].as_array().unwrap();
        assert!(shown.len() <= limit);
        lines.extend(shown.iter().cloned());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return lines,
        }
    }
}

/// The lines of the file, the newest first, without those of reading them.
fn in_file(installed: &Installed) -> Vec<Value> {
    let text = std::fs::read_to_string(installed.config.audit_log()).unwrap();
    let lines = text.lines().rev().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["action"] != "audit.list").collect()
}

fn without_reading(lines: Vec<Value>) -> Vec<Value> {
    lines.into_iter().filter(|line| line["action"] != "audit.list").collect()
}

/// The members that everybody sees of his own lines.
fn as_seen(mut line: Value) -> Value {
    let members = line.as_object_mut().unwrap();
    members.retain(|name, value| !value.is_null() && !["sequence", "previous_hash", "service_name"].contains(&&**name));
    if members["status"] != "success" {
        members.remove("policy");
    }
    line
}

async fn store(manager: &Manager, who: &Principal, path: &str) -> u16 {
    let body = json!({"user_id": "u", "key_data": "x", "path": path, "environment": "dev", "token": false});
    manager.by(who, Method::POST, "/api/keys", Some(body)).await.status.as_u16()
}

#[actix_web::test]
async fn service_reads_its_own_lines_and_nothing_of_others() {
    let (installed, manager) = begun().await;
    let (billing, other) = (manager.service("billing").await, manager.service("other").await);
    for who in [&billing, &other] {
        manager.permit(&who.id(), "allow", &["list", "read", "write"], "app/**").await;
    }
    let secret = manager.store_value("app/db", "v").await.expect(201).member("key_id");
    for round in 0..5 {
        for who in [&billing, &other] {
            assert!(manager.mints(who, &secret).await);
            assert_eq!(store(&manager, who, &format!("app/{}-{round}", who.id())).await, 201);
            assert_eq!(store(&manager, who, "elsewhere").await, 404);
        }
        manager.admin(Method::GET, "/api/permissions", None).await.expect(200);
        manager.get("/api/secrets").await.expect(401);
    }
    for who in [&billing, &other] {
        let own = |line: &Value| line["principal"] == who.id();
        let expected = || in_file(&installed).into_iter().filter(own).map(as_seen).collect::<Vec<Value>>();
        let mut seen = Vec::new();
        // Refusals that follow one have a line in the next second.
        until("all refusals have their line", async || {
            seen = without_reading(all(&manager, who.bearer(), 500).await);
            seen.iter().any(|line| line["others"].is_number()) && seen == expected()
        })
        .await;
        assert!(seen.len() >= 10);
        for limit in [1, 2, 7] {
            assert_eq!(without_reading(all(&manager, who.bearer(), limit).await), seen, "{limit}");
        }
        let text = json!(seen).to_string();
        let stranger = if who.id() == billing.id() { &other } else { &billing };
        assert!(!text.contains(&stranger.id()) && !text.contains("sequence") && !text.contains("previous_hash"));
    }
    // Nothing of his is in the log.
    let idle = manager.service("idle").await;
    assert_eq!(without_reading(all(&manager, idle.bearer(), 3).await), Vec::<Value>::new());
    manager.stop().await;
}

/// The whole log, as it is in the file, across its segments, while it is written.
#[actix_web::test]
async fn auditor_of_all_reads_every_line_also_after_the_log_went_on_in_another_file() {
    let mut installed = Installed::new(Mode::Production).await;
    let audit = AuditSettings { segment_bytes: 4_096, ..AuditSettings::default() };
    installed.config = Config::new(RawConfig { audit, ..installed.config.get().clone() }).unwrap();
    let manager = installed.start().await;
    let auditor = manager.service("auditor").await;
    let all_of_it = json!({"party": auditor.id(), "role": "auditor", "pattern": "**", "reason": "test"});
    manager.post("/api/roles", all_of_it).await.expect(201);
    for _ in 0..30 {
        manager.admin(Method::GET, "/api/permissions", None).await.expect(200);
        manager.get("/api/secrets").await.expect(401);
    }
    let folder = installed.config.audit_log().parent().unwrap().to_owned();
    let segments = || std::fs::read_dir(&folder).unwrap().filter(|entry| is_log(entry.as_ref().unwrap())).count();
    assert!(segments() > 2, "{}", segments());
    for limit in [3, 500] {
        let lines = all(&manager, auditor.bearer(), limit).await;
        let numbers: Vec<u64> = lines.iter().map(|line| line["sequence"].as_u64().unwrap()).collect();
        let newest = numbers[0];
        assert_eq!(numbers, (1..=newest).rev().collect::<Vec<_>>(), "none is missing, and none is there twice");
        assert!(lines.iter().any(|line| line["code"] == "credential_invalid" && line.get("principal").is_none()));
        assert!(lines.iter().all(|line| line["previous_hash"].as_str().unwrap().len() == 64));
    }
    manager.stop().await;
}

fn is_log(entry: &std::fs::DirEntry) -> bool {
    entry.file_name().to_str().is_some_and(|name| name.starts_with("audit"))
}

#[actix_web::test]
async fn who_audits_a_part_reads_the_lines_about_it_and_no_others() {
    let (installed, manager) = begun().await;
    let (lead, worker) = (manager.service("lead").await, manager.service("worker").await);
    manager.assign(&lead.id(), "service_admin", "app/**").await;
    manager.permit(&lead.id(), "deny", &["read-audit"], "app/closed").await;
    manager.permit(&worker.id(), "allow", &["list", "read", "write"], "**").await;
    let mut ids = Vec::new();
    for path in ["app/db", "app/closed", "application", "app-b/x"] {
        let body = json!({"user_id": "u", "key_data": "x", "path": path, "environment": "dev", "token": false});
        ids.push(manager.by(&worker, Method::POST, "/api/keys", Some(body)).await.expect(201).member("key_id"));
    }
    let mint = async |ids: &[&String]| {
        let grants: Vec<Value> = ids.iter().map(|id| json!({"key_id": id})).collect();
        manager
            .by(&worker, Method::POST, "/api/tokens", Some(json!({ "secrets": grants })))
            .await
            .expect(201)
            .member("jti")
    };
    let (alone, together) = (mint(&[&ids[0]]).await, mint(&[&ids[0], &ids[2]]).await);
    manager.admin(Method::POST, "/api/environments/dev:freeze", None).await.expect(200);
    manager.admin(Method::POST, "/api/environments/dev:unfreeze", None).await.expect(200);
    let of_worker = |lines: &[Value]| {
        let others = lines.iter().filter(|line| line["principal"] != lead.id());
        others.map(|line| line["action"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let lines = all(&manager, lead.bearer(), 5).await;
    assert_eq!(of_worker(&lines), ["token.mint", "secret.store"], "{lines:?}");
    let text = json!(lines).to_string();
    assert!(text.contains(&alone) && !text.contains(&together), "one of its secrets is not his to audit");
    assert!(ids[1..].iter().all(|id| !text.contains(id)) && !text.contains("sequence"));

    // All of an environment: its own lines, too, and nothing of another one.
    let auditor = manager.service("auditor").await;
    manager.assign(&auditor.id(), "auditor", "**").await;
    manager.admin(Method::POST, "/api/environments/staging:freeze", None).await.expect(200);
    let elsewhere = json!({"user_id": "u", "key_data": "x", "path": "app/db", "environment": "production"});
    manager.post("/api/keys", elsewhere).await.expect(201);
    let lines = all(&manager, auditor.bearer(), 500).await;
    let seen = of_worker(&lines);
    let has = |action: &str| seen.iter().filter(|seen| *seen == action).count();
    assert_eq!(
        [has("secret.store"), has("token.mint"), has("environment.freeze"), has("environment.unfreeze")],
        [4, 2, 1, 1],
        "{seen:?}"
    );
    assert!(!seen.iter().any(|action| action.starts_with("permission.") || action.starts_with("role.")));
    drop(installed);
    manager.stop().await;
}

/// The line of the policy that forbids is in the log, and would say that the secret is there.
#[actix_web::test]
async fn own_lines_of_a_forbidden_secret_and_of_an_unknown_one_are_the_same() {
    let (installed, manager) = begun().await;
    let (one, two) = (manager.service("one").await, manager.service("two").await);
    for who in [&one, &two] {
        manager.permit(&who.id(), "allow", &["list", "read"], "app/**").await;
        manager.post("/api/permissions", permission(&who.id(), "deny", &["read"], "app/db")).await.expect(201);
    }
    let secret = manager.store_value("app/db", "v").await.expect(201).member("key_id");
    assert!(!manager.mints(&one, &secret).await);
    assert!(!manager.mints(&two, &SecretId::generate().to_string()).await);
    let refusal = async |who: &Principal| {
        let mut found = None;
        // Nobody waits for the line of a refusal.
        until("it has its line", async || {
            let lines = all(&manager, who.bearer(), 9).await;
            found = lines.into_iter().find(|line| line["action"] == "token.mint");
            found.is_some()
        })
        .await;
        let mut line = found.unwrap();
        for own in ["timestamp", "principal", "credential", "request_id"] {
            assert!(line.as_object_mut().unwrap().remove(own).is_some());
        }
        line
    };
    assert_eq!(refusal(&one).await, refusal(&two).await);
    let file = in_file(&installed);
    assert!(file.iter().any(|line| line["action"] == "token.mint" && line["policy"].is_array()), "the control");
    manager.stop().await;
}

#[actix_web::test]
async fn narrow_credential_reads_no_lines_of_wider_ones_of_its_service() {
    let (_installed, manager) = begun().await;
    let wide = manager.service("billing").await;
    let limit = CredentialLimit {
        actions: [Action::List].into_iter().collect(),
        environment: None,
        pattern: PatternText::parse("app/**").unwrap(),
    };
    let narrow = manager.another_credential(&wide, |credential| credential.limits = Some(vec![limit])).await;
    manager.permit(&wide.id(), "allow", &["list", "read", "write"], "**").await;
    assert_eq!(store(&manager, &wide, "secret/name").await, 201);
    manager.by(&narrow, Method::GET, "/api/secrets", None).await.expect(200);
    let actions = async |who: &Principal| {
        let lines = without_reading(all(&manager, who.bearer(), 4).await);
        lines.iter().map(|line| line["action"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(actions(&narrow).await, ["secret.list"]);
    assert_eq!(actions(&wide).await, ["secret.list", "secret.store"]);
    manager.stop().await;
}

#[actix_web::test]
async fn cursor_of_the_log_is_of_its_caller_and_says_nothing() {
    let (_installed, manager) = begun().await;
    let (one, two) = (manager.service("one").await, manager.service("two").await);
    for who in [&one, &two] {
        for _ in 0..3 {
            manager.by(who, Method::GET, "/api/secrets", None).await.expect(200);
        }
    }
    let next =
        async |who: &str| manager.with(who, Method::GET, "/api/audit?limit=1", None).await.expect(200).member("next");
    let cursor = next(one.bearer()).await;
    assert_eq!(cursor.len(), 59);
    let ask =
        async |who: &str, after: &str| manager.with(who, Method::GET, &format!("/api/audit?after={after}"), None).await;
    ask(one.bearer(), &cursor).await.expect(200);
    for who in [two.bearer(), &*manager.credential] {
        ask(who, &cursor).await.expect(400).refused("parameter_invalid");
    }
    let altered = if cursor.starts_with('A') { cursor.replacen('A', "B", 1) } else { format!("A{}", &cursor[1..]) };
    for wrong in [&altered, &cursor[1..].to_owned(), &"A".repeat(70), &"7".to_owned()] {
        ask(one.bearer(), wrong).await.expect(400).refused("parameter_invalid");
    }
    manager.stop().await;
}

/// Lines of others are passed over, a bounded part of the log for each page.
#[actix_web::test]
async fn page_looks_at_a_bounded_part_of_the_log() {
    let (_installed, manager) = begun().await;
    let billing = manager.service("billing").await;
    manager.by(&billing, Method::GET, "/api/secrets", None).await.expect(200);
    let busy = Origin::of_request("r", "127.0.0.1", &"x".repeat(256));
    for _ in 0..2_500 {
        manager.app.gate.audit.note(Outcome::TokenRevoke(TokenId::generate()), &busy);
    }
    manager.app.gate.audit.record(master_key_manager::audit_event::Act::TokenList, &busy).await.unwrap();
    let first = manager.by(&billing, Method::GET, "/api/audit", None).await.expect(200).json();
    assert_eq!(first["lines"], json!([]), "there is 1 MiB of others before");
    assert_eq!(first["next"].as_str().unwrap().len(), 59);
    assert_eq!(without_reading(all(&manager, billing.bearer(), 10).await).len(), 1);
    manager.stop().await;
}
