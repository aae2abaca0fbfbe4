//! The ports as a process on a wire sees them: each call goes through the wire, and tells how it fails.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use database::UserId;
use serde_json::{Value, json};
use task_data::blobs::{BlobError, BlobReader, BlobWriter, Blobs};
use task_data::idempotency::OwnedKey;
use task_data::kinds::Kind;
use task_data::notify::Notify;
use task_data::queue::{Consumer, Delivery, Queue, QueueError, Receipt};
use task_data::shared_log::Head;
use task_data::stack::Stack;
use task_data::store::{
    Cancel, Claims, Completion, Filter, HandBack, Held, Holdings, KeptRows, Keyed, KindStats, Leases, Moved,
    NewTask, Outcomes, PaidCalls, PaidEntry, Payload, PoolUse, RowFilter, Rules, StoreError, TableProgress,
    TableRows, TaskPage, Tasks, UnkeptRow, Upkeep,
};
use task_data::task::{Task, TaskId, Ticket, Time, WorkerId};
use tokio::sync::broadcast;

use super::{Phase, Wire};

fn store_error<T>(phase: Phase) -> Result<T, StoreError> {
    let cause = Arc::new(io::Error::other("cut"));
    Err(if phase == Phase::Before { StoreError::Unavailable(cause) } else { StoreError::Unknown(cause) })
}

fn blob_error<T>(_: Phase) -> Result<T, BlobError> {
    Err(BlobError::Io(io::Error::other("cut")))
}

fn queue_error<T>(_: Phase) -> Result<T, QueueError> {
    Err(QueueError("cut".to_owned()))
}

/// The name of an upload whose input comes to the store as what `serde_json` could not read back.
pub const UNREADABLE: &str = "unreadable";

/// What `serde_json` could not read back.
pub fn unreadable() -> Value {
    (0..250).fold(json!({}), |inner, _| json!([inner]))
}

pub struct CutStore {
    pub wire: Arc<Wire>,
    pub inner: Stack,
}

/// A method of the store, by its like of the store within.
macro_rules! through {
    ($self:ident, $method:ident($($argument:expr),*), reads) => {
        through!($self, $method($($argument),*), false)
    };
    ($self:ident, $method:ident($($argument:expr),*), changes) => {
        through!($self, $method($($argument),*), true)
    };
    ($self:ident, $method:ident($($argument:expr),*), $changes:literal) => {{
        let effect = $self.inner.store.$method($($argument),*);
        $self.wire.call(concat!("store.", stringify!($method)), $changes, effect, store_error).await
    }};
}

#[async_trait]
impl Tasks for CutStore {
    async fn insert(&self, mut new: Vec<NewTask>, grace: Duration) -> Result<Vec<Task>, StoreError> {
        for new in new.iter_mut().filter(|new| new.input["filename"] == UNREADABLE) {
            new.input = unreadable();
        }
        for new in new.iter().filter(|new| matches!(new.payload, Payload::Blob { .. })) {
            if self.inner.blobs.open(new.id).await.is_err() {
                self.wire.wrong(format!("task {} was recorded before its blob was kept", new.id));
            }
        }
        through!(self, insert(new, grace), changes)
    }

    async fn find(&self, ids: Vec<TaskId>) -> Result<Vec<Task>, StoreError> {
        through!(self, find(ids), reads)
    }

    async fn keyed(&self, keys: Vec<OwnedKey>) -> Result<Vec<Keyed>, StoreError> {
        through!(self, keyed(keys), reads)
    }

    async fn list(&self, filter: Filter) -> Result<TaskPage, StoreError> {
        through!(self, list(filter), reads)
    }

    async fn mark_published(&self, tickets: Vec<Ticket>) -> Result<(), StoreError> {
        through!(self, mark_published(tickets), changes)
    }

    async fn claim(&self, ids: Vec<TaskId>, worker: WorkerId) -> Result<Claims, StoreError> {
        through!(self, claim(ids, worker), changes)
    }

    async fn complete(&self, completions: Vec<Completion>, rules: Rules) -> Result<Vec<TaskId>, StoreError> {
        through!(self, complete(completions, rules), changes)
    }

    async fn hand_back(&self, returns: Vec<HandBack>, rules: Rules) -> Result<Vec<Moved>, StoreError> {
        through!(self, hand_back(returns, rules), changes)
    }

    async fn cancel(&self, id: TaskId, rules: Rules) -> Result<Cancel, StoreError> {
        through!(self, cancel(id, rules), changes)
    }

    async fn due(&self, limit: i64, repeat: Duration) -> Result<Vec<Ticket>, StoreError> {
        through!(self, due(limit, repeat), changes)
    }

    async fn pending(&self) -> Result<i64, StoreError> {
        through!(self, pending(), reads)
    }

    async fn holdings(&self, owner: UserId) -> Result<Holdings, StoreError> {
        through!(self, holdings(owner), reads)
    }

