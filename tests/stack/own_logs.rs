//! Several outcome logs over one database, logs that begin late, and logs of other names.

use std::fs;
use std::path::{Path, PathBuf};

use rstest_reuse::apply;
use serde_json::Value;
use test_kit::eventually;

use crate::kit::load::Load;
use crate::kit::stack::{Extra, Setup, Stack, both_stacks, distributed};

/// The files of a log: the one that it was renamed to, and itself.
fn lines(log: &Path) -> Vec<String> {
    let files = [log.with_added_extension("1"), log.to_owned()];
    let text: String = files.into_iter().map(|file| fs::read_to_string(file).unwrap_or_default()).collect();
    text.split_inclusive('\n')
        .map(|line| line.strip_suffix('\n').unwrap_or("half a line").to_owned())
        .collect()
}

impl Stack {
    /// The lines of all outcomes, in the order in which every reader of the feed gets them.
    async fn fed_lines(&self) -> Vec<String> {
        let (mut lines, mut after) = (Vec::new(), String::new());
        loop {
            let page = self.get(&format!("/api/v1/outcomes?limit=1000{after}")).await.json();
            let outcomes = page["outcomes"].as_array().unwrap();
            if outcomes.is_empty() {
                return lines;
            }
            let word = |outcome: &Value, name: &str| outcome[name].as_str().unwrap().to_owned();
            let line = |outcome| {
                ["finished", "id", "kind", "status", "detail"].map(|name| word(outcome, name)).join(" ")
            };
            lines.extend(outcomes.iter().map(line));
            after = format!("&after={}", page["next"].as_str().unwrap());
        }
    }

    /// Waits until a log has all outcomes, and checks that they are in the feed's order, each once.
    pub async fn is_complete(&self, log: &Path) {
        let fed = self.fed_lines().await;
        eventually(&format!("all {} outcomes in {}", fed.len(), log.display()), async || {
            let lines = lines(log);
            if lines == fed { Ok(()) } else { Err(differences(&lines, &fed)) }
        })
        .await;
    }

    /// Starts one more worker, with a log of its own.
    fn worker_with(&self, log: &Path, settings: &[(&str, &str)]) -> Extra {
        let log = log.display().to_string();
        let settings = [&[("OUTCOME_LOG", &*log)], settings].concat();
        self.extra(&["worker"], &settings)
    }
}

fn differences(lines: &[String], fed: &[String]) -> String {
    let at = lines.iter().zip(fed).position(|(line, fed)| line != fed);
    format!("{} lines of {}, the first other at {at:?}", lines.len(), fed.len())
}

fn in_folder(stack: &Stack, name: &str) -> PathBuf {
    stack.data(name).join("outcomes.log")
}

#[apply(distributed)]
async fn each_log_has_every_outcome_once_and_in_one_order(setup: Setup) {
    let stack = setup.start(&[]).await;
    let (second, third) = (in_folder(&stack, "second"), in_folder(&stack, "third"));
    let load = Load::start(&stack, 4);
    let mut worker = stack.worker_with(&second, &[]);
    load.promises(60).await;
    for round in 0..3 {
        worker.program.kill();
        load.promises(40).await;
        if round == 1 && second.exists() {
            fs::rename(&second, second.with_added_extension("1")).unwrap();
        }
        worker = stack.worker_with(&second, &[]);
        load.promises(40).await;
    }
    let promises = load.end().await;
    // From an empty file, when nearly all has ended: it begins at the oldest.
    let _late = stack.worker_with(&third, &[]);

    stack.are_kept(&promises).await;

    assert!(promises.len() >= 300, "{}", promises.len());
    for log in [stack.log(), second, third] {
        stack.is_complete(&log).await;
    }
}

#[apply(both_stacks)]
async fn a_process_without_a_log_writes_none_and_a_log_that_begins_later_has_all(setup: Setup) {
    let stack = setup.start(&[("OUTCOME_LOG", "off")]).await;
    for _ in 0..3 {
        let id = stack.put("abc").await;
        stack.until(&id, "succeeded").await;
    }
    stack.verifies().await;
    assert!(!stack.log().exists() && !stack.data("off").exists() && !stack.folder().join("off").exists());
    stack.kill();

    stack.start_with(&[("OUTCOME_LOG", "data/outcomes.log")]).await;

    stack.is_complete(&stack.log()).await;
    assert_eq!(lines(&stack.log()).len(), 3);
}

#[apply(both_stacks)]
async fn metrics_tell_how_far_each_log_is_behind(setup: Setup) {
    let stack = setup.start(&[("OUTCOME_LOG_NAME", "one")]).await;
    let behind = async |is_it: fn(f64) -> bool| {
        eventually("how far the log is behind", async || {
            let told = stack.get("/metrics").await.text().to_owned();
            let value = |metric: &str| {
                let begin = format!("coatcheck_log_{metric}{{log=\"one\"}} ");
                told.lines().find_map(|line| line.strip_prefix(&begin))?.parse::<f64>().ok()
            };
            let bytes = fs::metadata(stack.log()).map_or(0, |log| log.len());
            let is_told = value("bytes") == Some(bytes as f64) && value("behind_seconds").is_some_and(is_it);
            if is_told { Ok(()) } else { Err(told) }
        })
        .await;
    };
    let id = stack.put("abc").await;
    stack.until(&id, "succeeded").await;
    stack.is_complete(&stack.log()).await;
    behind(|seconds| seconds == 0.0).await;
    stack.kill();

    stack.start_with(&[("OUTCOME_LOG", "off")]).await;

    let id = stack.put("abc").await;
    stack.until(&id, "succeeded").await;
    behind(|seconds| seconds > 0.0).await;
}

/// The host has another name, or the folder was mounted elsewhere.
#[apply(both_stacks)]
async fn a_log_of_another_name_goes_on_with_the_lines_that_it_has(setup: Setup) {
    let stack = setup.start(&[("OUTCOME_LOG_NAME", "one")]).await;
    for rotated in [true, false] {
        for _ in 0..3 {
            let id = stack.put("abc").await;
            stack.until(&id, "succeeded").await;
        }
        stack.is_complete(&stack.log()).await;
        if rotated {
            fs::rename(stack.log(), stack.log().with_added_extension("1")).unwrap();
        }
    }
    stack.kill();

    stack.start_with(&[("OUTCOME_LOG_NAME", "another")]).await;

    let id = stack.put("abc").await;
    stack.until(&id, "succeeded").await;
    stack.is_complete(&stack.log()).await;
    assert_eq!(lines(&stack.log()).len(), 7);
}

#[apply(distributed)]
async fn two_files_of_one_name_are_told_and_none_is_spoiled(setup: Setup) {
    let stack = setup.start(&[("OUTCOME_LOG_NAME", "the log")]).await;
    let id = stack.put("abc").await;
    stack.until(&id, "succeeded").await;
    stack.is_complete(&stack.log()).await;

    let other = in_folder(&stack, "other");
    let worker = stack.worker_with(&other, &[]);

    eventually("the reason", async || {
        let told = worker.stderr();
        let is_told = told.contains("give each log a name of its own")
            && told.contains(&*stack.log().to_string_lossy());
        if is_told { Ok(()) } else { Err(told) }
    })
    .await;
    let id = stack.put("abc").await;
    stack.until(&id, "succeeded").await;
    stack.is_complete(&stack.log()).await;
    assert_eq!(lines(&other), [] as [String; 0]);
}
