//! Calls about tasks: looks one up, waits for its end, follows its changes, lists and cancels; reads outcomes.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use reqwest::StatusCode;
use tokio::time::{Instant, sleep, timeout_at};
use uuid::Uuid;

use crate::WAIT;
use crate::answers::{self, AsSent, OutcomeList, Status, Task, TaskList};
use crate::calls::{self, Call};
use crate::client::{Client, LOOK};
use crate::error::{ClientError, one_line};
use crate::lines::Lines;

/// The least time between polls of a server that doesn't wait.
const POLL_AT_MOST_EVERY: Duration = Duration::from_millis(250);
/// The longest event, in bytes: a task, whose largest part is a provider's reply, with a wide margin.
const MAX_EVENT: usize = 16 << 20;

/// The tasks to list.
#[derive(Debug, Clone, Copy, Default)]
pub struct TaskQuery<'a> {
    /// Only those with these statuses; all if it is empty.
    pub status: &'a [Status],
    /// Only those of these kinds; all if it is empty.
    pub kind: &'a [String],
    /// Only those that were created then or later.
    pub since: Option<DateTime<Utc>>,
    /// Only those that failed with this code.
    pub error_code: Option<&'a str>,
    /// Only those with a file whose name begins so.
    pub filename: Option<&'a str>,
    /// Only those that this worker runs now.
    pub worker: Option<Uuid>,
    /// Whether the oldest come first.
    pub is_oldest_first: bool,
    /// Whether all tasks of the list are to be counted.
    pub wants_total: bool,
    /// Only those after the page whose `next` this is.
    pub after: Option<&'a str>,
    /// The most tasks, from 1 to 1000.
    pub limit: usize,
}

