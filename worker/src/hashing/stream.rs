//! One upload among those that are hashed side by side.

use std::ops::Range;

use md5_lanes::{Digest, Md5, Piece};
use task_data::kinds::md5::Md5Digest;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::Source;
use crate::kinds::checked_blob::CheckedBlob;
use crate::work::WorkError;

/// The number of bytes read ahead at once when a read waits.
const AHEAD: usize = 256 << 10;

/// An upload that is being hashed.
pub struct Stream {
    /// `None` once the end was read.
    upload: Option<Box<CheckedBlob>>,
    /// The bytes read ahead, and how many of them were a piece already.
    ahead: Vec<u8>,
    taken: usize,
    /// The piece of this round.
    piece: PieceRange,
    md5: Md5,
    digest: Digest,
    stop: CancellationToken,
    answer: oneshot::Sender<Result<Md5Digest, WorkError>>,
}

/// The place of a piece.
enum PieceRange {
    /// In the thread's buffer.
    Buffer(Range<usize>),
    /// In the bytes read ahead.
    Ahead(Range<usize>),
}

impl Stream {
    pub fn new(
        source: Source,
        stop: CancellationToken,
        answer: oneshot::Sender<Result<Md5Digest, WorkError>>,
    ) -> Self {
        let (upload, ahead) = match source {
            Source::Content(bytes) => (None, bytes),
            Source::Blob(upload) => (Some(upload), Vec::new()),
        };
        let (md5, digest) = (Md5::new(), Digest::default());
        Self { upload, ahead, taken: 0, piece: PieceRange::Buffer(0..0), md5, digest, stop, answer }
    }

    /// Reads the next piece, at most as long as that part of the buffer. Returns whether there is one without waiting. The last piece may
    /// be empty.
    pub fn read(&mut self, buffer: &mut [u8], part: Range<usize>) -> Result<bool, WorkError> {
        if self.stop.is_cancelled() {
            return Err(WorkError::Stopped);
        }
        if self.taken < self.ahead.len() {
            let end = self.ahead.len().min(self.taken + part.len());
            self.piece = PieceRange::Ahead(self.taken..end);
            self.taken = end;
            return Ok(true);
        }
        let Range { start, mut end } = part.start..part.start;
        while let Some(upload) = &mut self.upload
            && end < part.end
            && let Some(length) = upload.read_ready(&mut buffer[end..part.end])
        {
            match length? {
                0 => self.upload = None,
                length => end += length,
            }
        }
        self.piece = PieceRange::Buffer(start..end);
        Ok(end > start || self.upload.is_none())
    }

    /// Reads ahead, and blocks where it must.
    pub fn read_ahead(&mut self) -> Result<(), WorkError> {
        let Some(upload) = &mut self.upload else { return Ok(()) };
        self.ahead.resize(AHEAD, 0);
        let length = upload.read(&mut self.ahead)?;
        self.ahead.truncate(length);
        self.taken = 0;
        if length == 0 {
            self.upload = None;
        }
        Ok(())
    }

    /// Returns where the buffer is free again after the piece, if it was free from `start` on.
    pub fn end_in_buffer(&self, start: usize) -> usize {
        match &self.piece {
            PieceRange::Buffer(range) => range.end,
            PieceRange::Ahead(_) => start,
        }
    }

    /// Returns the length of the piece in bytes.
    pub fn length(&self) -> usize {
        let (PieceRange::Buffer(range) | PieceRange::Ahead(range)) = &self.piece;
        range.len()
    }

    /// Returns the piece.
    pub fn piece<'a>(&'a mut self, buffer: &'a [u8]) -> Piece<'a> {
        let is_last = self.has_ended();
        let bytes = match &self.piece {
            PieceRange::Buffer(range) => &buffer[range.clone()],
            PieceRange::Ahead(range) => &self.ahead[range.clone()],
        };
        if is_last {
            Piece::last(&mut self.md5, bytes, &mut self.digest)
        } else {
            Piece::next(&mut self.md5, bytes)
        }
    }

    /// Returns whether the piece is the last one.
    pub fn has_ended(&self) -> bool {
        self.upload.is_none() && self.taken == self.ahead.len()
    }

    /// Returns the digest, once the last piece is hashed.
    pub fn digest(&self) -> Md5Digest {
        Md5Digest(self.digest.0)
    }

    /// Sends the outcome to the caller.
    pub fn answer(self, outcome: Result<Md5Digest, WorkError>) {
        // A caller that went away has triggered `stop`, or ends with this process.
        let _ = self.answer.send(outcome);
    }
}
