//! The work of kind `bulk`: changes the tasks that its filter selects, a page at a time.
//!
//! The ids of a page are kept before its tasks are changed, and their number afterwards. So after a crash the same page is done again, where a
//! task that was changed already counts all the same, and the number of all is exact.

use std::sync::Arc;

use futures::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use serde_json::json;
use task_data::idempotency::{Idempotency, IdempotencyKey};
use task_data::kinds::bulk::{Action, Input, Output as BulkOutput};
use task_data::life::{Life, Retried};
use task_data::store::{Cancel, Claim, Filter, ListPlace, Purge, Store};
use task_data::task::{Status, TaskError, TaskId};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::table::not_now;
use crate::work::{Output, WorkError};

/// The number of bulk acts worked on at once in a process.
pub const SLOTS: usize = 2;
/// The most tasks of a page, and how many of them are changed at once.
const PAGE: i64 = 100;
const AT_ONCE: usize = 8;

/// How far an act has come.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Progressed {
    /// The tasks of the page that is being changed.
    ids: Vec<Uuid>,
    /// The place after which the next page begins; `None` after the last one.
    next: Option<String>,
    /// Whether a page was read: before, `next` is not known.
    is_begun: bool,
    /// The result so far, of the pages before.
    #[serde(flatten)]
    output: BulkOutput,
}

/// Returns the error of an act that can't be read.
pub fn unreadable() -> WorkError {
    WorkError::Never(TaskError::new("invalid-bulk", "The bulk act can't be read."))
}

/// Changes the tasks.
pub async fn work(
    life: &Arc<Life>,
    store: &Arc<dyn Store>,
    claim: &Claim,
    input: Input,
    stop: &CancellationToken,
) -> Result<Output, WorkError> {
    let Some(filter) = input.filter() else { return Ok(json!(BulkOutput::default())) };
    let mut progress: Progressed = match store.progress(claim.id).await.map_err(not_now)? {
        Some(state) => serde_json::from_value(state).map_err(|_| unreadable())?,
        None => Progressed::default(),
    };
    loop {
        if stop.is_cancelled() {
            return Err(WorkError::Stopped);
        }
        if progress.ids.is_empty() {
            let is_over = progress.is_begun && progress.next.is_none();
            if is_over || !next_page(life, &filter, &mut progress).await? {
                return Ok(json!(progress.output));
            }
            keep(store, claim, &progress).await?;
        }
        let ids: Vec<TaskId> = progress.ids.drain(..).map(TaskId).collect();
        let changes = ids.into_iter().map(|id| changed(life, claim.id, input.action, id));
        let mut changes = stream::iter(changes).buffer_unordered(AT_ONCE);
        while let Some(is_changed) = changes.next().await {
            let BulkOutput { affected, skipped } = &mut progress.output;
            *if is_changed? { affected } else { skipped } += 1;
        }
        keep(store, claim, &progress).await?;
    }
}

/// Reads the next page that has tasks; returns `false` if there are no more.
async fn next_page(life: &Life, filter: &Filter, progress: &mut Progressed) -> Result<bool, WorkError> {
    loop {
        let after: Option<ListPlace> = progress.next.as_deref().and_then(|place| place.parse().ok());
        let filter = Filter { after, limit: PAGE, ..filter.clone() };
        let page = life.list(filter).await.map_err(not_now)?;
        progress.is_begun = true;
        progress.next = page.next.map(|place| place.to_string());
        progress.ids = page.tasks.iter().map(|task| task.id.0).collect();
        if !progress.ids.is_empty() || progress.next.is_none() {
            return Ok(!progress.ids.is_empty());
        }
    }
}

async fn keep(store: &Arc<dyn Store>, claim: &Claim, progress: &Progressed) -> Result<(), WorkError> {
    match store.keep_progress(claim.id, claim.attempt, json!(progress)).await {
        Ok(true) => Ok(()),
        // Another attempt has it.
        Ok(false) => Err(WorkError::Stopped),
        Err(error) => Err(not_now(error)),
    }
}

/// Changes a task, and returns whether it is changed, now or by an earlier attempt.
async fn changed(life: &Life, bulk: TaskId, action: Action, id: TaskId) -> Result<bool, WorkError> {
    match action {
        Action::Cancel => match life.cancel(id).await.map_err(not_now)? {
            Cancel::Accepted(_) => Ok(true),
            Cancel::Ended(task) => Ok(task.status == Status::Cancelled),
            Cancel::Newer(_) | Cancel::Unknown => Ok(false),
        },
        Action::Purge => {
            let purge = life.purge(id).await.map_err(not_now)?;
            Ok(matches!(purge, Purge::Done { .. } | Purge::Unknown))
        }
        Action::Retry => {
            let Some(task) = life.find(id).await.map_err(not_now)? else { return Ok(false) };
            // Under a key of this act and this task it is done again once, however often the page is.
            let key: Option<IdempotencyKey> = format!("bulk:{bulk}:{id}").parse().ok();
            let idempotency = key.map(|key| Idempotency::of(key, format!("retry {id}").as_bytes()));
            let retried = life.retry(idempotency, &task).await.map_err(|refusal| {
                WorkError::Later(TaskError::new(
                    "not-retried",
                    format!("A task could not be done again: {refusal}"),
                ))
            })?;
            Ok(matches!(retried, Retried::Accepted(_)))
        }
    }
}
