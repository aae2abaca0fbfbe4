//! What the steps of a promise do to many tasks at once: the bodies of `life`'s batches, on the runtime that started it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use database::batch::{Asked, Batcher};
use program::Backoff;
use tokio::sync::Notify as Signal;
use tokio::time::sleep;
use tracing::{debug, error, info, warn};

use super::{BATCH, GRACE, MARK_AFTER, Publishes, QueuedCompletion, Recorded};
use crate::blobs::delete_all;
use crate::idempotency::{Idempotency, OwnedKey};
use crate::kinds::Kind;
use crate::metrics;
use crate::stack::Stack;
use crate::store::{Completion, HandBack, Keyed, Moved, NewTask, Rules, StoreError, UnkeptRow};
use crate::task::{Status, Task, TaskError, TaskId, Ticket};

/// Inserts a batch, and hands what is new on to be published: the asker hears of it when both are done.
pub(super) async fn record_all(
    stack: Stack,
    publishes: Arc<Publishes>,
    asked: Vec<Asked<NewTask, Result<Recorded, StoreError>>>,
) {
    let (new, answers): (Vec<NewTask>, Vec<_>) = asked.into_iter().unzip();
    for (recorded, answer) in insert_all(&stack, new).await.into_iter().zip(answers) {
        match recorded {
            // One that was there already may be anywhere; the sweep has an eye on it.
            Ok(Recorded::New(task)) if task.status == Status::Pending => publishes.pass((task, answer)).await,
            other => {
                // An asker that went away doesn't want its answer.
                let _ = answer.send(other);
            }
        }
    }
}

/// Inserts a batch; if a row in it is refused, row by row, so that one bad row can't hold up its neighbours.
async fn insert_all(stack: &Stack, new: Vec<NewTask>) -> Vec<Result<Recorded, StoreError>> {
    match insert(stack, new.clone()).await {
        Ok(recorded) => recorded,
        Err(StoreError::Refused(_)) if new.len() > 1 => {
            let mut outcomes = Vec::with_capacity(new.len());
            for row in new {
                match insert(stack, vec![row]).await {
                    Ok(recorded) => outcomes.extend(recorded),
                    Err(error) => outcomes.push(Err(error)),
                }
            }
            outcomes
        }
        Err(error) => new.iter().map(|_| Err(error.clone())).collect(),
    }
}

/// A row to be, without what it carries.
struct Wanted {
    id: TaskId,
    kind: Kind,
    key: Option<OwnedKey>,
    idempotency: Option<Idempotency>,
}

impl From<&NewTask> for Wanted {
    fn from(new: &NewTask) -> Self {
        Self { id: new.id, kind: new.kind, key: new.owned_key(), idempotency: new.idempotency.clone() }
    }
}

/// What became of each row, in their order. Looked up by its own id first: an insert that is repeated meets itself.
///
/// # Errors
/// The insert's. Once that has committed, an error is of the rows alone that it left out: what stands, stands.
async fn insert(stack: &Stack, new: Vec<NewTask>) -> Result<Vec<Result<Recorded, StoreError>>, StoreError> {
    let rows: Vec<Wanted> = new.iter().map(Wanted::from).collect();
    let mut standing: HashMap<TaskId, Task> =
        stack.store.insert(new, GRACE).await?.into_iter().map(|task| (task.id, task)).collect();
    let lost = rows.iter().filter(|row| !standing.contains_key(&row.id));
    let keys: Vec<OwnedKey> = lost.filter_map(|row| row.key.clone()).collect();
    let winners = if keys.is_empty() { Ok(Vec::new()) } else { stack.store.keyed(keys).await };

    let recorded = rows.into_iter().map(|Wanted { id, kind, key, idempotency }| {
        if let Some(task) = standing.remove(&id) {
            return Ok(Recorded::New(task));
        }
        let winners = winners.as_ref().map_err(Clone::clone)?;
        Ok(match winners.iter().find(|winner| Some(winner.owned_key()) == key) {
            Some(Keyed { idempotency: theirs, task })
                if Some(theirs) == idempotency.as_ref() && task.kind == kind =>
            {
                Recorded::Before(task.clone())
            }
            Some(_) => Recorded::OtherContent,
            None => Recorded::TooLate,
        })
    });
    Ok(recorded.collect())
}

