//! ★ The life of a promise, once, over the ports: steps 1 to 8, in the order in which they happen. What many tasks share of a
//! step is in `life/batches.rs`; what brings on whatever a crash has left, in `life/sweep.rs`.
//!
//! The row is the truth; a message is a wake-up; `attempt` fences every write after a claim. What a crash leaves in
//! each gap, and who mends it:
//!
//! | a crash after | leaves | mended by |
//! |---|---|---|
//! | 1. bytes taken in | a part, or a blob without a row; no id was given out | the orphan sweep: a part at once, a blob by its age |
//! | 2. row committed | `pending`, never published | the sweep, 2 s later |
//! | 3. id published | `pending`, not marked: published again | the claim, which only one wins |
//! | 4. answer sent | nothing | – |
//! | 5. claim committed | `running`, its worker gone; the message comes again or not | the sweep, at the lease's end |
//! | 6. work done | the same; the work is done again | the sweep, at the lease's end |
//! | 7. end committed | an ended row without its line; a blob without a use | the log step of anyone, which removes the blob first |
//! | 8. line written | a line whose row is not marked | the next log step, which finds it on the device |

mod batches;
mod sweep;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use database::UserId;
use database::batch::Batcher;
use parking_lot::Mutex;
use program::Backoff;
use serde_json::Value;
use shared_log::{LogError, SettleError, Settled, SharedLog};
use tokio::runtime::Handle;
use tokio::sync::Notify as Signal;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{debug, info, warn};

use self::batches::{end_all, failed_so, keep_all, mark_all, patiently, publish_all, record_all, tell_end};
use self::sweep::Flow;
use crate::blobs::delete_all;
use crate::error::Refusal;
use crate::idempotency::{Idempotency, IdempotencyKey};
use crate::intake::Intake;
use crate::kinds::table::SentRow;
use crate::kinds::{Kind, Work};
use crate::metrics;
use crate::outcome::{TaskLedger, log_name};
use crate::settings::Settings;
use crate::stack::Stack;
use crate::store::{
    Cancel, Claim, Claims, Completion, Filter, HandBack, Held, Moved, NewTask, Payload, StoreError, TaskPage,
    UnkeptRow,
};
use crate::task::{Status, Task, TaskError, TaskId, Ticket, WorkerId};
use crate::wait::{Waiters, Watch};

/// The API's own chance to publish, before the sweep does.
const GRACE: Duration = Duration::from_secs(2);
/// After this, a published task that nobody has claimed yet is marked so. Twice this is within `GRACE`.
const MARK_AFTER: Duration = Duration::from_millis(500);
/// When a task that was taken for publishing is due again, unless it was marked.
const PUBLISH_AGAIN: Duration = Duration::from_secs(30);
/// When a queue that is away is no longer thought to deliver what was published.
const DELIVERS_WITHIN: Duration = Duration::from_secs(30);
/// How long an insert whose commit stayed unknown is looked for.
const LOOK_FOR: Duration = Duration::from_secs(5);
/// Tasks that the sweep takes at a time.
const SWEEP_ROWS: i64 = 500;
/// Tasks in a batch at most.
const BATCH: usize = 256;
/// Batches of published ids that wait for their marks together at most.
const MARKS: usize = 1024;
/// Rows of tables in a batch at most. One may have some MiB.
const ROWS: usize = 16;

/// The protocol over one stack. Lives on the runtime that started it; its methods may be called from any.
pub struct Life {
    stack: Stack,
    settings: Settings,
    inserts: Batcher<NewTask, Result<Recorded, StoreError>>,
    publishes: Arc<Publishes>,
    keeps: Batcher<UnkeptRow, bool>,
    ends: Batcher<QueuedCompletion, bool>,
    waiters: Arc<Waiters>,
    log: Arc<SharedLog>,
    log_name: String,
    owed: Arc<Signal>,
    flows: Mutex<HashMap<Kind, Flow>>,
    /// Kinds that only a newer version knows, and that were named.
    newer_kinds: Mutex<HashSet<String>>,
    /// Whether all uploads were looked at since this process began.
    has_looked: AtomicBool,
}

/// Tasks that stand, on their way to the queue.
type Publishes = Batcher<Task, Result<Recorded, StoreError>>;

/// A completion on its way to the database.
#[derive(Clone)]
struct QueuedCompletion {
    completion: Completion,
    kind: Kind,
    has_blob: bool,
    /// From the task's row to its result.
    age: Duration,
}

/// A promise that was given.
#[derive(Debug, Clone, PartialEq)]
pub struct Accepted {
    /// The task, as it stands.
    pub task: Task,
    /// Whether it was given before, for the same content under the same idempotency key.
    pub is_replay: bool,
}

