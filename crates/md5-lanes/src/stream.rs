//! One stream: its state, and the bytes of an incomplete block.

use std::fmt;

use crate::kernel::{BLOCK, INITIAL, Kernel};

/// An MD5 digest, displayed as 32 hexadecimal digits.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 16]);

impl Digest {
    pub(crate) fn of(state: [u32; 4]) -> Self {
        let mut bytes = [0; 16];
        for (four, word) in bytes.as_chunks_mut().0.iter_mut().zip(state) {
            *four = word.to_le_bytes();
        }
        Self(bytes)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; 32];
        for (pair, byte) in digits.as_chunks_mut().0.iter_mut().zip(self.0) {
            *pair = [byte >> 4, byte & 0xf].map(|digit| b"0123456789abcdef"[usize::from(digit)]);
        }
        // Hexadecimal digits are always valid UTF-8.
        f.write_str(std::str::from_utf8(&digits).unwrap_or_default())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// The MD5 of one stream, which arrives in pieces of any length.
///
/// By itself it is as fast as one stream can be. Many are faster together: [`Lanes::run`](crate::Lanes::run).
///
/// ```
/// let mut stream = md5_lanes::Md5::new();
/// stream.update(b"message ");
/// stream.update(b"digest");
/// assert_eq!(stream.finish().to_string(), "f96b697d7cb7938d525a2f31aaf161d0");
/// ```
#[derive(Clone)]
pub struct Md5 {
    state: [u32; 4],
    /// The number of bytes so far, modulo 2⁶⁴.
    length: u64,
    /// The last `length % 64` bytes, which are not a whole block yet. Padded, they are one block or two.
    rest: [u8; 2 * BLOCK],
    /// The block made of the rest and the beginning of a piece.
    completed: [u8; BLOCK],
}

/// A piece on its way to compression: parts in their order, each of whole blocks or empty.
pub(crate) struct Blocks<'a> {
    pub(crate) state: &'a mut [u32; 4],
    pub(crate) parts: [&'a [u8]; 3],
}

impl Md5 {
    /// Creates an empty stream.
    #[must_use]
    pub const fn new() -> Self {
        Self { state: INITIAL, length: 0, rest: [0; 2 * BLOCK], completed: [0; BLOCK] }
    }

    /// Hashes the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        self.take(bytes, false).compress();
    }

    /// Returns the digest of all pieces. The stream starts again.
    pub fn finish(&mut self) -> Digest {
        self.take(&[], true).compress();
        Digest::of(std::mem::replace(&mut self.state, INITIAL))
    }

    /// Adds the next piece, and leaves its blocks to be compressed by the caller. The last piece's blocks include the padding, and the
    /// caller that compresses them must then reset the state to [`INITIAL`].
    pub(crate) fn take<'a>(&'a mut self, bytes: &'a [u8], is_last: bool) -> Blocks<'a> {
        let Self { state, length, rest, completed } = self;
        let mut kept = (*length % BLOCK as u64) as usize;
        *length = length.wrapping_add(bytes.len() as u64);

        let (mut first, mut bytes): (&[u8], _) = (&[], bytes);
        if kept > 0 && kept + bytes.len() >= BLOCK {
            let (missing, others) = bytes.split_at(BLOCK - kept);
            completed[..kept].copy_from_slice(&rest[..kept]);
            completed[kept..].copy_from_slice(missing);
            (first, bytes, kept) = (completed, others, 0);
        }
        // If bytes of an incomplete block are still kept, the piece was shorter than a block.
        let (whole, left) = bytes.split_at(bytes.len() / BLOCK * BLOCK);
        rest[kept..][..left.len()].copy_from_slice(left);
        let last = if is_last { pad(rest, kept + left.len(), std::mem::take(length)) } else { &[] };
        Blocks { state, parts: [first, whole, last] }
    }
}

impl Default for Md5 {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Md5 {
    /// Formats the stream without its bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Md5").field("length", &self.length).finish_non_exhaustive()
    }
}

impl Blocks<'_> {
    /// Compresses these blocks alone.
    fn compress(self) {
        let kernel = Kernel::best();
        for part in self.parts {
            kernel.compress_one(self.state, part.as_chunks().0);
        }
    }
}

/// Ends the message after the first `kept` bytes: a bit, zeros, and its length in bits; RFC 1321, 3.1 and 3.2.
fn pad(rest: &mut [u8; 2 * BLOCK], kept: usize, length: u64) -> &[u8] {
    let end = if kept + 1 + 8 <= BLOCK { BLOCK } else { 2 * BLOCK };
    rest[kept] = 0x80;
    rest[kept + 1..end - 8].fill(0);
    rest[end - 8..end].copy_from_slice(&length.wrapping_mul(8).to_le_bytes());
    &rest[..end]
}
