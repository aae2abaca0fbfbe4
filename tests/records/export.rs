//! The exporter: each record is in the file once, in order, whatever the file, its neighbours and the server go through.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use rstest_reuse::apply;
use tempfile::TempDir;
use test_kit::eventually;

use crate::kit::program::{Program, coatcheck, output, stderr_of};
use crate::kit::stack::{Setup, Stack, both_stacks, embedded};
use crate::tasks::log::LockHolder;

/// An exporter, and the folder in which it says what it has to say.
pub struct Exporter {
    pub program: Program,
    folder: TempDir,
}

impl Exporter {
    /// Polls often.
    pub fn start(stack: &Stack, target: &Path, settings: &[(&str, &str)]) -> Self {
        let mut command = export(stack, target);
        command.envs(settings.iter().copied());
        Self::of(command)
    }

    /// As [`Self::start`], with these flags.
    pub fn start_with(stack: &Stack, target: &Path, flags: &[&str]) -> Self {
        let mut command = export(stack, target);
        command.args(flags);
        Self::of(command)
    }

    fn of(command: Command) -> Self {
        let folder = TempDir::with_prefix("coatcheck-test-").unwrap();
        Self { program: Program::start(command, folder.path()), folder }
    }

    pub fn told(&self) -> String {
        fs::read_to_string(stderr_of(self.folder.path())).unwrap()
    }

    /// Waits until it has said that.
    async fn until_told(&self, words: &str) {
        eventually(words, async || {
            let told = self.told();
            if told.contains(words) { Ok(()) } else { Err(told) }
        })
        .await;
    }
}

fn export(stack: &Stack, target: &Path) -> Command {
    let mut command = stack.coatcheck(["export"]);
    command.env("TARGET_FILE", target).env("POLL_INTERVAL", "20ms");
    command
}

/// Waits until the file has that many lines, and returns them.
pub async fn lines_of(target: &Path, count: usize) -> Vec<String> {
    eventually(&format!("{count} lines"), async || {
        let text = fs::read_to_string(target).unwrap_or_default();
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        if lines.len() >= count && text.ends_with('\n') { Ok(lines) } else { Err(lines.len()) }
    })
    .await
}

impl Stack {
    /// Waits until the file has a line for each record; then it has nothing else. Nor when another record has come: a line
    /// that comes too often would have come before it.
    pub async fn is_all_exported(&self, target: &Path) {
        self.add_record("192.0.2.1 GET /the-last-one 200").await;
        let records = self.record_lines_in_order().await;
        assert_eq!(lines_of(target, records.len()).await, records);
    }

    async fn add_numbers(&self, count: usize) {
        let lines: String = (0..count).map(|number| format!("::1 GET /{number} 200\n")).collect();
        assert_eq!(self.add_records("text/plain", lines).await["saved"], count);
    }
}

fn target_of(stack: &Stack) -> PathBuf {
    stack.folder().join("exported/access.log")
}

