//! A recording: the writes to the disks in their order, and the program's answers, each with its place among them.
//!
//! Its folder has `run.json` ([`Run`]), `events` (a [`Noted`] a line), `index` (the [`Record`]s), `data` (the bytes written), and of each
//! disk `baseN`, its image before the first record.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::disk::punch;
use crate::error::{Context, Outcome, Trouble};
use crate::rig::FileSystem;

pub const DATA: &str = "data";
pub const INDEX: &str = "index";
pub const EVENTS: &str = "events";
pub const RUN: &str = "run.json";

/// Returns the name of the file with a disk's present contents.
pub fn contents(disk: usize) -> String {
    format!("contents{disk}")
}

/// Returns the name of the file with a disk's contents before the first record.
pub fn base(disk: usize) -> String {
    format!("base{disk}")
}

/// The kind of a request to a disk.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    Write,
    Flush,
    /// A discard, or zeros.
    Zero,
}

/// One request to a disk.
#[derive(Debug, Clone, Copy)]
pub struct Record {
    pub kind: Kind,
    pub disk: usize,
    /// The place on the disk, in bytes.
    pub offset: u64,
    /// The length in bytes.
    pub length: u64,
    /// The place in `data`.
    pub place: u64,
}

impl Record {
    const BYTES: usize = 40;

    /// Formats the record as `index` has it.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let numbers = [self.kind as u64, self.disk as u64, self.offset, self.length, self.place];
        for (slot, number) in bytes.chunks_exact_mut(8).zip(numbers) {
            slot.copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let number = |at: usize| Some(u64::from_le_bytes(bytes.get(at * 8..)?.first_chunk().copied()?));
        let kind = match number(0)? {
            0 => Kind::Write,
            1 => Kind::Flush,
            2 => Kind::Zero,
            _ => return None,
        };
        let disk = usize::try_from(number(1)?).ok()?;
        Some(Self { kind, disk, offset: number(2)?, length: number(3)?, place: number(4)? })
    }
}

/// The servers that the program uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum StackKind {
    /// SQLite, one process.
    Embedded,
    /// PostgreSQL on the recorded disk; RabbitMQ and Redis beside it; an API and a worker.
    Distributed,
}

/// A kind of recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub file_system: FileSystem,
    pub stack: StackKind,
    /// 1, or 2: the database on the first, uploads and log on the second.
    pub disks: usize,
}

impl Plan {
    /// Returns the name of its recordings.
    pub fn name(&self) -> String {
        let Self { file_system, stack, disks } = self;
        let stack = format!("{stack:?}").to_lowercase();
        format!("{}-{stack}-{disks}", file_system.name())
    }
}

/// A description of a recording, beside its records and events.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Run {
    pub name: String,
    pub plan: Plan,
    /// The records at the program's start, when it was ready, and at the end.
    pub begin: u64,
    pub ready: u64,
    pub end: u64,
    /// The loop devices' numbers.
    pub loops: Vec<u32>,
}

/// A request to the program, or its answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Event {
    /// An upload was answered 202.
    Promise { id: String, md5: String, key: Option<String> },
    /// A table was answered 202.
    Table { id: String, rows: u64 },
    /// A task was answered as ended.
    Seen { task: Value },
    /// The cancelling of a task was requested.
    Cancel { id: String },
    /// A line of the access log was answered 201.
    Record { id: String },
    /// A user was answered 201.
    User { username: String, password: String },
    /// The outcome log was renamed.
    Rotated,
    /// An answer that promises nothing.
    Refused { status: u16, answer: String },
    /// No answer came.
    CutOff { error: String },
    /// A fault of the disk was armed, or has struck.
    Fault { fault: String },
    /// The program has ended by itself, and was started again.
    Ended { status: String },
    /// A wrong answer.
    Wrong { detail: String },
}

/// An event, and the number of records after it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Noted {
    pub sequence: u64,
    #[serde(flatten)]
    pub event: Event,
}

/// A recording, read from its folder.
pub struct Recording {
    pub folder: PathBuf,
    pub run: Run,
    pub records: Vec<Record>,
    pub events: Vec<Noted>,
    data: File,
}

impl Recording {
    /// Reads a recording's folder.
    ///
    /// # Errors
    /// If the folder has no whole recording.
    pub fn read(folder: &Path) -> Outcome<Self> {
        let text = |name: &str| fs::read_to_string(folder.join(name)).at(folder.join(name).display());
        let run = serde_json::from_str(&text(RUN)?).at(RUN)?;
        let events = text(EVENTS)?;
        let events = events.lines().map(serde_json::from_str).collect::<Result<_, _>>().at(EVENTS)?;
        let records = fs::read(folder.join(INDEX))?;
        let records = records.chunks_exact(Record::BYTES).map(Record::from_bytes).collect::<Option<_>>();
        let records = records.ok_or_else(|| Trouble::new("index: expected a record"))?;
        let data = File::open(folder.join(DATA))?;
        Ok(Self { folder: folder.to_owned(), run, records, events, data })
    }

    /// Applies a record to a disk's image; of a write, only the grains for which `keep` returns true.
    ///
    /// # Errors
    /// If the image can't be written.
    pub fn apply(
        &self,
        image: &File,
        record: &Record,
        grain: usize,
        mut keep: impl FnMut() -> bool,
    ) -> io::Result<()> {
        match record.kind {
            Kind::Flush => Ok(()),
            Kind::Zero => punch(image, record.offset, record.length),
            Kind::Write => {
                let mut bytes = vec![0; usize::try_from(record.length).map_err(io::Error::other)?];
                self.data.read_exact_at(&mut bytes, record.place)?;
                for (at, part) in (record.offset..).step_by(grain).zip(bytes.chunks(grain)) {
                    if keep() {
                        image.write_all_at(part, at)?;
                    }
                }
                Ok(())
            }
        }
    }

    /// Applies a whole record to a disk's image.
    ///
    /// # Errors
    /// If the image can't be written.
    pub fn apply_whole(&self, image: &File, record: &Record) -> io::Result<()> {
        self.apply(image, record, 1 << 30, || true)
    }
}