/// Publishes ids; gives those that the queue has confirmed.
pub(super) async fn publish(stack: &Stack, tickets: Vec<Ticket>) -> Vec<Ticket> {
    let confirmed = stack.queue.publish(tickets).await;
    metrics::published(confirmed.len());
    confirmed
}

/// Publishes a batch. Marked after the confirm: a crash in between publishes twice, and the claim makes that harmless.
pub(super) async fn publish_all(
    stack: Stack,
    marks: Arc<Batcher<Vec<Ticket>, ()>>,
    is_away: Arc<AtomicBool>,
    tasks: Vec<Task>,
) -> Vec<Result<Recorded, StoreError>> {
    // One that was looked for may have been swept and claimed meanwhile. Published in that attempt, it would be marked so when
    // it is handed back, with its message long gone, and nobody would bring it on soon.
    let tickets: Vec<Ticket> = tasks.iter().filter_map(Ticket::of).collect();
    let count = tickets.len();
    let confirmed = publish(&stack, tickets).await;
    let is_lacking = confirmed.len() < count;
    match (is_away.swap(is_lacking, Relaxed), is_lacking) {
        (false, true) => warn!("the queue does not confirm what is published; ids wait for the sweep"),
        (true, false) => info!("the queue confirms again what is published"),
        (false, false) | (true, true) => {}
    }
    if !confirmed.is_empty() {
        tokio::spawn(async move { marks.send(confirmed).await });
    }
    tasks.into_iter().map(|task| Ok(Recorded::New(task))).collect()
}

/// Marks what was published, a while later: most of it is claimed by then, which makes its mark needless.
pub(super) async fn mark_all(stack: Stack, confirmed: Vec<Vec<Ticket>>) -> Vec<()> {
    let answers = vec![(); confirmed.len()];
    sleep(MARK_AFTER).await;
    let tickets = confirmed.concat();
    // Few at a time: whoever claims what is being marked waits for that.
    for some in tickets.chunks(BATCH) {
        if let Err(error) = stack.store.mark_published(some.to_vec()).await {
            debug!(%error, "published ids could not be marked; they will be published again");
            break;
        }
    }
    answers
}

/// Keeps a batch of rows; if one in it is refused, one by one, so that it can't hold up its neighbours.
pub(super) async fn keep_all(stack: Stack, rows: Vec<UnkeptRow>) -> Vec<bool> {
    let keep = |some: &[UnkeptRow]| stack.store.keep_rows(some.to_vec());
    let mut kept = Vec::with_capacity(rows.len());
    match patiently("kept", || keep(&rows)).await {
        Some(running) => kept.extend(rows.iter().map(|row| running.contains(&(row.task, row.attempt)))),
        None if rows.len() == 1 => kept.push(false),
        None => {
            for one in rows.chunks(1) {
                kept.push(patiently("kept", || keep(one)).await.is_some_and(|running| !running.is_empty()));
            }
        }
    }
    kept
}

