//! The ports as a process on a wire sees them: each call goes through the wire, and defines how it fails.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use database::UserId;
use serde_json::{Value, json};
use task_data::blobs::{BlobError, BlobReader, BlobWriter, Blobs};
use task_data::kinds::Kind;
use task_data::notify::Notify;
use task_data::queue::{Consumer, Delivery, Queue, QueueError, Receipt, Turn};
use task_data::stack::Stack;
use task_data::store::{
    Claims, Completion, HandBack, LogFollower, Moved, NewTask, OutcomePage, Payload, Place, PoolUse, Rules,
    Store, StoreError,
};
use task_data::task::{Task, TaskId, Ticket, Time, WorkerId};
use test_kit::Effect;
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

/// The name of an upload whose input reaches the store as a value that `serde_json` could not read back.
pub const UNREADABLE: &str = "unreadable";

/// Returns a value that `serde_json` could not read back.
pub fn unreadable() -> Value {
    (0..250).fold(json!({}), |inner, _| json!([inner]))
}

pub struct CutStore {
    pub wire: Arc<Wire>,
    pub inner: Stack,
}

impl CutStore {
    async fn call<T: Send, F: Future<Output = Result<T, StoreError>> + Send>(
        &self,
        method: &'static str,
        effect: Effect,
        act: impl FnOnce(Arc<dyn Store>) -> F + Send,
    ) -> Result<T, StoreError> {
        let act = act(self.inner.store.clone());
        self.wire.call(method, effect != Effect::Nothing, act, store_error).await
    }
}

test_kit::cut_store! {
    CutStore;
    Tasks {
        Nothing fn find(ids: Vec<TaskId>) -> Vec<Task>;
        Afar fn claim(ids: Vec<TaskId>, worker: WorkerId) -> Claims;
        Afar fn complete(completions: Vec<Completion>, rules: Rules) -> Vec<TaskId>;
        Afar fn hand_back(returns: Vec<HandBack>, rules: Rules) -> Vec<Moved>;
    } {
        async fn insert(&self, mut new: Vec<NewTask>, grace: Duration) -> Result<Vec<Task>, StoreError> {
            for new in new.iter_mut().filter(|new| new.input["filename"] == UNREADABLE) {
                new.input = unreadable();
            }
            for new in new.iter().filter(|new| matches!(new.payload, Payload::Blob { .. })) {
                if self.inner.blobs.open(new.id).await.is_err() {
                    self.wire.wrong(format!("task {} was recorded before its blob was kept", new.id));
                }
            }
            let act = move |store: Arc<dyn Store>| async move { store.insert(new, grace).await };
            self.call("store.insert", Effect::Afar, act).await
        }

        fn pool_use(&self) -> PoolUse {
            self.inner.store.pool_use()
        }
    }
    Leases {
        Afar fn register(worker: WorkerId, name: String, lease: Duration) -> ();
        Afar fn return_lost(rules: Rules) -> Vec<Moved>;
    } {}
    Followers {
        Nothing fn log(name: String) -> Option<(LogFollower, i64)>;
    } {}
    Feed {
        Nothing fn outcomes(after: Place, owner: Option<UserId>, limit: i64) -> OutcomePage;
    } {}
}

pub struct CutQueue {
    pub wire: Arc<Wire>,
    pub inner: Stack,
}

#[async_trait]
impl Queue for CutQueue {
    async fn publish(&self, tickets: Vec<Ticket>, turn: Turn) -> Vec<Ticket> {
        for Ticket { id, .. } in &tickets {
            if self.inner.store.find(vec![*id]).await.unwrap().is_empty() {
                self.wire.wrong(format!("id {id} was published before its row was committed"));
            }
        }
        self.wire.call("queue.publish", true, self.inner.queue.publish(tickets, turn), |_| Vec::new()).await
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
        let Delivery { id, turn, receipt } =
            self.wire.call("queue.next", true, self.inner.next(), |_| None).await?;
        Some(Delivery { id, turn, receipt: Box::new(CutReceipt { wire: self.wire.clone(), inner: receipt }) })
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

    async fn copy(&self, from: TaskId, to: TaskId, now: Time) -> Result<(), BlobError> {
        self.wire.call("blobs.copy", true, self.inner.copy(from, to, now), blob_error).await
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
