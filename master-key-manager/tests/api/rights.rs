//! A right that ends while its request is under way: the body is held back, or the store is about to act. Every route
//! that needs a credential, by the table of routes.

use std::collections::BTreeSet;
use std::sync::Arc;

use actix_web::http::Method;
use actix_web::{App, HttpServer};
use manager_registry::{Author, Change};
use manager_store::sql::SqlStore;
use master_key_manager::access::View;
use master_key_manager::config::Config;
use master_key_manager::init::replace_administrators;
use master_key_manager::installation::open_registry;
use master_key_manager::routes::{ROUTES, data};
use serde_json::{Value, json};
use service_runtime::config::Mode;
use service_runtime::http::{Route, Stack, mount};
use shared_proto::command::Operation;
use shared_proto::credential::PlainCredential;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Facts, Installed, Manager, changes_the_registry, routes_of_services, until};

/// A manager whose administrator is replaced, which disables the credential that requests were sent with.
struct Replaced {
    installed: Installed,
    manager: Manager,
    facts: Facts,
}

impl Replaced {
    async fn new() -> Self {
        let installed = Installed::new(Mode::Production).await;
        let mut manager = installed.start().await;
        let facts = Facts::new(&installed, &manager).await;
        // The reads of the registry that these tests count are those of requests.
        manager.end_maintenance().await;
        Self { installed, manager, facts }
    }

    /// Another process on the same database and key folder.
    fn other(&self) -> Other {
        Other { config: self.installed.config.clone(), store: self.manager.store.clone() }
    }

    /// Replaces the administrator when the job has returned, before its caller hears of it.
    fn replace_after(&self, job: &'static str, successor: PlainCredential) {
        let other = self.other();
        self.manager.faults.after_calls(job, 1, move || other.replace(successor));
    }

    /// The next look at a credential is a job of the database.
    fn forget(&self) {
        self.manager.app.registry.forget();
    }

    /// How many rows the vault has, and what it was asked beside the feed.
    fn vault(&self) -> (usize, BTreeSet<String>) {
        let vault = self.installed.vault.state();
        let asked = |order: &&Operation| !matches!(order, Operation::Poll | Operation::Push);
        let orders = vault.orders.iter().filter(asked).map(|order| format!("{order:?}"));
        (vault.rows.len(), orders.collect())
    }

    /// Everything that a request could have changed or had changed, as the administrator sees it.
    async fn state(&self) -> Value {
        let list = async |path: &str| self.manager.admin(Method::GET, path, None).await.expect(200).json();
        let events = list("/api/revocations?limit=500").await;
        let others = |event: &&Value| event["kind"] != "credential";
        let events: Vec<Value> = events["events"].as_array().unwrap().iter().filter(others).cloned().collect();
        let (rows, orders) = self.vault();
        json!({
            "secrets": list("/api/secrets").await,
            "versions": format!("{:?}", self.manager.versions()),
            "tokens": list("/api/tokens").await,
            "groups": list("/api/groups").await,
            "roles": list("/api/roles").await,
            "permissions": list("/api/permissions").await,
            "events": events,
            "rows": rows,
            "orders": orders,
        })
    }
}

/// Another process.
struct Other {
    config: Config,
    store: SqlStore,
}

impl Other {
    /// Replaces the administrator's credential.
    async fn replace(self, successor: PlainCredential) {
        let registry = Arc::new(open_registry(&self.config, Arc::new(self.store)).await.unwrap());
        replace_administrators(&self.config, &registry, &successor).await.unwrap();
    }

    /// Makes an entry about services, which may concern everybody.
    async fn touch(self) {
        let registry = Arc::new(open_registry(&self.config, Arc::new(self.store)).await.unwrap());
        let by = (Author::Operator, "", 1);
        let services = |view: &View| Ok(view.state.services().cloned().map(Change::from).collect());
        registry.change(by, None, services).await.unwrap();
    }
}

fn text(credential: &PlainCredential) -> String {
    credential.expose_text().to_string()
}

