//! The settings that every part of the program shares: each an environment variable and a flag of the same name.

use std::io;
use std::path::{Path, absolute};
use std::time::Duration;

use clap::Args;
use program::{Keep, host_name, keep, without_passwords};
pub use program::{duration, positive_duration, size};

use crate::store::{KeepUploads, Rules, Subject};
use crate::task::{Status, Task, Time};

/// The servers to use, and the rules by which promises are kept.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Promises")]
pub struct Settings {
    /// The database: `sqlite:PATH` or `postgres://…`
    #[arg(
        long,
        env,
        value_name = "DATABASE_URL",
        default_value = "sqlite:data/coatcheck.db",
        hide_env_values = true
    )]
    pub database_url: String,
    /// The queue: `memory:` or `amqp://…`
    #[arg(long, env, value_name = "AMQP_URL", default_value = "memory:", hide_env_values = true)]
    pub amqp_url: String,
    /// Redis, which wakes waiting clients in other processes and shares rate limits: `redis://…`; unset: within this process only
    #[arg(long, env, value_name = "REDIS_URL", hide_env_values = true)]
    pub redis_url: Option<String>,
    /// The folder of uploads that are too large for a row: `file:PATH`
    #[arg(long, env, value_name = "BLOB_URL", default_value = "file:data/blobs")]
    pub blob_url: String,
    /// The largest upload that is stored in its row
    #[arg(long, env, value_name = "INLINE_BYTES", default_value = "16KiB", value_parser = inline_bytes)]
    pub inline_bytes: u64,
    /// The file in which every ended task gets one line; `off`: this process writes none
    #[arg(long, env, value_name = "OUTCOME_LOG", default_value = "data/outcomes.log")]
    pub outcome_log: String,
    /// The name of this outcome log among all logs; unset: host name and path
    #[arg(long, env, value_name = "OUTCOME_LOG_NAME", value_parser = log_name)]
    pub outcome_log_name: Option<String>,
    /// How long a worker keeps its tasks after its last heartbeat
    #[arg(long, env, value_name = "LEASE_SECONDS", default_value = "30", value_parser = positive_duration)]
    pub lease_seconds: Duration,
    /// Attempts that may end badly before a task fails
    #[arg(long, env, value_name = "MAX_ATTEMPTS", default_value_t = 5, value_parser = clap::value_parser!(i32).range(1..))]
    pub max_attempts: i32,
    /// The interval at which the sweep looks for tasks that a crash has left behind
    #[arg(long, env, value_name = "SWEEP_SECONDS", default_value = "1", value_parser = positive_duration)]
    pub sweep_seconds: Duration,
    /// Age after which bytes without a task are removed, at least 60 seconds
    #[arg(long, env, value_name = "ORPHAN_SECONDS", default_value = "86400", value_parser = orphan_age)]
    pub orphan_seconds: Duration,
    /// Keep the uploads of ended tasks
    #[arg(long, env, value_name = "KEEP_UPLOADS", default_value_t = false, action = clap::ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub keep_uploads: bool,
    /// How long the upload of a failed task is kept, so that the task can be retried
    #[arg(long, env, value_name = "KEEP_FAILED_UPLOADS", default_value = "7d", value_parser = duration)]
    pub keep_failed_uploads: Duration,
    /// How long succeeded tasks are kept: `forever`, or a duration such as `30d`
    #[arg(long, env, value_name = "KEEP_SUCCEEDED", default_value = "forever", value_parser = keep)]
    pub keep_succeeded: Keep,
    /// How long failed tasks are kept
    #[arg(long, env, value_name = "KEEP_FAILED", default_value = "forever", value_parser = keep)]
    pub keep_failed: Keep,
    /// How long cancelled tasks are kept
    #[arg(long, env, value_name = "KEEP_CANCELLED", default_value = "forever", value_parser = keep)]
    pub keep_cancelled: Keep,
}

/// The name of an outcome log, by which the database knows how far it is written, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogName {
    /// The name among all logs.
    pub name: String,
    /// Host name and absolute path.
    pub location: String,
    /// The absolute path: the name of logs up to version 0.1.
    pub path: String,
}

