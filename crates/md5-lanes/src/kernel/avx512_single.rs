//! The AVX-512 kernel of a single stream: MD5's functions are one instruction each here, so a step is shorter than in ordinary registers.

use std::arch::asm;
use std::arch::x86_64::*;

use super::{BLOCK, rounds};

/// Compresses blocks of one stream.
#[target_feature(enable = "avx512f,avx512vl")]
pub(super) fn compress(state: &mut [u32; 4], blocks: &[[u8; BLOCK]]) {
    let [mut a, mut b, mut c, mut d] = state.map(|word| _mm_cvtsi32_si128(word.cast_signed()));
    for block in blocks {
        let before = [a, b, c, d];
        let (words, _) = block.as_chunks();
        macro_rules! step {
            ($function:ident, $a:ident, $b:ident, $c:ident, $d:ident, $word:literal, $rotation:literal, $constant:literal) => {
                let word = _mm_cvtsi32_si128(i32::from_le_bytes(words[$word]));
                let known = apart(add($a, add(word, _mm_set1_epi32(u32::cast_signed($constant)))));
                let sum = add(known, $function($b, $c, $d));
                $a = add($b, _mm_rol_epi32::<$rotation>(sum));
            };
        }
        rounds!(step, a, b, c, d);
        [a, b, c, d] = [add(a, before[0]), add(b, before[1]), add(c, before[2]), add(d, before[3])];
    }
    *state = [a, b, c, d].map(|word| _mm_cvtsi128_si32(word).cast_unsigned());
}

#[inline]
#[target_feature(enable = "avx512f,avx512vl")]
fn add(x: __m128i, y: __m128i) -> __m128i {
    _mm_add_epi32(x, y)
}

/// Keeps `known` apart from later sums, as [`super::avx512::apart`] does.
#[inline]
#[target_feature(enable = "avx512f,avx512vl")]
fn apart(mut known: __m128i) -> __m128i {
    // SAFETY: it contains no instruction and only keeps sums from being moved across it.
    unsafe { asm!("/* {} */", inout(xmm_reg) known, options(pure, nomem, nostack, preserves_flags)) };
    known
}

// Tables of the functions, as in `avx512`.

#[inline]
#[target_feature(enable = "avx512f,avx512vl")]
fn f(x: __m128i, y: __m128i, z: __m128i) -> __m128i {
    _mm_ternarylogic_epi32::<0b1100_1010>(x, y, z)
}

#[inline]
#[target_feature(enable = "avx512f,avx512vl")]
fn g(x: __m128i, y: __m128i, z: __m128i) -> __m128i {
    _mm_ternarylogic_epi32::<0b1110_0100>(x, y, z)
}

#[inline]
#[target_feature(enable = "avx512f,avx512vl")]
fn h(x: __m128i, y: __m128i, z: __m128i) -> __m128i {
    _mm_ternarylogic_epi32::<0b1001_0110>(x, y, z)
}

#[inline]
#[target_feature(enable = "avx512f,avx512vl")]
fn i(x: __m128i, y: __m128i, z: __m128i) -> __m128i {
    _mm_ternarylogic_epi32::<0b0011_1001>(x, y, z)
}
