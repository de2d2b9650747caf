//! A real vault that one address floods with silent and with slow connections, or whose answers it does not read.
//! 127.0.0.2 is the flood.

use std::time::Duration;

use serde_json::json;
use system_tests::{Installation, Service, wait_until};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
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
    installation.vault.has_logged("connection refused").await;
}

#[tokio::test]
async fn control_vault_without_the_share_of_a_peer_is_starved() {
    let installation = Installation::builder().vault_table(&limits(96)).running().await;
    let stored = installation.store("value").await;
    let _flood = flood(installation.vault.port()).await;
    let call = installation.vault.call("GET", &format!("/api/keys/{}", stored.key_id)).bearer(&stored.token);
    assert!(call.try_send().await.is_err());
}

#[tokio::test]
async fn revocation_reaches_a_vault_that_strangers_flood_with_commands_whose_refusals_they_do_not_read() {
    let installation = Installation::running().await;
    let stored = installation.store("value").await;
    let requests = b"POST /api/commands HTTP/1.1\r\nHost: v\r\nContent-Length: 0\r\n\r\n".repeat(40_000);
    let mut flood = Vec::new();
    for _ in 0..16 {
        let socket = TcpSocket::new_v4().unwrap();
        // Or else the kernels would take everything, of both directions.
        socket.set_recv_buffer_size(4_096).unwrap();
        socket.set_send_buffer_size(4_096).unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let mut stream = socket.connect(([127, 0, 0, 1], installation.vault.port()).into()).await.unwrap();
        // Until the vault takes nothing more from it, or has ended it.
        let writing = tokio::time::timeout(Duration::from_millis(300), stream.write_all(&requests));
        assert!(!matches!(writing.await, Ok(Ok(()))), "the vault read them all");
        flood.push(stream);
    }
    let revoked = installation.admin_call("DELETE", &format!("/api/tokens/{}", stored.jti), None).await;
    // The manager answers 202 if the vault, which shares the cores with the flood here, takes more than two seconds.
    assert!(matches!(revoked.status, 200 | 202), "{}", revoked.status);
    wait_until("the revocation reaches the vault", async || !installation.opens(&stored).await).await;
    assert!(installation.opens(&installation.store("another").await).await);
}

/// The memory that a service has in use.
fn memory_kib(service: &Service) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn thousand_clients_that_read_no_answer_cost_the_vault_less_than_64_mib() {
    let installation = Installation::running().await;
    let mut key_ids = Vec::new();
    for number in 0..4 {
        key_ids.push(installation.store_at(&format!("large/{number}"), &"v".repeat(1 << 20)).await.key_id);
    }
    let grants: Vec<_> = key_ids.iter().map(|key_id| (key_id.as_str(), 1)).collect();
    let token = installation.mint(&grants).await.expect(201).json()["access_token"].as_str().unwrap().to_owned();
    let read = installation.vault.call("POST", "/api/keys:read").bearer(&token).json(&json!({"key_ids": key_ids}));
    assert_eq!(read.clone().send().await.status, 200);
    let (before, request) = (memory_kib(&installation.vault), read.to_bytes());
    let (mut flood, mut refused) = (Vec::new(), 0);
    for _ in 0..1_000 {
        let socket = TcpSocket::new_v4().unwrap();
        // Or else the kernel would read for the client.
        socket.set_recv_buffer_size(4_096).unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let mut stream = socket.connect(([127, 0, 0, 1], installation.vault.port()).into()).await.unwrap();
        stream.write_all(&request).await.unwrap();
        flood.push(stream);
    }
    for stream in &mut flood {
        let mut begun = [0; 12];
        stream.read_exact(&mut begun).await.unwrap();
        refused += usize::from(&begun == b"HTTP/1.1 503");
    }
    let grown = memory_kib(&installation.vault).saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB more, {refused} refused");
    assert!(refused > 900 && refused < 1_000, "{refused} refused");
    // Another address has room, and so has this one when its answers are given up.
    assert_eq!(read.clone().send().await.status, 200);
    drop(flood);
    wait_until("the room is free", async || connect_and_read(&installation, &request).await == *b"HTTP/1.1 200").await;
}

async fn connect_and_read(installation: &Installation, request: &[u8]) -> [u8; 12] {
    let (mut stream, mut begun) = (connect(installation.vault.port()).await, [0; 12]);
    stream.write_all(request).await.unwrap();
    stream.read_exact(&mut begun).await.unwrap();
    begun
}
