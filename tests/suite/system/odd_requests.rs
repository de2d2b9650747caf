//! Paths, heads and bodies that no honest client sends: a clear 4xx, and nothing else happens.

use std::time::Duration;

use serde_json::{Value, json};
use system_tests::{Answer, Call, Installation, Service, http};

/// A request line as it is; the framework's own parser may refuse it before anything of ours runs.
async fn with_target(service: &Service, target: &[u8], bearer: &str) -> Answer {
    let rest = format!(" HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {bearer}\r\nconnection: close\r\n\r\n");
    http::raw(service.port(), &[b"GET ", target, rest.as_bytes()].concat()).await.unwrap()
}

fn is_clear_refusal(answer: &Answer, what: &str) {
    assert!((400..500).contains(&answer.status), "{what}: {answer}");
    if !answer.body.is_empty() {
        answer.code();
    }
}

#[tokio::test]
async fn path_that_could_be_read_in_two_ways_is_refused_at_both_services() {
    let installation = Installation::running().await;
    let stored = installation.store("super_secret_value").await;
    let (key_id, admin) = (&stored.key_id, installation.admin());
    installation.read(key_id, &stored.token).await.expect(200);
    let odd = [
        format!("/api/keys/{key_id}/"),
        format!("/api/keys//{key_id}"),
        format!("//api/keys/{key_id}"),
        format!("/api/./keys/{key_id}"),
        format!("/api/x/../keys/{key_id}"),
        format!("/api/keys/{key_id}/.."),
        format!("/api/%2e%2e/api/keys/{key_id}"),
        format!("/api/%2E%2E/api/keys/{key_id}"),
        format!("/api%2fkeys%2f{key_id}"),
        format!("/api/keys/%73ec_{}", &key_id[4..]),
        format!("/api/keys/{key_id}%00"),
        format!("/api/keys/{key_id}%0a"),
        format!("/api/keys/{key_id}%"),
        format!("/api/keys/{key_id}%c0%af"),
        format!("/api/keys/{key_id}%e0%80%af"),
        format!("/api/keys/..\\{key_id}"),
        format!("/API/keys/{key_id}"),
        format!("/api/keys/{}", key_id.to_lowercase()),
        format!("/api/keys/{key_id};a=b"),
        format!("http://elsewhere.example/api/keys/{key_id}"),
        "/api/keys/".to_owned(),
        "/api/keys/sec_".to_owned(),
        "/api/keys/'; DROP TABLE envelopes; --".replace(' ', "+"),
        "/api/secrets/..%2f..%2fetc%2fpasswd".to_owned(),
        "*".to_owned(),
        format!("/api/keys/{}", "a".repeat(4096)),
    ];
    for target in &odd {
        is_clear_refusal(&with_target(&installation.vault, target.as_bytes(), &stored.token).await, target);
        is_clear_refusal(&with_target(&installation.manager, target.as_bytes(), &admin).await, target);
    }
    for bytes in [b"/api/\0".as_slice(), b"/api/\xff", b"/api/keys/\xc3\x28", b"/a b", b"", b"api", b"/\x7f", b"/\x01"]
    {
        for (service, bearer) in [(&installation.vault, &stored.token), (&installation.manager, &admin)] {
            is_clear_refusal(&with_target(service, bytes, bearer).await, &format!("{bytes:?}"));
        }
    }
    installation.read(key_id, &stored.token).await.expect(200);
}

