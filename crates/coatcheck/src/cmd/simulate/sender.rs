//! One thread of the simulator, and its log: a line is written once the server has kept its record, and not before.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use client::{Added, ClientError};
use fastrand::Rng;
use tokio::time::sleep;
use uuid::Uuid;

use super::Shared;
use super::traffic::Traffic;

/// How often a thread tries to find an unused file name.
const NAME_TRIES: usize = 10;

/// A reason why a thread ended before the others.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    #[error("{0}")]
    Refused(#[from] ClientError),
    /// The server has the record, but the log does not.
    #[error("{} can't be written: {source}", path.display())]
    Log {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl SendError {
    /// Returns the exit status of a command that ends with this error.
    pub fn status(&self) -> u8 {
        match self {
            Self::Refused(error) => error.status(),
            Self::Log { .. } => 1,
        }
    }
}

/// A thread that sends records and logs them.
#[derive(Debug)]
pub struct Sender {
    path: PathBuf,
    log: File,
}

impl Sender {
    /// Makes the thread's log, under a name that no other file has.
    ///
    /// # Errors
    /// If it can't be made.
    pub fn new(folder: &Path) -> io::Result<Self> {
        let mut tries = 0;
        loop {
            let path = folder.join(format!("{}.log", short_id()));
            match OpenOptions::new().append(true).create_new(true).mode(0o640).open(&path) {
                Ok(log) => return Ok(Self { path, log }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && tries < NAME_TRIES => {
                    tries += 1
                }
                Err(error) => return Err(error),
            }
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Sends until nothing is left or it is told to stop.
    pub(super) async fn run(mut self, shared: Arc<Shared>) -> Result<(), SendError> {
        let mut traffic = Traffic::new(Rng::new());
        while take_one(&shared) {
            let pause = delay(traffic.rng(), shared.max_delay);
            if shared.stop.run_until_cancelled(sleep(pause)).await.is_none() {
                break;
            }
            let line = traffic.line();
            let Some(added) = shared.client.add_record(&line, &shared.stop).await? else { break };
            self.note(&added, &line).map_err(|source| SendError::Log { path: self.path.clone(), source })?;
            shared.sent.fetch_add(1, Relaxed);
        }
        Ok(())
    }

    /// Writes a line in one write, so that a crash leaves a whole line or none.
    fn note(&mut self, added: &Added, line: &str) -> io::Result<()> {
        self.log.write_all(format!("{} {} {line}\n", added.id, added.created).as_bytes())
    }
}

/// Takes on one of the records to send; returns `false` if none is left.
fn take_one(shared: &Shared) -> bool {
    let take = |left: u64| left.checked_sub(1);
    let Some(left) = &shared.left else { return true };
    left.fetch_update(Relaxed, Relaxed, take).is_ok()
}

fn delay(rng: &mut Rng, max: Duration) -> Duration {
    max.mul_f64(rng.f64())
}

/// Returns the first 8 hex digits of a UUIDv4.
fn short_id() -> String {
    format!("{:08x}", Uuid::new_v4().as_fields().0)
}
