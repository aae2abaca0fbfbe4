//! Does an ended task again, as a task of its own, because an ended task never changes.

use tokio::time::Instant;

use super::{Accepted, Life};
use crate::blobs::BlobError;
use crate::error::Refusal;
use crate::idempotency::Idempotency;
use crate::kinds::{Kind, Work};
use crate::store::{NewTask, Payload, Upload};
use crate::task::{Task, TaskId};

/// The outcome of a retry.
#[derive(Debug, Clone, PartialEq)]
pub enum Retried {
    /// A new task was promised.
    Accepted(Box<Accepted>),
    /// The upload is not kept any more.
    UploadGone,
    /// No row of the table has failed.
    NothingFailed,
    /// Only a newer version knows the kind.
    Newer,
}

impl Life {
    /// Makes a new task of the same owner, kind and input as an ended one, with a copy of its upload; of a table, with its rows that failed.
    ///
    /// # Errors
    /// As [`accept`](Self::accept).
    ///
    /// # Cancel safety
    /// As [`accept`](Self::accept).
    pub async fn retry(&self, idempotency: Option<Idempotency>, ended: &Task) -> Result<Retried, Refusal> {
        let Some(kind) = ended.kind.known() else { return Ok(Retried::Newer) };
        if kind == Kind::Table {
            return self.retry_table(idempotency, ended).await;
        }
        let id = TaskId::random();
        let payload = match self.stack.store.upload(ended.id).await? {
            Some(Upload::Inline(bytes)) => Payload::Inline(bytes),
            Some(Upload::Blob { check }) => {
                let since = self.stack.store.now().await?;
                match self.stack.blobs.copy(ended.id, id, since).await {
                    Err(BlobError::Missing) => return Ok(Retried::UploadGone),
                    copied => copied?,
                }
                Payload::Blob { check, since }
            }
            None if kind == Kind::Md5 => return Ok(Retried::UploadGone),
            None => Payload::None,
        };
        let (owner, input, retried_from) = (ended.owner, ended.input.clone(), Some(ended.id));
        let new = NewTask { id, kind, owner, input, payload, idempotency, retried_from };
        Ok(Retried::Accepted(Box::new(self.promise(Instant::now(), new).await?)))
    }

    async fn retry_table(&self, idempotency: Option<Idempotency>, ended: &Task) -> Result<Retried, Refusal> {
        let failed = self.stack.store.table_progress(ended.id).await?.failed;
        let Ok(Work::Table(table)) = Work::read(Kind::Table, ended.input.clone()) else {
            return Ok(Retried::Newer);
        };
        if failed == 0 {
            return Ok(Retried::NothingFailed);
        }
        let again = table.again(ended.id, failed).into();
        let retried_from = Some(ended.id);
        let accepted = self.accept_without_upload(idempotency, ended.owner, again, retried_from).await?;
        Ok(Retried::Accepted(Box::new(accepted)))
    }
}