    async fn unqueued(
        &self,
        kind: Kind,
        limit: i64,
        published_ago: Duration,
    ) -> Result<Vec<TaskId>, StoreError> {
        through!(self, unqueued(kind, limit, published_ago), reads)
    }

    async fn due_again(&self, ids: Vec<TaskId>) -> Result<(), StoreError> {
        through!(self, due_again(ids), changes)
    }

    async fn published_before(
        &self,
        kind: Kind,
        ago: Duration,
        limit: i64,
    ) -> Result<Vec<Ticket>, StoreError> {
        through!(self, published_before(kind, ago, limit), reads)
    }

    async fn stats(&self, kind: Kind) -> Result<KindStats, StoreError> {
        through!(self, stats(kind), reads)
    }

    async fn newer_kinds(&self) -> Result<Vec<(String, i64)>, StoreError> {
        through!(self, newer_kinds(), reads)
    }

    fn pool_use(&self) -> PoolUse {
        self.inner.store.pool_use()
    }
}

#[async_trait]
impl Leases for CutStore {
    async fn register(&self, worker: WorkerId, name: String, lease: Duration) -> Result<(), StoreError> {
        through!(self, register(worker, name, lease), changes)
    }

    async fn beat(&self, worker: WorkerId, lease: Duration) -> Result<Option<Vec<Held>>, StoreError> {
        through!(self, beat(worker, lease), changes)
    }

    async fn retire(&self, worker: WorkerId) -> Result<(), StoreError> {
        through!(self, retire(worker), changes)
    }

    async fn return_lost(&self, rules: Rules) -> Result<Vec<Moved>, StoreError> {
        through!(self, return_lost(rules), changes)
    }

    async fn begin_alone(&self) -> Result<(), StoreError> {
        through!(self, begin_alone(), changes)
    }

    async fn stuck(
        &self,
        ids: Vec<TaskId>,
        lapsed: Duration,
        overdue: Duration,
    ) -> Result<Vec<TaskId>, StoreError> {
        through!(self, stuck(ids, lapsed, overdue), reads)
    }

    async fn live_leases(&self) -> Result<i64, StoreError> {
        through!(self, live_leases(), reads)
    }
}

#[async_trait]
impl Upkeep for CutStore {
    async fn now(&self) -> Result<Time, StoreError> {
        through!(self, now(), reads)
    }

    async fn try_write(&self) -> Result<(), StoreError> {
        through!(self, try_write(), changes)
    }

    async fn free_bytes(&self) -> Result<Option<u64>, StoreError> {
        through!(self, free_bytes(), reads)
    }

    async fn close(&self) -> Result<(), StoreError> {
        through!(self, close(), reads)
    }
}

#[async_trait]
impl Outcomes for CutStore {
    async fn log_head(&self, log: String) -> Result<Option<Head>, StoreError> {
        through!(self, log_head(log), reads)
    }

    async fn begin_log(&self, log: String, seen: Option<u32>, new: Head) -> Result<bool, StoreError> {
        through!(self, begin_log(log, seen, new), changes)
    }

    async fn unlogged(&self, limit: i64) -> Result<Vec<Task>, StoreError> {
        through!(self, unlogged(limit), reads)
    }

    async fn commit_log(&self, log: String, written: Vec<TaskId>, head: Head) -> Result<bool, StoreError> {
        through!(self, commit_log(log, written, head), changes)
    }
}

#[async_trait]
impl PaidCalls for CutStore {
    async fn record_paid_call(
        &self,
        id: TaskId,
        attempt: i64,
        free_opens_in: Option<Duration>,
    ) -> Result<PaidEntry, StoreError> {
        through!(self, record_paid_call(id, attempt, free_opens_in), changes)
    }

    async fn withdraw_paid_call(&self, id: TaskId, attempt: i64) -> Result<(), StoreError> {
        through!(self, withdraw_paid_call(id, attempt), changes)
    }
}

#[async_trait]
impl TableRows for CutStore {
    async fn keep_rows(&self, rows: Vec<UnkeptRow>) -> Result<Vec<(TaskId, i64)>, StoreError> {
        through!(self, keep_rows(rows), changes)
    }

    async fn table_progress(&self, id: TaskId) -> Result<TableProgress, StoreError> {
        through!(self, table_progress(id), reads)
    }

    async fn last_attempt(&self, id: TaskId) -> Result<i64, StoreError> {
        through!(self, last_attempt(id), reads)
    }

    async fn kept_numbers(&self, id: TaskId, after: i64, limit: i64) -> Result<Vec<i64>, StoreError> {
        through!(self, kept_numbers(id, after, limit), reads)
    }

    async fn kept_rows(
        &self,
        id: TaskId,
        after: i64,
        until: i64,
        filter: RowFilter,
        limit: i64,
    ) -> Result<KeptRows, StoreError> {
        through!(self, kept_rows(id, after, until, filter, limit), reads)
    }
}

