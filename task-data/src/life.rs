//! ★ The life of a promise over the ports: steps 1 to 8, in the order in which they happen. `life/batches.rs` does a step for many
//! tasks at once; `life/sweep.rs` moves on what a crash has left; `life/retry.rs` does an ended task again;
//! `life/retention.rs` deletes what ended long ago.
//!
//! The row is the truth; a message is a wake-up; `attempt` fences every write after a claim. What a crash leaves in
//! each gap, and which part repairs it:
//!
//! | a crash after | leaves | repaired by |
//! |---|---|---|
//! | 1. bytes taken in | a part, or a blob without a row; no id was given out | the orphan sweep: a part at once, a blob by its age |
//! | 2. row committed | `pending`, never published | the sweep, 2 s later |
//! | 3. id published | `pending`, not marked: published again | the claim, which only one wins |
//! | 4. answer sent | nothing | – |
//! | 5. claim refused by a pause | `pending`, its message not acknowledged: delivered again | a claim, after the pause |
//! | 5. small work read | `pending`, its message not acknowledged: delivered again, or published by the sweep | a claim |
//! | 5. claim committed | `running`, its worker gone; the message comes again or not | the sweep, at the lease's end |
//! | 6. work done | the same; the work is done again | the sweep, at the lease's end |
//! | 7. end committed | an ended row without its line; a blob without a use | the next step of each log, which removes the blob first |
//! | 8. line written | a line after the log's head | the next log step, which finds it on the device |

mod batches;
mod pauses;
mod retention;
mod retry;
mod stats;
mod sweep;
mod workers;

use std::collections::{HashMap, HashSet};
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use database::UserId;
use database::batch::Batcher;
use parking_lot::Mutex;
use program::Backoff;
use serde_json::Value;
use shared_log::{Done, LogError, SettleError, Settled, SharedLog};
use tokio::sync::Notify as Signal;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{debug, info, warn};

use self::batches::{end_all, failed_so, keep_all, mark_all, patiently, publish_all, record_all, tell_end};
pub use self::retry::Retried;
pub use self::stats::Point;
use self::sweep::Flow;
use crate::blobs::delete_all;
use crate::error::Refusal;
use crate::idempotency::{Idempotency, IdempotencyKey};
use crate::intake::Intake;
use crate::kinds::table::SentRow;
use crate::kinds::{Kind, Work};
use crate::metrics;
use crate::outcome::OutcomeLedger;
use crate::settings::{LogName, Settings};
use crate::stack::Stack;
use crate::store::{
    Attempt, Beat, Cancel, Claim, Claims, Completion, Filter, HandBack, ListPlace, Moved, NewTask, Payload,
    Retry, StoreError, TaskCount, TaskPage, UnkeptRow,
};
use crate::tail::Tail;
use crate::task::{Status, Task, TaskError, TaskId, Ticket, WorkerId};
use crate::wait::{Waiters, Watch};

/// The time the API has to publish a task before the sweep does.
const GRACE: Duration = Duration::from_secs(2);
/// The time after which a published task that no worker has claimed is marked as published. Twice this is less than `GRACE`.
const MARK_AFTER: Duration = Duration::from_millis(500);
/// The time after which a task that the sweep took for publishing is due again, unless it was marked.
const PUBLISH_AGAIN: Duration = Duration::from_secs(30);
/// The time after which a queue that is away is not expected to deliver what was published.
const DELIVERS_WITHIN: Duration = Duration::from_secs(30);
/// How long the row of an insert with an unknown commit is looked for.
const LOOK_FOR: Duration = Duration::from_secs(5);
/// The number of tasks that the sweep takes at a time.
const SWEEP_ROWS: i64 = 500;
/// The largest batch of tasks.
const BATCH: usize = 256;
/// The most batches of published ids that wait for their marks together.
const MARKS: usize = 1024;
/// The largest batch of rows of tables. A row may have some MiB.
const ROWS: usize = 16;

