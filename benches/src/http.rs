//! HTTP/1.1 as far as a load client needs it: prepared requests, and answers with a `Content-Length`.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::Failure;

/// A keep-alive connection.
pub(crate) struct Connection {
    socket: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects to `address`, `IP:PORT`.
    pub(crate) async fn open(address: &str) -> Result<Self, Failure> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        Ok(Self { socket, buffer: Vec::with_capacity(16 * 1024) })
    }

    /// Sends a request and answers with status and body.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<(u16, &str), Failure> {
        self.socket.write_all(request).await?;
        self.buffer.clear();
        loop {
            if let Some(head) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                let (status, length) = read_head(self.buffer.get(..head).unwrap_or_default())?;
                let end = head + 4 + length;
                while self.buffer.len() < end {
                    self.read_more().await?;
                }
                return Ok((status, std::str::from_utf8(self.buffer.get(head + 4..end).unwrap_or_default())?));
            }
            self.read_more().await?;
        }
    }

    /// [`Self::exchange`] whose answer must have `status`.
    pub(crate) async fn expect(&mut self, request: &[u8], status: u16) -> Result<&str, Failure> {
        match self.exchange(request).await? {
            (found, body) if found == status => Ok(body),
            (found, body) => Err(format!("status {found} instead of {status}: {body}").into()),
        }
    }

    async fn read_more(&mut self) -> Result<(), Failure> {
        if self.socket.read_buf(&mut self.buffer).await? == 0 {
            return Err("the connection was closed".into());
        }
        Ok(())
    }
}

/// Status and `Content-Length`.
fn read_head(head: &[u8]) -> Result<(u16, usize), Failure> {
    let head = std::str::from_utf8(head)?;
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).ok_or("no status")?;
    let length = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .find_map(|(name, text)| name.eq_ignore_ascii_case("content-length").then(|| text.trim().parse().ok()))
        .flatten()
        .ok_or("no content-length")?;
    Ok((status, length))
}

/// A request without a body.
pub(crate) fn get(address: &str, path: &str, token: &str) -> Vec<u8> {
    bare("GET", address, path, token)
}

/// A request that deletes.
pub(crate) fn delete(address: &str, path: &str, credential: &str) -> Vec<u8> {
    bare("DELETE", address, path, credential)
}

fn bare(method: &str, address: &str, path: &str, credential: &str) -> Vec<u8> {
    format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {credential}\r\n\r\n").into_bytes()
}

/// A request with a JSON body.
pub(crate) fn post(address: &str, path: &str, credential: &str, body: &str) -> Vec<u8> {
    request("POST", address, path, credential, Some(body))
}

/// A request with a JSON body, or without one.
pub(crate) fn request(method: &str, address: &str, path: &str, credential: &str, body: Option<&str>) -> Vec<u8> {
    let Some(body) = body else { return bare(method, address, path, credential) };
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {credential}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}
