//! The kernel for AVX-512: 16 lanes in each register. Each of MD5's functions is one instruction, and so is a rotation.

use std::arch::asm;
use std::arch::x86_64::*;

use super::{BLOCK, Inputs, States, blocks_of_all, compress_with, rounds};

const LANES: usize = 16;
type V = __m512i;

compress_with!("avx512f");

#[inline]
#[target_feature(enable = "avx512f")]
fn splat(word: u32) -> V {
    _mm512_set1_epi32(word.cast_signed())
}

#[inline]
#[target_feature(enable = "avx512f")]
fn add(x: V, y: V) -> V {
    _mm512_add_epi32(x, y)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn rotate<const LEFT: i32, const RIGHT: i32>(x: V) -> V {
    _mm512_rol_epi32::<LEFT>(x)
}

// The table of a function of three bits: its bit `4x + 2y + z` is the function's value.

#[inline]
#[target_feature(enable = "avx512f")]
fn f(x: V, y: V, z: V) -> V {
    _mm512_ternarylogic_epi32::<0b1100_1010>(x, y, z)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn g(x: V, y: V, z: V) -> V {
    _mm512_ternarylogic_epi32::<0b1110_0100>(x, y, z)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn h(x: V, y: V, z: V) -> V {
    _mm512_ternarylogic_epi32::<0b1001_0110>(x, y, z)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn i(x: V, y: V, z: V) -> V {
    _mm512_ternarylogic_epi32::<0b0011_1001>(x, y, z)
}

/// Keeps `known` apart from later sums: the compiler would add its constants last of all, and each step would wait for them, though they
/// are known before the step begins.
#[inline]
#[target_feature(enable = "avx512f")]
fn apart(mut known: V) -> V {
    // SAFETY: it contains no instruction and only keeps sums from being moved across it.
    unsafe { asm!("/* {} */", inout(zmm_reg) known, options(pure, nomem, nostack, preserves_flags)) };
    known
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(words: &[u32; LANES]) -> V {
    // SAFETY: the pointer has as many bytes as are read; no alignment is required.
    unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(x: V, words: &mut [u32; LANES]) {
    // SAFETY: the pointer has as many bytes as are written; no alignment is required.
    unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), x) }
}

/// Loads the words of a block of each lane: a transposition of 16 by 16.
///
/// # Safety
/// Each input must have more than `block` blocks.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn words(inputs: &[&[u8]; LANES], block: usize) -> [V; 16] {
    let mut rows = [splat(0); 16];
    for lane in 0..16 {
        // SAFETY: the caller's promise: the block lies within the input.
        rows[lane] = unsafe { _mm512_loadu_si512(inputs[lane].as_ptr().add(block * BLOCK).cast()) };
    }
    // Words of two lanes side by side, then of four; a quarter of the register is still four words of its lanes.
    let mut fours = [splat(0); 16];
    for four in 0..4 {
        let row = &rows[4 * four..][..4];
        let low = [_mm512_unpacklo_epi32(row[0], row[1]), _mm512_unpacklo_epi32(row[2], row[3])];
        let high = [_mm512_unpackhi_epi32(row[0], row[1]), _mm512_unpackhi_epi32(row[2], row[3])];
        fours[four] = _mm512_unpacklo_epi64(low[0], low[1]);
        fours[4 + four] = _mm512_unpackhi_epi64(low[0], low[1]);
        fours[8 + four] = _mm512_unpacklo_epi64(high[0], high[1]);
        fours[12 + four] = _mm512_unpackhi_epi64(high[0], high[1]);
    }
    // Then the quarters: `fours[4 * w + four]` has the words w, w + 4, w + 8, w + 12 of its lanes.
    let mut words = [splat(0); 16];
    for w in 0..4 {
        let four = &fours[4 * w..][..4];
        let even = [
            _mm512_shuffle_i32x4::<0b10_00_10_00>(four[0], four[1]),
            _mm512_shuffle_i32x4::<0b10_00_10_00>(four[2], four[3]),
        ];
        let odd = [
            _mm512_shuffle_i32x4::<0b11_01_11_01>(four[0], four[1]),
            _mm512_shuffle_i32x4::<0b11_01_11_01>(four[2], four[3]),
        ];
        words[w] = _mm512_shuffle_i32x4::<0b10_00_10_00>(even[0], even[1]);
        words[w + 8] = _mm512_shuffle_i32x4::<0b11_01_11_01>(even[0], even[1]);
        words[w + 4] = _mm512_shuffle_i32x4::<0b10_00_10_00>(odd[0], odd[1]);
        words[w + 12] = _mm512_shuffle_i32x4::<0b11_01_11_01>(odd[0], odd[1]);
    }
    words
}
