//! A peer that computes digests of uploads too, and runs already: FastAPI and Celery.

use std::path::PathBuf;
use std::str::FromStr;

use crate::error::BenchError;

/// The peer's description in the page of results.
pub const DESCRIPTION: &str = "FastAPI on uvicorn, 2 processes; Celery prefork, 2 processes, acks_late, publisher confirms; PostgreSQL, RabbitMQ, and a \
     folder that they share for the files";

/// The peer's address. It accepts `POST URL` with a file as the part `file` and answers JSON with its `id`; `GET URL/{id}` then returns
/// `{"status": "SUCCESS", "result": md5}`.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "A peer to measure beside (all three, or none)")]
pub struct PeerArgs {
    /// The URL to which files are posted, `http://HOST:PORT/PATH`
    #[arg(long, global = true)]
    peer_url: Option<String>,
    /// Its log, with a line `{id} {md5}` for each file that is done
    #[arg(long, global = true)]
    peer_log: Option<PathBuf>,
    /// Its processes, whose CPU is counted with that of all their children
    #[arg(long, global = true, value_delimiter = ',', value_name = "api=PID,worker=PID")]
    peer_pids: Vec<NamedPid>,
}

#[derive(Debug, Clone)]
struct NamedPid(u32);

impl FromStr for NamedPid {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let pid = text.strip_prefix("api=").or_else(|| text.strip_prefix("worker="));
        pid.and_then(|pid| pid.parse().ok())
            .map(Self)
            .ok_or_else(|| "expected api=PID or worker=PID".to_owned())
    }
}

/// A peer with all its settings.
#[derive(Debug)]
pub struct Peer {
    /// `HOST:PORT`
    pub address: String,
    pub path: String,
    pub log: PathBuf,
    pub pids: Vec<u32>,
}

impl PeerArgs {
    /// Returns the peer, if one was given.
    ///
    /// # Errors
    /// If only a part of its settings was given.
    pub fn peer(self) -> Result<Option<Peer>, BenchError> {
        let pids: Vec<u32> = self.peer_pids.into_iter().map(|NamedPid(pid)| pid).collect();
        match (self.peer_url, self.peer_log, pids.is_empty()) {
            (None, None, true) => Ok(None),
            (Some(url), Some(log), false) => {
                let parts = url.strip_prefix("http://").and_then(|url| url.split_once('/'));
                let (address, path) = parts.ok_or_else(|| {
                    BenchError::Unexpected(format!("--peer-url: expected http://HOST:PORT/PATH, got {url}"))
                })?;
                Ok(Some(Peer { address: address.to_owned(), path: format!("/{path}"), log, pids }))
            }
            _ => Err(BenchError::Unexpected(
                "--peer-url, --peer-log and --peer-pids: expected all three or none".to_owned(),
            )),
        }
    }
}
