//! Genuine credentials, tokens, commands and events in places that are not theirs.

use serde_json::{Value, json};
use system_tests::{Answer, Call, Installation};

#[tokio::test]
async fn only_an_access_token_of_this_installation_reads_at_the_vault() {
    let (installation, foreign) = two_installations().await;
    let stored = installation.store("value").await;
    let event = newest_event(&installation);
    let other = foreign.store("other").await;
    let mut answers = Vec::new();
    for (what, bearer) in [
        ("a service credential", installation.admin()),
        ("a command", command(&installation, "poll")),
        ("a store command", command(&installation, "store")),
        ("an event", event),
        // Its signature is good: the token signing keys of the installations of one test process are the same.
        ("a token of another installation", other.token.clone()),
        ("a token with a character more", format!("{}A", stored.token)),
    ] {
        let single = installation.vault.call("GET", &format!("/api/keys/{}", stored.key_id));
        let batch = installation.vault.call("POST", "/api/keys:read").json(&json!({"key_ids": [stored.key_id]}));
        for call in [single, batch] {
            answers.push(refusal(what, &call.bearer(&bearer).send().await));
        }
    }
    // And without any, or in other places than the one header.
    let path = format!("/api/keys/{}", stored.key_id);
    let vault = &installation.vault;
    for (what, call) in [
        ("none", vault.call("GET", &path)),
        ("in the query", vault.call("GET", &format!("{path}?access_token={}", stored.token))),
        ("as a cookie", vault.call("GET", &path).header("cookie", &format!("access_token={}", stored.token))),
        ("as another scheme", vault.call("GET", &path).header("authorization", &format!("Basic {}", stored.token))),
        ("without a scheme", vault.call("GET", &path).header("authorization", &stored.token)),
        ("with two schemes", vault.call("GET", &path).bearer(&format!("Bearer {}", stored.token))),
        ("in another header", vault.call("GET", &path).header("x-access-token", &stored.token)),
    ] {
        answers.push(refusal(what, &call.send().await));
    }
    let twice = [
        format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{0}\r\nconnection: close\r\n", vault.port()),
        format!("authorization: Bearer {0}\r\nauthorization: Bearer {0}\r\n\r\n", stored.token),
    ]
    .concat();
    answers.push(refusal("twice", &system_tests::http::raw(vault.port(), twice.as_bytes()).await.unwrap()));
    // Nobody learns which fault it was.
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
    assert_eq!(answers[0]["code"], "token_invalid");
    assert!(installation.opens(&stored).await);
}

#[tokio::test]
async fn only_a_command_of_the_pinned_manager_for_this_body_is_obeyed_by_the_vault() {
    let (installation, foreign) = two_installations().await;
    let stored = installation.store("value").await;
    let event = newest_event(&installation);
    let poll = command(&installation, "poll");
    let other_body = json!({"after": 0, "limit": 10});
    let mut answers = Vec::new();
    for route in ["/api/commands", "/api/events"] {
        for (what, bearer) in [
            ("an access token", stored.token.clone()),
            ("a service credential", installation.admin()),
            ("an event", event.clone()),
            ("a command of another manager", command(&foreign, "poll")),
            ("a command for another body", poll.clone()),
        ] {
            let call = installation.vault.call("POST", route).json(&other_body).bearer(&bearer);
            answers.push(refusal(what, &call.send().await));
        }
        answers.push(refusal("none", &installation.vault.call("POST", route).json(&other_body).send().await));
    }
    // A genuine command with its genuine body on the other route.
    let exchange = exchanges(&installation, "poll").pop().unwrap();
    let call = installation.vault.call("POST", "/api/events").header("content-type", "application/json");
    answers.push(refusal("a poll as a push", &call.bearer(&poll).body(exchange.request.clone()).send().await));
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
    assert_eq!(answers[0]["code"], "command_invalid");
    // Control: the same bytes where they belong.
    let exchange = exchanges(&installation, "poll").pop().unwrap();
    let call = installation.vault.call("POST", "/api/commands").header("content-type", "application/json");
    call.bearer(&bearer_of(&exchange)).body(exchange.request).send().await.expect(200);
}

