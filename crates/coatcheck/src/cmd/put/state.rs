//! What an interrupted `put` has done, for the next call: a file with a line of JSON for each file that was begun.
//!
//! A line is appended, and on the disk, before its file is sent, and once more with the ticket; of several lines of a file the last one
//! holds. The key is the same in both, so a file whose answer was lost gets the same task when it is sent again. A call begins with a
//! rewritten state, without lines of files that are gone or changed: so it has at most a line for each file that is there.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::mem;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, percent_encode};
use program::{sync_folder, without_numbers};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The first line of every state: another file is never taken for one, and so never overwritten.
const HEADER: &[u8] = b"{\"state\":\"coatcheck put\",\"version\":1}\n";
/// The most bytes of a state, which is enough for millions of files.
const MOST_BYTES: u64 = 1 << 30;
/// The most bytes of a line: a path of 4,096 bytes, each as `%FF`, and the rest.
const LONGEST_LINE: u64 = 16 << 10;
/// Characters of a path that are percent-encoded, beside all that are not ASCII.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');

/// The state of a call and those before it.
#[derive(Debug)]
pub struct State {
    known: Mutex<HashMap<PathBuf, Kept>>,
    log: Arc<Log>,
}

/// A regular file as it was before it was sent. Another size or time of change makes it another file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The absolute path.
    path: PathBuf,
    pub size: u64,
    /// Seconds since 1970, and nanoseconds.
    mtime: [i64; 2],
}

/// The last line of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    size: u64,
    mtime: [i64; 2],
    pub key: Uuid,
    pub ticket: Option<Uuid>,
}

#[derive(Serialize, Deserialize)]
struct Line<'a> {
    path: Cow<'a, str>,
    size: u64,
    mtime: [i64; 2],
    key: Uuid,
    ticket: Option<Uuid>,
}

/// The open file.
#[derive(Debug)]
struct Log {
    /// Lines that are not written yet.
    lines: Mutex<Vec<u8>>,
    file: Mutex<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// The first failure. The file may end within a line since.
    failed: Option<io::ErrorKind>,
    /// Bytes that may still be written.
    left: u64,
}

/// A reason why a state can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("{}", without_numbers(&.0.to_string()))]
    Io(#[from] io::Error),
    #[error("expected a file that coatcheck put made, or a new one, got another file")]
    Foreign,
    #[error("another coatcheck put is using it")]
    InUse,
    #[error("expected at most 1 GiB; begin a new one")]
    TooLarge,
}

impl Version {
    /// Returns the version of a regular file; `None` for anything else. The attempt to read it tells why.
    pub fn of(path: &Path) -> Option<Self> {
        let metadata = path.metadata().ok().filter(Metadata::is_file)?;
        let mtime = [metadata.mtime(), metadata.mtime_nsec()];
        Some(Self { path: std::path::absolute(path).ok()?, size: metadata.len(), mtime })
    }
}

impl State {
    /// Opens a state, or makes it. No other process can open it while this one has it.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let options = |options: &mut OpenOptions| options.read(true).append(true).mode(0o600).clone();
        let before = options(OpenOptions::new().create(true)).open(path)?;
        if !before.metadata()?.is_file() {
            return Err(StateError::Foreign);
        }
        lock(&before)?;
        // Another process may have exchanged it in between, see below.
        if before.metadata()?.ino() != path.metadata()?.ino() {
            return Err(StateError::InUse);
        }
        let (known, is_clean) = read(&before)?;
        let mut file = before;
        if !is_clean {
            let mut new = path.as_os_str().to_owned();
            new.push(format!(".{}.new", std::process::id()));
            let exchanged = options(OpenOptions::new().create_new(true))
                .open(&new)
                .and_then(|written| write(&written, &known).map(|()| written));
            let written = exchanged.inspect_err(|_| drop(fs::remove_file(&new)))?;
            lock(&written)?;
            // The lock of the file before is held until the new one, locked too, is in its place.
            fs::rename(&new, path).inspect_err(|_| drop(fs::remove_file(&new)))?;
            sync_folder(path)?;
            file = written;
        }
        let left = MOST_BYTES.saturating_sub(file.metadata()?.len());
        let file = Mutex::new(Open { file, failed: None, left });
        Ok(Self { known: Mutex::new(known), log: Arc::new(Log { lines: Mutex::default(), file }) })
    }

    /// Returns what is known of a file in this version.
    pub fn kept(&self, version: &Version) -> Option<Kept> {
        self.known.lock().get(&version.path).copied().filter(|kept| kept.is_of(version))
    }

    /// Keeps a file's key, and its ticket once there is one. It is on the disk when this returns.
    ///
    /// # Errors
    /// If it can't be written.
    ///
    /// # Cancel safety
    /// If the call is dropped midway, the next [`Self::flush`] writes it.
    pub async fn keep(&self, version: &Version, key: Uuid, ticket: Option<Uuid>) -> io::Result<()> {
        let kept = Kept { size: version.size, mtime: version.mtime, key, ticket };
        let before = self.known.lock().insert(version.path.clone(), kept);
        if before != Some(kept) {
            kept.push_line(&version.path, &mut self.log.lines.lock())?;
        }
        self.flush().await
    }

    /// Writes everything that was kept. Calls at the same time share a write.
    pub async fn flush(&self) -> io::Result<()> {
        let log = self.log.clone();
        tokio::task::spawn_blocking(move || log.flush()).await.map_err(io::Error::other)?
    }
}

