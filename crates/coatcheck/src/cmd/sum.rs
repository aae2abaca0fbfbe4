//! `coatcheck sum`: hashes files as `md5sum` does, on all cores and with many files side by side on each. It needs no server.

mod check;
mod console;
mod engine;
mod jobs;
mod manifest;
mod options;
mod output;
mod quote;
mod walk;

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory;
use indicatif::ProgressBar;

use self::console::{Called, Console};
use self::engine::{Done, hash};
use self::jobs::{Jobs, Listed};
use self::manifest::Lines;
use self::options::{Stop, contradiction, in_full};
use self::output::{Output, progress_bar};
use self::walk::Walked;
use crate::md5sum::Form;

/// Hash files here, as md5sum does, on all cores
///
/// No server is asked. Flags, lines and messages are those of GNU md5sum 9.1, in the order of the arguments; flags may be shortened
/// and stand anywhere before `--`. A progress bar is shown on a terminal. Called by the name `md5sum`, the program is that command.
#[derive(Debug, clap::Args)]
#[command(
    args_override_self = true,
    after_help = "\
Exit status: 0 all is well; 1 some file couldn't be read or isn't what the manifest says, or the reader of standard \
output has gone (`| head -1`), without a message; 2 bad usage; 130 and 143 a signal (Ctrl-C, kill) ended it. \
Under the name md5sum all are its own.

Examples:
  coatcheck sum *.iso > MD5SUMS
  coatcheck sum -c --ignore-missing --quiet MD5SUMS
  coatcheck sum -r photos > photos.md5
  tar c photos | coatcheck sum
  ln -s \"$(command -v coatcheck)\" ~/bin/md5sum"
)]
pub struct SumArgs {
    /// Files to hash. With no FILE, or when FILE is -, read standard input
    // Not `PathBuf`: clap refuses an empty one as bad usage, and the other files would not be done.
    #[arg(value_name = "FILE")]
    files: Vec<OsString>,
    /// Mark each name with *, as of a file read as binary
    #[arg(short, long, overrides_with = "text")]
    binary: bool,
    /// Read lists of digests from the files, and compare
    #[arg(short, long)]
    check: bool,
    /// Print lines in BSD's form, `MD5 (FILE) = DIGEST`
    #[arg(long)]
    tag: bool,
    /// Mark each name with a space, the default
    #[arg(short, long)]
    text: bool,
    /// End lines with NUL instead of a line break, and do not escape names
    #[arg(short, long)]
    zero: bool,
    /// Hash all files in folders and those below, in any order; links are not followed
    #[arg(short, long)]
    recursive: bool,
    /// With --check: pass over files that do not exist
    #[arg(long)]
    ignore_missing: bool,
    /// With --check: print no OK
    #[arg(long, overrides_with_all = ["status", "warn"])]
    quiet: bool,
    /// With --check: print nothing; the exit status tells
    #[arg(long, overrides_with = "warn")]
    status: bool,
    /// With --check: exit with 1 if a line is in no known form
    #[arg(long)]
    strict: bool,
    /// With --check: name each line that is in no known form
    #[arg(short, long)]
    warn: bool,
}

/// The arguments alone, without the other commands, whose settings are of no interest here.
#[derive(Debug, clap::Parser)]
#[command(name = "coatcheck sum")]
struct Alone {
    #[command(flatten)]
    args: SumArgs,
}

/// Runs the command if this process was called as `coatcheck sum` or `md5sum`; otherwise returns the command line, for the parser of all
/// commands. That also prints the help of `coatcheck sum`.
///
/// # Errors
/// The exit status, once the command has run.
pub fn run_if_called() -> Result<Vec<OsString>, ExitCode> {
    let called = Called::now();
    let mut given = env::args_os();
    let mut line: Vec<OsString> = given.by_ref().take(1).collect();
    if called == Called::Coatcheck {
        line.extend(given.by_ref().take(1));
        if line.get(1).is_none_or(|command| command != "sum") {
            return Ok(line.into_iter().chain(given).collect());
        }
    }
    let stops_at_operand = env::var_os("POSIXLY_CORRECT").is_some();
    match in_full(called, given, stops_at_operand) {
        Ok(arguments) => {
            let line = [OsString::from("sum")].into_iter().chain(arguments).collect();
            Err(program::parse_from(Alone::command(), line)
                .map_or_else(|status| status, |Alone { args }| run(args)))
        }
        Err(Stop::Help(flag)) if called == Called::Coatcheck => {
            line.push(flag.into());
            Ok(line)
        }
        Err(Stop::Version) if called == Called::Coatcheck => {
            line.pop();
            line.push("--version".into());
            Ok(line)
        }
        Err(stop) => Err(Console::new(called, true).answer(&stop)),
    }
}

/// Runs the command; returns its exit status.
pub fn run(mut args: SumArgs) -> ExitCode {
    let mut console = Console::new(Called::now(), !args.zero);
    if let Some(why) = contradiction(&args) {
        return console.refuse(why.as_bytes());
    }
    if args.files.is_empty() {
        args.files.push("-".into());
    }
    let is_all_well = if args.check {
        // Checks all manifests, also after one that has failed.
        let mut lines = Lines::default();
        args.files.iter().filter(|manifest| !check::check(manifest, &args, &mut lines, &mut console)).count()
            == 0
    } else {
        let form = Form { is_tagged: args.tag, is_binary: args.binary, ends_with_nul: args.zero };
        let files = std::mem::take(&mut args.files);
        if args.recursive {
            let bar = progress_bar(console.called, || None);
            print_all(&Walked::new(files), false, bar, form, &mut console)
        } else {
            console.has_read_input = files.iter().any(|file| file == "-");
            let bar = progress_bar(console.called, || Some(total_size(&files)));
            print_all(&Listed::new(files), true, bar, form, &mut console)
        }
    };
    console.end(is_all_well)
}

/// Prints the lines of all files; returns whether all could be read.
fn print_all(
    jobs: &impl Jobs,
    is_ordered: bool,
    bar: ProgressBar,
    form: Form,
    console: &mut Console,
) -> bool {
    let mut is_all_well = true;
    let output =
        Output::new(console, is_ordered, bar, |done: &Done, console: &mut Console| match &done.digest {
            Ok(digest) => console.print(&form.line(digest, &done.job.name)),
            Err(error) => {
                is_all_well = false;
                console.complain(&done.job.name, error);
            }
        });
    hash(jobs, &output);
    output.finish();
    is_all_well
}

/// Returns the bytes of all regular files among these.
fn total_size(files: &[OsString]) -> u64 {
    let sizes = files.iter().filter_map(|file| Path::new(file).metadata().ok());
    sizes.filter(std::fs::Metadata::is_file).map(|file| file.len()).sum()
}
