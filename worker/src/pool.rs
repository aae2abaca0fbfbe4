//! The pool: permits for each kind, each held by one task from its delivery to the end of its work.
//!
//! A pool whose kind is paused consumes nothing: it learns of the pause by a claim that was refused, returns what was delivered to the queue,
//! and looks for the pause's end.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use database::batch::Batcher;
use futures::future::join_all;
use program::{Backoff, Repeated};
use task_data::kinds::Kind;
use task_data::life::Life;
use task_data::queue::{Consumer, Delivery, Receipt, Turn};
use task_data::store::{Claim, HandBack};
use task_data::task::{TaskError, TaskId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::kinds::{AT_ONCE, Workshop, work_at_once};
use crate::lease::Lease;
use crate::work::{Output, WorkError};

/// How long a delivery waits for a permit before it is returned for other workers.
const PERMIT_TIMEOUT: Duration = Duration::from_secs(1);
/// How often a pool looks whether its kind is still paused.
const PAUSED_STILL: Duration = Duration::from_millis(500);
/// How often the rows are searched for tasks while the queue is away.
const ROWS_AGAIN: Duration = Duration::from_millis(500);

/// Claims and does tasks of every kind until `stop`; returns when all claimed tasks are done or handed back.
pub async fn run(workshop: Arc<Workshop>, lease: Arc<Lease>, stop: CancellationToken) {
    let pools = Kind::ALL.map(|kind| Pool::new(kind, workshop.clone(), lease.clone()));
    join_all(pools.iter().map(|pool| pool.run(&stop))).await;
}

/// The permits of one kind: long tasks of one kind never make another kind's wait.
struct Pool {
    kind: Kind,
    concurrency: usize,
    free: Arc<Semaphore>,
    under_way: TaskTracker,
    runner: Runner,
}

impl Pool {
    fn new(kind: Kind, workshop: Arc<Workshop>, lease: Arc<Lease>) -> Self {
        let (life, concurrency) = (workshop.life.clone(), workshop.concurrency(kind));
        let small = (kind == Kind::Md5).then(|| {
            let life = life.clone();
            Arc::new(Batcher::start(concurrency, move |ids| read_all(life.clone(), ids)))
        });
        let claims = Arc::new(Batcher::start(concurrency, {
            let (life, lease) = (life.clone(), lease.clone());
            move |ids| claim_all(life.clone(), lease.clone(), ids)
        }));
        Self {
            kind,
            concurrency,
            free: Arc::new(Semaphore::new(concurrency)),
            under_way: TaskTracker::new(),
            runner: Runner {
                kind,
                workshop,
                life,
                lease,
                small,
                claims,
                is_paused: watch::Sender::new(false),
            },
        }
    }

    async fn run(&self, stop: &CancellationToken) {
        stop.run_until_cancelled(self.take_deliveries()).await;
        self.under_way.close();
        self.under_way.wait().await;
    }

    /// Consumes deliveries while the queue is available, and tasks from rows while it is away.
    async fn take_deliveries(&self) {
        let prefetch = u16::try_from(self.concurrency).unwrap_or(u16::MAX);
        let (mut failures, mut outage) = (0, Repeated::default());
        loop {
            self.may_take().await;
            // Deliveries are asked for only with a free permit: a busy worker keeps no task from the others.
            drop(self.free.acquire().await);
            match self.runner.workshop.queue.consume(self.kind, prefetch).await {
                Ok(consumer) => {
                    if failures > 0 {
                        info!("the queue of {} tasks is back", self.kind);
                    }
                    (failures, outage) = (0, Repeated::default());
                    self.while_allowed(self.take_from(consumer)).await;
                }
                Err(error) => {
                    let line =
                        format!("the queue of {} tasks is away; they are claimed from their rows", self.kind);
                    if let Some(line) = outage.line(&line) {
                        warn!(%error, "{line}");
                    }
                    self.while_allowed(self.take_rows(Instant::now() + Backoff::SERVER.delay(failures)))
                        .await;
                    failures += 1;
                }
            }
        }
    }

    /// Waits while the worker drains or the kind is paused.
    async fn may_take(&self) {
        // The sender lives as long as the lease.
        let _ = self.runner.lease.draining().wait_for(|is_draining| !is_draining).await;
        while *self.runner.is_paused.borrow() {
            match self.runner.life.pauses().await {
                Ok(pauses) if pauses.iter().all(|pause| pause.kind != self.kind) => {
                    self.runner.is_paused.send_replace(false);
                }
                // A database that is away begins no task either.
                Ok(_) | Err(_) => sleep(PAUSED_STILL).await,
            }
        }
    }

    /// Takes deliveries until a claim is refused by a pause or the worker drains. What was delivered and not claimed then goes back to the
    /// queue.
    async fn while_allowed(&self, taking: impl Future<Output = ()>) {
        let (mut is_paused, mut is_draining) =
            (self.runner.is_paused.subscribe(), self.runner.lease.draining());
        tokio::select! {
            () = taking => {}
            // The senders live as long as `self`.
            _ = is_paused.wait_for(|is_paused| *is_paused) => {}
            _ = is_draining.wait_for(|is_draining| *is_draining) => {}
        }
    }

    /// Consumes deliveries, each with a free permit, until their stream ends or no permit gets free for a while: the queue then delivers the
    /// prefetched ones to other workers.
    async fn take_from(&self, mut consumer: Box<dyn Consumer>) {
        while let Ok(Ok(permit)) = timeout(PERMIT_TIMEOUT, self.free.clone().acquire_owned()).await {
            let Some(delivery) = consumer.next().await else {
                // If the broker ends each stream at once, the next is requested after a delay.
                return sleep(Backoff::SERVER.delay(0)).await;
            };
            self.under_way.spawn(self.runner.clone().take(delivery, permit));
        }
    }

    /// Claims tasks from their rows, until it is time to try the queue again.
    async fn take_rows(&self, until: Instant) {
        while Instant::now() < until {
            let free = self.free.available_permits().max(1);
            let ids = self.runner.life.unqueued(self.kind, free).await.unwrap_or_default();
            if ids.is_empty() {
                sleep_until(until.min(Instant::now() + ROWS_AGAIN)).await;
            }
            for id in ids {
                let Ok(permit) = self.free.clone().acquire_owned().await else { return };
                let delivery = Delivery { id, turn: Turn::Again, receipt: Box::new(NoReceipt) };
                self.under_way.spawn(self.runner.clone().take(delivery, permit));
            }
            // A permit that is free again has claimed its task, so the rows read next are others.
            drop(self.free.acquire().await);
        }
    }
}

/// A task from its row has no delivery to acknowledge.
struct NoReceipt;

#[async_trait]
impl Receipt for NoReceipt {
    async fn ack(self: Box<Self>) {}
}

/// Reads a batch of small work; answers each id with its task, if it may be done without a claim.
async fn read_all(life: Arc<Life>, ids: Vec<TaskId>) -> Vec<Option<Claim>> {
    let small = life.read_small(ids.clone(), AT_ONCE).await;
    by_id(&ids, small)
}

/// The answer to the claim of an id.
enum Claimed {
    /// This worker got it.
    Mine(Claim),
    /// Another worker has it, or it has ended.
    Gone,
    /// Its kind is paused.
    Waits,
}

/// Claims a batch under the lease; answers each id.
async fn claim_all(life: Arc<Life>, lease: Arc<Lease>, ids: Vec<TaskId>) -> Vec<Claimed> {
    loop {
        let worker = lease.worker().await;
        let Some(claims) = life.claim(ids.clone(), worker).await else {
            return ids.iter().map(|_| Claimed::Gone).collect();
        };
        if claims.lease_is_live {
            let mine = by_id(&ids, claims.claimed).into_iter();
            return mine.zip(&ids).map(|(mine, id)| answer(mine, claims.waiting.contains(id))).collect();
        }
        lease.doubt(worker).await;
    }
}

fn answer(mine: Option<Claim>, waits: bool) -> Claimed {
    match mine {
        Some(claim) => Claimed::Mine(claim),
        None if waits => Claimed::Waits,
        None => Claimed::Gone,
    }
}

/// Returns the claim of each id, once.
fn by_id(ids: &[TaskId], mut claims: Vec<Claim>) -> Vec<Option<Claim>> {
    let mut claim_of = |id: &TaskId| {
        let at = claims.iter().position(|claim| claim.id == *id)?;
        Some(claims.swap_remove(at))
    };
    ids.iter().map(&mut claim_of).collect()
}

/// The services that the holder of a permit uses.
#[derive(Clone)]
struct Runner {
    kind: Kind,
    workshop: Arc<Workshop>,
    life: Arc<Life>,
    lease: Arc<Lease>,
    /// Reads small work, if this kind has any.
    small: Option<Arc<Batcher<TaskId, Option<Claim>>>>,
    claims: Arc<Batcher<TaskId, Claimed>>,
    /// Whether the kind was paused when a claim or the pool looked last.
    is_paused: watch::Sender<bool>,
}

impl Runner {
    async fn take(self, delivery: Delivery, permit: OwnedSemaphorePermit) {
        let Delivery { id, turn, receipt } = delivery;
        // A task that a worker may have died of is claimed, so that its attempt is charged.
        if turn == Turn::First
            && let Some(small) = &self.small
            && let Ok(Some(small)) = small.send(id).await
            && let Ok(output) = work_at_once(&small)
        {
            // With the permit until the end: a database that can be read and not written must not gather results here.
            if self.life.complete(&small, Ok(output)).await {
                return receipt.ack().await;
            }
            // The claim shows whether another worker has the task, or its kind is paused.
        }
        let mut claim = match self.claims.send(id).await {
            Ok(Claimed::Mine(claim)) => claim,
            Ok(Claimed::Gone) => return receipt.ack().await,
            // Not acknowledged: it is delivered again once the pool consumes again.
            Ok(Claimed::Waits) => {
                if !self.is_paused.send_replace(true) {
                    info!("{} tasks are paused; their deliveries go back to the queue", self.kind);
                }
                return;
            }
            Err(_) => return,
        };
        // Acknowledged as soon as the claim has committed: acknowledgements do not wait for work.
        receipt.ack().await;
        let holding = self.lease.hold(&claim);
        debug!(task.id = %id, claim.attempt, "task claimed, attempt {}", claim.attempt);

        let content = claim.content.take();
        let outcome = self.workshop.work(&claim, content, permit, holding.stop()).await;
        self.settle(&claim, outcome).await;
    }

    /// Records the outcome.
    async fn settle(&self, claim: &Claim, outcome: Result<Output, WorkError>) {
        let id = claim.id;
        let (after, charge, waits_for) = match outcome {
            Ok(output) => return self.complete(claim, Ok(output)).await,
            Err(WorkError::Never(error)) => return self.complete(claim, Err(error)).await,
            Err(WorkError::Later(error)) => {
                (Backoff::TASK.delay(claim.tries.cast_unsigned()), Some(error), None)
            }
            Err(WorkError::NotYet(after, why)) => (after, None, Some(why)),
            Err(WorkError::Stopped) => (Default::default(), None, None),
        };
        let back = HandBack { id, attempt: claim.attempt, after, charge, waits_for };
        if let Err(error) = self.life.hand_back(vec![back]).await {
            warn!(task.id = %id, %error, "task could not be handed back now; the next heartbeat sees it");
        }
    }

    async fn complete(&self, claim: &Claim, outcome: Result<Output, TaskError>) {
        if !self.life.complete(claim, outcome).await {
            let (id, attempt) = (claim.id, claim.attempt);
            info!(task.id = %id, attempt, "attempt {attempt} of the task came too late, its result is dropped");
        }
    }
}
