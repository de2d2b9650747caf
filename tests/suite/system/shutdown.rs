//! A stop finishes what was accepted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use system_tests::proxy::Verdict;
use system_tests::{Installation, Stored, wait_until};
use tokio::net::TcpStream;

#[tokio::test]
async fn stop_finishes_the_store_that_was_accepted() {
    let mut installation = Installation::builder().recorded().running().await;
    let under_way = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&under_way);
    installation.proxy().rule(move |exchange| match exchange.op().as_str() {
        "store" => {
            flag.store(true, Ordering::Relaxed);
            Verdict::DelayAnswer(Duration::from_secs(1))
        }
        _ => Verdict::Pass,
    });
    let body = json!({"user_id": "user123", "key_data": "value", "environment": "dev"});
    let call = installation.manager.call("POST", "/api/keys").bearer(&installation.admin()).json(&body);
    let answer = tokio::spawn(call.send());
    wait_until("the store is under way", async || under_way.load(Ordering::Relaxed)).await;
    installation.manager.ask_to_stop();
    let stored = Stored::of(&answer.await.unwrap());
    assert!(installation.manager.wait().await.success());
    assert!(installation.opens(&stored).await);

    installation.proxy().pass();
    installation.manager.start().await;
    installation.ready().await;
    assert_eq!(installation.mint(&[(&stored.key_id, 1)]).await.status, 201);
}

#[tokio::test]
async fn idle_connection_does_not_hold_up_the_stop() {
    let mut installation = Installation::running().await;
    let _idle = TcpStream::connect(("127.0.0.1", installation.vault.port())).await.unwrap();
    let _other = TcpStream::connect(("127.0.0.1", installation.manager.port())).await.unwrap();
    let started = Instant::now();
    assert!(installation.manager.stop().await.success());
    assert!(installation.vault.stop().await.success());
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    installation.start().await;
    assert!(installation.opens(&installation.store("value").await).await);
}
