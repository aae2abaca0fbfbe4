//! Tables: each row to the third party, in the order of the file, and its answer kept.
//!
//! How often the third party is asked is bounded for all processes by the port `Limits` ([`task_data::limits::rate`]). A row that has its
//! answer is never sent again; one whose answer was not kept is, under the same key.

mod unsent;

use std::sync::{Arc, Mutex as BriefMutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use reqwest::{StatusCode, Url};
use serde_json::{Value, json};
use task_data::backoff::Backoff;
use task_data::blobs::BlobError;
use task_data::kinds::table::{Input, Output as TableOutput, Row, SentRow};
use task_data::life::Life;
use task_data::limits::USE_WITHIN;
use task_data::limits::rate::{Rule, Turn};
use task_data::metrics;
use task_data::store::{Claim, StoreError};
use task_data::task::TaskError;
use tokio::sync::Mutex;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::debug;
use uuid::Uuid;

use self::unsent::Unsent;
use super::upload::{Upload, blocking, corrupt, read_through};
use super::{Output, WorkError};
use crate::outbound::{Answer, NoAnswer, Outbound};
use crate::settings::ThirdPartySettings;

/// Tables worked on at once in a process: they mostly wait for their turn.
pub const SLOTS: usize = 16;
/// The receiver's name, in the limits and in what is counted.
const RECEIVER: &str = "third-party";
/// How often a row is sent that meets errors which may pass.
const TRIES: u32 = 5;
/// What the third party may ask for at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// Sends tables.
pub struct Tables {
    life: Arc<Life>,
    rule: Rule,
    posts: Url,
    outbound: Outbound,
    draining: CancellationToken,
}

impl Tables {
    pub fn new(
        life: Arc<Life>,
        settings: ThirdPartySettings,
        outbound: Outbound,
        draining: CancellationToken,
    ) -> Arc<Self> {
        let posts = settings.third_party_url.at("posts");
        Arc::new(Self { life, rule: settings.rule(), posts, outbound, draining })
    }

    /// Sends the rows that have no answer yet. Told to stop, it begins no other row, and waits for those under way.
    pub async fn work(
        self: &Arc<Self>,
        claim: &Claim,
        stop: &CancellationToken,
    ) -> Result<Output, WorkError> {
        let input: Input = serde_json::from_value(claim.input.clone()).map_err(|_| corrupt())?;
        self.verify(claim, input.size, stop).await?;
        let rows = Unsent::open(self.life.clone(), claim.id).await?;
        let table = Arc::new(Table {
            tables: self.clone(),
            claim: claim.clone(),
            stop: stop.child_token(),
            door: Mutex::default(),
            quiet_until: BriefMutex::new(Instant::now()),
        });
        table.send_all(rows).await?;

        let progress = self.life.stack().store.table_progress(claim.id).await.map_err(not_now)?;
        // Each row was answered, or this would be another file than the one that was counted.
        if progress.sent != input.rows {
            return Err(corrupt());
        }
        Ok(json!(TableOutput { rows: input.rows, failed: progress.failed }))
    }

    /// Nothing of a damaged table is sent.
    async fn verify(&self, claim: &Claim, size: u64, stop: &CancellationToken) -> Result<(), WorkError> {
        let check = claim.blob_check.ok_or(BlobError::Missing)?;
        let upload = Upload::new(self.life.stack().blobs.open(claim.id).await?, size, check);
        let stop = stop.clone();
        blocking(move || read_through(upload, &stop)).await
    }
}

/// A table that is being sent.
struct Table {
    tables: Arc<Tables>,
    claim: Claim,
    /// Ends with this attempt.
    stop: CancellationToken,
    /// One row at a time asks for a slot, in the order in which they came.
    door: Mutex<()>,
    /// Until when the third party wants to be left alone.
    quiet_until: BriefMutex<Instant>,
}

/// A slot that was granted.
struct Grant {
    request: Uuid,
    asked: Instant,
}

/// What came of a request.
enum Sent {
    /// The third party's last word.
    Final(Answer),
    /// It may be another the next time.
    Again(Option<Answer>, &'static str),
    /// It never got there, and nothing is known of the row.
    Unsent,
}

impl Table {
    /// Sends rows, several at once: one that waits for its answer or is tried again holds no other up.
    async fn send_all(self: &Arc<Self>, mut rows: Unsent) -> Result<(), WorkError> {
        // Each on its own: one that is under way when the table is cancelled still gives its slot back.
        let mut under_way = FuturesUnordered::<JoinHandle<Result<(), WorkError>>>::new();
        let most = self.tables.rule.rate as usize + 1;
        let mut outcome = Ok(());
        while outcome.is_ok() {
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
            outcome = outcome.and(settled(Some(row)));
        }
        outcome
    }

    /// Sends a row until it has its answer, and keeps that.
    async fn send(self: Arc<Self>, number: i64, row: Row, grant: Grant) -> Result<(), WorkError> {
        let (key, body) = (format!("{}:{number}", self.claim.id), json!(row));
        let (mut grant, mut failures, mut absences) = (Some(grant), 0, 0);
        let (mut status, mut reply) = (None, Value::Null);
        loop {
            let now = match grant.take() {
                Some(grant) => grant,
                None => self.slot().await?,
            };
            let Some(sent) = self.post(now, &key, &body).await else { continue };
            let pause = match sent {
                Sent::Final(answer) => {
                    (status, reply) = (Some(answer.status.as_u16()), kept(&answer));
                    break;
                }
                Sent::Again(answer, why) => {
                    let pause = answer.as_ref().and_then(|answer| answer.retry_after).unwrap_or_default();
                    match &answer {
                        Some(answer) => (status, reply) = (Some(answer.status.as_u16()), kept(answer)),
                        None if status.is_none() => reply = json!({"error": why}),
                        None => {}
                    }
                    failures += 1;
                    if failures == TRIES {
                        break;
                    }
                    pause.max(Backoff::SERVER.delay(failures - 1))
                }
                // It is away: that is nothing that the row could be tried out for.
                Sent::Unsent => {
                    absences += 1;
                    Backoff::SERVER.delay(absences - 1)
                }
            };
            self.unless_stopped(sleep(pause)).await?;
        }
        let sent = SentRow { number, row, status, reply };
        let has_failed = sent.has_failed();
        if !self.tables.life.keep_row(&self.claim, sent).await {
            // Another's by now, and what is said of this attempt has no effect. If the row was refused, it counts as a try.
            return Err(WorkError::Later(TaskError::new("row-not-kept", "An answer could not be kept.")));
        }
        metrics::row_answered(has_failed);
        Ok(())
    }

    /// Sends one request; `None` if its grant is too old by now.
    async fn post(&self, Grant { request, asked }: Grant, key: &str, body: &Value) -> Option<Sent> {
        let Tables { life, outbound, posts, .. } = &*self.tables;
        let limits = &life.stack().limits;
        let begun = Instant::now();
        let answer = match begun - asked > USE_WITHIN {
            true => None,
            false => Some(outbound.ask(posts, key, body).await),
        };
        let over = match answer {
            None | Some(Err(NoAnswer::Unsent)) => limits.give_back(RECEIVER, request).await,
            Some(Ok(_) | Err(NoAnswer::Broken(_))) => limits.rest(RECEIVER, request).await,
        };
        if let Err(error) = over {
            debug!(%error, "the end of a request could not be said; its slot lapses");
        }
        let (sent, outcome) = match answer? {
            Ok(answer) if may_pass(answer.status) => {
                self.be_quiet_for(answer.retry_after.unwrap_or_default());
                (Sent::Again(Some(answer), "it refused"), "refused")
            }
            Ok(answer) if answer.status.is_success() => (Sent::Final(answer), "done"),
            Ok(answer) => (Sent::Final(answer), "rejected"),
            Err(NoAnswer::Broken(why)) => (Sent::Again(None, why), "unknown"),
            Err(NoAnswer::Unsent) => (Sent::Unsent, "unsent"),
        };
        metrics::provider_called(RECEIVER, outcome, begun.elapsed());
        Some(sent)
    }

    /// Waits for a slot, and for the limits where they are away: nothing is sent uncounted.
    async fn slot(&self) -> Result<Grant, WorkError> {
        let _turn = self.unless_stopped(self.door.lock()).await?;
        let mut failures = 0;
        loop {
            let quiet_until = *self.quiet_until();
            self.unless_stopped(sleep_until(quiet_until)).await?;
            let (request, asked) = (Uuid::new_v4(), Instant::now());
            let Tables { life, rule, .. } = &*self.tables;
            let pause = match life.stack().limits.take(RECEIVER, *rule, self.claim.id.0, request).await {
                Ok(Turn::Now) => return Ok(Grant { request, asked }),
                Ok(Turn::Wait(pause)) => {
                    failures = 0;
                    pause
                }
                // The adapter says that it is away.
                Err(_) => {
                    failures += 1;
                    Backoff::SERVER.delay(failures - 1)
                }
            };
            self.unless_stopped(sleep(pause)).await?;
        }
    }

    fn be_quiet_for(&self, pause: Duration) {
        let until = Instant::now() + pause.min(LONGEST_PAUSE);
        let mut quiet_until = self.quiet_until();
        *quiet_until = quiet_until.max(until);
    }

    fn quiet_until(&self) -> std::sync::MutexGuard<'_, Instant> {
        self.quiet_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn unless_stopped<T>(&self, wait: impl Future<Output = T>) -> Result<T, WorkError> {
        let wait = self.tables.draining.run_until_cancelled(wait);
        self.stop.run_until_cancelled(wait).await.flatten().ok_or(WorkError::Stopped)
    }
}

/// Whether the same request may be answered otherwise later.
fn may_pass(status: StatusCode) -> bool {
    matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT) || status.is_server_error()
}

/// An answer as it is kept: its JSON, or its text in a JSON string; nothing, if it was too large to be read.
fn kept(answer: &Answer) -> Value {
    let text = |body: &Vec<u8>| json!(String::from_utf8_lossy(body).replace('\0', "\u{fffd}"));
    answer.json().or_else(|| answer.body.as_ref().map(text)).unwrap_or_default()
}

/// What became of a row that was under way.
fn settled(row: Option<Result<Result<(), WorkError>, JoinError>>) -> Result<(), WorkError> {
    row.map_or(Ok(()), |row| row.unwrap_or_else(|panicked| Err(panicked.into())))
}

/// The database is to blame, and not the task.
fn not_now(error: StoreError) -> WorkError {
    debug!(%error, "what is known of a table's rows could not be read");
    WorkError::NotYet(Backoff::SERVER.delay(0))
}
