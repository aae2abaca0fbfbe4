//! Fuzz targets: functions that take any bytes and panic if something is wrong.
//!
//! `cargo test` tries a target on its corpus; `tests/fuzz` lets libFuzzer search for more inputs, led by code that none has reached yet.

use std::path::{Path, PathBuf};

use fastrand::Rng;

/// The longest input that libFuzzer makes, in bytes.
pub const LONGEST: usize = 2048;

/// Tries a target on each file of its corpus: `fuzz!("tables", |input| …)` on those in `__fuzz__/tables/corpus` beside the test.
#[macro_export]
macro_rules! fuzz {
    ($name:literal, $target:expr) => {
        $crate::has_seeds(env!("CARGO_MANIFEST_DIR"), file!(), $name);
        // No random input: a test is the same each time.
        $crate::bolero::check!(name = $name)
            .with_iterations(0)
            .with_max_len($crate::LONGEST)
            .for_each($target)
    };
}

/// Checks that the corpus exists.
pub fn has_seeds(manifest: &str, file: &str, name: &str) {
    let test = Path::new(manifest).ancestors().map(|folder| folder.join(file)).find(|path| path.exists());
    let corpus: PathBuf = test.unwrap().with_file_name("__fuzz__").join(name).join("corpus");
    let has_some = corpus.read_dir().is_ok_and(|mut files| files.next().is_some());
    assert!(has_some, "no seeds in {}", corpus.display());
}

/// Cuts the input into pieces, some of them empty. Only the input decides where, so an input that failed fails again.
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
