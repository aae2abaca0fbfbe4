//! Finds the file that a head refers to, the log itself or a rotated file of it, and lists the rotated files. This module does not write.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirEntryExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::libc;

use crate::error::LogError;
use crate::ledger::Head;
use crate::lock;
use crate::read::check_before;

/// Returns whether this is the file that `head` was stored for, with everything that was settled.
///
/// The inode number isn't enough: ext4 gives a deleted file's number to the next one. The device number would say nothing: btrfs has
/// another at each mount, other disks by the order in which they are found.
pub(crate) fn is_file_of<P, I>(head: &Head<P, I>, file: &File) -> io::Result<bool> {
    let metadata = file.metadata()?;
    Ok(metadata.ino() == head.ino
        && metadata.len() >= head.committed
        && check_before(file, head.committed)? == head.tail_check)
}

/// Returns the first head of `file`, for which none was stored: text before `committed` is skipped.
pub(crate) fn first_head<P, I>(
    version: u64,
    file: &File,
    committed: u64,
    place: P,
    ahead: Vec<I>,
) -> io::Result<Head<P, I>> {
    let metadata = file.metadata()?;
    let tail_check = check_before(file, committed)?;
    Ok(Head { version, dev: metadata.dev(), ino: metadata.ino(), committed, tail_check, place, ahead })
}

/// Finds the file of `head` in `folder`. Returns it, open for reading and appending, and its path.
pub(crate) fn find_file_of<P, I>(
    head: &Head<P, I>,
    folder: &Path,
) -> Result<Option<(File, PathBuf)>, LogError> {
    // Twice: a rename during the listing can hide a file, and a missed file would be taken for lost.
    match look_for_file_of(head, folder)? {
        None => look_for_file_of(head, folder),
        found => Ok(found),
    }
}

fn look_for_file_of<P, I>(head: &Head<P, I>, folder: &Path) -> Result<Option<(File, PathBuf)>, LogError> {
    let listing = |error| LogError::opening(folder, error);
    for sibling in fs::read_dir(folder).map_err(listing)? {
        let sibling = sibling.map_err(listing)?;
        if sibling.ino() != head.ino || !sibling.file_type().map_err(listing)?.is_file() {
            continue;
        }
        let Some(file) = open(&sibling.path())? else { continue };
        if is_file_of(head, &file).map_err(LogError::Io)? {
            // For foreign programs that still write to it. The lock file keeps our own processes out, so if a foreign program holds it for
            // long, that is not a reason to stop.
            lock::try_lock(&file).map_err(LogError::Io)?;
            return Ok(Some((file, sibling.path())));
        }
    }
    Ok(None)
}

/// Opens an existing file for reading and appending; `None` if it does not exist.
pub(crate) fn open(path: &Path) -> Result<Option<File>, LogError> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    match options.open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(LogError::opening(path, error)),
    }
}

/// A rotated file of a log, by its name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sibling {
    path: PathBuf,
    ino: u64,
    modified: SystemTime,
}

impl Sibling {
    /// Opens the file, if it is still at its path.
    pub(crate) fn open(&self) -> Result<Option<File>, LogError> {
        let Some(file) = open(&self.path)? else { return Ok(None) };
        let is_same = self.is(&file).map_err(LogError::Io)?;
        Ok(is_same.then_some(file))
    }

    /// Returns the path at which it was listed.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns whether this is that file, wherever it is now.
    pub(crate) fn is(&self, file: &File) -> io::Result<bool> {
        Ok(file.metadata()?.ino() == self.ino)
    }

    /// Rejects a compressed file.
    ///
    /// # Errors
    /// [`LogError::Compressed`] if the file is compressed.
    pub(crate) fn refuse_compressed(&self, file: &File) -> Result<(), LogError> {
        let mut head = [0; 6];
        let read = file.read_at(&mut head, 0).map_err(LogError::Io)?;
        if COMPRESSED.iter().any(|magic| head[..read].starts_with(magic)) {
            return Err(LogError::Compressed { path: self.path.clone() });
        }
        Ok(())
    }
}

/// The first bytes of files of gzip, zstd, xz and bzip2.
const COMPRESSED: [&[u8]; 4] = [b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\0", b"BZh"];

/// How often a folder is listed again, if its files change during each listing.
pub(crate) const LIST_TRIES: usize = 20;

/// Returns the rotated files of the log at `path`, the most recently changed first, without `current` itself.
pub(crate) fn siblings(path: &Path, current: Option<&File>) -> Result<Vec<Sibling>, LogError> {
    let current = current.map(File::metadata).transpose().map_err(LogError::Io)?.map(|file| file.ino());
    // A rename during the listing can hide a file, and an older one would be taken for the newest.
    let mut siblings = list_siblings(path, current)?;
    for _ in 1..LIST_TRIES {
        let again = list_siblings(path, current)?;
        if again == siblings {
            break;
        }
        siblings = again;
    }
    Ok(siblings)
}

/// Returns whether the log at `path` could have been renamed to `other`, by the names alone.
pub(crate) fn is_sibling_of(path: &Path, other: &Path) -> bool {
    let (Some(name), Some(other)) = (path.file_name(), other.file_name()) else { return false };
    let suffix = other.as_bytes().strip_prefix(name.as_bytes()).unwrap_or_default();
    matches!(suffix, [b'.' | b'-', _, ..]) && !suffix.ends_with(b".lock")
}

fn list_siblings(path: &Path, current: Option<u64>) -> Result<Vec<Sibling>, LogError> {
    let Some(folder) = path.parent() else { return Ok(Vec::new()) };
    let listing = |error| LogError::opening(folder, error);
    let mut siblings = Vec::new();
    for file in fs::read_dir(folder).map_err(listing)? {
        let file = file.map_err(listing)?;
        if !is_sibling_of(path, &file.path()) {
            continue;
        }
        let metadata = match file.metadata() {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(listing(error)),
        };
        let is_log_of_its_own = lock::path_for(&file.path()).exists();
        if !metadata.is_file() || Some(metadata.ino()) == current || is_log_of_its_own {
            continue;
        }
        let modified = metadata.modified().map_err(LogError::Io)?;
        siblings.push(Sibling { path: file.path(), ino: metadata.ino(), modified });
    }
    siblings.sort_by(|a, b| b.modified.cmp(&a.modified).then_with(|| a.path.cmp(&b.path)));
    Ok(siblings)
}
