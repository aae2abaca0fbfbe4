//! Hashes files on all cores: each thread reads a piece of as many files as it has lanes, hashes these side by side, and goes on with the
//! next pieces.
//!
//! A file that is not a regular one may keep its reader waiting for long, or until another one is read. So such files come after all
//! others, one by one, in their order.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::num::NonZeroUsize;
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::thread;
use std::vec::IntoIter;

use md5_lanes::{Digest, Lanes, Md5, Piece};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::stat::{SFlag, fstat};
use parking_lot::Mutex;
use program::standard_input;

use super::jobs::{Job, Jobs};

/// The bytes that a thread reads before it hashes. They stay in the core's own cache.
const ROUND: usize = 512 << 10;
/// The bytes of a cache line. Pieces begin at multiples of it, with a line between, so that the lines of one file do not displace
/// those of another.
const LINE: usize = 64;
/// The most files that are open for other reasons.
const OTHERS: u64 = 32;

/// A file, and its outcome.
#[derive(Debug)]
pub struct Done {
    pub job: Job,
    pub digest: io::Result<Digest>,
}

/// A receiver of digests and progress.
pub trait Receiver: Sync {
    /// Takes the results since the last call, from any thread; returns whether more are wanted.
    fn take(&self, done: Vec<Done>) -> bool;
    /// Notes that `bytes` were hashed.
    fn advance(&self, bytes: u64);
}

/// Hashes all files; returns when all are done or no more are wanted.
pub fn hash(jobs: &impl Jobs, receiver: &impl Receiver) {
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let open_most = (open_files() / threads).max(1);
    let shared = Shared { jobs, threads, open_most, irregular: Mutex::default() };
    let work = || Worker::new(&shared, receiver).run();
    thread::scope(|scope| {
        // A single file can't be shared between threads.
        for _ in 1..if jobs.is_one() { 1 } else { threads } {
            // If the system refuses a thread, there are fewer.
            let _ = thread::Builder::new().spawn_scoped(scope, work);
        }
        work();
    });

    let mut irregular = shared.irregular.into_inner();
    irregular.sort_by_key(|(job, _)| job.number);
    for (job, file) in irregular {
        let digest = match file {
            Some(file) => wait_for(&file).and_then(|()| hash_alone(file, receiver)),
            None => standard_input().and_then(|input| hash_alone(input.lock(), receiver)),
        };
        if !receiver.take(vec![Done { job, digest }]) {
            break;
        }
    }
}

/// State that all threads share.
struct Shared<'a, J> {
    jobs: &'a J,
    threads: usize,
    /// The most files that a thread may have open.
    open_most: usize,
    /// Without a file: standard input.
    irregular: Mutex<Vec<(Job, Option<File>)>>,
}

impl<J> Shared<'_, J> {
    fn put_aside(&self, job: Job, file: Option<File>) {
        self.irregular.lock().push((job, file));
    }
}

struct Worker<'a, J, R> {
    shared: &'a Shared<'a, J>,
    receiver: &'a R,
    lanes: Lanes,
    /// The most bytes that are read of one file a round.
    piece: usize,
    taken: IntoIter<Job>,
    reading: Vec<Reading>,
    /// The number of files that are open.
    open: usize,
    done: Vec<Done>,
}

/// A regular file that is being hashed.
struct Reading {
    job: Job,
    /// `None` once it has ended, also by an error.
    file: Option<File>,
    /// The bytes that should still follow. A file of 0 bytes may have some: files that the kernel makes up have no size.
    left: u64,
    md5: Md5,
    /// The part of the buffer that was read this round.
    piece: Range<usize>,
    error: Option<io::Error>,
    digest: Digest,
}

impl<'a, J: Jobs, R: Receiver> Worker<'a, J, R> {
    fn new(shared: &'a Shared<'a, J>, receiver: &'a R) -> Self {
        let lanes = Lanes::new();
        let piece = ROUND / lanes.width();
        let (taken, reading, open, done) = Default::default();
        Self { shared, receiver, lanes, piece, taken, reading, open, done }
    }

    fn run(&mut self) {
        let mut buffer = vec![0; ROUND + self.lanes.width() * LINE];
        loop {
            self.read(&mut buffer);
            self.hash(&buffer);
            let done = std::mem::take(&mut self.done);
            if done.is_empty() && self.reading.is_empty() || !self.receiver.take(done) {
                return;
            }
        }
    }