/// The protocol over one stack. Lives on the runtime that started it; its methods may be called from any runtime.
pub struct Life {
    stack: Stack,
    settings: Settings,
    inserts: Batcher<NewTask, Result<Recorded, StoreError>>,
    publishes: Arc<Publishes>,
    keeps: Batcher<UnkeptRow, bool>,
    ends: Batcher<QueuedCompletion, bool>,
    waiters: Arc<Waiters>,
    outcomes: Arc<Tail>,
    /// `None` if this process writes no outcome log.
    log: Option<(SharedLog, LogName)>,
    owed: Arc<Signal>,
    flows: Mutex<HashMap<Kind, Flow>>,
    /// Kinds that only a newer version knows and that were logged already.
    newer_kinds: Mutex<HashSet<String>>,
    /// Whether this process has looked at all uploads since it began.
    has_looked: AtomicBool,
}

/// Committed tasks on their way to the queue.
type Publishes = Batcher<Task, Result<Recorded, StoreError>>;

/// A completion on its way to the database.
#[derive(Clone)]
struct QueuedCompletion {
    completion: Completion,
    kind: Kind,
    has_blob: bool,
    /// The time from the task's row to its result.
    age: Duration,
}

/// A promise that was given.
#[derive(Debug, Clone, PartialEq)]
pub struct Accepted {
    /// The task in its current state.
    pub task: Task,
    /// Whether the promise was given before, for the same content under the same idempotency key.
    pub is_replay: bool,
}

/// The outcome of an insert.
enum Recorded {
    /// The row was inserted.
    New(Task),
    /// The idempotency key belongs to this task, with the same content.
    Before(Task),
    /// The idempotency key belongs to a task with different content.
    OtherContent,
    /// The blob may be gone: see `BLOB_IS_FRESH`.
    TooLate,
}

impl Life {
    /// Starts the batches on the current runtime.
    ///
    /// # Errors
    /// If the outcome log can't be opened at the path in the settings.
    pub fn start(stack: Stack, settings: Settings) -> Result<Arc<Self>, LogError> {
        metrics::begin();
        let named = |path| Ok((SharedLog::new(path)?, settings.log_name(path).map_err(LogError::Io)?));
        let log = settings.log_path().map(named).transpose()?;
        let owed = Arc::new(Signal::new());
        let marks = Arc::new(Batcher::start(MARKS, {
            let stack = stack.clone();
            move |confirmed: Vec<Vec<Ticket>>| mark_all(stack.clone(), confirmed)
        }));
        let publishes = Arc::new(Batcher::start(BATCH, {
            let (stack, is_away) = (stack.clone(), Arc::new(AtomicBool::new(false)));
            move |tasks| publish_all(stack.clone(), marks.clone(), is_away.clone(), tasks)
        }));
        let inserts = Batcher::start_chain(BATCH, {
            let (stack, publishes) = (stack.clone(), publishes.clone());
            move |asked| record_all(stack.clone(), publishes.clone(), asked)
        });
        let keeps = Batcher::start(ROWS, {
            let stack = stack.clone();
            move |rows| keep_all(stack.clone(), rows)
        });
        let ends = Batcher::start(BATCH, {
            let (stack, owed, rules) = (stack.clone(), owed.clone(), settings.rules());
            move |ends| end_all(stack.clone(), owed.clone(), rules, ends)
        });
        let waiters = Waiters::start(stack.store.clone(), stack.notify.wakes());
        let outcomes = Tail::start(stack.store.clone(), stack.notify.wakes());
        Ok(Arc::new(Self {
            stack,
            settings,
            inserts,
            publishes,
            keeps,
            ends,
            waiters,
            outcomes,
            log,
            owed,
            flows: Mutex::default(),
            newer_kinds: Mutex::default(),
            has_looked: AtomicBool::new(false),
        }))
    }

