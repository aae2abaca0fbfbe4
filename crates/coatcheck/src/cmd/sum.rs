//! `coatcheck sum`: hashes files as `md5sum` does, on all cores and with many files side by side on each. It needs no server.

mod check;
mod engine;
mod jobs;
mod manifest;
mod output;
mod walk;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use self::engine::{Done, hash};
use self::jobs::{Jobs, Listed};
use self::output::{Output, progress_bar};
use self::walk::Walked;
use crate::md5sum::line;

/// Hash files here, as md5sum does, on all cores
///
/// No server is asked. Lines are md5sum's, in the order of the arguments, and so are the messages about files that can't be
/// read. A progress bar is shown on a terminal.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 all is well; 1 some file couldn't be read or isn't what the manifest says, or the reader of standard \
output has gone (`| head -1`), without a message; 2 bad usage; 130 and 143 a signal (Ctrl-C, kill) ended it.

Examples:
  coatcheck sum *.iso > MD5SUMS
  coatcheck sum -c MD5SUMS
  coatcheck sum -r photos > photos.md5
  tar c photos | coatcheck sum")]
pub struct SumArgs {
    /// Files to hash. With no FILE, or when FILE is -, read standard input
    // Not `PathBuf`: clap refuses an empty one as bad usage, and the other files would not be done.
    #[arg(value_name = "FILE")]
    files: Vec<OsString>,
    /// Hash all files in folders and those below, in any order; links are not followed
    #[arg(short, long, conflicts_with = "check")]
    recursive: bool,
    /// Read lists of digests from the files, and compare
    #[arg(short, long)]
    check: bool,
}

/// Runs the command; returns its exit status.
pub fn run(args: SumArgs) -> ExitCode {
    let SumArgs { mut files, recursive, check } = args;
    if files.is_empty() {
        files.push("-".into());
    }
    let is_all_well = if check {
        // Checks all manifests, also after one that has failed.
        files.iter().filter(|manifest| !check::check(manifest)).count() == 0
    } else if recursive {
        print_all(&Walked::new(files), &Output::new(false, progress_bar(|| None), sum_line))
    } else {
        let bar = progress_bar(|| Some(total_size(&files)));
        print_all(&Listed::new(files), &Output::new(true, bar, sum_line))
    };
    if is_all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn print_all(jobs: &impl Jobs, output: &Output<impl Fn(&Done) -> Option<Vec<u8>> + Sync>) -> bool {
    hash(jobs, output);
    output.finish()
}

fn sum_line(done: &Done) -> Option<Vec<u8>> {
    let digest = done.digest.as_ref().ok()?;
    Some(line(digest, &done.job.name))
}

/// Returns the bytes of all regular files among these.
fn total_size(files: &[OsString]) -> u64 {
    let sizes = files.iter().filter_map(|file| Path::new(file).metadata().ok());
    sizes.filter(std::fs::Metadata::is_file).map(|file| file.len()).sum()
}
