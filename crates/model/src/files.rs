//! The files of an outcome log, in the folder of one host.

use std::hash::{Hash, Hasher};

use crate::sets::TaskSet;
use crate::state::TaskIndex;
use crate::steps::Cut;

/// The most files of a log: the first, and one for each rotation.
pub const FILES: usize = 3;
/// The most pieces of a file: a line for each task, and those that faults spoil.
const PIECES: usize = 6;

/// The index of a file of the log, in the order in which they were begun.
pub type FileIndex = u8;

/// The log's file, and its rotated ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Folder {
    pub files: [File; FILES],
    /// The outcomes whose lines were in rotated files that are deleted.
    pub deleted: TaskSet,
    /// The number of files made.
    pub made: u8,
    /// The file at the log's path; `None` after a rotation, until the next is made.
    pub at_path: Option<FileIndex>,
}

/// A file of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct File {
    pieces: [Option<Piece>; PIECES],
    /// The whole lines that are known to be on the disk. Of a torn line that was flushed more may be lost here than a disk loses.
    pub flushed: u8,
}

/// A line, or the text after the last newline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Piece {
    /// The task's whole line.
    Line(TaskIndex),
    /// A whole line that belongs to no task.
    Foreign,
    /// Text without a newline.
    Torn(Torn),
}

/// The content of a torn line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Torn {
    /// The beginning of this task's line.
    Of(TaskIndex),
    /// A beginning so short that it fits any task's line.
    OfAny,
    /// Text that fits no task's line.
    Foreign,
}

/// A part of one write.
#[derive(Debug, Clone, Copy)]
pub enum Written {
    /// The rest of a torn line.
    Rest(TaskIndex),
    Newline,
    Line(TaskIndex),
}

// Most states have an empty folder, and each is hashed often.
impl Hash for Folder {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.made.hash(hasher);
        if self.made > 0 {
            (self.files, self.deleted, self.at_path).hash(hasher);
        }
    }
}

impl Folder {
    /// Returns the file at the path, creating it if it is missing.
    pub fn open(&mut self) -> FileIndex {
        *self.at_path.get_or_insert_with(|| {
            let new = self.made;
            self.made = (new + 1).min(FILES as u8);
            new
        })
    }

    /// Returns the oldest file that has a task's line, if it is not the log itself and a later one has a line that stays there: files
    /// without any line are a new log.
    pub fn deletable(&self, loses_power: bool) -> Option<FileIndex> {
        let (oldest, ..) = self.lines().next()?;
        let stays = |file: FileIndex, offset| !loses_power || offset < self.files[usize::from(file)].flushed;
        let has_later = self.lines().any(|(file, offset, _)| file > oldest && stays(file, offset));
        (has_later && self.at_path != Some(oldest)).then_some(oldest)
    }

    /// Deletes a rotated file.
    pub fn delete(&mut self, file: FileIndex) {
        let file = &mut self.files[usize::from(file)];
        self.deleted = self.deleted.and(file.lines_after(0));
        *file = File::default();
    }

    /// Returns the number of the task's lines, deleted ones included.
    pub fn lines_of(&self, task: TaskIndex) -> usize {
        self.lines().filter(|(.., other)| *other == task).count() + usize::from(self.deleted.has(task))
    }

    /// Returns all pieces of all files, in the order in which they were written.
    pub fn pieces(&self) -> impl Iterator<Item = Piece> + '_ {
        self.files.iter().flat_map(File::pieces)
    }

    /// Returns all tasks' lines, with the file and the offset of each.
    pub fn lines(&self) -> impl Iterator<Item = (FileIndex, u8, TaskIndex)> + '_ {
        let files = self.files.iter().zip(0..);
        files.flat_map(|(file, index)| {
            file.pieces().zip(0..).filter_map(move |(piece, offset)| match piece {
                Piece::Line(task) => Some((index, offset, task)),
                Piece::Foreign | Piece::Torn(_) => None,
            })
        })
    }
}

