//! A server for one test, and the requests that tests send to it.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use api::{Address, ApiSettings, Server};
use clap::Parser;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use task_data::life::Life;
use task_data::settings::Settings;
use task_data::stack::{Hold, Stack};
use tempfile::TempDir;
use test_kit::{eventually, in_time};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Given, so that no secret is generated in the folder of the test.
const SECRET: &str = "what the tests sign their tokens with";

#[derive(Parser)]
#[command(args_override_self = true)]
struct Arguments {
    #[command(flatten)]
    promises: Settings,
    #[command(flatten)]
    api: ApiSettings,
}

/// A running server. It ends with the test.
pub struct Desk {
    pub address: SocketAddr,
    pub client: Client,
    pub stop: Option<oneshot::Sender<()>>,
    pub served: JoinHandle<()>,
    folder: TempDir,
    _hold: Hold,
}

impl Desk {
    pub fn open() -> Self {
        Self::with(&[])
    }

    /// Starts a server with further settings, as flags.
    pub fn with(flags: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let place = |scheme: &str, name: &str| format!("{scheme}{}", folder.path().join(name).display());
        let (database, blobs) = (place("sqlite:", "rows.db"), place("file:", "blobs"));
        let (log, secret) = (place("", "outcomes.log"), place("", "secret"));
        fs::write(&secret, SECRET).unwrap();
        let own = ["api", "--database-url", &database, "--blob-url", &blobs, "--outcome-log", &log];
        let arguments = own.into_iter().chain([
            "--listen",
            "127.0.0.1:0",
            "--min-free-disk",
            "0",
            "--jwt-secret-file",
            &secret,
            "--allowed-hosts",
            "desk",
        ]);
        let Arguments { promises, api } = Arguments::parse_from(arguments.chain(flags.iter().copied()));

        let (stack, database, hold) = Stack::open_alone(&promises).unwrap();
        let life = Life::start(stack.clone(), promises).unwrap();
        let address = Address::take(api.listen).unwrap();
        let server = Server::bind(address, life, stack, &database, api).unwrap();
        let address = server.addresses()[0];
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        let client = client::http::builder(false).unwrap().build().unwrap();
        Self { address, client, stop: Some(stop), served, folder, _hold: hold }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(self.url(path))
    }

    pub fn put(&self, name: &str, content: impl Into<reqwest::Body>) -> RequestBuilder {
        self.client.put(self.url(&format!("/api/v1/md5/{name}"))).body(content)
    }

    /// Sends bytes unchanged, ends its own side, and returns all that comes back.
    pub async fn raw(&self, bytes: &[u8]) -> Raw {
        let mut connection = self.connect().await;
        // The server may have answered, and closed, before everything was sent.
        let _ = connection.write_all(bytes).await;
        let _ = connection.shutdown().await;
        Raw::read(connection).await
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    pub async fn tasks(&self) -> Vec<Value> {
        let body = json(self.get("/api/v1/tasks").send().await.unwrap()).await;
        body["tasks"].as_array().unwrap().clone()
    }

    /// Checks that nothing was promised and nothing was kept.
    pub async fn is_empty_after(&self, what: &str) {
        assert_eq!(self.tasks().await, Vec::<Value>::new(), "{what}");
        // Uploads that are given up are removed a moment later, on another thread.
        eventually(what, async || files(&self.folder.path().join("blobs")) == 0).await;
    }

    pub fn blobs(&self) -> usize {
        files(&self.folder.path().join("blobs"))
    }
}

fn files(folder: &Path) -> usize {
    let count = |path: &Path| if path.is_dir() { files(path) } else { 1 };
    fs::read_dir(folder).unwrap().map(|file| count(&file.unwrap().path())).sum()
}

pub async fn json(response: Response) -> Value {
    response.json().await.unwrap()
}

/// Checks that a response is a well-formed problem with that status and code.
pub async fn is_problem(response: Response, status: u16, code: &str, what: &str) {
    let headers = response.headers().clone();
    assert_eq!(headers["content-type"], "application/problem+json", "{what}");
    let seen = response.status();
    let body = json(response).await;
    assert_eq!((seen.as_u16(), body["code"].as_str().unwrap()), (status, code), "{what}: {body}");
    assert_eq!(body["status"], status, "{what}");
    assert_eq!(body["request_id"], headers["x-request-id"].to_str().unwrap(), "{what}");
    assert!(body["title"].is_string() && body["type"].is_string(), "{what}: {body}");
    assert_eq!(headers.contains_key("retry-after"), seen == StatusCode::SERVICE_UNAVAILABLE, "{what}");
}

/// The text that came back over a socket.
#[derive(Debug)]
pub struct Raw(pub String);

impl Raw {
    pub async fn read(mut connection: TcpStream) -> Self {
        let mut bytes = Vec::new();
        // A connection that is reset brings nothing more.
        let _ = in_time("the end of the connection", connection.read_to_end(&mut bytes)).await;
        Self(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Returns the status of the first response; 0 without a response.
    pub fn status(&self) -> u16 {
        self.0.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    /// Returns the code of the first response, if it is a problem.
    pub fn code(&self) -> Option<&str> {
        self.0.split_once("\"code\":\"")?.1.split('"').next()
    }

    pub fn body(&self) -> Value {
        let body = self.0.split_once("\r\n\r\n").unwrap().1;
        serde_json::from_str(body).unwrap()
    }

    /// Returns the status, head and body of the first response that is not an interim one; a status of 0 without a response.
    pub fn first(&self) -> (u16, &str, &str) {
        let answer = self.0.strip_prefix("HTTP/1.1 100 Continue\r\n\r\n").unwrap_or(&self.0);
        let Some((head, body)) = answer.split_once("\r\n\r\n") else { return (0, "", "") };
        (head[9..12].parse().unwrap(), head, body)
    }

    pub fn responses(&self) -> usize {
        self.0.matches("HTTP/1.1 ").count()
    }
}
