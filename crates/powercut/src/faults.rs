//! A disk that fails once, under a program that a supervisor restarts when it ends.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use crate::disk::{Call, Fault, Mark};
use crate::error::{Outcome, Trouble};
use crate::load::{BLOB_MARK, Load, NAME, Notes};
use crate::product::{Places, Product};
use crate::recording::{Event, Plan, StackKind};
use crate::rig::Recorder;

/// How long a fault may take to meet a write of its file.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The place of the salt in SQLite's write-ahead log, which each of its frames repeats (<https://sqlite.org/fileformat2.html#walformat>).
const SALT: (u64, usize) = (16, 8);

/// A file of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Of {
    Database,
    Wal,
    Log,
    Blobs,
}

/// A call on a file that must fail.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Target {
    pub of: Of,
    pub call: Call,
}

impl Target {
    /// Returns all targets of a stack. Of PostgreSQL's many files, only the write-ahead log can be distinguished.
    pub fn all(stack: StackKind) -> impl Iterator<Item = Self> {
        let files = match stack {
            StackKind::Embedded => &[Of::Database, Of::Wal, Of::Log, Of::Blobs][..],
            StackKind::Distributed => &[Of::Wal, Of::Log, Of::Blobs],
        };
        files.iter().flat_map(|of| [Call::Write, Call::Flush].map(|call| Self { of: *of, call }))
    }

    /// Returns its name.
    pub fn name(self) -> String {
        format!("{:?}-{:?}", self.of, self.call).to_lowercase()
    }

    /// Returns the fault on two disks, the first of which is the database's.
    fn fault(self, stack: StackKind, places: &Places) -> Outcome<Fault> {
        let (disk, mark) = match self.of {
            // The first page, which changes with the database's size, and is written when the write-ahead log is copied into it.
            Of::Database => (0, Mark::Begins(b"SQLite format 3\0".to_vec())),
            // Names of uploads reach any other file later.
            Of::Wal if stack == StackKind::Distributed => (0, Mark::Contains(NAME.as_bytes().to_vec())),
            Of::Wal => {
                let mut salt = [0; SALT.1];
                let wal = places.sqlite().with_extension("db-wal");
                File::open(wal)?.read_exact_at(&mut salt, SALT.0)?;
                (0, Mark::Contains(salt.to_vec()))
            }
            Of::Log => (1, Mark::Contains(b" md5 succeeded ".to_vec())),
            Of::Blobs => (1, Mark::Contains(BLOB_MARK.to_vec())),
        };
        Ok(Fault { disk, call: self.call, mark })
    }
}

/// Lets the disk fail once, and the load go on for that many seconds afterwards.
///
/// # Errors
/// If the fault meets no write of its file.
pub async fn strike(
    (target, seconds): (Target, f64),
    plan: &Plan,
    places: &Places,
    recorder: &Recorder,
    notes: &Notes,
    product: &mut Product,
    load: &Load,
) -> Outcome<()> {
    tokio::time::sleep(Duration::from_millis(500)).await;
    let deadline = Instant::now() + TIMEOUT;
    while notes.look()?.1 == 0 {
        // The write-ahead log has another salt after each time that it was copied, and none before its first frame.
        if let Ok(fault) = target.fault(plan.stack, places) {
            recorder.control(&fault.to_text())?;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        if Instant::now() > deadline {
            return Err(Trouble::new(format!("the fault met no write: {}", target.name())));
        }
    }
    notes.note(Event::Fault { fault: target.name() })?;
    supervise(notes, product, load, Duration::from_secs_f64(seconds)).await
}

/// Restarts the program when it ends, for that many seconds. On a file system that has become read-only it does not become ready again;
/// then the machine is switched off at the end as it is.
async fn supervise(notes: &Notes, product: &mut Product, load: &Load, time: Duration) -> Outcome<()> {
    let end = Instant::now() + time;
    while Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let Ok(ended) = product.revive().await else { continue };
        if ended.is_empty() {
            continue;
        }
        for status in ended {
            notes.note(Event::Ended { status: status.to_string() })?;
        }
        if let Ok(client) = product.ready(Duration::from_secs(10)).await {
            load.turn_to(client);
        }
    }
    Ok(())
}
