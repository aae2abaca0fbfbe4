//! Removes flushes from the program while it is recorded, to prove that the cuts notice.
//!
//! strace answers the system call in the kernel's place; the program is the one that is shipped.

use crate::product::Places;
use crate::recording::StackKind;

/// A flush that is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// The outcome log's flush.
    Log,
    /// The flush of SQLite's write-ahead log.
    Wal,
    /// The flush of the folders that uploads are renamed to.
    Folders,
    /// All flushes of PostgreSQL, by its own setting.
    Postgres,
}

impl Mutant {
    pub const ALL: [Self; 4] = [Self::Log, Self::Wal, Self::Folders, Self::Postgres];

    /// Returns its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Log => "the log's flush",
            Self::Wal => "the WAL's flush",
            Self::Folders => "the shard folders' flush",
            Self::Postgres => "PostgreSQL's flushes",
        }
    }

    /// Returns the stack that has it.
    pub fn stack(self) -> StackKind {
        match self {
            Self::Postgres => StackKind::Distributed,
            _ => StackKind::Embedded,
        }
    }

    /// Returns the command in front of the program's own that removes the flush.
    pub fn wrap(self, places: &Places) -> Vec<String> {
        let blobs = places.data().join("blobs");
        let paths = match self {
            Self::Log => vec![places.log()],
            Self::Wal => vec![places.sqlite().with_extension("db-wal")],
            Self::Folders => (0..=255).map(|shard| blobs.join(format!("{shard:02x}"))).collect(),
            Self::Postgres => return Vec::new(),
        };
        // As its grandchild, so that the program can be killed like any other.
        let words =
            "strace -D -f -qq -o /dev/null -e trace=fsync,fdatasync -e inject=fsync,fdatasync:retval=0";
        let paths = paths.iter().flat_map(|path| ["-P".to_owned(), path.display().to_string()]);
        words.split(' ').map(str::to_owned).chain(paths).collect()
    }
}
