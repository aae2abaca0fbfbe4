//! The comparison after the faults: every promise against rows and lines.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::fs;
use std::time::{Duration, Instant};

use chrono::DateTime;
use serde_json::Value;

use super::load::{Promise, Promised};
use super::rig::Rig;
use super::{records, tables};
use crate::kit::outcomes::line;

/// The time in which all work under way must end. A task that lost several workers rests for longer each time.
const DRAINED: Duration = Duration::from_secs(300);

#[derive(Debug)]
pub struct Account {
    stack: &'static str,
    promises: usize,
    cancelled: usize,
    /// Tasks that their client does not know, because the answers were lost.
    untold: usize,
    records: usize,
    tables: usize,
    rows: usize,
    /// Rows that were sent once more because an attempt was lost.
    again: usize,
    faults: BTreeMap<&'static str, u64>,
    lost: Vec<String>,
    doubled: Vec<String>,
    wrong: Vec<String>,
    longest_stall: Duration,
    slowest: Duration,
    drained: Duration,
}

impl Account {
    pub fn is_even(&self) -> bool {
        self.lost.is_empty() && self.doubled.is_empty() && self.wrong.is_empty()
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: Vec<String> = self.faults.iter().map(|(name, count)| format!("{name} {count}")).collect();
        let Self { stack, promises, cancelled, untold, longest_stall, slowest, drained, .. } = self;
        let Self { records, tables, rows, again, .. } = self;
        write!(
            f,
            "chaos, {stack}: {promises} promises ({cancelled} cancelled; {untold} tasks whose answer was lost), \
             {records} records, {tables} tables of {rows} rows ({again} sent once more for a lost attempt), \
             {} faults ({}), lost {}, doubled {}, wrong {}; {longest_stall:.1?} without a promise at most, \
             {slowest:.1?} from a promise to its end at most, drained in {drained:.1?}",
            self.faults.values().sum::<u64>(),
            faults.join(", "),
            self.lost.len(),
            self.doubled.len(),
            self.wrong.len(),
        )
    }
}

/// Waits until all is done, and compares the promises with rows and lines.
pub async fn settle(rig: &Rig, promised: Promised) -> Account {
    let begun = Instant::now();
    let is_drained = drain(rig, begun + DRAINED).await;
    let drained = begun.elapsed();

    let tasks = rig.stack.tasks("limit=1000").await;
    let mut account = Account {
        stack: rig.name(),
        promises: promised.promises.len(),
        cancelled: 0,
        untold: 0,
        records: 0,
        tables: promised.tables.len(),
        rows: 0,
        again: 0,
        faults: rig.faults(),
        lost: Vec::new(),
        doubled: Vec::new(),
        wrong: std::mem::take(&mut *rig.wrongs.lock().unwrap()),
        longest_stall: promised.longest_stall,
        slowest: slowest(&tasks),
        drained,
    };
    if !is_drained {
        account.wrong.push(format!("not all is done within {DRAINED:?}"));
    }
    account.compare_rows(&tasks, &promised.promises);
    let records = records::compare(&rig.stack, &promised.records);
    account.records = records.kept;
    account.add(records.lost, records.doubled, records.wrong);
    let tables = tables::compare(rig, &tasks, &promised.tables).await;
    (account.rows, account.again) = (tables.rows, tables.again);
    account.add(tables.lost, tables.doubled, tables.wrong);
    account.compare_lines(rig, &tasks);
    let verdict = rig.stack.verify().await;
    if !verdict.is_clean() {
        account.wrong.push(format!("verify: {verdict:?}"));
    }
    account
}

/// Returns whether all tasks have ended, and all their lines are written, by then.
async fn drain(rig: &Rig, until: Instant) -> bool {
    while rig.stack.left() != 0 {
        if Instant::now() > until {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    true
}

fn slowest(tasks: &[Value]) -> Duration {
    let Some(slowest) = tasks.iter().filter(|task| task["kind"] == "md5").max_by_key(|task| age(task)) else {
        return Duration::ZERO;
    };
    println!("the slowest: {slowest}");
    age(slowest)
}

fn age(task: &Value) -> Duration {
    let time = |field: &str| DateTime::parse_from_rfc3339(task[field].as_str()?).ok();
    let age = time("finished").zip(time("created")).and_then(|(end, begin)| (end - begin).to_std().ok());
    age.unwrap_or_default()
}

impl Account {
    fn add(&mut self, lost: Vec<String>, doubled: Vec<String>, wrong: Vec<String>) {
        self.lost.extend(lost);
        self.doubled.extend(doubled);
        self.wrong.extend(wrong);
    }

    fn compare_rows(&mut self, tasks: &[Value], promises: &[Promise]) {
        let tasks = || tasks.iter().filter(|task| task["kind"] == "md5");
        let by_id: HashMap<&str, &Value> = tasks().map(|task| (task["id"].as_str().unwrap(), task)).collect();
        for promise in promises {
            let Some(task) = by_id.get(promise.id.as_str()) else {
                self.lost.push(format!("{promise:?}"));
                continue;
            };
            let is_right = match task["status"].as_str() {
                Some("succeeded") => task["result"]["md5"] == *promise.md5,
                Some("cancelled") => promise.is_unwanted,
                _ => false,
            };
            self.cancelled += usize::from(task["status"] == "cancelled");
            if !is_right || promise.seen.as_ref().is_some_and(|seen| seen != *task) {
                self.wrong.push(format!("{promise:?} became {task}"));
            }
        }
        // A key may have been handed in twice, and two promises be one task.
        let promised: HashSet<&str> = promises.iter().map(|promise| promise.id.as_str()).collect();
        for task in tasks().filter(|task| !promised.contains(task["id"].as_str().unwrap())) {
            self.untold += 1;
            if task["status"] != "succeeded" {
                self.wrong.push(format!("of no promise came {task}"));
            }
        }
    }

    /// Checks that each ended task has exactly one line, and that the log has no other lines.
    fn compare_lines(&mut self, rig: &Rig, tasks: &[Value]) {
        let mut lines: HashMap<String, u32> = HashMap::new();
        for file in fs::read_dir(rig.log().parent().unwrap()).unwrap() {
            let file = file.unwrap();
            if file.file_name() != "outcomes.log.lock" {
                let text = fs::read_to_string(file.path()).unwrap();
                for line in text.split_terminator('\n') {
                    *lines.entry(line.to_owned()).or_default() += 1;
                }
            }
        }
        for task in tasks.iter().filter(|task| !task["finished"].is_null()) {
            let line = line(task);
            match lines.remove(&line) {
                None => self.lost.push(format!("the line {line}")),
                Some(1) => {}
                Some(count) => self.doubled.push(format!("{count} times {line}")),
            }
        }
        self.wrong.extend(lines.keys().map(|line| format!("nobody's line {line}")));
    }
}
