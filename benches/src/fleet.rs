//! An API, workers and stand-ins for the providers, each a process of its own, over the private servers.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::Bench;
use crate::error::{BenchError, io};
use crate::process::{Process, output_of};
use crate::service::temporary_folder;

/// Processes that work together. Dropping the fleet ends them and deletes their data.
pub struct Fleet<'a> {
    bench: &'a Bench,
    server: Member,
    // Only kept alive.
    _providers: Member,
    workers: Vec<Worker>,
    /// The uploads and the log.
    shared: TempDir,
    worker_settings: Vec<(&'static str, String)>,
    /// `http://HOST:PORT` of the API, and of the stand-ins.
    pub api: String,
    pub free: String,
    pub third_party: String,
    pub http: reqwest::Client,
}

/// A process in a folder of its own.
struct Member {
    // First: the process ends before its folder is deleted.
    process: Process,
    _folder: TempDir,
}

struct Worker {
    member: Member,
    /// The address of its metrics.
    metrics: String,
}

impl<'a> Fleet<'a> {
    /// Starts the fleet with that many workers; the settings are the workers' and the providers'.
    ///
    /// # Errors
    /// If a process does not start.
    pub async fn start(
        bench: &'a Bench,
        workers: usize,
        settings: &[(&'static str, String)],
    ) -> Result<Self, BenchError> {
        let any = || "127.0.0.1:0".to_owned();
        let listen = ["FREE_LISTEN", "PAID_LISTEN", "THIRD_PARTY_LISTEN"].map(|name| (name, any()));
        let mut providers = Member::start(bench, "providers", &[&listen[..], settings].concat())?;
        let free = providers.told("coatcheck: free provider ").await?;
        let paid = providers.told("coatcheck: paid provider ").await?;
        let third_party = providers.told("coatcheck: third-party provider ").await?;
        let shared = temporary_folder()?;
        let files = [
            ("BLOB_URL", format!("file:{}", shared.path().join("blobs").display())),
            ("OUTCOME_LOG", shared.path().join("outcomes.log").display().to_string()),
        ];
        let servers = [&bench.servers.settings()?[..], &files].concat();
        let mut server = Member::start(bench, "api", &[&servers[..], &[("LISTEN", any())]].concat())?;
        let api = server.told("coatcheck: page ").await?;

        let urls = [("FREE_URL", free.clone()), ("PAID_URL", paid), ("THIRD_PARTY_URL", third_party.clone())];
        let mut fleet = Self {
            bench,
            server,
            _providers: providers,
            workers: Vec::new(),
            shared,
            worker_settings: [&servers[..], &urls, settings].concat(),
            api,
            free,
            third_party,
            http: crate::service::http()?,
        };
        for _ in 0..workers {
            fleet.workers.push(fleet.worker()?);
        }
        Ok(fleet)
    }

    fn worker(&self) -> Result<Worker, BenchError> {
        let address = free_address()?;
        let metrics = format!("http://{address}/metrics");
        let settings = [&self.worker_settings[..], &[("METRICS_LISTEN", address)]].concat();
        Ok(Worker { member: Member::start(self.bench, "worker", &settings)?, metrics })
    }

    /// Starts another worker.
    ///
    /// # Errors
    /// If it can't be started.
    pub fn add_worker(&mut self) -> Result<(), BenchError> {
        self.workers.push(self.worker()?);
        Ok(())
    }

    /// Returns the CPU time of the workers.
    pub fn cpu_of_workers(&self) -> Duration {
        self.workers.iter().map(|worker| worker.member.process.cpu()).sum()
    }

    /// Returns the processes that serve or work, each with its name.
    pub fn processes(&self) -> Vec<(&'static str, &Process)> {
        let workers = self.workers.iter().map(|worker| ("worker", &worker.member.process));
        [("api", &self.server.process)].into_iter().chain(workers).collect()
    }

    /// Returns the path of the log that all workers write.
    pub fn outcome_log(&self) -> PathBuf {
        self.shared.path().join("outcomes.log")
    }

    /// Returns a setting that all processes have.
    pub fn setting(&self, name: &str) -> &str {
        let found = self.worker_settings.iter().find(|(setting, _)| *setting == name);
        found.map_or("", |(_, value)| value)
    }

    /// Returns the folder of the uploads.
    pub fn blobs(&self) -> PathBuf {
        self.shared.path().join("blobs")
    }

    /// Kills the oldest worker and starts another.
    ///
    /// # Errors
    /// If the other one can't be started.
    pub fn kill_a_worker(&mut self) -> Result<(), BenchError> {
        drop(self.workers.remove(0));
        self.workers.push(self.worker()?);
        Ok(())
    }

    /// Kills all workers and starts one with these settings, which later ones have too.
    ///
    /// # Errors
    /// If it can't be started.
    pub fn restart_worker(&mut self, settings: &[(&'static str, String)]) -> Result<(), BenchError> {
        self.worker_settings.retain(|(name, _)| settings.iter().all(|(set, _)| set != name));
        self.worker_settings.extend_from_slice(settings);
        self.workers.clear();
        self.add_worker()
    }

    /// Runs another command of the program over the same servers.
    ///
    /// # Errors
    /// If it fails, with its own message.
    pub fn run(&self, arguments: &[&str]) -> Result<(), BenchError> {
        let mut command = Command::new(&self.bench.program);
        command.args(arguments).env_clear().envs(self.worker_settings.iter().cloned());
        output_of(command).map(drop)
    }

    /// Returns the sum of a counter over all workers.
    ///
    /// # Errors
    /// If one of them does not report it.
    pub async fn counted(&self, counter: &str) -> Result<f64, BenchError> {
        let mut sum = 0.0;
        for worker in &self.workers {
            let text = self.http.get(&worker.metrics).send().await?.error_for_status()?.text().await?;
            let count = text.lines().find_map(|line| line.strip_prefix(counter)?.trim().parse::<f64>().ok());
            let none = || {
                BenchError::Unexpected(format!("expected the counter {counter} of each worker, found none"))
            };
            sum += count.ok_or_else(none)?;
        }
        Ok(sum)
    }

    /// Returns the JSON at a URL.
    ///
    /// # Errors
    /// If the URL returns something else.
    pub async fn found(&self, url: &str) -> Result<Value, BenchError> {
        Ok(self.http.get(url).send().await?.error_for_status()?.json().await?)
    }
}

impl Member {
    fn start(bench: &Bench, command: &str, settings: &[(&'static str, String)]) -> Result<Self, BenchError> {
        let folder = temporary_folder()?;
        let mut program = Command::new(&bench.program);
        program.arg(command).current_dir(folder.path()).env_clear().envs(settings.iter().cloned());
        Ok(Self { process: Process::start(program, folder.path())?, _folder: folder })
    }

    /// Returns the URL in a line that it prints, after those words.
    async fn told(&mut self, words: &str) -> Result<String, BenchError> {
        let stdout = self.process.stdout().to_owned();
        self.process
            .until_it_serves(async || {
                let printed = fs::read_to_string(&stdout).ok()?;
                let line = printed.split_inclusive('\n').find_map(|line| line.strip_prefix(words))?;
                Some(line.split_once("/ · ")?.0.to_owned())
            })
            .await
    }
}

/// Returns an address on which no program listens.
fn free_address() -> Result<String, BenchError> {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    Ok(listener.map_err(io("a free port"))?.to_string())
}
