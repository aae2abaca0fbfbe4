//! The same call in FastAPI and SQLAlchemy: `benches/peers/records`, in a Python environment of its own.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::Bench;
use crate::error::{BenchError, io};
use crate::process::Process;
use crate::service::{Stack, temporary_folder};

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/records");
/// The Python packages that it needs.
const REQUIREMENTS: &str = include_str!("../../peers/records/requirements.txt");

/// A running peer. Dropping it ends the process and deletes its data.
#[derive(Debug)]
pub struct Peer {
    // First: the process ends before its folder is deleted.
    pub process: Process,
    /// `HOST:PORT`
    pub address: String,
    _folder: TempDir,
}

impl Peer {
    /// Starts a peer without any data.
    ///
    /// # Errors
    /// If it can't be installed or does not start.
    pub async fn start(bench: &Bench, stack: Stack) -> Result<Self, BenchError> {
        let python = python(&bench.installed)?;
        let folder = temporary_folder()?;
        let (database, workers) = match stack {
            // Two processes would block each other in SQLite.
            Stack::Embedded => (format!("sqlite+aiosqlite:///{}/peer.db", folder.path().display()), "1"),
            Stack::Distributed => {
                (bench.servers.database()?.replacen("postgres://", "postgresql+asyncpg://", 1), "2")
            }
        };
        let command = || {
            let mut command = Command::new(&python);
            command.current_dir(SOURCE).env("PEER_DATABASE_URL", &database);
            command.env("PYTHONDONTWRITEBYTECODE", "1");
            command
        };
        let mut make_table = command();
        make_table.arg("app.py");
        succeeded(make_table)?;
        let port = free_port()?.to_string();
        let mut serve = command();
        serve.args([
            "-m",
            "uvicorn",
            "app:app",
            "--loop",
            "uvloop",
            "--http",
            "httptools",
            "--no-access-log",
        ]);
        serve.args(["--workers", workers, "--port", &port]);
        let mut process = Process::start(serve, folder.path())?;
        let address = format!("127.0.0.1:{port}");
        let url = format!("http://{address}/healthz");
        let http = crate::service::http()?;
        process.until_it_serves(async || http.get(&url).send().await.ok()).await?;
        Ok(Self { process, address, _folder: folder })
    }
}

/// Returns a Python with the requirements, installed once.
fn python(installed: &Path) -> Result<PathBuf, BenchError> {
    let folder = installed.join("records");
    let (python, made_of) = (folder.join("bin/python"), folder.join("requirements.txt"));
    if fs::read_to_string(&made_of).is_ok_and(|requirements| requirements == REQUIREMENTS) {
        return Ok(python);
    }
    eprintln!("FastAPI and SQLAlchemy are installed into {}", folder.display());
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv", "--clear"]).arg(&folder);
    succeeded(venv)?;
    let wanted = folder.join("wanted.txt");
    fs::write(&wanted, REQUIREMENTS).map_err(io(wanted.to_string_lossy()))?;
    let mut install = Command::new(&python);
    install
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
        .arg(&wanted);
    succeeded(install)?;
    fs::rename(&wanted, &made_of).map_err(io(made_of.to_string_lossy()))?;
    Ok(python)
}

fn succeeded(mut command: Command) -> Result<(), BenchError> {
    let done = command.output().map_err(io(command.get_program().to_string_lossy()))?;
    let told = || BenchError::Unexpected(format!("{command:?}: {}", String::from_utf8_lossy(&done.stderr)));
    done.status.success().then_some(()).ok_or_else(told)
}

fn free_port() -> Result<u16, BenchError> {
    let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    Ok(address.map_err(io("a free port"))?.port())
}
