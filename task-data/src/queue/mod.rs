//! The port to the queue: it carries ids, and may lose, double or delay them.
//!
//! A message is a wake-up; the row is the truth. So nothing here is asked to happen exactly once, and nothing but an
//! id is ever sent.

pub mod amqp;
pub mod memory;

use async_trait::async_trait;

use crate::kinds::Kind;
use crate::task::{TaskId, Ticket};

/// The queue can't be reached; the sweep publishes later what could not be published now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the queue is not available: {0}")]
pub struct QueueError(pub String);

/// A queue a kind.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Publishes the tickets and waits until the queue has confirmed them, for a bounded time. Gives those that it has.
    async fn publish(&self, tickets: Vec<Ticket>) -> Vec<Ticket>;

    /// Begins to take the ids of a kind, at most `prefetch` messages unacknowledged at a time. Ids that were published together
    /// may be one message: they come together then, and go off the queue together.
    async fn consume(&self, kind: Kind, prefetch: u16) -> Result<Box<dyn Consumer>, QueueError>;

    /// How many messages of a kind wait.
    async fn depth(&self, kind: Kind) -> Result<u64, QueueError>;
}

/// A stream of deliveries. What it has delivered and nobody acknowledged goes to others when it is dropped.
#[async_trait]
pub trait Consumer: Send {
    /// The next delivery, however long it takes; `None` when the stream has ended and another must be begun.
    ///
    /// # Cancel safety
    /// A delivery that was not returned is not lost: it is given by the next call, or to others.
    async fn next(&mut self) -> Option<Delivery>;
}

/// An id that came out of the queue.
pub struct Delivery {
    /// The promise id.
    pub id: TaskId,
    /// What takes it off the queue.
    pub receipt: Box<dyn Receipt>,
}

/// The right to take one delivery off the queue. Dropped unused, the id is delivered again.
#[async_trait]
pub trait Receipt: Send {
    /// Takes the delivery off the queue. A failure is harmless: the id comes again, and its claim fails.
    async fn ack(self: Box<Self>);
}
