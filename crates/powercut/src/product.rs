//! Coatcheck as processes, with all its data on given disks, and a client of it.

use std::fs::{self, File, OpenOptions};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use tokio::process::{Child, Command};

use crate::error::{Context, Outcome, Trouble};
use crate::recording::StackKind;
use crate::rig::{DEADLINE, end_of, until};

const SECRET: &str = "a-secret-for-power-cuts-of-48-visible-characters";

/// The tested program, and the servers beside it.
#[derive(Debug, Clone)]
pub struct World {
    /// The path of `coatcheck`.
    pub binary: PathBuf,
    /// The base URL of a third party.
    pub third_party: String,
    /// RabbitMQ's virtual host and Redis's database of this lane, for the distributed stack.
    pub amqp: String,
    pub redis: String,
    /// A folder for logs.
    pub scratch: PathBuf,
}

/// The places of the program's data.
#[derive(Debug, Clone)]
pub struct Places {
    /// The mount of the database.
    pub database: PathBuf,
    /// The mount of uploads and the outcome log: the same one, or another disk's.
    pub files: PathBuf,
}

impl Places {
    /// Returns the folder of uploads and the outcome log.
    pub fn data(&self) -> PathBuf {
        self.files.join("data")
    }

    /// Returns the path of the outcome log.
    pub fn log(&self) -> PathBuf {
        self.data().join("outcomes.log")
    }

    /// Returns SQLite's file.
    pub fn sqlite(&self) -> PathBuf {
        self.database.join("data/coatcheck.db")
    }

    fn postgres(&self) -> PathBuf {
        self.database.join("postgres")
    }
}

/// The running program.
pub struct Product {
    world: World,
    stack: StackKind,
    places: Places,
    /// The command in front of the program's own: a tracer.
    wrap: Vec<String>,
    postgres: Option<Postgres>,
    processes: Vec<Child>,
    /// The file with the log lines of all processes.
    pub said: PathBuf,
    /// Whether PostgreSQL skips its flushes.
    pub is_unsafe: bool,
}

impl Product {
    /// Prepares the program without starting it. Its output is appended to the file `said`.
    pub fn new(world: &World, stack: StackKind, places: Places, said: PathBuf, wrap: Vec<String>) -> Self {
        let (postgres, processes, is_unsafe) = (None, Vec::new(), false);
        Self { world: world.clone(), stack, places, wrap, postgres, processes, said, is_unsafe }
    }

    /// Starts PostgreSQL, if the stack has one, and the program's processes.
    ///
    /// # Errors
    /// If one can't be started.
    pub async fn start(&mut self) -> Outcome<()> {
        if self.stack == StackKind::Distributed {
            self.start_postgres().await?;
        }
        for role in self.roles() {
            let process = self.start_process(role)?;
            self.processes.push(process);
        }
        Ok(())
    }

    /// Starts PostgreSQL alone.
    ///
    /// # Errors
    /// If it can't be started, or does not recover.
    pub async fn start_postgres(&mut self) -> Outcome<()> {
        let postgres = Postgres::start(&self.places.postgres(), &self.said, self.is_unsafe).await?;
        self.postgres = Some(postgres);
        Ok(())
    }

    fn roles(&self) -> &'static [&'static [&'static str]] {
        match self.stack {
            StackKind::Embedded => &[&[]],
            StackKind::Distributed => &[&["api"], &["worker"]],
        }
    }

    fn start_process(&self, role: &[&str]) -> Outcome<Child> {
        let mut command = self.command(role);
        if role != ["worker"] {
            command.stdout(File::create(self.stdout())?);
        }
        command.stderr(OpenOptions::new().create(true).append(true).open(&self.said)?);
        command.spawn().at(self.world.binary.display())
    }

