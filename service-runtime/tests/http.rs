//! The HTTP plumbing over real sockets.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, also in its helpers"
)]

#[path = "support/anybody.rs"]
mod anybody;

use std::net::SocketAddr;

use actix_web::{HttpRequest, HttpResponse, web};
use anybody::Anybody;
use service_runtime::{
    Refusal,
    config::Mode,
    http::{
        Access, Answer, Draft, Guarded, LIVE, Parameter, Route, ServeConfig, Table, Tables, call, openapi, origin_of,
        read_json, serve,
    },
    tasks::Tasks,
};
use shared_proto::error::ErrorCode;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Notify, oneshot},
};

static ROUTES: Table = Table::new(&[&[
    LIVE,
    row(Route::get("note.read", "/api/notes/{note}", A_ROUTE).parameters(&[NOTE]), || call(read_note)),
    row(Route::post("note.write", "/api/notes/{note}", A_ROUTE).parameters(&[NOTE]).body::<Note>(64), || {
        call(|_: Anybody, req, payload| write_note(req, payload))
    }),
    row(Route::get("secret", "/api/secrets/{environment}/{path:.*}", A_ROUTE), || call(read_note)),
    row(Route::get("panic", "/panic", A_ROUTE), || call(panics)),
    row(Route::get("refused", "/refused", A_ROUTE), || call(refused)),
    row(Route::post("refused.write", "/api/refused", A_ROUTE), || call(refused)),
    Route::get("unready", "/unready", A_ROUTE)
        .answers(&[Answer::text(200, "Ready."), Answer::text(503, "Not ready.")])
        .public(|| web::to(unready)),
    row(Route::get("slow", "/slow", A_ROUTE), || call(|_: Anybody, gate| slow(gate))),
    Route::get("other_kind", "/other-kind", A_ROUTE)
        .answers(&[Answer::other(200, "Done.")])
        .needs(Access::Credential, || call(read_note)),
    row(Route::get("typed", "/typed", A_ROUTE), || call(typed)),
]]);

const A_ROUTE: &str = "A route of this test.";
const NOTE: Parameter = Parameter::path::<String>("note", "The note.");

const fn row(draft: Draft, handler: fn() -> Guarded) -> Route {
    draft.answers(const { &[Answer::other(200, "Done.")] }).needs(Access::AccessToken, handler)
}

async fn read_note(_: Anybody, req: HttpRequest) -> HttpResponse {
    let id = origin_of(&req).request_id().to_owned();
    let route = Route::of(&req).map_or("none", |row| row.id);
    HttpResponse::Ok().body(format!("{route} {id}"))
}

#[derive(serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Note {
    text: String,
    #[expect(dead_code, reason = "only its decoding is tested")]
    count: Option<u8>,
}

async fn write_note(req: HttpRequest, payload: web::Payload) -> Result<HttpResponse, Refusal> {
    let limit = Route::of(&req).map_or(0, |row| row.body_limit);
    let note: Note = read_json(&req, payload, limit).await?;
    Ok(HttpResponse::Created().body(note.text))
}

async fn panics(_: Anybody) -> HttpResponse {
    panic!("canary of a panic")
}

async fn refused(_: Anybody) -> Result<HttpResponse, Refusal> {
    Err(Refusal::new(ErrorCode::TokenInvalid).cause("canary of a cause"))
}

async fn unready() -> HttpResponse {
    HttpResponse::ServiceUnavailable().body("starting")
}

async fn slow(gate: web::Data<Gate>) -> HttpResponse {
    gate.entered.notify_one();
    gate.go.notified().await;
    HttpResponse::Ok().body("finished")
}

async fn typed(_: Anybody, _query: web::Query<Note>) -> HttpResponse {
    HttpResponse::Ok().finish()
}

#[derive(Default)]
struct Gate {
    entered: Notify,
    go: Notify,
}

struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    gate: web::Data<Gate>,
    running: actix_web::rt::task::JoinHandle<Result<(), service_runtime::StartError>>,
    _dir: tempfile::TempDir,
}

