//! The work of kind `message`: sends to the free provider while it accepts requests, and to the paid one while it does not and the owner
//! may use that.
//!
//! The port `Limits` counts the free provider's requests for all processes ([`limits::window`]); this module decides which messages wait
//! for it, and where. A message that waits is not charged.

use std::sync::Arc;
use std::time::Duration;

use limits::window::{Entry, Fate, Standing};
use limits::{Limits, USE_WITHIN};
use program::Backoff;
use reqwest::Url;
use serde_json::json;
use task_data::kinds::message::{Choice, Input, Output as MessageOutput, Provider};
use task_data::metrics;
use task_data::store::{Claim, PaidEntry, Store};
use task_data::task::TaskError;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::debug;
use uuid::Uuid;

use crate::outbound::{CALL, Outbound, Reply, Request};
use crate::settings::ProviderSettings;
use crate::work::{Output, WorkError};

/// The number of messages worked on at once in a process: they mostly wait for a reply.
pub const SLOTS: usize = 64;
/// The most messages that wait for the free provider in memory of one process; they are sent the moment it opens.
const MOST_SEATS: u32 = 1024;
/// The time after which a request counts as answered if its process is not heard of: a little more than the request's time-out.
const LAPSES: Duration = CALL.saturating_add(Duration::from_secs(2));
/// How long the free provider is taken to be blocked before it is asked again. It may open earlier than expected, if a request never
/// reached it.
const BELIEVE: Duration = Duration::from_millis(100);
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// The delay while another request finds out whether the free provider is blocked.
const ASK_AGAIN: Duration = Duration::from_millis(5);
/// The number of attempts that are not charged while a provider asks for pauses: over an hour, at one every five minutes.
const PATIENT_ATTEMPTS: i64 = 20;

/// Sends messages.
pub struct Messages {
    store: Arc<dyn Store>,
    limits: Arc<dyn Limits>,
    settings: ProviderSettings,
    outbound: Outbound,
    free: Url,
    paid: Url,
    /// One message at a time asks for a place, in the order of arrival.
    availability: Mutex<Availability>,
    room: Semaphore,
    draining: CancellationToken,
}

/// The last known state of the free provider.
struct Availability {
    /// The provider is blocked until about then.
    opens: Instant,
    /// Until when that state is believed.
    believed: Instant,
}

/// A decision for a message, by the free provider's state.
enum Way {
    /// Send it to the free provider, as the request of that id.
    Free(Uuid),
    /// The free provider accepts no request before then.
    Blocked(Instant),
}

impl Messages {
    pub fn new(
        store: Arc<dyn Store>,
        limits: Arc<dyn Limits>,
        settings: ProviderSettings,
        outbound: Outbound,
        draining: CancellationToken,
    ) -> Self {
        // The series starts at 0, so that its absence means something.
        metrics::paid_avoidably(0);
        let seats = settings.requests.clamp(1, MOST_SEATS) as usize;
        let now = Instant::now();
        Self {
            free: settings.free_url.at("process"),
            paid: settings.paid_url.at("process"),
            store,
            limits,
            settings,
            outbound,
            availability: Mutex::new(Availability { opens: now, believed: now }),
            room: Semaphore::new(seats),
            draining,
        }
    }

    /// Sends a message to the provider that the client chose. Its permit is released as soon as it only waits.
    pub async fn work(
        &self,
        claim: &Claim,
        mut input: Input,
        permit: OwnedSemaphorePermit,
    ) -> Result<Output, WorkError> {
        let (mut permit, mut seat) = (Some(permit), None);
        loop {
            let answered = match input.provider {
                Choice::Paid => self.pay(claim, &mut input, None).await?,
                Choice::Auto | Choice::Free => match self.way().await? {
                    Way::Free(request) => self.send_free(claim, &input, request).await?,
                    Way::Blocked(opens) if self.is_worth_paying(claim, &input, opens) => {
                        self.pay(claim, &mut input, Some(opens)).await?
                    }
                    Way::Blocked(opens) => {
                        permit.take();
                        self.wait(claim, opens, &mut seat).await?;
                        None
                    }
                },
            };
            if let Some(output) = answered {
                return Ok(json!(output));
            }
        }
    }

