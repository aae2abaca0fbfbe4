//! Compresses blocks of many streams side by side, a lane for each. There is one text of the algorithm ([`rounds!`]), and a file for each
//! set of instructions.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx512_single;
mod portable;
mod single;
#[cfg(target_arch = "x86_64")]
mod sse2;

/// The number of lanes of the widest kernel.
pub(crate) const WIDTH: usize = 32;
/// The size of a block in bytes.
pub(crate) const BLOCK: usize = 64;
/// The initial state of every stream; RFC 1321, 3.3.
pub(crate) const INITIAL: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];

/// The next bytes of each lane. Only the first lanes count, as many as the caller names.
pub(crate) type Inputs<'a> = [&'a [u8]; WIDTH];

/// The states of all lanes, word by word.
#[repr(C, align(64))]
pub(crate) struct States([[u32; WIDTH]; 4]);

impl States {
    pub(crate) const fn new() -> Self {
        Self([[0; WIDTH]; 4])
    }

    pub(crate) fn of(&self, lane: usize) -> [u32; 4] {
        self.0.map(|words| words[lane])
    }

    pub(crate) fn set(&mut self, lane: usize, state: [u32; 4]) {
        for (words, word) in self.0.iter_mut().zip(state) {
            words[lane] = word;
        }
    }
}

/// The instructions that compute digests.
///
/// All give the same digests. [`Lanes::new`](crate::Lanes::new) uses [`Kernel::best`]; the others serve comparisons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kernel {
    /// 32 lanes: two registers of 16, whose instructions run while the others wait.
    Avx512,
    /// 16 lanes: two registers of 8.
    Avx2,
    /// 8 lanes: two registers of 4. Every x86-64 processor has it.
    Sse2,
    /// 4 lanes without special instructions.
    Portable,
}

/// A number of lanes, and the function that compresses them.
struct Width {
    lanes: usize,
    /// The fewest streams that it compresses sooner than they are compressed one after the other.
    fewest: usize,
    /// Compresses all blocks that each of the first `lanes` inputs has. Returns their number.
    ///
    /// # Safety
    /// The processor must have the kernel's instructions.
    compress: unsafe fn(&mut States, &Inputs<'_>) -> usize,
}

impl Kernel {
    const ALL: [Self; 4] = [Self::Avx512, Self::Avx2, Self::Sse2, Self::Portable];

    /// Returns the kernels that this processor can run, best first.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|kernel| kernel.is_available())
    }

    /// Returns the best kernel that this processor can run.
    #[must_use]
    pub fn best() -> Self {
        Self::available().next().unwrap_or(Self::Portable)
    }

