//! The port to the queue, which carries ids and may lose, double or delay them.
//!
//! A message is a wake-up; the row is the truth. So the queue need not do anything exactly once, and carries only ids.

pub mod amqp;
pub mod memory;
mod transport;

use async_trait::async_trait;

use crate::kinds::Kind;
use crate::task::{TaskId, Ticket};

/// The queue can't be reached; the sweep publishes later.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the queue is not available: {0}")]
pub struct QueueError(pub String);

/// One queue for each kind.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Publishes the tickets and waits, for a bounded time, until the queue has confirmed them. Returns the confirmed ones.
    async fn publish(&self, tickets: Vec<Ticket>, turn: Turn) -> Vec<Ticket>;

    /// Begins to consume the ids of a kind, with at most `prefetch` unacknowledged messages at a time. Ids that were published together may
    /// share a message: they are delivered, and acknowledged, together.
    async fn consume(&self, kind: Kind, prefetch: u16) -> Result<Box<dyn Consumer>, QueueError>;

    /// Returns the number of messages of a kind that wait.
    async fn depth(&self, kind: Kind) -> Result<u64, QueueError>;
}

/// A stream of deliveries. When it is dropped, unacknowledged deliveries go to other consumers.
#[async_trait]
pub trait Consumer: Send {
    /// Waits for the next delivery; `None` when the stream has ended and the caller must begin another.
    ///
    /// # Cancel safety
    /// A delivery that was not returned is not lost: the next call, or another consumer, gets it.
    async fn next(&mut self) -> Option<Delivery>;
}

/// Which delivery of an id it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// The first one, as far as the queue knows.
    First,
    /// A worker may have had the id before, and may have died of its task: the delivery was not acknowledged, or the sweep has published
    /// the id.
    Again,
}

/// An id that was delivered.
pub struct Delivery {
    /// The promise id.
    pub id: TaskId,
    /// Whether it was delivered before.
    pub turn: Turn,
    /// The handle that acknowledges the delivery.
    pub receipt: Box<dyn Receipt>,
}

/// The right to acknowledge one delivery. Dropped unused, the id is delivered again.
#[async_trait]
pub trait Receipt: Send {
    /// Acknowledges the delivery. A failure is harmless: the id comes again, and its claim fails.
    async fn ack(self: Box<Self>);
}