impl TaskQuery<'_> {
    /// Returns the parameters of the filter that are given.
    pub(crate) fn filter(&self) -> Vec<(&'static str, String)> {
        let listed = |words: Vec<&str>| (!words.is_empty()).then(|| words.join(","));
        let text = |text: Option<&str>| text.map(str::to_owned);
        let given = [
            ("status", listed(self.status.iter().map(|status| status.name()).collect())),
            ("kind", listed(self.kind.iter().map(String::as_str).collect())),
            ("created_after", self.since.map(|since| since.to_rfc3339_opts(SecondsFormat::Micros, true))),
            ("error_code", text(self.error_code)),
            ("filename", text(self.filename)),
            ("worker", self.worker.map(|worker| worker.to_string())),
        ];
        given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

impl Client {
    /// Returns the task. A table's task has its progress in its JSON.
    ///
    /// # Errors
    /// [`ClientError::UnknownTask`], or the reason why the server does not answer.
    pub async fn task(&self, id: Uuid) -> Result<AsSent<Task>, ClientError> {
        let task = self.about(&calls::TASK, id, &[]).await?;
        self.with_progress(task).await
    }

    /// Makes a call about a task.
    async fn about(
        &self,
        call: &Call<AsSent<Task>>,
        id: Uuid,
        parameters: &[(&str, &str)],
    ) -> Result<AsSent<Task>, ClientError> {
        self.call(call, &[&id.to_string()], parameters).await
    }

    async fn with_progress(&self, task: AsSent<Task>) -> Result<AsSent<Task>, ClientError> {
        match task.kind.as_deref() == Some("table") {
            true => self.about(&calls::TABLE, task.id, &[]).await,
            false => Ok(task),
        }
    }

    /// Waits until the task has ended, and returns it. After the deadline, returns it as it is then.
    ///
    /// # Errors
    /// As [`Self::task`], and [`ClientError::Silent`] if the server does not answer at the deadline.
    pub async fn ended(&self, id: Uuid, deadline: Option<Instant>) -> Result<AsSent<Task>, ClientError> {
        loop {
            let begun = Instant::now();
            let left = deadline.map_or(WAIT, |deadline| deadline.duration_since(begun).min(WAIT));
            let wait = format!("{:.3}", left.as_secs_f64());
            let task = self.by(deadline, self.about(&calls::TASK, id, &[("wait", &wait)])).await?;
            if self.is_ended(&task)? || left.is_zero() {
                return self.with_progress(task).await;
            }
            sleep(POLL_AT_MOST_EVERY.saturating_sub(begun.elapsed()).min(left)).await;
        }
    }

    /// Waits for an answer until shortly after the deadline.
    async fn by<T>(
        &self,
        deadline: Option<Instant>,
        answer: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        let Some(deadline) = deadline else { return answer.await };
        timeout_at(deadline.max(Instant::now()) + LOOK, answer).await.map_err(|_| self.silent())?
    }

    /// Calls `tell` with the task now and at each change, until it has ended.
    ///
    /// # Errors
    /// As [`Self::task`].
    pub async fn follow(&self, id: Uuid, mut tell: impl FnMut(&Task)) -> Result<(), ClientError> {
        let id = id.to_string();
        let mut last = None;
        loop {
            // A stream that breaks before its first event is tried again like a request.
            let begun = self.patiently(async || {
                let mut lines =
                    self.lines(&calls::FOLLOW, &[&id], &[], "text/event-stream", MAX_EVENT).await?;
                let first = event(&mut lines).await?.ok_or_else(|| lines.foreign())?;
                Ok((lines, first))
            });
            let (mut lines, mut task) = begun.await?;
            loop {
                if last.as_ref() != Some(&task) {
                    tell(&task);
                }
                if self.is_ended(&task)? {
                    return Ok(());
                }
                last = Some(task);
                // A server that stops ends its streams.
                let Ok(Some(next)) = event(&mut lines).await else { break };
                task = next;
            }
            sleep(POLL_AT_MOST_EVERY).await;
        }
    }

    /// Returns a page of the list.
    ///
    /// # Errors
    /// The reason why the server does not answer.
    pub async fn tasks(&self, query: TaskQuery<'_>) -> Result<TaskList, ClientError> {
        let limit = query.limit.to_string();
        let filter = query.filter();
        let given = [
            ("after", query.after),
            ("limit", Some(&*limit)),
            ("order", query.is_oldest_first.then_some("oldest")),
            ("total", query.wants_total.then_some("true")),
        ];
        let mut given = calls::parameters(given);
        given.extend(filter.iter().map(|(name, value)| (*name, &**value)));
        self.call(&calls::TASKS, &[], &given).await
    }

    /// Returns outcomes after a cursor; waits that long for one.
    ///
    /// # Errors
    /// The reason why the server does not answer.
    pub async fn outcomes(&self, after: Option<&str>, wait: Duration) -> Result<OutcomeList, ClientError> {
        // A wait for more than a hundred would hold one of the server's places for large answers.
        let limit = if wait.is_zero() { "1000" } else { "100" };
        let wait = wait.as_secs().to_string();
        let given = [("limit", Some(limit)), ("wait", Some(&*wait)), ("after", after)];
        self.call(&calls::OUTCOMES, &[], &calls::parameters(given)).await
    }

    /// Cancels a task; returns it. One that is cancelled already is returned as it is.
    ///
    /// # Errors
    /// [`ClientError::Ended`] if it has ended otherwise, or as [`Self::task`].
    pub async fn cancel(&self, id: Uuid) -> Result<AsSent<Task>, ClientError> {
        match self.about(&calls::CANCEL, id, &[]).await {
            // As after a request whose answer was lost.
            Err(ended @ ClientError::Ended(_)) => {
                let task = self.task(id).await?;
                if task.status() == Some(Status::Cancelled) { Ok(task) } else { Err(ended) }
            }
            answer => answer,
        }
    }

    /// Does a task again that has ended; returns the new task. Repeated until the server answers, it makes one all the same.
    ///
    /// # Errors
    /// [`ClientError::Refused`] if it has not ended or its upload is gone, or as [`Self::task`].
    pub async fn retry(&self, id: Uuid) -> Result<AsSent<Task>, ClientError> {
        let key = Uuid::new_v4().to_string();
        let id = id.to_string();
        self.read(|| self.request(&calls::RETRY, &[&id], &[]).header(calls::IDEMPOTENCY_KEY, &key)).await
    }

    /// Returns the digest of a task that has ended: 32 hex digits.
    ///
    /// # Errors
    /// [`ClientError::Failed`] if it ended without one.
    pub fn digest<'t>(&self, task: &'t Task) -> Result<&'t str, ClientError> {
        let foreign = || self.foreign(StatusCode::OK);
        let ended = task.status_name.as_deref().ok_or_else(foreign)?;
        if task.status() == Some(Status::Succeeded) {
            let digest = task.result.as_ref().and_then(|result| result.md5.as_deref());
            return digest.filter(|digest| is_md5(digest)).ok_or_else(foreign);
        }
        let why = task.error.as_ref().and_then(|error| error.detail.as_deref().or(error.code.as_deref()));
        let why = why.unwrap_or("no reason given");
        Err(ClientError::Failed(one_line(&format!("the task ended as {ended}: {why}"))))
    }

    fn is_ended(&self, task: &Task) -> Result<bool, ClientError> {
        task.status().map(Status::is_ended).ok_or_else(|| self.foreign(StatusCode::OK))
    }
}

/// Returns the task of the next event (Server-Sent Events; the server sends each as one line); `None` at the end of the stream.
async fn event(lines: &mut Lines<'_>) -> Result<Option<AsSent<Task>>, ClientError> {
    while let Some(line) = lines.next().await? {
        if let Some(data) = line.strip_prefix("data:") {
            return answers::read(data).map(Some).ok_or_else(|| lines.foreign());
        }
    }
    Ok(None)
}

fn is_md5(digest: &str) -> bool {
    digest.len() == 32 && digest.bytes().all(|byte| byte.is_ascii_hexdigit())
}
