//! The rig of the chaos test: processes, each with proxies of its own to servers of its own, and small disks.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::Utc;
use nix::sys::signal::Signal;
use nix::unistd::geteuid;
use tempfile::TempDir;
use test_kit::{OwnServers, eventually};
use tokio::task::spawn_blocking;

use crate::kit::program::{Program, stderr_of};
use crate::kit::proxy::Proxy;
use crate::kit::stack::{Stack, own_host};
use crate::kit::stand_ins::StandIns;

/// The bytes of a process's log that are shown after a failure.
const LAST_WORDS: usize = 20_000;

pub struct Rig {
    // Unmounted before the folder of the stack goes.
    pub blob_disk: Option<Disk>,
    pub log_disk: Option<Disk>,
    pub processes: Vec<Process>,
    /// A worker with an outcome log of its own.
    pub log_keeper: Option<Process>,
    pub servers: Option<Arc<OwnServers>>,
    /// The third party that rows of tables are sent to; it never fails.
    pub third_party: StandIns,
    pub stack: Arc<Stack>,
    faults: Mutex<BTreeMap<&'static str, u64>>,
    /// Violations that no fault excuses.
    pub wrongs: Arc<Mutex<Vec<String>>>,
}

/// The outcome log, in a folder that may be a disk of its own.
const LOG: &str = "data/log/outcomes.log";
/// The outcome log of one worker alone.
const SECOND_LOG: &str = "data/second/outcomes.log";

const SETTINGS: [(&str, &str); 7] = [
    ("OUTCOME_LOG", LOG),
    ("MAX_ATTEMPTS", "1000"),
    ("LEASE_SECONDS", "2"),
    ("ORPHAN_SECONDS", "60"),
    ("WORKERS", "2"),
    ("MIN_FREE_DISK", "0"),
    ("RATE", "10"),
];

impl Rig {
    /// Starts two APIs and three workers. The clock of one API is a day behind, that of one worker a day ahead.
    pub async fn distributed() -> Self {
        let own = spawn_blocking(OwnServers::start).await.unwrap();
        let urls = [
            ("DATABASE_URL", own.servers.database()),
            ("AMQP_URL", own.servers.vhost()),
            ("REDIS_URL", own.servers.redis()),
        ];
        let direct = urls.iter().map(|(name, url)| (*name, url.as_str())).chain(SETTINGS);
        let third_party = third_party().await;
        let stack = Stack::bare(&crate::tasks::tables::settings(&third_party, &direct.collect::<Vec<_>>()));
        let mut processes = Vec::new();
        for (role, clock) in
            [("api", None), ("api", Some("-1d")), ("worker", None), ("worker", None), ("worker", Some("+1d"))]
        {
            let mut process = Process::new(&[role]);
            if let Some(shift) = clock {
                process.settings.extend(wrong_clock(shift));
            }
            for (name, url) in &urls {
                let cable = Proxy::to(url).await;
                process.settings.push((name, cable.url(url)));
                process.cables.push(cable);
            }
            processes.push(process);
        }
        let mut keeper = Process::new(&["worker"]);
        keeper.settings.extend([("OUTCOME_LOG", SECOND_LOG.to_owned()), ("WORKERS", "1".to_owned())]);
        let rig = Self::new(stack, processes, Some(Arc::new(own)), third_party);
        Self { log_keeper: Some(keeper), ..rig }
    }

    /// Starts the one program.
    pub async fn embedded() -> Self {
        let third_party = third_party().await;
        let stack = Stack::bare(&crate::tasks::tables::settings(&third_party, &SETTINGS));
        Self::new(stack, vec![Process::new(&[])], None, third_party)
    }

    fn new(
        stack: Stack,
        processes: Vec<Process>,
        servers: Option<Arc<OwnServers>>,
        third_party: StandIns,
    ) -> Self {
        let disk = |path: &str, bytes| Disk::mount(stack.data(path), bytes);
        Self {
            blob_disk: disk("blobs", 256 << 20),
            log_disk: disk("log", 64 << 20),
            processes,
            log_keeper: None,
            servers,
            third_party,
            stack: Arc::new(stack),
            faults: Mutex::default(),
            wrongs: Arc::default(),
        }
    }

    pub fn name(&self) -> &'static str {
        if self.servers.is_some() { "distributed" } else { "embedded" }
    }

    pub async fn start(&self) {
        for process in self.processes.iter().chain(&self.log_keeper) {
            process.start(&self.stack);
        }
        for process in self.apis() {
            process.learn_address().await;
        }
        self.stack.answers_at(self.processes[0].address());
    }

    /// Returns the processes that answer over HTTP.
    pub fn apis(&self) -> impl Iterator<Item = &Process> {
        self.processes.iter().filter(|process| process.role != ["worker"])
    }

    pub fn log(&self) -> PathBuf {
        self.stack.folder().join(LOG)
    }

    pub fn second_log(&self) -> Option<PathBuf> {
        self.log_keeper.is_some().then(|| self.stack.folder().join(SECOND_LOG))
    }

    /// Counts a fault that begins, and prints it with its time, so that it can be compared with the processes' logs.
    pub fn count(&self, fault: &'static str) {
        println!("{:?} {fault}", Utc::now());
        *self.faults.lock().unwrap().entry(fault).or_default() += 1;
    }

    pub fn faults(&self) -> BTreeMap<&'static str, u64> {
        self.faults.lock().unwrap().clone()
    }

    pub fn wrong(&self, what: String) {
        self.wrongs.lock().unwrap().push(what);
    }

    /// Gives the servers an order, which must succeed.
    pub async fn order(&self, order: String) {
        assert!(self.try_order(order.clone()).await, "{order} failed");
    }

    pub async fn try_order(&self, order: String) -> bool {
        let servers = self.servers.clone().expect("servers of its own");
        spawn_blocking(move || servers.order(&order)).await.unwrap()
    }

    /// Returns the ends of all processes' logs.
    pub fn last_words(&self) -> String {
        let mut words = String::new();
        for process in self.processes.iter().chain(&self.log_keeper) {
            let log = fs::read_to_string(stderr_of(process.folder.path())).unwrap_or_default();
            let from = log.len().saturating_sub(LAST_WORDS);
            words += &format!("--- {:?}\n{}\n", process.role, log.get(from..).unwrap_or(&log));
        }
        words
    }
}

