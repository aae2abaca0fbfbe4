//! A log that is its own cursor: what its last line says, and how a half one is ended.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use shared_log::{LogError, Resumed, SharedLog};
use tempfile::TempDir;

struct Numbers {
    folder: TempDir,
    log: SharedLog,
}

/// Lines are `number N.`; all others are foreign.
fn number(line: &[u8]) -> Option<u32> {
    str::from_utf8(line).ok()?.strip_prefix("number ")?.strip_suffix('.')?.parse().ok()
}

impl Numbers {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = SharedLog::new(folder.path().join("log")).unwrap();
        Self { folder, log }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn resume(&self) -> Resumed<u32> {
        self.log.resume(number).unwrap().expect("nobody else has the log")
    }

    /// Appends the next `more` numbers, as a writer does that keeps nothing in memory.
    fn count_on(&self, more: u32) {
        let mut resumed = self.resume();
        let mut next = resumed.last().map_or(1, |last| last + 1);
        let line = format!("number {next}.");
        let rest_of = |half: &[u8]| line.as_bytes().strip_prefix(half).map(<[u8]>::to_vec);
        let last = next + more;
        if resumed.complete(rest_of).unwrap() {
            next += 1;
        }
        let lines: String = (next..last).map(|number| format!("number {number}.\n")).collect();
        resumed.append(lines.as_bytes()).unwrap();
        resumed.sync().unwrap();
    }

    fn scribble(&self, name: &str, text: &str) {
        let mut file = File::options().append(true).create(true).open(self.path(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn rotate(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }
}

#[test]
fn each_goes_on_after_the_last_line() {
    let numbers = Numbers::new();
    assert_eq!(numbers.log.last_line(number).unwrap(), None);
    assert!(!numbers.path("log").exists(), "to look makes no file");

    numbers.count_on(2);
    numbers.scribble("log", "a stranger's\n");
    numbers.count_on(1);

    assert_eq!(numbers.text("log"), "number 1.\nnumber 2.\na stranger's\nnumber 3.\n");
    assert_eq!(numbers.log.last_line(number).unwrap(), Some(3));
}

#[test]
fn only_one_has_it_at_a_time() {
    let numbers = Numbers::new();
    let held = numbers.resume();

    assert!(numbers.log.resume(number).unwrap().is_none());
    drop(held);
    assert!(numbers.log.resume(number).unwrap().is_some());
}

#[test]
fn a_half_line_is_completed_wherever_it_was_cut_and_a_strangers_is_closed() {
    let whole = "number 2.";
    for cut in 1..=whole.len() {
        let numbers = Numbers::new();
        numbers.count_on(1);
        numbers.scribble("log", &whole[..cut]);

        numbers.count_on(2);

        assert_eq!(numbers.text("log"), "number 1.\nnumber 2.\nnumber 3.\n", "cut at {cut}");
    }

    let numbers = Numbers::new();
    numbers.scribble("log", "half");
    numbers.count_on(1);
    assert_eq!(numbers.text("log"), "half\nnumber 1.\n");
}

#[test]
fn a_new_file_asks_the_one_that_was_changed_last() {
    let numbers = Numbers::new();
    numbers.count_on(2);
    numbers.rotate("log", "log.2");
    numbers.count_on(2);
    numbers.rotate("log", "log.1");
    older(&numbers.path("log.2"));
    // Neither has a line of ours, and one is another log.
    numbers.scribble("log.3", "a stranger's\n");
    numbers.scribble("log.json", "number 99.\n");
    numbers.scribble("log.json.lock", "");
    numbers.scribble("logs", "number 98.\n");
    fs::create_dir(numbers.path("log.d")).unwrap();

    assert_eq!(numbers.log.last_line(number).unwrap(), Some(4));
    numbers.count_on(1);
    assert_eq!(numbers.text("log"), "number 5.\n");

    numbers.rotate("log", "log-20260102");
    numbers.scribble("log", "a stranger's\n");
    numbers.count_on(1);
    assert_eq!(numbers.text("log"), "a stranger's\nnumber 6.\n");
}

#[test]
fn a_compressed_file_is_refused_unless_a_newer_one_tells_the_last_line() {
    let numbers = Numbers::new();
    numbers.count_on(1);
    fs::write(numbers.path("log.2.gz"), b"\x1f\x8b\x08 and more").unwrap();
    numbers.rotate("log", "log.1");
    older(&numbers.path("log.2.gz"));
    assert_eq!(numbers.log.last_line(number).unwrap(), Some(1));

    fs::remove_file(numbers.path("log.1")).unwrap();

    let refused = |error| matches!(error, LogError::Compressed { path } if path.ends_with("log.2.gz"));
    assert!(refused(numbers.log.last_line(number).unwrap_err()));
    assert!(refused(numbers.log.resume(number).unwrap_err()));
}

#[test]
fn a_half_line_is_completed_in_the_rotated_file() {
    let numbers = Numbers::new();
    numbers.count_on(1);
    numbers.scribble("log", "number 2");
    numbers.rotate("log", "log.1");

    numbers.count_on(2);

    assert_eq!(numbers.text("log.1"), "number 1.\nnumber 2.\n");
    assert_eq!(numbers.text("log"), "number 3.\n");
}

#[test]
fn a_half_first_line_is_completed_after_a_rotation() {
    let numbers = Numbers::new();
    numbers.scribble("log", "num");
    numbers.rotate("log", "log.1");
    numbers.count_on(2);
    assert_eq!((numbers.text("log.1"), numbers.text("log")), ("number 1.\n".into(), "number 2.\n".into()));

    numbers.rotate("log", "log.2");
    older(&numbers.path("log.1"));
    numbers.scribble("log", "num");
    numbers.count_on(1);
    assert_eq!(numbers.text("log"), "number 3.\n");
}

#[test]
fn a_log_that_is_rotated_while_it_is_held_keeps_the_order() {
    let numbers = Numbers::new();
    let mut resumed = numbers.resume();
    numbers.rotate("log", "log.1");

    resumed.append(b"number 1.\n").unwrap();
    drop(resumed);
    numbers.count_on(1);

    assert_eq!((numbers.text("log.1"), numbers.text("log")), ("number 1.\n".into(), "number 2.\n".into()));
}

/// As if it had been changed a day before: file systems tell times no finer than a few milliseconds.
fn older(path: &Path) {
    let file = File::options().append(true).open(path).unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    file.set_modified(modified - std::time::Duration::from_secs(86_400)).unwrap();
}

#[test]
fn what_a_power_cut_left_unwritten_is_cut_off() {
    for half in ["", "num", "number 3."] {
        for nuls in [1, 5000, 200_000] {
            let numbers = Numbers::new();
            numbers.count_on(2);
            numbers.scribble("log", &format!("{half}{}", "\0".repeat(nuls)));

            numbers.count_on(2);

            assert_eq!(
                numbers.text("log").lines().collect::<Vec<_>>(),
                ["number 1.", "number 2.", "number 3.", "number 4."]
            );
        }
    }
}

#[test]
fn a_strangers_file_that_ends_with_nuls_is_left_as_it_is() {
    let numbers = Numbers::new();
    numbers.scribble("log", "a stranger's\0\0");

    numbers.count_on(1);

    assert_eq!(numbers.text("log"), "a stranger's\0\0\nnumber 1.\n");
}
