//! The folders and files of a program: whether they take writes, and have room.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf, absolute};

use chrono::{DateTime, TimeDelta, Utc};
use indicatif::BinaryBytes;
use nix::libc::O_TMPFILE;
use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, access};
use program::{folder_of, without_numbers};
use shared_log::FileLock;
use task_data::settings::Settings;

use super::Finding;

/// The first bytes of every SQLite database.
const SQLITE: &[u8] = b"SQLite format 3\0";
/// As much as a row and its upload: less says nothing about a full disk.
const TRIED_BYTES: usize = 64 << 10;
/// How far file systems and clocks may differ.
const SLACK: TimeDelta = TimeDelta::minutes(1);

/// Looks at the database's file, the uploads and the outcome log.
pub fn all(settings: &Settings, min_free: u64, is_embedded: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    if is_embedded {
        let path = path_of(settings.database_url.trim_start_matches("sqlite:"));
        findings.push(database(&path));
        findings.push(room("DATABASE_URL", folder_of(&path), min_free));
        findings.push(clock(&path));
    }
    match settings.blob_url.strip_prefix("file:").filter(|path| !path.is_empty()) {
        Some(path) => {
            let folder = path_of(path);
            findings.push(folder_takes_writes("BLOB_URL", &folder, "the folder of uploads"));
            findings.push(room("BLOB_URL", &folder, min_free));
        }
        None => findings.push(Finding::wrong("BLOB_URL", "expected file:PATH")),
    }
    findings.push(match settings.log_path() {
        Some(_) => outcome_log(&path_of(&settings.outcome_log)),
        None => Finding::ok("OUTCOME_LOG", "off: this process writes no outcome log"),
    });
    findings
}

fn path_of(path: &str) -> PathBuf {
    absolute(path).unwrap_or_else(|_| PathBuf::from(path))
}

fn database(path: &Path) -> Finding {
    const NAME: &str = "DATABASE_URL";
    let shown = path.display();
    let mut head = Vec::new();
    let file = OpenOptions::new().read(true).write(true).open(path);
    match file.and_then(|file| file.take(SQLITE.len() as u64).read_to_end(&mut head)) {
        Ok(0) => Finding::ok(NAME, format!("{shown} is empty; the server makes the database")),
        Ok(_) if head != SQLITE => Finding::wrong(
            NAME,
            format!("{shown} is not a SQLite database; move it away, or set DATABASE_URL to another path"),
        ),
        Ok(_) => folder_takes_writes(NAME, folder_of(path), "the folder of the database"),
        Err(error) if is_missing(&error) => {
            folder_takes_writes(NAME, folder_of(path), "the folder of the database, which the server makes,")
        }
        Err(error) => unusable(NAME, path, &error),
    }
}

/// Returns whether the file does not exist; a file in the place of its folder is told with the folder.
fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Tries to write to a folder, or says whether it can be made.
fn folder_takes_writes(setting: &'static str, folder: &Path, what: &str) -> Finding {
    let Some(found) = existing(folder) else {
        return Finding::wrong(setting, "no folder of its path exists");
    };
    if !found.is_dir() {
        return unusable(setting, found, &io::ErrorKind::NotADirectory.into());
    }
    match try_write(found) {
        Ok(()) if found == folder => {
            Finding::ok(setting, format!("{what} takes writes: {}", folder.display()))
        }
        Ok(()) => {
            Finding::ok(setting, format!("{} does not exist yet; the server makes it", folder.display()))
        }
        Err(error) => unusable(setting, found, &error),
    }
}

/// Writes a file without a name, which leaves nothing behind. Where the file system has no such files, only asks for the right to write.
fn try_write(folder: &Path) -> io::Result<()> {
    let unnamed = OpenOptions::new().write(true).custom_flags(O_TMPFILE).mode(0o600).open(folder);
    match unnamed {
        Ok(mut file) => {
            file.write_all(&[0; TRIED_BYTES])?;
            file.sync_all()
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::IsADirectory) => {
            Ok(access(folder, AccessFlags::W_OK | AccessFlags::X_OK)?)
        }
        Err(error) => Err(error),
    }
}

/// Returns the path, or the nearest folder above it that exists.
fn existing(path: &Path) -> Option<&Path> {
    path.ancestors().find(|path| path.symlink_metadata().is_ok())
}

