//! Who gets in, on both sides.

use std::{net::SocketAddr, process::Command, sync::Arc};

use rustls::{
    NamedGroup, ServerConfig,
    crypto::aws_lc_rs::kx_group::{SECP256R1, X25519},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use service_runtime::{
    http::Limits,
    tls::{ClientFiles, Why, client_config},
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::{
    certificates::{Authority, Folder, Pair, Validity, mode},
    client::{Tls, ask, get, group, post},
    server::Server,
};

const NAME: &str = "vault.example";
const CLIENT: &str = "manager.example";

/// A server that takes commands from `manager.example` only.
async fn server(authority: &Authority, folder: &Folder) -> Server {
    let files = folder.listener(&authority.server(NAME, Validity::now()), Some((authority, CLIENT)));
    Server::start(Limits::default(), Some(files)).await
}

#[actix_web::test]
async fn hybrid_key_exchange_comes_first_and_x25519_is_the_only_other_one() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let server = server(&authority, &folder).await;
    let mut stream = Tls::default().connect(&authority, NAME, server.address).await.unwrap();
    assert!(ask(&mut stream, &get("/read")).await.unwrap().ends_with("read"));
    assert_eq!(group(&stream), NamedGroup::X25519MLKEM768);
    let older = Tls { groups: Some(vec![X25519]), ..Tls::default() };
    assert_eq!(group(&older.connect(&authority, NAME, server.address).await.unwrap()), NamedGroup::X25519);
    let other = Tls { groups: Some(vec![SECP256R1]), ..Tls::default() };
    other.connect(&authority, NAME, server.address).await.unwrap_err();
}

#[actix_web::test]
async fn older_tls_is_refused() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let server = server(&authority, &folder).await;
    let address = server.address.to_string();
    let openssl = async |version: &'static str| {
        let address = address.clone();
        let asking = move || {
            let mut command = Command::new("openssl");
            command.args(["s_client", "-connect", &address, version]).stdin(std::process::Stdio::null());
            String::from_utf8_lossy(&command.output().unwrap().stdout).into_owned()
        };
        tokio::task::spawn_blocking(asking).await.unwrap()
    };
    assert!(openssl("-tls1_3").await.contains("New, TLSv1.3"));
    assert!(openssl("-tls1_2").await.contains("New, (NONE)"));
}

#[actix_web::test]
async fn plain_http_on_a_tls_port_gets_no_http_answer() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let server = server(&authority, &folder).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    ask(&mut stream, &get("/read")).await.unwrap_err();
    assert!(!crate::client::is_served("127.0.0.1", server.address).await);
}

#[actix_web::test]
async fn client_with_a_bad_certificate_is_refused_also_for_what_needs_none() {
    let (authority, folder, stranger) = (Authority::new(), Folder::new(), Authority::new());
    let server = server(&authority, &folder).await;
    let bad = [
        ("expired", authority.client(CLIENT, Validity::over())),
        ("not yet valid", authority.client(CLIENT, Validity::to_come())),
        ("another CA's", stranger.client(CLIENT, Validity::now())),
        ("a server's", authority.server(CLIENT, Validity::now())),
    ];
    for (what, pair) in bad {
        let tls = Tls { certificate: Some(&pair), ..Tls::default() };
        // In TLS 1.3 the client learns it with the first answer.
        let Ok(mut stream) = tls.connect(&authority, NAME, server.address).await else { continue };
        assert!(ask(&mut stream, &get("/read")).await.is_err(), "{what}");
    }
}

#[actix_web::test]
async fn commands_need_the_named_client_and_reading_needs_none() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let server = server(&authority, &folder).await;
    let (named, other) =
        (authority.client(CLIENT, Validity::now()), authority.client("other.example", Validity::now()));
    for (certificate, may_command) in [(None, false), (Some(&other), false), (Some(&named), true)] {
        let tls = Tls { certificate, ..Tls::default() };
        let mut stream = tls.connect(&authority, NAME, server.address).await.unwrap();
        assert!(ask(&mut stream, &get("/read")).await.unwrap().ends_with("read"));
        // The body is announced and does not come: the refusal does not wait for it.
        let length = if may_command { 0 } else { 64 };
        let answer = ask(&mut stream, &post("/command", length)).await.unwrap();
        let expected = if may_command { "HTTP/1.1 200" } else { "HTTP/1.1 401" };
        assert!(answer.starts_with(expected), "{answer}");
        assert_eq!(answer.contains("command_invalid"), !may_command, "{answer}");
    }
}

/// A TLS server with this certificate, which takes one connection: whether its handshake succeeded.
async fn other_side(pair: &Pair) -> (SocketAddr, tokio::task::JoinHandle<bool>) {
    let chain = CertificateDer::pem_slice_iter(pair.certificate.as_bytes()).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shaking = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        TlsAcceptor::from(Arc::new(config)).accept(stream).await.is_ok()
    });
    (address, shaking)
}

#[actix_web::test]
async fn our_client_refuses_a_bad_server_before_it_sends_anything_and_says_why() {
    let (authority, folder, stranger) = (Authority::new(), Folder::new(), Authority::new());
    let files = ClientFiles { ca: folder.write("ca.pem", &authority.pem()), certificate: None, key: None };
    let config = Arc::new(client_config(&files).unwrap().value);
    let cases = [
        (authority.server(NAME, Validity::over()), Some("has expired")),
        (authority.server(NAME, Validity::to_come()), Some("not valid yet")),
        (authority.server("other.example", Validity::now()), Some("for another name")),
        (stranger.server(NAME, Validity::now()), Some("not from our CA")),
        (authority.client(NAME, Validity::now()), Some("not made for this side")),
        (authority.server(NAME, Validity::now()), None),
    ];
    for (pair, refused) in cases {
        let (address, shaken) = other_side(&pair).await;
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from(NAME).unwrap();
        let connected = TlsConnector::from(Arc::clone(&config)).connect(name, stream).await;
        assert_eq!(shaken.await.unwrap(), refused.is_none());
        match (connected, refused) {
            (Ok(stream), None) => assert_eq!(group(&stream), NamedGroup::X25519MLKEM768),
            (Err(error), Some(words)) => {
                let why = format!("{:?}", Why::find(&error));
                assert!(why.contains(words), "{why}");
            }
            (connected, refused) => panic!("{connected:?} where {refused:?}"),
        }
    }
}

#[actix_web::test]
async fn key_that_is_open_to_others_or_of_another_certificate_stops_the_start() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let pair = authority.server(NAME, Validity::now());
    let files = folder.listener(&pair, None);
    let open = |files: &service_runtime::tls::ServerFiles| service_runtime::tls::ServerTls::open(files.clone());
    assert!(open(&files).is_ok());
    mode(&files.key, 0o640);
    let refusal = open(&files).err().unwrap().sentence;
    assert!(refusal.contains("chmod 600") && refusal.contains("listener.key"), "{refusal}");
    folder.write("listener.key", &authority.server(NAME, Validity::now()).key);
    let refusal = open(&files).err().unwrap().sentence;
    assert!(refusal.contains("not a pair"), "{refusal}");
    std::fs::rename(&files.key, folder.path("elsewhere")).unwrap();
    std::os::unix::fs::symlink(folder.path("elsewhere"), &files.key).unwrap();
    assert!(open(&files).err().unwrap().sentence.contains("symbolic link"));
}
