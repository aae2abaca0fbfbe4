//! The private servers that `tests/servers` has started.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::error::{BenchError, io};

/// Where they are; `tests/servers` says so.
#[derive(Debug, Clone, clap::Args)]
pub struct Servers {
    #[arg(long, env = "COATCHECK_TEST_POSTGRES", hide = true, global = true)]
    postgres: Option<String>,
    #[arg(long, env = "COATCHECK_TEST_AMQP", hide = true, global = true)]
    amqp: Option<String>,
    #[arg(long, env = "COATCHECK_TEST_REDIS", hide = true, global = true)]
    redis: Option<String>,
    #[arg(long, env = "COATCHECK_TEST_CLAIMS", hide = true, global = true)]
    claims: Option<PathBuf>,
}

impl Servers {
    /// A database, a virtual host and a Redis database that nobody has used, as settings.
    ///
    /// # Errors
    /// When there are no servers.
    pub fn settings(&self) -> Result<[(&'static str, String); 3], BenchError> {
        let vhost = format!("{}/t{}", needed(self.amqp.as_ref())?, self.unused("t", 240)?);
        let redis = format!("{}/{}", needed(self.redis.as_ref())?, self.unused("r", 999)?);
        Ok([("DATABASE_URL", self.database()?), ("AMQP_URL", vhost), ("REDIS_URL", redis)])
    }

    /// The URL of a new, empty database. It goes with the servers.
    ///
    /// # Errors
    /// When there is no server, or it refuses.
    pub fn database(&self) -> Result<String, BenchError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let postgres = needed(self.postgres.as_ref())?;
        let name = format!("bench_{}_{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        self.psql(&format!("{postgres}/postgres"), &[&format!("CREATE DATABASE {name}")])?;
        Ok(format!("{postgres}/{name}"))
    }

    /// PostgreSQL's memory for its pages, as PostgreSQL tells it.
    ///
    /// # Errors
    /// When there is no server, or it refuses.
    pub fn shared_buffers(&self) -> Result<String, BenchError> {
        let postgres = needed(self.postgres.as_ref())?;
        let told = self.psql(&format!("{postgres}/postgres"), &["SHOW shared_buffers"])?;
        Ok(told.trim().to_owned())
    }

    /// Runs statements, one after the other; what they print.
    ///
    /// # Errors
    /// When one fails.
    pub fn psql(&self, database: &str, statements: &[&str]) -> Result<String, BenchError> {
        let mut psql = Command::new("psql");
        psql.args(["--quiet", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1", database]);
        psql.args(statements.iter().flat_map(|statement| ["-c", *statement]));
        let done = psql.output().map_err(io("psql"))?;
        let told = || BenchError::Unexpected(String::from_utf8_lossy(&done.stderr).into_owned());
        done.status.success().then(|| String::from_utf8_lossy(&done.stdout).into_owned()).ok_or_else(told)
    }

    /// The first of PostgreSQL's processes, whose children are all others.
    ///
    /// # Errors
    /// When there is no server on this machine.
    pub fn postgres_pid(&self) -> Result<u32, BenchError> {
        let database = format!("{}/postgres", needed(self.postgres.as_ref())?);
        let file = self.psql(&database, &["SELECT pg_read_file('postmaster.pid')"])?;
        let pid = file.lines().next().and_then(|pid| pid.parse().ok());
        pid.ok_or_else(|| BenchError::Unexpected("PostgreSQL does not tell its process".to_owned()))
    }

    /// A number up to `most` that nobody else gets, in whichever process.
    fn unused(&self, what: &str, most: u32) -> Result<u32, BenchError> {
        let claims = needed(self.claims.as_ref())?;
        let is_mine = |number: &u32| fs::create_dir(claims.join(format!("{what}{number}"))).is_ok();
        let none = || BenchError::Unexpected("tests/servers has made no more of them".to_owned());
        (1..=most).find(is_mine).ok_or_else(none)
    }
}

fn needed<T>(server: Option<&T>) -> Result<&T, BenchError> {
    server.ok_or_else(|| {
        BenchError::Unexpected("run it by tests/servers, or on the embedded stack alone".to_owned())
    })
}