    /// Returns whether the owner may use the paid provider, and the wait would exceed the owner's patience.
    fn is_worth_paying(&self, claim: &Claim, input: &Input, opens: Instant) -> bool {
        let patience = self.settings.patience.saturating_sub(claim.waited + claim.at.elapsed());
        input.may_pay && input.provider == Choice::Auto && left(opens) > patience
    }

    /// Asks for a place with the free provider, until it is granted or the provider is known to be blocked.
    async fn way(&self) -> Result<Way, WorkError> {
        let mut availability = self.unless_draining(self.availability.lock()).await?;
        for failures in 0.. {
            let now = Instant::now();
            if now < availability.opens && now < availability.believed {
                return Ok(Way::Blocked(availability.opens));
            }
            let (request, rule) = (Uuid::new_v4(), self.settings.rule());
            let pause = match self.limits.enter(Provider::Free.name(), rule, request, LAPSES).await {
                Ok(Entry::Open) if now.elapsed() > USE_WITHIN => {
                    self.leave(request, Fate::Unsent).await;
                    continue;
                }
                Ok(Entry::Open) => return Ok(Way::Free(request)),
                Ok(Entry::Blocked { opens_in }) => {
                    *availability = Availability { opens: now + opens_in, believed: now + BELIEVE };
                    return Ok(Way::Blocked(availability.opens));
                }
                Ok(Entry::Busy) => ASK_AGAIN,
                // No request is sent uncounted. The adapter logs that it is away.
                Err(_) => Backoff::SERVER.delay(failures),
            };
            self.unless_draining(sleep(pause)).await?;
        }
        Err(WorkError::Stopped)
    }

    /// Sends to the free provider. Returns its answer; `None` if it was refused and the message may go another way.
    async fn send_free(
        &self,
        claim: &Claim,
        input: &Input,
        request: Uuid,
    ) -> Result<Option<MessageOutput>, WorkError> {
        let provider = Provider::Free;
        let reply = self.send(provider, claim, input).await;
        let fate = match &reply {
            Reply::Done(_) => Fate::Taken,
            Reply::NotNow { retry_after } => Fate::Refused { retry_after: *retry_after },
            Reply::Unsent => Fate::Unsent,
            Reply::Never(_) | Reply::Unknown { .. } => Fate::Unknown,
        };
        self.leave(request, fate).await;
        match reply {
            Reply::Done(reply) => Ok(Some(MessageOutput { provider, reply })),
            Reply::NotNow { .. } => Ok(None),
            other => Err(failed(provider, claim, other)),
        }
    }

    /// Sends to the paid provider, after recording the reason. Returns its answer; `None` if the free provider has opened meanwhile, or the
    /// owner may not use the paid one any more, so that the message waits for the free one.
    async fn pay(
        &self,
        claim: &Claim,
        input: &mut Input,
        free_opens: Option<Instant>,
    ) -> Result<Option<MessageOutput>, WorkError> {
        let provider = Provider::Paid;
        let free_opens_in = free_opens.map(left);
        match self.store.record_paid_call(claim.id, claim.attempt, free_opens_in).await {
            Ok(PaidEntry::Recorded) => {}
            Ok(PaidEntry::NotAllowed) if input.provider == Choice::Auto => {
                input.may_pay = false;
                return Ok(None);
            }
            Ok(PaidEntry::NotAllowed) => {
                let detail = "The right `paid` was revoked before the message was sent.";
                return Err(WorkError::Never(TaskError::new("paid-not-allowed", detail)));
            }
            // Another attempt has the task by now.
            Ok(PaidEntry::Superseded) => return Err(WorkError::Stopped),
            Err(error) => {
                debug!(task.id = %claim.id, %error, "a paid call could not be recorded and was not made");
                let why = "The paid call could not be recorded.";
                return Err(WorkError::NotYet(backoff(claim), TaskError::new("database-unavailable", why)));
            }
        }
        if free_opens.is_some_and(|opens| left(opens).is_zero()) {
            if let Err(error) = self.store.withdraw_paid_call(claim.id, claim.attempt).await {
                debug!(task.id = %claim.id, %error, "the record of a paid call that was not made could not be deleted");
            }
            return Ok(None);
        }
        let (reply, ()) = tokio::join!(self.send(provider, claim, input), self.audit(free_opens));
        match reply {
            Reply::Done(reply) => Ok(Some(MessageOutput { provider, reply })),
            other => Err(failed(provider, claim, other)),
        }
    }

