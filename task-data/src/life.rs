//! ★ The life of a promise, once, over the ports: steps 1 to 8 and the sweep, in the order in which they happen.
//!
//! The row is the truth; a message is a wake-up; `attempt` fences every write after a claim. What a crash leaves in
//! each gap, and who mends it:
//!
//! | a crash after | leaves | mended by |
//! |---|---|---|
//! | 1. bytes taken in | a part, or a blob without a row; no id was given out | the orphan sweep |
//! | 2. row committed | `pending`, never published | the sweep, 2 s later |
//! | 3. id published | `pending`, not marked: published again | the claim, which only one wins |
//! | 4. answer sent | nothing | – |
//! | 5. claim committed | `running`, its worker gone; the message comes again or not | the sweep, at the lease's end |
//! | 6. work done | the same; the work is done again | the sweep, at the lease's end |
//! | 7. end committed | an ended row without its line; a blob without a use | the log step of anyone; the orphan sweep |
//! | 8. line written | a line whose row is not marked | the next log step, which finds it |

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use serde_json::Value;
use shared_log::{LogError, SettleError, Settled, SharedLog};
use tokio::runtime::Handle;
use tokio::sync::Notify as Signal;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{debug, error, info, warn};

use crate::backoff::Backoff;
use crate::batch::Batcher;
use crate::blobs::SHARDS;
use crate::error::Refusal;
use crate::intake::Intake;
use crate::kinds::Kind;
use crate::outcome::Rows;
use crate::settings::Settings;
use crate::stack::Stack;
use crate::store::{
    Cancel, Claim, Claims, Completion, Filter, HandBack, Held, NewTask, Rules, StoreError, Ticket, Upload,
};
use crate::task::{Status, Task, TaskId, Time, WorkerId};
use crate::wait::{Waiters, Watch};

/// The API's own chance to publish, before the sweep does.
const GRACE: Duration = Duration::from_secs(2);
/// When a task that was taken for publishing is due again, unless it was marked.
const PUBLISH_AGAIN: Duration = Duration::from_secs(30);
/// When a published task is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(600);
/// How long an insert whose commit stayed unknown is looked for.
const LOOK_FOR: Duration = Duration::from_secs(5);
/// Tasks that the sweep takes at a time.
const SWEEP_ROWS: i64 = 500;
/// Tasks in a batch at most.
const BATCH: usize = 256;

/// The protocol over one stack. Lives on the runtime that started it; its methods may be called from any.
pub struct Life {
    stack: Stack,
    settings: Settings,
    inserts: Batcher<NewTask, Result<Option<Task>, StoreError>>,
    publishes: Batcher<Ticket, ()>,
    ends: Batcher<End, bool>,
    waiters: Arc<Waiters>,
    log: Arc<SharedLog>,
    log_name: String,
    owed: Arc<Signal>,
}

/// A completion on its way to the database.
#[derive(Clone)]
struct End {
    completion: Completion,
    has_blob: bool,
}

impl Life {
    /// Starts the batches on the current runtime.
    ///
    /// # Errors
    /// If the outcome log can't be where the settings say.
    pub fn start(stack: Stack, settings: Settings) -> Result<Arc<Self>, LogError> {
        let log = SharedLog::new(&settings.outcome_log)?;
        let log_name =
            std::path::absolute(&settings.outcome_log).map_err(LogError::Io)?.to_string_lossy().into_owned();
        let owed = Arc::new(Signal::new());
        let inserts = Batcher::start(BATCH, {
            let stack = stack.clone();
            move |new| insert_all(stack.clone(), new)
        });
        let marks = Arc::new(Batcher::start(BATCH, {
            let stack = stack.clone();
            move |confirmed: Vec<Vec<Ticket>>| mark_all(stack.clone(), confirmed)
        }));
        let publishes = Batcher::start(BATCH, {
            let stack = stack.clone();
            move |tickets| publish_all(stack.clone(), marks.clone(), tickets)
        });
        let ends = Batcher::start(BATCH, {
            let (stack, owed, rules) = (stack.clone(), owed.clone(), settings.rules());
            move |ends| end_all(stack.clone(), owed.clone(), rules, ends)
        });
        let waiters = Waiters::start(stack.store.clone(), stack.notify.wakes());
        Ok(Arc::new(Self {
            stack,
            settings,
            inserts,
            publishes,
            ends,
            waiters,
            log: Arc::new(log),
            log_name,
            owed,
        }))
    }