    /// Returns whether this processor can run it.
    #[must_use]
    #[allow(
        unexpected_cfgs,
        reason = "RUSTFLAGS alone sets it, to measure what processors without AVX-512 do"
    )]
    pub fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 if cfg!(md5_lanes_without_avx512) => false,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2"),
            #[cfg(target_arch = "x86_64")]
            Self::Sse2 => true,
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx512 | Self::Avx2 | Self::Sse2 => false,
            Self::Portable => true,
        }
    }

    /// Returns the number of streams that it compresses at once.
    #[must_use]
    pub fn lanes(self) -> usize {
        self.widths().last().map_or(1, |width| width.lanes)
    }

    /// Returns its widths, narrowest first. A half-filled kernel takes as long for a block as a full one, so there are few.
    fn widths(self) -> &'static [Width] {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => &[
                Width { lanes: 16, fewest: 2, compress: avx512::compress::<1> },
                Width { lanes: 32, fewest: 2, compress: avx512::compress::<2> },
            ],
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => &[
                Width { lanes: 8, fewest: 2, compress: avx2::compress::<1> },
                Width { lanes: 16, fewest: 2, compress: avx2::compress::<2> },
            ],
            #[cfg(target_arch = "x86_64")]
            Self::Sse2 => &[
                Width { lanes: 4, fewest: 2, compress: sse2::compress::<1> },
                Width { lanes: 8, fewest: 2, compress: sse2::compress::<2> },
            ],
            // The compiler makes vectors of it where each processor has them. Elsewhere four streams side by side are slower than one.
            _ if cfg!(any(target_feature = "sse2", target_feature = "neon")) => {
                &[Width { lanes: 4, fewest: 3, compress: portable::compress::<1> }]
            }
            _ => &[],
        }
    }

    /// Compresses all blocks that each of the first `count` inputs has. Returns their number. Further inputs may be read too, so they must
    /// not be shorter.
    pub(crate) fn compress(self, count: usize, states: &mut States, inputs: &Inputs<'_>) -> usize {
        let Some(width) = self.width_for(count) else {
            let blocks = blocks_of_all(&inputs[..count]);
            for (lane, input) in inputs[..count].iter().enumerate() {
                let mut state = states.of(lane);
                self.compress_one(&mut state, &input.as_chunks().0[..blocks]);
                states.set(lane, state);
            }
            return blocks;
        };
        // SAFETY: `Lanes` has only available kernels.
        unsafe { (width.compress)(states, inputs) }
    }

    /// Returns the width for `count` streams; `None` if they are compressed one after the other.
    fn width_for(self, count: usize) -> Option<&'static Width> {
        let widths = self.widths();
        let width = widths.iter().find(|width| width.lanes >= count).or(widths.last())?;
        (count >= width.fewest).then_some(width)
    }

    /// Compresses blocks of one stream.
    pub(crate) fn compress_one(self, state: &mut [u32; 4], blocks: &[[u8; BLOCK]]) {
        match self {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `Lanes` has only available kernels, and `Md5` uses the best.
            Self::Avx512 => unsafe { avx512_single::compress(state, blocks) },
            _ => single::compress(state, blocks),
        }
    }
}

/// Returns the number of whole blocks of the shortest input.
fn blocks_of_all(inputs: &[&[u8]]) -> usize {
    inputs.iter().map(|input| input.len()).min().unwrap_or(0) / BLOCK
}

