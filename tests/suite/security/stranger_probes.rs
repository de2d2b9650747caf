//! S16: a stranger without credentials learns that the services are alive, their public keys, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use system_tests::{Answer, Call, Installation, Service};

use super::traces::{self, Needle};
use super::treasure::{Life, Treasure, hide, random_word};

const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"];
/// What everybody may see. All other routes answer a stranger with a refusal.
const PUBLIC: [&str; 5] =
    ["/health/live", "/health/ready", "/openapi.json", "/.well-known/jwks.json", "/api/key-statements"];

#[tokio::test]
async fn stranger_gets_the_same_bytes_for_what_exists_and_what_does_not() {
    let installation = Installation::builder().production().running().await;
    let treasures = hide(&installation).await;
    let secrets = names_ids_and_values(&installation, &treasures).await;
    let (known, unknown) = (Things::known(&installation, &treasures[0]).await, Things::unknown());
    let mut asked = 0;
    for service in [&installation.vault, &installation.manager] {
        for bearer in strangers_credentials() {
            let there = probe(service, &known, bearer.as_deref()).await;
            let not_there = probe(service, &unknown, bearer.as_deref()).await;
            asked += there.len();
            for (request, answer) in &there {
                let hits = traces::in_bytes(request, answer.as_bytes(), &secrets);
                assert_eq!(hits, Vec::<String>::new(), "{answer}");
                assert_eq!(answer, &not_there[request], "{request}");
            }
        }
    }
    assert!(asked > 500, "{asked}");
}

#[tokio::test]
async fn stranger_gets_no_success_but_from_the_public_routes() {
    let installation = Installation::builder().production().running().await;
    let treasures = hide(&installation).await;
    let known = Things::known(&installation, &treasures[0]).await;
    for service in [&installation.vault, &installation.manager] {
        for bearer in strangers_credentials() {
            for (request, answer) in probe(service, &known, bearer.as_deref()).await {
                let public = PUBLIC.iter().any(|path| request.starts_with(&format!("GET {path} ")));
                let success = answer.starts_with("200 ");
                assert_eq!(success, public, "{request}: {answer}");
                let refused = ["400 ", "401 ", "404 ", "405 ", "415 "].iter().any(|status| answer.starts_with(status));
                assert!(success || refused, "{request}: {answer}");
            }
        }
    }
    // What the public routes say is the same before and after there is something to hide.
    let empty = Installation::builder().production().running().await;
    for (path, members) in [("/.well-known/jwks.json", "keys"), ("/openapi.json", "paths")] {
        let count = |answer: Answer| {
            let document = answer.expect(200).json();
            let (list, map) = (document[members].as_array().map(Vec::len), document[members].as_object().map(Map::len));
            list.or(map).unwrap()
        };
        let full = count(installation.manager.call("GET", path).send().await);
        assert_eq!(full, count(empty.manager.call("GET", path).send().await), "{path}");
    }
}

#[tokio::test]
async fn control_administrator_finds_the_names_with_the_same_probe() {
    let installation = Installation::builder().production().running().await;
    let treasures = hide(&installation).await;
    let secrets = names_ids_and_values(&installation, &treasures).await;
    let known = Things::known(&installation, &treasures[0]).await;
    let answers = probe(&installation.manager, &known, Some(&installation.admin())).await;
    let text = format!("{answers:?}");
    assert!(!traces::in_bytes("answers", text.as_bytes(), &secrets).is_empty());
    assert!(listed(&treasures).all(|treasure| text.contains(&treasure.path)));
    assert_ne!(answers, probe(&installation.manager, &Things::unknown(), Some(&installation.admin())).await);
}

/// What a probe asks for.
struct Things {
    key_id: String,
    jti: String,
    path: String,
    kid: String,
    user_id: String,
}

impl Things {
    async fn known(installation: &Installation, treasure: &Treasure) -> Self {
        let jwks = installation.manager.call("GET", "/.well-known/jwks.json").send().await.expect(200).json();
        Self {
            key_id: treasure.stored.key_id.clone(),
            jti: treasure.stored.jti.clone(),
            path: treasure.path.clone(),
            kid: jwks["keys"][0]["kid"].as_str().unwrap().to_owned(),
            user_id: "user123".to_owned(),
        }
    }

    /// Of the same form and length.
    fn unknown() -> Self {
        Self {
            key_id: "sec_AAAAAAAAAAAAAAAAAAAAAA".to_owned(),
            jti: "AAAAAAAAAAAAAAAAAAAAAA".to_owned(),
            path: format!("vaulted/{}", random_word()),
            kid: "A".repeat(43),
            user_id: "user124".to_owned(),
        }
    }

