//! The order in which data reaches the disk, by the calls to the kernel: a kill can't show it, only a power cut could.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use test_kit::eventually;

use crate::kit::content::noise;
use crate::kit::program::Program;
use crate::kit::stack::{Stack, own_host};

/// Calls that make data durable. strace gives each descriptor its path.
const CALLS: &str = "trace=openat,fsync,fdatasync,renameat2,write,writev,sendto";

#[tokio::test]
async fn bytes_before_their_row_the_row_before_its_ticket_and_the_line_before_its_mark() {
    if !can_trace() {
        println!("SKIPPED: strace can't trace here, so nothing was seen of the order on the disk");
        return;
    }
    // Nothing is written but for the one upload.
    let stack = Stack::embedded(&[("SWEEP_SECONDS", "3600"), ("LEASE_SECONDS", "36000")]);
    let (mut program, trace) = start_traced(&stack);
    let address = program.address(stack.folder()).await;
    // Data written at the start may come after that.
    eventually("the worker's lease and the log's head", async || {
        let rows = stack.sql("SELECT (SELECT count(*) FROM workers), (SELECT count(*) FROM followers)");
        if rows == "1|1" { Ok(()) } else { Err(rows) }
    })
    .await;

    let url = format!("http://{address}/api/v1/md5/a-blob");
    let answer = stack.http.put(url).body(noise(1, 100 << 10)).send().await.unwrap();

    assert_eq!(answer.status(), 202);
    let location = answer.headers()["location"].to_str().unwrap().to_owned();
    let id = location.rsplit('/').next().unwrap();
    eventually("the mark of the line", async || {
        let trace = Trace::read(&trace);
        trace.logged(id).is_some().then_some(()).ok_or(trace.0.len())
    })
    .await;
    let trace = Trace::read(&trace);
    let part = format!("/tmp/{id}.upload");
    let shard = format!("/blobs/{}>", &id[id.len() - 2..]);
    // It has its name only once it is locked.
    let taken_in = trace.first(0, &["openat(", &format!("/tmp/{id}.")]).began;
    let synced = trace.first(taken_in, &["fsync(", &part]);
    let renamed = trace.first(taken_in, &["renameat2(", &part]);
    let seen = trace.first(renamed.ended, &["fsync(", &shard]);
    let committed = trace.first(taken_in, &["sync(", "coatcheck.db-wal>"]);
    let told = trace.first(taken_in, &["HTTP/1.1 202"]);
    let steps = [synced, renamed, seen, committed, told];
    assert!(steps.windows(2).all(|pair| pair[0].ended < pair[1].began), "{steps:?}");
}

/// Whether strace is there and may trace.
pub fn can_trace() -> bool {
    let traced = Command::new("strace").args(["-D", "-qq", "-o", "/dev/null", "true"]).output();
    traced.is_ok_and(|traced| traced.status.success())
}

/// The stack's program, and where its calls are told. strace is its grandchild, so the program can be killed as any other.
fn start_traced(stack: &Stack) -> (Program, PathBuf) {
    let (trace, plain) = (stack.folder().join("trace"), stack.command(&[]));
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "-qq", "-y", "-s", "200", "-e", CALLS, "-o"]).arg(&trace);
    command.arg(plain.get_program()).args(plain.get_args()).current_dir(stack.folder()).env_clear();
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("LISTEN", format!("{}:0", own_host()));
    (Program::start(command, stack.folder()), trace)
}

/// The output of strace so far: a line a call, or two if other calls came between its beginning and its end.
struct Trace(Vec<String>);

/// The lines at which a call began and ended.
#[derive(Debug, Clone, Copy)]
struct Seen {
    began: usize,
    ended: usize,
}

impl Trace {
    fn read(path: &Path) -> Self {
        Self(fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect())
    }

    /// The first call, from that line on, in which these stand.
    fn first(&self, from: usize, all: &[&str]) -> Seen {
        self.find(from, all).unwrap_or_else(|| panic!("no {all:?} after line {from}:\n{}", self.0.join("\n")))
    }

    fn find(&self, from: usize, all: &[&str]) -> Option<Seen> {
        let lines = || self.0.iter().enumerate().skip(from);
        let (began, line) = lines().find(|(_, line)| all.iter().all(|text| line.contains(text)))?;
        if !line.contains("<unfinished") {
            return Some(Seen { began, ended: began });
        }
        let thread = line.split(' ').next();
        let is_end = |line: &String| line.split(' ').next() == thread && line.contains(" resumed>");
        let (ended, _) = lines().find(|(at, line)| *at > began && is_end(line))?;
        Some(Seen { began, ended })
    }

    /// The commit that marks the line as written: after the line was flushed, which was after it was written.
    fn logged(&self, id: &str) -> Option<Seen> {
        let written = self.find(0, &["write(", "/outcomes.log>", id])?;
        let flushed = self.find(written.ended + 1, &["fdatasync(", "/outcomes.log>"])?;
        self.find(flushed.ended + 1, &["sync(", "coatcheck.db-wal>"])
    }
}