/// What came of a row to be.
enum Recorded {
    /// It stands.
    New(Task),
    /// Its idempotency key stands for this task, with the same content.
    Before(Task),
    /// Its idempotency key stands for a task of other content.
    OtherContent,
    /// Its blob may be gone: see `BLOB_IS_FRESH`.
    TooLate,
}

impl Life {
    /// Starts the batches on the current runtime.
    ///
    /// # Errors
    /// If the outcome log can't be where the settings say.
    pub fn start(stack: Stack, settings: Settings) -> Result<Arc<Self>, LogError> {
        metrics::describe();
        let log = SharedLog::new(&settings.outcome_log)?;
        let log_name = log_name(&settings).map_err(LogError::Io)?;
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
        Ok(Arc::new(Self {
            stack,
            settings,
            inserts,
            publishes,
            keeps,
            ends,
            waiters,
            log: Arc::new(log),
            log_name,
            owed,
            flows: Mutex::default(),
            newer_kinds: Mutex::default(),
            has_looked: AtomicBool::new(false),
        }))
    }

    /// The settings it was started with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    // 1. Take in.

    /// Begins an upload, under its client's idempotency key if it has one. Nothing is promised yet, and nothing
    /// remains of it if it is dropped.
    pub fn take_in(&self, key: Option<IdempotencyKey>) -> Intake {
        let inline_bytes = usize::try_from(self.settings.inline_bytes).unwrap_or(usize::MAX);
        Intake::new(self.stack.blobs.clone(), inline_bytes, key)
    }

    /// Begins an upload as [`take_in`](Self::take_in) does, which goes to the blob store however small it is: it can be read
    /// there as long as its task has not ended.
    pub fn take_in_blob(&self, key: Option<IdempotencyKey>) -> Intake {
        Intake::new(self.stack.blobs.clone(), 0, key)
    }

    // 2. Record. 3. Publish. 4. Answer.

    /// Makes the upload its owner's task, `pending`, and queues its id. When this returns the promise is kept, whether or not the
    /// queue has answered. An upload whose idempotency key stands for a task of this owner already, with the same content, is
    /// that task; of the upload nothing remains then.
    ///
    /// # Errors
    /// If the bytes or the row could not be made durable, or the key came with another content: nothing was promised.
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

    /// Makes an input a task as [`accept`](Self::accept) does, where no upload belongs to it.
    ///
    /// # Errors
    /// As above.
    ///
    /// # Cancel safety
    /// As above.
    pub async fn accept_input(
        &self,
        idempotency: Option<Idempotency>,
        owner: Option<UserId>,
        work: Work,
    ) -> Result<Accepted, Refusal> {
        self.accept_without_upload(idempotency, owner, work, None).await
    }

