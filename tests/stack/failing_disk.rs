//! Writes and flushes that fail once, as strace makes them fail: nothing is accepted on a file whose flush has failed, and the
//! next program reads its files from the device before it believes them.
//!
//! The test does not see what the device then lacks: bytes of a flush that strace keeps from the kernel stay in memory, to be flushed
//! later.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use test_kit::eventually;

use crate::kit::client::ask;
use crate::kit::content::noise;
use crate::kit::program::Program;
use crate::kit::stack::{Stack, own_host};
use crate::stack::disk_order::can_trace;

/// Nothing is written but for what a test asks for.
const QUIET: [(&str, &str); 2] = [("SWEEP_SECONDS", "3600"), ("LEASE_SECONDS", "36000")];

/// Starts the program, and waits until it has written what it writes at the start.
async fn start(stack: &Stack) {
    stack.start().await;
    eventually("the worker's lease and the log's head", async || {
        let rows = stack.sql("SELECT (SELECT count(*) FROM workers), (SELECT count(*) FROM followers)");
        if rows == "1|1" { Ok(()) } else { Err(rows) }
    })
    .await;
}

/// strace beside a program that runs.
struct Strace(Child);

impl Strace {
    /// Lets such a call on one of those files, or on any, fail. When this returns, it will.
    async fn inject(stack: &Stack, call: &str, files: &[PathBuf], fault: &str) -> Self {
        let told = stack.folder().join("strace");
        let mut command = Command::new("strace");
        command.args(["-f", "-e", &format!("trace={call}"), "-e", &format!("inject={call}:{fault}")]);
        command.arg("-o").arg(stack.folder().join("injected")).arg("-p").arg(stack.pid().to_string());
        command.args(files.iter().flat_map(|file| [Path::new("-P"), file]));
        let child = command.stderr(File::create(&told).unwrap()).spawn().unwrap();
        let strace = Self(child);
        eventually("strace that is attached", async || {
            let told = fs::read_to_string(&told).unwrap();
            if told.contains(" attached") { Ok(()) } else { Err(told) }
        })
        .await;
        strace
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        // So that it lets go of the program.
        let _ = kill(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGTERM);
        let _ = self.0.wait();
    }
}

/// Hands in uploads one after the other, with a fault in the midst: those that were accepted before it. The program must end, and
/// accept none after the first that was not.
async fn ends_at(stack: &Stack, call: &str, file: &str, fault: &str, bytes: usize) -> Vec<String> {
    let mut accepted = vec![stack.put(noise(1, bytes)).await];
    let _strace = Strace::inject(stack, call, &[stack.data(file)], fault).await;

    let mut is_refused = false;
    let status = eventually("the end of the program", async || {
        match ask(stack.put_request("file", noise(2, bytes))).await {
            Ok(answer) if answer.status == 202 => {
                assert!(!is_refused, "{call} of {file}: accepted after one that was refused");
                accepted.push(answer.json()["id"].as_str().unwrap().to_owned());
            }
            // Refused, or gone.
            _ => is_refused = true,
        }
        stack.exit_status().ok_or(accepted.len())
    })
    .await;

    assert!(!status.success(), "{call} of {file}: {status}");
    accepted
}

#[tokio::test]
async fn a_database_that_can_not_be_written_ends_the_program_and_accepts_nothing_more() {
    if !can_trace() {
        println!("SKIPPED: strace can't trace here, so no write was made to fail");
        return;
    }
    for (call, file, fault, bytes) in [
        ("fsync", "coatcheck.db-wal", "error=EIO:when=1", 10),
        ("fsync", "coatcheck.db-wal", "error=EIO:when=4", 10),
        ("pwrite64", "coatcheck.db-wal", "error=EIO:when=1", 10),
        ("pwrite64", "coatcheck.db-wal", "error=EIO:when=30", 10),
        // With so much in the rows the WAL is soon copied to the database.
        ("pwrite64", "coatcheck.db", "error=EIO:when=1", 1 << 20),
        ("fsync", "coatcheck.db", "error=EIO:when=1", 1 << 20),
    ] {
        let stack = Stack::embedded(&[&QUIET[..], &[("INLINE_BYTES", "1MiB")]].concat());
        start(&stack).await;

        let accepted = ends_at(&stack, call, file, fault, bytes).await;

        stack.start().await;
        for id in accepted {
            stack.until(&id, "succeeded").await;
        }
        stack.each_task_has_one_line(&[]).await;
        stack.verifies().await;
    }
}

#[tokio::test]
async fn a_full_disk_of_the_database_refuses_one_upload_and_takes_the_next() {
    if !can_trace() {
        println!("SKIPPED: strace can't trace here, so no write was made to fail");
        return;
    }
    let stack = Stack::embedded(&QUIET);
    start(&stack).await;
    let strace =
        Strace::inject(&stack, "pwrite64", &[stack.data("coatcheck.db-wal")], "error=ENOSPC:when=1").await;

    let refused = ask(stack.put_request("file", "abc")).await.unwrap();
    let id = stack.put("abc").await;

    assert_eq!(refused.status, 503, "{}", refused.text());
    stack.until(&id, "succeeded").await;
    drop(strace);
    stack.verifies().await;
}

