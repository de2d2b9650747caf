//! Every route with every wrong credential and malformed input. The table of answers is evidence: changing it is a
//! decision, made with `UPDATE_EVIDENCE=1 cargo test -p encrypted-vault --test suite`.

use std::fmt::Write as _;
use std::path::Path;

use actix_web::http::Method;
use actix_web::test::TestRequest;
use encrypted_vault::routes::{ROUTES, openapi_json};
use service_runtime::http::{Access, Route};
use shared_proto::command::Operation;
use shared_proto::event::Event;
use shared_proto::identity::{IdentityKey, Mode};
use shared_proto::wire::vault::{MAX_BATCH, MAX_PAGE, Push};

use crate::support::{Manager, NOW, Reply, Secret, World, send};

/// A vault, a secret, and credentials of every sort.
struct Credentials {
    world: World,
    secret: Secret,
    bearers: Vec<(&'static str, Option<String>)>,
}

impl Credentials {
    async fn new() -> Self {
        let mut world = World::new().await;
        let (secret, other) = (world.secret("v").await, world.secret("w").await);
        let revoked = world.draft(&[secret]);
        world.revoke(Event::Token(revoked.jti.parse().unwrap())).await;
        let mut expired = world.draft(&[secret]);
        (expired.iat, expired.nbf, expired.exp) = (NOW - 900, NOW - 900, NOW);
        let stranger = Manager {
            identity: IdentityKey::generate().unwrap().0,
            ..Manager::new(world.manager.vault, Mode::Development)
        };
        let mut foreign = world.draft(&[secret]);
        foreign.iss = stranger.issuer().to_string();
        let bearers = vec![
            ("none", None),
            ("garbage", Some("garbage".to_owned())),
            (
                "service credential",
                Some(shared_proto::credential::PlainCredential::generate().expose_text().to_string()),
            ),
            ("token", Some(world.token(&[secret]))),
            ("token of another secret", Some(world.token(&[other]))),
            ("token of another manager", Some(foreign.sign())),
            ("expired token", Some(expired.sign())),
            ("revoked token", Some(revoked.sign())),
        ];
        Self { world, secret, bearers }
    }

