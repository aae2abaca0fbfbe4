//! A running provider: its state, its clock, and its answers, which follow its behaviour.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use actix_web::body::{BodySize, MessageBody};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use parking_lot::{Mutex, MutexGuard};

use crate::control::Control;
use crate::problem::{Code, Problem};
use crate::provider::Provider;
use crate::state::{State, Verdict};

/// The longest `Idempotency-Key`.
const LONGEST_KEY: usize = 255;

/// A running provider.
pub struct StandIn {
    provider: Provider,
    clock: Clock,
    state: Mutex<State>,
}

impl StandIn {
    pub fn new(provider: Provider, control: Control) -> Self {
        Self { provider, clock: Clock::start(), state: Mutex::new(State::new(provider, control)) }
    }

    pub const fn provider(&self) -> Provider {
        self.provider
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Answers a well-formed request that has just arrived: with `reply`, which gets the request's number, or as the
    /// provider was told.
    ///
    /// # Errors
    /// A refusal, or a failure that the provider was told to give.
    ///
    /// # Cancel safety
    /// The first poll decides on the request and counts it; a client that goes away changes nothing.
    pub async fn answer(
        &self,
        request: &HttpRequest,
        reply: impl FnOnce(u64) -> HttpResponse,
    ) -> Result<HttpResponse, Problem> {
        let key = idempotency_key(request)?;
        let (verdict, pause, is_dropped) = self.decide(key);
        tokio::time::sleep(pause).await;
        match verdict {
            Verdict::Accepted(_) if is_dropped => Ok(HttpResponse::Ok().body(Cut)),
            Verdict::Accepted(number) => Ok(reply(number)),
            Verdict::Refused(wait) => Err(Problem::blocked_for(wait)),
            Verdict::Failed => Err(Code::ToldToFail.into()),
        }
    }

    /// Decides on a request. The clock is read under the lock, so that the order of arrivals is the order of their times.
    fn decide(&self, key: Option<String>) -> (Verdict, Duration, bool) {
        let mut state = self.state();
        let control = state.control();
        let (fails, is_dropped) = (happens(control.failure_rate), happens(control.drop_rate));
        let pause = control.pause();
        let now = Instant::now();
        (state.take(now, self.clock.at(now), key, fails), pause, is_dropped)
    }
}

fn happens(rate: f64) -> bool {
    fastrand::f64() < rate
}

fn idempotency_key(request: &HttpRequest) -> Result<Option<String>, Problem> {
    let Some(key) = request.headers().get("Idempotency-Key") else { return Ok(None) };
    let key = key.as_bytes();
    let is_visible = key.iter().all(u8::is_ascii_graphic);
    if key.is_empty() || key.len() > LONGEST_KEY || !is_visible {
        return Err(Code::InvalidIdempotencyKey.into());
    }
    Ok(Some(String::from_utf8_lossy(key).into_owned()))
}

/// Converts moments to times of day that never go back, whatever happens to the machine's clock meanwhile.
struct Clock {
    started: Instant,
    started_at: Duration,
}

impl Clock {
    fn start() -> Self {
        let started_at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: Instant::now(), started_at }
    }

    /// Returns microseconds since the Unix epoch.
    fn at(&self, moment: Instant) -> u64 {
        let since_epoch = self.started_at + moment.saturating_duration_since(self.started);
        u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX)
    }
}

/// A body that fails to be read: actix then closes the connection before it has written a byte of the answer.
struct Cut;

impl MessageBody for Cut {
    type Error = io::Error;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Poll::Ready(Some(Err(io::Error::other("the provider was told to drop this connection"))))
    }
}
