//! HTTP/1.1 messages as bytes: what a test sends may be odd, so no library stands in between.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// A request or an answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message {
    /// Request or status line and fields, up to and with the empty line.
    pub(crate) head: Vec<u8>,
    /// The body, without chunk framing.
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// Reads one message. `None` when the stream ends before the first byte.
    pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin), is_answer: bool) -> io::Result<Option<Self>> {
        let mut message = Self::default();
        let mut byte = [0];
        while !message.head.ends_with(b"\r\n\r\n") {
            if stream.read(&mut byte).await? == 0 {
                return if message.head.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
            message.head.push(byte[0]);
        }
        let bodiless = is_answer && matches!(message.status(), 100..200 | 204 | 304);
        if message.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            message.body = read_chunks(stream).await?;
        } else if let Some(length) = message.header("content-length").and_then(|text| text.parse().ok()) {
            message.body = vec![0; length];
            stream.read_exact(&mut message.body).await?;
        } else if is_answer && !bodiless {
            stream.read_to_end(&mut message.body).await?;
        }
        Ok(Some(message))
    }

    /// The words of the first line: method and path, or version and status.
    pub(crate) fn first_line(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.head);
        text.lines().next().unwrap_or_default().split(' ').map(str::to_owned).collect()
    }

    /// The status of an answer; 0 if it has none.
    pub(crate) fn status(&self) -> u16 {
        self.first_line().get(1).and_then(|word| word.parse().ok()).unwrap_or(0)
    }

    /// Names (in lower case) and values.
    pub(crate) fn headers(&self) -> Vec<(String, String)> {
        String::from_utf8_lossy(&self.head)
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect()
    }

    /// The first value of a field.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        self.headers().into_iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// The bytes to send, with the body's length said anew.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut lines = String::from_utf8_lossy(&self.head).lines().map(str::to_owned).collect::<Vec<_>>();
        lines.retain(|line| {
            let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
            !line.is_empty() && name != "content-length" && name != "transfer-encoding"
        });
        lines.push(format!("content-length: {}\r\n\r\n", self.body.len()));
        [lines.join("\r\n").as_bytes(), &self.body].concat()
    }
}

async fn read_chunks(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = usize::from_str_radix(read_line(stream).await?.trim(), 16).map_err(io::Error::other)?;
        let start = body.len();
        body.resize(start + size, 0);
        stream.read_exact(&mut body[start..]).await?;
        read_line(stream).await?;
        if size == 0 {
            return Ok(body);
        }
    }
}

async fn read_line(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_with_a_length_with_chunks_and_with_neither_are_read() {
        let read = |text: &'static str, is_answer| async move {
            Message::read(&mut text.as_bytes(), is_answer).await.unwrap().unwrap()
        };
        assert_eq!(read("POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nabc", false).await.body, b"ab");
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
        let answer = read(chunked, true).await;
        assert_eq!((answer.status(), answer.body.as_slice()), (200, b"abc".as_slice()));
        assert!(answer.to_bytes().ends_with(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc"));
        assert_eq!(read("HTTP/1.1 200 OK\r\n\r\nabc", true).await.body, b"abc");
        assert_eq!(read("HTTP/1.1 204 OK\r\n\r\nabc", true).await.body, b"");
        assert!(Message::read(&mut "".as_bytes(), true).await.unwrap().is_none());
    }
}