    /// Makes an input a task of the same owner as an ended one of its kind, which it takes up again.
    ///
    /// # Errors
    /// As above.
    ///
    /// # Cancel safety
    /// As above.
    pub async fn accept_again(
        &self,
        idempotency: Option<Idempotency>,
        ended: &Task,
        work: Work,
    ) -> Result<Accepted, Refusal> {
        self.accept_without_upload(idempotency, ended.owner, work, Some(ended.id)).await
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
            // The blob stays: the row may yet be there, and if it isn't, the orphan sweep sees it.
            Err(StoreError::Unknown(cause)) => {
                let task = self.look_for(id).await.ok_or(Refusal::Store(StoreError::Unknown(cause)))?;
                if task.status == Status::Pending {
                    let _ = self.publishes.send(task.clone()).await?;
                }
                task
            }
            Ok(Recorded::New(task)) => task,
            other => {
                // No row has it, and none will.
                if is_blob {
                    delete_all(&*self.stack.blobs, [id]).await;
                }
                return match other? {
                    Recorded::New(task) | Recorded::Before(task) => Ok(Accepted { task, is_replay: true }),
                    Recorded::OtherContent => Err(Refusal::KeyMismatch),
                    Recorded::TooLate => {
                        let late = std::io::Error::other("the row came too late after its upload");
                        Err(StoreError::Unavailable(Arc::new(late)).into())
                    }
                };
            }
        };
        metrics::accepted(kind, begun.elapsed());
        debug!(task.id = %id, %kind, "task accepted");
        Ok(Accepted { task, is_replay: false })
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
        self.waiters.find(id).await
    }

    /// The task as soon as it has ended, or after `timeout` as it stands then.
    ///
    /// # Errors
    /// The store's.
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

    /// A look-out for each change of a task.
    pub fn watch(&self, id: TaskId) -> Watch {
        self.waiters.watch(id)
    }

    /// Tasks by filter, newest first: a page of them.
    ///
    /// # Errors
    /// The store's.
    pub async fn list(&self, filter: Filter) -> Result<TaskPage, StoreError> {
        self.stack.store.list(filter).await
    }

    /// Counts the tasks of kinds that only a newer version knows, and names each such kind once.
    ///
    /// # Errors
    /// The store's.
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

    /// Brings the gauges up to what rows, queue and connections say now.
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
        metrics::connections(self.stack.store.pool_use());
    }

    /// Cancels a task that has not ended. One that runs is told at its worker's next beat; what commits first wins.
    ///
    /// # Errors
    /// The store's.
    pub async fn cancel(&self, id: TaskId) -> Result<Cancel, StoreError> {
        let outcome = self.stack.store.cancel(id, self.settings.rules()).await?;
        if let Cancel::Accepted(task) = &outcome {
            debug!(task.id = %id, "task is to be cancelled, it is {} now", task.status.name());
            self.moved(&[task.clone().into()]).await;
        }
        Ok(outcome)
    }

    // 5. Claim.

    /// Tasks of a kind that a worker may claim while the queue is away: so the queue is no single point of failure.
    /// Published ones only after a while, for it may yet deliver them.
    ///
    /// # Errors
    /// The store's.
    pub async fn unqueued(&self, kind: Kind, limit: usize) -> Result<Vec<TaskId>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.stack.store.unqueued(kind, limit, DELIVERS_WITHIN).await
    }

    /// Takes those of the tasks that are pending for the worker; the deliveries may be acknowledged when this returns.
    /// `None`: the database refuses the statement, and the sweep will bring the ids again.
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

    /// Keeps what came of a row of a claimed table, so that no later attempt sends it again. `false`: the claim had been
    /// superseded, or the row is refused, and nothing was kept. Waits for the database.
    ///
    /// # Cancel safety
    /// Once sent it goes on, whether or not the caller waits.
    pub async fn keep_row(&self, claim: &Claim, sent: SentRow) -> bool {
        let row = UnkeptRow { task: claim.id, attempt: claim.attempt, sent };
        self.keeps.send(row).await.unwrap_or(false)
    }

    // 7. Complete, or hand back.

    /// Ends the claimed task. `false`: the claim had been superseded, and nothing was changed.
    ///
    /// # Cancel safety
    /// Once sent it goes on, whether or not the caller waits.
    pub async fn complete(&self, claim: &Claim, outcome: Result<Value, TaskError>) -> bool {
        let end = QueuedCompletion {
            completion: Completion { id: claim.id, attempt: claim.attempt, outcome },
            kind: claim.kind,
            has_blob: claim.blob_check.is_some(),
            age: claim.waited + claim.at.elapsed(),
        };
        self.ends.send(end).await.unwrap_or(false)
    }

    /// Gives attempts up: their tasks are pending again, or have ended if that was wished or their tries are used up.
    ///
    /// # Errors
    /// The store's: the next beat sees what is still held, and the lease's end brings the rest back.
    pub async fn hand_back(&self, returns: Vec<HandBack>) -> Result<(), StoreError> {
        metrics::retried(returns.iter().filter(|back| back.charge.is_some()).count());
        let moved = match self.stack.store.hand_back(returns.clone(), self.settings.rules()).await {
            Err(error @ StoreError::Unknown(_)) => {
                // Without this, a task that failed for good would be one that nobody has told of.
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

    /// Follows a committed change of status: counts and logs each end, here alone for this commit; wakes those who wait; what
    /// has ended owes its line and needs no blob.
    async fn moved(&self, moved: &[Moved]) {
        let mut ended = Vec::new();
        for Moved { id, kind, attempt, status, error } in moved.iter().filter(|moved| moved.status.is_ended())
        {
            metrics::ended(kind.name(), *status);
            tell_end(*id, *attempt, *status, error.as_ref());
            ended.push(*id);
        }
        self.stack.notify.wake(moved.iter().map(|moved| moved.id).collect()).await;
        if !ended.is_empty() {
            self.owed.notify_one();
            if !self.settings.keep_uploads {
                delete_all(&*self.stack.blobs, ended).await;
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
        let mut ledger = TaskLedger {
            store: self.stack.store.clone(),
            blobs: (!self.settings.keep_uploads).then(|| self.stack.blobs.clone()),
            log: self.log_name.clone(),
            runtime: Handle::current(),
        };
        spawn_blocking(move || log.settle(&mut ledger))
            .await
            .unwrap_or_else(|error| Err(LogError::Io(std::io::Error::other(error)).into()))
    }
}
