//! The private servers that `tests/servers` starts: named by the environment, or started by the first test that needs them.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock};

/// The addresses of the servers.
pub struct Servers {
    postgres: String,
    amqp: String,
    redis: String,
    /// The number of virtual hosts.
    vhosts: u32,
    /// A folder in which tests claim numbers of Redis databases.
    claims: PathBuf,
    /// The script, if this process started it. It ends when this process, and so its standard input, ends.
    _script: Option<Child>,
}

/// Returns the servers, and starts them at the first call.
pub fn servers() -> &'static Servers {
    static SERVERS: OnceLock<Servers> = OnceLock::new();
    SERVERS.get_or_init(|| {
        let from_environment = |name: &str| std::env::var(name).ok();
        Servers::read(from_environment, None).unwrap_or_else(Servers::start)
    })
}

impl Servers {
    fn read(value: impl Fn(&str) -> Option<String>, script: Option<Child>) -> Option<Self> {
        Some(Self {
            postgres: value("COATCHECK_TEST_POSTGRES")?,
            amqp: value("COATCHECK_TEST_AMQP")?,
            redis: value("COATCHECK_TEST_REDIS")?,
            vhosts: value("COATCHECK_TEST_VHOSTS")?.parse().expect("a number"),
            claims: value("COATCHECK_TEST_CLAIMS")?.into(),
            _script: script,
        })
    }

    fn start() -> Self {
        let (told, script) = start_script(&[]);
        // The rest of the script's output is not needed.
        Self::of(&told, Some(script))
    }

    fn of(told: &[String], script: Option<Child>) -> Self {
        let value = |name: &str| {
            told.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
        };
        Self::read(value, script).expect("tests/servers says where its servers are")
    }

    /// Returns the URL of a new, empty database.
    pub fn database(&self) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("coat_{}_{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        psql(&format!("{}/postgres", self.postgres), &format!("CREATE DATABASE {name}"));
        format!("{}/{name}", self.postgres)
    }

    /// Returns the URL of a broker's virtual host, another one than at the call before. Other tests may use it too: what they make there is
    /// named after their deployments.
    pub fn vhost(&self) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        format!("{}/t{}", self.amqp, COUNT.fetch_add(1, Relaxed) % self.vhosts + 1)
    }

    /// Returns the URL of a Redis database that no other test uses.
    pub fn redis(&self) -> String {
        let is_mine = |number: &u32| std::fs::create_dir(self.claims.join(format!("r{number}"))).is_ok();
        let number = (1..=999).find(is_mine).expect("tests/servers has made enough of them");
        format!("{}/{number}", self.redis)
    }
}

/// Runs the script with that environment, and reads its output until its servers are ready.
fn start_script(environment: &[(&str, &str)]) -> (Vec<String>, Child) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/servers");
    let mut command = Command::new(script);
    let mut script = command
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(script.stdout.take().unwrap());
    let mut told = Vec::new();
    loop {
        let mut line = String::new();
        assert!(out.read_line(&mut line).unwrap() > 0, "tests/servers has ended: {told:?}");
        match line.trim_end() {
            "ready" => break,
            line => told.push(line.to_owned()),
        }
    }
    script.stdout = Some(out.into_inner());
    (told, script)
}

/// Servers of one test alone, which it may stop and start.
pub struct OwnServers {
    /// The addresses of the servers.
    pub servers: Servers,
    script: Mutex<Script>,
}

struct Script {
    /// The script, which ends when its standard input does.
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl OwnServers {
    /// Starts the servers.
    pub fn start() -> Self {
        let (told, mut child) = start_script(&[("COATCHECK_TEST_VHOSTS", "1")]);
        let orders = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { servers: Servers::of(&told, None), script: Mutex::new(Script { child, orders, answers }) }
    }

    /// Gives the script an order for a server, and waits; returns whether it succeeded. Blocks until then.
    pub fn order(&self, order: &str) -> bool {
        let mut script = self.script.lock().unwrap();
        writeln!(script.orders, "{order}").unwrap();
        let mut answer = String::new();
        script.answers.read_line(&mut answer).unwrap();
        match answer.trim_end() {
            "done" => true,
            "failed" => false,
            other => panic!("{order}: {other:?}; has the script ended? {:?}", script.child.try_wait()),
        }
    }
}

/// Runs a statement by `psql` in the database of a URL; returns the output.
pub fn psql(url: &str, statement: &str) -> String {
    let mut psql = Command::new("psql");
    let output =
        psql.args(["--quiet", "--tuples-only", "--no-align", url, "-c", statement]).output().unwrap();
    assert!(output.status.success(), "{statement}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