impl Kept {
    fn is_of(&self, version: &Version) -> bool {
        (self.size, self.mtime) == (version.size, version.mtime)
    }

    fn push_line(&self, path: &Path, lines: &mut Vec<u8>) -> io::Result<()> {
        let path = percent_encode(path.as_os_str().as_bytes(), ENCODED).into();
        let Self { size, mtime, key, ticket } = *self;
        serde_json::to_writer(&mut *lines, &Line { path, size, mtime, key, ticket })?;
        lines.push(b'\n');
        Ok(())
    }
}

impl Log {
    fn flush(&self) -> io::Result<()> {
        // Held to the end: the lines that were taken by another call are on the disk once it is free.
        let mut open = self.file.lock();
        let lines = mem::take(&mut *self.lines.lock());
        if let Some(failed) = open.failed {
            return Err(failed.into());
        }
        if lines.is_empty() {
            return Ok(());
        }
        let written = match open.left.checked_sub(lines.len() as u64) {
            Some(left) => {
                open.left = left;
                open.file.write_all(&lines).and_then(|()| open.file.sync_data())
            }
            None => Err(io::ErrorKind::FileTooLarge.into()),
        };
        open.failed = written.as_ref().err().map(io::Error::kind);
        written
    }
}

fn lock(file: &File) -> Result<(), StateError> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => StateError::InUse,
        TryLockError::Error(error) => StateError::Io(error),
    })
}

/// Reads the lines of files that are there unchanged; and whether the file has these alone.
fn read(file: &File) -> Result<(HashMap<PathBuf, Kept>, bool), StateError> {
    if file.metadata()?.len() > MOST_BYTES {
        return Err(StateError::TooLarge);
    }
    let mut reader = BufReader::new(file);
    let (mut known, mut lines, mut line) = (HashMap::new(), 0, Vec::new());
    let mut next = |line: &mut Vec<u8>| {
        line.clear();
        reader.by_ref().take(LONGEST_LINE).read_until(b'\n', line)
    };
    if next(&mut line)? == 0 {
        return Ok((known, false));
    }
    if line != HEADER {
        return Err(StateError::Foreign);
    }
    while next(&mut line)? > 0 {
        lines += 1;
        // A power cut can leave a part of a line: its file is sent again.
        let Some(Ok(Line { path, size, mtime, key, ticket })) =
            line.strip_suffix(b"\n").map(serde_json::from_slice)
        else {
            continue;
        };
        let path = OsString::from_vec(percent_decode_str(&path).collect());
        known.insert(PathBuf::from(path), Kept { size, mtime, key, ticket });
    }
    known.retain(|path, kept| Version::of(path).is_some_and(|version| kept.is_of(&version)));
    let is_clean = lines == known.len();
    Ok((known, is_clean))
}

