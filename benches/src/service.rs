//! The released program, with data of its own.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use serde_json::Value;
use tempfile::TempDir;

use crate::error::{BenchError, io};
use crate::process::{Process, output_of};
use crate::servers::Servers;

/// The servers under a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Stack {
    /// Everything in one process, over SQLite
    Embedded,
    /// An API over PostgreSQL, and a worker where there is work for it
    Distributed,
}

impl Stack {
    /// Returns the chosen stack, or both.
    pub fn chosen(choice: Option<Self>) -> Vec<Self> {
        choice.map_or_else(|| vec![Self::Embedded, Self::Distributed], |stack| vec![stack])
    }
}

impl fmt::Display for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Embedded => "embedded (SQLite)",
            Self::Distributed => "distributed (PostgreSQL)",
        })
    }
}

/// A running service. Dropping it ends the process and deletes its data.
#[derive(Debug)]
pub struct Service {
    // First: the process ends before its folder is deleted.
    pub process: Process,
    /// `HOST:PORT`
    pub address: String,
    pub http: reqwest::Client,
    folder: TempDir,
}

impl Service {
    /// Starts a service without any data.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn start(program: &Path, stack: Stack, servers: &Servers) -> Result<Self, BenchError> {
        match stack {
            Stack::Embedded => Self::start_in(temporary_folder()?, program, &[], &[]).await,
            Stack::Distributed => {
                Self::start_in(temporary_folder()?, program, &["api"], &servers.settings()?).await
            }
        }
    }

    /// Starts a service on the data of a folder, with these settings.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn start_in(
        folder: TempDir,
        program: &Path,
        arguments: &[&str],
        settings: &[(&'static str, String)],
    ) -> Result<Self, BenchError> {
        let mut command = command_in(&folder, program, arguments, settings);
        command.env("LISTEN", "127.0.0.1:0");
        let mut process = Process::start(command, folder.path())?;
        let stdout = process.stdout().to_owned();
        let address = process.until_it_serves(async || address(&fs::read_to_string(&stdout).ok()?)).await?;
        let http = http()?;
        Ok(Self { process, address, http, folder })
    }

    /// Appends lines in one body.
    ///
    /// # Errors
    /// If not all of them are kept.
    pub async fn add_lines(&self, count: usize, body: impl Into<reqwest::Body>) -> Result<(), BenchError> {
        let request = self.http.post(self.url("/api/data/bulk")).header("Content-Type", "text/plain");
        let report = answer(request.body(body).send().await?).await?;
        let expected = Some(count as u64);
        let saved = report["saved"].as_u64();
        (saved == expected).then_some(()).ok_or_else(|| unexpected("a bulk of lines", &report))
    }

    /// Appends a record. Returns its id.
    ///
    /// # Errors
    /// If it is not kept.
    pub async fn add_line(&self, line: &str) -> Result<String, BenchError> {
        let body = serde_json::json!({ "log": line }).to_string();
        let record = answer(self.http.post(self.url("/api/data")).body(body).send().await?).await?;
        record["id"].as_str().map(str::to_owned).ok_or_else(|| unexpected("a line", &record))
    }

    /// Reads all records and keeps none of them. Returns their size in bytes.
    ///
    /// # Errors
    /// If the stream is cut short.
    pub async fn read_all(&self) -> Result<u64, BenchError> {
        let mut response = self.http.get(self.url("/api/data")).send().await?.error_for_status()?;
        let (mut bytes, mut last) = (0, Bytes::new());
        while let Some(chunk) = response.chunk().await? {
            bytes += chunk.len() as u64;
            last = chunk;
        }
        let is_whole = last.trim_ascii_end().ends_with(b"]");
        let cut =
            || BenchError::Unexpected("expected all records, got a stream that was cut short".to_owned());
        is_whole.then_some(bytes).ok_or_else(cut)
    }

    /// Kills the embedded stack and starts it on its data with these settings.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn restarted(
        self,
        program: &Path,
        settings: &[(&'static str, String)],
    ) -> Result<Self, BenchError> {
        let Self { process, folder, .. } = self;
        drop(process);
        Self::start_in(folder, program, &[], settings).await
    }

    /// Returns the path of the embedded stack's outcome log.
    pub fn outcome_log(&self) -> PathBuf {
        self.data().join("outcomes.log")
    }

    /// Returns the folder with the embedded stack's data.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Runs another command of the program over the embedded stack's data.
    ///
    /// # Errors
    /// If it fails, with its own message.
    pub fn run(&self, program: &Path, arguments: &[&str]) -> Result<(), BenchError> {
        output_of(command_in(&self.folder, program, arguments, &[])).map(drop)
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

/// Returns a command of the program, with its data in a folder.
pub fn command_in(
    folder: &TempDir,
    program: &Path,
    arguments: &[&str],
    settings: &[(&'static str, String)],
) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder.path()).env_clear().envs(settings.iter().cloned());
    command
}

/// Makes a folder that is deleted when it is dropped.
///
/// # Errors
/// If it can't be made.
pub fn temporary_folder() -> Result<TempDir, BenchError> {
    TempDir::with_prefix("coatcheck-bench-").map_err(io("a temporary folder"))
}

async fn answer(response: reqwest::Response) -> Result<Value, BenchError> {
    let status = response.status();
    let body: Value = response.json().await?;
    status.is_success().then_some(()).ok_or_else(|| unexpected("a request", &body))?;
    Ok(body)
}

fn unexpected(what: &str, answer: &Value) -> BenchError {
    BenchError::Unexpected(format!("{what} was answered by {answer}"))
}

/// Returns the address in `coatcheck: page http://HOST:PORT/ · API http://HOST:PORT/docs`.
fn address(printed: &str) -> Option<String> {
    let line = printed.strip_suffix('\n')?;
    let (address, _) = line.strip_prefix("coatcheck: page http://")?.split_once('/')?;
    Some(address.to_owned())
}

/// Returns a client without TLS, which needs no certificate authorities; not every machine has them.
///
/// # Errors
/// If the client can't be created.
pub fn http() -> Result<reqwest::Client, BenchError> {
    Ok(client::http::builder(false).map_err(BenchError::Unexpected)?.build()?)
}