    /// Counts a paid call as avoidable if the free provider accepts requests, contrary to its believed state.
    async fn audit(&self, free_opens: Option<Instant>) {
        let Some(opens) = free_opens else { return };
        let standing = self.limits.standing(Provider::Free.name()).await;
        if matches!(standing, Ok(Standing::Open { .. })) && !left(opens).is_zero() {
            metrics::paid_avoidably(1);
        }
    }

    /// Waits for the free provider in memory; if the places there are taken, in the row.
    async fn wait<'a>(
        &'a self,
        claim: &Claim,
        opens: Instant,
        seat: &mut Option<SemaphorePermit<'a>>,
    ) -> Result<(), WorkError> {
        if seat.is_none() {
            *seat = self.room.try_acquire().ok();
        }
        if seat.is_none() {
            // Messages that wait for long return less often; otherwise all would be claimed and handed back at each opening.
            let spread =
                fastrand::f64() * f64::from(u32::try_from(claim.attempt).unwrap_or(u32::MAX).min(10));
            let why = "The free provider is blocked; the message waits until it opens.";
            let pause = left(opens) + self.settings.block_seconds.mul_f64(spread);
            return Err(WorkError::NotYet(pause, TaskError::new("provider-blocked", why)));
        }
        self.unless_draining(sleep(left(opens).min(LOOK_AGAIN))).await
    }

    async fn send(&self, provider: Provider, claim: &Claim, input: &Input) -> Reply {
        let url = match provider {
            Provider::Free => &self.free,
            Provider::Paid => &self.paid,
        };
        let (key, body) = (claim.id.to_string(), json!({"text": input.text}));
        let request = Request { key: &key, is_repeat: claim.attempt > 1, body: &body };
        self.outbound.post(provider.name(), url, request).await
    }

    async fn leave(&self, request: Uuid, fate: Fate) {
        if let Err(error) = self.limits.leave(Provider::Free.name(), request, fate).await {
            debug!(%error, "the outcome of a request could not be recorded; its place lapses");
        }
    }

    /// Hands a waiting message back at once when the worker stops.
    async fn unless_draining<T>(&self, wait: impl Future<Output = T>) -> Result<T, WorkError> {
        self.draining.run_until_cancelled(wait).await.ok_or(WorkError::Stopped)
    }
}

/// Returns the time left until then.
fn left(then: Instant) -> Duration {
    then.saturating_duration_since(Instant::now())
}

/// Returns a delay that grows with the attempts, for errors that are not the task's fault.
fn backoff(claim: &Claim) -> Duration {
    Backoff::TASK.delay(u32::try_from(claim.attempt.saturating_sub(1)).unwrap_or(u32::MAX))
}

fn failed(provider: Provider, claim: &Claim, reply: Reply) -> WorkError {
    let name = provider.name();
    match reply {
        Reply::Never(status) => {
            let detail =
                format!("The {name} provider rejects the message: it answers with {}.", status.as_u16());
            WorkError::Never(TaskError::new("provider-rejected", detail))
        }
        Reply::Unknown { why, retry_after } => {
            let detail = format!("The {name} provider did not answer properly: {why}.");
            let error = TaskError::new("provider-unavailable", detail);
            match retry_after {
                Some(pause) if claim.attempt < PATIENT_ATTEMPTS => {
                    WorkError::NotYet(pause.max(backoff(claim)), error)
                }
                _ => WorkError::Later(error),
            }
        }
        Reply::NotNow { retry_after } => {
            let detail = format!("The {name} provider accepts no more requests for now.");
            let pause = retry_after.unwrap_or_default().max(backoff(claim));
            WorkError::NotYet(pause, TaskError::new("provider-unavailable", detail))
        }
        // The provider is away: more attempts at this message would not show anything.
        Reply::Unsent | Reply::Done(_) => {
            let detail = format!("The {name} provider can't be reached.");
            WorkError::NotYet(backoff(claim), TaskError::new("provider-unavailable", detail))
        }
    }
}
