//! Which file a head speaks of: the log itself, or a sibling that it was renamed to. Nothing here writes.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirEntryExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::libc;

use crate::error::LogError;
use crate::ledger::Head;
use crate::lock;
use crate::read::check_before;

/// Whether it is the file that `head` was stored for, and still has all that was settled.
///
/// The inode number isn't enough: ext4 gives a deleted file's number to the next one.
pub(crate) fn is_file_of(head: &Head, file: &File) -> io::Result<bool> {
    let metadata = file.metadata()?;
    Ok((metadata.dev(), metadata.ino()) == (head.dev, head.ino)
        && metadata.len() >= head.committed
        && check_before(file, head.committed)? == head.tail_check)
}

/// The first head of `file`, which no head was stored for.
pub(crate) fn first_head(generation: u32, file: &File) -> io::Result<Head> {
    let metadata = file.metadata()?;
    let tail_check = check_before(file, 0)?;
    Ok(Head { generation, dev: metadata.dev(), ino: metadata.ino(), committed: 0, tail_check })
}

/// The file of `head` among those in `folder`, open for reading and appending.
pub(crate) fn find_file_of(head: &Head, folder: &Path) -> Result<Option<File>, LogError> {
    // Twice: a rename while the folder is being listed can hide a file, and a file missed would be taken for lost.
    match look_for_file_of(head, folder)? {
        None => look_for_file_of(head, folder),
        found => Ok(found),
    }
}

fn look_for_file_of(head: &Head, folder: &Path) -> Result<Option<File>, LogError> {
    let listing = |error| LogError::opening(folder, error);
    for sibling in fs::read_dir(folder).map_err(listing)? {
        let sibling = sibling.map_err(listing)?;
        if sibling.ino() != head.ino || !sibling.file_type().map_err(listing)?.is_file() {
            continue;
        }
        let opened = OpenOptions::new()
            .read(true)
            .append(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(sibling.path());
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(LogError::opening(&sibling.path(), error)),
        };
        if is_file_of(head, &file).map_err(LogError::Io)? {
            // For foreign programs that still write to it. Ours are kept out by the lock file, so if one of those
            // holds it for long, that is no reason to stop.
            lock::try_lock(&file).map_err(LogError::Io)?;
            return Ok(Some(file));
        }
    }
    Ok(None)
}
