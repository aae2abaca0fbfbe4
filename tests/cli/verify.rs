//! `coatcheck verify`: it finds every broken promise, does not report work under way, and writes a lost log anew.

use rstest_reuse::apply;
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::process::Output;
use std::time::{Duration, SystemTime};
use test_kit::eventually;

use crate::cli::settings::refused;
use crate::kit::content::noise;
use crate::kit::load::Load;
use crate::kit::program::output;
use crate::kit::stack::{Setup, Stack, both_stacks, embedded};

/// The sorts of findings, in the order of the output.
const SORTS: [&str; 6] = ["lost", "doubled", "malformed", "foreign", "stuck", "orphans"];

/// The verdict that `coatcheck verify` printed.
#[derive(Debug)]
pub struct Verdict {
    counts: [u64; SORTS.len()],
    text: String,
}

impl Verdict {
    /// Asserts that the output is well made, and that its exit status says whether there is a finding.
    #[track_caller]
    fn of(done: &Output) -> Self {
        let text = String::from_utf8(done.stdout.clone()).unwrap();
        let told = (&text, String::from_utf8_lossy(&done.stderr));
        let count = |sort: &str| {
            let counts = text.lines().filter_map(|line| line.strip_prefix(&format!("{sort}: ")));
            let counts: Vec<u64> = counts.map(|count| count.parse().unwrap()).collect();
            assert_eq!(counts.len(), 1, "{sort}: {told:?}");
            counts[0]
        };
        let counts = SORTS.map(count);
        let is_clean = counts.iter().all(|count| *count == 0);
        assert_eq!(done.status.code(), Some(i32::from(!is_clean)), "{told:?}");
        Self { counts, text }
    }

    pub fn is_clean(&self) -> bool {
        self.counts.iter().all(|count| *count == 0)
    }

    /// These sorts were found so often, and nothing else.
    #[track_caller]
    fn has(&self, expected: &[(&str, u64)]) {
        let of =
            |sort| expected.iter().find(|(expected, _)| *expected == sort).map_or(0, |(_, count)| *count);
        assert_eq!(self.counts, SORTS.map(of), "{}", self.text);
    }

    /// Checks that the output has these words.
    #[track_caller]
    pub fn says(&self, words: &str) {
        assert!(self.text.contains(words), "{words}: {}", self.text);
    }
}

impl Stack {
    pub async fn verify(&self) -> Verdict {
        Verdict::of(&output(self.command(&["verify"])).await)
    }

    /// Checks that these sorts were found that often and nothing else, and that the output says so.
    pub async fn verify_finds(&self, expected: &[(&str, u64)], words: &str) {
        let verdict = self.verify().await;
        verdict.has(expected);
        verdict.says(words);
    }

    /// Nothing is found.
    pub async fn verifies(&self) {
        self.verify().await.has(&[]);
    }