    fn stdout(&self) -> PathBuf {
        self.said.with_extension("stdout")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let words = self.wrap.iter().map(AsRef::as_ref).chain([self.world.binary.as_os_str()]);
        let mut words = words.chain(arguments.iter().map(AsRef::as_ref));
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).env_clear().current_dir(&self.world.scratch).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let blobs = self.places.data().join("blobs");
        let database = match &self.postgres {
            None => format!("sqlite:{}", self.places.sqlite().display()),
            Some(postgres) => postgres.url(),
        };
        // Long enough for a busy machine; other processes wait until a dead one's lease ends.
        let lease = if self.stack == StackKind::Embedded { "30" } else { "5" };
        command
            .env("DATABASE_URL", database)
            .env("BLOB_URL", format!("file:{}", blobs.display()))
            .env("OUTCOME_LOG", self.places.log())
            .env("JWT_SECRET", SECRET)
            .env("LISTEN", "127.0.0.1:0")
            .env("MIN_FREE_DISK", "1MiB")
            .env("ORPHAN_SECONDS", "60")
            .env("LEASE_SECONDS", lease)
            .env("RATE", "1000")
            .env("THIRD_PARTY_URL", &self.world.third_party)
            .env("RUST_LOG", "info");
        if self.stack == StackKind::Distributed {
            command.env("AMQP_URL", &self.world.amqp).env("REDIS_URL", &self.world.redis);
        }
        command
    }

    /// Waits until the program is ready. Returns a client of it.
    ///
    /// # Errors
    /// If it has ended, or is not ready in time.
    pub async fn ready(&mut self, limit: Duration) -> Outcome<Client> {
        until("readiness", limit, async || {
            for process in &mut self.processes {
                if let Some(status) = process.try_wait()? {
                    let words = end_of(&self.said, 1000);
                    return Err(Trouble::new(format!("the program ended by itself: {status}\n{words}")));
                }
            }
            let told = fs::read_to_string(self.stdout()).unwrap_or_default();
            let Some(base) = address(&told) else {
                return Ok(Err("the program has not printed its address".into()));
            };
            let client = Client::new(&base)?;
            match client.ask(Method::GET, "/readyz", &[], "").await {
                Ok((200, _)) => Ok(Ok(client)),
                Ok((status, answer)) => Ok(Err(format!("{status} {}", String::from_utf8_lossy(&answer)))),
                Err(error) => Ok(Err(error.to_string())),
            }
        })
        .await
    }

    /// Restarts the processes that have ended, as a supervisor does. Returns how they had ended.
    ///
    /// # Errors
    /// If a process can't be started.
    pub async fn revive(&mut self) -> Outcome<Vec<ExitStatus>> {
        let mut ended = Vec::new();
        if let Some(postgres) = &mut self.postgres
            && let Some(status) = postgres.process.try_wait()?
        {
            ended.push(status);
            *postgres = Postgres::start(&self.places.postgres(), &self.said, self.is_unsafe).await?;
        }
        for (at, role) in self.roles().iter().enumerate() {
            let Some(process) = self.processes.get_mut(at) else { continue };
            let Some(status) = process.try_wait()? else { continue };
            ended.push(status);
            let next = self.start_process(role)?;
            if let Some(process) = self.processes.get_mut(at) {
                *process = next;
            }
        }
        Ok(ended)
    }

    /// Ends the program by a signal and waits for it; PostgreSQL stays.
    ///
    /// # Errors
    /// If it does not end.
    pub async fn stop(&mut self, signal: Signal) -> Outcome<()> {
        for process in &self.processes {
            if let Some(pid) = process.id() {
                let _ = kill(Pid::from_raw(pid.cast_signed()), signal);
            }
        }
        for mut process in self.processes.drain(..) {
            let ended = tokio::time::timeout(Duration::from_secs(40), process.wait()).await;
            ended.map_err(|_| Trouble::new(format!("the program did not end after {signal}")))??;
        }
        Ok(())
    }

    /// Kills all processes at once, PostgreSQL too.
    ///
    /// # Errors
    /// If one does not end.
    pub async fn cut(&mut self) -> Outcome<()> {
        self.stop(Signal::SIGKILL).await?;
        if let Some(postgres) = self.postgres.take() {
            postgres.stop().await?;
        }
        Ok(())
    }

    /// Runs `coatcheck verify`. Returns whether it found nothing, and its output.
    ///
    /// # Errors
    /// If it can't be run.
    pub async fn verify(&self) -> Outcome<(bool, String)> {
        let mut command = self.command(&["verify"]);
        let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().await?;
        let words = [&output.stdout[..], &output.stderr[..]].concat();
        Ok((output.status.success(), String::from_utf8_lossy(&words).into_owned()))
    }
}

/// Returns the base URL in `coatcheck: page http://HOST:PORT/ · …`.
fn address(told: &str) -> Option<String> {
    let (_, rest) = told.strip_suffix('\n')?.split_once("http://")?;
    let (address, _) = rest.split_once('/')?;
    Some(format!("http://{address}"))
}

/// A PostgreSQL of its own.
struct Postgres {
    process: Child,
    port: u16,
}

impl Postgres {
    fn url(&self) -> String {
        format!("postgres://coat@127.0.0.1:{}/postgres", self.port)
    }

