//! A measured program: starts it, reads its figures in `/proc`, and ends it with all its children.

use std::collections::HashSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, SysconfVar, sysconf};
use std::os::unix::process::CommandExt;
use tokio::task::JoinHandle;

use crate::error::{BenchError, io};

/// The time after which an expected event is assumed never to happen.
const DEADLINE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(10);
/// The interval at which memory is read.
const SAMPLE: Duration = Duration::from_millis(50);

/// A program in a process group of its own. Dropping it kills the group.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Process {
    /// Starts a program, its output in files of `folder`.
    ///
    /// # Errors
    /// If it can't be started.
    pub fn start(mut command: Command, folder: &Path) -> Result<Self, BenchError> {
        let (stdout, stderr) = (folder.join("stdout"), folder.join("stderr"));
        let file = |path: &Path| File::create(path).map_err(io(path.to_string_lossy()));
        command.stdin(Stdio::null()).stdout(file(&stdout)?).stderr(file(&stderr)?).process_group(0);
        let child = command.spawn().map_err(io(command.get_program().to_string_lossy()))?;
        Ok(Self { child, stdout, stderr })
    }

    /// Calls `look` repeatedly until it finds that the program serves.
    ///
    /// # Errors
    /// If the program ends first, or takes too long.
    pub async fn until_it_serves<T>(
        &mut self,
        mut look: impl AsyncFnMut() -> Option<T>,
    ) -> Result<T, BenchError> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(found) = look().await {
                return Ok(found);
            }
            let has_ended = self.child.try_wait().map_err(io("a program"))?.is_some();
            if has_ended || Instant::now() > deadline {
                let told = fs::read_to_string(&self.stderr).unwrap_or_default();
                let told = told.lines().last().unwrap_or("without any output").to_owned();
                return Err(BenchError::Unexpected(format!("a program ended before it was ready: {told}")));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Returns the file of its standard output.
    pub fn stdout(&self) -> &Path {
        &self.stdout
    }

    /// Returns the CPU time of the program and all its children.
    pub fn cpu(&self) -> Duration {
        let group = self.child.id();
        cpu_of(stats().iter().filter(|stat| stat.group == group))
    }

    /// Returns the bytes that it has had written to disk, without its children.
    pub fn written(&self) -> u64 {
        field(&format!("/proc/{}/io", self.child.id()), "write_bytes:")
    }

    /// Returns its resident memory in KiB, without its children.
    pub fn memory_kib(&self) -> u64 {
        memory_kib(self.child.id())
    }

    /// Returns its proportional memory in KiB (shared pages count by their share), without its children.
    pub fn proportional_kib(&self) -> u64 {
        field(&format!("/proc/{}/smaps_rollup", self.child.id()), "Pss:")
    }

    /// Starts to watch its memory.
    pub fn watch_memory(&self) -> MemoryWatch {
        let (pid, idle) = (self.child.id(), self.memory_kib());
        let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
        let watching = tokio::spawn(async move {
            let mut most = idle;
            while tokio::time::timeout(SAMPLE, &mut stopped).await.is_err() {
                most = most.max(memory_kib(pid));
            }
            most
        });
        MemoryWatch { idle, stop, watching }
    }
}

/// Runs a command to its end. Returns what it prints.
///
/// # Errors
/// If it can't be started or fails, with its own message.
pub fn output_of(mut command: Command) -> Result<String, BenchError> {
    let done = command.output().map_err(io(command.get_program().to_string_lossy()))?;
    let told = || BenchError::Unexpected(String::from_utf8_lossy(&done.stderr).into_owned());
    done.status.success().then(|| String::from_utf8_lossy(&done.stdout).into_owned()).ok_or_else(told)
}

impl Drop for Process {
    fn drop(&mut self) {
        // The group may have lost its first process, but keeps its number until that process is waited for.
        let _ = killpg(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

/// Watches a process's memory until it is asked.
#[derive(Debug)]
pub struct MemoryWatch {
    idle: u64,
    stop: tokio::sync::oneshot::Sender<()>,
    watching: JoinHandle<u64>,
}

impl MemoryWatch {
    /// Returns the most memory above that at the watch's beginning, in MiB.
    pub async fn most_above_idle_mib(self) -> f64 {
        drop(self.stop);
        let most = self.watching.await.unwrap_or_default();
        most.saturating_sub(self.idle) as f64 / 1024.0
    }
}

fn memory_kib(pid: u32) -> u64 {
    field(&format!("/proc/{pid}/status"), "VmRSS:")
}

/// Returns a number in one of the system's files; 0 if it is missing.
fn field(path: &str, name: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let field = text.lines().find_map(|line| line.strip_prefix(name));
    field.and_then(|field| field.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}

/// Returns the CPU time of foreign processes and all their children.
pub fn cpu_of_trees(roots: &[u32]) -> Duration {
    let stats = stats();
    let mut tree: HashSet<u32> = roots.iter().copied().collect();
    while let Some(child) = stats.iter().find(|stat| tree.contains(&stat.parent) && !tree.contains(&stat.pid))
    {
        tree.insert(child.pid);
    }
    cpu_of(stats.iter().filter(|stat| tree.contains(&stat.pid)))
}

fn cpu_of<'a>(stats: impl Iterator<Item = &'a Stat>) -> Duration {
    let a_second = sysconf(SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100);
    Duration::from_secs_f64(stats.map(|stat| stat.ticks).sum::<u64>() as f64 / a_second as f64)
}

/// The system's figures of a process; proc_pid_stat(5).
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    pid: u32,
    parent: u32,
    group: u32,
    /// User and system time, with those of children that have ended.
    ticks: u64,
}

/// Returns the figures of all processes.
fn stats() -> Vec<Stat> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(|process| stat(&fs::read_to_string(process.path().join("stat")).ok()?)).collect()
}

fn stat(text: &str) -> Option<Stat> {
    // The name may contain spaces and brackets; the fields after the last bracket do not.
    let (name, plain) = text.rsplit_once(')')?;
    let fields: Vec<&str> = plain.split_whitespace().collect();
    let number = |place: usize| fields.get(place)?.parse::<u64>().ok();
    let id = |place: usize| number(place)?.try_into().ok();
    // Counted from the third field on: parent 4, process group 5; then utime 14, stime 15, cutime 16, cstime 17.
    let ticks = (11..15).map(number).sum::<Option<u64>>()?;
    Some(Stat { pid: name.split(' ').next()?.parse().ok()?, parent: id(1)?, group: id(2)?, ticks })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_is_read_whatever_the_name() {
        let text = "42 (a) b) S 1 40 40 0 -1 4194560 1 2 3 4 700 50 9 8 20 0 1 0 100";
        assert_eq!(stat(text), Some(Stat { pid: 42, parent: 1, group: 40, ticks: 767 }));
        assert_eq!(stat(""), None);
    }
}
