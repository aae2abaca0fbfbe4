//! MD5 of many uploads at once, side by side in the lanes of a few threads.
//!
//! A thread works in rounds: it takes its share of all uploads that are under way, reads a piece of each, hashes these
//! side by side, and gives back what has not ended. So none waits for another's end, however long that is, and a lone one waits
//! for nothing.
//!
//! It reads nothing that needs a wait. An upload whose next bytes are not in memory is read on by a thread of its own, and
//! comes back with what that has read: a read that hangs holds up no other upload.

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

/// What a thread reads in a round, in bytes. It is in the core's own cache still when it is hashed.
const ROUND: usize = 512 << 10;
/// The most that it reads of one upload, so that rounds are short for what has just come.
const PIECE: usize = 64 << 10;
/// Beginnings of pieces are apart by these, and by a line of the cache more: no piece's lines displace another's.
const LINE: usize = 64;

/// What is to be hashed.
pub enum Source {
    /// What travelled in the row.
    Content(Vec<u8>),
    /// What is in the blob store.
    Blob(Box<CheckedBlob>),
}

/// Hashes uploads.
pub struct Hashing(Arc<Crew>);

struct Crew {
    lanes: Lanes,
    /// How many there may be. There are none while there is nothing to do.
    threads: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running_threads: usize,
    /// What no thread has in hand.
    waiting: VecDeque<Stream>,
    /// That, and what one has in hand.
    under_way: usize,
}

impl Hashing {
    /// On so many threads at most.
    pub fn new(threads: usize) -> Self {
        Self(Arc::new(Crew { lanes: Lanes::new(), threads, state: Mutex::default() }))
    }

    /// How many uploads fill the lanes of one thread.
    pub fn lanes() -> usize {
        Lanes::new().width()
    }

    /// The digest of one upload.
    ///
    /// # Cancel safety
    /// It is hashed until `stop`, whether or not the caller still waits.
    pub async fn digest(&self, source: Source, stop: CancellationToken) -> Result<Md5Digest, WorkError> {
        let (answer, digest) = oneshot::channel();
        self.0.add(Stream::new(source, stop, answer));
        // Who answers nothing has panicked.
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
            // A panic ends the attempts in hand, and none of those that wait.
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

    /// A thread's share of all, those first that wait longest. If there is nothing, the thread is no longer counted.
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

/// What a thread has in hand for a round. Dropped, what has not ended waits for the next one.
struct Share {
    crew: Arc<Crew>,
    streams: Vec<Stream>,
    /// How many they were when they were taken.
    count: usize,
}

impl Share {
    /// Reads the next piece of each, and parts with those that have none.
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

    /// Has a stream read on where it can wait.
    fn read_ahead(&self, mut stream: Stream) {
        let crew = self.crew.clone();
        spawn_blocking(move || match stream.read_ahead() {
            Ok(()) => crew.add(stream),
            Err(error) => stream.answer(Err(error)),
        });
    }

    fn hash(&mut self, buffer: &[u8]) {
        // Long ones first, so that none goes on alone at the end.
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
            // Of what there is it is not known how far it is hashed.
            self.streams.clear();
        }
        let mut state = self.crew.state.lock();
        state.under_way -= self.count - self.streams.len();
        state.waiting.extend(self.streams.drain(..));
    }
}
