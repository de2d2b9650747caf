//! Clients that know what they send.

use std::{io, net::SocketAddr, sync::Arc};

use rustls::{
    ClientConfig, NamedGroup, RootCertStore,
    crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    certificates::{Authority, Pair},
    server::DEADLINE,
};

/// A connection from this address.
pub(crate) async fn connect_from(from: &str, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
    socket.connect(to).await.unwrap()
}

pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()
}

pub(crate) fn post(path: &str, length: usize) -> Vec<u8> {
    format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n").into_bytes()
}

/// Sends a request and reads its answer; the connection stays.
pub(crate) async fn ask<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, request: &[u8]) -> io::Result<String> {
    stream.write_all(request).await?;
    stream.flush().await?;
    answer(stream).await
}

/// Reads one answer with a Content-Length.
pub(crate) async fn answer<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<String> {
    let reading = async {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let mut text = String::from_utf8(head).unwrap();
        let lower = text.to_ascii_lowercase();
        let length = lower.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()).unwrap_or("0");
        let mut body = vec![0; length.parse().unwrap()];
        stream.read_exact(&mut body).await?;
        text.push_str(&String::from_utf8(body).unwrap());
        Ok(text)
    };
    timeout(DEADLINE, reading).await.expect("an answer, or the end of the connection")
}

/// Sends bytes one at a time until the server has enough: what it answered, if anything.
pub(crate) async fn drip<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, mut bytes: impl FnMut() -> u8) -> String {
    let mut answer = Vec::new();
    let dripping = async {
        loop {
            let mut buffer = [0; 1024];
            // A byte per interval, for as long as the server takes them.
            match timeout(std::time::Duration::from_millis(20), stream.read(&mut buffer)).await {
                Ok(Ok(0) | Err(_)) => break,
                Ok(Ok(count)) => answer.extend_from_slice(&buffer[..count]),
                Err(_nothing_yet) => {
                    if stream.write_all(&[bytes()]).await.is_err() || stream.flush().await.is_err() {
                        break;
                    }
                }
            }
        }
    };
    timeout(DEADLINE, dripping).await.expect("the server ends the connection");
    String::from_utf8(answer).unwrap()
}

/// Whether a new connection from this address is served.
pub(crate) async fn is_served(from: &str, to: SocketAddr) -> bool {
    let mut stream = connect_from(from, to).await;
    ask(&mut stream, &get("/read")).await.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// How a client does TLS.
#[derive(Default)]
pub(crate) struct Tls<'a> {
    pub(crate) certificate: Option<&'a Pair>,
    pub(crate) groups: Option<Vec<&'static dyn SupportedKxGroup>>,
}

impl Tls<'_> {
    /// Shakes hands with the server at `name`. The server may refuse later.
    pub(crate) async fn connect(
        self,
        authority: &Authority,
        name: &str,
        to: SocketAddr,
    ) -> io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
        let mut provider: CryptoProvider = aws_lc_rs::default_provider();
        if let Some(groups) = self.groups {
            provider.kx_groups = groups;
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match self.certificate {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let chain = CertificateDer::pem_slice_iter(pair.certificate.as_bytes()).map(Result::unwrap).collect();
                let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        let name = ServerName::try_from(name.to_owned()).unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, TcpStream::connect(to).await?).await
    }
}

pub(crate) fn group(stream: &TlsStream<TcpStream>) -> NamedGroup {
    stream.get_ref().1.negotiated_key_exchange_group().unwrap().name()
}
