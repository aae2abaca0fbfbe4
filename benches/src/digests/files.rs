//! `coatcheck sum` beside `md5sum`: few large files, and many small ones, all in the page cache.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use super::DigestsArgs;
use crate::Bench;
use crate::error::{BenchError, io};
use crate::figures::Figures;
use crate::service::temporary_folder;

const LARGE: usize = 200;
const SMALL: usize = 20_000;

/// Wall clock and CPU time of a command, in seconds.
#[derive(Default, Clone)]
struct Times {
    wall: Figures,
    cpu: Figures,
}

/// Measures `coatcheck sum` and `md5sum`, and writes the section.
///
/// # Errors
/// If files can't be made, or a command fails.
pub fn run(bench: &Bench, args: &DigestsArgs) -> Result<(), BenchError> {
    let folder = temporary_folder()?;
    make_files(folder.path(), args.mib << 20)?;
    let sum = bench.program.to_string_lossy();
    let commands = [
        ("large", format!("{sum} sum large/*")),
        ("large", "md5sum large/*".to_owned()),
        ("small", format!("{sum} sum -r small")),
        ("small", "find small -type f | xargs -P2 -n 500 md5sum".to_owned()),
    ];
    let mut times = vec![Times::default(); commands.len()];
    for _ in 0..args.repeat {
        for ((files, command), times) in commands.iter().zip(&mut times) {
            read_once(folder.path(), files)?;
            let (wall, cpu) = time(folder.path(), command)?;
            times.wall.push(wall.as_secs_f64());
            times.cpu.push(cpu.as_secs_f64());
        }
    }

    let mut table = "| files | command | seconds | seconds of CPU |\n|---|---|---|---|\n".to_owned();
    let large = format!("{LARGE} of {} MiB", args.mib);
    let small = format!("{SMALL} of 0.1–10 KiB");
    for (files, ours, theirs) in [(large, 0, 1), (small, 2, 3)] {
        for number in [ours, theirs] {
            let (command, Times { wall, cpu }) =
                (commands[number].1.replace(&*sum, "coatcheck"), &times[number]);
            table += &format!(
                "| {files} | `{}` | {} | {} |\n",
                command.replace('|', "\\|"),
                wall.told(3),
                cpu.told(2)
            );
        }
        let (wall, cpu) = (times[theirs].wall.by(&times[ours].wall), times[theirs].cpu.by(&times[ours].cpu));
        table += &format!("| {files} | **times better** | {} | {} |\n", wall.told(1), cpu.told(1));
    }
    bench.report.write(
        "digests: coatcheck sum, beside md5sum",
        &format!("All in the page cache: read once more before each command.\n\n{table}"),
    )
}

/// Makes large files of that length, and small ones of 100 bytes to 10 KiB.
fn make_files(folder: &Path, length: usize) -> Result<(), BenchError> {
    let mut dice = fastrand::Rng::with_seed(1);
    let mut content = vec![0; length.max(10 << 10)];
    dice.fill(&mut content);
    for name in ["large", "small"] {
        fs::create_dir(folder.join(name)).map_err(io(name))?;
    }
    for number in 0..LARGE {
        content[..8].copy_from_slice(&number.to_le_bytes());
        fs::write(folder.join(format!("large/{number}")), &content[..length]).map_err(io("a large file"))?;
    }
    for number in 0..SMALL {
        let length = dice.usize(100..=10 << 10);
        fs::write(folder.join(format!("small/{number}")), &content[..length]).map_err(io("a small file"))?;
    }
    Ok(())
}

/// Reads all files of a folder in `within` into the page cache: a machine may drop pages that were not read for some seconds.
///
/// # Errors
/// If a file can't be read.
pub fn read_once(within: &Path, folder: &str) -> Result<(), BenchError> {
    time(within, &format!("find {folder} -type f | xargs cat | wc -c")).map(drop)
}

/// Returns wall clock and CPU time of a shell command.
///
/// # Errors
/// If the command fails.
pub fn time(folder: &Path, command: &str) -> Result<(Duration, Duration), BenchError> {
    // With /dev/null itself, some programs would write nothing at all.
    let output = File::create(folder.join("output")).map_err(io("a file"))?;
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).current_dir(folder).stdin(Stdio::null()).stdout(output);
    let (before, begun) = (cpu_of_children()?, Instant::now());
    let status = shell.status().map_err(io("sh"))?;
    let wall = begun.elapsed();
    let cpu = cpu_of_children()?.saturating_sub(before);
    status
        .success()
        .then_some((wall, cpu))
        .ok_or_else(|| BenchError::Unexpected(format!("the command failed: {command}")))
}

fn cpu_of_children() -> Result<Duration, BenchError> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(|error| io("getrusage")(error.into()))?;
    let micros = (usage.user_time() + usage.system_time()).num_microseconds();
    Ok(Duration::from_micros(u64::try_from(micros).unwrap_or_default()))
}
