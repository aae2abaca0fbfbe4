//! The outcome log's writer: the process that holds the lock writes the lines of all processes, and no other waits for it.

use std::sync::Arc;
use std::time::Duration;

use program::{Backoff, Repeated, in_one_line};
use task_data::life::Life;
use task_data::metrics;
use task_data::shared_log::{LogError, SettleError, Settled};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

/// The delay before the next try after an error of the log.
const TROUBLE: Duration = Duration::from_secs(1);
/// The longest rest. The writer rests as long as it has written, so that lines which become due meanwhile are written together.
const REST: Duration = Duration::from_millis(10);

/// Writes lines as they become due, and once more at the end.
///
/// # Errors
/// Only [`LogError::SyncFailed`]: the process must end.
pub async fn run(life: Arc<Life>, end: CancellationToken) -> Result<(), LogError> {
    let mut outage = Repeated::default();
    while end.run_until_cancelled(life.lines_owed()).await.is_some() {
        let begun = Instant::now();
        match end.run_until_cancelled(write_owed(&life)).await {
            Some(Ok(())) => {
                outage = Repeated::default();
                end.run_until_cancelled(sleep(begun.elapsed().min(REST))).await;
            }
            Some(Err(SettleError::Log(error @ LogError::SyncFailed(_)))) => {
                error!(error = in_one_line(&error), "the outcome log could not be flushed; the process ends");
                return Err(error);
            }
            Some(Err(trouble)) => {
                let line = "outcome log unavailable; pending lines stay in the database and will be retried";
                if let Some(line) = outage.line(line) {
                    warn!(error = in_one_line(&trouble), "{line}");
                }
                end.run_until_cancelled(sleep(TROUBLE)).await;
            }
            None => break,
        }
    }
    match write_owed(&life).await {
        Err(SettleError::Log(error @ LogError::SyncFailed(_))) => Err(error),
        // The next process writes the lines that are still due.
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes until no line is due.
async fn write_owed(life: &Life) -> Result<(), SettleError<task_data::store::StoreError>> {
    let mut wished = Instant::now();
    let mut busy = 0;
    loop {
        match life.log_outcomes().await? {
            Settled::Busy => {
                metrics::log_busy();
                sleep(Backoff::LOG.delay(busy)).await;
                busy += 1;
            }
            Settled::Done(done) => {
                metrics::log_step(wished.elapsed(), done);
                if !done.more {
                    return Ok(());
                }
                (wished, busy) = (Instant::now(), 0);
            }
        }
    }
}
