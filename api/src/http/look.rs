//! A probe of a part that may hang, shared by all requests that need its outcome.
//!
//! At most one probe runs at a time, and at most one begins within its age, however many requests ask. A request waits for it for a bounded
//! time, so a disk that hangs costs one thread and delays no request for longer.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// How long a probe may take before its outcome counts as unknown.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);

/// A probe that runs on the runtime it was made on and shares its outcome.
pub struct Look<T> {
    age: Duration,
    runtime: Handle,
    state: Arc<watch::Sender<State<T>>>,
    attempt: Arc<dyn Fn() -> BoxFuture<'static, T> + Send + Sync>,
}

struct State<T> {
    begun: Option<Instant>,
    is_under_way: bool,
    outcome: Option<T>,
}

impl<T: Clone + Send + Sync + 'static> Look<T> {
    /// Makes a probe of `attempt`, whose outcome is used for `age` after its beginning.
    pub fn new<F>(age: Duration, attempt: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = T> + Send + 'static,
    {
        let state = State { begun: None, is_under_way: false, outcome: None };
        Self {
            age,
            runtime: Handle::current(),
            state: Arc::new(watch::Sender::new(state)),
            attempt: Arc::new(move || Box::pin(attempt())),
        }
    }

    /// Returns the outcome of a probe that began at most the age ago; `None` if it has not ended within 2 s.
    ///
    /// # Cancel safety
    /// A probe that has begun goes on for the other callers.
    pub async fn outcome(&self) -> Option<T> {
        let mut state = self.state.subscribe();
        let is_due = self.state.send_if_modified(|state| {
            let is_due = !state.is_under_way && state.begun.is_none_or(|begun| begun.elapsed() >= self.age);
            if is_due {
                (state.begun, state.is_under_way) = (Some(Instant::now()), true);
            }
            is_due
        });
        if is_due {
            self.begin();
        }
        let begun = state.borrow().begun.unwrap_or_else(Instant::now);
        let ended = timeout_at(begun + LOOK_TIMEOUT, state.wait_for(|state| !state.is_under_way)).await;
        ended.ok()?.ok()?.outcome.clone()
    }

    fn begin(&self) {
        let (state, attempt) = (self.state.clone(), (self.attempt)());
        let runtime = self.runtime.clone();
        self.runtime.spawn(async move {
            // In a task of its own: should it panic, the next probe begins all the same.
            let outcome = runtime.spawn(attempt).await.ok();
            state.send_modify(|state| (state.is_under_way, state.outcome) = (false, outcome));
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use futures::future::join_all;
    use tokio::sync::Semaphore;
    use tokio::time::{advance, sleep};

    use super::*;

    const AGE: Duration = Duration::from_secs(3);

    /// Returns a probe that counts its attempts, each of which needs a permit of `turns`.
    fn counted(turns: &Arc<Semaphore>) -> (Look<usize>, Arc<AtomicUsize>) {
        let (count, turns) = (Arc::new(AtomicUsize::new(0)), turns.clone());
        let look = Look::new(AGE, {
            let count = count.clone();
            move || {
                let (attempt, turns) = (count.fetch_add(1, Relaxed) + 1, turns.clone());
                async move {
                    turns.acquire().await.unwrap().forget();
                    attempt
                }
            }
        });
        (look, count)
    }

    #[tokio::test(start_paused = true)]
    async fn all_who_ask_share_one_look_until_it_is_old() {
        let (look, count) = counted(&Arc::new(Semaphore::new(10)));

        for expected in 1..=3 {
            let outcomes = join_all((0..50).map(|_| look.outcome())).await;
            assert!(outcomes.iter().all(|outcome| *outcome == Some(expected)), "{outcomes:?}");
            assert_eq!(look.outcome().await, Some(expected));
            advance(AGE).await;
        }
        assert_eq!(count.load(Relaxed), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_hangs_is_waited_for_once_and_not_begun_again() {
        let turns = Arc::new(Semaphore::new(0));
        let (look, count) = counted(&turns);

        let begun = Instant::now();
        for _ in 0..20 {
            assert_eq!(look.outcome().await, None);
            advance(AGE).await;
        }
        // Only the first caller waits; later ones know that it hangs.
        assert_eq!((begun.elapsed(), count.load(Relaxed)), (LOOK_TIMEOUT + 20 * AGE, 1));

        turns.add_permits(10);
        sleep(Duration::from_millis(1)).await;
        assert_eq!(look.outcome().await, Some(2));
    }

    #[tokio::test]
    async fn a_look_that_panics_is_begun_again() {
        let count = Arc::new(AtomicUsize::new(0));
        let look = Look::new(Duration::ZERO, move || {
            let attempt = count.fetch_add(1, Relaxed);
            async move {
                assert!(attempt > 0, "the first one fails");
                attempt
            }
        });

        assert_eq!(look.outcome().await, None);
        assert_eq!(look.outcome().await, Some(1));
    }
}
