//! The blobs on a wire.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use async_trait::async_trait;
use bytes::Bytes;
use task_data::blobs::{BlobError, BlobReader, BlobWriter, Blobs};
use task_data::task::{TaskId, Time};
use test_kit::Effect;
use tokio::sync::Mutex;

use super::Line;

pub struct CutBlobs {
    pub line: Line,
    pub inner: Arc<dyn Blobs>,
}

fn blob_error<T>() -> Result<T, BlobError> {
    Err(BlobError::Io(io::Error::other("cut")))
}

#[async_trait]
impl Blobs for CutBlobs {
    async fn create(&self, id: TaskId) -> Result<Box<dyn BlobWriter>, BlobError> {
        let part = self.line.world.blobs().join("tmp").join(format!("{id}.upload"));
        let (inner, made) = (self.inner.clone(), part.clone());
        let act = async move {
            let writer = inner.create(id).await?;
            until_written(&made, 0);
            Ok(writer)
        };
        let inner = self.line.call("blobs.create", Effect::Here, act, blob_error).await?;
        let inner = Arc::new(Mutex::new(Some(inner)));
        Ok(Box::new(CutWriter { line: self.line.clone(), inner, part, length: 0 }))
    }

    async fn open(&self, id: TaskId) -> Result<Box<dyn BlobReader>, BlobError> {
        let (inner, all_fail) = (self.inner.clone(), self.line.world.keeps.all_fail());
        let act = async move { if all_fail { Err(BlobError::Missing) } else { inner.open(id).await } };
        self.line.call("blobs.open", Effect::Nothing, act, blob_error).await
    }

    async fn copy(&self, from: TaskId, to: TaskId, now: Time) -> Result<(), BlobError> {
        let inner = self.inner.clone();
        let act = async move { inner.copy(from, to, now).await };
        self.line.call("blobs.copy", Effect::Here, act, blob_error).await
    }

    async fn delete(&self, id: TaskId) -> Result<(), BlobError> {
        let inner = self.inner.clone();
        self.line.call("blobs.delete", Effect::Here, async move { inner.delete(id).await }, blob_error).await
    }

    /// Looks into a shard. An empty one is not a call of its own: 256 looks that find nothing are equivalent.
    async fn kept_before(&self, shard: u16, time: Time) -> Result<Vec<TaskId>, BlobError> {
        let folder = self.line.world.blobs().join(format!("{shard:02x}"));
        if shard > 0 && fs::read_dir(folder)?.next().is_none() {
            return Ok(Vec::new());
        }
        let inner = self.inner.clone();
        let act = async move { inner.kept_before(shard, time).await };
        self.line.call("blobs.kept_before", Effect::Nothing, act, blob_error).await
    }

    async fn unfinished_before(&self, time: Time) -> Result<Vec<String>, BlobError> {
        let inner = self.inner.clone();
        let act = async move { inner.unfinished_before(time).await };
        self.line.call("blobs.unfinished_before", Effect::Nothing, act, blob_error).await
    }

    async fn remove_unfinished(&self, before: Time) -> Result<u64, BlobError> {
        let inner = self.inner.clone();
        let act = async move { inner.remove_unfinished(before).await };
        self.line.call("blobs.remove_unfinished", Effect::Here, act, blob_error).await
    }

    async fn abandon(&self) {
        self.inner.abandon().await;
    }

    async fn try_write(&self) -> Result<(), BlobError> {
        self.inner.try_write().await
    }

    async fn free_bytes(&self) -> Result<Option<u64>, BlobError> {
        let inner = self.inner.clone();
        self.line
            .call("blobs.free_bytes", Effect::Nothing, async move { inner.free_bytes().await }, blob_error)
            .await
    }
}

/// Waits for the thread that writes a part, so that the state at a cut depends on no clock.
fn until_written(part: &Path, length: u64) {
    while fs::metadata(part).map_or(true, |part| part.len() < length) {
        thread::yield_now();
    }
}

struct CutWriter {
    line: Line,
    inner: Arc<Mutex<Option<Box<dyn BlobWriter>>>>,
    part: PathBuf,
    length: u64,
}

fn gone() -> BlobError {
    BlobError::Io(io::Error::other("the blob was kept already"))
}

#[async_trait]
impl BlobWriter for CutWriter {
    async fn write(&mut self, chunk: Bytes) -> Result<(), BlobError> {
        self.length += chunk.len() as u64;
        let (inner, part, length) = (self.inner.clone(), self.part.clone(), self.length);
        let act = async move {
            inner.lock().await.as_mut().ok_or_else(gone)?.write(chunk).await?;
            until_written(&part, length);
            Ok(())
        };
        self.line.call("blobs.write", Effect::Here, act, blob_error).await
    }

    async fn keep(self: Box<Self>, now: Time) -> Result<(), BlobError> {
        let inner = self.inner.clone();
        let act = async move {
            let writer = inner.lock().await.take().ok_or_else(gone)?;
            writer.keep(now).await
        };
        self.line.call("blobs.keep", Effect::Here, act, blob_error).await
    }
}

impl Drop for CutWriter {
    fn drop(&mut self) {
        self.line.wire.abandon(self.inner.clone());
    }
}
