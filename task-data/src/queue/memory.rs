//! The embedded adapter: ids in memory, lost with the process. The sweep restores them from the rows.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{Consumer, Delivery, Queue, QueueError, Receipt, Turn};
use crate::kinds::Kind;
use crate::task::{TaskId, Ticket};

/// The most ids in one kind's queue (17 MiB); the sweep publishes the others later.
const CAPACITY: usize = 1 << 20;

/// One queue for each kind, in this process alone.
pub struct MemoryQueue {
    kinds: HashMap<Kind, Arc<Ids>>,
}

#[derive(Default)]
struct Ids {
    waiting: Mutex<VecDeque<(TaskId, Turn)>>,
    arrived: Notify,
}

impl Ids {
    fn take(&self) -> Option<(TaskId, Turn)> {
        let mut waiting = self.waiting.lock();
        let taken = waiting.pop_front();
        // Arrivals without a waiting consumer are remembered as one, so a consumer that takes an id wakes the next one.
        if !waiting.is_empty() {
            self.arrived.notify_one();
        }
        taken
    }
}

impl MemoryQueue {
    /// Creates empty queues.
    pub fn new() -> Self {
        Self { kinds: Kind::ALL.into_iter().map(|kind| (kind, Arc::default())).collect() }
    }

    fn ids(&self, kind: Kind) -> Result<&Arc<Ids>, QueueError> {
        self.kinds.get(&kind).ok_or_else(|| QueueError(format!("kind {kind} has no queue")))
    }
}

impl Default for MemoryQueue {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn publish(&self, tickets: Vec<Ticket>, turn: Turn) -> Vec<Ticket> {
        let mut published = Vec::with_capacity(tickets.len());
        for ticket in tickets {
            let Ok(ids) = self.ids(ticket.kind) else { continue };
            let mut waiting = ids.waiting.lock();
            if waiting.len() < CAPACITY {
                waiting.push_back((ticket.id, turn));
                ids.arrived.notify_one();
                published.push(ticket);
            }
        }
        published
    }

    async fn consume(&self, kind: Kind, _prefetch: u16) -> Result<Box<dyn Consumer>, QueueError> {
        Ok(Box::new(MemoryConsumer { ids: self.ids(kind)?.clone() }))
    }

    async fn depth(&self, kind: Kind) -> Result<u64, QueueError> {
        Ok(self.ids(kind)?.waiting.lock().len() as u64)
    }
}

struct MemoryConsumer {
    ids: Arc<Ids>,
}

#[async_trait]
impl Consumer for MemoryConsumer {
    async fn next(&mut self) -> Option<Delivery> {
        loop {
            let arrived = self.ids.arrived.notified();
            if let Some((id, turn)) = self.ids.take() {
                let receipt = MemoryReceipt { id: Some(id), ids: self.ids.clone() };
                return Some(Delivery { id, turn, receipt: Box::new(receipt) });
            }
            arrived.await;
        }
    }
}

struct MemoryReceipt {
    id: Option<TaskId>,
    ids: Arc<Ids>,
}

#[async_trait]
impl Receipt for MemoryReceipt {
    async fn ack(mut self: Box<Self>) {
        self.id = None;
    }
}

impl Drop for MemoryReceipt {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            self.ids.waiting.lock().push_front((id, Turn::Again));
            self.ids.arrived.notify_one();
        }
    }
}