async fn third_party() -> StandIns {
    StandIns::start_as(&["providers", "third-party"], &[]).await
}

/// Returns the environment that shifts a process's clock.
fn wrong_clock(shift: &str) -> [(&'static str, String); 4] {
    let find = "ls /usr/lib/*/faketime/libfaketimeMT.so.1";
    let found = Command::new("sh").args(["-c", find]).output().unwrap();
    assert!(found.status.success(), "libfaketime is missing; `tests/servers` installs it");
    let library = String::from_utf8(found.stdout).unwrap().trim().to_owned();
    [
        ("LD_PRELOAD", library),
        ("FAKETIME", shift.to_owned()),
        // How long something takes is told as ever.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        // Nothing is left behind by a process that is killed.
        ("FAKETIME_DISABLE_SHM", "1".to_owned()),
    ]
}

/// A process that is started again whenever it has ended.
pub struct Process {
    pub role: Vec<&'static str>,
    settings: Vec<(&'static str, String)>,
    /// The proxies to the database, the broker and Redis.
    pub cables: Vec<Proxy>,
    folder: TempDir,
    address: Mutex<String>,
    program: Mutex<Option<Program>>,
    /// Whether it was told to end; it is not revived then.
    is_ending: AtomicBool,
}

impl Process {
    fn new(role: &[&'static str]) -> Self {
        Self {
            role: role.to_vec(),
            settings: Vec::new(),
            cables: Vec::new(),
            folder: TempDir::with_prefix("coatcheck-chaos-").unwrap(),
            address: Mutex::new(format!("{}:0", own_host())),
            program: Mutex::default(),
            is_ending: AtomicBool::new(false),
        }
    }

    fn start(&self, stack: &Stack) {
        let mut command = stack.command(&self.role);
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command.env("LISTEN", self.address()).env("RUST_LOG", "info,task_data=debug,worker=debug");
        *self.program.lock().unwrap() = Some(Program::start(command, self.folder.path()));
    }

    async fn learn_address(&self) {
        let mut program = self.program.lock().unwrap().take().unwrap();
        let address = program.address(self.folder.path()).await;
        *self.address.lock().unwrap() = address;
        *self.program.lock().unwrap() = Some(program);
    }

    /// Returns `HOST:PORT`, the same each time.
    pub fn address(&self) -> String {
        self.address.lock().unwrap().clone()
    }

    /// Sends `kill -9`, and starts a new process at once.
    pub fn kill(&self, stack: &Stack) {
        if let Some(program) = self.program.lock().unwrap().take() {
            program.kill();
        }
        self.start(stack);
    }

    pub fn signal(&self, signal: Signal) {
        if let Some(program) = &mut *self.program.lock().unwrap() {
            program.signal(signal);
        }
    }

    /// Tells it to end, checks that it does so in time and with success, and starts a new one.
    pub async fn restart(&self, rig: &Rig) {
        self.is_ending.store(true, Relaxed);
        self.signal(Signal::SIGTERM);
        let ended = eventually("the end of a process", async || {
            let status = self.program.lock().unwrap().as_mut().and_then(Program::exit_status);
            status.ok_or("it still runs")
        });
        // CONTRACT promises 30 s; a busy machine gets some more.
        match tokio::time::timeout(Duration::from_secs(45), ended).await {
            Ok(status) if status.success() => {}
            Ok(status) => rig.wrong(format!("{:?} was told to end, and did with {status}", self.role)),
            Err(_) => rig.wrong(format!("{:?} was told to end, and did not within 45 s", self.role)),
        }
        self.kill(&rig.stack);
        self.is_ending.store(false, Relaxed);
    }

    /// Starts it again if it has ended by itself, which it may do only if a disk rejects its writes.
    pub fn revive(&self, rig: &Rig) {
        if self.is_ending.load(Relaxed) {
            return;
        }
        let status = self.program.lock().unwrap().as_mut().and_then(Program::exit_status);
        if let Some(status) = status {
            rig.wrong(format!("{:?} has ended by itself: {status}", self.role));
            self.start(&rig.stack);
        }
    }
}

/// A small disk, in memory. Absent where the test may not mount one.
pub struct Disk {
    path: PathBuf,
}

impl Disk {
    pub fn mount(path: PathBuf, bytes: u64) -> Option<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&path).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "coatcheck-chaos"]).arg(&path);
        let is_mounted = geteuid().is_root() && mount.output().is_ok_and(|done| done.status.success());
        if !is_mounted {
            println!("no disk can be mounted here: {} is never full", path.display());
        }
        is_mounted.then_some(Self { path })
    }

    /// Fills the disk until the returned value is dropped.
    pub fn fill(&self) -> Filler {
        let filler = Filler(self.path.join("filler"));
        let mut file = File::create(&filler.0).unwrap();
        // Up to the last byte that it takes.
        for size in [1 << 20, 4096, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        filler
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.path).status();
    }
}

/// A full disk.
pub struct Filler(PathBuf);

impl Drop for Filler {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Returns the path of one of the log's siblings.
pub fn sibling(log: &Path, number: usize) -> PathBuf {
    log.with_extension(format!("log.{number}"))
}
