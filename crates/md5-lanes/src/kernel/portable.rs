//! The kernel without special instructions: 4 lanes in plain Rust, in a form that compilers vectorize where they can.

use super::{BLOCK, Inputs, States, blocks_of_all, compress_with, rounds};

const LANES: usize = 4;
type V = [u32; LANES];

compress_with!();

fn each(x: V, y: V, operation: impl Fn(u32, u32) -> u32) -> V {
    std::array::from_fn(|lane| operation(x[lane], y[lane]))
}

fn splat(word: u32) -> V {
    [word; LANES]
}

fn add(x: V, y: V) -> V {
    each(x, y, u32::wrapping_add)
}

fn rotate<const LEFT: u32, const RIGHT: u32>(x: V) -> V {
    x.map(|word| word.rotate_left(LEFT))
}

fn f(x: V, y: V, z: V) -> V {
    std::array::from_fn(|lane| z[lane] ^ (x[lane] & (y[lane] ^ z[lane])))
}

fn g(x: V, y: V, z: V) -> V {
    f(z, x, y)
}

fn h(x: V, y: V, z: V) -> V {
    std::array::from_fn(|lane| x[lane] ^ y[lane] ^ z[lane])
}

fn i(x: V, y: V, z: V) -> V {
    std::array::from_fn(|lane| y[lane] ^ (x[lane] | !z[lane]))
}

/// Returns `known` unchanged: here a step does not wait for the sums.
#[inline(always)]
fn apart(known: V) -> V {
    known
}

fn load(words: &[u32; LANES]) -> V {
    *words
}

fn store(x: V, words: &mut [u32; LANES]) {
    *words = x;
}

/// Loads the words of a block of each lane.
///
/// # Safety
/// None is needed: without the block it panics.
unsafe fn words(inputs: &[&[u8]; LANES], block: usize) -> [V; 16] {
    let mut words = [splat(0); 16];
    for lane in 0..LANES {
        let (fours, _) = inputs[lane][block * BLOCK..][..BLOCK].as_chunks();
        for (word, four) in words.iter_mut().zip(fours) {
            word[lane] = u32::from_le_bytes(*four);
        }
    }
    words
}
