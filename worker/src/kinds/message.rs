//! Messages: to the free provider while it takes any, to the paid one while it does not and the sender may use that.
//!
//! What the free provider takes is counted for all processes by the port `Limits` ([`limits::window`]); here is who
//! waits for it, and where. A message that waits costs no try.

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

/// Messages worked on at once in a process: they mostly wait for a reply.
pub const SLOTS: usize = 64;
/// Messages in a process that wait for the free provider in memory at most; they are there the moment it opens.
const MOST_SEATS: u32 = 1024;
/// When a request counts as answered whose process is not heard of: a little more than its own bound.
const LAPSES: Duration = CALL.saturating_add(Duration::from_secs(2));
/// For how long it is believed that the free provider is blocked before it is asked again. It may open sooner than was
/// thought, if a request never got there.
const BELIEVE: Duration = Duration::from_millis(100);
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// While another request finds out where the free provider stands.
const ASK_AGAIN: Duration = Duration::from_millis(5);
/// How many attempts a provider that asks to be left alone costs no try: over an hour, as they come every five minutes.
const PATIENT_ATTEMPTS: i64 = 20;

/// Sends messages.
pub struct Messages {
    store: Arc<dyn Store>,
    limits: Arc<dyn Limits>,
    settings: ProviderSettings,
    outbound: Outbound,
    free: Url,
    paid: Url,
    /// One at a time asks for a place, in the order in which they came.
    availability: Mutex<Availability>,
    room: Semaphore,
    draining: CancellationToken,
}

/// What was last heard of the free provider.
struct Availability {
    /// It is blocked until about then.
    opens: Instant,
    /// Which is believed until then.
    believed: Instant,
}

/// What the free provider's state means for a message now.
enum Way {
    /// It may be sent, as the request of that id.
    Free(Uuid),
    /// The free provider takes none until then, at least.
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
        // Said before there is any, so that its absence is no doubt.
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

    /// Sends a message where it is to go. Its permit is free as soon as it only waits.
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

    /// Whether the sender may pay, and would wait longer than he is willing to.
    fn is_worth_paying(&self, claim: &Claim, input: &Input, opens: Instant) -> bool {
        let patience = self.settings.patience.saturating_sub(claim.waited + claim.at.elapsed());
        input.may_pay && input.provider == Choice::Auto && left(opens) > patience
    }

    /// Asks for a place with the free provider, until it is had or there is none.
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
                // Nothing is sent uncounted. The adapter says that it is away.
                Err(_) => Backoff::SERVER.delay(failures),
            };
            self.unless_draining(sleep(pause)).await?;
        }
        Err(WorkError::Stopped)
    }

    /// The answer of the free provider; `None` if it has refused, and there is another way.
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

    /// The answer of the paid provider, with its reason written down before it is asked; `None` if the free one has opened
    /// meanwhile, or is to be waited for, since the sender may pay no more.
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
                let detail = "The sender's right `paid` was revoked before the message was sent.";
                return Err(WorkError::Never(TaskError::new("paid-not-allowed", detail)));
            }
            // The task is another's by now.
            Ok(PaidEntry::Superseded) => return Err(WorkError::Stopped),
            Err(error) => {
                debug!(task.id = %claim.id, %error, "a paid call could not be written down, and is not made");
                let why = "What is paid for could not be written down.";
                return Err(WorkError::NotYet(backoff(claim), TaskError::new("database-unavailable", why)));
            }
        }
        if free_opens.is_some_and(|opens| left(opens).is_zero()) {
            if let Err(error) = self.store.withdraw_paid_call(claim.id, claim.attempt).await {
                debug!(task.id = %claim.id, %error, "a paid call is written down that was not made");
            }
            return Ok(None);
        }
        let (reply, ()) = tokio::join!(self.send(provider, claim, input), self.audit(free_opens));
        match reply {
            Reply::Done(reply) => Ok(Some(MessageOutput { provider, reply })),
            other => Err(failed(provider, claim, other)),
        }
    }

    /// Counts what is paid although the free provider takes requests, against what was believed of it.
    async fn audit(&self, free_opens: Option<Instant>) {
        let Some(opens) = free_opens else { return };
        let standing = self.limits.standing(Provider::Free.name()).await;
        if matches!(standing, Ok(Standing::Open { .. })) && !left(opens).is_zero() {
            metrics::paid_avoidably(1);
        }
    }

    /// Waits for the free provider in a seat of the room; without one, in its row.
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
            // Those that wait for long come back more rarely, or all would be taken up and put down at each opening.
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
            debug!(%error, "what came of a request could not be said; it lapses");
        }
    }

    /// What waits when the worker stops is handed back at once.
    async fn unless_draining<T>(&self, wait: impl Future<Output = T>) -> Result<T, WorkError> {
        self.draining.run_until_cancelled(wait).await.ok_or(WorkError::Stopped)
    }
}

/// How long it is until then.
fn left(then: Instant) -> Duration {
    then.saturating_duration_since(Instant::now())
}

/// Grows with the attempts, for what is not to blame on the task.
fn backoff(claim: &Claim) -> Duration {
    Backoff::TASK.delay(u32::try_from(claim.attempt.saturating_sub(1)).unwrap_or(u32::MAX))
}

fn failed(provider: Provider, claim: &Claim, reply: Reply) -> WorkError {
    let name = provider.name();
    match reply {
        Reply::Never(status) => {
            let detail = format!(
                "The {name} provider does not take the message: it answers with {}.",
                status.as_u16()
            );
            WorkError::Never(TaskError::new("provider-rejected", detail))
        }
        Reply::Unknown { why, retry_after } => {
            let detail = format!("The {name} provider did not reply as it should: {why}.");
            let error = TaskError::new("provider-unavailable", detail);
            match retry_after {
                Some(pause) if claim.attempt < PATIENT_ATTEMPTS => {
                    WorkError::NotYet(pause.max(backoff(claim)), error)
                }
                _ => WorkError::Later(error),
            }
        }
        Reply::NotNow { retry_after } => {
            let detail = format!("The {name} provider takes no more requests for the moment.");
            let pause = retry_after.unwrap_or_default().max(backoff(claim));
            WorkError::NotYet(pause, TaskError::new("provider-unavailable", detail))
        }
        // It is away: that is nothing that the message could be tried out for.
        Reply::Unsent | Reply::Done(_) => {
            let detail = format!("The {name} provider can't be reached.");
            WorkError::NotYet(backoff(claim), TaskError::new("provider-unavailable", detail))
        }
    }
}
