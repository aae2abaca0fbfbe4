//! The kernel for AVX2: 8 lanes in each register.

use std::arch::x86_64::*;

use super::{BLOCK, Inputs, States, blocks_of_all, compress_with, rounds};

const LANES: usize = 8;
type V = __m256i;

compress_with!("avx2");

#[inline]
#[target_feature(enable = "avx2")]
fn splat(word: u32) -> V {
    _mm256_set1_epi32(word.cast_signed())
}

#[inline]
#[target_feature(enable = "avx2")]
fn add(x: V, y: V) -> V {
    _mm256_add_epi32(x, y)
}

#[inline]
#[target_feature(enable = "avx2")]
fn rotate<const LEFT: i32, const RIGHT: i32>(x: V) -> V {
    _mm256_or_si256(_mm256_slli_epi32::<LEFT>(x), _mm256_srli_epi32::<RIGHT>(x))
}

#[inline]
#[target_feature(enable = "avx2")]
fn f(x: V, y: V, z: V) -> V {
    _mm256_xor_si256(z, _mm256_and_si256(x, _mm256_xor_si256(y, z)))
}

#[inline]
#[target_feature(enable = "avx2")]
fn g(x: V, y: V, z: V) -> V {
    _mm256_or_si256(_mm256_and_si256(x, z), _mm256_andnot_si256(z, y))
}

#[inline]
#[target_feature(enable = "avx2")]
fn h(x: V, y: V, z: V) -> V {
    _mm256_xor_si256(x, _mm256_xor_si256(y, z))
}

#[inline]
#[target_feature(enable = "avx2")]
fn i(x: V, y: V, z: V) -> V {
    _mm256_xor_si256(y, _mm256_or_si256(x, _mm256_xor_si256(z, splat(u32::MAX))))
}

/// Returns `known` unchanged: here a step does not wait for the sums.
#[inline(always)]
fn apart(known: V) -> V {
    known
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(words: &[u32; LANES]) -> V {
    // SAFETY: the pointer has as many bytes as are read; no alignment is required.
    unsafe { _mm256_loadu_si256(words.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(x: V, words: &mut [u32; LANES]) {
    // SAFETY: the pointer has as many bytes as are written; no alignment is required.
    unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), x) }
}

/// Loads the words of a block of each lane: four transpositions of 8 by 4.
///
/// # Safety
/// Each input must have more than `block` blocks.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn words(inputs: &[&[u8]; LANES], block: usize) -> [V; 16] {
    let mut words = [splat(0); 16];
    for four in 0..4 {
        // Four words of a lane in one half, of the lane four further on in the other.
        let mut rows = [splat(0); 4];
        for lane in 0..4 {
            let at = block * BLOCK + 16 * four;
            // SAFETY: the caller's promise: the block lies within both inputs.
            rows[lane] = unsafe {
                _mm256_loadu2_m128i(
                    inputs[lane + 4].as_ptr().add(at).cast(),
                    inputs[lane].as_ptr().add(at).cast(),
                )
            };
        }
        let low = [_mm256_unpacklo_epi32(rows[0], rows[1]), _mm256_unpacklo_epi32(rows[2], rows[3])];
        let high = [_mm256_unpackhi_epi32(rows[0], rows[1]), _mm256_unpackhi_epi32(rows[2], rows[3])];
        words[4 * four] = _mm256_unpacklo_epi64(low[0], low[1]);
        words[4 * four + 1] = _mm256_unpackhi_epi64(low[0], low[1]);
        words[4 * four + 2] = _mm256_unpacklo_epi64(high[0], high[1]);
        words[4 * four + 3] = _mm256_unpackhi_epi64(high[0], high[1]);
    }
    words
}
