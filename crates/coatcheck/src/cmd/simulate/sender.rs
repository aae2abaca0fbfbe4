//! One thread of the simulator, and its log: a line is written when its record is kept, and not before.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use fastrand::Rng;
use tokio::time::sleep;
use uuid::Uuid;

use super::Shared;
use super::traffic::Traffic;
use crate::client::{Added, ClientError};

/// How often a name is looked for that no file has.
const NAME_TRIES: usize = 10;

/// Why a thread ended before the others.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    #[error("{0}")]
    Refused(#[from] ClientError),
    /// The record is kept by the server, and is not in the log.
    #[error("{} can't be written: {source}", path.display())]
    Log {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl SendError {
    /// The exit status of a command that ends with it.
    pub fn status(&self) -> u8 {
        match self {
            Self::Refused(error) => error.status(),
            Self::Log { .. } => 1,
        }
    }
}

/// Sends and logs.
#[derive(Debug)]
pub struct Sender {
    path: PathBuf,
    log: File,
}

impl Sender {
    /// Makes its log, whose name nobody else has.
    ///
    /// # Errors
    /// When it can't be made.
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

    /// Sends until there is nothing left or it is told to stop.
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

    /// In one write: a crash leaves a line or none.
    fn note(&mut self, added: &Added, line: &str) -> io::Result<()> {
        self.log.write_all(format!("{} {} {line}\n", added.id, added.created).as_bytes())
    }
}

/// Takes on one of the records that are to be sent; false if there is none left.
fn take_one(shared: &Shared) -> bool {
    let take = |left: u64| left.checked_sub(1);
    let Some(left) = &shared.left else { return true };
    left.fetch_update(Relaxed, Relaxed, take).is_ok()
}

fn delay(rng: &mut Rng, max: Duration) -> Duration {
    max.mul_f64(rng.f64())
}

/// The first 8 hex digits of a UUIDv4.
fn short_id() -> String {
    format!("{:08x}", Uuid::new_v4().as_fields().0)
}
