//! The ports as a process on a wire sees them.

mod blobs;
mod store;

use std::sync::Arc;

use async_trait::async_trait;
use task_data::kinds::Kind;
use task_data::notify::Notify;
use task_data::queue::{Consumer, Delivery, Queue, QueueError, Receipt, Turn};
use task_data::stack::Stack;
use task_data::task::{TaskId, Ticket};
use test_kit::Effect;
use tokio::sync::broadcast;

use self::blobs::CutBlobs;
use self::store::CutStore;
use crate::wire::{When, Wire};
use crate::world::{Database, World};

/// Opens the ports of a new process, on its wire.
pub fn open(world: &Arc<World>, wire: &Arc<Wire>) -> Stack {
    let Stack { store, queue, blobs, notify, limits } = world.open();
    let line = || Line { world: world.clone(), wire: wire.clone() };
    Stack {
        store: Arc::new(CutStore { line: line(), inner: store }),
        queue: Arc::new(CutQueue { line: line(), inner: queue }),
        blobs: Arc::new(CutBlobs { line: line(), inner: blobs }),
        notify: Arc::new(CutNotify { line: line(), inner: notify }),
        limits,
    }
}

/// The connection of a port to the world, by the wire.
#[derive(Clone)]
struct Line {
    world: Arc<World>,
    wire: Arc<Wire>,
}

impl Line {
    /// Makes a call whose effect is local to this process.
    async fn call<T: Send + 'static>(
        &self,
        method: &'static str,
        effect: Effect,
        act: impl Future<Output = T> + Send + 'static,
        lost: impl FnOnce() -> T,
    ) -> T {
        match self.wire.make(method, effect, |_| Some(self.world.wait_for(act))) {
            Some(answer) => answer,
            None => self.wire.end(lost).await,
        }
    }
}

struct CutQueue {
    line: Line,
    inner: Arc<dyn Queue>,
}

#[async_trait]
impl Queue for CutQueue {
    async fn publish(&self, tickets: Vec<Ticket>, turn: Turn) -> Vec<Ticket> {
        let Line { world, wire } = &self.line;
        let is_afar = world.database == Database::Postgres && !tickets.is_empty();
        let effect = if is_afar { Effect::Afar } else { Effect::Here };
        let inner = self.inner.clone();
        let act = async move { inner.publish(tickets, turn).await };
        let confirmed = wire.make("queue.publish", effect, |when| match when {
            When::Now | When::Torn(_) => Some(world.wait_for(act)),
            When::Late(moment) => {
                world.postpone(moment, Box::new(|_| Box::pin(async move { drop(act.await) })));
                None
            }
        });
        match confirmed {
            Some(confirmed) => confirmed,
            None => wire.end(Vec::new).await,
        }
    }

    async fn consume(&self, kind: Kind, prefetch: u16) -> Result<Box<dyn Consumer>, QueueError> {
        let inner = self.inner.clone();
        let act = async move { inner.consume(kind, prefetch).await };
        let lost = || Err(QueueError("cut".to_owned()));
        let inner = self.line.call("queue.consume", Effect::Nothing, act, lost).await?;
        Ok(Box::new(CutConsumer { line: self.line.clone(), inner }))
    }

    async fn depth(&self, kind: Kind) -> Result<u64, QueueError> {
        let inner = self.inner.clone();
        let act = async move { inner.depth(kind).await };
        self.line.call("queue.depth", Effect::Nothing, act, || Err(QueueError("cut".to_owned()))).await
    }
}

struct CutConsumer {
    line: Line,
    inner: Box<dyn Consumer>,
}

#[async_trait]
impl Consumer for CutConsumer {
    /// Returns the next delivery. Cut when there is one: a delivery without an acknowledgement counts as none.
    async fn next(&mut self) -> Option<Delivery> {
        let Delivery { id, turn, receipt } = self.inner.next().await?;
        self.line.call("queue.next", Effect::Nothing, async {}, || ()).await;
        Some(Delivery { id, turn, receipt: Box::new(CutReceipt { line: self.line.clone(), inner: receipt }) })
    }
}

struct CutReceipt {
    line: Line,
    inner: Box<dyn Receipt>,
}

#[async_trait]
impl Receipt for CutReceipt {
    async fn ack(self: Box<Self>) {
        let Self { line, inner } = *self;
        line.call("queue.ack", Effect::Here, async move { inner.ack().await }, || ()).await;
    }
}

struct CutNotify {
    line: Line,
    inner: Arc<dyn Notify>,
}

#[async_trait]
impl Notify for CutNotify {
    async fn wake(&self, ids: Vec<TaskId>) {
        let inner = self.inner.clone();
        self.line.call("notify.wake", Effect::Nothing, async move { inner.wake(ids).await }, || ()).await;
    }

    fn wakes(&self) -> broadcast::Receiver<TaskId> {
        self.inner.wakes()
    }
}
