//! One peer that takes all it can get, beside one that is well behaved. 127.0.0.2 is the flood.

use service_runtime::http::Limits;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    client::{answer, ask, connect_from, get, is_served, post},
    server::{LARGE, Server},
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
    stay_in_work(server, from, &get("/slow"), count).await
}

async fn stay_in_work(server: &Server, from: &str, request: &[u8], count: u32) -> Vec<TcpStream> {
    let mut flood = Vec::new();
    for _ in 0..count {
        let mut stream = connect_from(from, server.address).await;
        stream.write_all(request).await.unwrap();
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

/// Ends the connection with a reset.
fn reset(stream: TcpStream) {
    #[expect(deprecated, reason = "a linger of zero blocks nobody: the kernel throws away what was not read")]
    stream.set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(stream);
}

#[actix_web::test]
async fn work_whose_clients_reset_their_connections_keeps_its_places() {
    let limits = Limits { requests: 8, requests_per_peer: 4, ..Limits::default() };
    let server = Server::start(limits, None).await;
    for _ in 0..4 {
        let mut stream = connect_from(FLOOD, server.address).await;
        stream.write_all(&get("/task")).await.unwrap();
        server.gate.entered.acquire().await.unwrap().forget();
        reset(stream);
    }
    // Each of these would begin another task if its request found a place.
    for _ in 0..8 {
        assert_overloaded(FLOOD, &server).await;
    }
    assert_eq!(server.gate.tasks.running(), 4);
    assert!(is_served(CLIENT, server.address).await);
    server.gate.go.add_permits(4);
    while !is_served(FLOOD, server.address).await {
        tokio::task::yield_now().await;
    }
}

#[actix_web::test]
async fn commands_find_a_place_and_room_when_readers_hold_all() {
    let limits = Limits {
        requests: 2,
        requests_per_peer: 2,
        answer_bytes: LARGE,
        answer_bytes_per_peer: LARGE,
        ..Limits::default()
    };
    let server = Server::start(limits, None).await;
    let mut unread = connect_from(FLOOD, server.address).await;
    unread.write_all(&get("/large")).await.unwrap();
    let mut begun = [0; 15];
    unread.read_exact(&mut begun).await.unwrap();
    let _slow = slow_requests(&server, FLOOD, 1).await;
    assert_overloaded(CLIENT, &server).await;
    // A reader cannot keep his own revocation out, nor make the manager believe that nothing was done.
    let mut manager = connect_from(CLIENT, server.address).await;
    assert!(ask(&mut manager, &post("/command", 0)).await.unwrap().starts_with("HTTP/1.1 200 OK"));
    assert!(ask(&mut manager, &post("/inventory", 0)).await.unwrap().len() > LARGE);
}

#[actix_web::test]
async fn command_takes_a_place_when_it_is_verified_and_strangers_hold_none() {
    let server = Server::start(Limits::default(), None).await;
    let _strangers = stay_in_work(&server, FLOOD, &post("/stranger", 0), 80).await;
    let mut manager = connect_from(CLIENT, server.address).await;
    assert!(ask(&mut manager, &post("/command", 0)).await.unwrap().starts_with("HTTP/1.1 200 OK"));
    // Nor one peer all of them.
    let _verified = stay_in_work(&server, FLOOD, &post("/slow-command", 0), 48).await;
    let mut other = connect_from(FLOOD, server.address).await;
    assert!(ask(&mut other, &post("/command", 0)).await.unwrap().starts_with("HTTP/1.1 503"));
    assert!(ask(&mut manager, &post("/command", 0)).await.unwrap().starts_with("HTTP/1.1 200 OK"));
    let _more = stay_in_work(&server, CLIENT, &post("/slow-command", 0), 16).await;
    assert!(ask(&mut manager, &post("/command", 0)).await.unwrap().starts_with("HTTP/1.1 503"));
    server.gate.go.add_permits(80 + 48 + 16);
}

#[actix_web::test]
async fn what_everybody_may_fetch_takes_no_room_from_readers() {
    let limits = Limits { answer_bytes: LARGE, answer_bytes_per_peer: LARGE, ..Limits::default() };
    let server = Server::start(limits, None).await;
    let mut unread = Vec::new();
    for _ in 0..3 {
        let mut stream = connect_from(FLOOD, server.address).await;
        stream.write_all(&get("/document")).await.unwrap();
        let mut begun = [0; 15];
        stream.read_exact(&mut begun).await.unwrap();
        unread.push(stream);
    }
    let mut reader = connect_from(FLOOD, server.address).await;
    assert!(ask(&mut reader, &get("/large")).await.unwrap().len() > LARGE);
}

#[actix_web::test]
async fn answer_that_is_not_read_keeps_its_place_and_its_room() {
    let limits =
        Limits { requests_per_peer: 2, answer_bytes: 2 * LARGE, answer_bytes_per_peer: LARGE, ..Limits::default() };
    let server = Server::start(limits, None).await;
    let mut unread = connect_from(FLOOD, server.address).await;
    unread.write_all(&get("/large")).await.unwrap();
    let mut begun = [0; 15];
    unread.read_exact(&mut begun).await.unwrap();
    assert_eq!(&begun, b"HTTP/1.1 200 OK");
    // There is a place for another request of the same peer, but no room for another large answer.
    assert!(is_served(FLOOD, server.address).await);
    let mut second = connect_from(FLOOD, server.address).await;
    let said = ask(&mut second, &get("/large")).await.unwrap();
    assert!(said.starts_with("HTTP/1.1 503") && said.contains("\"code\":\"overloaded\""), "{said}");
    let said = ask(&mut second, &get("/grown")).await.unwrap();
    assert!(said.starts_with("HTTP/1.1 503"), "an answer that grew took no room");
    let mut other = connect_from(CLIENT, server.address).await;
    assert!(ask(&mut other, &get("/large")).await.unwrap().len() > LARGE);
    // The place as well.
    let mut slow = slow_requests(&server, FLOOD, 1).await;
    assert_overloaded(FLOOD, &server).await;
    let mut rest = Vec::new();
    while rest.len() < LARGE {
        let mut part = vec![0; 1 << 20];
        let count = unread.read(&mut part).await.unwrap();
        rest.extend_from_slice(&part[..count]);
    }
    assert!(is_served(FLOOD, server.address).await);
    assert!(ask(&mut second, &get("/large")).await.unwrap().len() > LARGE);
    server.gate.go.add_permits(1);
    assert!(answer(&mut slow[0]).await.unwrap().ends_with("slow"));
}

/// Longer than the name of a header may be (docs/adr/0016-parser-defects.md).
fn endless_name() -> Vec<u8> {
    let name = "n".repeat(65_536);
    format!("GET /read HTTP/1.1\r\nHost: localhost\r\n{name}: v\r\n\r\n").into_bytes()
}

#[actix_web::test]
async fn head_that_breaks_the_parser_costs_its_own_connection_only() {
    let limits = Limits { connections: 8, connections_per_peer: 2, ..Limits::default() };
    let server = Server::start(limits, None).await;
    let mut other = connect_from(CLIENT, server.address).await;
    assert!(ask(&mut other, &get("/read")).await.unwrap().ends_with("read"));
    for _ in 0..8 {
        let mut stream = connect_from(FLOOD, server.address).await;
        stream.write_all(&endless_name()).await.unwrap();
        // Refused or closed; each gives its place back, or the later ones would not be served.
        assert!(
            answer(&mut stream).await.is_ok_and(|said| said.starts_with("HTTP/1.1 4"))
                || stream.read_u8().await.is_err()
        );
        while !is_served(FLOOD, server.address).await {
            tokio::task::yield_now().await;
        }
    }
    assert!(ask(&mut other, &get("/read")).await.unwrap().ends_with("read"));
}
