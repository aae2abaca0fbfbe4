//! The distributed adapter: states in a Redis, by its clock.
//!
//! A state is read together with the time, and written only if it still is what was read. If Redis is wiped, the states are missing, and
//! each state defines what that means; if Redis is away, calls fail.

use std::time::Duration;

use async_trait::async_trait;
use redis::aio::MultiplexedConnection;
use redis::{Client, RedisResult};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{info, warn};

use crate::{Change, Limits, LimitsError, Moment, StoredState};

const ANSWER: Duration = Duration::from_secs(2);

/// Returns the time in seconds and microseconds, and the state or nil.
const READ: &str = "local time = redis.call('TIME') return {time[1], time[2], redis.call('GET', KEYS[1])}";

/// Writes the state if it still is what was read (empty: missing). Returns whether it was written.
const WRITE: &str = "\
    if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end \
    redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) \
    return 1";

/// Limits of all processes of a deployment.
pub struct RedisLimits {
    client: Client,
    /// The prefix of its keys.
    prefix: String,
    /// Held during a step, so that this process's own steps don't collide.
    connection: Mutex<Option<MultiplexedConnection>>,
    is_away: std::sync::atomic::AtomicBool,
}

impl RedisLimits {
    /// Creates the limits of the deployment of that id; connects when the server is first needed.
    pub fn new(client: Client, deployment: &str) -> Self {
        let prefix = format!("coatcheck:{deployment}:limits:");
        Self { client, prefix, connection: Mutex::new(None), is_away: false.into() }
    }

    async fn attempt(&self, key: &str, change: &mut Change<'_>) -> RedisResult<()> {
        let mut kept_open = self.connection.lock().await;
        // Taken out, so that a step which is cut short leaves no half-used connection behind.
        let mut connection = match kept_open.take() {
            Some(connection) => connection,
            None => self.client.get_multiplexed_async_connection().await?,
        };
        loop {
            let (seconds, micros, state): (u64, u64, Option<Vec<u8>>) =
                redis::cmd("EVAL").arg(READ).arg(1).arg(key).query_async(&mut connection).await?;
            let now = Moment(seconds.saturating_mul(1_000_000).saturating_add(micros));
            let Some(StoredState { bytes, keep_for }) = change(now, state.as_deref()) else { break };
            let keep_for = u64::try_from(keep_for.as_millis()).unwrap_or(u64::MAX).max(1);
            let written: bool = redis::cmd("EVAL")
                .arg(WRITE)
                .arg(1)
                .arg(key)
                .arg(state.unwrap_or_default())
                .arg(bytes)
                .arg(keep_for)
                .query_async(&mut connection)
                .await?;
            if written {
                break;
            }
            // Another process was faster; a random delay keeps the two from colliding again.
            sleep(Duration::from_micros(fastrand::u64(..500))).await;
        }
        *kept_open = Some(connection);
        Ok(())
    }
}

#[async_trait]
impl Limits for RedisLimits {
    async fn change(&self, name: &str, change: &mut Change<'_>) -> Result<(), LimitsError> {
        let key = format!("{}{name}", self.prefix);
        let outcome = match timeout_at(Instant::now() + ANSWER, self.attempt(&key, change)).await {
            Ok(outcome) => outcome.map_err(|error| error.to_string()),
            Err(_) => Err("Redis does not answer".to_owned()),
        };
        let was_away = self.is_away.swap(outcome.is_err(), std::sync::atomic::Ordering::Relaxed);
        match &outcome {
            Err(error) if !was_away => warn!(error, "rate-limit store unreachable; outbound calls paused"),
            Ok(()) if was_away => info!("rate-limit store reachable again; outbound calls resume"),
            Ok(()) | Err(_) => {}
        }
        outcome.map_err(LimitsError)
    }
    fn is_shared(&self) -> bool {
        true
    }
}
