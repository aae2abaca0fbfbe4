//! What the process takes of its machine, under the names that Prometheus's clients give it. The library's own collector would bring a second
//! `rustix` and four more crates.
//!
//! <https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics>

use std::fs;
use std::sync::LazyLock;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use nix::sys::time::{TimeVal, TimeValLike};

use super::{Counter, Gauge, gauge, sum};

static CPU: LazyLock<Counter> =
    LazyLock::new(|| sum("process_cpu_seconds_total", "CPU time of the process, user's and system's"));
static MEMORY: LazyLock<Gauge> =
    LazyLock::new(|| gauge("process_resident_memory_bytes", "Memory of the process that is in RAM"));
static OPEN: LazyLock<Gauge> =
    LazyLock::new(|| gauge("process_open_fds", "Open file descriptors of the process"));
static MOST_OPEN: LazyLock<Gauge> =
    LazyLock::new(|| gauge("process_max_fds", "The most file descriptors that the process may open"));
static STARTED: LazyLock<Gauge> =
    LazyLock::new(|| gauge("process_start_time_seconds", "When the process started, since 1970"));

/// Clock ticks a second in `/proc/…/stat`, on every architecture that Linux tells times to programs on (`proc(5)`, `sysconf(3)`).
const TICKS: f64 = 100.0;

/// Reads the values. What the system doesn't tell keeps its last one.
pub(super) fn look() {
    if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
        let seconds = |time: TimeVal| time.num_microseconds() as f64 / 1e6;
        let spent = seconds(usage.user_time()) + seconds(usage.system_time());
        CPU.inc_by((spent - CPU.get()).max(0.0));
    }
    if let Some(kibibytes) = number_after("/proc/self/status", "VmRSS:") {
        MEMORY.set(kibibytes * 1024.0);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        OPEN.set(open.count() as f64);
    }
    if let Ok((most, _)) = getrlimit(Resource::RLIMIT_NOFILE) {
        MOST_OPEN.set(most as f64);
    }
    if let Some((booted, after)) = number_after("/proc/stat", "btime").zip(started_after_boot()) {
        STARTED.set(booted + after);
    }
}

/// Returns the first number in the line of the file that begins so.
fn number_after(path: &str, begin: &str) -> Option<f64> {
    let text = fs::read_to_string(path).ok()?;
    let rest = text.lines().find_map(|line| line.strip_prefix(begin))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// Returns the seconds from the machine's start to the process's.
fn started_after_boot() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name, in brackets, may contain anything; the start is the 20th field after it (`proc(5)`).
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks: f64 = fields.split_whitespace().nth(19)?.parse().ok()?;
    Some(ticks / TICKS)
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;

    #[test]
    fn the_process_is_looked_at() {
        look();
        look();

        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        assert!(CPU.get() >= 0.0);
        assert!(MEMORY.get() > 1e5, "{}", MEMORY.get());
        assert!(OPEN.get() >= 3.0 && MOST_OPEN.get() >= OPEN.get(), "{} of {}", OPEN.get(), MOST_OPEN.get());
        assert!((now - 86_400.0..=now + 2.0).contains(&STARTED.get()), "{} at {now}", STARTED.get());
    }
}
