//! Calls about tasks: looks one up, waits for its end, follows its changes, lists and cancels; reads outcomes.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;
use task_data::task::Status;
use tokio::time::{Instant, sleep, timeout_at};
use uuid::Uuid;

use super::lines::Lines;
use super::{Client, ClientError, LOOK, POLL_AT_MOST_EVERY, WAIT, task};

/// The most tasks that a command waits for at once: each wait holds a connection.
pub const WAITS: usize = 64;
/// The longest event, in bytes: a task, whose largest part is a provider's reply, with a wide margin.
const MAX_EVENT: usize = 16 << 20;

/// A page of tasks, newest first.
#[derive(Debug)]
pub struct TaskPage {
    pub tasks: Vec<Value>,
    /// The value of `after` for the next page; `None` on the last one.
    pub next: Option<String>,
}

/// Outcomes, oldest first.
#[derive(Debug)]
pub struct OutcomePage {
    pub outcomes: Vec<Value>,
    /// The value of `after` for those that follow.
    pub next: String,
}

/// Returns the ids of tickets as they were given.
///
/// # Errors
/// [`ClientError::NotAnId`] for the first that is not one.
pub(super) fn ids(given: &[String]) -> Result<Vec<Uuid>, ClientError> {
    given
        .iter()
        .map(|id| id.trim())
        .map(|id| id.parse().map_err(|_| ClientError::NotAnId(id.to_owned())))
        .collect()
}

/// Returns the status of a task; `None` if it is not a task.
pub fn status(task: &Value) -> Option<Status> {
    let name = task["status"].as_str()?;
    Status::ALL.into_iter().find(|status| status.name() == name)
}

impl Client {
    /// Returns the task as the server sends it: fields keep their order and numbers their text. A table's task has its progress.
    ///
    /// # Errors
    /// [`ClientError::UnknownTask`], or the reason why the server does not answer.
    pub async fn task(&self, id: Uuid) -> Result<Value, ClientError> {
        let task = self.read(&self.url(&["v1", "tasks", &id.to_string()])).await?;
        self.with_progress(id, task).await
    }

    /// Waits until the task has ended, and returns it. After the deadline, returns it as it is then.
    ///
    /// # Errors
    /// As [`Self::task`], and [`ClientError::Silent`] if the server does not answer at the deadline.
    pub async fn ended(&self, id: Uuid, deadline: Option<Instant>) -> Result<Value, ClientError> {
        let mut url = self.url(&["v1", "tasks", &id.to_string()]);
        loop {
            let begun = Instant::now();
            let left = deadline.map_or(WAIT, |deadline| deadline.duration_since(begun).min(WAIT));
            url.set_query(Some(&format!("wait={:.3}", left.as_secs_f64())));
            let task = self.by(deadline, self.read(&url)).await?;
            if self.is_ended(&task)? || left.is_zero() {
                return self.with_progress(id, task).await;
            }
            sleep(POLL_AT_MOST_EVERY.saturating_sub(begun.elapsed()).min(left)).await;
        }
    }

    /// Waits for an answer until shortly after the deadline.
    async fn by(
        &self,
        deadline: Option<Instant>,
        answer: impl Future<Output = Result<Value, ClientError>>,
    ) -> Result<Value, ClientError> {
        let Some(deadline) = deadline else { return answer.await };
        let silent = |_| ClientError::Silent { server: self.shown.clone() };
        timeout_at(deadline.max(Instant::now()) + LOOK, answer).await.map_err(silent)?
    }

