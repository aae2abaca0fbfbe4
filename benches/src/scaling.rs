//! Measures how fast waiting tasks are done: by one worker process and by two, with a short queue and a long one.

use std::time::{Duration, Instant};

use clap::value_parser;
use tokio::time::sleep;

use crate::Bench;
use crate::drive::{self, Faults, Files, Until};
use crate::error::BenchError;
use crate::figures::{Figures, grouped, per_second};
use crate::fleet::Fleet;
use crate::outcomes::Outcomes;
use crate::plots::Lines;
use crate::target::Target;

const LENGTH: usize = 1 << 10;
const CLIENTS: usize = 32;
const WORKERS: [usize; 2] = [1, 2];
const LEAST: usize = 1000;
const MOST: usize = 100_000;
const REPEAT: u64 = 3;
const LOOK: Duration = Duration::from_millis(1);
const TIMEOUT: Duration = Duration::from_secs(60);

/// Measure how fast what waits is done
#[derive(Debug, clap::Args)]
pub struct ScalingArgs {
    /// The most tasks that wait: 1,000, and ten times more each time up to that
    #[arg(long, default_value_t = MOST, value_parser = parse_most)]
    most: usize,
    /// How often each figure is taken
    #[arg(long, default_value_t = REPEAT, value_parser = value_parser!(u64).range(1..))]
    repeat: u64,
}

impl Default for ScalingArgs {
    fn default() -> Self {
        Self { most: MOST, repeat: REPEAT }
    }
}

/// Measures each queue with each number of workers, and writes the section.
///
/// # Errors
/// If a file is rejected.
pub async fn run(bench: &Bench, args: &ScalingArgs) -> Result<(), BenchError> {
    let mut table = "\
| waiting | workers | promises/s | ms of the workers' CPU a promise | by one worker's | lost, doubled, wrong |\n|---|---|---|---|---|---|\n"
        .to_owned();
    let mut series = WORKERS.map(|workers| (format!("worker processes: {workers}"), Vec::new()));
    let backlogs = std::iter::successors(Some(LEAST), |backlog| Some(backlog * 10));
    for backlog in backlogs.take_while(|backlog| *backlog <= args.most) {
        let mut rows = WORKERS.map(|workers| (workers, Row::default()));
        for _ in 0..args.repeat {
            for (workers, row) in &mut rows {
                drain(bench, backlog, *workers, row).await?;
            }
        }
        let [(_, one), _] = &rows;
        for ((workers, row), (_, points)) in rows.iter().zip(&mut series) {
            points.push((backlog as f64, row.a_second.median()));
            table += &format!(
                "| {} | {workers} | {} | {} | {} | {} |\n",
                grouped(backlog as f64, 0),
                row.a_second.told(0),
                row.cpu_millis.told(3),
                row.a_second.by(&one.a_second).told(2),
                row.faults
            );
        }
    }
    let text = format!(
        "So many files of 1 KiB are handed in while no worker runs; then one worker process is started, or two, over PostgreSQL, RabbitMQ and \
         Redis on the same cores. From the first lines of the outcome log to the last one.\n\n{table}"
    );
    let title = "What waited, done";
    let lines = Lines { title, x: "promises that waited", y: "promises/s", series: series.into() };
    bench.plots.lines("scaling", &lines)?;
    bench.report.write("scaling: what waited, by one worker and by two", &text)
}

/// The figures of one number of workers.
#[derive(Default)]
struct Row {
    a_second: Figures,
    cpu_millis: Figures,
    faults: Faults,
}

async fn drain(bench: &Bench, backlog: usize, workers: usize, row: &mut Row) -> Result<(), BenchError> {
    let files = Files::new(LENGTH);
    let target = Target::Distributed(Box::new(Fleet::start(bench, 0, &[]).await?));
    let promises = drive::submit(&target, &files, CLIENTS, Until::Promises(backlog)).await?;
    let mut outcomes = Outcomes::from_now(target.log());
    let Target::Distributed(mut fleet) = target else { return Ok(()) };
    for _ in 0..workers {
        fleet.add_worker()?;
    }
    let deadline = Instant::now() + TIMEOUT;
    let first = loop {
        let lines = outcomes.look()?.len();
        if lines > 0 || Instant::now() > deadline {
            break lines;
        }
        sleep(LOOK).await;
    };
    let begun = Instant::now();
    let ended = drive::until_ended(&mut outcomes, &promises).await?;
    let cpu = fleet.cpu_of_workers();
    let faults = drive::faults(&mut outcomes, &files, &promises).await?;

    let a_second = per_second(backlog.saturating_sub(first + faults.lost), ended - begun);
    eprintln!("scaling, {backlog} by {workers}: {a_second:.0} promises/s");
    row.a_second.push(a_second);
    row.cpu_millis.push(cpu.as_secs_f64() * 1e3 / backlog as f64);
    row.faults += faults;
    Ok(())
}

fn parse_most(text: &str) -> Result<usize, String> {
    let most = text.parse().map_err(|_| "a number".to_owned())?;
    (most >= LEAST).then_some(most).ok_or_else(|| format!("expected at least {LEAST}"))
}
