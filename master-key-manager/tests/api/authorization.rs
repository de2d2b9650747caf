//! What every route answers to every sort of caller. The table is evidence: changing it is a decision, made with
//! `UPDATE_EVIDENCE=1 cargo test -p master-key-manager --test api`.

use std::fmt::Write as _;

use master_key_manager::audit_event::action;
use master_key_manager::init::reset_administrator;
use master_key_manager::routes::ROUTES;
use serde_json::json;
use service_runtime::config::Mode;
use service_runtime::http::{Access, Route};
use shared_proto::credential::PlainCredential;

use crate::support::{Answer, Facts, Installed, Manager, Principal, compare, guarded_routes, is_for_people, now};

/// A manager with callers of every sort, and for each one who may act something of his own that routes are about.
struct Callers {
    manager: Manager,
    /// The administrators are the last: what they do changes what is there.
    all: Vec<Caller>,
    _installed: Installed,
}

struct Caller {
    name: &'static str,
    bearer: Option<String>,
    facts: Facts,
}

/// The roles of callers, with the environment and the paths in which they have them.
const ROLES: [(&str, &str, Option<&str>, &str); 8] = [
    ("service_user", "service_user", Some("dev"), "**"),
    ("service_admin", "service_admin", Some("dev"), "**"),
    ("service_admin out of its scope", "service_admin", Some("dev"), "elsewhere/**"),
    ("publisher", "publisher", Some("dev"), "**"),
    ("operator", "operator", None, "**"),
    ("auditor", "auditor", None, "**"),
    ("other environment", "service_admin", Some("production"), "**"),
    ("super_admin", "super_admin", None, "**"),
];

impl Callers {
    async fn new(mode: Mode) -> Self {
        let mut installed = Installed::new(mode).await;
        let disabled = std::mem::take(&mut installed.credential);
        installed.credential = reset_administrator(&installed.config).await.unwrap().expose_text().to_string();
        let manager = installed.start().await;
        let token = manager.store_value("token", "v").await.expect(201).member("access_token");
        let mut bearers = vec![
            ("none", None),
            ("malformed", Some("x".to_owned())),
            ("unknown", Some(PlainCredential::generate().expose_text().to_string())),
            ("disabled", Some(disabled)),
        ];
        let expired = manager.principal("expired", false, |credential| credential.expires_at = Some(now())).await;
        let ended = manager.service("ended").await;
        for (index, who) in [&expired, &ended].into_iter().enumerate() {
            assign(&manager, who, "super_admin", None, "**").await;
            bearers.push((["expired", "disabled principal"][index], Some(who.bearer().to_owned())));
        }
        manager.disable(&ended).await;
        bearers.push(("access token", Some(token)));
        for (index, (name, role, environment, pattern)) in ROLES.into_iter().enumerate() {
            let who = manager.service(&format!("caller-{index}")).await;
            assign(&manager, &who, role, environment, pattern).await;
            bearers.push((name, Some(who.bearer().to_owned())));
        }
        bearers.push(("administrator", Some(manager.credential.clone())));
        let mut callers = Vec::new();
        for (number, (name, bearer)) in bearers.into_iter().enumerate() {
            callers.push(Caller { name, bearer, facts: Facts::numbered(&installed, &manager, number).await });
        }
        Self { manager, all: callers, _installed: installed }
    }

    /// A line for each route, with the answer to each caller.
    async fn table(&self, mode: &str) -> String {
        let names: Vec<&str> = self.all.iter().map(|caller| caller.name).collect();
        let mut table = format!("# {mode}: route | {}\n", names.join(" | "));
        for route in ROUTES.rows().filter(|route| self.all[0].facts.request(route).is_some()) {
            let mut answers = Vec::new();
            for caller in &self.all {
                answers.push(short(&self.ask(route, caller, None).await));
            }
            writeln!(table, "{} | {}", route.id, answers.join(" | ")).unwrap();
        }
        table
    }

    async fn ask(&self, route: &Route, caller: &Caller, body: Option<&str>) -> Answer {
        let request = caller.facts.request(route).unwrap();
        let header = caller.bearer.as_ref().map(|bearer| format!("Bearer {bearer}"));
        let headers: Vec<_> = header.iter().map(|value| ("authorization", value.as_str())).collect();
        if let Some(form) = request.form {
            let form_type = [("content-type", "application/x-www-form-urlencoded")];
            let headers: Vec<_> = headers.into_iter().chain(form_type).collect();
            return self.manager.request(None, (request.method, &request.target), &headers, Some(form)).await;
        }
        let body = body.map(str::to_owned).or_else(|| request.body.map(|body| body.to_string()));
        self.manager.send(request.method, &request.target, &headers, body).await
    }
}

