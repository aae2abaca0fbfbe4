//! Calls of operators: kinds and their pauses, workers and their draining, statistics, the audit, attempts, and acts on many tasks.

use std::sync::atomic::AtomicU64;

use reqwest::StatusCode;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::answers::{AsSent, Task, TaskError, Time};
use crate::calls;
use crate::client::Client;
use crate::error::ClientError;
use crate::tasks::TaskQuery;

/// A kind of tasks.
#[derive(Debug, Deserialize)]
pub struct Kind {
    /// Its name.
    pub kind: String,
    /// Whether its tasks don't begin.
    #[serde(default)]
    pub paused: bool,
    /// Since when it is paused.
    pub since: Option<Time>,
    /// The number of its pending tasks.
    #[serde(default)]
    pub pending: u64,
    /// The number of its running tasks.
    #[serde(default)]
    pub running: u64,
    /// When the oldest pending one was accepted.
    pub oldest: Option<Time>,
}

/// All kinds.
#[derive(Debug, Deserialize)]
pub struct KindList {
    /// The kinds.
    pub kinds: Vec<Kind>,
}

/// Whether a kind is paused.
#[derive(Debug, Deserialize)]
pub struct KindPause {
    /// Whether its tasks don't begin.
    pub paused: bool,
}

/// The tasks of a kind in a step of time.
#[derive(Debug, Deserialize)]
pub struct Point {
    /// The step's beginning.
    pub at: Time,
    /// The kind.
    pub kind: String,
    /// The number of tasks accepted then.
    #[serde(default)]
    pub accepted: u64,
    /// The number of tasks that succeeded then.
    #[serde(default)]
    pub succeeded: u64,
    /// The number of tasks that failed then.
    #[serde(default)]
    pub failed: u64,
    /// The number of tasks that were cancelled then.
    #[serde(default)]
    pub cancelled: u64,
    /// Seconds up to which 95 in 100 of those that succeeded or failed then had waited; `None` without such tasks.
    pub wait_p95: Option<f64>,
    /// Seconds up to which the last attempts of 95 in 100 of them took.
    pub work_p95: Option<f64>,
}

/// Numbers of tasks over time.
#[derive(Debug, Deserialize)]
pub struct Stats {
    /// By time and kind; a step without tasks of a kind has no point.
    pub series: Vec<Point>,
}

/// A worker process.
#[derive(Debug, Deserialize)]
pub struct Worker {
    /// The id of its lease.
    pub id: Uuid,
    /// Its host name and process id.
    pub name: String,
    /// Its last heartbeat.
    pub seen: Option<Time>,
    /// When its tasks are taken from it unless it is heard of before.
    pub lease_until: Option<Time>,
    /// Whether it takes nothing more.
    #[serde(default)]
    pub draining: bool,
    /// The number of its running tasks.
    #[serde(default)]
    pub running: u64,
    /// Some of those that have run longest.
    #[serde(default)]
    pub tasks: Vec<RunningTask>,
}

/// A task that a worker runs.
#[derive(Debug, Deserialize)]
pub struct RunningTask {
    /// The ticket.
    pub id: Uuid,
    /// Its kind.
    pub kind: Option<String>,
    /// When its attempt began.
    pub started: Option<Time>,
}

/// The worker processes, by their names.
#[derive(Debug, Deserialize)]
pub struct WorkerList {
    /// The workers.
    pub workers: Vec<Worker>,
}

/// Whether a worker drains.
#[derive(Debug, Deserialize)]
pub struct WorkerDrain {
    /// Whether it takes nothing more.
    pub draining: bool,
}

/// An attempt to do a task.
#[derive(Debug, Deserialize)]
pub struct Attempt {
    /// 1 for the first.
    pub number: i64,
    /// The worker that had it.
    pub worker: Option<Uuid>,
    /// When it began.
    pub started: Option<Time>,
    /// When it ended.
    pub ended: Option<Time>,
    /// Why it did not succeed.
    pub error: Option<TaskError>,
}

/// The attempts of a task that went wrong, and the last one.
#[derive(Debug, Deserialize)]
pub struct AttemptList {
    /// The attempts, the first one first.
    pub attempts: Vec<Attempt>,
}

/// An act of an operator or an admin.
#[derive(Debug, Deserialize)]
pub struct Act {
    /// Later acts have higher numbers.
    pub id: i64,
    /// When it was done.
    pub at: Option<Time>,
    /// The user's name at that time, the client's address, or the command.
    pub who: Option<String>,
    /// The name of the act.
    pub act: Option<String>,
    /// The id, or the name, of the object that it was done to.
    pub target: Option<String>,
    /// More about it.
    pub detail: Option<String>,
}

/// Acts, newest first.
#[derive(Debug, Deserialize)]
pub struct ActList {
    /// The acts.
    pub acts: Vec<Act>,
}

/// An act on many tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Cancels those that have not ended.
    Cancel,
    /// Does those again that failed or were cancelled.
    Retry,
}

