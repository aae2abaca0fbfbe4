//! The kernel for SSE2: 4 lanes in each register.

use std::arch::x86_64::*;

use super::{BLOCK, Inputs, States, blocks_of_all, compress_with, rounds};

const LANES: usize = 4;
type V = __m128i;

compress_with!("sse2");

#[inline]
#[target_feature(enable = "sse2")]
fn splat(word: u32) -> V {
    _mm_set1_epi32(word.cast_signed())
}

#[inline]
#[target_feature(enable = "sse2")]
fn add(x: V, y: V) -> V {
    _mm_add_epi32(x, y)
}

#[inline]
#[target_feature(enable = "sse2")]
fn rotate<const LEFT: i32, const RIGHT: i32>(x: V) -> V {
    _mm_or_si128(_mm_slli_epi32::<LEFT>(x), _mm_srli_epi32::<RIGHT>(x))
}

#[inline]
#[target_feature(enable = "sse2")]
fn f(x: V, y: V, z: V) -> V {
    _mm_xor_si128(z, _mm_and_si128(x, _mm_xor_si128(y, z)))
}

#[inline]
#[target_feature(enable = "sse2")]
fn g(x: V, y: V, z: V) -> V {
    _mm_or_si128(_mm_and_si128(x, z), _mm_andnot_si128(z, y))
}

#[inline]
#[target_feature(enable = "sse2")]
fn h(x: V, y: V, z: V) -> V {
    _mm_xor_si128(x, _mm_xor_si128(y, z))
}

#[inline]
#[target_feature(enable = "sse2")]
fn i(x: V, y: V, z: V) -> V {
    _mm_xor_si128(y, _mm_or_si128(x, _mm_xor_si128(z, splat(u32::MAX))))
}

/// Returns `known` unchanged: here a step does not wait for the sums.
#[inline(always)]
fn apart(known: V) -> V {
    known
}

#[inline]
#[target_feature(enable = "sse2")]
fn load(words: &[u32; LANES]) -> V {
    // SAFETY: the pointer has as many bytes as are read; no alignment is required.
    unsafe { _mm_loadu_si128(words.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "sse2")]
fn store(x: V, words: &mut [u32; LANES]) {
    // SAFETY: the pointer has as many bytes as are written; no alignment is required.
    unsafe { _mm_storeu_si128(words.as_mut_ptr().cast(), x) }
}

/// Loads the words of a block of each lane: four transpositions of 4 by 4.
///
/// # Safety
/// Each input must have more than `block` blocks.
#[inline]
#[target_feature(enable = "sse2")]
unsafe fn words(inputs: &[&[u8]; LANES], block: usize) -> [V; 16] {
    let mut words = [splat(0); 16];
    for four in 0..4 {
        let mut rows = [splat(0); 4];
        for lane in 0..4 {
            // SAFETY: the caller's promise: the block lies within the input.
            rows[lane] =
                unsafe { _mm_loadu_si128(inputs[lane].as_ptr().add(block * BLOCK + 16 * four).cast()) };
        }
        let low = [_mm_unpacklo_epi32(rows[0], rows[1]), _mm_unpacklo_epi32(rows[2], rows[3])];
        let high = [_mm_unpackhi_epi32(rows[0], rows[1]), _mm_unpackhi_epi32(rows[2], rows[3])];
        words[4 * four] = _mm_unpacklo_epi64(low[0], low[1]);
        words[4 * four + 1] = _mm_unpackhi_epi64(low[0], low[1]);
        words[4 * four + 2] = _mm_unpacklo_epi64(high[0], high[1]);
        words[4 * four + 3] = _mm_unpackhi_epi64(high[0], high[1]);
    }
    words
}