    /// Returns the settings that the protocol was started with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    // 1. Take in.

    /// Begins an upload, under its client's idempotency key if it has one. Nothing is promised yet; dropped, the upload leaves nothing
    /// behind.
    pub fn take_in(&self, key: Option<IdempotencyKey>) -> Intake {
        let inline_bytes = usize::try_from(self.settings.inline_bytes).unwrap_or(usize::MAX);
        Intake::new(self.stack.blobs.clone(), inline_bytes, key)
    }

    /// Begins an upload like [`take_in`](Self::take_in), but always into the blob store, however small it is: it can be read there until
    /// its task has ended.
    pub fn take_in_blob(&self, key: Option<IdempotencyKey>) -> Intake {
        Intake::new(self.stack.blobs.clone(), 0, key)
    }

    // 2. Record. 3. Publish. 4. Answer.

    /// Makes the upload a `pending` task of its owner, and queues its id. When this returns the task is promised, whether or not the
    /// queue has answered. If the idempotency key already belongs to a task of this owner with the same content, returns that task and
    /// drops the upload.
    ///
    /// # Errors
    /// If the bytes or the row could not be made durable, or the key was used with different content: nothing was promised.
    ///
    /// # Cancel safety
    /// A caller that goes away after the row was sent loses the answer, not the task.
    pub async fn accept(
        &self,
        intake: Intake,
        owner: Option<UserId>,
        work: Work,
    ) -> Result<Accepted, Refusal> {
        let begun = Instant::now();
        let id = intake.id();
        let (payload, idempotency) = intake.keep(&*self.stack.store).await?;
        let (kind, input) = work.into_row();
        let new = NewTask { id, kind, owner, input, payload, idempotency, retried_from: None };
        self.promise(begun, new).await
    }

    /// Makes an input a task as [`accept`](Self::accept) does, without an upload.
    ///
    /// # Errors
    /// As [`accept`](Self::accept).
    ///
    /// # Cancel safety
    /// As [`accept`](Self::accept).
    pub async fn accept_input(
        &self,
        idempotency: Option<Idempotency>,
        owner: Option<UserId>,
        work: Work,
    ) -> Result<Accepted, Refusal> {
        self.accept_without_upload(idempotency, owner, work, None).await
    }

    async fn accept_without_upload(
        &self,
        idempotency: Option<Idempotency>,
        owner: Option<UserId>,
        work: Work,
        retried_from: Option<TaskId>,
    ) -> Result<Accepted, Refusal> {
        let (kind, input) = work.into_row();
        let (id, payload) = (TaskId::random(), Payload::None);
        let new = NewTask { id, kind, owner, input, payload, idempotency, retried_from };
        self.promise(Instant::now(), new).await
    }

    async fn promise(&self, begun: Instant, new: NewTask) -> Result<Accepted, Refusal> {
        let (id, kind) = (new.id, new.kind);
        let is_blob = matches!(new.payload, Payload::Blob { .. });

        let task = match self.inserts.send(new).await? {
            // The blob stays: the row may exist after all; if it does not, the orphan sweep removes the blob.
            Err(StoreError::Unknown(cause)) => {
                let task = self.look_for(id).await.ok_or(Refusal::Store(StoreError::Unknown(cause)))?;
                if task.status == Status::Pending {
                    let _ = self.publishes.send(task.clone()).await?;
                }
                task
            }
            Ok(Recorded::New(task)) => task,
            other => {
                // No row has the blob, and none will.
                if is_blob {
                    delete_all(&*self.stack.blobs, [id]).await;
                }
                return match other? {
                    Recorded::New(task) | Recorded::Before(task) => Ok(Accepted { task, is_replay: true }),
                    Recorded::OtherContent => Err(Refusal::KeyMismatch),
                    Recorded::TooLate => {
                        let late =
                            std::io::Error::other("the upload took too long to be recorded; send it again");
                        Err(StoreError::Unavailable(Arc::new(late)).into())
                    }
                };
            }
        };
        metrics::accepted(kind, begun.elapsed());
        debug!(task.id = %id, %kind, "task accepted");
        Ok(Accepted { task, is_replay: false })
    }