    /// Starts it on its folder, which is created if it is missing, and waits until it has recovered.
    async fn start(folder: &Path, said: &Path, is_unsafe: bool) -> Outcome<Self> {
        if !folder.exists() {
            fs::create_dir(folder)?;
            let postgres = nix::unistd::User::from_name("postgres")?;
            let postgres = postgres.ok_or_else(|| Trouble::new("the user postgres does not exist"))?;
            nix::unistd::chown(folder, Some(postgres.uid), Some(postgres.gid))?;
            let mut initdb = Self::command("initdb", folder, said)?;
            initdb.args(["-A", "trust", "-U", "coat", "--encoding=UTF8", "--locale=C.UTF-8"]);
            let status = initdb.status().await?;
            if !status.success() {
                return Err(Trouble::new(format!("initdb: {status}\n{}", end_of(said, 600))));
            }
        }
        // Written by the machine that lost its power: the number may be another process's now.
        let _ = fs::remove_file(folder.join("postmaster.pid"));
        // Another program may take a free port between the look for it and its use.
        until("PostgreSQL", DEADLINE, async || {
            let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
            let mut command = Self::command("postgres", folder, said)?;
            command.args(["-p", &port.to_string()]);
            for setting in [
                "listen_addresses=127.0.0.1",
                "unix_socket_directories=",
                "max_connections=60",
                "shared_buffers=32MB",
                "max_wal_size=128MB",
                "checkpoint_timeout=30s",
                if is_unsafe { "fsync=off" } else { "fsync=on" },
            ] {
                command.args(["-c", setting]);
            }
            let mut process = command.spawn().at("postgres")?;
            let is_ready = until("PostgreSQL's recovery", DEADLINE, async || {
                if let Some(status) = process.try_wait()? {
                    return Err(Trouble::new(format!("PostgreSQL ended: {status}\n{}", end_of(said, 600))));
                }
                let mut ask = Command::new(Self::program("pg_isready")?);
                ask.args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]);
                Ok(ask.status().await?.success().then_some(()).ok_or_else(|| "not yet".into()))
            });
            match is_ready.await {
                Ok(()) => Ok(Ok(Self { process, port })),
                Err(error) if error.to_string().contains("Address already in use") => {
                    Ok(Err(error.to_string()))
                }
                Err(error) => Err(error),
            }
        })
        .await
    }

    fn program(name: &str) -> Outcome<PathBuf> {
        let mut versions = fs::read_dir("/usr/lib/postgresql")
            .at("/usr/lib/postgresql")?
            .filter_map(|entry| Some(entry.ok()?.path().join("bin").join(name)))
            .filter(|path| path.exists())
            .collect::<Vec<_>>();
        versions.sort();
        versions.pop().ok_or_else(|| Trouble::new(format!("{name} is not installed")))
    }

    /// Returns a command of one of its programs on that folder, as a user that it accepts.
    fn command(name: &str, folder: &Path, said: &Path) -> Outcome<Command> {
        let said = OpenOptions::new().create(true).append(true).open(said)?;
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "env", "LC_ALL=C.UTF-8"]);
        command.arg(Self::program(name)?).arg("-D").arg(folder).current_dir("/").stdin(Stdio::null());
        command.stdout(said.try_clone()?).stderr(said).kill_on_drop(true);
        Ok(command)
    }

    /// Ends it at once.
    async fn stop(mut self) -> Outcome<()> {
        if let Some(pid) = self.process.id() {
            let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGQUIT);
        }
        let ended = tokio::time::timeout(Duration::from_secs(30), self.process.wait()).await;
        ended.map_err(|_| Trouble::new("PostgreSQL does not end"))??;
        Ok(())
    }
}

/// A stand-in for the third party that tables are sent to.
pub struct ThirdParty {
    _process: Child,
    pub url: String,
}

impl ThirdParty {
    /// Starts the stand-in.
    ///
    /// # Errors
    /// If it does not begin to listen.
    pub async fn start(binary: &Path, scratch: &Path) -> Outcome<Self> {
        let told = scratch.join("third-party.stdout");
        let mut command = Command::new(binary);
        command.args(["providers", "third-party"]).env_clear().env("THIRD_PARTY_LISTEN", "127.0.0.1:0");
        command.current_dir(scratch).stdin(Stdio::null()).stdout(File::create(&told)?);
        command.stderr(File::create(scratch.join("third-party"))?).kill_on_drop(true);
        let mut process = command.spawn().at(binary.display())?;
        let url = until("the third party", DEADLINE, async || {
            if let Some(status) = process.try_wait()? {
                return Err(Trouble::new(format!("the third party ended: {status}")));
            }
            Ok(address(&fs::read_to_string(&told)?)
                .ok_or_else(|| "the program has not printed its address".into()))
        })
        .await?;
        Ok(Self { _process: process, url })
    }
}

/// A client of the program.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
}

impl Client {
    fn new(base: &str) -> Outcome<Self> {
        let http =
            client::http::builder(false).map_err(Trouble::new)?.timeout(Duration::from_secs(30)).build()?;
        Ok(Self { http, base: base.to_owned() })
    }

    /// Sends a request. Returns the status and the body of the answer.
    ///
    /// # Errors
    /// If no whole answer arrives.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Outcome<(u16, Vec<u8>)> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(HeaderName::from_static(name), HeaderValue::from_str(value)?);
        }
        let request = self.http.request(method, format!("{}{path}", self.base)).headers(map).body(body);
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        Ok((status, answer.bytes().await?.to_vec()))
    }

    /// Requests JSON. Returns it, if the status is 200.
    ///
    /// # Errors
    /// If the status is another one, or the body is not JSON.
    pub async fn get(&self, path: &str) -> Outcome<Value> {
        let (status, body) = self.ask(Method::GET, path, &[], "").await?;
        if status != 200 {
            return Err(Trouble::new(format!("GET {path}: {status} {}", String::from_utf8_lossy(&body))));
        }
        serde_json::from_slice(&body).at(path)
    }
}
