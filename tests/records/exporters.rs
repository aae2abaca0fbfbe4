//! Simulators, exporters and strangers at once, killed and locked and rotated: the whole way of a record.

use rstest_reuse::apply;
use std::fs;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;
use test_kit::eventually;

use crate::kit::content::Dice;
use crate::kit::program::Program;
use crate::kit::stack::{Setup, Stack, both_stacks};
use crate::records::export::{Exporter, lines_of};
use crate::records::simulate::{logged, simulate};
use crate::tasks::log::LockHolder;

/// Polls that never fall together for long.
const INTERVALS: [&str; 3] = ["10ms", "70ms", "330ms"];

/// How much the exporters go through: a little, or with `COATCHECK_EXPORT_KILLS` so many kills, one a second.
struct Trial {
    kills: usize,
    /// Between two kills.
    pause: Duration,
    records: usize,
    /// A thread's longest pause, in milliseconds.
    delay: &'static str,
    locked: Duration,
}

impl Trial {
    fn new() -> Self {
        match std::env::var("COATCHECK_EXPORT_KILLS") {
            Ok(kills) => Self {
                kills: kills.parse().expect("COATCHECK_EXPORT_KILLS is a number"),
                pause: Duration::from_secs(1),
                records: 20_000,
                delay: "40",
                locked: Duration::from_secs(10),
            },
            Err(_) => Self {
                kills: 12,
                pause: Duration::from_millis(60),
                records: 1500,
                delay: "8",
                locked: Duration::ZERO,
            },
        }
    }
}

#[apply(both_stacks)]
async fn every_record_is_in_the_files_once_and_in_order(setup: Setup) {
    let stack = setup.start(&[]).await;
    let trial = Trial::new();
    let (target, logs) = (stack.folder().join("exported/access.log"), stack.folder().join("logs"));
    let rotated = target.with_extension("log.1");
    // On one machine's data there is only one server.
    let mut second_api = stack.is_distributed().then(|| stack.extra(&["api"], &[]));
    let mut urls = vec![stack.url("")];
    if let Some(api) = &mut second_api {
        urls.push(format!("http://{}", api.address().await));
    }
    let start = |number: usize| {
        let settings = [("POLL_INTERVAL", INTERVALS[number]), ("COATCHECK_URL", &urls[number % urls.len()])];
        Exporter::start(&stack, &target, &settings)
    };
    let mut exporters: Vec<Exporter> = (0..INTERVALS.len()).map(start).collect();
    let mut simulators = simulators(&stack, &trial, &logs, &urls);
    let mut dice = Dice::new(u64::from(std::process::id()));

    for kill in 0..trial.kills {
        // The pause hits another moment each time; nothing is waited for with it.
        let jitter = Duration::from_micros(dice.below(20_000));
        tokio::time::sleep(trial.pause + jitter).await;
        exporters.remove(0).program.kill();
        exporters.push(start(kill % INTERVALS.len()));
        if kill == trial.kills / 3 {
            hold_the_lock(&stack, &target, &trial).await;
        }
        if kill == trial.kills * 2 / 3 {
            lines_of(&target, 1).await;
            fs::rename(&target, &rotated).unwrap();
        }
    }
    for simulator in &mut simulators {
        let status = end_of(simulator, &logs).await;
        assert!(status.success(), "{status}");
    }

    // A line that comes too often would have come before this one.
    stack.add_record("192.0.2.1 GET /the-last-one 200").await;
    let records = stack.record_lines_in_order().await;
    let mut lines = lines_of(&rotated, 1).await;
    lines.extend(lines_of(&target, records.len() - lines.len()).await);
    assert_eq!(records.len(), trial.records + 1);
    assert!(lines == records, "{}", difference(&lines, &records));
    let mut sent: Vec<&String> = records[..trial.records].iter().collect();
    sent.sort_unstable();
    assert!(logged(&logs).iter().eq(sent), "the simulators' logs have other records");
    println!("{} records, {} kills: each once, in order", records.len(), trial.kills);
}

/// Eight threads in all, half of them at each server.
fn simulators(stack: &Stack, trial: &Trial, logs: &Path, urls: &[String]) -> Vec<Program> {
    let (threads, count) = ((8 / urls.len()).to_string(), (trial.records / urls.len()).to_string());
    let one = |(number, url): (usize, &String)| {
        let folder = stack.folder().join(format!("simulator-{number}"));
        fs::create_dir(&folder).unwrap();
        let settings = [
            ("THREADS", &*threads),
            ("COUNT", &count),
            ("REQUESTS_DELAY", trial.delay),
            ("COATCHECK_URL", url),
        ];
        Program::start(simulate(stack, logs, &settings), &folder)
    };
    urls.iter().enumerate().map(one).collect()
}

/// Waits for as long as it takes, if records are logged meanwhile.
async fn end_of(simulator: &mut Program, logs: &Path) -> ExitStatus {
    let size =
        || -> u64 { fs::read_dir(logs).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum() };
    loop {
        let before = size();
        let ended = eventually("its end, or more records", async || match simulator.exit_status() {
            Some(status) => Ok(Some(status)),
            None if size() > before => Ok(None),
            None => Err(before),
        });
        if let Some(status) = ended.await {
            return status;
        }
    }
}

/// As another program would, for so long and until many records have come in meanwhile, or all.
async fn hold_the_lock(stack: &Stack, target: &Path, trial: &Trial) {
    lines_of(target, 1).await;
    let lock = LockHolder::start(target);
    let before = fs::read_to_string(target).unwrap();
    let count = stack.records("").await.len();
    // Nothing is waited for: that time goes by is the fault itself.
    tokio::time::sleep(trial.locked).await;
    eventually("records that nobody can write", async || {
        let now = stack.records("").await.len();
        if now >= (count + 100).min(trial.records) { Ok(()) } else { Err(now) }
    })
    .await;
    assert_eq!(
        fs::read_to_string(target).unwrap(),
        before,
        "nobody writes into a file that another has locked"
    );
    lock.release();
}

fn difference(lines: &[String], records: &[String]) -> String {
    let at = lines.iter().zip(records).position(|(line, record)| line != record);
    let at = at.unwrap_or(lines.len().min(records.len()));
    format!(
        "{} lines, {} records; the first that differs is {at}: {:?}, not {:?}",
        lines.len(),
        records.len(),
        lines.get(at),
        records.get(at)
    )
}
