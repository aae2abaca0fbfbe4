//! Fuzz targets: what takes any bytes and panics where something is wrong, tried on seeds and on what they mutate to.
//!
//! It needs nothing but a test: a crate has a link to this file as `tests/fuzzing/mod.rs`, its targets in `tests/fuzz.rs`, their
//! seeds in `tests/corpus`; what is private to it has `fuzz.rs` and `corpus` beside it. `cargo test` tries the same inputs each
//! time; `COATCHECK_FUZZ_SECONDS` tries others, for so long.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use fastrand::Rng;

/// Mutants that `cargo test` tries.
const INPUTS: u64 = 500;
/// The longest mutant, in bytes.
const LONGEST: usize = 2048;
/// Numbers at which something often changes.
const ODD: [u8; 10] = [0, 1, 0x0a, 0x20, 0x22, 0x2c, 0x7f, 0x80, 0xfe, 0xff];

/// Tries a target on each file of a folder, and on mutants of them.
///
/// # Panics
/// Where the target does. The input is kept, and named; a file of the corpus it should become.
pub fn fuzz(corpus: &Path, target: impl Fn(&[u8])) {
    let mut files: Vec<_> = fs::read_dir(corpus).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let seeds: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    assert!(!seeds.is_empty(), "no seeds in {}", corpus.display());
    let attempt = |input: &[u8]| catch_unwind(AssertUnwindSafe(|| target(input)));
    for (file, seed) in files.iter().zip(&seeds) {
        if let Err(failure) = attempt(seed) {
            eprintln!("the input is {}", file.display());
            resume_unwind(failure);
        }
    }

    let seconds = std::env::var("COATCHECK_FUZZ_SECONDS").ok().map(|seconds| seconds.parse().unwrap());
    let (end, mut dice) = match seconds {
        Some(seconds) => (Some(Instant::now() + Duration::from_secs(seconds)), Rng::new()),
        None => (None, Rng::with_seed(1)),
    };
    let mut tried = 0;
    while end.map_or(tried < INPUTS, |end| Instant::now() < end) {
        let input = mutant(&seeds, &mut dice);
        if let Err(failure) = attempt(&input) {
            let name = corpus.file_name().unwrap().display();
            let kept = std::env::current_exe().unwrap().with_extension(format!("{name}-failure"));
            fs::write(&kept, &input).unwrap();
            eprintln!(
                "the input is {}; once it does no harm, keep it in {}",
                kept.display(),
                corpus.display()
            );
            resume_unwind(failure);
        }
        tried += 1;
    }
    println!("{tried} inputs from {} seeds", seeds.len());
}

/// The input in pieces, empty ones among them. It alone decides how it is cut, so one that failed fails again.
#[allow(dead_code, reason = "not every target's input comes in pieces")]
pub fn cut(mut input: &[u8]) -> Vec<&[u8]> {
    let number =
        input.iter().fold(0_u64, |number, byte| number.wrapping_mul(31).wrapping_add(u64::from(*byte)));
    let mut dice = Rng::with_seed(number);
    let longest = 1 << dice.u32(..8);
    let mut pieces = Vec::new();
    while !input.is_empty() {
        let (piece, rest) = input.split_at(dice.usize(..=longest).min(input.len()));
        pieces.push(piece);
        input = rest;
    }
    pieces
}

/// One of the seeds after some changes.
fn mutant(seeds: &[Vec<u8>], dice: &mut Rng) -> Vec<u8> {
    let mut bytes = seeds[dice.usize(..seeds.len())].clone();
    for _ in 0..1 << dice.u32(..6) {
        let length = bytes.len();
        let at = dice.usize(..=length);
        let end = length.min(at + dice.usize(..=16));
        match dice.u32(..8) {
            0 if at < length => bytes[at] ^= 1 << dice.u32(..8),
            1 if at < length => bytes[at] = dice.u8(..),
            2 if at < length => bytes[at] = ODD[dice.usize(..ODD.len())],
            3 => bytes.insert(at, dice.u8(..)),
            4 => drop(bytes.drain(at..end)),
            5 => bytes.extend_from_within(at..end),
            6 => bytes.truncate(at),
            _ => {
                let other = &seeds[dice.usize(..seeds.len())];
                bytes.truncate(at);
                bytes.extend_from_slice(&other[dice.usize(..=other.len())..]);
            }
        }
    }
    bytes.truncate(LONGEST);
    bytes
}