    /// The ports, for what is no step of a promise's life.
    pub fn stack(&self) -> &Stack {
        &self.stack
    }

    /// The settings it was started with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    // 1. Take in.

    /// Begins an upload. Nothing is promised yet, and nothing remains of it if it is dropped.
    pub fn take_in(&self) -> Intake {
        let inline_bytes = usize::try_from(self.settings.inline_bytes).unwrap_or(usize::MAX);
        Intake::new(self.stack.blobs.clone(), inline_bytes)
    }

    // 2. Record. 3. Publish. 4. Answer.

    /// Makes the upload a task, `pending`, and queues its id. When this returns the promise is kept, whether or not the
    /// queue has answered.
    ///
    /// # Errors
    /// If the bytes or the row could not be made durable: nothing was promised.
    ///
    /// # Cancel safety
    /// A caller that goes away after the row was sent loses the answer, not the task.
    pub async fn accept(&self, intake: Intake, kind: Kind, input: Value) -> Result<Task, Refusal> {
        let id = intake.id();
        let upload = intake.keep(&*self.stack.store).await?;
        let is_blob = matches!(upload, Upload::Blob { .. });

        let recorded = match self.inserts.send(NewTask { id, kind, input, upload }).await? {
            // The blob stays: the row may yet be there, and if it isn't, the orphan sweep sees it.
            Err(StoreError::Unknown(cause)) => {
                self.look_for(id).await.ok_or(Refusal::Store(StoreError::Unknown(cause)))?
            }
            Ok(Some(task)) => task,
            refused => {
                if is_blob {
                    delete_blobs(&self.stack, &[id]).await;
                }
                refused?;
                let late = std::io::Error::other("the row came too late after its upload");
                return Err(StoreError::Unavailable(Arc::new(late)).into());
            }
        };

        let ticket = Ticket { id, kind, attempt: recorded.attempt };
        self.publishes.send(ticket).await?;
        debug!(task.id = %id, %kind, "task {id} accepted");
        Ok(recorded)
    }

    /// The row of an insert whose commit stayed unknown.
    async fn look_for(&self, id: TaskId) -> Option<Task> {
        let deadline = Instant::now() + LOOK_FOR;
        for failures in 0.. {
            if let Ok(Some(task)) = self.find(id).await {
                return Some(task);
            }
            let pause = Backoff::SERVER.delay(failures);
            if Instant::now() + pause >= deadline {
                break;
            }
            sleep(pause).await;
        }
        None
    }

    // Redeem: at any time after the answer, by anyone, at any process.

    /// The task as it stands; `None` if there is none.
    ///
    /// # Errors
    /// The store's.
    pub async fn find(&self, id: TaskId) -> Result<Option<Task>, StoreError> {
        Ok(self.stack.store.find(vec![id]).await?.pop())
    }

    /// The task as soon as it has ended, or after `patience` as it stands then.
    ///
    /// # Errors
    /// The store's.
    pub async fn wait(&self, id: TaskId, patience: Duration) -> Result<Option<Task>, StoreError> {
        let deadline = Instant::now() + patience;
        // Subscribed before the row is read, so that no change falls between.
        let mut watch = self.watch(id);
        let mut task = watch.now().await?;
        while task.as_ref().is_some_and(|task| !task.status.is_ended()) {
            match timeout_at(deadline, watch.changed()).await {
                Ok(Some(changed)) => task = Some(changed),
                Ok(None) | Err(_) => return watch.now().await,
            }
        }
        Ok(task)
    }

    /// A look-out for each change of a task.
    pub fn watch(&self, id: TaskId) -> Watch {
        self.waiters.watch(id)
    }

