//! Compares each set of instructions, with data in cache, with OpenSSL, the crates `md-5` and `md5-simd`, and `md5sum`.

use std::fs;
use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, Instant};

use md5::Digest as _;
use md5_lanes::{Kernel, Lanes};
use md5_simd::Md5Engine;

use super::files;
use crate::Bench;
use crate::error::{BenchError, io};
use crate::figures::Figures;
use crate::service::temporary_folder;

/// The length of each stream in bytes.
const LENGTH: usize = 16 << 10;
/// The size of the file that `md5sum` reads, in bytes.
const FILE: usize = 256 << 20;
/// The numbers of streams for `md5-simd`, which hashes up to 16 side by side.
const BESIDE: [usize; 3] = [1, 16, 32];
/// How long each is measured.
const TIME: Duration = Duration::from_millis(500);

/// Measures all kernels, and writes the section.
///
/// # Errors
/// If OpenSSL or `md5sum` can't be run.
pub fn run(bench: &Bench, repeat: u64) -> Result<(), BenchError> {
    let streams = vec![vec![7_u8; LENGTH]; 64];
    let mut counts = Vec::new();
    for kernel in Kernel::available() {
        counts.extend([(kernel, 1), (kernel, kernel.lanes() / 2), (kernel, kernel.lanes())]);
    }
    let folder = temporary_folder()?;
    fs::write(folder.path().join("file"), vec![7; FILE]).map_err(io("a file"))?;
    let (mut openssl, mut md5sum, mut crates) = (Figures::default(), Figures::default(), Figures::default());
    let mut simd = [(); BESIDE.len()].map(|()| Figures::default());
    let mut figures = vec![Figures::default(); counts.len()];
    for _ in 0..repeat {
        openssl.push(of_openssl()?);
        crates.push(gigabytes_per_second(1, || {
            black_box(md5::Md5::digest(&streams[0]));
        }));
        let (wall, _) = files::time(folder.path(), "md5sum file")?;
        md5sum.push(FILE as f64 / wall.as_secs_f64() / 1e9);
        for (count, figures) in BESIDE.iter().zip(&mut simd) {
            let streams: Vec<&[u8]> = streams[..*count].iter().map(Vec::as_slice).collect();
            let mut digests = vec![[0; 16]; *count];
            figures.push(gigabytes_per_second(*count, || {
                Md5Engine::new().hash_many(&streams, black_box(&mut digests));
            }));
        }
        for ((kernel, count), figures) in counts.iter().zip(&mut figures) {
            let Some(lanes) = Lanes::with(*kernel) else { continue };
            let streams = &streams[..*count];
            figures.push(gigabytes_per_second(*count, || {
                black_box(lanes.digest_many(streams));
            }));
        }
    }

    let mut table = "| what | streams | GB/s | times OpenSSL |\n|---|---|---|---|\n".to_owned();
    let mut row = |what: &str, count: usize, figures: &Figures| {
        let times = figures.by(&openssl);
        table += &format!("| {what} | {count} | {} | {} |\n", figures.told(2), times.told(1));
    };
    row("OpenSSL", 1, &openssl);
    row("`md5sum`", 1, &md5sum);
    row("`md-5` crate", 1, &crates);
    for (count, figures) in BESIDE.iter().zip(&simd) {
        row("`md5-simd` crate", *count, figures);
    }
    for ((kernel, count), figures) in counts.iter().zip(&figures) {
        row(&format!("md5-lanes, {kernel:?}"), *count, figures);
    }
    let text = format!(
        "One core, {} KiB a stream, in cache. OpenSSL is `openssl speed -evp md5 -bytes {LENGTH} -seconds 1`; `md5sum` reads a file \
         of {} MiB in the page cache.\n\n{table}",
        LENGTH >> 10,
        FILE >> 20
    );
    bench.report.write("digests: kernels", &text)
}

fn gigabytes_per_second(streams: usize, mut hash: impl FnMut()) -> f64 {
    hash();
    let (begun, mut rounds) = (Instant::now(), 0);
    while begun.elapsed() < TIME {
        hash();
        rounds += 1;
    }
    (rounds * streams * LENGTH) as f64 / begun.elapsed().as_secs_f64() / 1e9
}

/// Returns OpenSSL's own figure, in GB/s: the last word of its last line, in thousands of bytes.
fn of_openssl() -> Result<f64, BenchError> {
    let mut command = Command::new("openssl");
    command.args(["speed", "-evp", "md5", "-bytes", &LENGTH.to_string(), "-seconds", "1"]);
    let told = command.output().map_err(io("openssl"))?.stdout;
    let told = String::from_utf8_lossy(&told);
    let figure = told.split_whitespace().last().and_then(|word| word.strip_suffix('k')?.parse::<f64>().ok());
    figure
        .map(|thousands| thousands / 1e6)
        .ok_or_else(|| BenchError::Unexpected(format!("expected a figure from openssl, got {told}")))
}
