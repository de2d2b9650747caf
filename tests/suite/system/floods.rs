//! A real vault that one address floods with silent and with slow connections. 127.0.0.2 is the flood.

use system_tests::Installation;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};

async fn connect(port: u16) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    socket.connect(([127, 0, 0, 1], port).into()).await.unwrap()
}

/// Silent connections, and such that begin a head.
async fn flood(port: u16) -> Vec<TcpStream> {
    let mut flood = Vec::new();
    for number in 0..200 {
        let mut stream = connect(port).await;
        if number % 2 == 1 {
            // One that was refused already may be reset.
            let _refused = stream.write_all(b"GET /api/keys/").await;
        }
        flood.push(stream);
    }
    flood
}

fn limits(per_peer: usize) -> String {
    format!("[limits]\nconnections = 96\nconnections_per_peer = {per_peer}\nhead_seconds = 3600\n")
}

#[tokio::test]
async fn vault_that_one_address_floods_serves_the_others_and_hears_its_manager() {
    let installation = Installation::builder().vault_table(&limits(32)).running().await;
    let stored = installation.store("value").await;
    let _flood = flood(installation.vault.port()).await;
    for _ in 0..50 {
        assert!(installation.opens(&stored).await);
    }
    assert!(installation.opens(&installation.store("another").await).await);
    installation.revoke(&stored.jti).await;
    assert!(!installation.opens(&stored).await);
    assert!(installation.vault.log().contains("connection refused"));
}

#[tokio::test]
async fn control_vault_without_the_share_of_a_peer_is_starved() {
    let installation = Installation::builder().vault_table(&limits(96)).running().await;
    let stored = installation.store("value").await;
    let _flood = flood(installation.vault.port()).await;
    let call = installation.vault.call("GET", &format!("/api/keys/{}", stored.key_id)).bearer(&stored.token);
    assert!(call.try_send().await.is_err());
}
