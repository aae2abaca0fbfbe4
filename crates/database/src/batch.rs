//! Batches of the items that arrive while the previous batch is in progress; an item never waits for others.
//!
//! A lone item is passed on at once. Batches run on the runtime that started them, so a caller that goes away gives up its answer, never
//! the work.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::task::yield_now;

/// The batches' runtime has ended: the program is stopping, and whether the item was processed is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the program is stopping")]
pub struct Stopped;

/// An item, and the channel to the caller that waits for its result.
pub type Asked<I, O> = (I, oneshot::Sender<O>);

/// Sends items to one function, many at a time.
#[derive(Debug)]
pub struct Batcher<I, O> {
    items: mpsc::Sender<Asked<I, O>>,
}

impl<I: Send + 'static, O: Send + 'static> Batcher<I, O> {
    /// Starts a batcher on the current runtime; `run` gets up to `limit` items and returns a result for each, in their order.
    pub fn start<F, Fut>(limit: usize, run: F) -> Self
    where
        F: Fn(Vec<I>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Vec<O>> + Send,
    {
        let run = Arc::new(run);
        Self::start_chain(limit, move |asked| {
            let run = run.clone();
            async move {
                let (items, answers): (Vec<I>, Vec<_>) = asked.into_iter().unzip();
                for (answer, outcome) in answers.into_iter().zip(run(items).await) {
                    // A caller that went away does not want its answer.
                    let _ = answer.send(outcome);
                }
            }
        })
    }

    /// Starts a batcher as [`start`](Self::start) does, whose `run` answers the callers itself, or passes them to another batcher.
    pub fn start_chain<F, Fut>(limit: usize, run: F) -> Self
    where
        F: Fn(Vec<Asked<I, O>>) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send,
    {
        let (items, mut gathered) = mpsc::channel(limit);
        tokio::spawn(async move {
            let mut batch = Vec::new();
            while gathered.recv_many(&mut batch, limit).await > 0 {
                // Callers that are about to send join this batch; the batch does not wait for others.
                yield_now().await;
                while batch.len() < limit
                    && let Ok(more) = gathered.try_recv()
                {
                    batch.push(more);
                }
                run(std::mem::take(&mut batch)).await;
            }
        });
        Self { items }
    }

    /// Adds an item whose caller waits already.
    pub async fn pass(&self, asked: Asked<I, O>) {
        // If the batches have ended, the caller learns it because the answer is dropped.
        let _ = self.items.send(asked).await;
    }

    /// Adds `item` to the next batch and waits for its result.
    ///
    /// # Cancel safety
    /// Once the item is in the queue it is processed, whether or not the caller still waits.
    pub async fn send(&self, item: I) -> Result<O, Stopped> {
        let (answer, outcome) = oneshot::channel();
        self.items.send((item, answer)).await.map_err(|_| Stopped)?;
        outcome.await.map_err(|_| Stopped)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn what_gathers_while_a_batch_runs_is_the_next_batch() {
        let gate = Arc::new(Semaphore::new(0));
        let batcher = {
            let gate = gate.clone();
            Batcher::start(10, move |items: Vec<u32>| {
                let gate = gate.clone();
                async move {
                    gate.acquire().await.unwrap().forget();
                    let size = items.len();
                    items.into_iter().map(|item| (item, size)).collect()
                }
            })
        };

        let senders = futures::future::join_all((0..4).map(|item| batcher.send(item)));
        let opener = async {
            while batcher.items.capacity() > 7 {
                tokio::task::yield_now().await;
            }
            gate.add_permits(2);
        };
        let (answers, ()) = futures::join!(senders, opener);

        let sizes: Vec<_> = answers.into_iter().map(|answer| answer.unwrap()).collect();
        assert_eq!(sizes.iter().map(|(item, _)| *item).collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert!(sizes.iter().any(|(_, size)| *size > 1), "{sizes:?}");
    }
}