    /// Tasks by filter, newest first.
    ///
    /// # Errors
    /// The store's.
    pub async fn list(&self, filter: Filter) -> Result<Vec<Task>, StoreError> {
        self.stack.store.list(filter).await
    }

    /// Cancels a task that has not ended. One that runs is told at its worker's next beat; what commits first wins.
    ///
    /// # Errors
    /// The store's.
    pub async fn cancel(&self, id: TaskId) -> Result<Cancel, StoreError> {
        let outcome = self.stack.store.cancel(id, self.settings.rules()).await?;
        if let Cancel::Accepted(task) = &outcome {
            self.moved(&[(id, task.status)]).await;
        }
        Ok(outcome)
    }

    // 5. Claim.

    /// Takes those of the tasks that are pending for the worker; the deliveries may be acknowledged when this returns.
    /// `None`: the database refuses the statement, and the sweep will bring the ids again.
    pub async fn claim(&self, ids: Vec<TaskId>, worker: WorkerId) -> Option<Claims> {
        patiently("claimed", || self.stack.store.claim(ids.clone(), worker)).await
    }

    // 6. Work, under a lease on all that the worker process holds.

    /// Begins a lease for a worker process. Waits for the database.
    pub async fn begin_lease(&self, worker: WorkerId, name: &str) {
        let lease = self.settings.lease_seconds;
        patiently("leased", || self.stack.store.register(worker, name.to_owned(), lease)).await;
        info!(%worker, "worker {worker} has its lease");
    }

    /// Extends the lease; `None` if it was lost, and with it all that the worker holds.
    ///
    /// # Errors
    /// The store's: the lease goes on until it lapses.
    pub async fn beat(&self, worker: WorkerId) -> Result<Option<Vec<Held>>, StoreError> {
        self.stack.store.beat(worker, self.settings.lease_seconds).await
    }

    /// Ends the lease of a worker that holds nothing any more.
    ///
    /// # Errors
    /// The store's: the lease then lapses by itself.
    pub async fn end_lease(&self, worker: WorkerId) -> Result<(), StoreError> {
        self.stack.store.retire(worker).await
    }

    // 7. Complete, or hand back.

    /// Ends the claimed task. `false`: the claim had been superseded, and nothing was changed.
    ///
    /// # Cancel safety
    /// Once sent it goes on, whether or not the caller waits.
    pub async fn complete(&self, claim: &Claim, outcome: Result<Value, crate::task::TaskError>) -> bool {
        let completion = Completion { id: claim.id, attempt: claim.attempt, outcome };
        let end = End { completion, has_blob: claim.blob_check.is_some() };
        self.ends.send(end).await.unwrap_or(false)
    }

    /// Gives attempts up: their tasks are pending again, or have ended if that was wished or their tries are used up.
    ///
    /// # Errors
    /// The store's: the next beat sees what is still held, and the lease's end brings the rest back.
    pub async fn hand_back(&self, returns: Vec<HandBack>) -> Result<(), StoreError> {
        let moved = self.stack.store.hand_back(returns, self.settings.rules()).await?;
        self.moved(&moved).await;
        Ok(())
    }

    /// Follows a committed change of status: wakes those who wait; what has ended owes its line and needs no blob.
    async fn moved(&self, moved: &[(TaskId, Status)]) {
        let ended: Vec<TaskId> =
            moved.iter().filter(|(_, status)| status.is_ended()).map(|(id, _)| *id).collect();
        self.stack.notify.wake(moved.iter().map(|(id, _)| *id).collect()).await;
        if !ended.is_empty() {
            self.owed.notify_one();
            if !self.settings.keep_uploads {
                delete_blobs(&self.stack, &ended).await;
            }
        }
    }

    // 8. Log.

    /// Returns when lines may be owed.
    ///
    /// # Cancel safety
    /// A hint that was not returned is returned by the next call.
    pub async fn lines_owed(&self) {
        self.owed.notified().await;
    }