async fn assign(manager: &Manager, who: &Principal, role: &str, environment: Option<&str>, pattern: &str) {
    let mut body = json!({"party": who.id(), "role": role, "pattern": pattern, "reason": "test"});
    if let Some(environment) = environment {
        body["environment"] = json!(environment);
    }
    manager.post("/api/roles", body).await.expect(201);
}

fn short(answer: &Answer) -> String {
    let problem = serde_json::from_str::<serde_json::Value>(&answer.text).ok();
    let code = problem.as_ref().and_then(|problem| problem["code"].as_str()).unwrap_or("-");
    format!("{} {code}", answer.status.as_u16())
}

#[actix_web::test]
async fn every_route_answers_every_caller_as_the_committed_table_says() {
    let production = Callers::new(Mode::Production).await;
    let development = Callers::new(Mode::Development).await;
    let mut table = production.table("production").await;
    table.push_str(&development.table("development").await);
    table.push_str("# a good credential: route | input | answer\n");
    let administrator = production.all.last().unwrap();
    for route in guarded_routes().filter(|route| route.takes_body()) {
        for (name, body) in MALFORMED {
            let answer = production.ask(route, administrator, Some(body)).await;
            // A repair needs to be told nothing.
            let is_whole = name == "no members" && route.id == action::SECRET_REPAIR;
            let is_refused = answer.status.is_client_error() && answer.status != 401;
            assert!(is_refused != is_whole, "{} {name}", route.id);
            writeln!(table, "{} | {name} | {}", route.id, short(&answer)).unwrap();
        }
    }
    let uncovered: Vec<&str> =
        ROUTES.rows().filter(|route| administrator.facts.request(route).is_none()).map(|route| route.id).collect();
    let listed = if uncovered.is_empty() { "none".to_owned() } else { uncovered.join(" ") };
    writeln!(table, "# uncovered: {listed}").unwrap();
    assert_eq!(uncovered, [""; 0], "give them a request in support/requests.rs");
    compare("../tests/output/manager-authorization.txt", &table);
    for (mode, callers) in [("production", &production), ("development", &development)] {
        let from = table.split(&format!("# {mode}: route")).nth(1).unwrap();
        let lines: Vec<&str> = from.lines().skip(1).take_while(|line| !line.starts_with('#')).collect();
        must_say(&callers.all, &lines);
    }
    production.manager.stop().await;
    development.manager.stop().await;
}

/// What the table must say, whoever commits it.
fn must_say(callers: &[Caller], lines: &[&str]) {
    let mut wrong = Vec::new();
    for line in lines {
        let cells: Vec<&str> = line.split(" | ").collect();
        let route = ROUTES.rows().find(|route| route.id == cells[0]).unwrap();
        for (caller, cell) in callers.iter().zip(&cells[1..]) {
            let is_open = cell.starts_with('2');
            let expected = match caller.name {
                // The client is in the form: whoever shows something else beside it is refused.
                name if route.id == action::OAUTH_TOKEN => name == "none",
                // Only the one who has asked takes it back.
                name if route.id == action::APPROVAL_CANCEL => name == "administrator",
                _ if route.access == Access::Public => true,
                _ if is_for_people(route) => false,
                "super_admin" | "administrator" => true,
                name if route.id == "me.show" => ROLES.iter().any(|(role, ..)| *role == name),
                "none" => is_open && route.access == Access::CredentialOrDevelopment,
                name => OPEN.iter().any(|(role, open)| *role == name && open.contains(&route.id)),
            };
            if is_open != expected {
                wrong.push(format!("{} of {}: {cell}", route.id, caller.name));
            }
            let may_know = ROLES.iter().any(|(name, ..)| *name == caller.name) || caller.name == "administrator";
            let is_unknown = *cell == "401 credential_invalid" || route.id == action::OAUTH_TOKEN;
            assert!(may_know || is_open || is_unknown, "{} of {}: {cell}", route.id, caller.name);
        }
    }
    assert_eq!(wrong, [""; 0], "OPEN says otherwise");
}