    /// Looks for the row of an insert with an unknown commit.
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

    // Redeem: at any time after the answer, by any client, at any process.

    /// Returns the task; `None` if it does not exist.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn find(&self, id: TaskId) -> Result<Option<Task>, StoreError> {
        self.waiters.find(id).await
    }

    /// Returns the task as soon as it has ended, or after `timeout` in its state then.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn wait(&self, id: TaskId, timeout: Duration) -> Result<Option<Task>, StoreError> {
        let deadline = Instant::now() + timeout;
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

    /// Watches a task for changes.
    pub fn watch(&self, id: TaskId) -> Watch {
        self.waiters.watch(id)
    }

    /// Returns the feed of outcomes, for readers.
    pub fn outcomes(&self) -> &Arc<Tail> {
        &self.outcomes
    }

    /// Returns a page of the tasks that pass a filter.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn list(&self, filter: Filter) -> Result<TaskPage, StoreError> {
        self.stack.store.list(filter).await
    }

    /// Counts the tasks that pass a filter, up to `most`.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn count(&self, filter: Filter, most: i64) -> Result<TaskCount, StoreError> {
        self.stack.store.count(filter, most).await
    }

    /// Counts the tasks of a list exactly: those among the next so many rows, and the place where the count goes on.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn count_on(&self, filter: Filter, rows: i64) -> Result<(i64, Option<ListPlace>), StoreError> {
        self.stack.store.count_on(filter, rows).await
    }

    /// Counts the tasks of kinds that only a newer version knows, and logs each such kind once.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn look_for_newer_kinds(&self) -> Result<(), StoreError> {
        let kinds = self.stack.store.newer_kinds().await?;
        metrics::newer_kinds(kinds.iter().map(|(_, count)| count).sum());
        let mut told = self.newer_kinds.lock();
        for (kind, count) in kinds {
            if told.insert(kind.clone()) {
                warn!(
                    kind,
                    "{count} tasks are of kind `{kind}`, which only a newer version knows; they are left to it"
                );
            }
        }
        Ok(())
    }

    /// Updates the gauges from rows, queue and connections.
    pub async fn look_around(&self) {
        for kind in Kind::ALL {
            match self.stack.store.stats(kind).await {
                Ok(stats) => metrics::rows(&stats),
                Err(error) => debug!(%error, "the rows could not be counted"),
            }
            metrics::queue(kind, self.stack.queue.depth(kind).await.ok());
        }
        if let Err(error) = self.look_for_newer_kinds().await {
            debug!(%error, "the tasks of newer kinds could not be counted");
        }
        match self.stack.store.size_bytes().await {
            Ok(bytes) => metrics::database_bytes(bytes),
            Err(error) => debug!(%error, "the database's size is not known"),
        }
        match self.stack.store.log_lags().await {
            Ok(lags) => metrics::logs(&lags),
            Err(error) => debug!(%error, "the outcome logs could not be compared with the feed"),
        }
        match self.pauses().await {
            Ok(pauses) => metrics::paused(&pauses),
            Err(error) => debug!(%error, "the pauses could not be read"),
        }
        metrics::connections(self.stack.store.pool_use());
    }

    /// Returns the attempts of a task, first one first; none for a task that was never begun, or is not there.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn attempts(&self, id: TaskId) -> Result<Vec<Attempt>, StoreError> {
        self.stack.store.attempts(id).await
    }

    /// Returns the tasks that do a task again, newest first, at most 10.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn retries(&self, id: TaskId) -> Result<Vec<Retry>, StoreError> {
        self.stack.store.retries(id).await
    }

    /// Cancels a task that has not ended. The worker of a running task learns of it at its next heartbeat; the first commit wins.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn cancel(&self, id: TaskId) -> Result<Cancel, StoreError> {
        let outcome = self.stack.store.cancel(id, self.settings.rules()).await?;
        if let Cancel::Accepted(task) = &outcome {
            debug!(task.id = %id, "task is to be cancelled, it is {} now", task.status.name());
            self.moved(&[task.clone().into()]).await;
        }
        Ok(outcome)
    }

    // 5. Claim, or only read: small work ends from `pending`, by one statement that names the attempt that was read. A task that a worker may
    // have died of is claimed, so that its attempts are charged.

    /// Returns tasks of a kind that a worker may claim while the queue is away, so that the queue is not a single point of failure.
    /// Published tasks are included only after a while, since the queue may yet deliver them.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn unqueued(&self, kind: Kind, limit: usize) -> Result<Vec<TaskId>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.stack.store.unqueued(kind, limit, DELIVERS_WITHIN).await
    }

    /// Returns those of the tasks that may be done without a claim, with up to `bytes` of content. Their deliveries must not be acknowledged
    /// before [`complete`](Self::complete) has returned: until then no lease returns them.
    pub async fn read_small(&self, ids: Vec<TaskId>, bytes: i64) -> Vec<Claim> {
        // After an error the tasks are claimed instead.
        let small =
            patiently("read", || self.stack.store.small(ids.clone(), bytes)).await.unwrap_or_default();
        self.delivered(&small);
        small
    }

    /// Claims those of the tasks, all of one kind, that are pending for the worker. The deliveries may be acknowledged when this returns, but
    /// for those of tasks that wait: their kind is paused. `None` if the database rejects the statement: the sweep will publish the ids
    /// again.
    pub async fn claim(&self, ids: Vec<TaskId>, worker: WorkerId) -> Option<Claims> {
        let claims = patiently("claimed", || self.stack.store.claim(ids.clone(), worker)).await?;
        self.delivered(&claims.claimed);
        self.stack.notify.wake(claims.claimed.iter().map(|claim| claim.id).collect()).await;
        Some(claims)
    }

    // 6. Work, under a lease on all that the worker process holds.

    /// Begins a lease for a worker process. Waits for the database.
    pub async fn begin_lease(&self, worker: WorkerId, name: &str) {
        let lease = self.settings.lease_seconds;
        patiently("leased", || self.stack.store.register(worker, name.to_owned(), lease)).await;
        info!(%worker, "the worker has its lease");
    }

    /// Extends the lease; `None` if the lease was lost, and with it all tasks that the worker holds.
    ///
    /// # Errors
    /// If the store fails: the lease continues until it lapses.
    pub async fn beat(&self, worker: WorkerId) -> Result<Option<Beat>, StoreError> {
        self.stack.store.beat(worker, self.settings.lease_seconds).await
    }

    /// Ends the lease of a worker that holds no tasks.
    ///
    /// # Errors
    /// If the store fails: the lease then lapses by itself.
    pub async fn end_lease(&self, worker: WorkerId) -> Result<(), StoreError> {
        self.stack.store.retire(worker).await
    }

    /// Keeps the result of a row of a claimed table, so that no later attempt sends the row again. Returns `false` if nothing was kept,
    /// because the claim was superseded or the database rejects the row. Waits for the database.
    ///
    /// # Cancel safety
    /// Once sent it completes, whether or not the caller waits.
    pub async fn keep_row(&self, claim: &Claim, sent: SentRow) -> bool {
        let row = UnkeptRow { task: claim.id, attempt: claim.attempt, sent };
        self.keeps.send(row).await.unwrap_or(false)
    }

    // 7. Complete, or hand back.

    /// Ends the task that was claimed or read. Returns `false` if another has it or has ended it, or if it was only read and its kind is
    /// paused; nothing was changed then.
    ///
    /// # Cancel safety
    /// Once sent it completes, whether or not the caller waits.
    pub async fn complete(&self, claim: &Claim, outcome: Result<Value, TaskError>) -> bool {
        let end = QueuedCompletion {
            completion: Completion { id: claim.id, from: claim.status, attempt: claim.attempt, outcome },
            kind: claim.kind,
            has_blob: claim.blob_check.is_some(),
            age: claim.waited + claim.at.elapsed(),
        };
        self.ends.send(end).await.unwrap_or(false)
    }

    /// Gives attempts up: their tasks become pending again, or end if they were to be cancelled or have used up their attempts.
    ///
    /// # Errors
    /// If the store fails: the next heartbeat sees what is still held, and the lease's end returns the rest.
    pub async fn hand_back(&self, returns: Vec<HandBack>) -> Result<(), StoreError> {
        metrics::retried(returns.iter().filter(|back| back.charge.is_some()).count());
        let moved = match self.stack.store.hand_back(returns.clone(), self.settings.rules()).await {
            Err(error @ StoreError::Unknown(_)) => {
                // Otherwise the end of a task that failed for good would be neither counted nor logged.
                self.moved(&failed_so(&self.stack, &returns).await).await;
                return Err(error);
            }
            outcome => outcome?,
        };
        for Moved { id, status, .. } in &moved {
            debug!(task.id = %id, "task was handed back, it is {} now", status.name());
        }
        let again = moved.iter().filter(|moved| moved.status == Status::Pending);
        for Moved { id, attempt, .. } in again {
            let back = returns.iter().find(|back| back.id == *id && back.attempt == *attempt);
            if let Some(HandBack { after, charge: Some(error), .. }) = back {
                let seconds = after.as_secs_f64();
                info!(task.id = %id, error.code, "task is tried again in {seconds:.1} s: {}", error.detail);
            }
        }
        self.moved(&moved).await;
        Ok(())
    }

    /// Follows a committed change of status: counts and logs each end, exactly once for this commit; wakes the waiting clients; marks that
    /// lines are due, and removes the blobs of ended tasks.
    async fn moved(&self, moved: &[Moved]) {
        let (mut has_ended, mut useless) = (false, Vec::new());
        for Moved { id, kind, attempt, status, error } in moved.iter().filter(|moved| moved.status.is_ended())
        {
            metrics::ended(kind.name(), *status);
            tell_end(*id, *attempt, *status, error.as_ref());
            if !self.settings.rules().keep_uploads.keeps(*status) {
                useless.push(*id);
            }
            has_ended = true;
        }
        self.stack.notify.wake(moved.iter().map(|moved| moved.id).collect()).await;
        if has_ended {
            self.owed.notify_one();
        }
        delete_all(&*self.stack.blobs, useless).await;
    }

    // 8. Log.

    /// Waits until lines may be due; forever if this process writes no log.
    ///
    /// # Cancel safety
    /// A hint that was not returned is returned by the next call.
    pub async fn lines_owed(&self) {
        match self.log {
            Some(_) => self.owed.notified().await,
            None => pending().await,
        }
    }

    /// Writes the lines that are due, unless another process holds the log's lock. See `shared_log` for the order that makes each line
    /// exactly one.
    ///
    /// # Errors
    /// If the log or the store fails; [`LogError::SyncFailed`] must end the process.
    pub async fn log_outcomes(&self) -> Result<Settled, SettleError<StoreError>> {
        let Some((log, name)) = self.log.clone() else { return Ok(Settled::Done(Done::default())) };
        let uploads = (self.stack.blobs.clone(), self.settings.rules().keep_uploads);
        let mut ledger = OutcomeLedger::new(self.stack.store.clone(), uploads, name);
        spawn_blocking(move || log.settle(&mut ledger))
            .await
            .unwrap_or_else(|error| Err(LogError::Io(std::io::Error::other(error)).into()))
    }
}
