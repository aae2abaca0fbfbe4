//! Sends two tables at once to a third party that answers at once: measures how much of its rate is used, and that the rate is never
//! exceeded. Then the same while workers are killed.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::time::sleep;

use super::TablesArgs;
use crate::Bench;
use crate::error::BenchError;
use crate::fleet::Fleet;

const WORKERS: usize = 3;
/// Requests in any sliding second: the default of `RATE`.
const RATE: usize = 7;
const SECOND: u64 = 1_000_000;
const KILL_EACH: Duration = Duration::from_secs(5);
const LOOK_EACH: Duration = Duration::from_millis(200);
/// The time allowed beyond what the rate alone needs.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Measures both cases, and writes the section.
///
/// # Errors
/// If a row is not sent as expected.
pub async fn run(bench: &Bench, args: &TablesArgs) -> Result<(), BenchError> {
    let mut table =
        "| workers | rows | arrived | repeated | in any second at most | seconds | of the rate |\n|---|---|---|---|---|---|---|\n"
            .to_owned();
    for (kills, told) in [(false, "stay"), (true, "one is killed each 5 s")] {
        let sent = send(bench, args.rows, kills).await?;
        let arrived = sent.at.len();
        let seconds = (sent.at[arrived - 1] - sent.at[0]) as f64 / SECOND as f64;
        // The first of them arrive at once; from then on `RATE` a second.
        let least = ((arrived - 1) / RATE) as f64;
        let most = most_in_a_second(&sent.at);
        let (rows, repeated, of_rate) = (2 * args.rows, arrived - sent.keys, 100.0 * least / seconds);
        eprintln!("tables, workers {told}: {of_rate:.1} % of the rate, {most} in a second");
        table += &format!(
            "| {told} | {rows} | {arrived} | {repeated} | {most} | {seconds:.1} | {of_rate:.1} % |\n"
        );
    }
    let text = format!(
        "Two tables of {} rows each, {WORKERS} workers over PostgreSQL, RabbitMQ and Redis, `RATE` is {RATE}. Told from when the \
         third party says that requests came: in how many seconds, from the first to the last, beside the least that the rate allows. \
         Repeated are rows whose reply was lost with its worker.\n\n{table}",
        args.rows
    );
    bench.report.write("tables: how much of the rate is used", &text)
}

/// The requests that the third party received.
struct Sent {
    /// Their arrival times in microseconds, in order.
    at: Vec<u64>,
    /// The number of different rows among them.
    keys: usize,
}

async fn send(bench: &Bench, rows: usize, kills: bool) -> Result<Sent, BenchError> {
    let settings = [("LEASE_SECONDS", "2".to_owned()), ("MAX_ATTEMPTS", "1000".to_owned())];
    let mut fleet = Fleet::start(bench, WORKERS, &settings).await?;
    let mut tasks = Vec::new();
    for name in ["first.csv", "second.csv"] {
        let lines: String = (1..=rows).map(|row| format!("{row},title {row},of {name}\n")).collect();
        let file = reqwest::multipart::Part::text(format!("userId,title,body\n{lines}"))
            .file_name(name)
            .mime_str("text/csv")?;
        let form = reqwest::multipart::Form::new().part("file", file);
        let sent = fleet.http.post(format!("{}/api/v1/tables", fleet.api)).multipart(form).send().await?;
        let task: Value = sent.error_for_status()?.json().await?;
        tasks.push(format!("{}/api/v1/tables/{}", fleet.api, task["id"].as_str().unwrap_or_default()));
    }

    let (mut killed, deadline) =
        (Instant::now(), Instant::now() + TIMEOUT + Duration::from_secs((2 * rows / RATE) as u64));
    for task in tasks {
        loop {
            let found = fleet.found(&task).await?;
            if found["status"] == "succeeded" {
                break;
            }
            if Instant::now() > deadline || !found["finished"].is_null() {
                return Err(BenchError::Unexpected(format!("a table was not sent: {found}")));
            }
            if kills && killed.elapsed() >= KILL_EACH {
                fleet.kill_a_worker()?;
                killed = Instant::now();
            }
            sleep(LOOK_EACH).await;
        }
    }
    let arrivals = fleet.found(&format!("{}/stats/arrivals", fleet.third_party)).await?;
    let arrivals = arrivals.as_array().map(Vec::as_slice).unwrap_or_default();
    let keys: BTreeSet<&str> = arrivals.iter().filter_map(|arrival| arrival["key"].as_str()).collect();
    let sent =
        Sent { at: arrivals.iter().filter_map(|arrival| arrival["at"].as_u64()).collect(), keys: keys.len() };
    let missed = || BenchError::Unexpected(format!("{} of {} rows came", sent.keys, 2 * rows));
    if sent.keys == 2 * rows { Ok(sent) } else { Err(missed()) }
}

/// Returns the most arrivals in any sliding second.
fn most_in_a_second(at: &[u64]) -> usize {
    (0..at.len())
        .map(|first| at[first..].iter().take_while(|later| **later < at[first] + SECOND).count())
        .max()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_slides() {
        assert_eq!(most_in_a_second(&[]), 0);
        assert_eq!(most_in_a_second(&[0, 900_000, 999_999, 1_000_000, 1_899_999, 2_500_000]), 4);
    }
}
