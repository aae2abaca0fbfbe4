//! The kernel of a single stream in ordinary registers: its speed depends on how long each step waits for the one before.

use super::{BLOCK, rounds};

/// Compresses blocks of one stream.
pub(super) fn compress(state: &mut [u32; 4], blocks: &[[u8; BLOCK]]) {
    let [mut a, mut b, mut c, mut d] = *state;
    for block in blocks {
        let before = [a, b, c, d];
        let (fours, _) = block.as_chunks();
        let mut words = [0_u32; 16];
        for (word, four) in words.iter_mut().zip(fours) {
            *word = u32::from_le_bytes(*four);
        }
        macro_rules! step {
            ($function:ident, $a:ident, $b:ident, $c:ident, $d:ident, $word:literal, $rotation:literal, $constant:literal) => {
                let known = apart($a.wrapping_add(words[$word]).wrapping_add($constant));
                $a = $function(known, $b, $c, $d).rotate_left($rotation).wrapping_add($b);
            };
        }
        rounds!(step, a, b, c, d);
        a = a.wrapping_add(before[0]);
        b = b.wrapping_add(before[1]);
        c = c.wrapping_add(before[2]);
        d = d.wrapping_add(before[3]);
    }
    *state = [a, b, c, d];
}

// Each adds its function to `known`; `x` is the result of the previous step.

#[inline(always)]
fn f(known: u32, x: u32, y: u32, z: u32) -> u32 {
    known.wrapping_add(z ^ (x & (y ^ z)))
}

/// Its two halves have no bit in common, so they may be added one after the other: the one without `x` early.
#[inline(always)]
fn g(known: u32, x: u32, y: u32, z: u32) -> u32 {
    known.wrapping_add(!z & y).wrapping_add(x & z)
}

#[inline(always)]
fn h(known: u32, x: u32, y: u32, z: u32) -> u32 {
    known.wrapping_add(x ^ (y ^ z))
}

#[inline(always)]
fn i(known: u32, x: u32, y: u32, z: u32) -> u32 {
    known.wrapping_add(y ^ (x | !z))
}

/// Keeps `known` apart from later sums: otherwise the compiler adds its constants last of all, and each step waits for them.
#[inline(always)]
fn apart(known: u32) -> u32 {
    #[cfg(target_arch = "x86_64")]
    {
        let mut known = known;
        // SAFETY: it contains no instruction and only keeps sums from being moved across it.
        unsafe {
            std::arch::asm!("/* {:e} */", inout(reg) known, options(pure, nomem, nostack, preserves_flags))
        };
        known
    }
    #[cfg(not(target_arch = "x86_64"))]
    known
}