impl Server {
    async fn start(mode: Mode) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ready = dir.path().join("ready");
        let mut config = ServeConfig::new("127.0.0.1:0".parse().unwrap());
        config.workers = 1;
        config.limits.head_seconds = 60;
        config.ready_file = Some(ready.clone());
        let (stop, stopped) = oneshot::channel::<()>();
        let gate = web::Data::new(Gate::default());
        let data = gate.clone();
        let configure = move |app: &mut web::ServiceConfig| {
            app.app_data(data.clone());
        };
        let running = actix_web::rt::spawn(serve(
            config,
            mode,
            Tables { public: ROUTES, operator: Table::new(&[]) },
            configure,
            async {
                let _dropped = stopped.await;
            },
        ));
        let address = loop {
            if let Ok(text) = std::fs::read_to_string(&ready) {
                break text.parse().unwrap();
            }
            tokio::task::yield_now().await;
        };
        Self { address, stop, gate, running, _dir: dir }
    }

    async fn raw(&self, request: &[u8]) -> String {
        let (mut reading, mut writing) = TcpStream::connect(self.address).await.unwrap().into_split();
        let mut answer = Vec::new();
        // The server may answer and close before it has read everything.
        let (_closed_early, _reset) = tokio::join!(writing.write_all(request), reading.read_to_end(&mut answer));
        String::from_utf8(answer).unwrap()
    }

    async fn get(&self, target: &str, headers: &str) -> String {
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost:1\r\nConnection: close\r\n{headers}\r\n");
        self.raw(request.as_bytes()).await
    }

    async fn post(&self, headers: &str, body: &str) -> String {
        let length = body.len();
        let request = format!(
            "POST /api/notes/1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
        );
        self.raw(request.as_bytes()).await
    }
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).unwrap_or_default().parse().unwrap_or(0)
}

fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let head = answer.split("\r\n\r\n").next()?;
    head.lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .find(|(n, _)| n.eq_ignore_ascii_case(name))
        .map(|f| f.1)
}

fn assert_problem(answer: &str, status_code: u16, code: &str) {
    assert_eq!(status(answer), status_code, "{answer}");
    assert_eq!(header(answer, "content-type"), Some("application/problem+json"), "{answer}");
    assert_eq!(header(answer, "cache-control"), Some("no-store"), "{answer}");
    assert_eq!(header(answer, "x-content-type-options"), Some("nosniff"), "{answer}");
    let body: serde_json::Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!(body["code"], code, "{answer}");
    assert_eq!(body["status"], status_code);
    let id = header(answer, "x-request-id").unwrap();
    assert_eq!(id.len(), 22);
    assert_eq!(body["request_id"], id);
    assert!(!answer.contains("canary"), "{answer}");
}

#[actix_web::test]
async fn handler_that_checks_another_kind_of_access_than_its_row_asks_for_refuses_everybody() {
    let server = Server::start(Mode::Production).await;
    let answer = server.get("/other-kind", "").await;
    assert!(answer.starts_with("HTTP/1.1 500") && answer.contains("\"internal\""), "{answer}");
}

#[actix_web::test]
async fn request_ids_are_ours_and_unique() {
    let server = Server::start(Mode::Production).await;
    let mut seen = std::collections::HashSet::new();
    for _ in 0..50 {
        let answer = server.get("/api/notes/1", "X-Request-Id: chosen-by-client\r\n").await;
        let id = header(&answer, "x-request-id").unwrap().to_owned();
        assert!(answer.ends_with(&format!("note.read {id}")), "{answer}");
        assert_eq!(header(&answer, "cache-control"), Some("no-store"));
        assert!(!answer.contains("chosen-by-client") && seen.insert(id));
    }
    assert!(server.get("/health/live", "").await.ends_with("\r\n\r\nok"));
}