    /// The body that a route takes, and what the manager would call it.
    fn body(&self, route: &Route) -> (Operation, Vec<u8>) {
        let manager = &self.world.manager;
        let (op, body) = match route.id {
            "secret.read_batch" => (Operation::Poll, format!(r#"{{"key_ids":["{}"]}}"#, self.secret.id)),
            "command.run" => {
                let poll = manager.poll_body(self.world.seal_kid());
                (Operation::Poll, serde_json::to_string(&poll).unwrap())
            }
            "event.push" => {
                let push = Push { events: manager.events.clone(), ..manager.push_body(0) };
                (Operation::Push, serde_json::to_string(&push).unwrap())
            }
            _ => (Operation::Poll, String::new()),
        };
        (op, body.into_bytes())
    }

    fn request(&self, route: &Route, bearer: Option<&str>, body: Vec<u8>) -> TestRequest {
        let path = route.path.replace("{key_id}", &self.secret.id.to_string());
        let mut request = TestRequest::default().method(route.method.clone()).uri(&path);
        if let Some(bearer) = bearer {
            request = request.insert_header(("authorization", format!("Bearer {bearer}")));
        }
        if !body.is_empty() {
            request = request.insert_header(("content-type", "application/json")).set_payload(body);
        }
        request
    }

    /// Commands by whom and for what they should not be, beside the good one.
    fn orders(&self, op: Operation, body: &[u8]) -> Vec<(&'static str, Option<String>)> {
        let manager = &self.world.manager;
        let stranger = Manager::new(manager.vault, Mode::Development);
        let other_vault = Manager::new(shared_proto::id::VaultId::generate(), Mode::Development);
        let impostor = Manager { id: manager.id, ..Manager::new(manager.vault, Mode::Development) };
        vec![
            ("command", Some(manager.command(op, body, NOW))),
            ("expired command", Some(manager.command(op, body, NOW - 60))),
            ("command of another manager", Some(stranger.command(op, body, NOW))),
            ("command of an impostor", Some(impostor.command(op, body, NOW))),
            ("command for another vault", Some(other_vault.command(op, body, NOW))),
            ("command for another body", Some(manager.command(op, b"{}", NOW))),
            ("event", Some(manager.events[0].clone())),
        ]
    }
}

fn answer(reply: &Reply) -> String {
    let problem = serde_json::from_slice::<serde_json::Value>(&reply.body).ok();
    let code = problem.as_ref().and_then(|body| body["code"].as_str()).unwrap_or("-");
    format!("{} {code}", reply.status)
}

#[actix_web::test]
async fn every_route_answers_every_credential_as_the_committed_table_says() {
    let all = Credentials::new().await;
    let mut table = String::from("# route | credential or input | answer\n");
    for route in ROUTES.rows() {
        let (op, body) = all.body(route);
        let mut opened = Vec::new();
        for (name, bearer) in all.bearers.iter().chain(&all.orders(op, &body)) {
            let reply = send(&all.world.vault, all.request(route, bearer.as_deref(), body.clone())).await;
            writeln!(table, "{} | {name} | {}", route.id, answer(&reply)).unwrap();
            if reply.status < 300 {
                opened.push(*name);
            }
        }
        let expected: &[&str] = match route.access {
            Access::AccessToken if route.id == "secret.read_batch" => &["token", "token of another secret"],
            Access::AccessToken => &["token"],
            Access::Command => &["command"],
            Access::Public => continue,
            Access::Credential | Access::CredentialOrDevelopment => panic!("the vault has no administrator"),
        };
        assert_eq!(opened, expected, "{}", route.id);
    }
    for route in ROUTES.rows().filter(|route| route.takes_body()) {
        for (name, body) in malformed() {
            let (op, _) = all.body(route);
            let bearer = match route.access {
                Access::Command => all.world.manager.command(op, &body, NOW),
                Access::AccessToken | Access::Public | Access::Credential | Access::CredentialOrDevelopment => {
                    all.world.token(&[all.secret])
                }
            };
            let reply = send(&all.world.vault, all.request(route, Some(&bearer), body.clone())).await;
            writeln!(table, "{} | good credential, {name} | {}", route.id, answer(&reply)).unwrap();
            assert!((400..500).contains(&reply.status), "{} {name}", route.id);
            let stranger = send(&all.world.vault, all.request(route, None, body)).await;
            assert_eq!(stranger.status, 401, "{} {name}: a stranger's body is not looked at", route.id);
        }
    }
    compare("../tests/output/vault-authorization.txt", &table);
}

fn malformed() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("truncated body", br#"{"nonce":"AAAA"#.to_vec()),
        ("body of another type", b"[1,2,3]".to_vec()),
        ("unknown field", br#"{"unknown":1}"#.to_vec()),
        ("body that is not UTF-8", b"{\"key_ids\":[\"\xff\"]}".to_vec()),
        ("deeply nested body", [vec![b'['; 3_000], vec![b']'; 3_000]].concat()),
        ("body over the limit", vec![b' '; (16 << 20) + 1]),
    ]
}

#[actix_web::test]
async fn head_needs_what_get_needs() {
    let all = Credentials::new().await;
    let good = all.world.token(&[all.secret]);
    for route in ROUTES.rows().filter(|route| *route.method == Method::GET) {
        let path = route.path.replace("{key_id}", &all.secret.id.to_string());
        for token in [None, Some("x"), Some(good.as_str())] {
            let ask = async |method| {
                let mut request = TestRequest::default().method(method).uri(&path);
                if let Some(token) = token {
                    request = request.insert_header(("authorization", format!("Bearer {token}")));
                }
                send(&all.world.vault, request).await.status
            };
            let (head, get) = (ask(Method::HEAD).await, ask(Method::GET).await);
            assert_eq!(head, get, "{path}");
            assert!(
                route.access == Access::Public || (head == 200) == (token == Some(good.as_str())),
                "{path}: {head}"
            );
        }
    }
}

#[actix_web::test]
async fn other_methods_and_paths_are_refused() {
    let all = Credentials::new().await;
    let vault = &all.world.vault;
    for route in ROUTES.rows() {
        let path = route.path.replace("{key_id}", &all.secret.id.to_string());
        for method in [Method::PUT, Method::DELETE, Method::PATCH, Method::HEAD, Method::OPTIONS, Method::TRACE] {
            if (route.method, &method) == (&Method::GET, &Method::HEAD) {
                continue;
            }
            let reply = send(vault, TestRequest::default().method(method.clone()).uri(&path)).await;
            assert_eq!(reply.problem(), (405, "method_not_allowed".to_owned()), "{method} {path}");
        }
    }
    let token = all.world.token(&[all.secret]);
    let id = all.secret.id;
    for (path, status) in [
        (format!("/api/keys/{id}/"), 404),
        ("/api/keys".to_owned(), 404),
        ("/".to_owned(), 404),
        (format!("/api/keys/../keys/{id}"), 400),
        (format!("/api/keys/%2e%2e/{id}"), 400),
        (format!("/api//keys/{id}"), 400),
        (format!("/api/keys/{id}%00"), 400),
        (format!("/api/keys%2f{id}"), 400),
        ("/api/keys/%c0%ae".to_owned(), 400),
    ] {
        let reply = crate::support::get(vault, &path, &token).await;
        assert_eq!(reply.status, status, "{path}");
    }
}

#[test]
fn the_openapi_document_is_the_committed_one_and_names_every_route() {
    let document: serde_json::Value = serde_json::from_str(&openapi_json()).unwrap();
    for route in ROUTES.rows() {
        let method = route.method.as_str().to_ascii_lowercase();
        let operation = &document["paths"][route.path][&method];
        assert_eq!(operation["operationId"], route.id);
        if route.path.contains("{key_id}") {
            let id = &operation["parameters"][0];
            assert_eq!((&id["name"], &id["in"]), (&"key_id".into(), &"path".into()));
            assert_eq!(id["schema"]["$ref"], "#/components/schemas/SecretId");
        }
    }
    assert!(document["components"]["schemas"]["SecretId"]["pattern"].is_string());
    let operations: usize =
        document["paths"].as_object().unwrap().values().map(|path| path.as_object().unwrap().len()).sum();
    assert_eq!(operations, ROUTES.rows().count());
    compare("../docs/openapi/encrypted-vault.json", &format!("{}\n", openapi_json()));
}

#[test]
fn limits_of_a_request_are_those_that_the_code_has() {
    let document: serde_json::Value = serde_json::from_str(&openapi_json()).unwrap();
    let member = |body: &str, name: &str| document["components"]["schemas"][body]["properties"][name].clone();
    for (body, name) in [
        ("ReadKeys", "key_ids"),
        ("Store", "envelopes"),
        ("Settle", "versions"),
        ("Handout", "versions"),
        ("Rewrap", "rows"),
    ] {
        let list = member(body, name);
        assert_eq!((&list["minItems"], &list["maxItems"]), (&1.into(), &MAX_BATCH.into()), "{body}");
    }
    assert_eq!(member("ReadKeys", "key_ids")["uniqueItems"], true);
    assert_eq!(member("Push", "events")["maxItems"], MAX_PAGE);
    for body in ["Replay", "Inventory"] {
        assert_eq!(member(body, "limit")["maximum"], MAX_PAGE);
    }
}

/// Compares with a committed file, or writes it when asked.
fn compare(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    if std::env::var_os("UPDATE_EVIDENCE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, found).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == found, "{name} differs; look at it with UPDATE_EVIDENCE=1, and commit it if it is meant");
}
