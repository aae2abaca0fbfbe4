//! The steps of a promise for many tasks at once: the bodies of `life`'s batches, on the runtime that started it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use database::batch::{Asked, Batcher};
use program::{Backoff, in_one_line};
use serde_json::Value;
use tokio::sync::Notify as Signal;
use tokio::time::sleep;
use tracing::{debug, error, info, warn};

use super::{BATCH, GRACE, MARK_AFTER, Publishes, QueuedCompletion, Recorded};
use crate::blobs::delete_all;
use crate::idempotency::{Idempotency, OwnedKey};
use crate::kinds::Kind;
use crate::metrics;
use crate::queue::Turn;
use crate::stack::Stack;
use crate::store::{Completion, HandBack, Keyed, Moved, NewTask, Rules, StoreError, UnkeptRow};
use crate::task::{Status, Task, TaskError, TaskId, Ticket};

/// Inserts a batch, and hands new tasks on to be published: the caller gets its answer when both are done.
pub(super) async fn record_all(
    stack: Stack,
    publishes: Arc<Publishes>,
    asked: Vec<Asked<NewTask, Result<Recorded, StoreError>>>,
) {
    let (new, answers): (Vec<NewTask>, Vec<_>) = asked.into_iter().unzip();
    for (recorded, answer) in insert_all(&stack, new).await.into_iter().zip(answers) {
        match recorded {
            // A task that existed before may be anywhere; the sweep takes care of it.
            Ok(Recorded::New(task)) if task.status == Status::Pending => publishes.pass((task, answer)).await,
            other => {
                // A caller that went away does not want its answer.
                let _ = answer.send(other);
            }
        }
    }
}

/// Inserts a batch; if the database rejects it, row by row, so that one bad row can't hold up the others.
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

/// The parts of a new row that identify it.
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

/// Inserts rows and returns the outcome of each, in their order. Each row is looked up by its own id first: a repeated insert finds
/// its own row.
///
/// # Errors
/// If the insert fails. After its commit, an error concerns only the rows that it left out.
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

/// Publishes ids. Returns those that the queue has confirmed.
pub(super) async fn publish(stack: &Stack, tickets: Vec<Ticket>, turn: Turn) -> Vec<Ticket> {
    let confirmed = stack.queue.publish(tickets, turn).await;
    metrics::published(confirmed.len());
    confirmed
}

/// Publishes a batch. Ids are marked after the confirm: a crash in between publishes twice, and the claim makes that harmless.
pub(super) async fn publish_all(
    stack: Stack,
    marks: Arc<Batcher<Vec<Ticket>, ()>>,
    is_away: Arc<AtomicBool>,
    tasks: Vec<Task>,
) -> Vec<Result<Recorded, StoreError>> {
    // A task that was looked for may have been swept and claimed meanwhile. Published in that attempt, it would be marked as published when
    // it is handed back, although its message is long gone, and would wait for long.
    let tickets: Vec<Ticket> = tasks.iter().filter_map(Ticket::of).collect();
    let count = tickets.len();
    let confirmed = publish(&stack, tickets, Turn::First).await;
    let is_lacking = confirmed.len() < count;
    match (is_away.swap(is_lacking, Relaxed), is_lacking) {
        (false, true) => warn!("the queue does not confirm published ids; the sweep will publish them again"),
        (true, false) => info!("the queue confirms published ids again"),
        (false, false) | (true, true) => {}
    }
    if !confirmed.is_empty() {
        tokio::spawn(async move { marks.send(confirmed).await });
    }
    tasks.into_iter().map(|task| Ok(Recorded::New(task))).collect()
}

/// Marks published ids a while later: most of their tasks are claimed by then, which makes the mark needless.
pub(super) async fn mark_all(stack: Stack, confirmed: Vec<Vec<Ticket>>) -> Vec<()> {
    let answers = vec![(); confirmed.len()];
    sleep(MARK_AFTER).await;
    let tickets = confirmed.concat();
    // Small chunks: a claim of an id that is being marked waits for the mark.
    for some in tickets.chunks(BATCH) {
        if let Err(error) = stack.store.mark_published(some.to_vec()).await {
            debug!(%error, "published ids could not be marked; they will be published again");
            break;
        }
    }
    answers
}

/// Keeps a batch of rows; if the database rejects it, row by row, so that one bad row can't hold up the others.
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