#[actix_web::test]
async fn paths_that_are_not_plain_are_refused_before_routing() {
    let server = Server::start(Mode::Production).await;
    let wrong = [
        "/api/notes/%31",
        "/api/notes/%2e%2e",
        "/api//notes/1",
        "//api/notes/1",
        "/api/./notes",
        "/api/notes/..",
        "/api/../panic",
        "/nowhere/%ff",
        "/api/secrets/dev/a%2fb",
        "http://localhost/api/notes/%31",
        "http://user@localhost/api/notes/1",
        "ftp://localhost/api/notes/1",
        "localhost:1",
        "/api/secrets/dev/a//b",
        "/api/notes\\1",
    ];
    for target in wrong {
        let answer = server.get(target, "").await;
        if answer.ends_with("\r\n\r\n") {
            // Not even a target for the framework.
            assert_eq!(status(&answer), 400, "{target}: {answer}");
        } else {
            assert_problem(&answer, 400, "path_invalid");
        }
    }
    for bytes in [&b"/api/notes/\xc3\xa9"[..], b"/api/notes/\x01", b"/api/notes/\xff", b"*"] {
        let request = [b"GET ", bytes, b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"].concat();
        assert_eq!(status(&server.raw(&request).await), 400, "{bytes:?}");
    }
    assert_eq!(status(&server.get("/api/secrets/dev/a/b?x=%20", "").await), 200);
}

#[actix_web::test]
async fn target_in_absolute_form_is_the_same_and_names_the_host_in_development() {
    let production = Server::start(Mode::Production).await;
    for target in ["http://vault.example/api/notes/1", "HTTPS://vault.example:8001/api/notes/1?x=1"] {
        assert_eq!(status(&production.get(target, "").await), 200, "{target}");
    }
    assert_problem(&production.get("http://vault.example", "").await, 404, "route_not_found");
    let development = Server::start(Mode::Development).await;
    assert_eq!(status(&development.get("http://LOCALHOST:1/api/notes/1", "").await), 200);
    for target in ["http://evil.example/api/notes/1", "http://127.0.0.1:1/api/notes/1", "http://localhost/api/notes/1"]
    {
        assert_problem(&development.get(target, "").await, 400, "host_invalid");
    }
    let evil = b"GET http://localhost:1/api/notes/1 HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    assert_problem(&development.raw(evil).await, 400, "host_invalid");
}

#[actix_web::test]
async fn head_answers_like_get_without_a_body() {
    let server = Server::start(Mode::Production).await;
    let head = async |target: &str| {
        let request = format!("HEAD {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        server.raw(request.as_bytes()).await
    };
    for target in ["/api/notes/1", "/health/live", "/unready", "/refused", "/nowhere"] {
        let (with_body, without) = (server.get(target, "").await, head(target).await);
        assert_eq!(status(&without), status(&with_body), "{target}");
        for name in ["content-type", "content-length", "cache-control"] {
            assert_eq!(header(&without, name), header(&with_body, name), "{target} {name}");
        }
        assert!(without.ends_with("\r\n\r\n") && !with_body.ends_with("\r\n\r\n"), "{target}: {without}");
    }
    let wrong_method = server.raw(b"DELETE /panic HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert_eq!(header(&wrong_method, "allow"), Some("GET, HEAD"));
}

#[actix_web::test]
async fn refusal_that_was_decided_on_the_head_is_told_before_a_body_that_is_not_framed() {
    let server = Server::start(Mode::Production).await;
    for chunk in ["xyz\r\n", "-1\r\n", "ffffffffffffffffff\r\n", "5;\x01\r\nhello"] {
        let head = "POST /api/refused HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
        let answer = server.raw(format!("{head}{chunk}").as_bytes()).await;
        assert_eq!(status(&answer), 401, "{chunk:?}: {answer}");
        assert!(answer.contains("token_invalid"), "{chunk:?}: {answer}");
    }
}

#[actix_web::test]
async fn heads_over_sixteen_kilobytes_end_as_431() {
    let server = Server::start(Mode::Production).await;
    let padded = |length: usize| format!("x-pad: {}\r\n", "p".repeat(length));
    assert_eq!(status(&server.get("/api/notes/1", &padded(16_000)).await), 200);
    assert_problem(&server.get("/api/notes/1", &padded(16 * 1024)).await, 431, "header_too_large");
    assert_problem(&server.get(&format!("/api/notes/{}", "n".repeat(17_000)), "").await, 431, "header_too_large");
    // Beyond what the framework itself takes.
    assert_eq!(status(&server.get("/api/notes/1", &padded(200_000)).await), 431);
    assert_eq!(status(&server.get("/api/notes/1", &"a: b\r\n".repeat(200)).await), 431);
}

#[actix_web::test]
async fn development_mode_answers_only_to_localhost_without_a_proxy() {
    let server = Server::start(Mode::Development).await;
    assert_eq!(status(&server.get("/api/notes/1", "").await), 200);
    for header in ["Forwarded: for=1", "X-Forwarded-For: 1", "x-forwarded-anything: 1", "X-Real-IP: 1", "Via: 1.1 p"] {
        assert_problem(&server.get("/api/notes/1", &format!("{header}\r\n")).await, 400, "host_invalid");
    }
    // The framework does not even parse two hosts.
    assert_eq!(status(&server.get("/api/notes/1", "Host: localhost\r\n").await), 400);
    let with_host = |host: &str| format!("GET /api/notes/1 HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    for host in
        ["evil.example", "localhost.evil.example", "localhost:80x", "127.0.0.1:99999", "127.0.0.2", "", "0.0.0.0"]
    {
        assert_problem(&server.raw(with_host(host).as_bytes()).await, 400, "host_invalid");
    }
    for host in ["LocalHost:8000", "127.0.0.1", "[::1]:1"] {
        assert_eq!(status(&server.raw(with_host(host).as_bytes()).await), 200, "{host}");
    }
    assert_problem(&server.raw(b"GET /api/notes/1 HTTP/1.0\r\n\r\n").await, 400, "host_invalid");
    // Control: production sits behind a proxy.
    let production = Server::start(Mode::Production).await;
    assert_eq!(status(&production.raw(with_host("vault.example").as_bytes()).await), 200);
}

#[actix_web::test]
async fn every_answer_of_the_framework_becomes_a_problem_document() {
    let server = Server::start(Mode::Production).await;
    assert_problem(&server.get("/nowhere", "").await, 404, "route_not_found");
    assert_problem(&server.get("/typed?canary=1", "").await, 400, "parameter_invalid");
    assert_problem(&server.get("/panic", "").await, 500, "internal");
    let refused = server.get("/refused", "").await;
    assert_problem(&refused, 401, "token_invalid");
    assert_eq!(header(&refused, "www-authenticate"), Some("Bearer"));
    let wrong_method =
        server.raw(b"DELETE /api/notes/1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert_problem(&wrong_method, 405, "method_not_allowed");
    assert_eq!(header(&wrong_method, "allow"), Some("GET, POST, HEAD"));
    let unready = server.get("/unready", "").await;
    assert!(status(&unready) == 503 && unready.ends_with("starting"), "{unready}");
}

#[actix_web::test]
async fn bodies_are_checked_and_never_quoted() {
    let server = Server::start(Mode::Production).await;
    let json = "content-type: application/json\r\n";
    assert_eq!(status(&server.post(json, r#"{"text":"hello"}"#).await), 201);
    assert_problem(&server.post(json, r#"{"text":"x","count":"canary"}"#).await, 400, "body_invalid");
    assert_problem(&server.post(json, r#"{"canary":1}"#).await, 400, "body_invalid");
    assert_problem(&server.post("", r#"{"text":"canary"}"#).await, 415, "media_type_unsupported");
    assert_problem(
        &server.post(json, &format!("{{\"text\":\"{}\"}}", "canary".repeat(40))).await,
        413,
        "body_too_large",
    );
    assert_problem(&server.post(json, &"c".repeat(5_000_000)).await, 413, "body_too_large");
    let chunked = format!(
        "POST /api/notes/1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{json}transfer-encoding: chunked\r\n\r\n\
         60\r\n{}\r\n0\r\n\r\n",
        " ".repeat(0x60)
    );
    assert_problem(&server.raw(chunked.as_bytes()).await, 413, "body_too_large");
}

#[actix_web::test]
async fn stop_finishes_what_was_accepted() {
    let server = Server::start(Mode::Production).await;
    let address = server.address;
    let slow = actix_web::rt::spawn(async move {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /slow HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    });
    server.gate.entered.notified().await;
    server.stop.send(()).unwrap();
    server.gate.go.notify_one();
    assert!(slow.await.unwrap().ends_with("finished"));
    server.running.await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
    let tasks = Tasks::new(tokio::runtime::Handle::current());
    tasks.wait_idle().await;
}

#[test]
fn document_has_every_row_with_its_problems() {
    let document = serde_json::to_value(openapi("Test", ROUTES)).unwrap();
    let note = &document["paths"]["/api/notes/{note}"];
    assert_eq!(note["get"]["operationId"], "note.read");
    assert_eq!(note["post"]["operationId"], "note.write");
    assert_eq!(note["get"]["parameters"][0]["name"], "note");
    assert_eq!(note["get"]["responses"]["401"]["description"], "token_invalid, seal_key_unknown");
    assert_eq!(note["get"]["security"][0]["access_token"], serde_json::json!([]));
    assert!(document["paths"]["/api/secrets/{environment}/{path}"]["get"].is_object());
    assert!(document["components"]["schemas"]["Problem"].is_object());
    assert!(document["paths"]["/health/live"]["get"]["security"].is_null());
    let unready = &document["paths"]["/unready"]["get"]["responses"];
    assert_eq!(unready["200"]["content"]["text/plain"]["schema"]["type"], "string");
    assert_eq!(unready["503"]["content"]["text/plain"]["schema"]["type"], "string");
    // Also overloaded, as every route.
    assert!(unready["503"]["content"]["application/problem+json"].is_object());
    assert_eq!(unready["503"]["description"], "Not ready. Or: overloaded");
}

#[actix_web::test]
async fn ready_file_replaces_a_regular_file_and_neither_a_link_nor_a_device() {
    let dir = tempfile::tempdir().unwrap();
    let (victim, ready) = (dir.path().join("victim"), dir.path().join("ready"));
    std::fs::write(&victim, "of another").unwrap();
    let start = async || {
        let mut config = ServeConfig::new("127.0.0.1:0".parse().unwrap());
        (config.workers, config.ready_file) = (1, Some(ready.clone()));
        // What `check-config` says, and what the start says, which finds what came later; it stops at once.
        let checked = config.check();
        let tables = Tables { public: ROUTES, operator: Table::new(&[]) };
        (checked, serve(config, Mode::Production, tables, |_: &mut web::ServiceConfig| (), async {}).await)
    };
    // As a device is, without the rights of root: no regular file.
    let socket = || drop(std::os::unix::net::UnixListener::bind(&ready).unwrap());
    let link_to = |target: &str| std::os::unix::fs::symlink(dir.path().join(target), &ready).unwrap();
    let special: [&dyn Fn(); 3] = [&|| link_to("victim"), &|| link_to("nothing"), &socket];
    for make in special {
        make();
        let before = std::fs::symlink_metadata(&ready).unwrap();
        let (checked, started) = start().await;
        for refused in [checked, started] {
            assert!(refused.unwrap_err().sentence.contains("is not a regular file"));
        }
        let after = std::fs::symlink_metadata(&ready).unwrap();
        assert_eq!((after.file_type(), after.modified().unwrap()), (before.file_type(), before.modified().unwrap()));
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "of another");
        assert!(!dir.path().join("nothing").exists());
        std::fs::remove_file(&ready).unwrap();
    }
    std::fs::write(&ready, "of the start before").unwrap();
    let (checked, started) = start().await;
    assert!(checked.is_ok() && started.is_ok(), "{checked:?} {started:?}");
    assert!(std::fs::read_to_string(&ready).unwrap().starts_with("127.0.0.1:"));
}
