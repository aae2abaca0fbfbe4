//! Checks that every promise is kept: each ended task has its one line, each unfinished task has its bytes, and there are no orphans. Reads
//! rows, log and blobs as they are, beside a running service or without one, and changes nothing.
//!
//! A service that works on meanwhile must not look broken. So the log's place in the feed is read first, then the rows, then the log: the
//! line of each outcome up to that place is in a file. The row of each other line is looked up after the line was read, because a line is written only when its row has ended. Anything
//! that may still be in progress is checked once more.

mod bytes;
mod log;
mod rebuild;
mod report;
mod rows;

use std::path::Path;
use std::sync::Arc;

use shared_log::LogError;
use tokio::time::sleep;

use self::log::Reading;
pub use self::rebuild::{RebuildError, Rebuilt, rebuild};
pub use self::report::{Found, Report, VerifyError, VerifyProgress};
use self::rows::{TaskRows, sweep_timeout};
use crate::settings::{LogName, Settings};
use crate::stack::Remains;
use crate::store::LogHead;

/// Checks rows, log and blobs against each other.
///
/// # Errors
/// If one of them can't be read.
pub async fn verify(
    remains: &Remains,
    settings: &Settings,
    progress: Arc<VerifyProgress>,
) -> Result<Report, VerifyError> {
    let mut report = Report::default();
    let log = match settings.log_path() {
        Some(path) => Some((path, head_of(remains, settings, path).await?)),
        None => None,
    };

    let rows = TaskRows::read(remains, settings, &progress).await?;
    let suspects = (rows.stuck.clone(), bytes::orphans(remains, settings).await?);
    rows.tell_missing_uploads(remains, &mut report).await?;
    report.newer = rows.newer;

    report.ended = rows.ended.len() as u64;
    if let Some((path, head)) = log {
        let reading = Reading::read(remains.store.clone(), path, head, rows.ended, progress).await?;
        reading.tell(path, &mut report).await?;
    }

    let (stuck, orphans) = suspects;
    if !stuck.is_empty() || !orphans.is_empty() {
        sleep(sweep_timeout(settings)).await;
    }
    rows::tell_stuck(remains, settings, &stuck, &mut report).await?;
    bytes::tell_orphans(remains, settings, &orphans, &mut report).await?;
    Ok(report)
}

/// Returns how far the log is written.
async fn head_of(
    remains: &Remains,
    settings: &Settings,
    path: &Path,
) -> Result<Option<LogHead>, VerifyError> {
    let LogName { name, path, .. } = settings.log_name(path).map_err(LogError::Io)?;
    let log = match remains.store.log(name).await? {
        None => remains.store.log(path).await?,
        log => log,
    };
    Ok(log.map(|(log, _)| log.head))
}