impl Settings {
    /// Returns the path of the outcome log; `None` if this process writes none.
    pub fn log_path(&self) -> Option<&Path> {
        (self.outcome_log != "off").then(|| Path::new(&self.outcome_log))
    }

    /// Returns the name of the outcome log at that path.
    ///
    /// # Errors
    /// If the path is relative and the current folder is gone.
    pub fn log_name(&self, path: &Path) -> io::Result<LogName> {
        let path = absolute(path)?.to_string_lossy().into_owned();
        let location = format!("{}:{path}", host_name());
        let name = self.outcome_log_name.clone().unwrap_or_else(|| location.clone());
        Ok(LogName { name, location, path })
    }

    /// Returns the log's first line: the version, and the places of the data, without passwords.
    pub fn beginning(&self) -> String {
        let folder = Path::new(".").canonicalize().map(|folder| folder.display().to_string());
        let Self { database_url, blob_url, outcome_log, .. } = self;
        let outcomes =
            self.log_path().map_or("no outcome log".to_owned(), |_| format!("outcomes in {outcome_log}"));
        let line = format!(
            "coatcheck {}: rows in {database_url}, uploads in {blob_url}, {outcomes}; relative paths are in {}",
            env!("CARGO_PKG_VERSION"),
            folder.unwrap_or_default()
        );
        without_passwords(&line).into_owned()
    }

    /// Returns the rules by which attempts and uploads end.
    pub fn rules(&self) -> Rules {
        let keep_uploads = match self.keep_uploads {
            true => KeepUploads::OfAll,
            false if self.keep_failed_uploads.is_zero() => KeepUploads::OfUnended,
            false => KeepUploads::OfFailed,
        };
        Rules { max_attempts: self.max_attempts, keep_uploads }
    }

    /// Returns what retention deletes, with the age at which it goes.
    pub fn retention(&self) -> impl Iterator<Item = (Subject, Duration)> {
        let tasks = [
            (Status::Succeeded, self.keep_succeeded),
            (Status::Failed, self.keep_failed),
            (Status::Cancelled, self.keep_cancelled),
        ];
        let keeps = self.rules().keep_uploads == KeepUploads::OfFailed;
        let uploads = keeps.then_some((Subject::FailedUploads, self.keep_failed_uploads));
        let tasks =
            tasks.into_iter().filter_map(|(status, keep)| Some((Subject::Tasks(status), keep.age()?)));
        tasks.chain(uploads)
    }

    /// Returns whether the blob of a task must exist at that time.
    pub(crate) fn needs_blob(&self, task: &Task, now: Time) -> bool {
        match (self.rules().keep_uploads, task.finished) {
            (_, None) | (KeepUploads::OfAll, _) => true,
            (KeepUploads::OfFailed, Some(finished)) if task.status == Status::Failed => {
                // One that ended after `now` was read is young.
                (now.0 - finished.0).to_std().unwrap_or_default() < self.keep_failed_uploads
            }
            (KeepUploads::OfFailed | KeepUploads::OfUnended, Some(_)) => false,
        }
    }
}

fn inline_bytes(text: &str) -> Result<u64, String> {
    match size(text)? {
        // A larger bound would make every claim and every row as heavy as a file.
        bytes if bytes > 1 << 20 => Err("expected at most 1MiB".to_owned()),
        bytes => Ok(bytes),
    }
}

fn orphan_age(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        // A row with a blob is accepted up to 30 s after the blob was made durable.
        age if age < Duration::from_secs(60) => Err("expected at least 60".to_owned()),
        age => Ok(age),
    }
}

fn log_name(text: &str) -> Result<String, String> {
    match text {
        // It is a key of the database, and is told in errors.
        _ if text.len() > 255 || text.contains(char::is_control) => {
            Err("expected at most 255 bytes without control characters".to_owned())
        }
        "" => Err("expected a name".to_owned()),
        name => Ok(name.to_owned()),
    }
}
