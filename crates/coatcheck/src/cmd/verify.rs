//! `coatcheck verify`: checks that every promise was kept, and writes the outcome log anew where it was not.

use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use indicatif::ProgressBar;
use program::{conclude, counted, folder_of, in_one_line, raise_file_limit, refuse, unwritten, visible};
use task_data::settings::Settings;
use task_data::stack::{OpenError, open_remains};
use task_data::verify::{Found, RebuildError, Rebuilt, Report, VerifyError, VerifyProgress, rebuild, verify};

use crate::terminal::with_bar;

/// Check the outcome log and the uploads against the rows
///
/// Reads all there is, beside a running service or without one, and changes nothing. The log is the file of OUTCOME_LOG and those it
/// was renamed to within its folder, whose names begin with its own and go on with a dot or a hyphen.
///
/// Of each sort of finding it tells how many there are, and the first few: lost (a task whose line or upload is gone), doubled (more
/// than one line), malformed (a line that begins as ours do and belongs to no task), foreign (what others wrote), stuck (a task that
/// nothing moves on), orphans (uploads without a use, past ORPHAN_SECONDS).
///
/// With --rebuild it checks nothing, and writes the line of each task that has ended to a new file. To put that in the log's place:
/// stop the workers (or the one program), rebuild, move the log and its rotated files to another folder, move the new file to the log's
/// path, start the workers. Lines that were still to be written are in it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 nothing was found; 1 something was; 2 it could not be checked, and one line says why.

Examples:
  coatcheck verify
  coatcheck verify --rebuild data/rebuilt
  coatcheck verify --outcome-log /srv/logs/outcomes.log
  DATABASE_URL_FILE=secret coatcheck verify")]
pub struct VerifyArgs {
    /// Write the log anew to this file, which must not be there yet
    #[arg(long, value_name = "FILE")]
    rebuild: Option<PathBuf>,
    #[command(flatten)]
    promises: Settings,
}

/// A reason why nothing could be checked.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Verify(#[from] VerifyError),
    #[error(transparent)]
    Rebuild(#[from] RebuildError),
    #[error(
        "{0} would be taken for a part of the log itself: choose a name that does not begin as the log's does"
    )]
    Sibling(String),
    #[error("OUTCOME_LOG: {0}: the folder does not exist")]
    NoFolder(String),
}

/// Runs the command; returns its exit status.
pub async fn run(args: VerifyArgs) -> ExitCode {
    // It holds every file open that the log was renamed to.
    raise_file_limit();
    let outcome = match &args.rebuild {
        Some(file) => write_anew(&args.promises, file).await,
        None => check(&args.promises).await,
    };
    match outcome {
        Ok(status) => status,
        Err(trouble) => refuse(&in_one_line(&trouble)),
    }
}

async fn check(settings: &Settings) -> Result<ExitCode, Trouble> {
    // The database first: in a wrong folder both are missing, and the database's error says what to do.
    let remains = open_remains(settings).await?;
    if let Some(folder) = settings.log_path().map(folder_of).filter(|folder| !folder.is_dir()) {
        return Err(Trouble::NoFolder(folder.display().to_string()));
    }
    let progress = Arc::new(VerifyProgress::default());
    let report = with_log_bar(&progress, verify(&remains, settings, progress.clone())).await?;
    Ok(match program::print(told(&report).as_bytes()) {
        Ok(()) if report.is_clean() => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
        Err(error) => unwritten(&error),
    })
}

/// Returns the findings, a line for each sort and for each of its first few; then further facts.
fn told(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string can't fail.
    for (sort, Found { count, first }) in report.sorts() {
        let _ = writeln!(text, "{sort}: {count}");
        for words in first {
            let _ = writeln!(text, "  {}", visible(words));
        }
        if *count > first.len() as u64 {
            let _ = writeln!(text, "  …");
        }
    }
    if report.owed > 0 {
        let _ = writeln!(text, "{} owed, to be written by a worker", counted(report.owed, "line"));
    }
    if report.newer > 0 {
        let _ = writeln!(
            text,
            "{} ended of kinds that only a newer version knows, for it to check",
            counted(report.newer, "task")
        );
    }
    if report.pruned > 0 {
        let _ = writeln!(text, "{} of tasks that were deleted since", counted(report.pruned, "line"));
    }
    let Report { ended, lines, files, .. } = report;
    let [tasks, lines, files] =
        [counted(*ended, "task"), counted(*lines, "line"), counted(*files as u64, "file")];
    let _ = writeln!(text, "{tasks} ended; {lines} of tasks in {files}");
    text
}

async fn write_anew(settings: &Settings, file: &Path) -> Result<ExitCode, Trouble> {
    // Without a log of its own, the file is for a process that has one.
    let log = settings.log_path().unwrap_or_else(|| Path::new("data/outcomes.log"));
    if is_part_of(file, log) {
        return Err(Trouble::Sibling(file.display().to_string()));
    }
    let remains = open_remains(settings).await?;
    let progress = Arc::new(VerifyProgress::default());
    let Rebuilt { lines, is_worked_on, lacks_deleted } =
        with_log_bar(&progress, rebuild(&*remains.store, file, &progress)).await?;
    let (file, log) = (file.display(), log.display());
    let mut text = format!("wrote {} to {file}\n", counted(lines, "line"));
    if lacks_deleted {
        text.push_str("the lines of tasks that were deleted are not in it: keep the old files\n");
    }
    if is_worked_on {
        text.push_str(
            "a worker is running, and what ends from now on is not in it: stop all workers, remove the file, and run the command again\n",
        );
    }
    // Writing to a string can't fail.
    let _ = write!(
        text,
        "to put it in place, with no worker running since before it was written:\n  \
         move {log} and its rotated files ({log}.* and {log}-*) to another folder\n  mv {file} {log}\n"
    );
    Ok(conclude(&text))
}

/// Returns whether a file would be read as the log or as one that it was renamed to.
fn is_part_of(file: &Path, log: &Path) -> bool {
    let (Some(name), Some(log_name)) = (file.file_name(), log.file_name()) else { return false };
    let suffix = name.as_bytes().strip_prefix(log_name.as_bytes());
    let is_same_folder = match (folder_of(file).canonicalize(), folder_of(log).canonicalize()) {
        (Ok(folder), Ok(log_folder)) => folder == log_folder,
        _ => false,
    };
    is_same_folder && matches!(suffix, Some([] | [b'.' | b'-', ..]))
}

async fn with_log_bar<T>(progress: &VerifyProgress, work: impl Future<Output = T>) -> T {
    let show = |bar: &ProgressBar| {
        let (bytes, of_bytes) = progress.bytes();
        bar.set_length(of_bytes);
        bar.set_position(bytes);
        bar.set_message(progress.rows().to_string());
    };
    let template = "{wide_bar:.cyan/dim} {bytes}/{total_bytes} of the log · {msg} rows";
    with_bar((ProgressBar::new(0), template), show, work).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_the_log_could_be_renamed_to_is_a_part_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let log = at("outcomes.log");

        for name in ["outcomes.log", "outcomes.log.1", "outcomes.log-new"] {
            assert!(is_part_of(&at(name), &log), "{name}");
        }
        for name in ["rebuilt", "outcomes.logs", "outcomes"] {
            assert!(!is_part_of(&at(name), &log), "{name}");
        }
        assert!(!is_part_of(Path::new("/tmp/outcomes.log"), &log));
    }
}