#[tokio::test]
async fn body_that_is_not_the_document_is_refused_and_never_repeated() {
    let installation = Installation::running().await;
    let stored = installation.store("super_secret_value").await;
    let submit = || installation.manager.call("POST", "/api/keys").bearer(&installation.admin());
    let batch = || installation.vault.call("POST", "/api/keys:read").bearer(&stored.token);
    let nested = format!("{{\"key_ids\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let objects = "{\"a\":".repeat(1_000);
    let bodies: [&[u8]; 16] = [
        b"",
        b"canary-7f3",
        b"\"canary-7f3\"",
        b"[\"canary-7f3\"]",
        b"null",
        b"{\"user_id\": \"canary-7f3",
        b"{\"user_id\": \"u\", \"key_data\": {\"canary-7f3\": 1}}",
        b"{\"user_id\": \"u\", \"key_data\": \"canary-7f3\", \"canary-7f3\": 1}",
        b"{\"user_id\": \"u\", \"user_id\": \"canary-7f3\", \"key_data\": \"canary-7f3\"}",
        b"{\"user_id\": \"canary-7f3\xff\", \"key_data\": \"canary-7f3\"}",
        b"{\"user_id\": \"u\", \"key_data\": \"canary-7f3 \\ud800\"}",
        b"{\"key_ids\": [\"canary-7f3\"]}",
        b"{\"key_ids\": []}",
        b"{\"key_ids\": 1e400}",
        nested.as_bytes(),
        objects.as_bytes(),
    ];
    for body in bodies {
        for call in [submit(), batch()] {
            let answer = call.header("content-type", "application/json").body(body).send().await;
            is_clear_refusal(&answer, &String::from_utf8_lossy(&body[..body.len().min(80)]));
            assert!(!answer.code().is_empty() && !String::from_utf8_lossy(&answer.body).contains("canary-7f3"));
        }
    }
    for service in [&installation.vault, &installation.manager] {
        assert!(!service.log().contains("canary-7f3"), "{}", service.log());
        assert!(!format!("{:?}", service.audit()).contains("canary-7f3"));
    }
}

#[tokio::test]
async fn name_or_label_outside_the_rules_is_refused() {
    let installation = Installation::running().await;
    let long = "a".repeat(513);
    for path in ["", "/", "a/", "/a", "a//b", ".", "..", "a/../b", "a\\b", "a\0", "a\n", "e\u{301}", "unnamed/a", &long]
    {
        let answer = installation.submit(json!({"key_data": "x", "path": path})).await;
        assert_eq!(answer.code(), "name_invalid", "{path:?}: {answer}");
    }
    for path in ["%2e%2e", "a b", "ünïcode", "...", "a/.b", "'; DROP TABLE secrets; --"] {
        installation.submit(json!({"key_data": "x", "path": path})).await.expect(201);
    }
    let submit = |body: Value| installation.admin_call("POST", "/api/keys", Some(body));
    for (user, environment) in [("", "dev"), ("a\tb", "dev"), (&long, "dev"), ("u", "Dev"), ("u", ""), ("u", "../dev")]
    {
        let answer = submit(json!({"user_id": user, "key_data": "x", "environment": environment})).await;
        assert_eq!(answer.code(), "name_invalid", "{user:?} {environment}: {answer}");
    }
    let unknown = submit(json!({"user_id": "u", "key_data": "x", "environment": "elsewhere"})).await;
    assert!((400..500).contains(&unknown.status), "{unknown}");
}

#[tokio::test]
async fn wrong_media_type_method_and_head_have_their_own_codes() {
    let installation = Installation::running().await;
    let admin = installation.admin();
    let body = r#"{"user_id": "u", "key_data": "x"}"#;
    let submit = || installation.manager.call("POST", "/api/keys").bearer(&admin).body(body);
    for media in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""] {
        submit().header("content-type", media).send().await.expect_code("media_type_unsupported");
    }
    let json = || submit().header("content-type", "application/json");
    json().header("content-encoding", "gzip").send().await.expect_code("media_type_unsupported");
    installation.manager.call("PATCH", "/api/keys").bearer(&admin).send().await.expect_code("method_not_allowed");
    installation.vault.call("DELETE", "/api/commands").send().await.expect_code("method_not_allowed");
    installation.vault.call("GET", "/nothing").send().await.expect_code("route_not_found");
    for service in [&installation.vault, &installation.manager] {
        let large = service.call("GET", "/health/live").header("x-large", &"a".repeat(17_000));
        assert_eq!(large.send().await.status, 431);
    }
    for (name, value) in [("x-forwarded-for", "10.0.0.1"), ("forwarded", "for=10.0.0.1"), ("host", "vault.example")] {
        json().header(name, value).send().await.expect_code("host_invalid");
    }
}

#[tokio::test]
async fn caller_without_a_credential_is_told_so_also_when_its_body_is_badly_framed() {
    let installation = Installation::running().await;
    for (service, path) in [
        (&installation.vault, "/api/keys:read"),
        (&installation.vault, "/api/commands"),
        (&installation.manager, "/api/tokens"),
    ] {
        let call = service.call("POST", path).header("transfer-encoding", "chunked").body("xyz\r\n");
        let answer = call.try_send().await.unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(answer.status, 401, "{path}: {answer}");
    }
}

#[tokio::test]
async fn oversized_bodies_leave_the_memory_flat() {
    let installation = Installation::running().await;
    let admin = installation.admin();
    let huge = vec![b'x'; 40 << 20];
    let before: Vec<u64> = [&installation.vault, &installation.manager].map(peak_kib).to_vec();
    for _ in 0..5 {
        for (service, path, bearer) in [
            (&installation.manager, "/api/keys", admin.as_str()),
            (&installation.manager, "/api/keys", "nobody"),
            (&installation.vault, "/api/keys:read", "nobody"),
            (&installation.vault, "/api/commands", "nobody"),
        ] {
            let call = service.call("POST", path).bearer(bearer).header("content-type", "application/json");
            refused_early(call.body(huge.clone())).await;
        }
        // The same without an announced length.
        let chunked = installation.manager.call("POST", "/api/keys").bearer(&admin);
        let chunks = [format!("{:x}\r\n", huge.len()).as_bytes(), &huge, b"\r\n0\r\n\r\n"].concat();
        let chunked = chunked.header("content-type", "application/json").header("transfer-encoding", "chunked");
        refused_early(chunked.body(chunks)).await;
    }
    for (service, before) in [&installation.vault, &installation.manager].into_iter().zip(before) {
        let grown = peak_kib(service).saturating_sub(before);
        // The largest body that is read has 16 MiB; one of these would be seen.
        assert!(grown < 30 * 1024, "{grown} KiB more after bodies of 40 MiB");
    }
    assert!(installation.opens(&installation.store("value").await).await);
}

/// A refusal, or a connection cut while the body was being sent.
async fn refused_early(call: Call) {
    if let Ok(answer) = call.deadline(Duration::from_secs(20)).try_send().await {
        is_clear_refusal(&answer, "oversized");
    }
}

/// The most memory that a service ever had in use.
fn peak_kib(service: &Service) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