impl File {
    /// Returns all pieces, in their order.
    pub fn pieces(&self) -> impl Iterator<Item = Piece> + '_ {
        self.pieces.iter().map_while(|piece| *piece)
    }

    /// Returns the torn line at the end, if there is one.
    pub fn tail(&self) -> Option<Torn> {
        match self.pieces().last() {
            Some(Piece::Torn(torn)) => Some(torn),
            _ => None,
        }
    }

    /// Returns the offset after the last newline.
    pub fn end(&self) -> u8 {
        let whole = self.pieces().filter(|piece| !matches!(piece, Piece::Torn(_))).count();
        whole as u8
    }

    /// Returns the tasks whose lines are after an offset.
    pub fn lines_after(&self, offset: u8) -> TaskSet {
        let line = |piece| match piece {
            Piece::Line(task) => Some(task),
            Piece::Foreign | Piece::Torn(_) => None,
        };
        self.pieces().skip(usize::from(offset)).filter_map(line).collect()
    }

    /// Returns the offset of the first line of these tasks, or of the torn line, if it may be one.
    pub fn first_of(&self, tasks: TaskSet, also_torn: bool) -> Option<u8> {
        self.pieces().zip(0..).find_map(|(piece, offset)| {
            let is_one = match piece {
                Piece::Line(task) => tasks.has(task),
                Piece::Torn(Torn::Of(task)) => also_torn && tasks.has(task),
                Piece::Torn(Torn::OfAny) => also_torn && !tasks.is_empty(),
                Piece::Foreign | Piece::Torn(Torn::Foreign) => false,
            };
            is_one.then_some(offset)
        })
    }

    /// Appends a piece to the file's current text, which may differ from the scanned one.
    pub fn write(&mut self, piece: Written) {
        self.append(match (piece, self.tail()) {
            (Written::Rest(task), Some(Torn::Of(torn))) if torn == task => Piece::Line(task),
            (Written::Rest(task), Some(Torn::OfAny)) => Piece::Line(task),
            (Written::Line(task), None) => Piece::Line(task),
            (Written::Rest(_) | Written::Line(_) | Written::Newline, _) => Piece::Foreign,
        });
    }

    /// Appends the beginning of a piece.
    pub fn tear(&mut self, beginning: Torn) {
        let torn = match (self.tail(), beginning) {
            // More of the same line.
            (Some(Torn::OfAny), Torn::Of(task)) => Torn::Of(task),
            (Some(Torn::Of(task)), Torn::Of(same)) if task == same => Torn::Of(task),
            (None, beginning) => beginning,
            (Some(_), _) => Torn::Foreign,
        };
        self.append(Piece::Torn(torn));
    }

    /// Loses what follows `kept` pieces, except for the beginning of the next one. Bytes that were never written and what follows them are
    /// cut off by the next writer, so what a power cut leaves is a beginning of the text.
    pub fn lose(&mut self, kept: u8, then: Option<Cut>) {
        let next = self.pieces().nth(usize::from(kept));
        self.pieces.iter_mut().skip(usize::from(kept)).for_each(|piece| *piece = None);
        let torn = match (next, then) {
            (Some(Piece::Line(task) | Piece::Torn(Torn::Of(task))), Some(Cut::Late)) => Torn::Of(task),
            (Some(Piece::Line(_) | Piece::Torn(Torn::Of(_) | Torn::OfAny)), Some(_)) => Torn::OfAny,
            (Some(Piece::Foreign | Piece::Torn(Torn::Foreign)), Some(_)) => Torn::Foreign,
            (_, None) | (None, _) => return,
        };
        self.append(Piece::Torn(torn));
    }

    /// Appends a piece; it extends the torn line, if there is one.
    fn append(&mut self, piece: Piece) {
        let at = usize::from(self.end());
        // A file that is full has long had two lines of a task.
        if let Some(place) = self.pieces.get_mut(at) {
            *place = Some(piece);
        }
    }
}