#[tokio::test]
async fn only_a_service_credential_is_obeyed_by_the_manager() {
    let (mut installation, foreign) = two_installations().await;
    let stored = installation.store("value").await;
    let event = newest_event(&installation);
    let before = installation.admin();
    let mut bearers = vec![
        ("an access token", stored.token.clone()),
        ("a command", command(&installation, "poll")),
        ("an event", event),
        ("a credential of another installation", foreign.admin()),
        ("a credential with another checksum", with_another_end(&before)),
        ("an id", installation.mint(&[(&stored.key_id, 0)]).await.expect(201).text("jti")),
    ];
    let mut answers = Vec::new();
    for (what, bearer) in &bearers {
        for call in manager_calls(&installation, &stored.key_id, &stored.jti) {
            answers.push(refusal(what, &call.bearer(bearer).send().await));
        }
    }
    // A credential that was replaced.
    let file = installation.folder().join("new-credential");
    installation.manager.stop().await;
    installation.manager.run_well(&["admin", "reset", "--credential-file", file.to_str().unwrap()]);
    installation.manager.start().await;
    bearers = vec![("a credential that was replaced", before)];
    for (what, bearer) in &bearers {
        for call in manager_calls(&installation, &stored.key_id, &stored.jti) {
            answers.push(refusal(what, &call.bearer(bearer).send().await));
        }
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
    assert_eq!(answers[0]["code"], "credential_invalid");
    let new = std::fs::read_to_string(file).unwrap();
    installation.manager.call("GET", "/api/secrets").bearer(new.trim()).send().await.expect(200);
}

async fn two_installations() -> (Installation, Installation) {
    let (first, second) = (Installation::builder().recorded(), Installation::builder().recorded());
    let (first, second) = (first.running().await, second.running().await);
    // So that there is an event.
    for installation in [&first, &second] {
        installation.revoke(&installation.store("other").await.jti).await;
    }
    (first, second)
}

fn manager_calls(installation: &Installation, key_id: &str, jti: &str) -> Vec<Call> {
    let call = |method, path: &str| installation.manager.call(method, path);
    vec![
        call("POST", "/api/keys").json(&json!({"user_id": "user123", "key_data": "value"})),
        call("POST", &format!("/api/keys/{key_id}/destroy")).json(&json!({"versions": [1]})),
        call("GET", "/api/secrets"),
        call("POST", "/api/tokens").json(&json!({"secrets": [{"key_id": key_id}]})),
        call("GET", "/api/tokens"),
        call("DELETE", &format!("/api/tokens/{jti}")),
        call("POST", "/api/revocations").json(&json!({"kind": "all"})),
        call("GET", "/api/revocations"),
        call("POST", "/api/reconcile").json(&json!({"adopt": true})),
    ]
}

fn with_another_end(text: &str) -> String {
    let end = if text.ends_with('A') { 'B' } else { 'A' };
    format!("{}{end}", &text[..text.len() - 1])
}

/// The document of a refusal, without what differs in each answer.
fn refusal(what: &str, answer: &Answer) -> Value {
    assert_eq!(answer.status, 401, "{what}: {answer}");
    answer.code();
    let mut document = answer.json();
    document.as_object_mut().unwrap().remove("request_id");
    document
}

/// The newest command of this kind that the manager sent.
fn command(installation: &Installation, op: &str) -> String {
    bearer_of(&exchanges(installation, op).pop().unwrap())
}

fn exchanges(installation: &Installation, op: &str) -> Vec<system_tests::proxy::Exchange> {
    let exchanges = installation.proxy().exchanges().into_iter();
    exchanges.filter(|exchange| exchange.op() == op && exchange.status < 300).collect()
}

fn bearer_of(exchange: &system_tests::proxy::Exchange) -> String {
    let header = exchange.headers.iter().find(|(name, _)| name == "authorization").unwrap();
    header.1.strip_prefix("Bearer ").unwrap().to_owned()
}

fn newest_event(installation: &Installation) -> String {
    let push: Value = serde_json::from_slice(&exchanges(installation, "push").pop().unwrap().request).unwrap();
    push["events"][0].as_str().unwrap().to_owned()
}
