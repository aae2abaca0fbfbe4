//! Any plan of pieces, of any streams, in any runs, gives the digests of the `md-5` crate.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, and clippy.toml excuses only functions that are marked as tests"
)]

use md5::Digest as _;
use md5_lanes::{Digest, Kernel, Lanes, Md5, Piece};

/// More than any kernel has lanes.
const STREAMS: usize = 50;
/// The number of bytes that pieces are cut from.
const BYTES: usize = 8 << 10;

/// A step, read from four bytes of the input: its kind, its stream, and its length.
enum Step {
    /// A piece in the run that comes, the stream's last one or not.
    Piece { stream: usize, length: usize, is_last: bool },
    /// The run itself.
    Run,
    /// A piece of a stream by itself.
    Alone { stream: usize, length: usize },
    /// The end of a stream by itself.
    Finish { stream: usize },
}

fn steps(input: &[u8]) -> impl Iterator<Item = Step> {
    input.as_chunks().0.iter().map(|&[what, stream, low, high]| {
        let stream = usize::from(stream) % STREAMS;
        let length = usize::from(u16::from_le_bytes([low, high]));
        // Short ones and long ones alike.
        let length = if what & 0x80 == 0 { length % 256 } else { length % BYTES };
        match what % 8 {
            0..=2 => Step::Piece { stream, length, is_last: false },
            3 | 4 => Step::Piece { stream, length, is_last: true },
            5 => Step::Run,
            6 => Step::Alone { stream, length },
            _ => Step::Finish { stream },
        }
    })
}

/// Streams as they are here, and as the other crate has them.
struct Pair<'a> {
    lanes: Lanes,
    bytes: &'a [u8],
    streams: Vec<Md5>,
    expected: Vec<md5::Md5>,
    /// Of the run that comes, at most one of each stream.
    pieces: Vec<(usize, usize, bool)>,
}

impl Pair<'_> {
    fn take(&mut self, step: Step) {
        match step {
            Step::Piece { stream, length, is_last } => {
                if self.pieces.iter().any(|(other, ..)| *other == stream) {
                    self.run();
                }
                self.pieces.push((stream, length, is_last));
            }
            Step::Run => self.run(),
            Step::Alone { stream, length } => {
                self.run();
                self.streams[stream].update(&self.bytes[..length]);
                self.expected[stream].update(&self.bytes[..length]);
            }
            Step::Finish { stream } => {
                self.run();
                let digest = self.streams[stream].finish();
                assert_eq!(digest, Digest(self.expected[stream].finalize_reset().into()), "{:?}", self.lanes);
            }
        }
    }

    fn run(&mut self) {
        let planned = std::mem::take(&mut self.pieces);
        let mut digests = vec![Digest::default(); planned.len()];
        let mut streams: Vec<Option<&mut Md5>> = self.streams.iter_mut().map(Some).collect();
        self.lanes.run(planned.iter().zip(&mut digests).map(|(&(stream, length, is_last), digest)| {
            let (stream, bytes) = (streams[stream].take().unwrap(), &self.bytes[..length]);
            if is_last { Piece::last(stream, bytes, digest) } else { Piece::next(stream, bytes) }
        }));
        for ((stream, length, is_last), digest) in planned.into_iter().zip(digests) {
            let expected = &mut self.expected[stream];
            expected.update(&self.bytes[..length]);
            if is_last {
                assert_eq!(digest, Digest(expected.finalize_reset().into()), "{:?}", self.lanes);
            }
        }
    }
}

#[test]
fn any_plan_gives_the_right_digests() {
    let bytes: Vec<u8> = (0..BYTES).map(|number| ((number * number) >> 3) as u8).collect();

    test_kit::fuzz!("plans", |input: &[u8]| {
        for lanes in Kernel::available().filter_map(Lanes::with) {
            let (streams, expected) = (vec![Md5::new(); STREAMS], vec![md5::Md5::new(); STREAMS]);
            let mut pair = Pair { lanes, bytes: &bytes, streams, expected, pieces: Vec::new() };
            steps(input).for_each(|step| pair.take(step));
            (0..STREAMS).for_each(|stream| pair.take(Step::Finish { stream }));
        }
    });
}
