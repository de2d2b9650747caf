//! The operator's listener: what strangers are not told.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use system_tests::{Call, Installation, wait_until};

#[tokio::test]
async fn operator_gets_the_words_of_readiness_and_a_stranger_gets_one() {
    let mut installation = Installation::builder().production().running().await;
    for service in [&installation.vault, &installation.manager] {
        let words = service.ask_as_operator("/health/ready").await.unwrap().expect(200);
        assert!(words.body.starts_with(b"ready"), "{words}");
        assert_eq!(service.call("GET", "/health/ready").send().await.expect(200).body, b"ready");
        assert_eq!(service.ask_as_operator("/api/keys/x").await.unwrap().status, 404, "it has a table of its own");
        let mode = fs::metadata(service.data().join("operator.sock")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let words = installation.vault.ask_as_operator("/health/ready").await.unwrap();
    assert!(String::from_utf8_lossy(&words.body).contains("danger.swap"), "{words}");

    installation.vault.kill();
    wait_until("the manager misses the vault", async || !installation.manager.is_ready().await).await;
    assert_eq!(installation.manager.readiness().await[0], "vault-unreachable");
    let told = installation.manager.call("GET", "/health/ready").send().await.expect(503);
    assert_eq!(told.body, b"not-ready");
    // The socket of a service that was killed is replaced, and that of one that stopped is gone.
    installation.vault.start().await;
    installation.ready().await;
    assert_eq!(installation.vault.readiness().await[0], "ready");
    installation.vault.stop().await;
    assert!(!installation.vault.data().join("operator.sock").exists());
}

#[tokio::test]
async fn operator_may_have_a_port_of_loopback_which_a_page_in_a_browser_cannot_use() {
    let mut installation = Installation::builder().production().make();
    let vault = installation.vault.port();
    // Its own port is free while it listens elsewhere.
    installation.vault.listen_on("127.0.0.1:0");
    installation.vault.set(&format!("operator_listen = \"127.0.0.1:{vault}\""));
    installation.vault.start().await;
    let call = || Call::new(vault, "GET", "/health/ready");
    let words = call().send().await;
    assert!(String::from_utf8_lossy(&words.body).contains("danger."), "{words}");
    call().header("host", "rebound.example").send().await.expect_code("host_invalid");
}
