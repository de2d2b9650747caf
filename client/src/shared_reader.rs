//! Reading for many callers at once: those that want one secret at one time share a request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use crate::reading::ReadResult;
use crate::{Client, ClientError, Wanted};

/// A client whose concurrent reads of one secret make one request. It keeps no value after that.
///
/// A caller that goes away ends nothing: another one that waits for the same secret takes its place.
pub struct SharedReader {
    client: Client,
    flights: Mutex<HashMap<Wanted, Arc<OnceCell<ReadResult>>>>,
}

impl SharedReader {
    /// A reader with the rights of a client.
    pub fn new(client: Client) -> Self {
        Self { client, flights: Mutex::new(HashMap::new()) }
    }

    /// Reads a secret, or waits for the read of it that is under way.
    ///
    /// # Errors
    ///
    /// A service refuses, cannot be reached, or answers out of form; the same for all that waited.
    pub async fn read(&self, wanted: &Wanted) -> ReadResult {
        let flight = Flight::join(self, wanted);
        let read = flight.cell.get_or_init(|| async {
            let mut results = self.client.read_secrets(std::slice::from_ref(wanted)).await;
            results.pop().unwrap_or(Err(ClientError::Malformed { status: 200 }))
        });
        read.await.clone()
    }
}

/// A caller's part in a read.
struct Flight<'a> {
    reader: &'a SharedReader,
    wanted: &'a Wanted,
    cell: Arc<OnceCell<ReadResult>>,
}

impl<'a> Flight<'a> {
    fn join(reader: &'a SharedReader, wanted: &'a Wanted) -> Self {
        let mut flights = reader.flights.lock().unwrap_or_else(PoisonError::into_inner);
        let cell = Arc::clone(flights.entry(wanted.clone()).or_default());
        Self { reader, wanted, cell }
    }
}

impl Drop for Flight<'_> {
    /// The first that has the answer, and the last that goes away without one, end it: who comes later asks anew.
    fn drop(&mut self) {
        let mut flights = self.reader.flights.lock().unwrap_or_else(PoisonError::into_inner);
        let same = flights.get(self.wanted).is_some_and(|cell| Arc::ptr_eq(cell, &self.cell));
        // The map and this caller have it.
        if same && (self.cell.initialized() || Arc::strong_count(&self.cell) == 2) {
            flights.remove(self.wanted);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::{Pin, pin};
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::{join_all, poll_immediate};
    use shared_proto::id::SecretId;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use crate::TransportFault;

    /// A reader whose manager counts connections, answers 503 to each after `after` of them wait, and its counter.
    async fn counted(gate: Arc<tokio::sync::Notify>) -> (SharedReader, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                gate.notified().await;
                let mut head = [0; 1024];
                let _ = stream.read(&mut head).await;
                let _ = stream.write_all(b"HTTP/1.1 500 x\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}").await;
            }
        });
        (SharedReader::new(Client::new(&address, &address, None).unwrap()), asked)
    }

    #[tokio::test]
    async fn concurrent_reads_of_one_secret_make_one_request_and_later_ones_another() {
        let gate = Arc::new(tokio::sync::Notify::new());
        let (reader, asked) = counted(Arc::clone(&gate)).await;
        let wanted = Wanted::id(SecretId::generate(), None);
        for round in 1..=2 {
            let mut reads: Vec<Pin<Box<dyn Future<Output = ReadResult>>>> = Vec::new();
            for _ in 0..50 {
                reads.push(Box::pin(reader.read(&wanted)));
            }
            gate.notify_one();
            for read in join_all(reads).await {
                assert!(matches!(read.err(), Some(ClientError::Malformed { status: 500 })));
            }
            assert_eq!(asked.load(Ordering::SeqCst), round);
        }
    }

    #[tokio::test]
    async fn reader_who_goes_away_leaves_the_read_to_one_who_waits() {
        let gate = Arc::new(tokio::sync::Notify::new());
        let (reader, asked) = counted(Arc::clone(&gate)).await;
        let wanted = Wanted::id(SecretId::generate(), None);
        let mut waits = pin!(reader.read(&wanted));
        {
            let mut goes = pin!(reader.read(&wanted));
            assert!(poll_immediate(goes.as_mut()).await.is_none());
            assert!(poll_immediate(waits.as_mut()).await.is_none());
        }
        gate.notify_one();
        gate.notify_one();
        tokio::spawn(async move {
            loop {
                gate.notify_one();
                tokio::task::yield_now().await;
            }
        });
        assert!(waits.await.is_err());
        assert!(asked.load(Ordering::SeqCst) >= 1);
        assert!(reader.flights.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn service_that_cannot_be_reached_is_told_as_that() {
        let reader = SharedReader::new(Client::new("http://127.0.0.1:1", "http://127.0.0.1:1", None).unwrap());
        let read = reader.read(&Wanted::id(SecretId::generate(), None)).await;
        assert!(matches!(read.err(), Some(ClientError::Transport(TransportFault::Connect))));
    }
}
