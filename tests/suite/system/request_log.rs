//! Which requests the log names: every one of a known sender, a few of strangers, and no poll that brings nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use system_tests::http::{Connection, raw};
use system_tests::proxy::Verdict;
use system_tests::{Call, Installation, Service, wait_until};

#[tokio::test]
async fn strangers_write_a_few_lines_and_a_known_sender_one_for_each_request() {
    let installation = Installation::running().await;
    let stored = installation.store("value").await;
    for service in [&installation.vault, &installation.manager] {
        let before = service.log().lines().count();
        let mut connection = Connection::open(service.port()).await;
        for path in ["/health/live", "/none", "/api/keys/sec_AAAAAAAAAAAAAAAAAAAAAA"] {
            for _ in 0..200 {
                connection.send(service.call("GET", path).bearer("x")).await;
            }
        }
        for _ in 0..50 {
            // No head of HTTP, and one that is too large; whether it is answered does not matter.
            let _refused = raw(service.port(), b"\x16\x03\x01 hello\r\n\r\n").await;
            let _refused =
                raw(service.port(), &[&b"GET / HTTP/1.1\r\nx: "[..], "x".repeat(140_000).as_bytes()].concat()).await;
        }
        let marker = asked(service.call("GET", "/openapi.json")).await;
        let log = written(service, &marker).await;
        let lines = log.lines().count() - before;
        assert!((10..80).contains(&lines), "{} wrote {lines} lines: {log}", service.name());
    }

    let vault = &installation.vault;
    let mut connection = Connection::open(vault.port()).await;
    let mut ids = Vec::new();
    for _ in 0..50 {
        let read = vault.call("GET", &format!("/api/keys/{}", stored.key_id)).bearer(&stored.token);
        ids.push(connection.send(read).await.expect(200).header("x-request-id").unwrap().to_owned());
    }
    let log = written(vault, &ids[49]).await;
    assert!(ids.iter().all(|id| log.matches(id.as_str()).count() == 1), "{log}");
}

#[tokio::test]
async fn poll_that_brings_nothing_is_not_logged_and_a_store_is() {
    let installation = Installation::builder().recorded().running().await;
    let polls = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&polls);
    installation.proxy().rule(move |exchange| {
        seen.fetch_add(u32::from(exchange.op() == "poll"), Ordering::Relaxed);
        Verdict::Pass
    });
    installation.ready().await;
    let commands = |log: &str| log.matches("\"route\":\"command.run\"").count();
    let before = commands(&installation.vault.log());
    wait_until("ten polls", async || polls.load(Ordering::Relaxed) > 10).await;
    let marker = asked(installation.vault.call("GET", "/openapi.json")).await;
    assert_eq!(commands(&written(&installation.vault, &marker).await), before);
    installation.store("value").await;
    wait_until("a store is logged", async || commands(&installation.vault.log()) > before).await;
}

/// Asks, and gives the id of the request.
async fn asked(call: Call) -> String {
    call.send().await.expect(200).header("x-request-id").unwrap().to_owned()
}

/// The log, once it has this text.
async fn written(service: &Service, text: &str) -> String {
    wait_until("it is logged", async || service.log().contains(text)).await;
    service.log()
}
