//! Locks on whole files, which end with their holder, however it ends. No call waits.
//!
//! They are `F_OFD_SETLK` locks, which belong to the open file description. So threads exclude each other too, and closing another
//! descriptor of the file changes nothing. POSIX `lockf` locks fail at both, but both kinds respect each other. See "Open file description
//! locks" in fcntl(2).

use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Deref;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::sys::statfs::statfs;

/// An exclusive lock on a file that exists for this purpose, held until dropped. It is enough to reserve a folder for one process.
///
/// The file stays when the lock ends: removing it would let two processes hold "the" lock.
#[derive(Debug)]
pub struct FileLock {
    file: LockedFile,
}

impl FileLock {
    /// Takes the lock, creating the file if it is missing; `None` if another holder has it, in this process or another.
    ///
    /// # Errors
    /// If the path can't be opened for writing, or isn't a regular file.
    pub fn try_acquire(path: impl AsRef<Path>) -> io::Result<Option<Self>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o640);
        Ok(LockedFile::try_open(path.as_ref(), &mut options)?.map(|file| Self { file }))
    }

    /// Replaces the note in the file, such as a process id, for processes that don't get the lock.
    ///
    /// # Errors
    /// If the file can't be written.
    pub fn write_note(&self, note: &str) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.write_all_at(note.as_bytes(), 0)
    }

    /// Returns the note of the current or last holder; empty before the first holder.
    ///
    /// # Errors
    /// If the file can't be read.
    pub fn read_note(path: impl AsRef<Path>) -> io::Result<String> {
        fs::read_to_string(path)
    }
}

/// Returns the path of the lock of the log at `path`.
pub(crate) fn path_for(path: &Path) -> PathBuf {
    let mut lock_path = path.to_owned().into_os_string();
    lock_path.push(".lock");
    lock_path.into()
}

/// A regular file, locked for this descriptor until dropped.
#[derive(Debug)]
pub(crate) struct LockedFile(File);

/// How often a file that is moved between opening and locking is opened again. More than once is rare.
const OPEN_TRIES: usize = 20;

impl LockedFile {
    /// Opens and locks the regular file at `path`; `None` if another holder has it.
    pub(crate) fn try_open(path: &Path, options: &mut OpenOptions) -> io::Result<Option<Self>> {
        // O_NOFOLLOW: a link could lead our lines anywhere. O_NONBLOCK: opening a pipe would wait for its other end.
        options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        for _ in 0..OPEN_TRIES {
            let file = options.open(path)?;
            if !file.metadata()?.is_file() {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "expected a regular file"));
            }
            if !try_lock(&file)? {
                return Ok(None);
            }
            let locked = Self(file);
            if is_still_at(&locked, path)? {
                return Ok(Some(locked));
            }
        }
        Ok(None)
    }
}

impl Deref for LockedFile {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl Drop for LockedFile {
    fn drop(&mut self) {
        // Closing alone unlocks only with the last copy of the descriptor, and while a thread starts another program, a copy lives in the
        // child until its exec. If this fails, closing remains.
        let _ = set_lock(&self.0, libc::F_UNLCK);
    }
}

/// Locks the whole file for this open file description, until its last descriptor is closed; returns false if another holder has it.
///
/// # Errors
/// If the file is not open for writing, or its file system has no such locks.
pub fn try_lock(file: &File) -> io::Result<bool> {
    match set_lock(file, libc::F_WRLCK) {
        Ok(()) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn set_lock(file: &File, kind: libc::c_int) -> nix::Result<()> {
    let whole_file = libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0, // anything else is EINVAL
    };
    loop {
        match fcntl(file, FcntlArg::F_OFD_SETLK(&whole_file)) {
            Err(Errno::EINTR) => {}
            result => return result.map(drop),
        }
    }
}

/// Returns whether the path still leads to this file: it may have been moved after it was opened and before it was locked.
fn is_still_at(file: &File, path: &Path) -> io::Result<bool> {
    let held = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (held.dev(), held.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Magic numbers from linux/magic.h and the file systems' own sources. Their locks may be local to one machine, or their inode numbers may
/// change while the file doesn't.
const NETWORK_FILE_SYSTEMS: [(u32, &str); 13] = [
    (0x0000_6969, "NFS"),
    (0x0000_517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB 2"),
    (0x0102_1997, "9P"),
    (0x6573_5546, "FUSE"),
    (0x00c3_6400, "Ceph"),
    (0x5346_414f, "AFS"),
    (0x0bd0_0bd0, "Lustre"),
    (0x0116_1970, "GFS2"),
    (0x7461_636f, "OCFS2"),
    (0x1983_0326, "BeeGFS"),
    (0x4750_4653, "GPFS"),
];

/// Returns the name of the file system at `path`, if it does not support a shared log.
pub(crate) fn network_file_system(path: &Path) -> io::Result<Option<&'static str>> {
    // As 32 bits: the field's type and sign differ by platform.
    let magic = statfs(path)?.filesystem_type().0 as u32;
    Ok(NETWORK_FILE_SYSTEMS.iter().find(|(known, _)| *known == magic).map(|(_, name)| *name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_no_longer_at_its_path_once_it_was_moved_or_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let file = File::create(&path).unwrap();
        assert!(is_still_at(&file, &path).unwrap());

        fs::rename(&path, folder.path().join("log.1")).unwrap();
        assert!(!is_still_at(&file, &path).unwrap());

        File::create(&path).unwrap();
        assert!(!is_still_at(&file, &path).unwrap());
    }

    #[test]
    fn a_local_file_system_is_accepted() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(network_file_system(folder.path()).unwrap(), None);
    }
}