/// Ends a batch of tasks, and does what follows their ends.
pub(super) async fn end_all(
    stack: Stack,
    owed: Arc<Signal>,
    rules: Rules,
    ends: Vec<QueuedCompletion>,
) -> Vec<bool> {
    let completions: Vec<Completion> = ends.iter().map(|end| end.completion.clone()).collect();
    let mut ended = complete_all(&stack, completions, rules).await;
    let mut is_mine = Vec::with_capacity(ends.len());
    for QueuedCompletion { completion, kind, age, .. } in &ends {
        // Removed: small work that was delivered twice may be in one batch twice.
        let mine = ended.remove(&completion.id);
        if mine {
            let Completion { id, attempt, outcome, .. } = completion;
            let status = status_of(outcome);
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
    let goes = |end: &&QueuedCompletion| {
        end.has_blob && !rules.keep_uploads.keeps(status_of(&end.completion.outcome))
    };
    let blobs: Vec<TaskId> = mine().filter(goes).map(|end| end.completion.id).collect();
    if !blobs.is_empty() {
        tokio::spawn(async move { delete_all(&*stack.blobs, blobs).await });
    }
    is_mine
}

/// Returns the status with which a task ends by its work.
fn status_of(outcome: &Result<Value, TaskError>) -> Status {
    if outcome.is_ok() { Status::Succeeded } else { Status::Failed }
}

/// Completes a batch; if the database rejects it, one by one, so that one bad completion can't hold up the others. Returns the tasks that it
/// has ended, also by a try whose answer was lost.
async fn complete_all(stack: &Stack, completions: Vec<Completion>, rules: Rules) -> HashSet<TaskId> {
    let was_lost = &AtomicBool::new(false);
    let complete = |some: &[Completion]| {
        let ended = stack.store.complete(some.to_vec(), rules);
        async move {
            ended.await.inspect_err(|error| {
                was_lost.fetch_or(matches!(error, StoreError::Unknown(_)), Relaxed);
            })
        }
    };
    let mut ended = HashSet::with_capacity(completions.len());
    match patiently("ended", || complete(&completions)).await {
        Some(together) => ended.extend(together),
        None if completions.len() == 1 => {}
        None => {
            for one in completions.chunks(1) {
                ended.extend(patiently("ended", || complete(one)).await.unwrap_or_default());
            }
        }
    }
    if was_lost.load(Relaxed) {
        for completion in &completions {
            if !ended.contains(&completion.id) && has_ended_so(stack, completion).await {
                ended.insert(completion.id);
            }
        }
    }
    ended
}

/// Logs a committed end: a failure with its cause.
pub(super) fn tell_end(id: TaskId, attempt: i64, status: Status, error: Option<&TaskError>) {
    match (status, error) {
        (Status::Failed, Some(TaskError { code, detail })) => {
            error!(task.id = %id, attempt, error.code = code, "task failed in attempt {attempt}: {code}: {detail}");
        }
        _ => debug!(task.id = %id, attempt, "task {}, attempt {attempt}", status.name()),
    }
}

/// Returns the attempts whose tasks have failed by this very hand-back, after the answer to its commit was lost. Cancelled tasks are left
/// out: another hand-back may have cancelled them later, and logged it.
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

/// Returns whether a row that did not change had ended by this very completion, after the answer to its commit was lost.
async fn has_ended_so(stack: &Stack, completion: &Completion) -> bool {
    match stack.store.find(vec![completion.id]).await.as_deref() {
        Ok([task]) if task.attempt == completion.attempt => match &completion.outcome {
            Ok(result) => task.result.as_ref() == Some(result),
            Err(error) => task.status == Status::Failed && task.error.as_ref() == Some(error),
        },
        _ => false,
    }
}

/// Repeats a call that is safe to repeat until the database answers; `None` if the database rejects the statement itself.
pub(super) async fn patiently<T, F>(what: &str, call: impl Fn() -> F) -> Option<T>
where
    F: Future<Output = Result<T, StoreError>>,
{
    for failures in 0.. {
        match call().await {
            Ok(answer) => return Some(answer),
            Err(error @ (StoreError::Refused(_) | StoreError::Internal(_))) => {
                error!(error = in_one_line(&error), "tasks could not be {what}");
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
