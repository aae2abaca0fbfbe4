//! The work of kind `table`: sends each row to the third party, in the order of the file, and keeps its answer.
//!
//! The port `Limits` bounds the rate of requests to the third party for all processes ([`limits::rate`]). An answered row is never sent
//! again; a row whose answer was not kept is sent again, under the same key. While the third party is away the table waits in its row,
//! which says so, and no row is charged.

mod outage;
mod unsent;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use limits::rate::{RateRule, Turn};
use limits::{Limits, USE_WITHIN};
use parking_lot::Mutex as BriefMutex;
use program::Backoff;
use reqwest::Url;
use serde_json::{Value, json};
use task_data::blobs::{BlobError, Blobs};
use task_data::kinds::table::{Input, Output as TableOutput, Row, SentRow};
use task_data::life::Life;
use task_data::metrics;
use task_data::stack::Stack;
use task_data::store::{Claim, Store, StoreError};
use task_data::task::{TaskError, TaskId};
use tokio::sync::Mutex;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::debug;
use uuid::Uuid;

use self::outage::{Failures, Outage, ROWS};
use self::unsent::Unsent;
use super::checked_blob::{CheckedBlob, blocking, corrupt, read_through};
use crate::outbound::{Answer, Meaning, NoAnswer, Outbound, Request};
use crate::settings::ThirdPartySettings;
use crate::work::{Output, WorkError};

/// The number of tables worked on at once in a process: they mostly wait for their turn.
pub const SLOTS: usize = 16;
/// The third party's name, in limits and metrics.
const RECEIVER: &str = "third-party";
/// How often a row is sent that meets transient errors while other rows don't: over one to two minutes.
const TRIES: u32 = 8;
/// How often a row fails to reach the third party until the table waits: over a second or two.
const ABSENCES: u32 = 4;
/// The longest pause that a table waits for without saying that it waits.
const SILENT_PAUSE: Duration = Duration::from_secs(3);
/// The number of attempts without an answered row during which a reachable third party is taken to be away: a day, at one every five
/// minutes. After that its rows are at fault.
const VAIN_ATTEMPTS: i64 = 300;

/// Sends tables.
pub struct Tables {
    life: Arc<Life>,
    store: Arc<dyn Store>,
    blobs: Arc<dyn Blobs>,
    limits: Arc<dyn Limits>,
    rule: RateRule,
    posts: Url,
    outbound: Outbound,
    draining: CancellationToken,
}

impl Tables {
    pub fn new(
        life: Arc<Life>,
        stack: Stack,
        settings: ThirdPartySettings,
        outbound: Outbound,
        draining: CancellationToken,
    ) -> Arc<Self> {
        let posts = settings.third_party_url.at("posts");
        let Stack { store, blobs, limits, .. } = stack;
        Arc::new(Self { life, store, blobs, limits, rule: settings.rule(), posts, outbound, draining })
    }

    /// Sends the rows that are not answered yet. When stopped, begins no further row, and waits for those in progress.
    pub async fn work(
        self: &Arc<Self>,
        claim: &Claim,
        input: Input,
        stop: &CancellationToken,
    ) -> Result<Output, WorkError> {
        if input.source.is_none() {
            self.verify(claim, input.size, stop).await?;
        }
        let last_attempt = self.store.last_attempt(claim.id).await.map_err(not_now)?;
        let rows = Unsent::open(self.store.clone(), self.blobs.clone(), claim.id, &input).await?;
        let table = Arc::new(Table {
            tables: self.clone(),
            claim: claim.clone(),
            first: input.source.map_or(claim.id, |source| TaskId(source.first)),
            may_have_been_sent: claim.attempt > 1 || input.source.is_some(),
            in_vain: (claim.attempt - last_attempt - 1).max(0),
            stop: stop.child_token(),
            door: Mutex::default(),
            quiet_until: BriefMutex::new(Instant::now()),
            outage: BriefMutex::default(),
        });
        table.send_all(rows).await?;

        let progress = self.store.table_progress(claim.id).await.map_err(not_now)?;
        // Every row is answered, unless this file is not the one whose rows were counted.
        if progress.sent != input.rows {
            return Err(corrupt());
        }
        Ok(json!(TableOutput { rows: input.rows, failed: progress.failed }))
    }

    /// Checks the whole file first: no row of a damaged table is sent.
    async fn verify(&self, claim: &Claim, size: u64, stop: &CancellationToken) -> Result<(), WorkError> {
        let check = claim.blob_check.ok_or(BlobError::Missing)?;
        let upload = CheckedBlob::new(self.blobs.open(claim.id).await?, size, check);
        let stop = stop.clone();
        blocking(move || read_through(upload, &stop)).await
    }
}

