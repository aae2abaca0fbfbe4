//! An outside service that answers each request as a test says, byte for byte.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

/// A request that was received.
#[derive(Debug, Clone)]
pub struct Call {
    /// Its `Idempotency-Key`.
    pub key: String,
    /// The number of earlier requests with that key.
    pub before: usize,
    /// Whether the service should act as unreachable.
    pub is_away: bool,
    pub body: Value,
}

impl Call {
    /// Returns the number of the row that it is for.
    pub fn row(&self) -> i64 {
        self.key.split_once(':').unwrap().1.parse().unwrap()
    }
}

/// A service of a test, which ends when this is dropped.
pub struct Scripted {
    pub url: String,
    calls: Arc<Mutex<Vec<Call>>>,
    is_away: Arc<AtomicBool>,
    _serves: AbortOnDropHandle<()>,
}

impl Scripted {
    /// Answers each call with the bytes that `answer` returns; with none, closes the connection.
    pub async fn start(answer: impl Fn(&Call) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (calls, answer) = (Arc::<Mutex<Vec<Call>>>::default(), Arc::new(answer));
        let is_away = Arc::new(AtomicBool::new(true));
        let serves = tokio::spawn({
            let (calls, is_away) = (calls.clone(), is_away.clone());
            async move {
                loop {
                    let (client, _) = listener.accept().await.unwrap();
                    tokio::spawn(serve(client, calls.clone(), is_away.clone(), answer.clone()));
                }
            }
        });
        Self { url, calls, is_away, _serves: AbortOnDropHandle::new(serves) }
    }

    /// Marks later calls as not [away](Call::is_away).
    pub fn is_back(&self) {
        self.is_away.store(false, Relaxed);
    }

    /// Returns the calls that were received, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    /// Returns the number of calls with each key.
    pub fn keys(&self) -> HashMap<String, usize> {
        self.calls().into_iter().map(|call| (call.key, call.before + 1)).collect()
    }
}

async fn serve(
    mut client: TcpStream,
    calls: Arc<Mutex<Vec<Call>>>,
    is_away: Arc<AtomicBool>,
    answer: Arc<impl Fn(&Call) -> Vec<u8> + Send + Sync + 'static>,
) {
    let mut bytes = Vec::new();
    let (head, length) = loop {
        let head = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, _)) = head.split_once("\r\n\r\n") {
            let length: usize = header(head, "content-length").parse().unwrap();
            break (head.to_owned(), length);
        }
        if client.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
    };
    let begin = head.len() + 4;
    while bytes.len() < begin + length {
        if client.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let (key, body) = (header(&head, "idempotency-key"), serde_json::from_slice(&bytes[begin..]).unwrap());
    let call = {
        let mut calls = calls.lock().unwrap();
        let before = calls.iter().filter(|call| call.key == key).count();
        calls.push(Call { key, before, is_away: is_away.load(Relaxed), body });
        calls.last().unwrap().clone()
    };
    // A client that hangs up gets no answer.
    let _ = client.write_all(&answer(&call)).await;
    let _ = client.shutdown().await;
}

fn header(head: &str, name: &str) -> String {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    lines
        .clone()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map_or("", |(_, value)| value.trim())
        .to_owned()
}

/// Returns an answer: the rest of its status line, with further headers after it, and its body.
pub fn answer(head: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// Returns the answer of a success.
pub fn done() -> Vec<u8> {
    answer("201 Created", "{\"id\": 101}")
}
