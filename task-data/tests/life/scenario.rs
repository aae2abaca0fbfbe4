//! A life in which everything happens once: uploads small and large, done, cancelled, handed back, lost and logged.
//!
//! It goes on whatever the answers are, as clients and workers do, and records the promises.

use std::collections::HashMap;
use std::io::Read;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use task_data::error::Refusal;
use task_data::kinds::Kind;
use task_data::life::Life;
use task_data::outcome;
use task_data::queue::{Delivery, Turn};
use task_data::shared_log::Settled;
use task_data::store::{Cancel, Claim, HandBack, StoreError};
use task_data::task::{Status, Task, TaskError, TaskId, WorkerId};

use crate::world::{INLINE_BYTES, Process, World, named};

const SMALL: &[&[u8]] = &[b"small"];
const LARGE: &[&[u8]] = &[b"too ", b"large for ", b"a row"];

/// The answer to a call, as its caller received it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Yes,
    No,
    /// The caller got no answer.
    Open,
}

struct Promise {
    id: TaskId,
    digest: String,
    accepted: Answer,
    cancelled: Answer,
}

/// The promises that were made, and their observed outcomes.
#[derive(Default)]
pub struct Ledger {
    promises: Vec<Promise>,
    ended: HashMap<TaskId, Task>,
    wrongs: Vec<String>,
}

/// Plays the whole scenario.
pub async fn play(process: &Process, world: &World, ledger: &mut Ledger) {
    let life = &*process.life;
    let _ = life.begin_alone().await;
    let _ = life.sweep().await;
    let worker = Worker::begin(process).await;

    // Done.
    ledger.hand_in(process, SMALL).await;
    ledger.hand_in(process, LARGE).await;
    worker.do_all().await;
    let _ = life.log_outcomes().await;
    ledger.observe(world).await;

    // Cancelled while it is pending.
    let id = ledger.hand_in(process, LARGE).await;
    ledger.cancel(life, id).await;
    ledger.observe(world).await;

    // Cancelled while it is running.
    let id = ledger.hand_in(process, LARGE).await;
    let held = worker.take().await;
    ledger.cancel(life, id).await;
    let _ = life.beat(worker.id).await;
    let _ = life.hand_back(held.iter().map(|claim| back(claim, None)).collect()).await;
    ledger.observe(world).await;

    // Handed back with a charge, and done at the next attempt.
    ledger.hand_in(process, SMALL).await;
    let charge = Some(TaskError::new("io", "It could not be read."));
    let held = worker.take().await;
    let _ = life.hand_back(held.iter().map(|claim| back(claim, charge.clone())).collect()).await;
    let _ = life.sweep().await;
    worker.do_all().await;
    ledger.observe(world).await;

    // Lost with its worker, and done by another.
    ledger.hand_in(process, LARGE).await;
    let lost = Worker::begin(process).await;
    let held = lost.take().await;
    world.lapse(lost.id).await;
    let is_known = life.sweep().await.is_ok();
    let held_anew = worker.take().await;
    for claim in held.iter().filter(|_| is_known) {
        if life.complete(claim, Ok(json!({"md5": "too late"}))).await {
            ledger.wrongs.push(format!("a lost worker has ended task {}", claim.id));
        }
    }
    worker.finish(held_anew).await;
    ledger.observe(world).await;

    let _ = life.log_outcomes().await;
    let _ = life.end_lease(worker.id).await;
    let _ = life.remove_orphans().await;
    process.wire.quiet().await;
    ledger.observe(world).await;
}

/// Lets time, sweeps and a worker bring everything to its end.
///
/// # Errors
/// If that doesn't happen within a few rounds, or a call fails.
pub async fn recover(process: &Process, world: &World, ledger: &mut Ledger) -> Result<(), String> {
    let life = &*process.life;
    for _ in 0..10 {
        ledger.observe(world).await;
        world.let_a_day_pass();
        life.sweep().await.map_err(|error| format!("the sweep: {error:?}"))?;
        for _look in 0..2 {
            life.publish_lost().await.map_err(|error| format!("the look for lost messages: {error:?}"))?;
        }
        let worker = Worker::begin(process).await;
        worker.do_all().await;
        while more_lines(life).await? {}
        process.wire.quiet().await;
        if world.tasks().await.iter().all(|task| task.status.is_ended()) {
            return life.remove_orphans().await.map_err(|error| format!("the orphan sweep: {error:?}"));
        }
    }
    Err(format!("not all tasks end: {:?}", world.tasks().await))
}

