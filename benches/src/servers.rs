//! The private servers that `tests/servers` has started.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::database::Database;
use crate::error::BenchError;

/// The servers' addresses; `tests/servers` sets them.
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
    /// Returns an unused database and Redis database, and a virtual host, as settings.
    ///
    /// # Errors
    /// If there are no servers.
    pub fn settings(&self) -> Result<[(&'static str, String); 3], BenchError> {
        // Queues are named after their deployments, so all may share a virtual host.
        let vhost = format!("{}/t1", needed(self.amqp.as_ref())?);
        let redis = format!("{}/{}", needed(self.redis.as_ref())?, self.unused_redis()?);
        Ok([("DATABASE_URL", self.database()?), ("AMQP_URL", vhost), ("REDIS_URL", redis)])
    }

    /// Returns the URL of a new, empty database, which is deleted with the servers.
    ///
    /// # Errors
    /// If the server is missing or rejects the request.
    pub fn database(&self) -> Result<String, BenchError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let postgres = needed(self.postgres.as_ref())?;
        let name = format!("bench_{}_{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        postgres_of(postgres).run(&[&format!("CREATE DATABASE {name}")])?;
        Ok(format!("{postgres}/{name}"))
    }

    /// Returns PostgreSQL's setting of `shared_buffers`.
    ///
    /// # Errors
    /// If the server is missing or rejects the request.
    pub fn shared_buffers(&self) -> Result<String, BenchError> {
        let postgres = needed(self.postgres.as_ref())?;
        postgres_of(postgres).run(&["SHOW shared_buffers"])
    }

    /// Returns the process id of PostgreSQL's first process, the parent of all others.
    ///
    /// # Errors
    /// If no server runs on this machine.
    pub fn postgres_pid(&self) -> Result<u32, BenchError> {
        let postgres = needed(self.postgres.as_ref())?;
        let file = postgres_of(postgres).run(&["SELECT pg_read_file('postmaster.pid')"])?;
        let pid = file.lines().next().and_then(|pid| pid.parse().ok());
        pid.ok_or_else(|| {
            BenchError::Unexpected(
                "expected PostgreSQL's process id in postmaster.pid, found none".to_owned(),
            )
        })
    }

    /// Returns the number of a Redis database that no other process gets.
    fn unused_redis(&self) -> Result<u32, BenchError> {
        let claims = needed(self.claims.as_ref())?;
        let is_mine = |number: &u32| fs::create_dir(claims.join(format!("r{number}"))).is_ok();
        let none =
            || BenchError::Unexpected("all databases of tests/servers are in use; start it again".to_owned());
        (1..=999).find(is_mine).ok_or_else(none)
    }
}

/// Returns the database that is there from the beginning.
fn postgres_of(server: &str) -> Database {
    Database::Postgres(format!("{server}/postgres"))
}

fn needed<T>(server: Option<&T>) -> Result<&T, BenchError> {
    server.ok_or_else(|| {
        BenchError::Unexpected(
            "expected private servers; run it by tests/servers, or on the embedded stack only".to_owned(),
        )
    })
}
