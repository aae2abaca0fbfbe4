//! Blobs as files of one folder: `tmp/{id}.upload` while they are written, then `{last two hex digits}/{id}`.
//!
//! A part is locked for as long as its writer has it open, by an open file description lock as the outcome log's: so each process
//! that shares the folder can tell those whose writer is gone, however it ended. Where a file system has no such locks, a part's
//! age tells.
//!
//! What is seen under its id is durable: written, fsynced, renamed, and its folder fsynced, in this order.

use std::collections::HashSet;
use std::fs::{self, DirEntry, File, OpenOptions};
use std::io::{self, IoSliceMut, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use parking_lot::{Mutex, MutexGuard};
use rustix::io::{ReadWriteFlags, preadv2};
use shared_log::try_lock;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, spawn_blocking};

use super::{BlobError, BlobReader, BlobWriter, Blobs, SHARDS};
use crate::task::{TaskId, Time};

/// Chunks on their way to the writing thread.
const CHUNKS_IN_FLIGHT: usize = 8;
/// How much is written before it is synced beside what comes next, so that the disk works meanwhile and the last sync is short.
const SYNC_EVERY: u64 = 32 << 20;
/// How much is written to find out whether the disk takes writes: more than fits into a row by default.
const TRIED_BYTES: usize = 32 << 10;

/// A folder of blobs; several processes may share it.
pub struct BlobFolder {
    root: PathBuf,
    /// The parts that this process writes.
    parts: Arc<Parts>,
}

/// Paths of parts.
type Parts = Mutex<HashSet<PathBuf>>;

fn paths(parts: &Parts) -> MutexGuard<'_, HashSet<PathBuf>> {
    parts.lock()
}

/// What the names of parts end with.
const UPLOAD: &str = "upload";
/// What they end with before they are locked. Versions before locked none.
const UNLOCKED: &str = "part";

impl BlobFolder {
    /// Makes the folder and its shards where they are missing.
    ///
    /// # Errors
    /// If a folder can't be made or synced.
    pub fn open(root: impl Into<PathBuf>) -> io::Result<Self> {
        let root = root.into();
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(root.join("tmp"))?;
        for shard in 0..SHARDS {
            builder.create(shard_path(&root, shard))?;
        }
        File::open(&root)?.sync_all()?;
        Ok(Self { root, parts: Arc::default() })
    }

    /// A folder that [`open`](Self::open) has made, to look into beside those who use it. Makes nothing.
    ///
    /// # Errors
    /// If it is none.
    pub fn existing(root: impl Into<PathBuf>) -> io::Result<Self> {
        let root = root.into();
        fs::read_dir(root.join("tmp"))?;
        Ok(Self { root, parts: Arc::default() })
    }

    /// Where it is.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The blobs of one shard.
    pub(crate) fn ids(&self, shard: u16) -> io::Result<Vec<TaskId>> {
        let names = fs::read_dir(shard_path(&self.root, shard))?.map(|file| Ok(file?.file_name()));
        let names: Vec<_> = names.collect::<io::Result<_>>()?;
        Ok(names.iter().filter_map(|name| name.to_str()?.parse().ok()).collect())
    }

    /// Brings a blob in that another folder has: by a link, for a blob never changes, or else as a copy. `false` if that has it no
    /// longer. Nothing is durable before [`sync`](Self::sync).
    pub(crate) fn bring(&self, from: &Self, id: TaskId) -> io::Result<bool> {
        let (source, target) = (from.path(id), self.path(id));
        // Looked for first: of a source that is gone, link(2) says that and not that the target is there.
        if target.try_exists()? {
            return Ok(true);
        }
        match fs::hard_link(&source, &target) {
            Ok(()) => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            // Another file system, or one without links.
            Err(_) => {}
        }
        let mut source = match File::open(source) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            opened => opened?,
        };
        let mut copy = create_part(&target)?;
        io::copy(&mut source, &mut copy)?;
        copy.set_modified(source.metadata()?.modified()?)?;
        copy.sync_all()?;
        Ok(true)
    }

    /// Makes durable which blobs there are.
    pub(crate) fn sync(&self) -> io::Result<()> {
        for shard in 0..SHARDS {
            File::open(shard_path(&self.root, shard))?.sync_all()?;
        }
        File::open(&self.root)?.sync_all()
    }

    fn path(&self, id: TaskId) -> PathBuf {
        let [.., last] = id.0.into_bytes();
        shard_path(&self.root, last.into()).join(id.to_string())
    }

    fn part_path(&self, id: TaskId) -> PathBuf {
        self.root.join("tmp").join(format!("{id}.{UPLOAD}"))
    }
}

