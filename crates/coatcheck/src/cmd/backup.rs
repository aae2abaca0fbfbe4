//! `coatcheck backup`: a copy of the embedded form that starts as it is.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use indicatif::ProgressBar;
use program::{complain, conclude, counted, in_one_line, raise_file_limit, refuse};
use task_data::backup::{BackupError, BackupProgress, Copied, backup};
use task_data::settings::Settings;

use crate::terminal::with_bar;

/// Copy the embedded form's data to a new folder, beside the running service or without it
///
/// DIR gets a folder `data` with the database, the uploads that are still needed, the outcome log with its rotated files, and the generated
/// signing key: `cd DIR && coatcheck` starts the copy. All that was answered before this command began is in it. The service takes and
/// does tasks meanwhile.
///
/// Where DIR is on the same file system, uploads are linked and take no space; copy DIR elsewhere to be safe from a lost disk. A copy
/// that is started beside the original does what was pending in both: messages and rows of tables are then sent twice, under the same
/// Idempotency-Key.
///
/// With PostgreSQL use `deployment/backup`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 the copy is whole and synced; 1 it could not be made, and nothing of it is left, or it is \
made and standard output could not be written; 2 wrong usage or settings.

Examples:
  coatcheck backup /backups/2026-11-28
  cd /backups/2026-11-28 && coatcheck verify")]
pub struct BackupArgs {
    /// The folder to make; one that exists must be empty
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    #[command(flatten)]
    promises: Settings,
}

/// Runs the command; returns its exit status.
pub async fn run(args: BackupArgs) -> ExitCode {
    // It holds every file open that the log was renamed to.
    raise_file_limit();
    let progress = Arc::new(BackupProgress::default());
    let more = [Path::new(api::KEPT_SECRET)];
    let show = |bar: &ProgressBar| {
        bar.set_position(progress.uploads());
        bar.tick();
    };
    let work = backup(&args.promises, &args.folder, &more, progress.clone());
    let bar = (ProgressBar::no_length(), "{spinner:.cyan} {elapsed} · {pos} uploads");
    let made = with_bar(bar, show, work).await;
    match made {
        Ok(Copied { database_bytes, uploads, log_files }) => {
            let folder = args.folder.display();
            conclude(&format!(
                "{folder}: {database_bytes} bytes of rows, {}, {} of the outcome log\n",
                counted(uploads, "upload"),
                counted(log_files as u64, "file")
            ))
        }
        Err(error @ (BackupError::Open(_) | BackupError::NotEmpty(_))) => refuse(&in_one_line(&error)),
        Err(error) => {
            complain(&in_one_line(&error));
            ExitCode::FAILURE
        }
    }
}