    /// Reads the next piece of each file, and begins others while there is room.
    fn read(&mut self, buffer: &mut [u8]) {
        let (mut at, mut bytes) = (0, 0);
        // Each filled a piece in the last round, so there is room for all of them.
        let mut under_way = 0..self.reading.len();
        while at + self.piece <= buffer.len() {
            let number = under_way.next().or_else(|| self.begin());
            let Some(reading) = number.and_then(|number| self.reading.get_mut(number)) else { break };
            reading.read(buffer, at..at + self.piece);
            self.open -= usize::from(reading.file.is_none());
            bytes += reading.piece.len();
            at = reading.piece.end.next_multiple_of(LINE) + LINE;
        }
        self.receiver.advance(bytes as u64);
    }

    /// Begins the next regular file, if one more may be open; returns its index among those that are read.
    fn begin(&mut self) -> Option<usize> {
        while self.open < self.shared.open_most {
            if self.taken.len() == 0 {
                // Files under way go on while another thread looks for more.
                let waits = self.reading.is_empty();
                self.taken = self.shared.jobs.take(self.shared.threads, waits).into_iter();
            }
            let mut job = self.taken.next()?;
            if let Some(error) = job.error.take() {
                self.done.push(Done { job, digest: Err(error) });
            } else if job.name == "-" {
                self.shared.put_aside(job, None);
            } else {
                match open(&job) {
                    Ok((file, Some(left))) => {
                        self.reading.push(Reading::new(job, file, left));
                        self.open += 1;
                        return Some(self.reading.len() - 1);
                    }
                    Ok((file, None)) => self.shared.put_aside(job, Some(file)),
                    Err(error) => self.done.push(Done { job, digest: Err(error) }),
                }
            }
        }
        None
    }

    fn hash(&mut self, buffer: &[u8]) {
        let mut pieces: Vec<&mut Reading> = self.reading.iter_mut().collect();
        pieces.sort_unstable_by_key(|reading| std::cmp::Reverse(reading.piece.len()));
        self.lanes.run(pieces.into_iter().map(|reading| {
            let bytes = &buffer[reading.piece.clone()];
            if reading.file.is_none() {
                Piece::last(&mut reading.md5, bytes, &mut reading.digest)
            } else {
                Piece::next(&mut reading.md5, bytes)
            }
        }));
        let ended = self.reading.extract_if(.., |reading| reading.file.is_none());
        self.done.extend(ended.map(|Reading { job, digest, error, .. }| {
            let digest = error.map_or(Ok(digest), Err);
            Done { job, digest }
        }));
    }
}

impl Reading {
    fn new(job: Job, file: File, left: u64) -> Self {
        let (md5, digest) = (Md5::new(), Digest::default());
        Self { job, file: Some(file), left, md5, piece: 0..0, error: None, digest }
    }

    /// Reads into that part of the buffer, until it is full or the file ends; closes the file then. A few open files are enough: where the
    /// table of open files must grow while threads share it, Linux waits for some 10 ms (`expand_fdtable`, `synchronize_rcu`).
    fn read(&mut self, buffer: &mut [u8], part: Range<usize>) {
        self.piece = part.start..part.start;
        while self.piece.end < part.end
            && let Some(file) = &mut self.file
        {
            match file.read(&mut buffer[self.piece.end..part.end]) {
                Ok(0) => self.file = None,
                Ok(length) => {
                    self.piece.end += length;
                    // All expected bytes are there, so no further read has to find the end.
                    if self.left == length as u64 {
                        self.file = None;
                    }
                    self.left = self.left.saturating_sub(length as u64);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => (self.file, self.error) = (None, Some(error)),
            }
        }
    }
}

/// Returns how many files may be open for hashing.
fn open_files() -> usize {
    let (most, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024));
    usize::try_from(most.saturating_sub(OTHERS)).unwrap_or(usize::MAX)
}

/// Opens a file; returns it, and its size if it is a regular one.
fn open(job: &Job) -> io::Result<(File, Option<u64>)> {
    // Opening a pipe would wait until another process opens its other end.
    let file = File::options().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(&job.name)?;
    let status = fstat(&file)?;
    match SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT {
        SFlag::S_IFREG => Ok((file, u64::try_from(status.st_size).ok())),
        SFlag::S_IFDIR => Err(ErrorKind::IsADirectory.into()),
        _ => Ok((file, None)),
    }
}

/// Waits until there is something to read, or all writers are gone. From then on reads of the file block.
fn wait_for(file: &File) -> io::Result<()> {
    poll(&mut [PollFd::new(file.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE)?;
    fcntl(file, FcntlArg::F_SETFL(OFlag::O_RDONLY))?;
    Ok(())
}

fn hash_alone(mut file: impl Read, receiver: &impl Receiver) -> io::Result<Digest> {
    let (mut md5, mut buffer) = (Md5::new(), vec![0; ROUND / 4]);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(md5.finish()),
            Ok(length) => {
                md5.update(&buffer[..length]);
                receiver.advance(length as u64);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
