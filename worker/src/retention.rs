//! The schedule of retention.

use std::sync::Arc;

use program::{Repeated, in_one_line};
use task_data::life::Life;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Deletes what is old enough until `end`, the first time at once.
pub async fn run(life: Arc<Life>, end: CancellationToken) {
    let Some(every) = life.prune_every() else { return };
    let mut outage = Repeated::default();
    let mut look = interval(every);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while end.run_until_cancelled(look.tick()).await.is_some() {
        match end.run_until_cancelled(life.prune()).await {
            Some(Err(error)) => {
                if let Some(line) =
                    outage.line("what is to be kept no longer could not be deleted; the next look goes on")
                {
                    warn!(error = in_one_line(&error), "{line}");
                }
            }
            Some(Ok(())) => outage = Repeated::default(),
            None => return,
        }
    }
}
