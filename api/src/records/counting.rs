//! Counts of records, which read many rows: one count at a time, shared by all requests that ask for the same at about that time.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use task_data::task::Time;
use tokio::time::{Instant, timeout};

use super::totals::RecordStats;
use crate::http::problem::{Code, Problem};

/// How long a request waits for its count, including the wait for the count before.
const COUNT_TIMEOUT: Duration = Duration::from_secs(10);
/// The greatest age at which a count is answered again, if it took longer than [`QUICK`].
const AGE: Duration = Duration::from_secs(5);
/// A count that takes less than this is made anew for each request that comes after it began.
const QUICK: Duration = Duration::from_millis(200);
/// The most counts that are kept; each takes up to a quarter of a MiB.
const KEPT: usize = 16;

/// Returns the problem for a count of too many records.
pub fn too_long() -> Problem {
    let told = format!(
        "The records can't be counted within {} seconds. Ask for a shorter time.",
        COUNT_TIMEOUT.as_secs()
    );
    Code::Overloaded.because(told)
}

/// The bounds of time that a request names.
pub type Asked = (Option<Time>, Option<Time>);

/// The one count that is under way, and the latest results.
#[derive(Default)]
pub struct Counting {
    turn: Arc<tokio::sync::Mutex<()>>,
    made: Arc<Mutex<Vec<Made>>>,
}

/// A finished count.
struct Made {
    asked: Asked,
    begun: Instant,
    ended: Instant,
    stats: RecordStats,
}

impl Made {
    /// Returns whether the count may answer a request that arrived then.
    fn is_good_for(&self, arrived: Instant) -> bool {
        let was_slow = self.ended - self.begun > QUICK;
        self.begun >= arrived || was_slow && self.ended.elapsed() < AGE
    }
}

impl Counting {
    /// Returns the result of `count`, or one just made for another request with the same bounds.
    ///
    /// # Errors
    /// The count's; 503 if it takes too long.
    ///
    /// # Cancel safety
    /// A count that has begun goes on without its caller, and no other runs meanwhile.
    pub async fn counted(
        &self,
        asked: Asked,
        count: impl Future<Output = Result<RecordStats, Problem>> + 'static,
    ) -> Result<RecordStats, Problem> {
        let arrived = Instant::now();
        let counted = async {
            if let Some(made) = self.made(asked, arrived) {
                return Ok(made);
            }
            let turn = self.turn.clone().lock_owned().await;
            // Most requests that waited for a turn want a count that was made meanwhile.
            if let Some(made) = self.made(asked, arrived) {
                return Ok(made);
            }
            let made = self.made.clone();
            let counting = actix_web::rt::spawn(async move {
                let begun = Instant::now();
                let stats = count.await?;
                let ended = Instant::now();
                let mut made = made.lock();
                made.retain(|other| other.asked != asked && other.ended.elapsed() < AGE);
                made.truncate(KEPT - 1);
                made.push(Made { asked, begun, ended, stats: stats.clone() });
                drop(turn);
                Ok(stats)
            });
            counting.await.unwrap_or_else(|error| Err(Problem::internal(&error)))
        };
        timeout(COUNT_TIMEOUT, counted).await.unwrap_or_else(|_| Err(too_long()))
    }

    fn made(&self, asked: Asked, arrived: Instant) -> Option<RecordStats> {
        let made = self.made.lock();
        let good = made.iter().find(|made| made.asked == asked && made.is_good_for(arrived));
        good.map(|made| made.stats.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use actix_web::ResponseError;
    use futures::future::join_all;
    use tokio::task::LocalSet;
    use tokio::time::{advance, sleep};

    use super::*;

    fn time(second: i64) -> Option<Time> {
        chrono::DateTime::from_timestamp(second, 0).map(Time)
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_ask_for_the_same_share_a_count_and_others_take_turns() {
        LocalSet::new()
            .run_until(async {
                let counting = Counting::default();
                let (under_way, most, counts) =
                    (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
                let ask = |second: i64| {
                    let (under_way, most, counts) = (under_way.clone(), most.clone(), counts.clone());
                    counting.counted((time(second), None), async move {
                        under_way.set(under_way.get() + 1);
                        most.set(most.get().max(under_way.get()));
                        counts.set(counts.get() + 1);
                        sleep(Duration::from_secs(1)).await;
                        under_way.set(under_way.get() - 1);
                        Ok(RecordStats::nothing())
                    })
                };

                let asked = join_all((0..12).map(|number| ask(number % 3))).await;

                assert!(asked.iter().all(Result::is_ok));
                assert_eq!((counts.get(), most.get()), (3, 1));
                advance(AGE).await;
                ask(0).await.unwrap();
                assert_eq!(counts.get(), 4);
            })
            .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_count_that_takes_too_long_is_given_up_and_no_other_begins_beside_it() {
        LocalSet::new()
            .run_until(async {
                let counting = Counting::default();
                let is_begun = Rc::new(Cell::new(false));
                let slow = counting.counted((None, None), async {
                    sleep(COUNT_TIMEOUT * 3).await;
                    Ok(RecordStats::nothing())
                });
                let other = {
                    let is_begun = is_begun.clone();
                    counting.counted((time(1), None), async move {
                        is_begun.set(true);
                        Ok(RecordStats::nothing())
                    })
                };

                let (slow, other) = tokio::join!(slow, other);

                for given_up in [slow, other] {
                    assert_eq!(given_up.unwrap_err().status_code(), 503);
                }
                assert!(!is_begun.get());
            })
            .await;
    }
}
