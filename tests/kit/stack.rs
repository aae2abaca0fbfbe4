//! A whole service in a folder of its own: its settings, its data, and the program that runs on them.

use std::ffi::OsStr;
use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use rstest_reuse::template;
use tempfile::TempDir;
use test_kit::{eventually, psql, servers};

use crate::kit::program::{Program, coatcheck, stderr_of};

/// The stack that a test runs on: `#[apply(both_stacks)] async fn name(setup: Setup)` is the tests `{file}::{name}::case_1_embedded` and
/// `…::case_2_distributed`. Tests for one stack alone use `#[apply(embedded)]` or `#[apply(distributed)]`.
#[derive(Debug, Clone, Copy)]
pub enum Setup {
    Embedded,
    Distributed,
}

#[template]
#[rstest::rstest]
#[case::embedded(crate::kit::stack::Setup::Embedded)]
#[case::distributed(crate::kit::stack::Setup::Distributed)]
#[tokio::test]
pub async fn both_stacks(#[case] setup: Setup) {}

#[template]
#[rstest::rstest]
#[case::embedded(crate::kit::stack::Setup::Embedded)]
#[tokio::test]
pub async fn embedded(#[case] setup: Setup) {}

#[template]
#[rstest::rstest]
#[case::distributed(crate::kit::stack::Setup::Distributed)]
#[tokio::test]
pub async fn distributed(#[case] setup: Setup) {}

impl Setup {
    /// Starts a stack with these settings.
    pub async fn start(self, settings: &[(&str, &str)]) -> Running {
        Running::of(match self {
            Self::Embedded => Stack::embedded(settings),
            Self::Distributed => Stack::distributed(settings),
        })
        .await
    }
}

/// A stack that runs until its test is over. If the test has failed, the output of its programs is shown then; if one of them has panicked,
/// the test fails.
pub struct Running(Arc<Stack>);

impl Running {
    /// Starts a stack.
    pub async fn of(stack: Stack) -> Self {
        stack.start().await;
        Self(Arc::new(stack))
    }
}

impl Deref for Running {
    type Target = Arc<Stack>;

    fn deref(&self) -> &Arc<Stack> {
        &self.0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.programs().clear();
        let folders: Vec<_> = (0..self.0.processes()).map(|process| self.0.process_folder(process)).collect();
        let told: Vec<_> =
            folders.iter().map(|folder| fs::read_to_string(stderr_of(folder)).unwrap_or_default()).collect();
        if thread::panicking() {
            for (folder, told) in folders.iter().zip(&told) {
                println!("{}: {told}", folder.display());
            }
        } else {
            assert!(
                told.iter().all(|told| !told.contains("panicked at")),
                "a program has panicked: {told:#?}"
            );
        }
    }
}

/// The idle time after which a connection is not used again: far less than the time for which a server keeps one open.
const IDLE: Duration = Duration::from_secs(1);

/// The host names in requests that tests write by hand; a stack accepts them unless its settings say otherwise.
const HOSTS: &str = "a,coatcheck";

/// One service. Its processes can be killed and started again; its folder is there until the test is over.
pub struct Stack {
    folder: TempDir,
    settings: Vec<(String, String)>,
    /// The role of each of its processes, as arguments; the first one answers.
    roles: &'static [&'static [&'static str]],
    /// `HOST:PORT`; fixed from the first start on.
    address: Mutex<String>,
    programs: Mutex<Vec<Program>>,
    pub(crate) http: reqwest::Client,
}

impl Stack {
    /// Returns a stack of the one program, with its data under its working directory.
    pub fn embedded(settings: &[(&str, &str)]) -> Self {
        Self::new(&[&[]], settings)
    }

    /// Returns a stack of an API and a worker, with a database, a virtual host and a Redis of their own. A lost worker is noticed soon.
    pub fn distributed(settings: &[(&str, &str)]) -> Self {
        let servers = servers();
        let (database, vhost) = (servers.database(), servers.vhost());
        let own = [
            ("DATABASE_URL", &*database),
            ("AMQP_URL", &vhost),
            ("REDIS_URL", &servers.redis()),
            ("LEASE_SECONDS", "2"),
        ];
        Self::new(&[&["api"], &["worker"]], &[&own[..], settings].concat())
    }

    /// Returns an API over servers of its own, without a worker.
    pub fn without_worker(settings: &[(&str, &str)]) -> Self {
        Self { roles: &[&["api"]], ..Self::distributed(settings) }
    }

    /// Returns a stack of settings and a folder; its processes are the test's. Clients use the address that [`answers_at`] sets.
    ///
    /// [`answers_at`]: Self::answers_at
    pub fn bare(settings: &[(&str, &str)]) -> Self {
        Self::new(&[], settings)
    }

    pub fn answers_at(&self, address: String) {
        *self.address.lock().unwrap() = address;
    }

    fn new(roles: &'static [&'static [&'static str]], settings: &[(&str, &str)]) -> Self {
        Self {
            folder: TempDir::with_prefix("coatcheck-test-").unwrap(),
            settings: [("ALLOWED_HOSTS", HOSTS)]
                .iter()
                .chain(settings)
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            roles,
            address: Mutex::new(format!("{}:0", own_host())),
            programs: Mutex::default(),
            http: crate::kit::client::http().pool_idle_timeout(IDLE).build().unwrap(),
        }
    }

    /// Starts the processes on the data that is there.
    pub async fn start(&self) {
        self.start_with(&[]).await;
    }

    /// Starts the processes on the data that is there, with these settings beside the stack's own.
    pub async fn start_with(&self, settings: &[(&str, &str)]) {
        let mut programs = Vec::new();
        for (process, role) in self.roles.iter().enumerate() {
            programs.push(self.start_process(process, role, settings));
        }
        let address = programs[0].address(&self.process_folder(0)).await;
        *self.address.lock().unwrap() = address;
        let before = std::mem::replace(&mut *self.programs(), programs);
        assert!(before.is_empty(), "two programs on the same data");
    }

    fn start_process(&self, process: usize, role: &[&str], settings: &[(&str, &str)]) -> Program {
        let mut command = self.command(role);
        command.envs(settings.iter().copied()).env("LISTEN", self.address());
        let folder = self.process_folder(process);
        fs::create_dir_all(&folder).unwrap();
        Program::start(command, &folder)
    }

    /// Returns the number of processes.
    pub fn processes(&self) -> usize {
        self.roles.len()
    }

    /// Returns the folder with the output of one process.
    pub fn process_folder(&self, process: usize) -> PathBuf {
        self.folder().join(format!("process-{process}"))
    }

    /// Returns a command on this stack's data.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = coatcheck(self.folder(), arguments);
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts one more process, which the stack does not end.
    pub fn extra(&self, role: &[&str], settings: &[(&str, &str)]) -> Extra {
        let folder = TempDir::with_prefix("coatcheck-test-").unwrap();
        let mut command = self.command(role);
        command.envs(settings.iter().copied()).env("LISTEN", format!("{}:0", own_host()));
        Extra { program: Program::start(command, folder.path()), folder }
    }

    /// Sends `kill -9` to all processes, and waits until they are gone.
    pub fn kill(&self) {
        let programs = std::mem::take(&mut *self.programs());
        assert!(!programs.is_empty(), "no program to kill");
        // All at once, as when a machine fails.
        programs.into_iter().for_each(Program::kill);
    }

    /// Sends `kill -9` to one process.
    pub fn kill_process(&self, process: usize) {
        self.programs().remove(process).kill();
    }

    pub fn signal_process(&self, process: usize, signal: Signal) {
        self.programs()[process].signal(signal);
    }

    /// Waits until one process ends by itself; returns its status.
    pub async fn exit_of(&self, process: usize) -> ExitStatus {
        eventually("the end of the process", async || {
            self.programs()[process].exit_status().ok_or("it still runs")
        })
        .await
    }

    /// Runs a statement in the database; returns the output.
    pub fn sql(&self, statement: &str) -> String {
        match self.database_url() {
            Some(url) => psql(url, statement),
            None => self.sqlite(statement),
        }
    }

    /// Counts the tasks that have not ended, and the entries of the feed that a log has not passed.
    pub fn left(&self) -> u64 {
        let has_passed = match self.is_distributed() {
            true => {
                "(no, cardinality(tasks)) <= (SELECT no, within FROM followers ORDER BY no, within LIMIT 1)"
            }
            false => "no <= (SELECT min(no) FROM followers)",
        };
        let left = self.sql(&format!(
            "SELECT (SELECT count(*) FROM tasks WHERE finished IS NULL) \
                + (SELECT count(*) FROM feed WHERE NOT coalesce({has_passed}, false))"
        ));
        left.parse().unwrap_or_else(|_| panic!("{left}"))
    }

    pub fn is_distributed(&self) -> bool {
        self.database_url().is_some()
    }

    pub fn database_url(&self) -> Option<&str> {
        self.setting("DATABASE_URL")
    }

    /// Returns the value of a setting of its processes, if it was set.
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings.iter().find(|(set, _)| set == name).map(|(_, value)| value.as_str())
    }

    /// Returns rows in the form in which `psql` prints them.
    fn sqlite(&self, statement: &str) -> String {
        let script = "import sqlite3, sys\n\
                      for row in sqlite3.connect(sys.argv[1], isolation_level=None).execute(sys.argv[2]):\n\
                      \tprint(*('' if value is None else value for value in row), sep='|')";
        let mut command = Command::new("python3");
        let done =
            command.args(["-c", script]).arg(self.data("coatcheck.db")).arg(statement).output().unwrap();
        assert!(done.status.success(), "{statement}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().trim_end().to_owned()
    }

    pub fn signal(&self, signal: Signal) {
        let mut programs = self.programs();
        assert!(!programs.is_empty(), "no program to signal");
        programs.iter_mut().for_each(|program| program.signal(signal));
    }

    /// Waits until the programs end by themselves; returns their status.
    pub async fn exit(&self) -> ExitStatus {
        eventually("the end of the program", async || self.exit_status().ok_or("it still runs")).await
    }

    /// Returns the status of the programs, if all have ended: of the first that failed, or of any.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        let mut programs = self.programs();
        let statuses: Option<Vec<_>> = programs.iter_mut().map(Program::exit_status).collect();
        let statuses = statuses?;
        programs.clear();
        let failed = statuses.iter().find(|status| !status.success());
        Some(*failed.or(statuses.first()).expect("no program that could end"))
    }

    /// Returns the URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    /// Returns `HOST:PORT`, also while no process listens there.
    pub fn address(&self) -> String {
        self.address.lock().unwrap().clone()
    }

    /// Returns the ids of all processes.
    pub fn pids(&self) -> Vec<u32> {
        self.programs().iter().map(Program::pid).collect()
    }

    pub fn pid(&self) -> u32 {
        self.programs().first().expect("no program").pid()
    }

    /// Returns the program's working directory.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns a path under `data/`.
    pub fn data(&self, path: &str) -> PathBuf {
        self.folder().join("data").join(path)
    }

    /// Returns a client command for this stack.
    pub fn coatcheck<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = coatcheck(self.folder(), arguments);
        command.env("COATCHECK_URL", self.url(""));
        command
    }

    fn programs(&self) -> MutexGuard<'_, Vec<Program>> {
        self.programs.lock().unwrap()
    }
}

/// A process beside a stack's own.
pub struct Extra {
    pub program: Program,
    folder: TempDir,
}

impl Extra {
    /// Waits until it answers, and returns `HOST:PORT`.
    pub async fn address(&mut self) -> String {
        self.program.address(self.folder.path()).await
    }

    /// Returns what it has written to stderr.
    pub fn stderr(&self) -> String {
        fs::read_to_string(stderr_of(self.folder.path())).unwrap_or_default()
    }
}

/// Returns a loopback address for one stack alone: a client of a program that is gone must never reach another test's.
pub fn own_host() -> String {
    static STACKS: AtomicU32 = AtomicU32::new(0);
    let (process, stack) = (std::process::id(), STACKS.fetch_add(1, Relaxed));
    let part = |number: u32| 1 + number % 254;
    format!("127.{}.{}.{}", part(process), part(process / 254), part(stack))
}