#[actix_web::test]
async fn credential_disabled_while_the_body_is_held_back_does_nothing_on_any_route() {
    let mut all = Replaced::new().await;
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let app = Arc::clone(&all.manager.app);
    let server = HttpServer::new(move || {
        App::new().wrap(Stack::new(Mode::Production)).configure(data(Arc::clone(&app))).configure(mount(ROUTES))
    });
    let server = server.workers(1).disable_signals().listen(socket).unwrap().run();
    let handle = server.handle();
    let serving = tokio::spawn(server);
    for route in routes_of_services() {
        let before = all.state().await;
        let request = all.facts.request(route).unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        all.forget();
        let looks = all.manager.faults.calls("registry");
        let head = format!(
            "{} {} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
             connection: close\r\ntransfer-encoding: chunked\r\n\r\n",
            request.method, request.target, all.manager.credential
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        until("the head was read", async || all.manager.faults.calls("registry") > looks).await;
        let successor = PlainCredential::generate();
        let text = text(&successor);
        all.other().replace(successor).await;
        let body = request.body.map(|body| body.to_string()).unwrap_or_default();
        let chunk = if body.is_empty() { String::new() } else { format!("{:x}\r\n{body}\r\n", body.len()) };
        stream.write_all(format!("{chunk}0\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("credential_invalid"), "{}: {answer}", route.id);
        all.manager.credential = text;
        assert_eq!(all.state().await, before, "{}", route.id);
    }
    handle.stop(false).await;
    serving.await.unwrap().unwrap();
    all.manager.stop().await;
}

#[actix_web::test]
async fn credential_disabled_after_the_last_look_at_it_does_nothing_on_any_route() {
    let mut all = Replaced::new().await;
    for route in routes_of_services() {
        let before = all.state().await;
        let successor = PlainCredential::generate();
        let text = text(&successor);
        // One look for the head, one for the body: what acts now has to look itself.
        all.forget();
        let (app, other, faults) = (all.manager.app.clone(), all.other(), all.manager.faults.clone());
        all.manager.faults.after_calls("registry", 1, move || async move {
            app.registry.forget();
            faults.after_calls("registry", 1, move || other.replace(successor));
        });
        let answer = ask(&all, route).await;
        assert_eq!(answer, (401, "credential_invalid".to_owned()), "{}", route.id);
        all.manager.credential = text;
        assert_eq!(all.state().await, before, "{}", route.id);
    }
    all.each_route_acts().await;
}

/// Decided by facts that change before the act. What is about services, trusts, people, groups, policy or settings is decided anew on the state that it shows
/// or changes, and is done if that still allows it, and so is what changes the registry.
#[actix_web::test]
async fn policy_that_changes_after_the_decision_lets_no_route_act() {
    let all = Replaced::new().await;
    let is_decided_anew = |route: &&Route| DECIDED_ANEW.iter().any(|noun| route.id.starts_with(noun));
    assert!(routes_of_services().filter(is_decided_anew).count() > DECIDED_ANEW.len());
    for route in routes_of_services().filter(|route| !is_decided_anew(route) && !changes_the_registry(route)) {
        let before = all.state().await;
        // The facts are read for the body, and change when they are read.
        all.forget();
        let (app, other, faults) = (all.manager.app.clone(), all.other(), all.manager.faults.clone());
        all.manager.faults.after_calls("registry", 1, move || async move {
            app.registry.forget();
            faults.after_calls("registry", 1, move || other.touch());
        });
        let answer = ask(&all, route).await;
        assert_eq!(answer, (401, "credential_invalid".to_owned()), "{}", route.id);
        // The next request is decided by the facts of its time.
        assert_eq!(all.state().await, before, "{}", route.id);
    }
    all.each_route_acts().await;
}

const DECIDED_ANEW: [&str; 19] = [
    "secret.delete",
    "secret.undelete",
    "secret.erase",
    "approval.",
    "incident.",
    "group.",
    "member.",
    "role.",
    "permission.",
    "policy_version.",
    "rate_limit.update",
    "service.",
    "service_key.",
    "credential.",
    "trust.",
    "person.",
    "enrolment.",
    "session.",
    "me.",
];

impl Replaced {
    /// The control: with a right that stays, each route acts.
    async fn each_route_acts(self) {
        let all = self;
        for route in routes_of_services() {
            let (status, code) = ask(&all, route).await;
            assert!((200..300).contains(&status), "{}: {status} {code}", route.id);
        }
        let secrets = all.manager.admin(Method::GET, "/api/secrets", None).await.expect(200).text;
        assert!(secrets.contains("\"late\"") && secrets.contains(&all.facts.lost));
        assert!(all.manager.versions().iter().any(|version| version.state == "destroyed"));
        all.manager.stop().await;
    }
}

async fn ask(all: &Replaced, route: &Route) -> (u16, String) {
    let request = all.facts.request(route).unwrap();
    let answer = all.manager.admin(request.method, &request.target, request.body).await;
    (answer.status.as_u16(), answer.json()["code"].as_str().unwrap_or_default().to_owned())
}

/// What the vault was asked before a caller lost his right is not undone, and the next page is not asked for.
#[actix_web::test]
async fn reconcile_of_a_disabled_credential_asks_the_vault_nothing_more() {
    let all = Replaced::new().await;
    all.replace_after("look_again", PlainCredential::generate());
    let answer = all.manager.post("/api/reconcile", json!({"adopt": true})).await;
    answer.expect(401).refused("credential_invalid");
    let asked = all.installed.vault.state().orders.iter().filter(|order| **order == Operation::Inventory).count();
    assert_eq!(asked, 1);
    all.manager.stop().await;
}

/// A write that began while its credential was good is in the vault; what it does not get is a token.
#[actix_web::test]
async fn write_whose_credential_is_disabled_on_its_way_to_the_vault_gets_no_token() {
    let mut all = Replaced::new().await;
    let before = all.state().await;
    let successor = PlainCredential::generate();
    let text = text(&successor);
    all.replace_after("begin", successor);
    all.manager.store_value("p", "v").await.expect(401).refused("credential_invalid");
    all.manager.credential = text;
    let after = all.state().await;
    assert_eq!(after["tokens"], before["tokens"]);
    assert_ne!(after["secrets"], before["secrets"]);
    all.manager.stop().await;
}

#[actix_web::test]
async fn write_whose_policy_changes_on_its_way_to_the_vault_gets_no_token() {
    let all = Replaced::new().await;
    let before = all.state().await;
    let other = all.other();
    all.manager.faults.after_calls("begin", 1, move || other.touch());
    all.manager.store_value("p", "v").await.expect(401).refused("credential_invalid");
    let after = all.state().await;
    assert_eq!(after["tokens"], before["tokens"]);
    assert_ne!(after["secrets"], before["secrets"]);
    all.manager.stop().await;
}

#[actix_web::test]
async fn strangers_whose_credential_was_disabled_store_nothing() {
    let installed = Installed::new(Mode::Development).await;
    let manager = installed.start().await;
    let client = manager.app.installation.anonymous.to_string();
    let disable = json!({"kind": "disable-credential", "client_id": client});
    manager.post("/api/revocations", disable).await.expect(200);
    for token in [true, false] {
        let body = json!({"user_id": "u", "key_data": "x", "token": token}).to_string();
        let answer = manager.send(Method::POST, "/api/keys", &[], Some(body)).await;
        answer.expect(401).refused("credential_invalid");
    }
    assert!(installed.vault.state().rows.is_empty());
    manager.store_value("p", "v").await.expect(201);
    manager.stop().await;
}

/// What it may do ends at once, because each transaction looks itself; here the memory of the process follows.
#[actix_web::test]
async fn credential_that_another_process_disabled_is_forgotten() {
    let all = Replaced::new().await;
    all.manager.admin(Method::GET, "/api/secrets", None).await.expect(200);
    all.other().replace(PlainCredential::generate()).await;
    until("it is refused", async || all.manager.admin(Method::GET, "/api/secrets", None).await.status == 401).await;
    all.manager.stop().await;
}
