//! Leases: the right of a worker to the tasks that it has claimed.
//!
//! Only the database's clock counts. This module never decides that a lease has lapsed; the sweep does. It only stops work whose lease may
//! have lapsed, so that no work is spent on tasks that another worker may have by then.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use program::host_name;
use task_data::life::Life;
use task_data::metrics;
use task_data::store::{Beat, Claim, HandBack, Held};
use task_data::task::{TaskId, WorkerId};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// The interval at which the age of the lease's last confirmation is reported.
const TELL_AGE: Duration = Duration::from_secs(1);

/// The lease of this process, and the tasks held under it.
pub struct Lease {
    life: Arc<Life>,
    worker: watch::Sender<Option<WorkerId>>,
    doubted: Notify,
    /// When the database last confirmed the lease; before the first time, when this process began to ask for one.
    confirmed: Mutex<Instant>,
    held: Mutex<HashMap<TaskId, (i64, CancellationToken)>>,
    /// Whether this worker is to take nothing more.
    is_draining: watch::Sender<bool>,
    /// Whether a signal has said so, and the row does not say so yet.
    is_to_drain: AtomicBool,
}

impl Lease {
    pub fn new(life: Arc<Life>) -> Arc<Self> {
        Arc::new(Self {
            life,
            worker: watch::Sender::new(None),
            doubted: Notify::new(),
            confirmed: Mutex::new(Instant::now()),
            held: Mutex::default(),
            is_draining: watch::Sender::new(false),
            is_to_drain: AtomicBool::new(false),
        })
    }

    /// Returns whether this worker is to take nothing more, as it changes.
    pub fn draining(&self) -> watch::Receiver<bool> {
        self.is_draining.subscribe()
    }

    /// Lets this worker take nothing more, until an operator undoes it.
    pub fn drain(&self) {
        self.is_to_drain.store(true, Relaxed);
        self.is_draining.send_replace(true);
        self.doubted.notify_one();
    }

    /// Returns the id that tasks may be claimed under; waits until there is one.
    pub async fn worker(&self) -> WorkerId {
        let mut worker = self.worker.subscribe();
        loop {
            if let Some(worker) = *worker.borrow_and_update() {
                return worker;
            }
            // The sender lives as long as `self`.
            let _ = worker.changed().await;
        }
    }

    /// Waits until the next heartbeat has checked the lease, after a claim has shown that it was not live.
    pub async fn doubt(&self, worker: WorkerId) {
        let mut current = self.worker.subscribe();
        if *current.borrow_and_update() == Some(worker) {
            self.doubted.notify_one();
            // The sender lives as long as `self`.
            let _ = current.changed().await;
        }
    }

    /// Holds a claimed task until the return value is dropped.
    pub fn hold(self: &Arc<Self>, claim: &Claim) -> Holding {
        let stop = CancellationToken::new();
        self.held.lock().insert(claim.id, (claim.attempt, stop.clone()));
        Holding { lease: self.clone(), id: claim.id, attempt: claim.attempt, stop }
    }

    /// Stops all work; the holder of each task then hands it back.
    pub fn give_up(&self) {
        self.held.lock().values().for_each(|(_, stop)| stop.cancel());
    }

    /// Keeps a lease, beginning a new one whenever it is lost, until `end`.
    pub async fn keep(self: Arc<Self>, end: CancellationToken) {
        let name = format!("{}:{}", host_name(), std::process::id());
        let leases = async {
            loop {
                let worker = WorkerId::random();
                self.life.begin_lease(worker, &name).await;
                self.confirm(Instant::now());
                self.worker.send_replace(Some(worker));
                self.extend(worker).await;
                self.worker.send_replace(None);
                // The next lease is another row.
                self.is_to_drain.store(*self.is_draining.borrow(), Relaxed);
                self.give_up();
                metrics::lease_lost();
                warn!(%worker, "the worker has lost its lease; its tasks are dropped");
            }
        };
        // A separate task, so that the age is reported even if the lease is stuck.
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

    /// Extends the lease several times within its length, until it is lost or may have lapsed.
    async fn extend(&self, worker: WorkerId) {
        let length = self.life.settings().lease_seconds;
        // Work stops a little before the lease may lapse, by this process's own monotonic clock.
        let safe = length - length / 10;
        let mut safe_until = Instant::now() + safe;
        loop {
            tokio::select! {
                () = sleep(length / 3) => {}
                () = self.doubted.notified() => {}
            }
            let asked = Instant::now();
            let _ = timeout_at(safe_until, self.tell_draining(worker)).await;
            match timeout_at(safe_until, self.life.beat(worker)).await {
                Ok(Ok(Some(Beat { held, is_draining }))) => {
                    if !self.is_to_drain.load(Relaxed) {
                        self.is_draining
                            .send_if_modified(|was| std::mem::replace(was, is_draining) != is_draining);
                    }
                    safe_until = asked + safe;
                    self.confirm(asked);
                    // Callers of `doubt` also learn that the lease holds.
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

    /// Records in the lease's row that a signal has told this worker to take nothing more.
    async fn tell_draining(&self, worker: WorkerId) {
        if self.is_to_drain.load(Relaxed) {
            match self.life.drain(worker, true).await {
                Ok(_) => self.is_to_drain.store(false, Relaxed),
                Err(error) => debug!(%error, "the worker's row does not say yet that it drains"),
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

    /// Stops tasks that are to be cancelled. Hands back tasks that this process holds only in the rows: the commit of their claim or
    /// hand-back stayed unknown.
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
            debug!(%error, "tasks could not be handed back; the next heartbeat tries again");
        }
    }
}

/// A task that this process holds.
pub struct Holding {
    lease: Arc<Lease>,
    id: TaskId,
    attempt: i64,
    stop: CancellationToken,
}

impl Holding {
    /// Returns the token that stops the work.
    pub fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        let mut held = self.lease.held.lock();
        // This process may hold a later attempt by now.
        if held.get(&self.id).is_some_and(|(attempt, _)| *attempt == self.attempt) {
            held.remove(&self.id);
        }
    }
}