async fn more_lines(life: &Life) -> Result<bool, String> {
    match life.log_outcomes().await {
        Ok(Settled::Done(done)) => Ok(done.more),
        other => Err(format!("the log: {other:?}")),
    }
}

pub fn back(claim: &Claim, charge: Option<TaskError>) -> HandBack {
    HandBack { id: claim.id, attempt: claim.attempt, after: Duration::ZERO, charge, waits_for: None }
}

/// A minimal worker, which does one thing after the other.
pub struct Worker<'p> {
    process: &'p Process,
    pub id: WorkerId,
}

impl<'p> Worker<'p> {
    pub async fn begin(process: &'p Process) -> Self {
        let id = WorkerId::random();
        process.life.begin_lease(id, "a worker").await;
        Self { process, id }
    }

    /// Takes the tasks in the queue and claims them.
    pub async fn take(&self) -> Vec<Claim> {
        self.take_all(async |_| false).await
    }

    /// Takes the tasks in the queue and does them, small ones without a claim.
    async fn do_all(&self) {
        let claims =
            self.take_all(async |delivery| delivery.turn == Turn::First && self.has_done(delivery.id).await);
        self.finish(claims.await).await;
    }

    /// Takes the tasks in the queue, and claims those that `is_done` leaves.
    async fn take_all(&self, is_done: impl AsyncFn(&Delivery) -> bool) -> Vec<Claim> {
        let Process { life, stack, queue, wire } = self.process;
        wire.quiet().await;
        let mut claims = Vec::new();
        let Ok(mut consumer) = stack.queue.consume(Kind::Md5, 1).await else { return claims };
        while queue.depth(Kind::Md5).await.unwrap() > 0 {
            let Some(delivery) = consumer.next().await else { continue };
            if !is_done(&delivery).await {
                let claimed = life.claim(vec![delivery.id], self.id).await.expect("no claim is refused");
                assert!(claimed.lease_is_live);
                claims.extend(claimed.claimed);
            }
            delivery.receipt.ack().await;
        }
        claims
    }

    /// Does a task without a claim, if it is small. Returns whether it was.
    async fn has_done(&self, id: TaskId) -> bool {
        let small = self.process.life.read_small(vec![id], INLINE_BYTES as i64).await;
        for small in &small {
            let result = self.work(small).await.expect("its content was read with it");
            self.process.life.complete(small, Ok(result)).await;
        }
        !small.is_empty()
    }

    async fn finish(&self, claims: Vec<Claim>) {
        for claim in claims {
            match self.work(&claim).await {
                Some(result) => drop(self.process.life.complete(&claim, Ok(result)).await),
                None => {
                    let charge = Some(TaskError::new("blob-missing", "It could not be read."));
                    let _ = self.process.life.hand_back(vec![back(&claim, charge)]).await;
                }
            }
        }
        self.process.wire.quiet().await;
    }

    async fn work(&self, claim: &Claim) -> Option<Value> {
        let bytes = match &claim.content {
            Some(bytes) => bytes.clone(),
            None => {
                let mut reader = self.process.stack.blobs.open(claim.id).await.ok()?;
                let mut bytes = Vec::new();
                reader.read_to_end(&mut bytes).unwrap();
                bytes
            }
        };
        Some(json!({"md5": digest(&bytes)}))
    }
}

/// Returns a text that depends on each byte.
fn digest(bytes: &[u8]) -> String {
    format!("{:032x}", twox_hash::XxHash3_64::oneshot(bytes))
}

