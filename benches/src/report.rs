//! The page of results: a section for each part, with its machine and its command.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use chrono::Utc;

use crate::error::{BenchError, io};

const BEGINNING: &str = "\
# Results

Written by `make bench`, one section for each part. Measuring a part again replaces its section alone, so sections differ in date and
machine. A figure is the median of the repetitions, with the lowest and the highest in brackets. A ratio, such as **times better**, is
the median of ratios of two measurements that were taken one after the other, so it may differ from the ratio of the medians.
";

/// The page of results, open for writing sections.
#[derive(Debug)]
pub struct Report {
    path: PathBuf,
    /// The command that was typed.
    command: String,
    /// The machine, before the measurement loaded it.
    machine: String,
    begun: Option<Cpu>,
}

/// The use of the CPU since the machine's start, in the kernel's ticks; `/proc/stat` in proc(5).
#[derive(Debug, Clone, Copy, PartialEq)]
struct Cpu {
    wanted: u64,
    /// The ticks that other machines on the same processor got instead.
    stolen: u64,
}

impl Report {
    pub fn new(path: PathBuf, arguments: &[String]) -> Self {
        let command = format!("make bench what='{}'", told(arguments).join(" "));
        Self { path, command, machine: machine(), begun: Cpu::read() }
    }

    /// Writes a section in place of the one with that heading, or at the end.
    ///
    /// # Errors
    /// If the file can't be read or written.
    pub fn write(&self, heading: &str, body: &str) -> Result<(), BenchError> {
        let Self { path, command, machine, begun } = self;
        let page = match fs::read_to_string(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(BEGINNING.to_owned()),
            read => read.map_err(io(path.to_string_lossy())),
        }?;
        let date = Utc::now().format("%Y-%m-%d %H:%M UTC");
        let stolen = begun.zip(Cpu::read()).map_or_else(String::new, |(begun, now)| now.stolen_since(begun));
        let section =
            format!("{heading}\n\n{date}, {machine}{stolen}:\n`{command}`\n\n{}\n", body.trim_end());
        eprintln!("\n## {section}");
        fs::write(path, with_section(&page, heading, &section)).map_err(io(path.to_string_lossy()))
    }
}

impl Cpu {
    fn read() -> Option<Self> {
        Self::of(&fs::read_to_string("/proc/stat").ok()?)
    }

    fn of(stat: &str) -> Option<Self> {
        let ticks = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().map(str::parse);
        let [user, nice, system, _idle, _iowait, irq, softirq, stolen] =
            *ticks.take(8).collect::<Result<Vec<u64>, _>>().ok()?
        else {
            return None;
        };
        Some(Self { wanted: user + nice + system + irq + softirq + stolen, stolen })
    }

    fn stolen_since(self, begun: Self) -> String {
        let share = self.stolen.saturating_sub(begun.stolen) as f64
            / self.wanted.saturating_sub(begun.wanted).max(1) as f64;
        format!(", {:.0} % of its time taken by other machines", share * 100.0)
    }
}

/// Removes the arguments that are private to one machine: the peer's address.
fn told(arguments: &[String]) -> Vec<&str> {
    let is_of_peer = |argument: &str| argument.starts_with("--peer-");
    let before = std::iter::once("").chain(arguments.iter().map(String::as_str));
    let told = arguments.iter().zip(before).map(|(argument, before)| match argument.split_once('=') {
        _ if is_of_peer(before) && !before.contains('=') => "…",
        Some((name, _)) if is_of_peer(name) => name,
        _ => argument,
    });
    told.collect()
}

/// Returns the page with a section replaced or added. A section extends from its heading to the next one.
fn with_section(page: &str, heading: &str, section: &str) -> String {
    let mut parts: Vec<&str> = page.split("\n## ").collect();
    match parts.iter().skip(1).position(|part| part.lines().next() == Some(heading)) {
        Some(place) => parts[place + 1] = section,
        None => parts.push(section),
    }
    parts.join("\n## ")
}

/// Describes the machine: processor, cores, memory, kernel, and its load.
fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.split_once(':'));
        value.map_or_else(|| "?".to_owned(), |(_, value)| value.trim().to_owned())
    };
    let processor = field(&read("/proc/cpuinfo"), "model name");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = field(&read("/proc/meminfo"), "MemTotal");
    let memory: f64 = memory.trim_end_matches(" kB").parse().unwrap_or_default();
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or_default();
    format!(
        "{processor}, {cores} cores, {:.0} GiB, Linux {}, load {load} at the start",
        memory / (1 << 20) as f64,
        kernel.trim()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_not_told_where_it_ran() {
        let arguments = "promises --peer-url http://here/ --peer-pids=api=1,worker=2 --repeat 3".split(' ');
        let arguments: Vec<String> = arguments.map(str::to_owned).collect();

        assert_eq!(told(&arguments).join(" "), "promises --peer-url … --peer-pids --repeat 3");
    }

    #[test]
    fn what_others_took_is_told() {
        let of = |line: &str| Cpu::of(line).unwrap();
        let (begun, now) =
            (of("cpu  10 0 10 500 0 0 0 5 0 0\ncpu0 1"), of("cpu  40 0 40 900 9 0 0 25 0 0\ncpu0 1"));

        assert_eq!(now.stolen_since(begun), ", 25 % of its time taken by other machines");
    }

    #[test]
    fn a_section_replaces_itself_and_no_other() {
        let page = with_section("# Results\n\ntext\n", "a", "a\n\n1\n");
        let page = with_section(&page, "a b", "a b\n\n2\n");
        let page = with_section(&page, "a", "a\n\n3\n");

        assert_eq!(page, "# Results\n\ntext\n\n## a\n\n3\n\n## a b\n\n2\n");
    }
}