/// Expands to the 64 steps of RFC 1321, 3.4: `$step!(function, a, b, c, d, word, rotation, constant)` for each.
macro_rules! rounds {
    ($step:ident, $a:ident, $b:ident, $c:ident, $d:ident) => {
        $step!(f, $a, $b, $c, $d, 0, 7, 0xd76a_a478);
        $step!(f, $d, $a, $b, $c, 1, 12, 0xe8c7_b756);
        $step!(f, $c, $d, $a, $b, 2, 17, 0x2420_70db);
        $step!(f, $b, $c, $d, $a, 3, 22, 0xc1bd_ceee);
        $step!(f, $a, $b, $c, $d, 4, 7, 0xf57c_0faf);
        $step!(f, $d, $a, $b, $c, 5, 12, 0x4787_c62a);
        $step!(f, $c, $d, $a, $b, 6, 17, 0xa830_4613);
        $step!(f, $b, $c, $d, $a, 7, 22, 0xfd46_9501);
        $step!(f, $a, $b, $c, $d, 8, 7, 0x6980_98d8);
        $step!(f, $d, $a, $b, $c, 9, 12, 0x8b44_f7af);
        $step!(f, $c, $d, $a, $b, 10, 17, 0xffff_5bb1);
        $step!(f, $b, $c, $d, $a, 11, 22, 0x895c_d7be);
        $step!(f, $a, $b, $c, $d, 12, 7, 0x6b90_1122);
        $step!(f, $d, $a, $b, $c, 13, 12, 0xfd98_7193);
        $step!(f, $c, $d, $a, $b, 14, 17, 0xa679_438e);
        $step!(f, $b, $c, $d, $a, 15, 22, 0x49b4_0821);
        $step!(g, $a, $b, $c, $d, 1, 5, 0xf61e_2562);
        $step!(g, $d, $a, $b, $c, 6, 9, 0xc040_b340);
        $step!(g, $c, $d, $a, $b, 11, 14, 0x265e_5a51);
        $step!(g, $b, $c, $d, $a, 0, 20, 0xe9b6_c7aa);
        $step!(g, $a, $b, $c, $d, 5, 5, 0xd62f_105d);
        $step!(g, $d, $a, $b, $c, 10, 9, 0x0244_1453);
        $step!(g, $c, $d, $a, $b, 15, 14, 0xd8a1_e681);
        $step!(g, $b, $c, $d, $a, 4, 20, 0xe7d3_fbc8);
        $step!(g, $a, $b, $c, $d, 9, 5, 0x21e1_cde6);
        $step!(g, $d, $a, $b, $c, 14, 9, 0xc337_07d6);
        $step!(g, $c, $d, $a, $b, 3, 14, 0xf4d5_0d87);
        $step!(g, $b, $c, $d, $a, 8, 20, 0x455a_14ed);
        $step!(g, $a, $b, $c, $d, 13, 5, 0xa9e3_e905);
        $step!(g, $d, $a, $b, $c, 2, 9, 0xfcef_a3f8);
        $step!(g, $c, $d, $a, $b, 7, 14, 0x676f_02d9);
        $step!(g, $b, $c, $d, $a, 12, 20, 0x8d2a_4c8a);
        $step!(h, $a, $b, $c, $d, 5, 4, 0xfffa_3942);
        $step!(h, $d, $a, $b, $c, 8, 11, 0x8771_f681);
        $step!(h, $c, $d, $a, $b, 11, 16, 0x6d9d_6122);
        $step!(h, $b, $c, $d, $a, 14, 23, 0xfde5_380c);
        $step!(h, $a, $b, $c, $d, 1, 4, 0xa4be_ea44);
        $step!(h, $d, $a, $b, $c, 4, 11, 0x4bde_cfa9);
        $step!(h, $c, $d, $a, $b, 7, 16, 0xf6bb_4b60);
        $step!(h, $b, $c, $d, $a, 10, 23, 0xbebf_bc70);
        $step!(h, $a, $b, $c, $d, 13, 4, 0x289b_7ec6);
        $step!(h, $d, $a, $b, $c, 0, 11, 0xeaa1_27fa);
        $step!(h, $c, $d, $a, $b, 3, 16, 0xd4ef_3085);
        $step!(h, $b, $c, $d, $a, 6, 23, 0x0488_1d05);
        $step!(h, $a, $b, $c, $d, 9, 4, 0xd9d4_d039);
        $step!(h, $d, $a, $b, $c, 12, 11, 0xe6db_99e5);
        $step!(h, $c, $d, $a, $b, 15, 16, 0x1fa2_7cf8);
        $step!(h, $b, $c, $d, $a, 2, 23, 0xc4ac_5665);
        $step!(i, $a, $b, $c, $d, 0, 6, 0xf429_2244);
        $step!(i, $d, $a, $b, $c, 7, 10, 0x432a_ff97);
        $step!(i, $c, $d, $a, $b, 14, 15, 0xab94_23a7);
        $step!(i, $b, $c, $d, $a, 5, 21, 0xfc93_a039);
        $step!(i, $a, $b, $c, $d, 12, 6, 0x655b_59c3);
        $step!(i, $d, $a, $b, $c, 3, 10, 0x8f0c_cc92);
        $step!(i, $c, $d, $a, $b, 10, 15, 0xffef_f47d);
        $step!(i, $b, $c, $d, $a, 1, 21, 0x8584_5dd1);
        $step!(i, $a, $b, $c, $d, 8, 6, 0x6fa8_7e4f);
        $step!(i, $d, $a, $b, $c, 15, 10, 0xfe2c_e6e0);
        $step!(i, $c, $d, $a, $b, 6, 15, 0xa301_4314);
        $step!(i, $b, $c, $d, $a, 13, 21, 0x4e08_11a1);
        $step!(i, $a, $b, $c, $d, 4, 6, 0xf753_7e82);
        $step!(i, $d, $a, $b, $c, 11, 10, 0xbd3a_f235);
        $step!(i, $c, $d, $a, $b, 2, 15, 0x2ad7_d2bb);
        $step!(i, $b, $c, $d, $a, 9, 21, 0xeb86_d391);
    };
}
use rounds;