fn write(mut file: &File, known: &HashMap<PathBuf, Kept>) -> io::Result<()> {
    let mut lines = HEADER.to_vec();
    for (path, kept) in known {
        kept.push_line(path, &mut lines)?;
        if lines.len() as u64 > LONGEST_LINE {
            file.write_all(&mem::take(&mut lines))?;
        }
    }
    file.write_all(&lines)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Files {
        folder: tempfile::TempDir,
    }

    impl Files {
        fn new() -> Self {
            Self { folder: tempfile::tempdir().unwrap() }
        }

        fn state(&self) -> PathBuf {
            self.folder.path().join("state")
        }

        fn open(&self) -> State {
            State::open(&self.state()).unwrap()
        }

        fn version(&self, name: &[u8], content: &str) -> Version {
            let path = self.folder.path().join(std::ffi::OsStr::from_bytes(name));
            fs::write(&path, content).unwrap();
            Version::of(&path).unwrap()
        }

        fn lines(&self) -> usize {
            fs::read(self.state()).unwrap().iter().filter(|byte| **byte == b'\n').count() - 1
        }
    }

    #[tokio::test]
    async fn a_state_tells_the_next_call_what_was_kept_of_unchanged_files() {
        let files = Files::new();
        let names: [&[u8]; 4] =
            [b"plain", b"a\nb \\%0A\"", b"\xff\x00".split(|byte| *byte == 0).next().unwrap(), "é".as_bytes()];
        let (key, ticket) = (Uuid::new_v4(), Uuid::new_v4());
        let versions: Vec<Version> = names.iter().map(|name| files.version(name, "abc")).collect();
        let state = files.open();
        for version in &versions {
            assert_eq!(state.kept(version), None);
            state.keep(version, key, None).await.unwrap();
            state.keep(version, key, None).await.unwrap();
        }
        state.keep(&versions[0], key, Some(ticket)).await.unwrap();
        assert_eq!(files.lines(), 5);
        drop(state);

        // The last one has changed, and the one before is gone.
        let changed = files.version(names[3], "abcd");
        fs::remove_file(&versions[2].path).unwrap();
        let state = files.open();

        assert_eq!(files.lines(), 2);
        let kept = |version: &Version| state.kept(version).map(|kept| (kept.key, kept.ticket));
        assert_eq!(kept(&versions[0]), Some((key, Some(ticket))));
        assert_eq!(kept(&versions[1]), Some((key, None)));
        assert_eq!((kept(&versions[2]), kept(&versions[3]), kept(&changed)), (None, None, None));
    }

    #[tokio::test]
    async fn a_line_that_a_power_cut_tore_is_one_file_s_loss() {
        let files = Files::new();
        let (first, second) = (files.version(b"a", "abc"), files.version(b"b", "abc"));
        let key = Uuid::new_v4();
        let state = files.open();
        state.keep(&first, key, None).await.unwrap();
        state.keep(&second, key, None).await.unwrap();
        drop(state);
        let bytes = fs::read(files.state()).unwrap();
        for cut in HEADER.len()..bytes.len() {
            fs::write(files.state(), &bytes[..cut]).unwrap();

            let state = files.open();
            state.keep(&second, key, None).await.unwrap();
            drop(state);

            let state = files.open();
            assert!(state.kept(&second).is_some(), "{cut}");
            assert_eq!(
                state.kept(&first).is_some(),
                bytes[..cut].iter().filter(|byte| **byte == b'\n').count() > 1
            );
        }
    }

    #[test]
    fn a_state_is_one_call_s_and_no_other_file_is_taken_for_one() {
        let files = Files::new();
        let state = files.open();
        assert!(matches!(State::open(&files.state()), Err(StateError::InUse)));
        drop(state);
        drop(files.open());
        for foreign in ["x", "abc\n", "{\"state\":\"coatcheck put\",\"version\":2}\n"] {
            fs::write(files.state(), foreign).unwrap();
            assert!(matches!(State::open(&files.state()), Err(StateError::Foreign)), "{foreign}");
            assert_eq!(fs::read_to_string(files.state()).unwrap(), foreign);
        }
        assert!(matches!(State::open(Path::new("/dev/null")), Err(StateError::Foreign)));
        assert!(State::open(files.folder.path()).is_err());
        assert!(State::open(&files.folder.path().join("missing/state")).is_err());
    }
}
