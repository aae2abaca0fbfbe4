//! Locks: which openers of a log exclude each other.

use std::fs::{self, File};
use std::path::Path;
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, mkfifo};
use shared_log::{Done, FileLock, LogError, Settled};

use crate::child::{Python, command};
use crate::file_ledger::FileLedger;
use crate::place::Place;

const TRY_LOCKF: &str = r#"
import fcntl, sys
file = open(sys.argv[1], "r+")
try:
    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    print("held", flush=True)
except OSError:
    print("refused", flush=True)
sys.stdin.read()
"#;

fn lockf(path: &Path) -> (Python, String) {
    let mut python = Python::start(TRY_LOCKF, path);
    let answer = python.answer();
    (python, answer)
}

#[test]
fn a_foreign_lockf_holder_is_respected() {
    let place = Place::with_lines(1);
    place.ledger.owe(1);
    let (holder, answer) = lockf(&place.path());
    assert_eq!(answer, "held");

    assert!(place.log.try_lock().unwrap().is_none());
    assert_eq!(place.log.settle(&mut FileLedger::at(place.folder.path())).unwrap(), Settled::Busy);
    holder.end();

    assert_eq!(place.settle().written, 1);
    place.assert_each_line_once();
}

#[test]
fn a_foreign_lockf_is_refused_while_we_hold_the_log() {
    let place = Place::with_lines(1);
    let guard = place.log.try_lock().unwrap().unwrap();

    let (python, answer) = lockf(&place.path());
    assert_eq!(answer, "refused");
    python.end();

    drop(guard);
    let (python, answer) = lockf(&place.path());
    assert_eq!(answer, "held");
    python.end();
}

#[test]
fn closing_another_descriptor_of_the_file_keeps_the_lock() {
    let place = Place::with_lines(1);
    let _guard = place.log.try_lock().unwrap().unwrap();

    drop(File::open(place.path()).unwrap());

    let (python, answer) = lockf(&place.path());
    assert_eq!(answer, "refused");
    python.end();
}

#[test]
fn threads_exclude_each_other_even_when_the_log_is_rotated_meanwhile() {
    let place = Place::with_lines(1);
    let guard = place.log.try_lock().unwrap();
    place.rotate("1");

    let other =
        thread::scope(|scope| scope.spawn(|| place.log.try_lock().unwrap().is_some()).join().unwrap());

    assert!(guard.is_some() && !other);
}

#[test]
fn while_a_process_is_stopped_with_the_lock_nobody_waits_and_nothing_is_written() {
    let place = Place::with_lines(1);
    place.ledger.owe(2);
    let mut holder = command("stop-at before store 0", place.folder.path()).spawn().unwrap();
    let pid = Pid::from_raw(holder.id() as i32);
    assert_eq!(
        waitpid(pid, Some(WaitPidFlag::WUNTRACED)).unwrap(),
        WaitStatus::Stopped(pid, Signal::SIGSTOP)
    );

    let meanwhile = place.log.settle(&mut FileLedger::at(place.folder.path())).unwrap();
    kill(pid, Signal::SIGCONT).unwrap();
    assert!(holder.wait().unwrap().success());

    assert_eq!(meanwhile, Settled::Busy);
    assert_eq!(place.settle(), Done::default());
    place.assert_each_line_once();
}

#[test]
fn what_is_no_file_is_unwritable_and_nothing_hangs() {
    let place = Place::new();
    place.ledger.owe(1);
    let elsewhere = place.folder.path().join("elsewhere");
    fs::write(&elsewhere, "mine\n").unwrap();
    let assert_unwritable = |what| {
        let error = place.log.try_lock().unwrap_err();
        assert!(matches!(error, LogError::Unwritable { .. }), "{what}: {error:?}");
    };

    std::os::unix::fs::symlink(&elsewhere, place.path()).unwrap();
    assert_unwritable("symbolic link");
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "mine\n");
    fs::remove_file(place.path()).unwrap();

    fs::create_dir(place.path()).unwrap();
    assert_unwritable("directory");
    fs::remove_dir(place.path()).unwrap();

    mkfifo(&place.path(), Mode::S_IRWXU).unwrap();
    assert_unwritable("pipe");
    fs::remove_file(place.path()).unwrap();

    let socket = std::os::unix::net::UnixListener::bind(place.path()).unwrap();
    assert_unwritable("socket");
    drop(socket);
    fs::remove_file(place.path()).unwrap();

    // And it goes on by itself.
    assert_eq!(place.settle().written, 1);
    place.assert_each_line_once();
}

#[test]
fn the_refused_can_read_the_holders_note() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lock");

    let lock = FileLock::try_acquire(&path).unwrap().unwrap();
    lock.write_note("a longer note").unwrap();
    lock.write_note("4711").unwrap();
    assert!(FileLock::try_acquire(&path).unwrap().is_none());
    assert_eq!(FileLock::read_note(&path).unwrap(), "4711");
    drop(lock);

    assert!(FileLock::try_acquire(&path).unwrap().is_some());
}