    /// Calls `tell` with the task now and at each change, until it has ended.
    ///
    /// # Errors
    /// As [`Self::task`].
    pub async fn follow(&self, id: Uuid, mut tell: impl FnMut(&Value)) -> Result<(), ClientError> {
        let url = self.url(&["v1", "tasks", &id.to_string(), "events"]);
        let mut last = Value::Null;
        loop {
            // A stream that breaks before its first event is tried again like a request.
            let begun = self.patiently(async || {
                let mut lines = self.lines(url.clone(), "text/event-stream", MAX_EVENT).await?;
                let first = event(&mut lines).await?.ok_or_else(|| lines.foreign())?;
                Ok((lines, first))
            });
            let (mut lines, mut task) = begun.await?;
            loop {
                if task != last {
                    tell(&task);
                }
                if self.is_ended(&task)? {
                    return Ok(());
                }
                last = task;
                // A server that stops ends its streams.
                let Ok(Some(next)) = event(&mut lines).await else { break };
                task = next;
            }
            sleep(POLL_AT_MOST_EVERY).await;
        }
    }

    /// Returns a page of the list with these parameters.
    ///
    /// # Errors
    /// The reason why the server does not answer.
    pub async fn tasks(&self, parameters: &[(&str, &str)]) -> Result<TaskPage, ClientError> {
        let mut url = self.url(&["v1", "tasks"]);
        url.query_pairs_mut().extend_pairs(parameters);
        let mut page = self.read(&url).await?;
        match (page["tasks"].take(), page["next"].take()) {
            (Value::Array(tasks), Value::Null) => Ok(TaskPage { tasks, next: None }),
            (Value::Array(tasks), Value::String(next)) => Ok(TaskPage { tasks, next: Some(next) }),
            _ => Err(self.foreign(StatusCode::OK)),
        }
    }

    /// Returns outcomes after a cursor; waits that long for one.
    ///
    /// # Errors
    /// The reason why the server does not answer.
    pub async fn outcomes(&self, after: Option<&str>, wait: Duration) -> Result<OutcomePage, ClientError> {
        let mut url = self.url(&["v1", "outcomes"]);
        // A wait for more than a hundred would hold one of the server's places for large answers.
        let limit = if wait.is_zero() { "1000" } else { "100" };
        let wait = wait.as_secs().to_string();
        let parameters = [("limit", limit), ("wait", &wait)];
        url.query_pairs_mut().extend_pairs(parameters).extend_pairs(after.map(|after| ("after", after)));
        let mut page = self.read(&url).await?;
        match (page["outcomes"].take(), page["next"].take()) {
            (Value::Array(outcomes), Value::String(next)) => Ok(OutcomePage { outcomes, next }),
            _ => Err(self.foreign(StatusCode::OK)),
        }
    }

    /// Cancels a task; returns it. One that is cancelled already is returned as it is.
    ///
    /// # Errors
    /// [`ClientError::Ended`] if it has ended otherwise, or as [`Self::task`].
    pub async fn cancel(&self, id: Uuid) -> Result<Value, ClientError> {
        let url = self.url(&["v1", "tasks", &id.to_string()]);
        let nothing_sent = AtomicU64::new(0);
        let answer =
            self.patiently(async || self.answer(self.http.delete(url.clone()), &nothing_sent).await).await;
        match answer {
            Ok(text) => task(&text).ok_or_else(|| self.foreign(StatusCode::OK)),
            // As after a request whose answer was lost.
            Err(ended @ ClientError::Ended(_)) => {
                let task = self.task(id).await?;
                if status(&task) == Some(Status::Cancelled) { Ok(task) } else { Err(ended) }
            }
            Err(error) => Err(error),
        }
    }

    async fn with_progress(&self, id: Uuid, task: Value) -> Result<Value, ClientError> {
        match task["kind"] == "table" {
            true => self.read(&self.url(&["v1", "tables", &id.to_string()])).await,
            false => Ok(task),
        }
    }

    fn is_ended(&self, task: &Value) -> Result<bool, ClientError> {
        status(task).map(Status::is_ended).ok_or_else(|| self.foreign(StatusCode::OK))
    }
}

/// Returns the task of the next event (Server-Sent Events; the server sends each as one line); `None` at the end of the stream.
async fn event(lines: &mut Lines<'_>) -> Result<Option<Value>, ClientError> {
    while let Some(line) = lines.next().await? {
        if let Some(data) = line.strip_prefix("data:") {
            return task(data).map(Some).ok_or_else(|| lines.foreign());
        }
    }
    Ok(None)
}