#[tokio::test]
async fn a_log_that_can_not_be_flushed_ends_the_program_and_the_next_reads_it_from_the_device() {
    if !can_trace() {
        println!("SKIPPED: strace can't trace here, so no flush was made to fail");
        return;
    }
    let stack = Stack::embedded(&QUIET);
    start(&stack).await;
    let log = stack.data("outcomes.log");

    let id = {
        let _strace =
            Strace::inject(&stack, "fdatasync", std::slice::from_ref(&log), "error=EIO:when=1").await;
        let id = stack.put("abc").await;
        assert!(!stack.exit().await.success());
        id
    };
    assert!(fs::read_to_string(&log).unwrap().contains(&id), "its line was not written");
    let (mut program, trace) = start_traced(&stack, &[]);
    stack.answers_at(program.address(stack.folder()).await);

    stack.until(&id, "succeeded").await;
    stack.each_task_has_one_line(&[]).await;
    let calls = fs::read_to_string(trace).unwrap();
    let of_log = |line: &&str| line.contains("/outcomes.log>");
    let calls: Vec<&str> = calls.lines().filter(of_log).collect();
    let [flushed, dropped, read] = ["fdatasync(", "fadvise64(", "pread64("]
        .map(|call| calls.iter().position(|line| line.contains(call)).unwrap_or(usize::MAX));
    assert!(flushed < dropped && dropped < read && read < usize::MAX, "{calls:#?}");
    assert!(calls[dropped].contains("POSIX_FADV_DONTNEED"), "{calls:#?}");
}

#[tokio::test]
async fn the_database_is_read_from_the_device_or_the_program_does_not_start() {
    if !can_trace() {
        println!("SKIPPED: strace can't trace here, so no flush was made to fail");
        return;
    }
    let stack = Stack::embedded(&QUIET);
    start(&stack).await;
    let id = stack.put("abc").await;
    stack.kill();

    for file in ["coatcheck.db", "coatcheck.db-wal"] {
        let path = stack.data(file);
        let filter = ["-P", path.to_str().unwrap(), "-e", "inject=fdatasync:error=EIO:when=1"];
        let (mut program, _) = start_traced(&stack, &filter);
        let status = eventually("the end", async || program.exit_status().ok_or("it runs")).await;
        assert_eq!(status.code(), Some(2), "{file}");
    }
    let (mut program, trace) = start_traced(&stack, &[]);
    stack.answers_at(program.address(stack.folder()).await);

    stack.until(&id, "succeeded").await;
    let calls = fs::read_to_string(trace).unwrap();
    for file in ["/coatcheck.db>", "/coatcheck.db-wal>"] {
        let calls: Vec<&str> = calls.lines().filter(|line| line.contains(file)).collect();
        let [flushed, dropped, read] = ["fdatasync(", "fadvise64(", "pread64("]
            .map(|call| calls.iter().position(|line| line.contains(call)).unwrap_or(usize::MAX));
        assert!(flushed < dropped && dropped < read && read < usize::MAX, "{calls:#?}");
    }
}

#[tokio::test]
async fn an_upload_that_can_not_be_flushed_is_refused_alone() {
    if !can_trace() {
        println!("SKIPPED: strace can't trace here, so no flush was made to fail");
        return;
    }
    let stack = Stack::embedded(&QUIET);
    start(&stack).await;
    let shards: Vec<PathBuf> = (0..=255).map(|shard| stack.data(&format!("blobs/{shard:02x}"))).collect();
    // Beside the writing, and of the folder. strace counts for each thread: it has to let go before the next upload.
    for (call, files, bytes) in [("fdatasync", &[][..], 40 << 20), ("fsync", &shards, 100_000)] {
        let strace = Strace::inject(&stack, call, files, "error=EIO:when=1").await;
        let refused = ask(stack.put_request("file", noise(1, bytes))).await.unwrap();
        drop(strace);

        let id = stack.put(noise(1, bytes)).await;

        assert!(refused.status >= 500, "{call}: {}", refused.status);
        stack.until(&id, "succeeded").await;
    }
    stack.until_no_blobs().await;
    stack.each_task_has_one_line(&[]).await;
    stack.verifies().await;
}

/// The stack's program from its beginning, and where its calls are told.
fn start_traced(stack: &Stack, more: &[&str]) -> (Program, PathBuf) {
    let (trace, plain) = (stack.folder().join("calls"), stack.command(&[]));
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "-qq", "-y", "-e", "trace=fdatasync,fadvise64,pread64"]).args(more);
    command.arg("-o").arg(&trace).arg(plain.get_program()).args(plain.get_args());
    command.current_dir(stack.folder()).env_clear();
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("LISTEN", format!("{}:0", own_host()));
    (Program::start(command, stack.folder()), trace)
}
