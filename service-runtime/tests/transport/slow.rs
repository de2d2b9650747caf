//! Clients that take their time, or more.

use service_runtime::http::Limits;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::{
    certificates::{Authority, Folder, Validity},
    client::{Tls, answer, ask, connect_from, drip, get, is_served, post},
    server::{DEADLINE, LARGE, Server},
};

/// Everything lasts an hour, but what a test makes short.
fn patient() -> Limits {
    Limits {
        handshake_seconds: 3_600,
        head_seconds: 3_600,
        body_seconds: 3_600,
        answer_seconds: 3_600,
        idle_seconds: 3_600,
        answer_bytes: LARGE,
        answer_bytes_per_peer: LARGE,
        ..Limits::default()
    }
}

/// A request that goes on for ever, a header line after the other.
fn endless_head() -> impl FnMut() -> u8 {
    let mut bytes = b"GET /read HTTP/1.1\r\n".iter().chain(b"a: b\r\n".iter().cycle());
    move || *bytes.next().unwrap()
}

async fn read_to_end(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> usize {
    let mut bytes = Vec::new();
    let _reset = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut bytes)).await.expect("the connection ends");
    bytes.len()
}

#[actix_web::test]
async fn head_at_a_byte_at_a_time_is_given_up_on_a_new_connection_and_on_a_used_one() {
    let server = Server::start(Limits { head_seconds: 1, ..patient() }, None).await;
    let mut new = TcpStream::connect(server.address).await.unwrap();
    let mut used = TcpStream::connect(server.address).await.unwrap();
    assert!(ask(&mut used, &get("/read")).await.unwrap().ends_with("read"));
    let (first, second) = tokio::join!(drip(&mut new, endless_head()), drip(&mut used, endless_head()));
    assert!(first.is_empty() && second.is_empty(), "{first}{second}");
    // Slow, but within the time.
    let server = Server::start(patient(), None).await;
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    let mut bytes = b"GET /read HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".to_vec().into_iter();
    assert!(drip(&mut slow, || bytes.next().unwrap_or(b'\n')).await.ends_with("read"));
}

#[actix_web::test]
async fn body_at_a_byte_at_a_time_is_given_up_with_an_answer() {
    let server = Server::start(Limits { body_seconds: 1, ..patient() }, None).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let mut head = post("/write", 64).into_iter();
    let said = drip(&mut stream, || head.next().unwrap_or(b'x')).await;
    // 64 bytes at the pace of `drip` take longer than the second.
    assert!(said.starts_with("HTTP/1.1 400") && said.contains("in time"), "{said}");
}

#[actix_web::test]
async fn client_that_does_not_read_its_answer_loses_the_connection() {
    let limits = Limits { answer_seconds: 1, connections: 2, connections_per_peer: 1, ..patient() };
    let server = Server::start(limits, None).await;
    let mut stream = connect_from("127.0.0.2", server.address).await;
    tokio::io::AsyncWriteExt::write_all(&mut stream, &get("/large")).await.unwrap();
    // Its one place is free again when the server has given up.
    let freed = async {
        while !is_served("127.0.0.2", server.address).await {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, freed).await.expect("the place is free again");
    assert!(read_to_end(&mut stream).await < LARGE);
    // Who reads gets all of it, and the connection stays.
    let mut reader = connect_from("127.0.0.1", server.address).await;
    assert!(ask(&mut reader, &get("/large")).await.unwrap().len() > LARGE);
    assert!(ask(&mut reader, &get("/read")).await.unwrap().ends_with("read"));
}

#[actix_web::test]
async fn idle_connections_end() {
    let server = Server::start(Limits { head_seconds: 1, ..patient() }, None).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(read_to_end(&mut silent).await, 0);
    let server = Server::start(Limits { idle_seconds: 1, ..patient() }, None).await;
    let mut kept = TcpStream::connect(server.address).await.unwrap();
    assert!(ask(&mut kept, &get("/read")).await.unwrap().ends_with("read"));
    assert_eq!(read_to_end(&mut kept).await, 0);
}

#[actix_web::test]
async fn stalled_handshake_ends() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let files = folder.listener(&authority.server("vault.example", Validity::now()), None);
    let server = Server::start(Limits { handshake_seconds: 1, ..patient() }, Some(files)).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(read_to_end(&mut silent).await, 0);
    // The same for a client that begins one.
    let mut dripping = TcpStream::connect(server.address).await.unwrap();
    let mut bytes = [0x16, 3, 1, 0x3f, 0xff, 1, 0, 0x3f, 0xfb].into_iter();
    drip(&mut dripping, || bytes.next().unwrap_or(0)).await;
    assert!(Tls::default().connect(&authority, "vault.example", server.address).await.is_ok());
}

#[actix_web::test]
async fn connections_without_a_request_do_not_hold_up_a_stop() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let files = folder.listener(&authority.server("vault.example", Validity::now()), None);
    for tls in [None, Some(files)] {
        let encrypted = tls.is_some();
        let server = Server::start(patient(), tls).await;
        // One that asked nothing (in TLS: that did not even shake hands), one in the midst of a head, one between two
        // requests, and one whose request is in work.
        let _silent = TcpStream::connect(server.address).await.unwrap();
        let connect = async || TcpStream::connect(server.address).await.unwrap();
        let mut shaken = Vec::new();
        for request in [&b"GET /re"[..], &get("/read"), &get("/slow")] {
            let mut stream: Box<dyn Both> = if encrypted {
                Box::new(Tls::default().connect(&authority, "vault.example", server.address).await.unwrap())
            } else {
                Box::new(connect().await)
            };
            tokio::io::AsyncWriteExt::write_all(&mut stream, request).await.unwrap();
            tokio::io::AsyncWriteExt::flush(&mut stream).await.unwrap();
            shaken.push(stream);
        }
        assert!(answer(&mut shaken[1]).await.unwrap().ends_with("read"));
        server.gate.entered.acquire().await.unwrap().forget();
        let gate = server.gate.clone();
        let mut last = shaken.pop().unwrap();
        let asked = actix_web::rt::spawn(async move { answer(&mut last).await });
        gate.go.add_permits(1);
        assert!(asked.await.unwrap().unwrap().ends_with("slow"));
        server.stop().await;
    }
}

#[actix_web::test]
async fn body_that_is_half_sent_does_not_hold_up_a_stop_and_is_told_why() {
    let server = Server::start(patient(), None).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    // The interim answer shows that the handler waits for the body.
    let head = b"POST /write HTTP/1.1\r\nHost: localhost\r\nContent-Length: 64\r\nExpect: 100-continue\r\n\r\n";
    assert!(ask(&mut stream, head).await.unwrap().starts_with("HTTP/1.1 100"));
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"half").await.unwrap();
    let asked = actix_web::rt::spawn(async move { answer(&mut stream).await });
    server.stop().await;
    let said = asked.await.unwrap().unwrap();
    assert!(said.starts_with("HTTP/1.1 503") && said.contains("The service stops."), "{said}");
}

trait Both: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> Both for T {}