fn append(path: &Path, text: &str) {
    fs::File::options().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

#[apply(both_stacks)]
async fn the_first_poll_brings_all_and_later_ones_what_is_new(setup: Setup) {
    let stack = setup.start(&[]).await;
    let target = target_of(&stack);
    // More than a page.
    stack.add_numbers(12_000).await;

    let first = Exporter::start(&stack, &target, &[]);
    stack.is_all_exported(&target).await;
    stack.is_all_exported(&target).await;

    first.program.kill();
    let _second = Exporter::start(&stack, &target, &[]);
    stack.is_all_exported(&target).await;
}

#[apply(embedded)]
async fn a_folder_that_was_missing_is_made_and_told(setup: Setup) {
    let stack = setup.start(&[]).await;
    let target = target_of(&stack);
    let told = format!("the folder {} was missing, and is made", target.parent().unwrap().display());

    let first = Exporter::start(&stack, &target, &[]);
    first.until_told(&told).await;
    stack.is_all_exported(&target).await;
    first.program.kill();
    let second = Exporter::start(&stack, &target, &[]);
    stack.is_all_exported(&target).await;

    assert!(!second.told().contains(&told), "{}", second.told());
}

#[apply(embedded)]
async fn each_format_goes_on_where_another_has_ended(setup: Setup) {
    let stack = setup.start(&[]).await;
    let target = target_of(&stack);
    let mut records = Vec::new();
    for (format, uri) in [("json", r#"/a"b\c"#), ("clf", r#"/a"b\c"#), ("line", "/ü?x=1"), ("json", "/")] {
        records.push(stack.add_record(&format!("2001:DB8::1 GET {uri} 404")).await);

        let exporter = Exporter::start(&stack, &target, &[("FORMAT", format)]);
        lines_of(&target, records.len()).await;
        exporter.program.kill();
    }

    let lines = lines_of(&target, 4).await;
    assert_eq!(lines.len(), 4);
    let other = Exporter::start(&stack, &target, &[("FORMAT", "clf")]);
    other.until_told("which is in the format json; new ones are written as clf").await;
    let json: Vec<serde_json::Value> =
        [0, 3].map(|line: usize| serde_json::from_str(&lines[line]).unwrap()).to_vec();
    assert_eq!(json, [records[0].clone(), records[3].clone()]);
    let word = |record: usize, field: &str| records[record][field].as_str().unwrap();
    let created = chrono::DateTime::parse_from_rfc3339(word(1, "created")).unwrap();
    let created = created.format("%d/%b/%Y:%H:%M:%S +0000");
    let clf = format!(r#"2001:DB8::1 - {} [{created}] "GET /a\"b\\c HTTP/1.1" 404 -"#, word(1, "id"));
    assert_eq!(lines[1], clf);
    assert_eq!(lines[2], format!("{} {} 2001:DB8::1 GET /ü?x=1 404", word(2, "id"), word(2, "created")));
}

#[apply(embedded)]
async fn what_a_crash_has_left_is_completed(setup: Setup) {
    let stack = setup.start(&[]).await;
    let target = target_of(&stack);
    for cut in [1, 2, 40, 60, 90] {
        stack.add_numbers(100).await;
        let exporter = Exporter::start(&stack, &target, &[]);
        stack.is_all_exported(&target).await;
        exporter.program.kill();

        // As if it had been killed in the midst of a write.
        let file = fs::File::options().write(true).open(&target).unwrap();
        file.set_len(file.metadata().unwrap().len() - cut).unwrap();
        let _exporter = Exporter::start(&stack, &target, &[]);

        stack.is_all_exported(&target).await;
    }
}

#[apply(embedded)]
async fn what_others_write_stays_and_is_passed_over(setup: Setup) {
    let stack = setup.start(&[]).await;
    let target = target_of(&stack);
    fs::create_dir_all(target.parent().unwrap()).unwrap();
    append(&target, "half a line");
    let first = stack.add_record("::1 GET /1 200").await;
    let exporter = Exporter::start(&stack, &target, &[]);
    assert_eq!(lines_of(&target, 2).await[0], "half a line");

    append(&target, &format!("{{\"id\":{}}}\n\na stranger's\nand half", first["id"]));
    stack.add_record("::1 GET /2 200").await;

    let lines = lines_of(&target, 7).await;
    exporter.program.kill();
    let records = stack.record_lines_in_order().await;
    let foreign = format!("{{\"id\":{}}}", first["id"]);
    let expected = ["half a line", &records[0], &foreign, "", "a stranger's", "and half", &records[1]];
    assert_eq!(lines, expected);
}

#[apply(embedded)]
async fn a_rotated_file_is_gone_on_with_in_a_new_one(setup: Setup) {
    let stack = setup.start(&[]).await;
    let target = target_of(&stack);
    let _exporters =
        [20, 30].map(|pause| Exporter::start(&stack, &target, &[("POLL_INTERVAL", &format!("{pause}ms"))]));
    let mut all = Vec::new();
    for rotation in 1..=5 {
        stack.add_numbers(50).await;
        all.extend(lines_of(&target, 50).await);
        fs::rename(&target, target.with_extension(format!("log.{rotation}"))).unwrap();
    }

    stack.add_record("::1 GET / 200").await;
    all.extend(lines_of(&target, 1).await);

    assert_eq!(all, stack.record_lines_in_order().await);
}

#[apply(embedded)]
async fn while_another_has_the_file_it_fetches_on_and_writes_all_when_it_is_free(setup: Setup) {
    let stack = setup.start(&[]).await;
    let target = target_of(&stack);
    let exporter = Exporter::start(&stack, &target, &[("RUST_LOG", "coatcheck=debug")]);
    stack.add_numbers(10).await;
    let before = lines_of(&target, 10).await;
    let lock = LockHolder::start(&target);

    stack.add_numbers(10).await;
    exporter.until_told("10 records wait").await;
    stack.add_numbers(10).await;
    exporter.until_told("20 records wait").await;
    assert_eq!(lines_of(&target, 0).await, before);
    let records = stack.record_lines_in_order().await;
    stack.kill();

    lock.release();
    assert_eq!(lines_of(&target, 30).await, records, "they are not fetched again: there is no server");
    stack.start().await;
    stack.is_all_exported(&target).await;
}

#[apply(embedded)]
async fn beyond_its_bound_it_stops_fetching_and_drops_nothing(setup: Setup) {
    let stack = setup.start(&[]).await;
    const COUNT: usize = 110_000;
    let target = target_of(&stack);
    let exporter = Exporter::start(&stack, &target, &[]);
    stack.add_numbers(1).await;
    lines_of(&target, 1).await;
    let lock = LockHolder::start(&target);

    stack.add_numbers(COUNT).await;
    exporter.until_told("memory is full").await;
    lock.release();

    stack.is_all_exported(&target).await;
}

#[apply(embedded)]
async fn a_large_first_poll_needs_little_memory(setup: Setup) {
    let stack = setup.start(&[]).await;
    let uri = format!("/{}", "x".repeat(8000));
    let line = format!("::1 GET {uri} 200\n");
    for _ in 0..10 {
        stack.add_records("text/plain", line.repeat(1200)).await;
    }
    let target = target_of(&stack);

    let exporter = Exporter::start(&stack, &target, &[]);
    lines_of(&target, 12_000).await;

    let status = fs::read_to_string(format!("/proc/{}/status", exporter.program.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.split_whitespace().next().unwrap().parse().unwrap();
    println!("100 MB of records, up to {peak} KiB");
    assert!(peak < 64 << 10, "{peak} KiB for 100 MB of records");
}

#[apply(both_stacks)]
async fn a_server_that_is_away_is_waited_for_and_that_is_said_once(setup: Setup) {
    let stack = setup.start(&[]).await;
    let target = target_of(&stack);
    stack.kill();
    let mut exporter = Exporter::start(&stack, &target, &[]);
    exporter.until_told("COATCHECK_URL").await;

    for _ in 0..2 {
        stack.start().await;
        stack.add_numbers(20).await;
        stack.is_all_exported(&target).await;
        exporter.until_told("answers again").await;
        stack.kill();
    }
    stack.start().await;
    stack.is_all_exported(&target).await;

    let told = exporter.told();
    assert!(told.matches("no answer from").count() <= 3, "{told}");
    exporter.program.signal(Signal::SIGTERM);
    let status = eventually("its end", async || exporter.program.exit_status().ok_or("it runs")).await;
    assert!(status.success(), "{status}");
}

#[apply(embedded)]
async fn another_servers_file_is_left_alone(setup: Setup) {
    let stack = setup.start(&[]).await;
    let target = target_of(&stack);
    fs::create_dir_all(target.parent().unwrap()).unwrap();
    let strange = "0b9d44c5-6e5e-4ae1-9a9c-0f2c0d6a4b11 2026-01-02T03:04:05.000678Z ::1 GET / 200\n";
    append(&target, strange);
    stack.add_numbers(5).await;

    let exporter = Exporter::start(&stack, &target, &[]);
    exporter.until_told("unknown to the server").await;

    assert_eq!(fs::read_to_string(&target).unwrap(), strange);
    fs::write(&target, "").unwrap();
    stack.is_all_exported(&target).await;
}

#[tokio::test]
async fn a_wrong_setting_of_an_exporter_is_told_in_one_line() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("a file"), "").unwrap();
    fs::create_dir(folder.path().join("a folder")).unwrap();
    for (name, value) in [
        ("TARGET_FILE", ""),
        ("TARGET_FILE", "a folder"),
        ("TARGET_FILE", "-"),
        ("TARGET_FILE", "a file/access.log"),
        ("POLL_INTERVAL", "0"),
        ("POLL_INTERVAL", "often"),
        ("FORMAT", "xml"),
        ("COATCHECK_URL", "nonsense"),
        ("LOG_FORMAT", "xml"),
    ] {
        let mut command = coatcheck(folder.path(), ["export"]);
        command.env("TARGET_FILE", "access.log").env(name, value);

        crate::cli::settings::refused(&output(command).await, name);
    }
    crate::cli::settings::refused(&output(coatcheck(folder.path(), ["export"])).await, "TARGET_FILE");
}
