//! Coatcheck's workers: they take tasks, do them, and say what came of it.
//!
//! What a worker may do to a task, and in which order, is `task_data::life`'s; here is who does it when: a pool of slots a
//! kind ([`pool`]), the lease on what they hold ([`lease`]), the outcome log's writer ([`outcome`]) and the sweep
//! ([`sweeper`]). The work itself is one file a kind ([`kinds`]).

mod kinds;
mod lease;
mod outcome;
mod pool;
mod process;
mod sweeper;

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use task_data::life::Life;
use task_data::shared_log::LogError;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::lease::Lease;
pub use crate::process::{WorkerArgs, run};

/// What only workers are told.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Worker")]
pub struct WorkerSettings {
    /// Tasks worked on at once in this process [default: cores]
    #[arg(long, env, value_name = "WORKERS", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub workers: Option<u16>,
}

impl WorkerSettings {
    fn slots(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        self.workers.map_or_else(cores, usize::from)
    }
}

/// How long work under way may go on once the worker is to stop; what has not ended then is handed back.
const FINISH: Duration = Duration::from_secs(20);
/// How long handing back and the last lines may take.
const HAND_BACK: Duration = Duration::from_secs(5);

/// Works until `stop`, then drains: finishes what ends soon, hands the rest back, writes the lines that are owed.
///
/// # Errors
/// If the outcome log could not be flushed: the process must end, and the next one reads the file anew.
pub async fn work(
    life: Arc<Life>,
    settings: WorkerSettings,
    stop: CancellationToken,
) -> Result<(), LogError> {
    // What serves the pool must outlive it.
    let end_of_service = CancellationToken::new();
    let lease = Lease::new(life.clone());
    let leasing = tokio::spawn(lease.clone().keep(end_of_service.clone()));
    let sweeping = tokio::spawn(sweeper::run(life.clone(), end_of_service.clone()));
    let mut logging = tokio::spawn(outcome::run(life.clone(), end_of_service.clone()));

    let pool = pool::run(life.clone(), lease.clone(), settings.slots(), stop.clone());
    tokio::select! {
        () = drain(pool, &lease, &stop) => {}
        failed = &mut logging => return failed.unwrap_or(Ok(())),
    }

    end_of_service.cancel();
    let (logged, _, _) = tokio::join!(logging, sweeping, leasing);
    info!("the worker has stopped");
    logged.unwrap_or(Ok(()))
}

async fn drain(work: impl Future<Output = ()>, lease: &Lease, stop: &CancellationToken) {
    tokio::pin!(work);
    tokio::select! {
        () = &mut work => return,
        () = stop.cancelled() => info!("the worker stops: no new tasks, up to {FINISH:?} for those under way"),
    }
    if timeout(FINISH, &mut work).await.is_err() {
        lease.give_up();
        if timeout(HAND_BACK, work).await.is_err() {
            warn!("not all tasks could be handed back; the sweep brings them on when the lease has lapsed");
        }
    }
}
