//! Leases: how a worker keeps the tasks that it has claimed.
//!
//! Only the database's clock is asked. This module never decides that a lease has lapsed; the sweep does. It only stops
//! work whose lease may have lapsed, so that no power is spent on what another has by then.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use task_data::life::Life;
use task_data::metrics;
use task_data::store::{Claim, HandBack, Held};
use task_data::task::{TaskId, WorkerId};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// How often it is told how old the lease's last confirmation is.
const TELL_AGE: Duration = Duration::from_secs(1);

/// The lease of this process, and what it holds under it.
pub struct Lease {
    life: Arc<Life>,
    worker: watch::Sender<Option<WorkerId>>,
    doubted: Notify,
    /// When the database last confirmed the lease; before the first time, when this process began to want one.
    confirmed: Mutex<Instant>,
    held: Mutex<HashMap<TaskId, (i64, CancellationToken)>>,
}

impl Lease {
    pub fn new(life: Arc<Life>) -> Arc<Self> {
        Arc::new(Self {
            life,
            worker: watch::Sender::new(None),
            doubted: Notify::new(),
            confirmed: Mutex::new(Instant::now()),
            held: Mutex::default(),
        })
    }

    /// The id that tasks may be claimed under; waits while there is none.
    pub async fn worker(&self) -> WorkerId {
        let mut worker = self.worker.subscribe();
        loop {
            if let Some(worker) = *worker.borrow_and_update() {
                return worker;
            }
            // The sender lives as long as this does.
            let _ = worker.changed().await;
        }
    }

    /// A claim has shown that this lease was not live: waits until the next beat has told.
    pub async fn doubt(&self, worker: WorkerId) {
        let mut current = self.worker.subscribe();
        if *current.borrow_and_update() == Some(worker) {
            self.doubted.notify_one();
            // The sender lives as long as this does.
            let _ = current.changed().await;
        }
    }

    /// Holds a claimed task until the holding is dropped.
    pub fn hold(self: &Arc<Self>, claim: &Claim) -> Holding {
        let stop = CancellationToken::new();
        self.held.lock().insert(claim.id, (claim.attempt, stop.clone()));
        Holding { lease: self.clone(), id: claim.id, attempt: claim.attempt, stop }
    }

    /// Tells all work to stop; each task is then handed back by its holder.
    pub fn give_up(&self) {
        self.held.lock().values().for_each(|(_, stop)| stop.cancel());
    }

    /// Keeps a lease, one after the other, until `end`.
    pub async fn keep(self: Arc<Self>, end: CancellationToken) {
        let name = format!("{}:{}", hostname(), std::process::id());
        let leases = async {
            loop {
                let worker = WorkerId::random();
                self.life.begin_lease(worker, &name).await;
                self.confirm(Instant::now());
                self.worker.send_replace(Some(worker));
                self.extend(worker).await;
                self.worker.send_replace(None);
                self.give_up();
                metrics::lease_lost();
                warn!(%worker, "the worker has lost its lease; its tasks are dropped");
            }
        };
        // On its own, so that it goes on being told if the lease is stuck.
        let telling = tokio::spawn(self.clone().tell_age());
        end.run_until_cancelled(leases).await;
        telling.abort();
        let worker = *self.worker.borrow();
        if let Some(worker) = worker
            && let Err(error) = self.life.end_lease(worker).await
        {
            debug!(%error, "the lease could not be ended; it lapses by itself");
        }
    }

    /// Extends the lease several times within its length, until it is lost or can't be known to hold.
    async fn extend(&self, worker: WorkerId) {
        let length = self.life.settings().lease_seconds;
        // Work stops a little before the lease may lapse, by this process's own steady clock.
        let safe = length - length / 10;
        let mut safe_until = Instant::now() + safe;
        loop {
            tokio::select! {
                () = sleep(length / 3) => {}
                () = self.doubted.notified() => {}
            }
            let asked = Instant::now();
            match timeout_at(safe_until, self.life.beat(worker)).await {
                Ok(Ok(Some(held))) => {
                    safe_until = asked + safe;
                    self.confirm(asked);
                    // Also those who doubted it see that it holds.
                    self.worker.send_replace(Some(worker));
                    self.attend(held).await;
                }
                Ok(Ok(None)) => return,
                Ok(Err(error)) => debug!(%error, "the lease could not be extended; trying again"),
                Err(_) => {}
            }
            if Instant::now() >= safe_until {
                return;
            }
        }
    }

    fn confirm(&self, at: Instant) {
        *self.confirmed.lock() = at;
    }

    async fn tell_age(self: Arc<Self>) {
        loop {
            metrics::lease_age(self.confirmed.lock().elapsed());
            sleep(TELL_AGE).await;
        }
    }

    /// Stops what its owner wants cancelled, and hands back what the rows say is held here but isn't: a claim or a
    /// hand-back whose commit stayed unknown.
    async fn attend(&self, rows: Vec<Held>) {
        let mut returns = Vec::new();
        for row in rows {
            match self.held.lock().get(&row.id) {
                Some((attempt, stop)) if *attempt == row.attempt => {
                    if row.cancel_requested {
                        stop.cancel();
                    }
                }
                _ => returns.push(HandBack {
                    id: row.id,
                    attempt: row.attempt,
                    after: Duration::ZERO,
                    charge: None,
                    waits_for: None,
                }),
            }
        }
        if !returns.is_empty()
            && let Err(error) = self.life.hand_back(returns).await
        {
            debug!(%error, "tasks could not be handed back; the next beat tries again");
        }
    }
}

/// A task that is held in this process.
pub struct Holding {
    lease: Arc<Lease>,
    id: TaskId,
    attempt: i64,
    stop: CancellationToken,
}

impl Holding {
    /// What tells the work to stop.
    pub fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        let mut held = self.lease.held.lock();
        // A later attempt may be held here by now.
        if held.get(&self.id).is_some_and(|(attempt, _)| *attempt == self.attempt) {
            held.remove(&self.id);
        }
    }
}

fn hostname() -> String {
    nix::unistd::gethostname()
        .map_or_else(|_| "unknown".to_owned(), |name| name.to_string_lossy().into_owned())
}
