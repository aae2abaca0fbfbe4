//! The private servers that `tests/servers` starts: taken from the environment, or started by the first who asks.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Where they are.
pub struct Servers {
    postgres: String,
    amqp: String,
    redis: String,
    /// A folder in which tests claim numbers.
    claims: PathBuf,
    /// The script, if it was started here: it ends when this process does, and its standard input with it.
    _script: Option<Child>,
}

/// The servers, started if nobody has.
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
            claims: value("COATCHECK_TEST_CLAIMS")?.into(),
            _script: script,
        })
    }

    fn start() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/servers");
        let mut script = Command::new(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(script.stdout.take().unwrap()).lines().map(Result::unwrap);
        let lines: Vec<String> = lines.take_while(|line| line != "ready").collect();
        let told = |name: &str| {
            lines.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
        };
        Self::read(told, Some(script)).expect("tests/servers says where its servers are")
    }

    /// The URL of a new, empty database.
    pub fn database(&self) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("coat_{}_{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        self.psql("postgres", &format!("CREATE DATABASE {name}"));
        format!("{}/{name}", self.postgres)
    }

    /// What `psql` says to a statement in one of the databases, given by its name or URL.
    pub fn psql(&self, database: &str, statement: &str) -> String {
        let name = database.rsplit('/').next().unwrap();
        let url = format!("{}/{name}", self.postgres);
        let mut psql = Command::new("psql");
        let output =
            psql.args(["--quiet", "--tuples-only", "--no-align", &url, "-c", statement]).output().unwrap();
        assert!(output.status.success(), "{statement}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// The URL of a broker's virtual host that nobody has used yet.
    pub fn vhost(&self) -> String {
        format!("{}/t{}", self.amqp, self.unused("t", 240))
    }

    /// The URL of a database of the Redis that nobody has used yet.
    pub fn redis(&self) -> String {
        format!("{}/{}", self.redis, self.unused("r", 999))
    }

    /// A number up to `most` that nobody else gets, in whichever process.
    fn unused(&self, what: &str, most: u32) -> u32 {
        let is_mine = |number: &u32| std::fs::create_dir(self.claims.join(format!("{what}{number}"))).is_ok();
        (1..=most).find(is_mine).expect("tests/servers has made enough of them")
    }
}
