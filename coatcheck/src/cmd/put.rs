//! `coatcheck put`: hand files in and print what `md5sum` would.

use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use futures::{StreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use program::acts_on_terminal;
use tokio::sync::Semaphore;

use crate::client::{Client, ClientError, ServerArgs};
use crate::terminal::complain;
use crate::{md5sum, terminal};

/// Files on their way to the server at once.
const UPLOADS: usize = 8;
/// Digests waited for at once: each wait holds a connection.
const WAITS: usize = 64;
/// Files begun before the first of them is printed. More than [`WAITS`], so that a long file doesn't stop short ones.
const WINDOW: usize = 1024;

/// Hash files on the server and print what md5sum would
///
/// Each file is handed in, several at once, and its digest is printed as soon as it and those before it are known.
/// Standard output holds only lines that `md5sum -c` reads, in the order of the arguments; all else goes to standard
/// error, with a progress bar on a terminal. What the server took it keeps: when the wait for a digest breaks off,
/// the message has the id that `coatcheck get` redeems.
///
/// A server that is busy, starting or out of reach is tried again for a minute.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 all files are done; 1 some couldn't be, each has a line on standard error; 2 bad usage.

Examples:
  coatcheck put disk.img
  coatcheck put *.iso > MD5SUMS && md5sum -c MD5SUMS
  find photos -type f -print0 | xargs -0 coatcheck put
  coatcheck put --url http://hasher:9000 -- -odd-name")]
pub struct PutArgs {
    /// The files to hand in; standard input is not read
    #[arg(value_name = "FILE", required = true)]
    // Not `PathBuf`: clap refuses an empty one as bad usage, and the other files would not be done.
    files: Vec<OsString>,

    #[command(flatten)]
    server: ServerArgs,
}

/// Why there is no digest.
#[derive(Debug, thiserror::Error)]
enum PutError {
    #[error("{0}")]
    NotAccepted(#[source] ClientError),
    /// The server has it; only the wait broke off.
    #[error("handed in as {id}, but {source}")]
    NotRedeemed { id: String, source: ClientError },
}

/// Runs the command; its exit status.
pub async fn run(args: PutArgs) -> ExitCode {
    let client = match args.server.client() {
        Ok(client) => client,
        Err(error) => {
            complain(&error.to_string());
            return ExitCode::from(2);
        }
    };
    let bar = progress_bar(&args.files);
    let (uploads, waits) = (Semaphore::new(UPLOADS), Semaphore::new(WAITS));
    let files =
        args.files.iter().map(async |file| (file, digest(&client, Path::new(file), &uploads, &waits).await));
    let mut digests = stream::iter(files).buffered(WINDOW);
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    let (mut done, mut are_all_done) = (0, true);

    loop {
        tokio::select! {
            next = digests.next() => {
                let Some((file, digest)) = next else { break };
                done += 1;
                match digest {
                    Ok(digest) => {
                        let line = md5sum::line(&digest, file);
                        // A reader that has gone (`| head -1`) wants no more of it, and no complaint.
                        if bar.suspend(|| terminal::print(&line)).is_err() {
                            are_all_done = false;
                            break;
                        }
                    }
                    Err(error) => {
                        are_all_done = false;
                        let name = shown(file);
                        bar.suspend(|| complain(&format!("{name}: {error}")));
                    }
                }
            }
            _ = tick.tick(), if !bar.is_hidden() => {
                bar.set_position(client.meter().sent());
                let trouble = client.meter().trouble().map(|trouble| format!(" · {trouble}"));
                bar.set_message(format!("{done} of {} files{}", args.files.len(), trouble.unwrap_or_default()));
            }
        }
    }
    bar.finish_and_clear();
    if are_all_done { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn digest(
    client: &Client,
    file: &Path,
    uploads: &Semaphore,
    waits: &Semaphore,
) -> Result<String, PutError> {
    // The semaphores are never closed, so a permit always comes; it is held until the end of the block.
    let id = {
        let _slot = uploads.acquire().await;
        client.put(file).await.map_err(PutError::NotAccepted)?
    };
    let _slot = waits.acquire().await;
    client.wait(id).await.map_err(|source| PutError::NotRedeemed { id: id.to_string(), source })
}

fn progress_bar(files: &[OsString]) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let sizes = files.iter().filter_map(|file| Path::new(file).metadata().ok());
    let total = sizes.filter(std::fs::Metadata::is_file).map(|file| file.len()).sum();
    let bar = ProgressBar::new(total);
    let template = "{wide_bar:.cyan/dim} {bytes}/{total_bytes} {bytes_per_sec} {eta} · {msg}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

/// A name in a message: one line, whatever is in it.
fn shown(file: &OsStr) -> String {
    let name = file.to_string_lossy();
    if name.is_empty() || name.contains(acts_on_terminal) { format!("{name:?}") } else { name.into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_a_message_stays_on_its_line() {
        assert_eq!(shown(OsStr::new("plain é")), "plain é");
        assert_eq!(shown(OsStr::new("a\nb")), r#""a\nb""#);
        assert_eq!(shown(OsStr::new("a\u{202e}b\u{9b}")), r#""a\u{202e}b\u{9b}""#);
        assert_eq!(shown(OsStr::new("")), r#""""#);
    }
}