    fn append_to_log(&self, text: &str) {
        OpenOptions::new().append(true).open(self.log()).unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Some tasks, of each way and end, with their lines.
    async fn some_tasks(&self) -> Vec<String> {
        let mut ids = Vec::new();
        for content in [noise(1, 0), noise(2, 3), noise(3, 100_000)] {
            ids.push(self.put(content).await);
        }
        for id in &ids {
            self.until(id, "succeeded").await;
        }
        eventually("the log's place after each line", async || match self.left() {
            0 => Ok(()),
            left => Err(left),
        })
        .await;
        ids
    }
}

#[apply(both_stacks)]
async fn a_service_in_order_verifies_at_work_and_at_rest(setup: Setup) {
    let stack = setup.start(&[("WORKERS", "1")]).await;
    stack.verifies().await;
    stack.some_tasks().await;
    fs::rename(stack.log(), stack.data("outcomes.log.1")).unwrap();
    stack.some_tasks().await;
    let held = stack.hold_worker().await;
    stack.put(noise(4, 100_000)).await;
    stack.verifies().await;

    held.release();
    stack.each_task_has_one_line(&[]).await;
    stack.verifies().await;

    stack.kill();
    stack.verifies().await;
    let verdict = stack.verify().await;
    verdict.says("10 tasks ended; 10 lines of tasks in 2 files");
}

#[apply(both_stacks)]
async fn what_is_on_its_way_is_no_finding(setup: Setup) {
    let stack = setup.start(&[]).await;
    let load = Load::start(&stack, 6);

    for rotation in 1..=8 {
        load.promises(20).await;
        eventually("a log that isn't empty", async || {
            let length = fs::metadata(stack.log()).map(|log| log.len());
            if matches!(length, Ok(1..)) { Ok(()) } else { Err(length) }
        })
        .await;
        fs::rename(stack.log(), stack.data(&format!("outcomes.log.{rotation}"))).unwrap();
        stack.verifies().await;
    }

    let promises = load.end().await;
    stack.are_kept(&promises).await;
}

#[apply(both_stacks)]
async fn lines_that_are_not_as_they_should_be_are_found(setup: Setup) {
    let stack = setup.start(&[]).await;
    let ids = stack.some_tasks().await;
    stack.kill();
    let log = fs::read_to_string(stack.log()).unwrap();
    let lines: Vec<&str> = log.lines().collect();
    let (first, second, third) = (lines[0], lines[1], lines[2]);
    let changed = third.replace("succeeded", "failed");
    assert_eq!(lines.len(), ids.len());

    // In the place of the first one a stranger's, the second one twice, the third one changed, torn at the end.
    fs::write(stack.data("outcomes.log-old"), format!("of a stranger\n{second}\n")).unwrap();
    fs::write(stack.log(), format!("{second}\n{changed}\n{}", &first[..80])).unwrap();

    let verdict = stack.verify().await;
    verdict.has(&[("lost", 2), ("doubled", 1), ("malformed", 2), ("foreign", 1)]);
    verdict.says(&format!("{} comes before the log's place in the feed but has no line", word(first, 1)));
    verdict.says(&format!(
        "{} has 2 lines: outcomes.log at byte 0, outcomes.log-old at byte 14",
        word(second, 1)
    ));
    verdict.says(&format!("outcomes.log at byte {}: \"{changed}\"", second.len() + 1));
    verdict.says("outcomes.log-old at byte 0: \"of a stranger\"");
}

#[apply(both_stacks)]
async fn a_foreign_line_is_told_and_harms_nothing(setup: Setup) {
    let stack = setup.start(&[]).await;
    stack.some_tasks().await;
    stack.append_to_log("of a stranger\n\u{1b}[2J");
    stack.some_tasks().await;

    let verdict = stack.verify().await;

    verdict.has(&[("foreign", 2)]);
    verdict.says(r#""\u{1b}[2J""#);
}

#[apply(both_stacks)]
async fn half_a_line_whose_writer_was_killed_is_no_finding(setup: Setup) {
    let stack = setup.start(&[("WORKERS", "1")]).await;
    let ids = stack.some_tasks().await;
    stack.kill();
    let log = fs::read_to_string(stack.log()).unwrap();
    let last = log.lines().last().unwrap();
    let half = &last[..last.len() - 5];
    fs::write(stack.log(), format!("{}{half}", log.strip_suffix(&format!("{last}\n")).unwrap())).unwrap();
    // As if the writer had been killed in its first step.
    stack.sql("DELETE FROM followers");

    stack.verify().await.says("1 line owed");
    stack.verifies().await;

    stack.start().await;
    eventually("the whole line", async || {
        let lines = stack.all_log_lines();
        if lines.len() == ids.len() && lines.contains(&last.to_owned()) { Ok(()) } else { Err(lines) }
    })
    .await;
    stack.verifies().await;
}

#[apply(both_stacks)]
async fn an_upload_that_is_gone_and_tasks_that_nothing_moves_on_are_found(setup: Setup) {
    let stack = setup.start(&[("WORKERS", "1")]).await;
    let held = stack.hold_worker().await;
    let waiting = stack.put(noise(3, 50_000)).await;
    stack.kill();
    let blob = stack.blob(&waiting).unwrap();
    fs::rename(&blob, stack.folder().join("elsewhere")).unwrap();

    let past = if stack.is_distributed() { "now() - interval '1 hour'" } else { "1" };
    stack.sql(&format!("UPDATE tasks SET sweep_at = {past} WHERE status = 'pending'"));
    stack.sql(&format!("UPDATE workers SET lease_until = {past}"));

    let verdict = stack.verify().await;
    verdict.has(&[("lost", 1), ("stuck", 2)]);
    verdict.says(&format!("{waiting} is pending, but its upload is missing"));
    verdict.says(&format!("{waiting} is pending, but nothing moves it on"));
    verdict.says(&format!("{} is running, but nothing moves it on", held.id));

    fs::rename(stack.folder().join("elsewhere"), blob).unwrap();
    held.restore();
    stack.start().await;
    stack.each_task_has_one_line(&[]).await;
    stack.verifies().await;
}

#[apply(both_stacks)]
async fn bytes_without_a_use_are_found_when_they_are_old(setup: Setup) {
    let stack = setup.start(&[]).await;
    stack.some_tasks().await;
    stack.kill();
    let names = ["fe/0198c0de-0000-7000-8000-0000000000fe", "tmp/0198c0de-0000-7000-8000-0000000000fd.part"];
    let paths = names.map(|name| stack.data("blobs").join(name));
    for path in &paths {
        fs::write(path, "nobody's").unwrap();
    }
    stack.verifies().await;

    for path in &paths {
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(2 * 86_400)).unwrap();
    }
    let verdict = stack.verify().await;

    verdict.has(&[("orphans", 2)]);
    verdict.says("the blob of 0198c0de-0000-7000-8000-0000000000fe");
    verdict.says("the unfinished blob tmp/0198c0de-0000-7000-8000-0000000000fd.part");
}

#[apply(both_stacks)]
async fn a_log_that_was_deleted_is_written_anew_and_goes_on(setup: Setup) {
    let stack = setup.start(&[]).await;
    let mut ids = stack.some_tasks().await;
    fs::remove_file(stack.log()).unwrap();
    ids.extend(stack.some_tasks().await);
    stack.kill();
    let verdict = stack.verify().await;
    verdict.has(&[("lost", 3)]);

    let done = output(stack.command(&["verify", "--rebuild", "data/rebuilt"])).await;

    let told = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success() && told.starts_with("wrote 6 lines to data/rebuilt\n"), "{told}");
    let rebuilt = fs::read_to_string(stack.data("rebuilt")).unwrap();
    let written: BTreeSet<&str> = rebuilt.lines().map(|line| word(line, 1)).collect();
    assert_eq!(written, ids.iter().map(String::as_str).collect());
    fs::create_dir(stack.data("old")).unwrap();
    fs::rename(stack.log(), stack.data("old/outcomes.log")).unwrap();
    fs::rename(stack.data("rebuilt"), stack.log()).unwrap();
    stack.verifies().await;