    /// Writes lines that are owed, if nobody else has the log. See `shared_log` for the order that makes them exactly one.
    ///
    /// # Errors
    /// The log's and the store's; [`LogError::SyncFailed`] must end the process.
    pub async fn log_outcomes(&self) -> Result<Settled, SettleError<StoreError>> {
        let log = self.log.clone();
        let mut rows =
            Rows { store: self.stack.store.clone(), log: self.log_name.clone(), runtime: Handle::current() };
        spawn_blocking(move || log.settle(&mut rows))
            .await
            .unwrap_or_else(|error| Err(LogError::Io(std::io::Error::other(error)).into()))
    }

    // The sweep: brings on what a crash has left between two steps.

    /// For the one process of an embedded stack, when it starts: nobody else holds a lease, and the queue is empty.
    ///
    /// # Errors
    /// The store's.
    pub async fn begin_alone(&self) -> Result<(), StoreError> {
        self.stack.store.begin_alone().await
    }

    /// One sweep over the rows: tasks of lost workers go back, and what is pending and due is published.
    ///
    /// # Errors
    /// The store's: the next sweep goes on.
    pub async fn sweep(&self) -> Result<(), StoreError> {
        let returned = self.stack.store.return_lost(self.settings.rules()).await?;
        for (id, status) in &returned {
            warn!(task.id = %id, "task {id} was held by a lost worker, it is {} now", status.name());
        }
        if !returned.is_empty() {
            self.moved(&returned).await;
        }
        self.publish_due().await?;
        // A line may be owed by a process that is gone.
        self.owed.notify_one();
        Ok(())
    }

    async fn publish_due(&self) -> Result<(), StoreError> {
        loop {
            let due = self.stack.store.due(SWEEP_ROWS, PUBLISH_AGAIN).await?;
            let count = due.len() as i64;
            let mut tickets = Vec::with_capacity(due.len());
            let mut queued = Vec::new();
            for kind in Kind::ALL {
                let of_kind = || due.iter().filter(move |due| due.ticket.kind == kind);
                tickets.extend(of_kind().filter(|due| !due.published).map(|due| due.ticket));
                let published: Vec<Ticket> =
                    of_kind().filter(|due| due.published).map(|due| due.ticket).collect();
                // A long backlog is not published again, a lost queue is.
                match published.is_empty() || self.is_queue_whole(kind).await? {
                    true => queued.extend(published),
                    false => tickets.extend(published),
                }
            }
            let sent = tickets.len();
            let confirmed = self.stack.queue.publish(tickets).await;
            let is_stuck = confirmed.len() < sent;
            queued.extend(confirmed);
            if !queued.is_empty() {
                self.stack.store.mark_published(queued, LOOK_AGAIN).await?;
            }
            if is_stuck {
                debug!("the queue has not taken all that is due; the sweep tries again");
            }
            if is_stuck || count < SWEEP_ROWS {
                return Ok(());
            }
        }
    }

    /// Whether the queue still has a message for each published row that waits.
    async fn is_queue_whole(&self, kind: Kind) -> Result<bool, StoreError> {
        match self.stack.queue.depth(kind).await {
            Ok(depth) => {
                let rows = self.stack.store.published_pending(kind).await?;
                Ok(i64::try_from(depth).unwrap_or(i64::MAX) >= rows)
            }
            Err(_) => Ok(false),
        }
    }

    /// One sweep over the bytes: what no task that lives needs, and is old enough, is removed.
    ///
    /// # Errors
    /// The store's and the blobs': the next sweep goes on.
    pub async fn remove_orphans(&self) -> Result<(), Refusal> {
        let age = TimeDelta::from_std(self.settings.orphan_seconds).unwrap_or(TimeDelta::MAX);
        let now = self.stack.store.now().await?;
        let Some(before) = now.0.checked_sub_signed(age).map(Time) else { return Ok(()) };
        let mut removed = self.stack.blobs.remove_unfinished(before).await?;
        for shard in 0..SHARDS {
            let kept = self.stack.blobs.kept_before(shard, before).await?;
            for ids in kept.chunks(SWEEP_ROWS as usize) {
                let tasks = self.stack.store.find(ids.to_vec()).await?;
                let is_needed = |id: &TaskId| {
                    tasks
                        .iter()
                        .any(|task| task.id == *id && (self.settings.keep_uploads || !task.status.is_ended()))
                };
                for id in ids.iter().filter(|id| !is_needed(id)) {
                    self.stack.blobs.delete(*id).await?;
                    removed += 1;
                }
            }
        }
        if removed > 0 {
            info!(removed, "{removed} orphaned uploads removed");
        }
        Ok(())
    }
}