    /// Bodies that the routes take.
    fn bodies(&self) -> Vec<Option<Value>> {
        let Self { key_id, jti, path, kid, user_id } = self;
        vec![
            None,
            Some(json!({"user_id": user_id, "key_data": "value", "path": path, "environment": "dev"})),
            Some(json!({"secrets": [{"key_id": key_id}], "user_id": user_id})),
            Some(json!({"versions": [1]})),
            Some(json!({"version": 1})),
            Some(json!({"key_ids": [key_id]})),
            Some(json!({"kind": "token", "jti": jti})),
            Some(json!({"kind": "signing-key", "kid": kid})),
            Some(json!({"adopt": true})),
            Some(json!([path])),
        ]
    }
}

fn strangers_credentials() -> [Option<String>; 4] {
    // A credential of the right form with a right checksum would need SHA-256 here; the wrong kinds of token are
    // tested elsewhere, with genuine ones.
    let credential = format!("spv_{}", "A".repeat(48));
    let token = ["eyJhbGciOiJSUzI1NiIsInR5cCI6ImF0K2p3dCJ9", "e30", "AAAA"].join(".");
    [None, Some(credential), Some(token), Some("x".to_owned())]
}

/// Every route with every method and body; the answers without what differs each time.
async fn probe(service: &Service, things: &Things, bearer: Option<&str>) -> BTreeMap<String, String> {
    let document = service.call("GET", "/openapi.json").send().await.expect(200).json();
    let mut templates: Vec<String> = document["paths"].as_object().unwrap().keys().cloned().collect();
    templates.extend(
        ["/", "/api", "/metrics", "/api/audit", "/api/secrets/dev/{path}", "/api/environments", "/api/users", "/debug"]
            .map(str::to_owned),
    );
    let mut answers = BTreeMap::new();
    for template in templates {
        let path =
            template.replace("{key_id}", &things.key_id).replace("{jti}", &things.jti).replace("{name}", "production");
        let queries = [String::new(), format!("?environment=dev&after={}", things.key_id)];
        for (query, method) in queries.iter().flat_map(|query| METHODS.map(|method| (query, method))) {
            let path = format!("{}{query}", path.replace("{path}", &things.path));
            for (number, body) in things.bodies().iter().enumerate() {
                // A body says more only where one is read.
                if body.is_some() && (method != "POST" || !query.is_empty()) {
                    continue;
                }
                let mut call = Call::new(service.port(), method, &path);
                if let Some(bearer) = bearer {
                    call = call.bearer(bearer);
                }
                if let Some(body) = body {
                    call = call.json(body);
                }
                let answer = call.send().await;
                let question = if query.is_empty() { "" } else { "?query" };
                answers.insert(format!("{method} {template} {question} body {number}"), normalized(&answer));
            }
        }
    }
    answers
}

/// Status, headers and body, without the request's id and the date. The lives of public keys are theirs to see.
fn normalized(answer: &Answer) -> String {
    let id = answer.header("x-request-id").unwrap_or_default().to_owned();
    // Their order changes from thread to thread.
    let mut headers = answer.headers.clone();
    headers.retain(|(name, _)| !matches!(name.as_str(), "x-request-id" | "date"));
    headers.sort();
    let body = String::from_utf8_lossy(&answer.body).replace(if id.is_empty() { "no id" } else { &id }, "<id>");
    format!("{} {headers:?} {body}", answer.status)
}

/// Those that a list shows.
fn listed(treasures: &[Treasure]) -> impl Iterator<Item = &Treasure> {
    treasures.iter().filter(|treasure| !matches!(treasure.life, Life::Deleted | Life::Destroyed))
}

/// What a stranger must not find anywhere in an answer.
async fn names_ids_and_values(installation: &Installation, treasures: &[Treasure]) -> Vec<Needle> {
    let secrets = installation.admin_call("GET", "/api/secrets", None).await.expect(200).json();
    let listed = listed(treasures).map(|treasure| &treasure.stored.key_id).collect::<BTreeSet<_>>();
    assert_eq!(secrets["secrets"].as_array().unwrap().len(), listed.len());
    let tokens = installation.admin_call("GET", "/api/tokens", None).await.expect(200).json();
    let token = &tokens["tokens"][0];
    let mut needles = vec![
        Needle::new("the administrator's credential", installation.admin().as_bytes()),
        Needle::new("a credential's id", token["client_id"].as_str().unwrap().as_bytes()),
        Needle::new("a subject", token["sub"].as_str().unwrap().as_bytes()),
    ];
    for treasure in treasures {
        let word = treasure.path.split('/').next_back().unwrap();
        for (what, text) in [("name", word), ("value", &treasure.value), ("id", &treasure.stored.key_id)] {
            needles.push(Needle::new(what, text.as_bytes()));
        }
    }
    needles
}
