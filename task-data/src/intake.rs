//! Taking bytes in: a small upload stays in memory and travels in the row, a larger one goes to the blob store.

use std::hash::Hasher;
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use twox_hash::XxHash3_64;

use crate::blobs::{BlobError, BlobWriter, Blobs};
use crate::error::Refusal;
use crate::idempotency::{Idempotency, IdempotencyKey};
use crate::store::{Payload, Store};
use crate::task::TaskId;

/// An upload in progress. Dropped before it is kept, it leaves nothing behind.
pub struct Intake {
    id: TaskId,
    size: u64,
    inline_bytes: usize,
    blobs: Arc<dyn Blobs>,
    so_far: SoFar,
    keyed: Option<(IdempotencyKey, Sha256)>,
}

enum SoFar {
    Memory(Vec<u8>),
    Blob { writer: Box<dyn BlobWriter>, check: Box<XxHash3_64> },
}

impl Intake {
    pub(crate) fn new(blobs: Arc<dyn Blobs>, inline_bytes: usize, key: Option<IdempotencyKey>) -> Self {
        let so_far = SoFar::Memory(Vec::new());
        let keyed = key.map(|key| (key, Sha256::new()));
        Self { id: TaskId::random(), size: 0, inline_bytes, blobs, so_far, keyed }
    }

    /// Returns the id that the task will have.
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// Returns the number of bytes taken in so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds bytes. Memory stays bounded whatever the upload's length.
    ///
    /// # Errors
    /// The blob store's; the upload is then lost and must be sent again.
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), BlobError> {
        self.size += chunk.len() as u64;
        if let Some((_, sha256)) = &mut self.keyed {
            sha256.update(&chunk);
        }
        if let SoFar::Memory(bytes) = &mut self.so_far {
            if bytes.len() + chunk.len() <= self.inline_bytes {
                bytes.extend_from_slice(&chunk);
                return Ok(());
            }
            let head = Bytes::from(std::mem::take(bytes));
            let mut writer = self.blobs.create(self.id).await?;
            let mut check = Box::new(XxHash3_64::new());
            check.write(&head);
            writer.write(head).await?;
            self.so_far = SoFar::Blob { writer, check };
        }
        if let SoFar::Blob { writer, check } = &mut self.so_far {
            check.write(&chunk);
            writer.write(chunk).await?;
        }
        Ok(())
    }

    /// Makes a blob durable. A small upload needs nothing here: its row makes it durable.
    pub(crate) async fn keep(self, store: &dyn Store) -> Result<(Payload, Option<Idempotency>), Refusal> {
        let idempotency =
            self.keyed.map(|(key, sha256)| Idempotency { key, content_sha256: sha256.finalize().into() });
        let upload = match self.so_far {
            SoFar::Memory(bytes) => Payload::Inline(bytes),
            SoFar::Blob { writer, check } => {
                let since = store.now().await?;
                writer.keep(since).await?;
                Payload::Blob { check: check.finish().cast_signed(), since }
            }
        };
        Ok((upload, idempotency))
    }
}