fn shard_path(root: &Path, shard: u16) -> PathBuf {
    root.join(format!("{shard:02x}"))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, BlobError> {
    Ok(spawn_blocking(work).await.map_err(io::Error::other)??)
}

#[async_trait]
impl Blobs for BlobFolder {
    async fn create(&self, id: TaskId) -> Result<Box<dyn BlobWriter>, BlobError> {
        let part = Part::new(self.part_path(id), self.parts.clone());
        let target = self.path(id);
        let (chunks, incoming) = mpsc::channel(CHUNKS_IN_FLIGHT);
        let thread = spawn_blocking(move || write_part(part, &target, incoming));
        Ok(Box::new(PartWriter { chunks, thread }))
    }

    async fn open(&self, id: TaskId) -> Result<Box<dyn BlobReader>, BlobError> {
        let path = self.path(id);
        let file = blocking(move || File::open(path)).await?;
        Ok(Box::new(BlobFile(file)))
    }

    async fn delete(&self, id: TaskId) -> Result<(), BlobError> {
        let path = self.path(id);
        match blocking(move || fs::remove_file(path)).await {
            Err(BlobError::Missing) => Ok(()),
            outcome => outcome,
        }
    }

    async fn kept_before(&self, shard: u16, time: Time) -> Result<Vec<TaskId>, BlobError> {
        let folder = shard_path(&self.root, shard);
        blocking(move || {
            let mut ids = Vec::new();
            for path in files_before(&folder, time)? {
                // A file that is not named by an id is not ours to touch.
                ids.extend(path.file_name().and_then(|name| name.to_str()?.parse::<TaskId>().ok()));
            }
            Ok(ids)
        })
        .await
    }

    async fn unfinished_before(&self, time: Time) -> Result<Vec<String>, BlobError> {
        let folder = self.root.join("tmp");
        blocking(move || {
            let names = files_before(&folder, time)?.into_iter();
            let names = names.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
            Ok(names.map(|name| format!("tmp/{name}")).collect())
        })
        .await
    }

    async fn remove_unfinished(&self, before: Time) -> Result<u64, BlobError> {
        let folder = self.root.join("tmp");
        blocking(move || {
            let mut removed = 0;
            for file in fs::read_dir(&folder)? {
                match remove_if_over(&file?, before) {
                    Ok(is_removed) => removed += u64::from(is_removed),
                    // Its writer, or another process's sweep, was first.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(removed)
        })
        .await
    }

    async fn abandon(&self) {
        for path in paths(&self.parts).drain() {
            // What can't be removed now is removed by the orphan sweep.
            let _ = fs::remove_file(path);
        }
    }

    async fn try_write(&self) -> Result<(), BlobError> {
        let part = Part::new(self.part_path(TaskId::random()), self.parts.clone());
        blocking(move || {
            let mut file = part.make()?;
            file.write_all(&[0; TRIED_BYTES])?;
            file.sync_all()
            // Dropped, `part` removes it.
        })
        .await
    }

    async fn free_bytes(&self) -> Result<Option<u64>, BlobError> {
        let root = self.root.clone();
        blocking(move || {
            let disk = nix::sys::statvfs::statvfs(&root)?;
            Ok(Some(disk.blocks_available().saturating_mul(disk.fragment_size())))
        })
        .await
    }
}

/// The files of a folder that were last changed before that time.
fn files_before(folder: &Path, time: Time) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for file in fs::read_dir(folder)? {
        let file = file?;
        match is_file_before(&file, time) {
            Ok(true) => paths.push(file.path()),
            Ok(false) => {}
            // It went while we looked.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(paths)
}

fn is_file_before(file: &DirEntry, time: Time) -> io::Result<bool> {
    let metadata = file.metadata()?;
    Ok(metadata.is_file() && metadata.modified()? < SystemTime::from(time.0))
}

struct BlobFile(File);

impl Read for BlobFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl BlobReader for BlobFile {
    /// What is in the page cache. Some file systems never say (NFS, tmpfs).
    fn read_ready(&mut self, buffer: &mut [u8]) -> Option<usize> {
        /// The file's own position, which goes on.
        const POSITION: u64 = u64::MAX;
        preadv2(&self.0, &mut [IoSliceMut::new(buffer)], POSITION, ReadWriteFlags::NOWAIT).ok()
    }
}

enum Step {
    Write(Bytes),
    Keep(Time, oneshot::Sender<()>),
}

struct PartWriter {
    chunks: mpsc::Sender<Step>,
    thread: JoinHandle<io::Result<()>>,
}

/// Why the writing thread has stopped.
async fn failure(thread: &mut JoinHandle<io::Result<()>>) -> BlobError {
    match thread.await {
        Ok(Err(error)) => error.into(),
        Ok(Ok(())) => BlobError::Io(io::Error::other("the blob was kept already")),
        Err(error) => BlobError::Io(io::Error::other(error)),
    }
}

#[async_trait]
impl BlobWriter for PartWriter {
    async fn write(&mut self, chunk: Bytes) -> Result<(), BlobError> {
        match self.chunks.send(Step::Write(chunk)).await {
            Ok(()) => Ok(()),
            Err(_) => Err(failure(&mut self.thread).await),
        }
    }

    async fn keep(self: Box<Self>, now: Time) -> Result<(), BlobError> {
        let Self { chunks, mut thread } = *self;
        let (kept, is_kept) = oneshot::channel();
        let is_sent = chunks.send(Step::Keep(now, kept)).await.is_ok();
        // A thread that has failed leaves the step in the channel, or it has come back: it goes with both, and `kept` with it.
        // Who waited for that while it held either would wait for ever.
        drop(chunks);
        if is_sent && is_kept.await.is_ok() { Ok(()) } else { Err(failure(&mut thread).await) }
    }
}

/// A file that goes unless it was kept.
struct Part {
    path: PathBuf,
    parts: Arc<Parts>,
    kept: bool,
}

impl Part {
    fn new(path: PathBuf, parts: Arc<Parts>) -> Self {
        paths(&parts).insert(path.clone());
        Self { path, parts, kept: false }
    }

    /// Makes the file. It has its name only once it is locked: no sweep meets it before.
    fn make(&self) -> io::Result<File> {
        let unlocked = self.path.with_extension(UNLOCKED);
        loop {
            let file = create_part(&unlocked)?;
            // Where there are no locks, its age tells.
            let _ = try_lock(&file);
            match fs::rename(&unlocked, &self.path) {
                Ok(()) => return Ok(file),
                // A sweep with another clock took it for an old one. Nothing was in it yet.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    let _ = fs::remove_file(&unlocked);
                    return Err(error);
                }
            }
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        paths(&self.parts).remove(&self.path);
        if !self.kept {
            // What can't be removed now is removed by the orphan sweep.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes a part whose writer is gone, or, where that can't be known, that was last written to before that time. `false` if it is
/// another one.
fn remove_if_over(part: &DirEntry, before: Time) -> io::Result<bool> {
    let path = part.path();
    let is_over = match is_abandoned(&path)? {
        Some(is_abandoned) => is_abandoned,
        None => is_file_before(part, before)?,
    };
    if is_over {
        fs::remove_file(path)?;
    }
    Ok(is_over)
}

/// Whether the file is a part whose writer is gone; `None` if that can't be known.
fn is_abandoned(path: &Path) -> io::Result<Option<bool>> {
    if path.extension().is_none_or(|extension| extension != UPLOAD) {
        return Ok(None);
    }
    // The lock goes again with the file.
    let file = OpenOptions::new().write(true).open(path)?;
    Ok(try_lock(&file).ok())
}

fn create_part(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Writes what comes in, until it is to be kept or its sender is gone.
fn write_part(mut part: Part, target: &Path, mut incoming: mpsc::Receiver<Step>) -> io::Result<()> {
    let mut file = part.make()?;
    let (mut unsynced, mut sync) = (0, None);
    while let Some(step) = incoming.blocking_recv() {
        match step {
            Step::Write(chunk) => {
                file.write_all(&chunk)?;
                unsynced += chunk.len() as u64;
                if unsynced >= SYNC_EVERY {
                    end_sync(sync.take())?;
                    let file = file.try_clone()?;
                    sync = Some(thread::Builder::new().spawn(move || file.sync_data())?);
                    unsynced = 0;
                }
            }
            Step::Keep(now, kept) => {
                // The file's age is told by the database's clock, as everything that the sweep decides on.
                file.set_modified(SystemTime::from(now.0))?;
                // A failed fsync is final: the kernel may have dropped the pages and would say "success" next time.
                end_sync(sync.take())?;
                file.sync_all()?;
                renameat2(AT_FDCWD, &part.path, AT_FDCWD, target, RenameFlags::RENAME_NOREPLACE)?;
                part.kept = true;
                let folder = target.parent().ok_or_else(|| io::Error::other("a blob lies in a folder"))?;
                if let Err(error) = File::open(folder).and_then(|folder| folder.sync_all()) {
                    let _ = fs::remove_file(target);
                    return Err(error);
                }
                // Nobody waits any more: the upload was given up, and without a row the blob is an orphan.
                if kept.send(()).is_err() {
                    let _ = fs::remove_file(target);
                }
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Waits for a sync beside the writing, if there is one.
fn end_sync(sync: Option<thread::JoinHandle<io::Result<()>>>) -> io::Result<()> {
    let ended = sync.map(|sync| sync.join().unwrap_or_else(|_| Err(io::Error::other("a sync has panicked"))));
    ended.unwrap_or(Ok(()))
}

#[cfg(test)]
mod tests {
    use chrono::Utc;

    use super::*;

    #[tokio::test]
    async fn a_disk_that_was_full_at_the_last_chunk_is_told_when_the_blob_is_to_be_kept() {
        let (chunks, incoming) = mpsc::channel(CHUNKS_IN_FLIGHT);
        drop(incoming);
        let thread = spawn_blocking(|| Err(io::ErrorKind::StorageFull.into()));
        let writer = Box::new(PartWriter { chunks, thread });

        let kept = tokio::time::timeout(std::time::Duration::from_secs(60), writer.keep(Time(Utc::now())));

        assert!(matches!(kept.await, Ok(Err(BlobError::Full(_)))), "nobody is told");
    }
}