/// Defines `compress::<N>` for `N` registers side by side, over the module's items: `LANES` of a register `V`, `splat`, `add`, `rotate`,
/// `apart`, `f`, `g`, `h`, `i`, `load` and `store` of a state's words, `words` of a block of each lane.
macro_rules! compress_with {
    ($($feature:literal)?) => {
        /// Compresses all blocks that each of the first `N * LANES` inputs has. Returns their number.
        $(#[target_feature(enable = $feature)])?
        pub(super) fn compress<const N: usize>(states: &mut States, inputs: &Inputs<'_>) -> usize {
            let (registers, _) = inputs.as_chunks::<LANES>();
            let blocks = blocks_of_all(registers[..N].as_flattened());
            let [mut a, mut b, mut c, mut d] = [[splat(0); N]; 4];
            for n in 0..N {
                a[n] = load(&states.0[0].as_chunks().0[n]);
                b[n] = load(&states.0[1].as_chunks().0[n]);
                c[n] = load(&states.0[2].as_chunks().0[n]);
                d[n] = load(&states.0[3].as_chunks().0[n]);
            }

            for block in 0..blocks {
                let before = [a, b, c, d];
                let mut message = [[splat(0); 16]; N];
                for n in 0..N {
                    // SAFETY: each of these inputs has more blocks than `block`: `blocks` is the least of theirs.
                    message[n] = unsafe { words(&registers[n], block) };
                }
                macro_rules! step {
                    ($function:ident, $a:ident, $b:ident, $c:ident, $d:ident, $word:literal, $rotation:literal, $constant:literal) => {
                        for n in 0..N {
                            // Of the terms of the sum, only the function waits for the previous step, which computed `$b`.
                            let known = apart(add($a[n], add(message[n][$word], splat($constant))));
                            let sum = add(known, $function($b[n], $c[n], $d[n]));
                            $a[n] = add($b[n], rotate::<$rotation, { 32 - $rotation }>(sum));
                        }
                    };
                }
                rounds!(step, a, b, c, d);
                for n in 0..N {
                    a[n] = add(a[n], before[0][n]);
                    b[n] = add(b[n], before[1][n]);
                    c[n] = add(c[n], before[2][n]);
                    d[n] = add(d[n], before[3][n]);
                }
            }

            for n in 0..N {
                store(a[n], &mut states.0[0].as_chunks_mut().0[n]);
                store(b[n], &mut states.0[1].as_chunks_mut().0[n]);
                store(c[n], &mut states.0[2].as_chunks_mut().0[n]);
                store(d[n], &mut states.0[3].as_chunks_mut().0[n]);
            }
            blocks
        }
    };
}
use compress_with;

#[cfg(test)]
mod tests {
    use super::Kernel;

    /// The figures of `make bench what=digests` say for how many streams each is worth it.
    #[test]
    fn lanes_are_used_only_where_they_beat_one_stream_after_the_other() {
        let lanes =
            |kernel: Kernel| [1, 2, 3, 4, 8].map(|count| kernel.width_for(count).map(|width| width.lanes));
        let portable = lanes(Kernel::Portable);
        if cfg!(any(target_feature = "sse2", target_feature = "neon")) {
            assert_eq!(portable, [None, None, Some(4), Some(4), Some(4)]);
        } else {
            assert_eq!((portable, Kernel::Portable.lanes()), ([None; 5], 1));
        }
        if cfg!(target_arch = "x86_64") {
            assert_eq!(lanes(Kernel::Sse2), [None, Some(4), Some(4), Some(4), Some(8)]);
            assert_eq!(lanes(Kernel::Avx2), [None, Some(8), Some(8), Some(8), Some(8)]);
            assert_eq!(lanes(Kernel::Avx512), [None, Some(16), Some(16), Some(16), Some(16)]);
            assert_ne!(Kernel::best(), Kernel::Portable);
        }
    }
}