impl Ledger {
    /// Hands an upload in, and notes the client's answer.
    async fn hand_in(&mut self, process: &Process, chunks: &[&'static [u8]]) -> TaskId {
        let mut intake = process.life.take_in(None);
        let id = intake.id();
        let promise =
            Promise { id, digest: digest(&chunks.concat()), accepted: Answer::Open, cancelled: Answer::No };
        self.promises.push(promise);
        let accepted = async {
            for chunk in chunks {
                intake.write(Bytes::from_static(chunk)).await?;
            }
            process.life.accept(intake, None, named("🧥.txt").into()).await
        };
        self.promise(id).accepted = match accepted.await {
            Ok(_) => Answer::Yes,
            Err(Refusal::Store(StoreError::Unknown(_)) | Refusal::Stopped(_)) => Answer::Open,
            Err(_) => Answer::No,
        };
        process.wire.quiet().await;
        id
    }

    async fn cancel(&mut self, life: &Life, id: TaskId) {
        self.promise(id).cancelled = Answer::Open;
        self.promise(id).cancelled = match life.cancel(id).await {
            Ok(Cancel::Accepted(_)) => Answer::Yes,
            Ok(Cancel::Ended(_) | Cancel::Newer(_) | Cancel::Unknown) | Err(StoreError::Unavailable(_)) => {
                Answer::No
            }
            Err(_) => Answer::Open,
        };
    }

    fn promise(&mut self, id: TaskId) -> &mut Promise {
        self.promises.iter_mut().find(|promise| promise.id == id).expect("it was handed in")
    }

    pub fn take_wrongs(&mut self, wrongs: Vec<String>) {
        self.wrongs.extend(wrongs);
    }

    /// Checks all rows and lines: ended tasks have not changed, and every line belongs to one.
    async fn observe(&mut self, world: &World) {
        for task in world.tasks().await.into_iter().filter(|task| task.status.is_ended()) {
            let before = self.ended.entry(task.id).or_insert_with(|| task.clone());
            if *before != task {
                self.wrongs.push(format!("an ended task has changed: {before:?} became {task:?}"));
            }
        }
        let mut owed: Vec<String> = self.ended.values().filter_map(outcome::line).collect();
        for line in world.log().split_inclusive('\n') {
            match owed.iter().position(|owed| line.strip_suffix('\n') == Some(owed)) {
                Some(at) => drop(owed.swap_remove(at)),
                None => {
                    self.wrongs.push(format!("a line that is torn, doubled or of no ended task: {line:?}"))
                }
            }
        }
    }

    /// Compares the final state with the promises.
    ///
    /// # Errors
    /// All differences.
    pub async fn audit(mut self, world: &World) -> Result<(), String> {
        self.observe(world).await;
        let mut tasks: HashMap<TaskId, Task> =
            world.tasks().await.into_iter().map(|task| (task.id, task)).collect();
        let lines = world.log().lines().count();
        if lines != tasks.len() {
            self.wrongs.push(format!("{lines} lines in the log of {} tasks", tasks.len()));
        }
        if world.lines_are_due().await {
            self.wrongs.push("the log's place is before some outcomes".to_owned());
        }
        for promise in &self.promises {
            if let Err(wrong) = promise.audit(tasks.remove(&promise.id)) {
                self.wrongs.push(wrong);
            }
        }
        self.wrongs.extend(tasks.values().map(|task| format!("a task that nobody handed in: {task:?}")));
        if world.count_blobs() > 0 {
            self.wrongs.push(format!("{} blobs or parts are left", world.count_blobs()));
        }
        if self.wrongs.is_empty() { Ok(()) } else { Err(self.wrongs.join("; ")) }
    }
}

impl Promise {
    fn audit(&self, task: Option<Task>) -> Result<(), String> {
        let Some(task) = task else {
            return match self.accepted {
                Answer::Yes => Err(format!("the promise {} was given and is lost", self.id)),
                Answer::No | Answer::Open => Ok(()),
            };
        };
        if self.accepted == Answer::No {
            return Err(format!("a task that was refused stands: {task:?}"));
        }
        let is_done = task.status == Status::Succeeded && task.result == Some(json!({"md5": self.digest}));
        let is_cancelled = task.status == Status::Cancelled;
        let is_right = match self.cancelled {
            Answer::Yes => is_cancelled,
            Answer::No => is_done,
            Answer::Open => is_done || is_cancelled,
        };
        if is_right { Ok(()) } else { Err(format!("a wrong end, cancelled: {:?}: {task:?}", self.cancelled)) }
    }
}
