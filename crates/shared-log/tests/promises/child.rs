//! Other processes: this test binary once more, running the one test below.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;
use std::{env, thread};

use nix::sys::signal::{Signal, raise};
use shared_log::{LogError, SettleError, Settled, SharedLog};

use crate::file_ledger::{ENTRIES, FileLedger};
use crate::hooked::Hooked;
use crate::place::log_path;

/// Runs `task` on the place in `folder`.
pub fn command(task: &str, folder: &Path) -> Command {
    via(Command::new(env::current_exe().unwrap()), task, folder)
}

/// As `command`, where `shell` sets something up and then runs `exec "$0" "$@"`.
pub fn command_under(shell: &str, task: &str, folder: &Path) -> Command {
    let mut bash = Command::new("bash");
    bash.args([OsStr::new("-c"), OsStr::new(shell), env::current_exe().unwrap().as_os_str()]);
    via(bash, task, folder)
}

fn via(mut command: Command, task: &str, folder: &Path) -> Command {
    command.args(["--exact", "child::child", "--ignored", "--nocapture"]);
    command.env("CHILD_TASK", task).env("CHILD_FOLDER", folder).stdout(Stdio::null());
    command
}

/// A Python program that has said a line and waits for its stdin to be closed.
pub struct Python {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Python {
    pub fn start(program: &str, argument: &Path) -> Self {
        let mut child = Command::new("python3")
            .args([OsStr::new("-c"), OsStr::new(program), argument.as_os_str()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is needed as a foreign program that locks");
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, answers }
    }

    pub fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    pub fn end(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }
}

#[test]
#[ignore = "a part of other tests, run by them"]
fn child() {
    let (Ok(task), Ok(folder)) = (env::var("CHILD_TASK"), env::var("CHILD_FOLDER")) else { return };
    let folder = PathBuf::from(folder);
    match task.split_once(' ').unwrap() {
        ("die-at", moment) => settle_with(Signal::SIGKILL, moment, &folder),
        ("stop-at", moment) => settle_with(Signal::SIGSTOP, moment, &folder),
        ("settle-all", seed) => settle_all(seed.parse().unwrap(), &folder),
        ("fill", _) => fill(&folder),
        _ => panic!("no such task: {task}"),
    }
}

/// One step that sends itself the signal at a moment such as "before store 1": the first is 0.
fn settle_with(signal: Signal, moment: &str, folder: &Path) {
    let (name, nth) = moment.rsplit_once(' ').unwrap();
    let mut left: usize = nth.parse().unwrap();
    let hook = |now: &str| {
        if now == name {
            if left == 0 {
                raise(signal).unwrap();
            }
            left = left.wrapping_sub(1);
        }
        Ok(())
    };
    let log = SharedLog::new(log_path(folder)).unwrap();
    let _ = log.settle(&mut Hooked { ledger: FileLedger::at(folder), hook }).unwrap();
}

/// Two threads that settle until all entries are logged, and may die at any call.
fn settle_all(seed: u64, folder: &Path) {
    let settle = |seed: u64| {
        let mut random = Random(seed);
        let hook = |_: &str| {
            if random.below(200) == 0 {
                raise(Signal::SIGKILL).unwrap();
            }
            Ok(())
        };
        let log = SharedLog::new(log_path(folder)).unwrap();
        let mut ledger = Hooked { ledger: FileLedger::at(folder), hook };
        while ledger.ledger.state().logged().len() < ENTRIES {
            match log.settle(&mut ledger).unwrap() {
                Settled::Done(done) if done.more || done.written > 0 => {}
                _ => thread::sleep(Duration::from_micros(500)),
            }
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| settle(seed * 2));
        scope.spawn(|| settle(seed * 2 + 1));
    });
}

/// Settles until the log is full.
fn fill(folder: &Path) {
    let log = SharedLog::new(log_path(folder)).unwrap();
    let error = log.settle(&mut FileLedger::at(folder)).unwrap_err();
    assert!(matches!(error, SettleError::<io::Error>::Log(LogError::Full(_))), "{error:?}");
}

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
