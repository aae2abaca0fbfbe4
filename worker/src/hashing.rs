//! Computes the MD5 of many uploads side by side, in the SIMD lanes of a few threads.
//!
//! A thread works in rounds: it takes its share of all uploads in progress, reads a piece of each, hashes the pieces side by side, and
//! returns the unfinished uploads. So no upload waits for another's end, however far off that is, and a lone one waits for nothing.
//!
//! A round never waits for a read. An upload whose next bytes are not in memory is read ahead by a thread of its own, and returns with the
//! bytes: a read that hangs holds up no other upload.

mod stream;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use md5_lanes::Lanes;
use parking_lot::Mutex;
use task_data::kinds::md5::Md5Digest;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use self::stream::Stream;
use crate::kinds::checked_blob::CheckedBlob;
use crate::work::WorkError;

/// The number of bytes that a thread reads in a round. They are still in the core's own cache when they are hashed.
const ROUND: usize = 512 << 10;
/// The most bytes that a round reads of one upload, so that rounds are short for new uploads.
const PIECE: usize = 64 << 10;
/// The size of a cache line in bytes. Pieces begin one line further apart than they are long, so that their lines don't displace each
/// other's.
const LINE: usize = 64;

/// The bytes to hash.
pub enum Source {
    /// The upload that travelled in the row.
    Content(Vec<u8>),
    /// The upload in the blob store.
    Blob(Box<CheckedBlob>),
}

/// Hashes uploads.
pub struct Hashing(Arc<Crew>);

struct Crew {
    lanes: Lanes,
    /// The most threads. None run while there is nothing to do.
    threads: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running_threads: usize,
    /// The uploads that no thread holds.
    waiting: VecDeque<Stream>,
    /// The number of all uploads in progress, waiting or held by a thread.
    under_way: usize,
}

impl Hashing {
    /// Creates a hasher that runs up to that many threads.
    pub fn new(threads: usize) -> Self {
        Self(Arc::new(Crew { lanes: Lanes::new(), threads, state: Mutex::default() }))
    }

    /// Returns how many uploads fill the lanes of one thread.
    pub fn lanes() -> usize {
        Lanes::new().width()
    }

    /// Returns the MD5 of one upload.
    ///
    /// # Cancel safety
    /// Hashing continues until `stop`, whether or not the caller still waits.
    pub async fn digest(&self, source: Source, stop: CancellationToken) -> Result<Md5Digest, WorkError> {
        let (answer, digest) = oneshot::channel();
        self.0.add(Stream::new(source, stop, answer));
        // No reply means the thread panicked.
        digest.await?
    }
}

impl Crew {
    fn add(self: &Arc<Self>, stream: Stream) {
        let mut state = self.state.lock();
        state.waiting.push_back(stream);
        state.under_way += 1;
        if state.running_threads < self.threads {
            state.running_threads += 1;
            let crew = self.clone();
            // A panic ends the attempts that this thread holds, and none that wait.
            spawn_blocking(move || while catch_unwind(AssertUnwindSafe(|| crew.work())).is_err() {});
        }
    }

    fn work(self: &Arc<Self>) {
        let mut buffer = vec![0; ROUND + 2 * LINE * self.lanes.width()];
        while let Some(mut hand) = self.take() {
            hand.read(&mut buffer);
            hand.hash(&buffer);
        }
    }

    /// Takes a thread's share of all uploads, longest waiting first. Without any, the thread stops and is not counted any more.
    fn take(self: &Arc<Self>) -> Option<Share> {
        let mut state = self.state.lock();
        let share = state.under_way.div_ceil(self.threads);
        let count = share.min(self.lanes.width()).min(state.waiting.len());
        if count == 0 {
            state.running_threads -= 1;
            return None;
        }
        Some(Share { crew: self.clone(), streams: state.waiting.drain(..count).collect(), count })
    }
}

/// The uploads that a thread holds for a round. Dropped, the unfinished ones wait for the next round.
struct Share {
    crew: Arc<Crew>,
    streams: Vec<Stream>,
    /// The number of uploads when they were taken.
    count: usize,
}

impl Share {
    /// Reads the next piece of each upload, and moves uploads whose read would wait to threads of their own.
    fn read(&mut self, buffer: &mut [u8]) {
        let length = (ROUND / self.streams.len()).min(PIECE);
        let mut at = 0;
        for mut stream in std::mem::take(&mut self.streams) {
            match stream.read(buffer, at..at + length) {
                Ok(true) => {
                    at = stream.end_in_buffer(at).next_multiple_of(LINE) + LINE;
                    self.streams.push(stream);
                }
                Ok(false) => self.read_ahead(stream),
                Err(error) => stream.answer(Err(error)),
            }
        }
    }

    /// Reads a stream ahead on a thread that may wait.
    fn read_ahead(&self, mut stream: Stream) {
        let crew = self.crew.clone();
        spawn_blocking(move || match stream.read_ahead() {
            Ok(()) => crew.add(stream),
            Err(error) => stream.answer(Err(error)),
        });
    }

    fn hash(&mut self, buffer: &[u8]) {
        // Longest pieces first, so that none is hashed alone at the end.
        self.streams.sort_unstable_by_key(|stream| Reverse(stream.length()));
        self.crew.lanes.run(self.streams.iter_mut().map(|stream| stream.piece(buffer)));
        for stream in self.streams.extract_if(.., |stream| stream.has_ended()) {
            let digest = stream.digest();
            stream.answer(Ok(digest));
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if thread::panicking() {
            // How far these uploads are hashed is unknown.
            self.streams.clear();
        }
        let mut state = self.crew.state.lock();
        state.under_way -= self.count - self.streams.len();
        state.waiting.extend(self.streams.drain(..));
    }
}
