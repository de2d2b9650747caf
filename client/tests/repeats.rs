//! Calls that are sent again, against a service that fails as it is told.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "the service of a test fails as a test does")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use splitvault_client::manager_api::secrets::{ChangeSecret, WriteVersion};
use splitvault_client::shared_proto::error::{ErrorCode, Problem};
use splitvault_client::shared_proto::id::SecretId;
use splitvault_client::{Client, ClientError, Retries, TransportFault};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What a service does with a request.
#[derive(Clone, Copy)]
enum Fault {
    /// It refuses with this code.
    Refuses(ErrorCode),
    /// It reads the request, and ends the connection.
    Breaks,
}

/// A client of a service that has these faults in turn, and the last one for ever, and the number of requests.
async fn client_of(faults: &'static [Fault]) -> (Client, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let turn = count.fetch_add(1, Ordering::SeqCst);
            answer(stream, faults[turn.min(faults.len() - 1)]).await;
        }
    });
    let retries = Retries { attempts: 3, longest_pause: Duration::from_millis(300) };
    (Client::new(&address, &address, None).unwrap().with_retries(retries), asked)
}

async fn answer(stream: TcpStream, fault: Fault) {
    let mut stream = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    while line != "\r\n" {
        line.clear();
        stream.read_line(&mut line).await.unwrap();
        if let Some(number) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = number.trim().parse().unwrap();
        }
    }
    stream.read_exact(&mut vec![0; length]).await.unwrap();
    if let Fault::Refuses(code) = fault {
        let body = serde_json::to_string(&Problem::new(code, "req_1")).unwrap();
        let head =
            format!("HTTP/1.1 {} x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", code.status(), body.len());
        stream.get_mut().write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    }
}

const AWAY: Fault = Fault::Refuses(ErrorCode::Unavailable);
const UNCLEAR: Fault = Fault::Refuses(ErrorCode::OutcomeUnknown);
const NO: Fault = Fault::Refuses(ErrorCode::SecretNotFound);

#[tokio::test]
async fn question_is_repeated_until_it_is_answered_or_the_attempts_are_used_up() {
    for (faults, times) in [(&[AWAY, Fault::Breaks, NO][..], 3), (&[AWAY], 3), (&[NO], 1)] {
        let (client, asked) = client_of(faults).await;
        assert!(client.secret(SecretId::generate()).await.is_err());
        assert_eq!(asked.load(Ordering::SeqCst), times);
    }
}

#[tokio::test]
async fn change_that_may_have_been_carried_out_is_repeated_with_its_key_only() {
    for (faults, with_key, without) in [(&[UNCLEAR, NO][..], 2, 1), (&[Fault::Breaks, NO], 2, 1), (&[AWAY, NO], 2, 2)] {
        let (secret, body) = (SecretId::generate(), WriteVersion::default());
        for (key, times) in [(Some("key-1"), with_key), (None, without)] {
            let (client, asked) = client_of(faults).await;
            assert!(client.write_secret(secret, &body, key).await.is_err());
            assert_eq!(asked.load(Ordering::SeqCst), times, "{key:?}");
        }
        let (client, asked) = client_of(faults).await;
        assert!(client.change_secret(secret, &ChangeSecret::default()).await.is_err());
        assert_eq!(asked.load(Ordering::SeqCst), without);
    }
}

#[tokio::test]
async fn client_that_is_not_told_to_repeats_nothing() {
    let (client, asked) = client_of(&[AWAY]).await;
    let client = client.with_retries(Retries::none());
    assert_eq!(client.me().await.unwrap_err().code(), Some(ErrorCode::Unavailable));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    let nobody = Client::new("http://127.0.0.1:1", "http://127.0.0.1:1", None).unwrap();
    assert!(matches!(nobody.me().await, Err(ClientError::Transport(TransportFault::Connect))));
}