    stack.start().await;
    stack.each_task_has_one_line(&[]).await;
    stack.verifies().await;
    assert_eq!(stack.left(), 0);
    assert!(fs::read_to_string(stack.log()).unwrap().starts_with(&rebuilt), "it goes on in that file");
}

#[apply(both_stacks)]
async fn a_log_that_is_written_anew_beside_a_service_at_rest_is_taken_up(setup: Setup) {
    let stack = setup.start(&[]).await;
    let ids = stack.some_tasks().await;
    fs::remove_file(stack.log()).unwrap();
    stack.verify().await.has(&[("lost", ids.len() as u64)]);

    let done = output(stack.command(&["verify", "--rebuild", "data/rebuilt"])).await;
    let told = String::from_utf8(done.stdout).unwrap();
    assert!(told.contains("a worker is running"), "{told}");
    fs::rename(stack.data("rebuilt"), stack.log()).unwrap();

    stack.verifies().await;
    stack.some_tasks().await;
    stack.each_task_has_one_line(&[]).await;
    stack.verifies().await;
}

#[apply(embedded)]
async fn a_file_that_is_there_or_would_be_a_part_of_the_log_is_not_written(setup: Setup) {
    let stack = setup.start(&[]).await;
    stack.some_tasks().await;
    fs::write(stack.data("mine"), "mine").unwrap();
    for (file, word) in [
        ("data/mine", "data/mine"),
        ("data/outcomes.log", "data/outcomes.log"),
        ("data/outcomes.log.new", "data/outcomes.log.new"),
        ("nowhere/rebuilt", "nowhere/rebuilt"),
    ] {
        refused(&output(stack.command(&["verify", "--rebuild", file])).await, word);
    }
    assert_eq!(fs::read_to_string(stack.data("mine")).unwrap(), "mine");
    stack.verifies().await;

    fs::write(stack.data("outcomes.log.1.gz"), b"\x1f\x8b\x08\x00").unwrap();
    refused(&output(stack.command(&["verify"])).await, "outcomes.log.1.gz: expected an uncompressed log");
}

#[apply(embedded)]
async fn what_is_not_there_is_not_verified_and_not_made(setup: Setup) {
    let stack = setup.start(&[]).await;
    for (name, wrong) in [
        ("DATABASE_URL", "sqlite:nowhere/coatcheck.db"),
        ("DATABASE_URL", "postgres://coat@127.0.0.1:9/coat"),
        ("BLOB_URL", "file:nowhere"),
        ("OUTCOME_LOG", "nowhere/outcomes.log"),
    ] {
        let mut command = stack.command(&["verify"]);
        command.env(name, wrong);
        refused(&output(command).await, name);
    }
    assert!(!stack.folder().join("nowhere").exists());
    stack.verifies().await;
}

/// A word of a line.
fn word(line: &str, number: usize) -> &str {
    line.split(' ').nth(number).unwrap()
}
