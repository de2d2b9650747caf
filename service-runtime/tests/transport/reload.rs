//! Certificates and CAs that change while the server runs.

use service_runtime::http::Limits;
use tokio::time::Instant;

use crate::{
    certificates::{Authority, Folder, Validity},
    client::{Tls, ask, get, post},
    server::{DEADLINE, Server},
};

const NAME: &str = "vault.example";
const CLIENT: &str = "manager.example";

/// Asks until it holds.
async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !condition().await {
        assert!(Instant::now() < end, "not in time: {what}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[actix_web::test]
async fn new_certificate_serves_new_connections_and_old_ones_end_after_an_answer() {
    let (old, new, folder) = (Authority::new(), Authority::new(), Folder::new());
    let files = folder.listener(&old.server(NAME, Validity::now()), None);
    let server = Server::start(Limits::default(), Some(files)).await;
    let mut open = Tls::default().connect(&old, NAME, server.address).await.unwrap();
    let answer = ask(&mut open, &get("/read")).await.unwrap();
    assert!(!answer.to_ascii_lowercase().contains("connection: close"), "{answer}");

    folder.listener(&new.server(NAME, Validity::now()), None);
    until("the new certificate is shown", async || Tls::default().connect(&new, NAME, server.address).await.is_ok())
        .await;
    Tls::default().connect(&old, NAME, server.address).await.unwrap_err();
    let answer = ask(&mut open, &get("/read")).await.unwrap();
    assert!(answer.ends_with("read") && answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
    ask(&mut open, &get("/read")).await.unwrap_err();
}

#[actix_web::test]
async fn files_that_cannot_be_used_change_nothing() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let files = folder.listener(&authority.server(NAME, Validity::now()), None);
    let server = Server::start(Limits::default(), Some(files)).await;
    let other = authority.server("other.example", Validity::now());
    let expired = authority.server("other.example", Validity::over());
    let broken = [
        (other.certificate.as_str(), "no key"),
        ("no certificate", other.key.as_str()),
        (expired.certificate.as_str(), expired.key.as_str()),
    ];
    for (certificate, key) in broken {
        folder.write("listener.key", key);
        folder.write("listener.pem", certificate);
        // Two looks of a second each, and one more: nothing tells from outside that a file was refused.
        for _ in 0..35 {
            Tls::default().connect(&authority, NAME, server.address).await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }
    folder.listener(&other, None);
    let shown = async || Tls::default().connect(&authority, "other.example", server.address).await.is_ok();
    until("a good certificate is taken", shown).await;
}

#[actix_web::test]
async fn client_of_a_ca_that_was_replaced_commands_no_more() {
    let (authority, old, new, folder) = (Authority::new(), Authority::new(), Authority::new(), Folder::new());
    let listener = authority.server(NAME, Validity::now());
    let server = Server::start(Limits::default(), Some(folder.listener(&listener, Some((&old, CLIENT))))).await;
    let (former, latter) = (old.client(CLIENT, Validity::now()), new.client(CLIENT, Validity::now()));
    let commands = async |pair| {
        let tls = Tls { certificate: Some(pair), ..Tls::default() };
        let Ok(mut stream) = tls.connect(&authority, NAME, server.address).await else { return false };
        ask(&mut stream, &post("/command", 0)).await.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
    };
    assert!(commands(&former).await && !commands(&latter).await);
    folder.write("client-ca.pem", &new.pem());
    until("the new CA's client commands", async || commands(&latter).await).await;
    assert!(!commands(&former).await);
}