/// The request of an act on many tasks.
#[derive(Debug, Serialize)]
pub struct BulkRequest<'a> {
    /// The act.
    pub action: Action,
    /// The filter of the tasks, by the names that a list's filter has.
    pub filter: Map<String, Value>,
    /// The server's word after counting them; without it they are only counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirm: Option<&'a str>,
}

/// The number of tasks that an act on many is for.
#[derive(Debug, Deserialize)]
pub struct BulkCount {
    /// How many there are.
    pub eligible: u64,
    /// The word that confirms the act on just these.
    pub confirm: String,
}

impl Client {
    /// Returns the kinds, their pauses and the numbers of their tasks that have not ended.
    ///
    /// # Errors
    /// The reason why the server does not answer; so have all of these calls.
    pub async fn kinds(&self) -> Result<KindList, ClientError> {
        self.call(&calls::KINDS, &[], &[]).await
    }

    /// Pauses a kind, or resumes it.
    ///
    /// # Errors
    /// [`ClientError::Forbidden`] without the right to, or as [`Self::kinds`].
    pub async fn set_paused(&self, kind: &str, paused: bool) -> Result<KindPause, ClientError> {
        let call = if paused { &calls::PAUSE } else { &calls::RESUME };
        self.call(call, &[kind], &[]).await
    }

    /// Returns the numbers of the last 60 steps of that many seconds, a multiple of 60.
    ///
    /// # Errors
    /// As [`Self::kinds`].
    pub async fn stats(&self, step: u32) -> Result<Stats, ClientError> {
        self.call(&calls::STATS, &[], &[("step", &step.to_string())]).await
    }

    /// Returns the worker processes.
    ///
    /// # Errors
    /// As [`Self::kinds`].
    pub async fn workers(&self) -> Result<WorkerList, ClientError> {
        self.call(&calls::WORKERS, &[], &[]).await
    }

    /// Lets a worker take nothing more, or lets it take tasks again.
    ///
    /// # Errors
    /// [`ClientError::Forbidden`] without the right to, [`ClientError::Refused`] if it has ended, or as [`Self::kinds`].
    pub async fn set_draining(&self, worker: Uuid, draining: bool) -> Result<WorkerDrain, ClientError> {
        let call = if draining { &calls::DRAIN } else { &calls::UNDO_DRAIN };
        match self.call(call, &[&worker.to_string()], &[]).await {
            // The code is that of an address which is not there.
            Err(ClientError::Foreign { status: StatusCode::NOT_FOUND, .. }) => {
                Err(ClientError::Refused("the worker does not exist, or has ended".to_owned()))
            }
            answer => answer,
        }
    }

    /// Returns the attempts of a task.
    ///
    /// # Errors
    /// [`ClientError::UnknownTask`], or as [`Self::kinds`].
    pub async fn attempts(&self, id: Uuid) -> Result<AttemptList, ClientError> {
        self.call(&calls::ATTEMPTS, &[&id.to_string()], &[]).await
    }

    /// Returns the newest acts of operators and admins, up to 1000.
    ///
    /// # Errors
    /// As [`Self::kinds`].
    pub async fn acts(&self, limit: usize) -> Result<ActList, ClientError> {
        self.call(&calls::AUDIT, &[], &[("limit", &limit.to_string())]).await
    }

    /// Counts the tasks that an act is for.
    ///
    /// # Errors
    /// [`ClientError::Refused`] for a filter that the server does not serve, or as [`Self::kinds`].
    pub async fn count(&self, action: Action, tasks: TaskQuery<'_>) -> Result<BulkCount, ClientError> {
        self.bulk(action, tasks, None).await
    }

    /// Does an act on the tasks that were counted; returns the task that does so.
    ///
    /// # Errors
    /// [`ClientError::Refused`] an hour after the count, or as [`Self::kinds`].
    pub async fn change(
        &self,
        action: Action,
        tasks: TaskQuery<'_>,
        confirm: &str,
    ) -> Result<AsSent<Task>, ClientError> {
        self.bulk(action, tasks, Some(confirm)).await
    }

    async fn bulk<T: DeserializeOwned>(
        &self,
        action: Action,
        tasks: TaskQuery<'_>,
        confirm: Option<&str>,
    ) -> Result<T, ClientError> {
        let filter =
            tasks.filter().into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        let body = BulkRequest { action, filter, confirm };
        self.read(|| self.request(&calls::BULK, &[], &[]).json(&body)).await
    }

    /// Returns the server's reason why it refuses changes of tasks, kinds and workers; `None` if it allows them. Changes nothing.
    ///
    /// # Errors
    /// As [`Self::kinds`].
    pub async fn why_read_only(&self) -> Result<Option<String>, ClientError> {
        // A pause can't be read: the server checks the caller first, and answers then that the address has not this method.
        let nothing_sent = AtomicU64::new(0);
        let ask = async || self.answer(self.get_at(&calls::PAUSE, &["md5"]), &nothing_sent).await;
        match self.patiently(ask).await {
            Ok(_) | Err(ClientError::Refused(_)) => Ok(None),
            Err(ClientError::Forbidden(reason)) => Ok(Some(reason)),
            Err(error) => Err(error),
        }
    }
}
