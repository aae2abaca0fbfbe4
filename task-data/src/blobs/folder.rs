//! Blobs as files of one folder: `tmp/{id}.upload` while they are written, then `{last two hex digits}/{id}`.
//!
//! A part is locked while its writer has it open, with an open file description lock as the outcome log's. So each process that shares the
//! folder can detect parts whose writers are gone, however they ended. On a file system without such locks, the age of a part decides.
//!
//! A blob that exists under its id is durable: written, fsynced, renamed, and its folder fsynced, in this order.

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
use program::sync_folder;
use rustix::io::{ReadWriteFlags, preadv2};
use shared_log::try_lock;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, spawn_blocking};

use super::{BlobError, BlobReader, BlobWriter, Blobs, SHARDS};
use crate::task::{TaskId, Time};

/// The number of chunks on their way to the writing thread.
const CHUNKS_IN_FLIGHT: usize = 8;
/// The number of bytes after which a sync starts beside the next writes, so that the disk works meanwhile and the last sync is short.
const SYNC_EVERY: u64 = 32 << 20;
/// The number of bytes written to test the disk: more than fits into a row by default.
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

/// The suffix of a part's name.
const UPLOAD: &str = "upload";
/// The suffix of a part's name before it is locked. Earlier versions locked no parts.
const UNLOCKED: &str = "part";

impl BlobFolder {
    /// Opens a folder, creating it and its shards where they are missing.
    ///
    /// # Errors
    /// If a folder can't be created or synced.
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

    /// Opens a folder that [`open`](Self::open) has made, beside the processes that use it. Creates nothing.
    ///
    /// # Errors
    /// If the folder was not made by `open`.
    pub fn existing(root: impl Into<PathBuf>) -> io::Result<Self> {
        let root = root.into();
        fs::read_dir(root.join("tmp"))?;
        Ok(Self { root, parts: Arc::default() })
    }

    /// Returns the folder's path.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the ids of the blobs of one shard.
    pub(crate) fn ids(&self, shard: u16) -> io::Result<Vec<TaskId>> {
        let names = fs::read_dir(shard_path(&self.root, shard))?.map(|file| Ok(file?.file_name()));
        let names: Vec<_> = names.collect::<io::Result<_>>()?;
        Ok(names.iter().filter_map(|name| name.to_str()?.parse().ok()).collect())
    }

    /// Links a blob of another folder into this one, since a blob never changes, or copies it where links are impossible. Returns `false`
    /// if the other folder does not have it any more. Nothing is durable before [`sync`](Self::sync).
    pub(crate) fn bring(&self, from: &Self, id: TaskId) -> io::Result<bool> {
        let (source, target) = (from.path(id), self.path(id));
        // Checked first: if the source is gone, link(2) reports that rather than an existing target.
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

    /// Makes the folder's set of blobs durable.
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

    async fn copy(&self, from: TaskId, to: TaskId, now: Time) -> Result<(), BlobError> {
        let (source, target) = (self.path(from), self.path(to));
        let part = Part::new(self.part_path(to), self.parts.clone());
        blocking(move || {
            let mut file = File::open(&source)?;
            // A blob never changes, so a link is a copy. It must not look old before its row is there.
            file.set_modified(SystemTime::from(now.0))?;
            match fs::hard_link(&source, &target) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(error),
                // A file system without links.
                Err(_) => {
                    let mut copy = part.make()?;
                    io::copy(&mut file, &mut copy)?;
                    copy.sync_all()?;
                    fs::rename(&part.path, &target)?;
                }
            }
            sync_folder(&target)
        })
        .await
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
                // A file that is not named by an id belongs to another program and is left alone.
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
                    // The writer, or another process's sweep, was first.
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
            // The orphan sweep removes later what can't be removed now.
            let _ = fs::remove_file(path);
        }
    }

    async fn try_write(&self) -> Result<(), BlobError> {
        let part = Part::new(self.part_path(TaskId::random()), self.parts.clone());
        blocking(move || {
            let mut file = part.make()?;
            file.write_all(&[0; TRIED_BYTES])?;
            file.sync_all()
            // Dropping `part` removes the file.
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

/// Returns the files of a folder that were last changed before that time.
fn files_before(folder: &Path, time: Time) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for file in fs::read_dir(folder)? {
        let file = file?;
        match is_file_before(&file, time) {
            Ok(true) => paths.push(file.path()),
            Ok(false) => {}
            // The file was removed meanwhile.
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
    /// Reads what is in the page cache. Some file systems never say (NFS, tmpfs).
    fn read_ready(&mut self, buffer: &mut [u8]) -> Option<usize> {
        /// The file's own position, which moves on.
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

/// Returns why the writing thread has stopped.
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
        // A failed thread leaves the step in the channel, or the step has come back: dropping both drops `kept` too. Held, either would
        // make this wait for ever.
        drop(chunks);
        if is_sent && is_kept.await.is_ok() { Ok(()) } else { Err(failure(&mut thread).await) }
    }
}

/// A file that is removed unless it was kept.
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

    /// Creates the file. It gets its name only once it is locked, so that no sweep finds it before.
    fn make(&self) -> io::Result<File> {
        let unlocked = self.path.with_extension(UNLOCKED);
        loop {
            let file = create_part(&unlocked)?;
            // On a file system without locks, the age decides.
            let _ = try_lock(&file);
            match fs::rename(&unlocked, &self.path) {
                Ok(()) => return Ok(file),
                // A sweep with another clock took it for an old one. It was empty yet.
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
            // The orphan sweep removes later what can't be removed now.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes a part whose writer is gone or, where that can't be known, that was last written to before that time. Returns `false` if the
/// part is neither.
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

/// Returns whether the file is a part whose writer is gone; `None` if that can't be known.
fn is_abandoned(path: &Path) -> io::Result<Option<bool>> {
    if path.extension().is_none_or(|extension| extension != UPLOAD) {
        return Ok(None);
    }
    // Closing the file releases the lock.
    let file = OpenOptions::new().write(true).open(path)?;
    Ok(try_lock(&file).ok())
}

fn create_part(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Writes chunks as they come, until the blob is to be kept or the sender is gone.
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
                // The database's clock gives the file's age, as for everything that the sweep decides.
                file.set_modified(SystemTime::from(now.0))?;
                // A failed fsync is final: the kernel may have dropped the pages and would say "success" next time.
                end_sync(sync.take())?;
                file.sync_all()?;
                renameat2(AT_FDCWD, &part.path, AT_FDCWD, target, RenameFlags::RENAME_NOREPLACE)?;
                part.kept = true;
                if let Err(error) = sync_folder(target) {
                    let _ = fs::remove_file(target);
                    return Err(error);
                }
                // The caller is gone: the upload was given up, and without a row the blob is an orphan.
                if kept.send(()).is_err() {
                    let _ = fs::remove_file(target);
                }
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Waits for a sync that runs beside the writes, if there is one.
fn end_sync(sync: Option<thread::JoinHandle<io::Result<()>>>) -> io::Result<()> {
    let ended =
        sync.map(|sync| sync.join().unwrap_or_else(|_| Err(io::Error::other("the syncing thread panicked"))));
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

        assert!(matches!(kept.await, Ok(Err(BlobError::Full(_)))), "the caller still waits");
    }
}