/// Ends a batch of tasks, and follows it up.
pub(super) async fn end_all(
    stack: Stack,
    owed: Arc<Signal>,
    rules: Rules,
    ends: Vec<QueuedCompletion>,
) -> Vec<bool> {
    let completions: Vec<Completion> = ends.iter().map(|end| end.completion.clone()).collect();
    let ended = complete_all(&stack, completions, rules).await;
    let mut is_mine = Vec::with_capacity(ends.len());
    for QueuedCompletion { completion, kind, age, .. } in &ends {
        let mine = ended.contains(&completion.id) || has_ended_so(&stack, completion).await;
        if mine {
            let Completion { id, attempt, outcome } = completion;
            let status = if outcome.is_ok() { Status::Succeeded } else { Status::Failed };
            metrics::ended(kind.name(), status);
            metrics::result(*age);
            tell_end(*id, *attempt, status, outcome.as_ref().err());
        } else {
            metrics::stale_completion();
        }
        is_mine.push(mine);
    }
    let mine = || ends.iter().zip(&is_mine).filter(|(_, mine)| **mine).map(|(end, _)| end);
    stack.notify.wake(mine().map(|end| end.completion.id).collect()).await;
    owed.notify_one();
    if !rules.keep_uploads {
        let blobs: Vec<TaskId> = mine().filter(|end| end.has_blob).map(|end| end.completion.id).collect();
        tokio::spawn(async move { delete_all(&*stack.blobs, blobs).await });
    }
    is_mine
}

/// Completes a batch; if one in it is refused, one by one, so that it can't hold up its neighbours.
async fn complete_all(stack: &Stack, completions: Vec<Completion>, rules: Rules) -> Vec<TaskId> {
    let complete = |some: &[Completion]| stack.store.complete(some.to_vec(), rules);
    match patiently("ended", || complete(&completions)).await {
        Some(ended) => ended,
        None if completions.len() == 1 => Vec::new(),
        None => {
            let mut ended = Vec::with_capacity(completions.len());
            for one in completions.chunks(1) {
                ended.extend(patiently("ended", || complete(one)).await.unwrap_or_default());
            }
            ended
        }
    }
}

/// Logs a committed end: a failure with its cause.
pub(super) fn tell_end(id: TaskId, attempt: i64, status: Status, error: Option<&TaskError>) {
    match (status, error) {
        (Status::Failed, Some(TaskError { code, detail })) => {
            warn!(task.id = %id, attempt, error.code = code, "task failed in attempt {attempt}: {code}: {detail}");
        }
        _ => debug!(task.id = %id, attempt, "task {}, attempt {attempt}", status.name()),
    }
}

/// Those of the attempts whose tasks have failed by this very hand-back, whose commit's answer was lost. A cancelled one may
/// as well have been cancelled later, by another who has told of it; so it is not given.
pub(super) async fn failed_so(stack: &Stack, returns: &[HandBack]) -> Vec<Moved> {
    let Ok(tasks) = stack.store.find(returns.iter().map(|back| back.id).collect()).await else {
        return Vec::new();
    };
    let is_ours = |task: &Task| {
        let back = returns.iter().find(|back| back.id == task.id && back.attempt == task.attempt);
        task.status == Status::Failed
            && back.is_some_and(|back| back.charge.is_some() && back.charge == task.error)
    };
    tasks.into_iter().filter(is_ours).map(Moved::from).collect()
}

/// Whether the row that did not change had ended by this very completion, whose commit's answer was lost.
async fn has_ended_so(stack: &Stack, completion: &Completion) -> bool {
    match stack.store.find(vec![completion.id]).await.as_deref() {
        Ok([task]) if task.attempt == completion.attempt => match &completion.outcome {
            Ok(result) => task.result.as_ref() == Some(result),
            Err(error) => task.status == Status::Failed && task.error.as_ref() == Some(error),
        },
        _ => false,
    }
}

/// Repeats what is safe to repeat until the database answers; `None` if it refuses the statement itself.
pub(super) async fn patiently<T, F>(what: &str, call: impl Fn() -> F) -> Option<T>
where
    F: Future<Output = Result<T, StoreError>>,
{
    for failures in 0.. {
        match call().await {
            Ok(answer) => return Some(answer),
            Err(error @ (StoreError::Refused(_) | StoreError::Internal(_))) => {
                error!(%error, cause = ?error, "tasks could not be {what}");
                return None;
            }
            Err(error) => {
                if failures == 0 {
                    warn!(%error, "tasks can't be {what} now; trying again");
                }
                sleep(Backoff::SERVER.delay(failures)).await;
            }
        }
    }
    None
}
