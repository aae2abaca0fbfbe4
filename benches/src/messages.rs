//! Measures how many messages six workers pay for, compared with the fewest possible if every arrival were known beforehand.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use fastrand::Rng;
use futures::future::try_join_all;
use serde_json::{Value, json};
use tokio::time::sleep_until;

use crate::Bench;
use crate::error::BenchError;
use crate::figures::Figures;
use crate::fleet::Fleet;

const WORKERS: usize = 6;
const REQUESTS: usize = 50;
const BLOCK: Duration = Duration::from_secs(2);
/// The average time between two arrivals, single messages or bursts.
const GAP: Duration = Duration::from_millis(60);
/// The most messages in a burst; one arrival in ten is a burst.
const BURST: usize = 100;
const DEADLINE: Duration = Duration::from_secs(120);
const CREDENTIALS: &str = r#"{"username": "bench", "password": "of no consequence"}"#;

/// Measure what messages cost
#[derive(Debug, clap::Args)]
pub struct MessagesArgs {
    /// How many are sent each time
    #[arg(long, default_value_t = 5000)]
    messages: usize,
    /// How often each figure is taken
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    repeat: u64,
}

impl Default for MessagesArgs {
    fn default() -> Self {
        Self { messages: 5000, repeat: 3 }
    }
}

/// Measures the paid messages, and writes the section.
///
/// # Errors
/// If a message is not answered.
pub async fn run(bench: &Bench, args: MessagesArgs) -> Result<(), BenchError> {
    let mut table =
        "| run | answered | by free | paid for | the least | ratio | refused by free | avoidable |\n\
        |---|---|---|---|---|---|---|---|\n"
            .to_owned();
    let mut ratios = Figures::default();
    for run in 1..=args.repeat {
        let service = Service::start(bench).await?;
        let tasks = service.send(args.messages, run).await?;
        let paid = tasks.iter().filter(|task| task["result"]["provider"] == "paid").count();
        let least = least_paid(&tasks)?;
        let ratio = paid as f64 / least as f64;
        let refused = service.refused_by_free().await?;
        let avoidable = service.fleet.counted("coatcheck_paid_calls_avoidable_total ").await?;
        ratios.push(ratio);
        let free = tasks.len() - paid;
        table += &format!(
            "| {run} | {} | {free} | {paid} | {least} | {ratio:.4} | {refused} | {avoidable} |\n",
            tasks.len()
        );
        eprintln!("messages, run {run}: {paid} paid for, {least} at the least, {refused} refused");
    }
    let text = format!(
        "{} messages at random times and in bursts of up to {BURST}, {WORKERS} worker processes and an API over PostgreSQL, RabbitMQ and Redis; \
         the free provider takes {REQUESTS} and blocks for {} s, `PATIENCE` is 0. The least is what the best choice pays that knows all arrivals, \
         each message sent at once. Ratio: {}.\n\n{table}",
        args.messages,
        BLOCK.as_secs(),
        ratios.told(4),
    );
    bench.report.write("messages: what is paid for, beside the least possible", &text)
}

/// Returns the fewest messages that must be paid for, each sent when it arrived. Using the free provider whenever it is open is optimal,
/// for then each of its blocks begins, and ends, as early as possible.
fn least_paid(tasks: &[Value]) -> Result<usize, BenchError> {
    let created = |task: &Value| task["created"].as_str()?.parse::<DateTime<Utc>>().ok();
    let arrivals: Option<Vec<_>> = tasks.iter().map(created).collect();
    let mut arrivals =
        arrivals.ok_or_else(|| BenchError::Unexpected("a task without its time".to_owned()))?;
    arrivals.sort();
    let (mut free, mut opens) = (0, DateTime::<Utc>::MIN_UTC);
    for arrival in &arrivals {
        if *arrival >= opens {
            free += 1;
            if free % REQUESTS == 0 {
                opens = *arrival + BLOCK;
            }
        }
    }
    Ok(arrivals.len() - free)
}

/// A fleet, and a user who may use the paid provider.
struct Service<'a> {
    fleet: Fleet<'a>,
    token: String,
}

impl<'a> Service<'a> {
    async fn start(bench: &'a Bench) -> Result<Self, BenchError> {
        let rule = [("REQUESTS", REQUESTS.to_string()), ("BLOCK_SECONDS", BLOCK.as_secs().to_string())];
        let fleet = Fleet::start(bench, WORKERS, &rule).await?;
        let post = |path: &str| fleet.http.post(format!("{}{path}", fleet.api)).body(CREDENTIALS).send();
        post("/api/v1/users").await?.error_for_status()?;
        fleet.run(&["user", "grant", "bench", "paid"])?;
        let session: Value = post("/api/v1/session").await?.error_for_status()?.json().await?;
        let token = session["token"].as_str().unwrap_or_default().to_owned();
        Ok(Self { fleet, token })
    }

    /// Sends messages at times that depend only on the seed. Returns the tasks, all answered.
    async fn send(&self, messages: usize, seed: u64) -> Result<Vec<Value>, BenchError> {
        let mut rng = Rng::with_seed(seed);
        let (begun, mut at, mut times) = (Instant::now(), Duration::ZERO, Vec::new());
        while times.len() < messages {
            let burst = if rng.u32(..10) == 0 { rng.usize(1..=BURST) } else { 1 };
            times.extend(std::iter::repeat_n(at, burst));
            at += GAP.mul_f64(2.0 * rng.f64());
        }
        let clients = times[..messages].iter().map(async |at| {
            sleep_until((begun + *at).into()).await;
            let message = json!({"text": "How far is the moon?"}).to_string();
            let url = format!("{}/api/v1/messages", self.fleet.api);
            let sent = self.fleet.http.post(url).bearer_auth(&self.token).body(message).send().await?;
            let task: Value = sent.error_for_status()?.json().await?;
            self.answered(task["id"].as_str().unwrap_or_default()).await
        });
        try_join_all(clients).await
    }

    async fn answered(&self, id: &str) -> Result<Value, BenchError> {
        let deadline = Instant::now() + DEADLINE;
        let url = format!("{}/api/v1/messages/{id}?wait=30", self.fleet.api);
        loop {
            let task = self.fleet.found(&url).await?;
            if task["status"] == "succeeded" {
                return Ok(task);
            }
            if Instant::now() > deadline || !task["finished"].is_null() {
                return Err(BenchError::Unexpected(format!("a message was not answered: {task}")));
            }
        }
    }

    async fn refused_by_free(&self) -> Result<u64, BenchError> {
        let stats = self.fleet.found(&format!("{}/stats", self.fleet.free)).await?;
        stats["refused"].as_u64().ok_or_else(|| BenchError::Unexpected("no such count".to_owned()))
    }
}