pub struct CutQueue {
    pub wire: Arc<Wire>,
    pub inner: Stack,
}

#[async_trait]
impl Queue for CutQueue {
    async fn publish(&self, tickets: Vec<Ticket>) -> Vec<Ticket> {
        for Ticket { id, .. } in &tickets {
            if self.inner.store.find(vec![*id]).await.unwrap().is_empty() {
                self.wire.wrong(format!("id {id} was published before its row was committed"));
            }
        }
        self.wire.call("queue.publish", true, self.inner.queue.publish(tickets), |_| Vec::new()).await
    }

    async fn consume(&self, kind: Kind, prefetch: u16) -> Result<Box<dyn Consumer>, QueueError> {
        let effect = self.inner.queue.consume(kind, prefetch);
        let inner = self.wire.call("queue.consume", false, effect, queue_error).await?;
        Ok(Box::new(CutConsumer { wire: self.wire.clone(), inner }))
    }

    async fn depth(&self, kind: Kind) -> Result<u64, QueueError> {
        self.wire.call("queue.depth", false, self.inner.queue.depth(kind), queue_error).await
    }
}

struct CutConsumer {
    wire: Arc<Wire>,
    inner: Box<dyn Consumer>,
}

#[async_trait]
impl Consumer for CutConsumer {
    async fn next(&mut self) -> Option<Delivery> {
        let Delivery { id, receipt } =
            self.wire.call("queue.next", true, self.inner.next(), |_| None).await?;
        Some(Delivery { id, receipt: Box::new(CutReceipt { wire: self.wire.clone(), inner: receipt }) })
    }
}

struct CutReceipt {
    wire: Arc<Wire>,
    inner: Box<dyn Receipt>,
}

#[async_trait]
impl Receipt for CutReceipt {
    async fn ack(self: Box<Self>) {
        let Self { wire, inner } = *self;
        wire.call("queue.ack", true, inner.ack(), |_| ()).await;
    }
}

pub struct CutBlobs {
    pub wire: Arc<Wire>,
    pub inner: Arc<dyn Blobs>,
}

#[async_trait]
impl Blobs for CutBlobs {
    async fn create(&self, id: TaskId) -> Result<Box<dyn BlobWriter>, BlobError> {
        let inner = self.wire.call("blobs.create", true, self.inner.create(id), blob_error).await?;
        Ok(Box::new(CutWriter { wire: self.wire.clone(), inner }))
    }

    async fn open(&self, id: TaskId) -> Result<Box<dyn BlobReader>, BlobError> {
        self.wire.call("blobs.open", false, self.inner.open(id), blob_error).await
    }

    async fn try_write(&self) -> Result<(), BlobError> {
        self.wire.call("blobs.try_write", true, self.inner.try_write(), blob_error).await
    }

    async fn delete(&self, id: TaskId) -> Result<(), BlobError> {
        self.wire.call("blobs.delete", true, self.inner.delete(id), blob_error).await
    }

    async fn kept_before(&self, shard: u16, time: Time) -> Result<Vec<TaskId>, BlobError> {
        self.wire.call("blobs.kept_before", false, self.inner.kept_before(shard, time), blob_error).await
    }

    async fn unfinished_before(&self, time: Time) -> Result<Vec<String>, BlobError> {
        self.wire.call("blobs.unfinished_before", false, self.inner.unfinished_before(time), blob_error).await
    }

    async fn remove_unfinished(&self, before: Time) -> Result<u64, BlobError> {
        self.wire
            .call("blobs.remove_unfinished", true, self.inner.remove_unfinished(before), blob_error)
            .await
    }

    async fn abandon(&self) {
        self.inner.abandon().await;
    }

    async fn free_bytes(&self) -> Result<Option<u64>, BlobError> {
        self.wire.call("blobs.free_bytes", false, self.inner.free_bytes(), blob_error).await
    }
}

struct CutWriter {
    wire: Arc<Wire>,
    inner: Box<dyn BlobWriter>,
}

#[async_trait]
impl BlobWriter for CutWriter {
    async fn write(&mut self, chunk: Bytes) -> Result<(), BlobError> {
        self.wire.call("blobs.write", true, self.inner.write(chunk), blob_error).await
    }

    async fn keep(self: Box<Self>, now: Time) -> Result<(), BlobError> {
        let Self { wire, inner } = *self;
        wire.call("blobs.keep", true, inner.keep(now), blob_error).await
    }
}

pub struct CutNotify {
    pub wire: Arc<Wire>,
    pub inner: Arc<dyn Notify>,
}

#[async_trait]
impl Notify for CutNotify {
    async fn wake(&self, ids: Vec<TaskId>) {
        self.wire.call("notify.wake", true, self.inner.wake(ids), |_| ()).await;
    }

    fn wakes(&self) -> broadcast::Receiver<TaskId> {
        self.inner.wakes()
    }
}
