//! A program under measurement: started, looked at in `/proc`, ended with all that it has started.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, SysconfVar, sysconf};
use std::os::unix::process::CommandExt;
use tokio::task::JoinHandle;

use crate::error::{BenchError, io};

/// After this, what was to come is taken never to come.
const DEADLINE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(10);
/// How often memory is looked at.
const SAMPLE: Duration = Duration::from_millis(50);

/// A program in a group of its own. Killed with its children when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Process {
    /// Starts it, its output in files of `folder`.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start(mut command: Command, folder: &Path) -> Result<Self, BenchError> {
        let (stdout, stderr) = (folder.join("stdout"), folder.join("stderr"));
        let file = |path: &Path| File::create(path).map_err(io(path.to_string_lossy()));
        command.stdin(Stdio::null()).stdout(file(&stdout)?).stderr(file(&stderr)?).process_group(0);
        let child = command.spawn().map_err(io(command.get_program().to_string_lossy()))?;
        Ok(Self { child, stdout, stderr })
    }

    /// Looks again and again until `look` finds what shows that it serves.
    ///
    /// # Errors
    /// When it ends instead, or takes too long.
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
                let told = told.lines().last().unwrap_or("it says nothing").to_owned();
                return Err(BenchError::Unexpected(format!("a program does not serve: {told}")));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Where it writes what it prints.
    pub fn stdout(&self) -> &Path {
        &self.stdout
    }

    /// The processor's time that it and all its children have used.
    pub fn cpu(&self) -> Duration {
        let group = self.child.id();
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let stats = processes.filter_map(|process| fs::read_to_string(process.path().join("stat")).ok());
        let ticks: u64 = stats.filter_map(|stat| ticks_in_group(&stat, group)).sum();
        let a_second = sysconf(SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100);
        Duration::from_secs_f64(ticks as f64 / a_second as f64)
    }

    /// Bytes that it has had written to disk; without its children.
    pub fn written(&self) -> u64 {
        field(&format!("/proc/{}/io", self.child.id()), "write_bytes:")
    }

    /// Resident memory, in KiB; without its children.
    pub fn memory_kib(&self) -> u64 {
        memory_kib(self.child.id())
    }

    /// Begins to look at how much memory it has.
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

impl Drop for Process {
    fn drop(&mut self) {
        // The group may have lost its first process, not its number, until that one is waited for.
        let _ = killpg(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

/// Looks at a process's memory until it is asked.
#[derive(Debug)]
pub struct MemoryWatch {
    idle: u64,
    stop: tokio::sync::oneshot::Sender<()>,
    watching: JoinHandle<u64>,
}

impl MemoryWatch {
    /// How much it had at most beyond what it had when the watch began, in MiB.
    pub async fn most_above_idle_mib(self) -> f64 {
        drop(self.stop);
        let most = self.watching.await.unwrap_or_default();
        most.saturating_sub(self.idle) as f64 / 1024.0
    }
}

fn memory_kib(pid: u32) -> u64 {
    field(&format!("/proc/{pid}/status"), "VmRSS:")
}

/// A number in one of the system's files; 0 if it isn't there.
fn field(path: &str, name: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let field = text.lines().find_map(|line| line.strip_prefix(name));
    field.and_then(|field| field.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}

/// User's and system's ticks of a process, if it is of that group; proc_pid_stat(5).
fn ticks_in_group(stat: &str, group: u32) -> Option<u64> {
    // The name may have spaces and brackets in it; what follows the last bracket is plain.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |place: usize| fields.get(place)?.parse::<u64>().ok();
    // Counted from the third field on: process group 5, then utime 14, stime 15.
    (number(2)? == u64::from(group)).then_some(number(11)? + number(12)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_those_of_the_group_alone() {
        let stat = "42 (a) b) S 1 40 40 0 -1 4194560 1 2 3 4 700 50 9 9 20 0 1 0 100";
        assert_eq!(ticks_in_group(stat, 40), Some(750));
        assert_eq!(ticks_in_group(stat, 42), None);
        assert_eq!(ticks_in_group("", 40), None);
    }
}
