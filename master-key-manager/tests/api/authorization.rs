//! What every route answers to every sort of caller. The table is evidence: changing it is a decision, made with
//! `UPDATE_EVIDENCE=1 cargo test -p master-key-manager --test api`.

use std::fmt::Write as _;

use master_key_manager::init::reset_administrator;
use master_key_manager::routes::ROUTES;
use service_runtime::config::Mode;
use service_runtime::http::{Access, Route};
use shared_proto::credential::PlainCredential;

use crate::support::{Answer, Facts, Installed, Manager, compare, guarded_routes};

/// A manager with everything that routes are about, and callers of every sort.
struct Callers {
    manager: Manager,
    facts: Facts,
    /// The administrator is the last: what he does changes what is there.
    bearers: Vec<(&'static str, Option<String>)>,
    _installed: Installed,
}

impl Callers {
    async fn new(mode: Mode) -> Self {
        let mut installed = Installed::new(mode).await;
        let disabled = std::mem::take(&mut installed.credential);
        installed.credential = reset_administrator(&installed.config).await.unwrap().expose_text().to_string();
        let manager = installed.start().await;
        let facts = Facts::new(&installed, &manager).await;
        let token = manager.store_value("token", "v").await.expect(201).member("access_token");
        let bearers = vec![
            ("none", None),
            ("malformed", Some("x".to_owned())),
            ("unknown", Some(PlainCredential::generate().expose_text().to_string())),
            ("disabled", Some(disabled)),
            ("access token", Some(token)),
            ("administrator", Some(manager.credential.clone())),
        ];
        Self { manager, facts, bearers, _installed: installed }
    }

    /// A line for each route, with the answer to each caller.
    async fn table(&self, mode: &str) -> String {
        let names: Vec<&str> = self.bearers.iter().map(|(name, _)| *name).collect();
        let mut table = format!("# {mode}: route | {}\n", names.join(" | "));
        for route in ROUTES.rows().filter(|route| self.facts.request(route).is_some()) {
            let mut answers = Vec::new();
            for (_, bearer) in &self.bearers {
                answers.push(short(&self.ask(route, bearer.as_deref(), None).await));
            }
            writeln!(table, "{} | {}", route.id, answers.join(" | ")).unwrap();
        }
        table
    }

    async fn ask(&self, route: &Route, bearer: Option<&str>, body: Option<&str>) -> Answer {
        let request = self.facts.request(route).unwrap();
        let header = bearer.map(|bearer| format!("Bearer {bearer}"));
        let headers: Vec<_> = header.iter().map(|value| ("authorization", value.as_str())).collect();
        let body = body.map(str::to_owned).or_else(|| request.body.map(|body| body.to_string()));
        self.manager.send(request.method, &request.target, &headers, body).await
    }
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
    for route in guarded_routes().filter(|route| route.takes_body()) {
        for (name, body) in MALFORMED {
            let answer = production.ask(route, Some(&production.manager.credential), Some(body)).await;
            assert!(answer.status.is_client_error() && answer.status != 401, "{} {name}", route.id);
            writeln!(table, "{} | {name} | {}", route.id, short(&answer)).unwrap();
        }
    }
    let uncovered: Vec<&str> =
        ROUTES.rows().filter(|route| production.facts.request(route).is_none()).map(|route| route.id).collect();
    let listed = if uncovered.is_empty() { "none".to_owned() } else { uncovered.join(" ") };
    writeln!(table, "# uncovered: {listed}").unwrap();
    assert_eq!(uncovered, [""; 0], "give them a request in support/requests.rs");
    compare("../tests/output/manager-authorization.txt", &table);
    // What the table must say, whoever commits it.
    for line in table.lines().take_while(|line| !line.starts_with("# a good")).filter(|line| !line.starts_with('#')) {
        let cells: Vec<&str> = line.split(" | ").collect();
        let route = ROUTES.rows().find(|route| route.id == cells[0]).unwrap();
        let open = |cell: &str| cell.starts_with('2');
        assert!(cells[1..].last().is_some_and(|cell| open(cell)), "{line}");
        if route.access != Access::Public {
            assert!(cells[2..cells.len() - 1].iter().all(|cell| *cell == "401 credential_invalid"), "{line}");
        }
    }
    production.manager.stop().await;
    development.manager.stop().await;
}

const MALFORMED: [(&str, &str); 5] = [
    ("truncated body", r#"{"grants":[{"key_id":"#),
    ("body of another type", "[1,2,3]"),
    ("unknown field", r#"{"unknown":1}"#),
    ("no members", "{}"),
    (
        "null for every member",
        r#"{"user_id":null,"kind":null,"adopt":null,"versions":null,"grants":null,"key_data":null}"#,
    ),
];
