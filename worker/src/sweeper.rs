//! The schedule of the sweep.

use std::sync::Arc;
use std::time::Duration;

use program::{Repeated, in_one_line};
use task_data::life::Life;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// The interval at which the queue is checked for lost messages.
const LOOK_FOR_LOST: Duration = Duration::from_secs(5);
/// The longest interval between sweeps of the bytes; each reads the whole blob store.
const LOOK_FOR_ORPHANS: Duration = Duration::from_secs(60);

/// Sweeps until `end`, the first time at once.
pub async fn run(life: Arc<Life>, end: CancellationToken) {
    let settings = life.settings();
    let orphans_every = LOOK_FOR_ORPHANS.min(settings.orphan_seconds / 60);
    let mut orphans_at = Instant::now();
    let mut lost_at = Instant::now() + LOOK_FOR_LOST;
    let mut outage = Repeated::default();
    let mut sweep = interval(settings.sweep_seconds);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while end.run_until_cancelled(sweep.tick()).await.is_some() {
        let is_well = match life.sweep().await {
            Ok(()) => {
                outage = Repeated::default();
                true
            }
            Err(error) => {
                let line = "the sweep could not read or write the rows; the next one goes on";
                if let Some(line) = outage.line(line) {
                    warn!(error = in_one_line(&error), "{line}");
                }
                false
            }
        };
        if Instant::now() >= lost_at {
            if let Err(error) = life.publish_lost().await
                && is_well
            {
                warn!(%error, "the sweep could not look for lost messages; the next one goes on");
            }
            lost_at = Instant::now() + LOOK_FOR_LOST;
        }
        if Instant::now() >= orphans_at {
            if let Err(error) = life.remove_orphans().await {
                warn!(
                    error = in_one_line(&error),
                    "the sweep could not look for orphaned uploads; the next one goes on"
                );
            }
            if let Err(error) = life.look_for_newer_kinds().await {
                debug!(%error, "the tasks of newer kinds could not be counted");
            }
            orphans_at = Instant::now() + orphans_every;
        }
    }
}
