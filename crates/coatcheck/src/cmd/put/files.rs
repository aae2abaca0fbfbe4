//! The files to hand in: those that are named, and with `-r` those in the folders and below. Links in folders are not followed.
//!
//! A folder's files come in the order of the bytes of their paths, as `find -type f | LC_ALL=C sort` prints them.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirEntry, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::vec;

use client::STDIN;
use tokio::sync::mpsc;

/// The most files that are listed before they are begun.
const AHEAD: usize = 1024;

/// A file to hand in, or a folder that can't be listed.
#[derive(Debug)]
pub struct Listed {
    pub path: OsString,
    pub error: Option<io::Error>,
}

/// The files, listed one after the other.
#[derive(Debug, Clone)]
pub struct Files {
    named: vec::IntoIter<OsString>,
    is_recursive: bool,
    /// A file that is left out where it is found in a folder.
    except: Option<Identity>,
    /// The folders that are being listed, from the outermost.
    open: Vec<Folder>,
}

/// A file, whatever its path.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Identity {
    name: OsString,
    device: u64,
    inode: u64,
}

#[derive(Debug, Clone)]
struct Folder {
    path: PathBuf,
    /// The rest of its entries, sorted; whether each is a folder.
    entries: vec::IntoIter<(OsString, bool)>,
}

impl Files {
    /// Lists these files, and the files in these folders if it `is_recursive`, but not the file `except` unless it is named.
    pub fn new(named: Vec<OsString>, is_recursive: bool, except: Option<&Path>) -> Self {
        let except = except.and_then(Identity::of);
        Self { named: named.into_iter(), is_recursive, except, open: Vec::new() }
    }

    /// Lists the files on a thread of its own, a little ahead of the receiver.
    pub fn receiver(self) -> mpsc::Receiver<Listed> {
        let (sender, receiver) = mpsc::channel(AHEAD);
        tokio::task::spawn_blocking(move || {
            for listed in self {
                if sender.blocking_send(listed).is_err() {
                    break;
                }
            }
        });
        receiver
    }

    /// Returns the next path and whether it is a folder to list.
    fn next_entry(&mut self) -> Option<(PathBuf, bool)> {
        while let Some(folder) = self.open.last_mut() {
            let Some((name, is_folder)) = folder.entries.next() else {
                self.open.pop();
                continue;
            };
            let path = folder.path.join(&name);
            let is_except = self.except.as_ref().is_some_and(|except| except.is(&name, &path));
            if !is_except {
                return Some((path, is_folder));
            }
        }
        let path = PathBuf::from(self.named.next()?);
        let is_folder = self.is_recursive && path.as_os_str() != STDIN && path.is_dir();
        Some((path, is_folder))
    }
}

impl Iterator for Files {
    type Item = Listed;

    fn next(&mut self) -> Option<Listed> {
        loop {
            let (path, is_folder) = self.next_entry()?;
            if !is_folder {
                return Some(Listed { path: path.into_os_string(), error: None });
            }
            match entries(&path) {
                Ok(entries) => self.open.push(Folder { path, entries }),
                Err(error) => return Some(Listed { path: path.into_os_string(), error: Some(error) }),
            }
        }
    }
}

impl Identity {
    fn of(path: &Path) -> Option<Self> {
        let metadata = path.metadata().ok()?;
        Some(Self { name: path.file_name()?.to_owned(), device: metadata.dev(), inode: metadata.ino() })
    }

    fn is(&self, name: &OsStr, path: &Path) -> bool {
        self.name == name && Self::of(path).as_ref() == Some(self)
    }
}

/// Lists the regular files and the folders of a folder, sorted as their paths are.
fn entries(folder: &Path) -> io::Result<vec::IntoIter<(OsString, bool)>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if let Some(is_folder) = is_folder(&entry) {
            entries.push((entry.file_name(), is_folder));
        }
    }
    // In the path of a file below, a slash follows a folder's name.
    let bytes = |(name, is_folder): &(OsString, bool)| {
        let slash = is_folder.then_some(b'/');
        name.as_bytes().iter().copied().chain(slash).collect::<Vec<u8>>()
    };
    entries.sort_by_cached_key(bytes);
    Ok(entries.into_iter())
}

/// Returns whether an entry is a folder; `None` if it is neither that nor a regular file, as a link or a socket.
fn is_folder(entry: &DirEntry) -> Option<bool> {
    match entry.file_type() {
        Ok(kind) if kind.is_dir() => Some(true),
        Ok(kind) if kind.is_file() => Some(false),
        Ok(_) => None,
        // The attempt to read it tells why.
        Err(_) => Some(false),
    }
}

/// The number of files, and the bytes of those that are regular, as far as they are counted.
#[derive(Debug, Default)]
pub struct Totals {
    files: AtomicU64,
    bytes: AtomicU64,
    is_complete: AtomicBool,
}

impl Totals {
    /// Counts all files.
    pub fn count(&self, files: Files) {
        for Listed { path, .. } in files {
            self.files.fetch_add(1, Relaxed);
            let metadata = Path::new(&path).metadata().ok().filter(Metadata::is_file);
            self.bytes.fetch_add(metadata.map_or(0, |file| file.len()), Relaxed);
        }
        self.is_complete.store(true, Relaxed);
    }

    pub fn files(&self) -> u64 {
        self.files.load(Relaxed)
    }

    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    pub fn is_complete(&self) -> bool {
        self.is_complete.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_folder_is_listed_in_the_order_of_the_paths_bytes_and_without_its_links() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        fs::create_dir_all(at("d/sub/deep")).unwrap();
        fs::create_dir_all(at("d/empty")).unwrap();
        for file in
            ["d/sub.txt", "d/sub/z", "d/sub/deep/a", "d/sub-", "d/B", "d/é", "state", "d/state", "one"]
        {
            fs::write(at(file), file).unwrap();
        }
        symlink(at("one"), at("d/link")).unwrap();
        symlink(at("d/sub"), at("d/linked")).unwrap();
        fs::remove_file(at("state")).unwrap();
        fs::hard_link(at("d/state"), at("state")).unwrap();
        let named = vec![at("one").into(), at("d").into(), at("missing").into()];

        let listed = |is_recursive, except: Option<&Path>| {
            let files = Files::new(named.clone(), is_recursive, except);
            let relative = |path: OsString| {
                Path::new(&path).strip_prefix(root.path()).unwrap().to_string_lossy().into_owned()
            };
            files.map(|listed| relative(listed.path)).collect::<Vec<_>>()
        };

        let within = ["d/B", "d/state", "d/sub-", "d/sub.txt", "d/sub/deep/a", "d/sub/z", "d/é"];
        let all = [&["one"][..], &within, &["missing"]].concat();
        assert_eq!(listed(true, None), all);
        let without: Vec<&str> = all.into_iter().filter(|path| *path != "d/state").collect();
        assert_eq!(listed(true, Some(&at("state"))), without);
        assert_eq!(listed(false, None), ["one", "d", "missing"]);
        let totals = Totals::default();
        totals.count(Files::new(named.clone(), true, None));
        assert_eq!((totals.files(), totals.is_complete()), (9, true));
        let bytes: usize = [&["one"][..], &within].concat().into_iter().map(str::len).sum();
        assert_eq!(totals.bytes(), bytes as u64);
    }
}