/// A table that is being sent.
struct Table {
    tables: Arc<Tables>,
    claim: Claim,
    /// The table that its rows were submitted with, for their keys.
    first: TaskId,
    /// Whether unanswered rows may have been sent before.
    may_have_been_sent: bool,
    /// The number of attempts before this one since a row was last answered.
    in_vain: i64,
    /// Ends with this attempt.
    stop: CancellationToken,
    /// One row at a time asks for a slot, in the order of arrival.
    door: Mutex<()>,
    /// Until when the third party has asked for a pause.
    quiet_until: BriefMutex<Instant>,
    outage: BriefMutex<Outage>,
}

/// A slot that was granted.
struct Grant {
    request: Uuid,
    asked: Instant,
}

/// The outcome of a request.
enum Sent {
    /// The third party's final answer.
    Final(Answer),
    /// An error that may pass.
    Again(Option<Answer>, &'static str),
    /// The request did not reach the third party, which says nothing about the row.
    Unsent,
}

impl Table {
    /// Sends rows, several at once: a row that waits for its answer or is retried holds up no other.
    async fn send_all(self: &Arc<Self>, mut rows: Unsent) -> Result<(), WorkError> {
        // Each row has its own task, so that one in progress still releases its slot when the table is cancelled.
        let mut under_way = FuturesUnordered::<JoinHandle<Result<(), WorkError>>>::new();
        let mut outcome = Ok(());
        while outcome.is_ok() {
            let most = self.tables.rule.rate as usize + 1;
            // A few rows find out whether the third party answers at all.
            let most = if self.outage.lock().has_answers() { most } else { most.min(ROWS) };
            if under_way.len() >= most {
                outcome = settled(under_way.next().await);
                continue;
            }
            outcome = match rows.next().await {
                Ok(Some((number, row))) => match self.slot().await {
                    Ok(grant) => {
                        under_way.push(tokio::spawn(self.clone().send(number, row, grant)));
                        Ok(())
                    }
                    Err(error) => Err(error),
                },
                Ok(None) => break,
                Err(error) => Err(error),
            };
        }
        if outcome.is_err() {
            self.stop.cancel();
        }
        while let Some(row) = under_way.next().await {
            outcome = match (outcome, settled(Some(row))) {
                // The error says more than the stop does.
                (Ok(()) | Err(WorkError::Stopped), Err(error)) => Err(error),
                (outcome, _) => outcome,
            };
        }
        outcome
    }

    /// Sends a row until it has its answer, and keeps the answer.
    async fn send(self: Arc<Self>, number: i64, row: Row, grant: Grant) -> Result<(), WorkError> {
        self.outage.lock().begin();
        let mut failures = Failures::default();
        let answer = self.answer(number, &row, grant, &mut failures).await;
        self.outage.lock().end(&failures);
        let (status, reply) = answer?;
        let sent = SentRow { number, row, status, reply };
        let has_failed = sent.has_failed();
        if !self.tables.life.keep_row(&self.claim, sent).await {
            // Another attempt has the task, so this error has no effect; or the database rejected the row, which is charged.
            return Err(WorkError::Later(TaskError::new("row-not-kept", "An answer could not be kept.")));
        }
        metrics::row_answered(has_failed);
        Ok(())
    }

    /// Returns the row's final answer as it is to be kept.
    async fn answer(
        &self,
        number: i64,
        row: &Row,
        grant: Grant,
        failures: &mut Failures,
    ) -> Result<(Option<u16>, Value), WorkError> {
        let (key, body) = (format!("{}:{number}", self.first), json!(row));
        let (mut grant, mut absences, mut is_repeat) = (Some(grant), 0, self.may_have_been_sent);
        let (mut status, mut reply) = (None, Value::Null);
        loop {
            let now = match grant.take() {
                Some(grant) => grant,
                None => self.slot().await?,
            };
            let Some(sent) = self.post(now, Request { key: &key, is_repeat, body: &body }).await else {
                continue;
            };
            let pause = match sent {
                Sent::Final(answer) => {
                    self.outage.lock().answered();
                    self.tables.outbound.is_back(RECEIVER);
                    return Ok((Some(answer.status.as_u16()), kept(&answer)));
                }
                Sent::Again(answer, why) => {
                    is_repeat = true;
                    let pause = answer.as_ref().and_then(|answer| answer.retry_after).unwrap_or_default();
                    match &answer {
                        Some(answer) => (status, reply) = (Some(answer.status.as_u16()), kept(answer)),
                        None if status.is_none() => reply = json!({"error": why}),
                        None => {}
                    }
                    let is_outage = self.outage.lock().failed(number, failures) || pause > SILENT_PAUSE;
                    if is_outage && self.in_vain < VAIN_ATTEMPTS {
                        return Err(self.away(why, pause));
                    }
                    if failures.count >= TRIES {
                        return Ok((status, reply));
                    }
                    pause.max(Backoff::TASK.delay(failures.count - 1))
                }
                // That is not the row's fault.
                Sent::Unsent => {
                    absences += 1;
                    if absences == ABSENCES {
                        return Err(self.away("it can't be reached", Duration::ZERO));
                    }
                    Backoff::SERVER.delay(absences - 1)
                }
            };
            self.unless_stopped(sleep(pause)).await?;
        }
    }