fn unusable(setting: &'static str, path: &Path, error: &io::Error) -> Finding {
    let advice = match error.kind() {
        io::ErrorKind::PermissionDenied => "give it to the user that runs the server, or choose another path",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room",
        io::ErrorKind::NotADirectory => "move it away, or choose another path",
        io::ErrorKind::ReadOnlyFilesystem => "mount it writable, or choose another path",
        _ => "choose another path",
    };
    Finding::wrong(setting, format!("{}: {}; {advice}", path.display(), without_numbers(&error.to_string())))
}

/// Compares the space that is free with what the server keeps free.
fn room(setting: &'static str, folder: &Path, min_free: u64) -> Finding {
    let disk = existing(folder).map(statvfs);
    let Some(Ok(disk)) = disk else {
        return Finding::note(setting, format!("{}: its free space is not known", folder.display()));
    };
    let free = disk.blocks_available().saturating_mul(disk.fragment_size());
    let text = format!("{} free in {}", BinaryBytes(free), folder.display());
    let least = BinaryBytes(min_free);
    match free < min_free {
        true => Finding::wrong(
            setting,
            format!(
                "{text}, MIN_FREE_DISK is {least}: uploads are refused; make room, or set a smaller MIN_FREE_DISK"
            ),
        ),
        false => Finding::ok(setting, format!("{text}, MIN_FREE_DISK is {least}")),
    }
}

/// Looks whether the clock is behind the data: a machine that starts without the time.
fn clock(database: &Path) -> Finding {
    const NAME: &str = "clock";
    let now = Utc::now();
    let shown = now.format("%Y-%m-%dT%H:%M:%SZ");
    match database.metadata().and_then(|file| file.modified()).map(DateTime::<Utc>::from) {
        Ok(written) if written > now + SLACK => Finding::wrong(
            NAME,
            format!(
                "{shown}, but the database was written at {}; set the clock",
                written.format("%Y-%m-%dT%H:%M:%SZ")
            ),
        ),
        _ => Finding::ok(NAME, shown.to_string()),
    }
}

/// Looks whether the log can be appended to, and whether its lock is held.
fn outcome_log(log: &Path) -> Finding {
    const NAME: &str = "OUTCOME_LOG";
    match OpenOptions::new().append(true).open(log) {
        Ok(file) if file.metadata().is_ok_and(|file| file.is_file()) => {}
        Ok(_) => return unusable(NAME, log, &io::Error::other("expected a regular file")),
        Err(error) if is_missing(&error) => {
            return folder_takes_writes(
                NAME,
                folder_of(log),
                "the folder of the outcome log, which a worker makes,",
            );
        }
        Err(error) => return unusable(NAME, log, &error),
    }
    let mut lock = log.as_os_str().to_owned();
    lock.push(".lock");
    let lock = PathBuf::from(lock);
    let shown = log.display();
    match lock.exists().then(|| FileLock::try_acquire(&lock)) {
        None | Some(Ok(Some(_))) => {
            Finding::ok(NAME, format!("{shown} can be appended to, its lock is free"))
        }
        Some(Ok(None)) => Finding::ok(NAME, format!("{shown} can be appended to, a worker holds its lock")),
        Some(Err(error)) => unusable(NAME, &lock, &error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::State;
    use super::*;

    #[test]
    fn what_does_not_exist_yet_is_tried_where_it_will_be_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data/deep/coatcheck.db");

        let finding = database(&path);

        assert_eq!(finding.state, State::Ok, "{finding:?}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is made");
    }

    #[test]
    fn files_in_the_way_are_told_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "this is not a database").unwrap();

        for finding in [
            database(&file),
            database(&file.join("coatcheck.db")),
            folder_takes_writes("BLOB_URL", &file, "the folder"),
            outcome_log(folder.path()),
            outcome_log(&file.join("log")),
        ] {
            let text = finding.text;
            assert_eq!(finding.state, State::Wrong, "{text}");
            assert!(text.contains("; choose another path") || text.contains("; move it away"), "{text}");
        }
        assert_eq!(room("BLOB_URL", &file, u64::MAX).state, State::Wrong);
        assert_eq!(room("BLOB_URL", &file, 0).state, State::Ok);
    }
}
