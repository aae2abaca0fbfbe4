//! The work of each kind.

mod bulk;
pub mod checked_blob;
mod md5;
pub mod message;
pub mod table;

use std::sync::Arc;

use task_data::blobs::Blobs;
use task_data::kinds::{Kind, Work};
use task_data::life::Life;
use task_data::queue::Queue;
use task_data::store::{Claim, Store};
use task_data::task::TaskError;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Duration, sleep};
use tokio_util::sync::CancellationToken;

pub use self::md5::AT_ONCE;
use self::message::Messages;
use self::table::Tables;
use crate::hashing::Hashing;
use crate::work::{Output, WorkError};

/// The time that stopped work may take to notice it.
const LOOK_UP: Duration = Duration::from_secs(1);

/// The services that the work of each kind uses.
pub struct Workshop {
    /// The number of md5 tasks worked on at once.
    pub md5_concurrency: usize,
    pub life: Arc<Life>,
    pub store: Arc<dyn Store>,
    pub queue: Arc<dyn Queue>,
    pub blobs: Arc<dyn Blobs>,
    pub hashing: Hashing,
    pub messages: Messages,
    pub tables: Arc<Tables>,
}

impl Workshop {
    /// Returns the number of tasks of a kind that are worked on at once in this process.
    pub fn concurrency(&self, kind: Kind) -> usize {
        match kind {
            Kind::Md5 => self.md5_concurrency,
            Kind::Message => message::SLOTS,
            Kind::Table => table::SLOTS,
            Kind::Bulk => bulk::SLOTS,
        }
    }

    /// Does a claimed task, unless it is stopped. `content` is the upload, if it travels in the row. The permit is released as soon as the
    /// task does not need it any more.
    pub async fn work(
        &self,
        claim: &Claim,
        content: Option<Vec<u8>>,
        permit: OwnedSemaphorePermit,
        stop: CancellationToken,
    ) -> Result<Output, WorkError> {
        let stopped = async {
            stop.cancelled().await;
            sleep(LOOK_UP).await;
        };
        let work = async {
            match Work::read(claim.kind, claim.input.clone()).map_err(|_| unreadable(claim.kind))? {
                Work::Md5(input) => {
                    let outcome =
                        md5::work(&*self.blobs, &self.hashing, claim, input, content, stop.clone()).await;
                    drop(permit);
                    outcome
                }
                Work::Message(input) => self.messages.work(claim, input, permit).await,
                Work::Bulk(input) => {
                    let outcome = bulk::work(&self.life, &self.store, claim, input, &stop).await;
                    drop(permit);
                    outcome
                }
                Work::Table(input) => {
                    let outcome = self.tables.work(claim, input, &stop).await;
                    drop(permit);
                    outcome
                }
            }
        };
        tokio::select! {
            outcome = work => outcome,
            // A thread that hangs in a read does not notice the stop; its task must not hang with it.
            () = stopped => Err(WorkError::Stopped),
        }
    }
}

/// Does small work: an upload of up to [`AT_ONCE`] bytes that travels in the row.
pub fn work_at_once(small: &Claim) -> Result<Output, WorkError> {
    match (Work::read(small.kind, small.input.clone()), &small.content) {
        (Ok(Work::Md5(input)), Some(content)) => md5::at_once(&input, content),
        _ => Err(unreadable(small.kind)),
    }
}

/// Returns the error of a task whose input does not fit its kind.
fn unreadable(kind: Kind) -> WorkError {
    match kind {
        Kind::Md5 | Kind::Table => checked_blob::corrupt(),
        Kind::Bulk => bulk::unreadable(),
        Kind::Message => WorkError::Never(TaskError::new("invalid-message", "The message can't be read.")),
    }
}