    /// Returns the error of a third party that accepts no rows: the reason, and the pause that it has asked for.
    fn away(&self, why: &str, pause: Duration) -> WorkError {
        self.tables.outbound.is_away(RECEIVER, why);
        self.stop.cancel();
        let pause = pause.max(Backoff::TASK.delay(u32::try_from(self.in_vain).unwrap_or(u32::MAX)));
        let detail = format!("The third party accepts no rows: {why}.");
        WorkError::NotYet(pause, TaskError::new("third-party-unavailable", detail))
    }

    /// Sends one request; returns `None` if its grant is too old by now.
    async fn post(&self, Grant { request, asked }: Grant, row: Request<'_>) -> Option<Sent> {
        let Tables { limits, outbound, posts, .. } = &*self.tables;
        let begun = Instant::now();
        let answer = match begun - asked > USE_WITHIN {
            true => None,
            false => Some(outbound.ask(posts, row).await),
        };
        let over = match answer {
            None | Some(Err(NoAnswer::Unsent)) => limits.give_back(RECEIVER, request).await,
            Some(Ok(_) | Err(NoAnswer::Broken(_))) => limits.rest(RECEIVER, request).await,
        };
        if let Err(error) = over {
            debug!(%error, "the end of a request could not be recorded; its slot lapses");
        }
        let (sent, outcome) = match answer? {
            Ok(answer) => match answer.meaning {
                Meaning::Done => (Sent::Final(answer), "done"),
                Meaning::Never(_) => (Sent::Final(answer), "rejected"),
                Meaning::MayPass(why) => {
                    self.be_quiet_for(answer.retry_after.unwrap_or_default());
                    (Sent::Again(Some(answer), why), "refused")
                }
            },
            Err(NoAnswer::Broken(why)) => (Sent::Again(None, why), "unknown"),
            Err(NoAnswer::Unsent) => (Sent::Unsent, "unsent"),
        };
        metrics::provider_called(RECEIVER, outcome, begun.elapsed());
        Some(sent)
    }

    /// Waits for a slot, also while the store of the limits is away: no request is sent uncounted.
    async fn slot(&self) -> Result<Grant, WorkError> {
        let _turn = self.unless_stopped(self.door.lock()).await?;
        let mut failures = 0;
        loop {
            let quiet_until = *self.quiet_until.lock();
            self.unless_stopped(sleep_until(quiet_until)).await?;
            let (request, asked) = (Uuid::new_v4(), Instant::now());
            let Tables { limits, rule, .. } = &*self.tables;
            let pause = match limits.take(RECEIVER, *rule, self.claim.id.0, request).await {
                Ok(Turn::Now) => return Ok(Grant { request, asked }),
                Ok(Turn::Wait(pause)) => {
                    failures = 0;
                    pause
                }
                // The adapter logs that it is away.
                Err(_) => {
                    failures += 1;
                    Backoff::SERVER.delay(failures - 1)
                }
            };
            self.unless_stopped(sleep(pause)).await?;
        }
    }

    fn be_quiet_for(&self, pause: Duration) {
        let until = Instant::now() + pause;
        let mut quiet_until = self.quiet_until.lock();
        *quiet_until = quiet_until.max(until);
    }

    async fn unless_stopped<T>(&self, wait: impl Future<Output = T>) -> Result<T, WorkError> {
        let wait = self.tables.draining.run_until_cancelled(wait);
        self.stop.run_until_cancelled(wait).await.flatten().ok_or(WorkError::Stopped)
    }
}

/// Returns an answer as it is kept: its JSON, or its text in a JSON string; `null` if it was too large to read.
fn kept(answer: &Answer) -> Value {
    let text = |body: &Vec<u8>| json!(String::from_utf8_lossy(body).replace('\0', "\u{fffd}"));
    answer.json().or_else(|| answer.body.as_ref().map(text)).unwrap_or_default()
}

/// Returns the result of a row in progress.
fn settled(row: Option<Result<Result<(), WorkError>, JoinError>>) -> Result<(), WorkError> {
    row.map_or(Ok(()), |row| row.unwrap_or_else(|panicked| Err(panicked.into())))
}

/// Returns the error of an attempt that failed because of the database, not the task.
pub(super) fn not_now(error: StoreError) -> WorkError {
    debug!(%error, "the rows of a table could not be read");
    let why = TaskError::new("database-unavailable", "The database could not read the table's rows.");
    WorkError::NotYet(Backoff::SERVER.delay(0), why)
}