/// Inserts a batch; if a row in it is refused, row by row, so that one bad row can't hold up its neighbours.
async fn insert_all(stack: Stack, new: Vec<NewTask>) -> Vec<Result<Option<Task>, StoreError>> {
    let ids: Vec<TaskId> = new.iter().map(|new| new.id).collect();
    match stack.store.insert(new.clone(), GRACE).await {
        Ok(mut tasks) => ids
            .iter()
            .map(|id| Ok(tasks.iter().position(|task| task.id == *id).map(|at| tasks.swap_remove(at))))
            .collect(),
        Err(StoreError::Refused(_)) if new.len() > 1 => {
            let mut outcomes = Vec::with_capacity(new.len());
            for row in new {
                outcomes.push(stack.store.insert(vec![row], GRACE).await.map(|mut tasks| tasks.pop()));
            }
            outcomes
        }
        Err(error) => ids.iter().map(|_| Err(error.clone())).collect(),
    }
}

/// Publishes a batch. Marked after the confirm: a crash in between publishes twice, and the claim makes that harmless.
async fn publish_all(stack: Stack, marks: Arc<Batcher<Vec<Ticket>, ()>>, tickets: Vec<Ticket>) -> Vec<()> {
    let answers = vec![(); tickets.len()];
    let confirmed = stack.queue.publish(tickets).await;
    if confirmed.len() < answers.len() {
        warn!("{} ids wait for the sweep: the queue did not confirm them", answers.len() - confirmed.len());
    }
    if !confirmed.is_empty() {
        tokio::spawn(async move { marks.send(confirmed).await });
    }
    answers
}

async fn mark_all(stack: Stack, confirmed: Vec<Vec<Ticket>>) -> Vec<()> {
    let answers = vec![(); confirmed.len()];
    if let Err(error) =
        stack.store.mark_published(confirmed.into_iter().flatten().collect(), LOOK_AGAIN).await
    {
        debug!(%error, "published ids could not be marked; they will be published again");
    }
    answers
}

/// Ends a batch of tasks, and follows it up.
async fn end_all(stack: Stack, owed: Arc<Signal>, rules: Rules, ends: Vec<End>) -> Vec<bool> {
    let completions: Vec<Completion> = ends.iter().map(|end| end.completion.clone()).collect();
    let ended = complete_all(&stack, completions, rules).await;
    let mut is_mine = Vec::with_capacity(ends.len());
    for End { completion, .. } in &ends {
        is_mine.push(ended.contains(&completion.id) || has_ended_so(&stack, completion).await);
    }
    let mine = || ends.iter().zip(&is_mine).filter(|(_, mine)| **mine).map(|(end, _)| end);
    stack.notify.wake(mine().map(|end| end.completion.id).collect()).await;
    owed.notify_one();
    if !rules.keep_uploads {
        let blobs: Vec<TaskId> = mine().filter(|end| end.has_blob).map(|end| end.completion.id).collect();
        tokio::spawn(async move { delete_blobs(&stack, &blobs).await });
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

async fn delete_blobs(stack: &Stack, ids: &[TaskId]) {
    for id in ids {
        if let Err(error) = stack.blobs.delete(*id).await {
            warn!(task.id = %id, %error, "the upload of task {id} could not be removed; the orphan sweep will");
        }
    }
}

/// Repeats what is safe to repeat until the database answers; `None` if it refuses the statement itself.
async fn patiently<T, F>(what: &str, call: impl Fn() -> F) -> Option<T>
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
