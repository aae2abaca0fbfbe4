//! Coatcheck's workers: they claim tasks, do them, and report the outcome.
//!
//! `task_data::life` says what a worker may do to a task, and in which order; this crate says when: a pool of permits for each kind (`pool`),
//! the lease on the tasks held (`lease`), the outcome log's writer (`outcome`) the sweep (`sweeper`), and retention (`retention`). The work itself has one file for
//! each kind (`kinds`); uploads are hashed side by side (`hashing`).

mod hashing;
mod kinds;
mod lease;
mod outbound;
mod outcome;
mod pool;
mod process;
mod retention;
mod settings;
mod sweeper;
mod work;

use std::sync::Arc;
use std::time::Duration;

use task_data::life::Life;
use task_data::shared_log::LogError;
use task_data::stack::Stack;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{error, info, warn};

use crate::hashing::Hashing;
use crate::kinds::Workshop;
use crate::kinds::message::Messages;
use crate::kinds::table::Tables;
use crate::lease::Lease;
use crate::outbound::Outbound;
pub use crate::process::{WorkerArgs, run};
pub use crate::settings::WorkerSettings;

/// How long work in progress may go on once the worker stops; unfinished tasks are handed back then.
const FINISH: Duration = Duration::from_secs(20);
/// How long handing back and the last lines may take.
const HAND_BACK: Duration = Duration::from_secs(5);

/// How the worker of a process drains: it takes nothing more, and finishes what it has. An operator may ask for that too.
#[derive(Debug, Default)]
pub struct Draining {
    /// A notification that asks for it.
    pub signal: Arc<Notify>,
    /// Whether the process then ends, as by a stop. Otherwise the worker rests until an operator undoes it.
    pub ends_process: bool,
}

/// Why a worker must end.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The outcome log could not be flushed: the process must end, and the next one reads the file again.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The HTTP client could not be created.
    #[error("the HTTP client could not be created")]
    Outbound(#[from] reqwest::Error),
    /// No certificate authorities are known to verify services by.
    #[error("FREE_URL, PAID_URL, THIRD_PARTY_URL: {0}")]
    Tls(String),
}

/// Works until `stop`, then drains: finishes tasks that end soon, hands the others back, and writes the lines that are due.
///
/// # Errors
/// If the worker must end.
pub async fn work(
    life: Arc<Life>,
    stack: Stack,
    settings: WorkerSettings,
    draining: Draining,
    stop: CancellationToken,
) -> Result<(), Failure> {
    let outbound = Outbound::new(settings.needs_tls())?;
    // The services that the pool uses must outlive it.
    let end_of_service = CancellationToken::new();
    let lease = Lease::new(life.clone());
    let leasing = tokio::spawn(lease.clone().keep(end_of_service.clone()));
    let _draining =
        AbortOnDropHandle::new(tokio::spawn(watch_draining(lease.clone(), draining, stop.clone())));
    let sweeping = tokio::spawn(sweeper::run(life.clone(), end_of_service.clone()));
    let pruning = tokio::spawn(retention::run(life.clone(), end_of_service.clone()));
    let mut logging = tokio::spawn(outcome::run(life.clone(), end_of_service.clone()));

    let workshop = Arc::new(Workshop {
        md5_concurrency: settings.md5_concurrency(),
        hashing: Hashing::new(settings.hashing_threads()),
        life: life.clone(),
        store: stack.store.clone(),
        queue: stack.queue.clone(),
        blobs: stack.blobs.clone(),
        messages: Messages::new(
            stack.store.clone(),
            stack.limits.clone(),
            settings.providers,
            outbound.clone(),
            stop.clone(),
        ),
        tables: Tables::new(life.clone(), stack, settings.third_party, outbound, stop.clone()),
    });
    // On the runtime's threads, where the tasks that it spawns run too.
    let mut pool = AbortOnDropHandle::new(tokio::spawn(pool::run(workshop, lease.clone(), stop.clone())));
    let pool = async { (&mut pool).await.unwrap_or_else(|error| error!(%error, "the pool has ended")) };
    tokio::select! {
        () = drain(pool, &lease, &stop) => {}
        failed = &mut logging => return Ok(failed.unwrap_or(Ok(()))?),
    }

    end_of_service.cancel();
    let (logged, ..) = tokio::join!(logging, sweeping, pruning, leasing);
    info!("the worker has stopped");
    Ok(logged.unwrap_or(Ok(()))?)
}

/// Tells the lease of signals to drain; stops the process once it drains, if it is to end then.
async fn watch_draining(lease: Arc<Lease>, draining: Draining, stop: CancellationToken) {
    let mut is_draining = lease.draining();
    loop {
        tokio::select! {
            () = draining.signal.notified() => lease.drain(),
            // The sender lives as long as the lease.
            _ = is_draining.changed() => match *is_draining.borrow_and_update() {
                true if draining.ends_process => stop.cancel(),
                true => info!("the worker drains: it claims no new tasks until an operator undoes it"),
                false => info!("the worker claims tasks again"),
            },
        }
    }
}

async fn drain(work: impl Future<Output = ()>, lease: &Lease, stop: &CancellationToken) {
    tokio::pin!(work);
    tokio::select! {
        () = &mut work => return,
        () = stop.cancelled() => info!("the worker is stopping: it claims no new tasks and gives those in progress up to {FINISH:?}"),
    }
    if timeout(FINISH, &mut work).await.is_err() {
        lease.give_up();
        if timeout(HAND_BACK, work).await.is_err() {
            warn!("not all tasks could be handed back; the sweep will return them when the lease has lapsed");
        }
    }
}
