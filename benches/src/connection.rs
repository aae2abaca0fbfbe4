//! HTTP on one kept connection, with almost no work of its own: the measured program shares the cores with it.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::error::{BenchError, io};

const END_OF_HEAD: &[u8] = b"\r\n\r\n";
/// The end of a chunked body. No body of a measured answer contains it elsewhere.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// A connection on which requests are sent one after the other.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Connection {
    /// Connects to an address.
    ///
    /// # Errors
    /// If no program listens there.
    pub async fn open(address: &str) -> Result<Self, BenchError> {
        let stream = TcpStream::connect(address).await.map_err(io(address))?;
        stream.set_nodelay(true).map_err(io(address))?;
        Ok(Self { stream, answer: Vec::new() })
    }

    /// Sends a request as it is and reads the answer to its end.
    ///
    /// # Errors
    /// If the connection breaks or the status is not `expected`.
    pub async fn ask(&mut self, request: &[u8], expected: u16) -> Result<(), BenchError> {
        self.send(request).await?;
        self.answered(expected).await
    }

    /// Sends a part of a request.
    ///
    /// # Errors
    /// If the connection breaks.
    pub async fn send(&mut self, piece: &[u8]) -> Result<(), BenchError> {
        self.stream.write_all(piece).await.map_err(io("a request"))
    }

    /// Reads the answer to what was sent, to its end.
    ///
    /// # Errors
    /// If the connection breaks or the status is not `expected`.
    pub async fn answered(&mut self, expected: u16) -> Result<(), BenchError> {
        self.answer.clear();
        while !is_whole(&self.answer) {
            if self.stream.read_buf(&mut self.answer).await.map_err(io("an answer"))? == 0 {
                return Err(BenchError::Unexpected("the connection was closed".to_owned()));
            }
        }
        if status(&self.answer) == Some(expected) {
            Ok(())
        } else {
            let told = String::from_utf8_lossy(&self.answer).into_owned();
            Err(BenchError::Unexpected(format!("expected status {expected}, got: {told}")))
        }
    }

    /// Returns the field `name` of the JSON in the last answer.
    ///
    /// # Errors
    /// If the field is missing.
    pub fn told(&self, name: &str) -> Result<Value, BenchError> {
        let body = head_length(&self.answer).map(|head| &self.answer[head + END_OF_HEAD.len()..]);
        let json: Option<Value> = body.and_then(|body| serde_json::from_slice(body).ok());
        let field = json.and_then(|mut json| Some(json.get_mut(name)?.take()));
        field.ok_or_else(|| BenchError::Unexpected(format!("expected `{name}` in an answer, got none")))
    }
}

/// Formats a request for a kept connection.
pub fn request(method: &str, target: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

fn is_whole(answer: &[u8]) -> bool {
    let Some(head_ends) = head_length(answer) else { return false };
    let (head, body) = (&answer[..head_ends], &answer[head_ends + END_OF_HEAD.len()..]);
    match length(head) {
        Some(length) => body.len() >= length,
        None => body.ends_with(LAST_CHUNK),
    }
}

fn head_length(answer: &[u8]) -> Option<usize> {
    answer.windows(END_OF_HEAD.len()).position(|window| window == END_OF_HEAD)
}

fn length(head: &[u8]) -> Option<usize> {
    let head = std::str::from_utf8(head).ok()?;
    let (_, length) = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))?;
    length.trim().parse().ok()
}

fn status(answer: &[u8]) -> Option<u16> {
    std::str::from_utf8(answer.get(9..12)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_body_has_come() {
        for answer in [
            "HTTP/1.1 200 OK\r\nA: b\r\nContent-length: 3\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        ] {
            let answer = answer.as_bytes();
            assert_eq!(status(answer), Some(200));
            assert!((0..answer.len()).all(|length| !is_whole(&answer[..length])) && is_whole(answer));
        }
    }
}
