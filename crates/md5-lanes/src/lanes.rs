//! Assigns streams to lanes.

use std::cmp::Reverse;

use crate::kernel::{BLOCK, INITIAL, Inputs, Kernel, States, WIDTH};
use crate::stream::{Digest, Md5};

/// The next piece of a stream.
#[derive(Debug)]
pub struct Piece<'a> {
    stream: &'a mut Md5,
    bytes: &'a [u8],
    digest: Option<&'a mut Digest>,
}

impl<'a> Piece<'a> {
    /// Creates a piece that others may follow.
    pub fn next(stream: &'a mut Md5, bytes: &'a [u8]) -> Self {
        Self { stream, bytes, digest: None }
    }

    /// Creates the last piece, which may be empty: the stream's digest is stored in `digest`, and the stream starts again.
    pub fn last(stream: &'a mut Md5, bytes: &'a [u8], digest: &'a mut Digest) -> Self {
        Self { stream, bytes, digest: Some(digest) }
    }
}

/// Hashes many streams at once.
///
/// It holds only the choice of the [`Kernel`]: streams are [`Md5`]s, which the caller keeps.
#[derive(Debug, Clone, Copy)]
pub struct Lanes {
    kernel: Kernel,
}

impl Lanes {
    /// Uses the best instructions that this processor has.
    #[must_use]
    pub fn new() -> Self {
        Self { kernel: Kernel::best() }
    }

    /// Uses these instructions; `None` if this processor lacks them.
    #[must_use]
    pub fn with(kernel: Kernel) -> Option<Self> {
        kernel.is_available().then_some(Self { kernel })
    }

    /// Returns the number of streams that are hashed side by side. A [`run`](Self::run) is fastest with that many pieces, or many more.
    #[must_use]
    pub fn width(&self) -> usize {
        self.kernel.lanes()
    }

    /// Hashes pieces, each of another stream.
    ///
    /// Whenever a lane is free, the next piece is taken. Without further pieces the lane stays empty until the longest piece is done, so
    /// pieces of one length, many of them, or long ones first leave the fewest lanes idle. The last remaining piece goes on
    /// as fast as [`Md5::update`].
    ///
    /// ```
    /// use md5_lanes::{Digest, Lanes, Md5, Piece};
    ///
    /// let (mut one, mut other) = (Md5::new(), Md5::new());
    /// let mut digest = Digest::default();
    /// let lanes = Lanes::new();
    /// lanes.run([Piece::next(&mut one, b"a"), Piece::next(&mut other, b"message ")]);
    /// lanes.run([Piece::last(&mut other, b"digest", &mut digest), Piece::next(&mut one, b"b")]);
    /// assert_eq!(digest.to_string(), "f96b697d7cb7938d525a2f31aaf161d0");
    /// one.update(b"c");
    /// assert_eq!(one.finish().to_string(), "900150983cd24fb0d6963f7d28e17f72");
    /// ```
    pub fn run<'a>(&self, pieces: impl IntoIterator<Item = Piece<'a>>) {
        let mut pieces = pieces.into_iter();
        let mut states = States::new();
        let mut inputs: Inputs<'a> = [&[]; WIDTH];
        let mut lanes: Vec<Lane<'a>> = Vec::with_capacity(self.width());
        while lanes.len() < self.width()
            && let Some((lane, input)) = next_lane(&mut pieces)
        {
            states.set(lanes.len(), *lane.state);
            inputs[lanes.len()] = input;
            lanes.push(lane);
        }

        while !lanes.is_empty() {
            // Empty lanes compress any existing bytes, without effect.
            let count = lanes.len();
            let any = inputs[0];
            inputs[count..].fill(any);
            let bytes = self.kernel.compress(count, &mut states, &inputs) * BLOCK;

            let mut at = 0;
            while at < lanes.len() {
                inputs[at] = &inputs[at][bytes..];
                if !inputs[at].is_empty() {
                    at += 1;
                } else if let Some(part) = lanes[at].next_part() {
                    inputs[at] = part;
                    at += 1;
                } else if let Some((lane, input)) = next_lane(&mut pieces) {
                    std::mem::replace(&mut lanes[at], lane).end(states.of(at));
                    states.set(at, *lanes[at].state);
                    inputs[at] = input;
                    at += 1;
                } else {
                    // The last lane takes its place, and its input is checked there.
                    lanes.swap_remove(at).end(states.of(at));
                    states.set(at, states.of(lanes.len()));
                    inputs[at] = inputs[lanes.len()];
                }
            }
        }
    }

    /// Returns the digests of whole messages, in their order.
    ///
    /// ```
    /// let digests = md5_lanes::Lanes::new().digest_many(&["abc", "message digest"]);
    /// assert_eq!(digests[0].to_string(), "900150983cd24fb0d6963f7d28e17f72");
    /// ```
    pub fn digest_many<T: AsRef<[u8]>>(&self, messages: &[T]) -> Vec<Digest> {
        let mut digests = vec![Digest::default(); messages.len()];
        let mut streams = vec![Md5::new(); messages.len()];
        let mut pieces: Vec<Piece<'_>> = std::iter::zip(messages, &mut streams)
            .zip(&mut digests)
            .map(|((message, stream), digest)| Piece::last(stream, message.as_ref(), digest))
            .collect();
        // Longest first, so that none is hashed alone at the end.
        pieces.sort_by_key(|piece| Reverse(piece.bytes.len()));
        self.run(pieces);
        digests
    }
}

impl Default for Lanes {
    fn default() -> Self {
        Self::new()
    }
}

/// A piece that has a lane.
struct Lane<'a> {
    state: &'a mut [u32; 4],
    /// The parts that follow when the input is done.
    parts: [&'a [u8]; 2],
    digest: Option<&'a mut Digest>,
}

impl<'a> Lane<'a> {
    fn next_part(&mut self) -> Option<&'a [u8]> {
        let [next, after] = std::mem::take(&mut self.parts);
        if next.is_empty() {
            return (!after.is_empty()).then_some(after);
        }
        self.parts[0] = after;
        Some(next)
    }

    fn end(self, state: [u32; 4]) {
        *self.state = match self.digest {
            Some(digest) => {
                *digest = Digest::of(state);
                INITIAL
            }
            None => state,
        };
    }
}

/// Returns the next piece that has a block, and its first part. Shorter pieces are kept in their streams.
fn next_lane<'a>(pieces: &mut impl Iterator<Item = Piece<'a>>) -> Option<(Lane<'a>, &'a [u8])> {
    for Piece { stream, bytes, digest } in pieces {
        let blocks = stream.take(bytes, digest.is_some());
        let [first, whole, last] = blocks.parts;
        let mut lane = Lane { state: blocks.state, parts: [whole, last], digest };
        let input = if first.is_empty() { lane.next_part() } else { Some(first) };
        if let Some(input) = input {
            return Some((lane, input));
        }
    }
    None
}
