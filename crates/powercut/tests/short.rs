//! The part of `make powercut` that every `cargo test` does, where the machine lets it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The exit status of `powercut` where power cannot be cut.
const CANNOT: i32 = 77;
/// Loop devices are few: one test at a time.
static TURN: Mutex<()> = Mutex::new(());

/// `powercut short` on the program that was built with it, or that `COATCHECK_BIN` names.
fn short() -> Command {
    let powercut = Path::new(env!("CARGO_BIN_EXE_powercut"));
    let coatcheck =
        std::env::var_os("COATCHECK_BIN").map_or_else(|| powercut.with_file_name("coatcheck"), PathBuf::from);
    assert!(coatcheck.exists(), "no {}: cargo build --workspace", coatcheck.display());
    let keep = Path::new(env!("CARGO_TARGET_TMPDIR")).join("powercut");
    let mut short = Command::new(powercut);
    short.arg("short").arg("--keep").arg(keep).env("COATCHECK_BIN", coatcheck).stdin(Stdio::null());
    short
}

/// The processes that descend from one, by what the kernel tells of parents.
fn descendants(pid: u32) -> Vec<u32> {
    let parent = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in brackets, may have anything in it.
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse::<u32>().ok()
    };
    let names = fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.file_name());
    let pids = names.filter_map(|name| name.to_str()?.parse::<u32>().ok()).collect::<Vec<_>>();
    let descends =
        |of: &&u32| std::iter::successors(parent(**of), |of| parent(*of)).any(|ancestor| ancestor == pid);
    pids.iter().filter(descends).copied().collect()
}

#[test]
fn a_killed_run_leaves_no_process() {
    let _turn = TURN.lock();
    let mut short = short().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(120);
    // The first inside, the disks, the third party and the program; or it cannot be done here.
    let started = loop {
        let started = descendants(short.id());
        if started.len() >= 4 || short.try_wait().unwrap().is_some() {
            break started;
        }
        assert!(Instant::now() < deadline, "it does not start: {started:?}");
        std::thread::sleep(Duration::from_millis(5));
    };

    short.kill().unwrap();
    short.wait().unwrap();

    // Mounts and loop devices are those processes', and go with the last of them.
    while let Some(pid) = started.iter().find(|pid| Path::new(&format!("/proc/{pid}")).exists()) {
        assert!(Instant::now() < deadline, "process {pid} goes on");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_was_answered_outlives_power_cuts() {
    let _turn = TURN.lock();
    let done = short().output().unwrap();

    let told = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
    // Past the test harness, which keeps what a test prints to itself.
    let say = |words: &str| writeln!(std::io::stderr(), "\n{words}").unwrap();
    match done.status.code() {
        Some(0) => say(&format!("power was cut, in the short form (the whole: make powercut):\n{told}")),
        Some(CANNOT) => say(&format!("POWER CUTS WERE NOT TRIED: {told}")),
        _ => panic!("{}\n{told}", done.status),
    }
}
