//! One peer that takes all it can get, beside one that is well behaved. 127.0.0.2 is the flood.

use service_runtime::http::Limits;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::{
    client::{answer, ask, connect_from, get, is_served},
    server::Server,
};

const FLOOD: &str = "127.0.0.2";
const CLIENT: &str = "127.0.0.1";

fn few(connections_per_peer: usize) -> Limits {
    Limits { connections: 64, connections_per_peer, head_seconds: 3_600, ..Limits::default() }
}

/// Opens connections that ask nothing.
async fn idle_flood(server: &Server) -> Vec<TcpStream> {
    let mut flood = Vec::new();
    for _ in 0..200 {
        flood.push(connect_from(FLOOD, server.address).await);
    }
    // Connections are taken in turn: after this one the server has seen them all.
    assert!(!is_served(FLOOD, server.address).await);
    flood
}

#[actix_web::test]
async fn idle_flood_of_one_peer_takes_its_own_places_only() {
    let server = Server::start(few(16), None).await;
    let flood = idle_flood(&server).await;
    for _ in 0..20 {
        assert!(is_served(CLIENT, server.address).await);
    }
    drop(flood);
    while !is_served(FLOOD, server.address).await {
        tokio::task::yield_now().await;
    }
}

#[actix_web::test]
async fn control_without_the_share_of_a_peer_the_idle_flood_starves_the_others() {
    let server = Server::start(few(64), None).await;
    let _flood = idle_flood(&server).await;
    assert!(!is_served(CLIENT, server.address).await);
}

/// Requests that stay in work.
async fn slow_requests(server: &Server, from: &str, count: u32) -> Vec<TcpStream> {
    let mut flood = Vec::new();
    for _ in 0..count {
        let mut stream = connect_from(from, server.address).await;
        stream.write_all(&get("/slow")).await.unwrap();
        flood.push(stream);
    }
    server.gate.entered.acquire_many(count).await.unwrap().forget();
    flood
}

async fn assert_overloaded(from: &str, server: &Server) {
    let mut stream = connect_from(from, server.address).await;
    let said = ask(&mut stream, &get("/read")).await.unwrap();
    assert!(said.starts_with("HTTP/1.1 503") && said.contains("\"code\":\"overloaded\""), "{said}");
    assert!(said.contains("retry-after: 1\r\n") && said.contains("application/problem+json"), "{said}");
    // The connection is not the problem, and whether the process lives is told in any case.
    assert!(ask(&mut stream, &get("/health/live")).await.unwrap().ends_with("ok"));
}

#[actix_web::test]
async fn requests_of_one_peer_in_work_are_bounded_and_the_others_find_places() {
    let limits = Limits { requests: 8, requests_per_peer: 4, ..Limits::default() };
    let server = Server::start(limits, None).await;
    let mut flood = slow_requests(&server, FLOOD, 4).await;
    assert_overloaded(FLOOD, &server).await;
    for _ in 0..20 {
        assert!(is_served(CLIENT, server.address).await);
    }
    let _rest = slow_requests(&server, CLIENT, 4).await;
    assert_overloaded("127.0.0.3", &server).await;
    server.gate.go.add_permits(8);
    for stream in &mut flood {
        assert!(answer(stream).await.unwrap().ends_with("slow"));
    }
    while !is_served(FLOOD, server.address).await {
        tokio::task::yield_now().await;
    }
}

#[actix_web::test]
async fn control_without_the_share_of_a_peer_the_request_flood_starves_the_others() {
    let limits = Limits { requests: 8, requests_per_peer: 8, ..Limits::default() };
    let server = Server::start(limits, None).await;
    let _flood = slow_requests(&server, FLOOD, 8).await;
    assert_overloaded(CLIENT, &server).await;
    server.gate.go.add_permits(8);
}