/// Lists are open to everybody who is known, and show what he may see. So are requests with many operations: each operation has
/// a result of its own.
const OPEN: [(&str, &[&str]); 7] = [
    (
        "service_user",
        &[
            "value.find",
            "secret.bulk",
            "secret.import",
            "version.list",
            "secret.check",
            "version.show",
            "version.diff",
            "secret.show",
            "secret.list",
            "rotation.list",
            "rotation.calendar",
            "notice.list",
            "folder.list",
            "token.list",
            "audit.list",
            "approval.list",
            "incident.list",
            "approval.create",
            "service.list",
            "token.mint",
            "environment.list",
            "role.list",
            "permission.list",
            "permission.explain",
        ],
    ),
    (
        "service_admin",
        &[
            "value.find",
            "secret.bulk",
            "secret.import",
            "secret.create",
            "secret.update",
            "secret.change",
            "version.list",
            "secret.check",
            "version.show",
            "version.diff",
            "version.create",
            "version.update",
            "secret.store",
            "secret.rollback",
            "secret.rotate",
            "secret.verify",
            "secret.promote",
            "secret.finish",
            "secret.repair",
            "secret.show",
            "secret.list",
            "rotation.list",
            "rotation.calendar",
            "notice.list",
            "folder.list",
            "token.list",
            "audit.list",
            "approval.list",
            "incident.list",
            "approval.create",
            "approval.show",
            "approval.approve",
            "approval.reject",
            "incident.open",
            "incident.show",
            "incident.update",
            "incident.report",
            "secret.delete",
            "secret.undelete",
            "service.list",
            "token.mint",
            "environment.list",
            "role.list",
            "permission.list",
            "permission.show",
            "permission.explain",
            "permission.who_can",
            "permission.dry_run",
            "credential.create",
            "credential.list",
            "credential.renew",
            "credential.disable",
            "service_token.create",
            "service.approve",
            "service.disable",
            "service.enable",
            "service.list_sole_secrets",
            "service.show",
            "service.update",
            "service_key.register",
            "service_key.list",
            "service_key.disable",
        ],
    ),
    (
        "service_admin out of its scope",
        &[
            "secret.bulk",
            "secret.import",
            "secret.list",
            "rotation.list",
            "rotation.calendar",
            "notice.list",
            "folder.list",
            "token.list",
            "audit.list",
            "approval.list",
            "incident.list",
            "service.list",
            "environment.list",
            "role.list",
            "permission.list",
        ],
    ),
    (
        "publisher",
        &[
            "secret.bulk",
            "secret.import",
            "secret.create",
            "secret.update",
            "secret.change",
            "version.list",
            "secret.check",
            "version.show",
            "version.diff",
            "version.create",
            "version.update",
            "secret.store",
            "secret.rollback",
            "secret.show",
            "secret.list",
            "rotation.list",
            "rotation.calendar",
            "notice.list",
            "folder.list",
            "token.list",
            "audit.list",
            "approval.list",
            "incident.list",
            "service.list",
            "environment.list",
            "role.list",
            "permission.list",
            "permission.explain",
        ],
    ),
    (
        "operator",
        &[
            "secret.bulk",
            "secret.import",
            "secret.list",
            "rotation.list",
            "rotation.calendar",
            "notice.list",
            "folder.list",
            "token.list",
            "audit.list",
            "approval.list",
            "incident.list",
            "service.list",
            "catalogue.reconcile",
            "catalogue.check",
            "environment.list",
            "environment.show",
            "role.list",
            "permission.list",
            "rate_limit.show",
            "rate_limit.update",
        ],
    ),
    (
        "auditor",
        &[
            "secret.bulk",
            "secret.import",
            "version.list",
            "incident.show",
            "incident.report",
            "secret.check",
            "version.show",
            "version.diff",
            "secret.show",
            "secret.list",
            "rotation.list",
            "rotation.calendar",
            "notice.list",
            "folder.list",
            "token.list",
            "audit.list",
            "approval.list",
            "incident.list",
            "service.list",
            "revocation.list",
            "environment.list",
            "environment.show",
            "group.list",
            "group.show",
            "member.list",
            "role.list",
            "permission.list",
            "permission.show",
            "permission.explain",
            "permission.who_can",
            "permission.dry_run",
            "policy_version.list",
            "policy_version.show",
        ],
    ),
    (
        "other environment",
        &[
            "secret.bulk",
            "secret.list",
            "rotation.list",
            "rotation.calendar",
            "notice.list",
            "token.list",
            "audit.list",
            "approval.list",
            "incident.list",
            "service.list",
            "environment.list",
            "role.list",
            "permission.list",
        ],
    ),
];

const MALFORMED: [(&str, &str); 5] = [
    ("truncated body", r#"{"secrets":[{"key_id":"#),
    ("body of another type", "[1,2,3]"),
    ("unknown field", r#"{"unknown":1}"#),
    ("no members", "{}"),
    (
        "null for every member",
        r#"{"user_id":null,"kind":null,"adopt":null,"versions":null,"secrets":null,"key_data":null}"#,
    ),
];
