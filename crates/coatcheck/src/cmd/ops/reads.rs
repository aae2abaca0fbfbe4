//! What each view reads of the server.

use client::{
    Act, AsSent, Attempt, Client, ClientError, Kind, Point, Status, Task, TaskList, TaskQuery, Worker,
};
use uuid::Uuid;

/// The newest failed tasks that are grouped: the most of a page.
const FAILURES: usize = 1000;
/// The acts that are listed.
const ACTS: usize = 200;

/// A filter of the list of tasks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    pub status: Option<Status>,
    pub kind: Option<String>,
    pub error_code: Option<String>,
    pub filename: Option<String>,
    pub worker: Option<Uuid>,
}

impl Filter {
    /// Returns the query of all tasks that it selects.
    pub fn query(&self) -> TaskQuery<'_> {
        TaskQuery {
            status: self.status.as_slice(),
            kind: self.kind.as_slice(),
            error_code: self.error_code.as_deref(),
            filename: self.filename.as_deref(),
            worker: self.worker,
            ..TaskQuery::default()
        }
    }

    /// Returns the filter in words; empty if it selects all tasks.
    pub fn words(&self) -> String {
        let Self { status, kind, error_code, filename, worker } = self;
        let given = [
            status.map(|status| format!("status {}", status.name())),
            kind.as_ref().map(|kind| format!("kind {kind}")),
            error_code.as_ref().map(|code| format!("code {code}")),
            filename.as_ref().map(|name| format!("name {name}…")),
            worker.map(|worker| format!("worker {worker}")),
        ];
        given.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

/// A request of a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// The present, and the last 60 steps of that many seconds.
    Now {
        step: u32,
    },
    Tasks {
        filter: Filter,
        is_oldest_first: bool,
        limit: usize,
    },
    Task(Uuid),
    Workers,
    Audit,
}

/// The parts of the server that were read.
#[derive(Debug)]
pub enum Page {
    Now { kinds: Vec<Kind>, points: Vec<Point>, failures: Option<TaskList> },
    Tasks(TaskList),
    Task { task: Box<AsSent<Task>>, attempts: Vec<Attempt> },
    Workers(Vec<Worker>),
    Audit(Vec<Act>),
}

/// An answer to a [`Read`].
#[derive(Debug)]
pub struct Answer {
    pub page: Page,
    /// Why the server refuses changes, if it does and this was asked.
    pub read_only: Option<Option<String>>,
}

impl Read {
    /// Reads it; with the failed tasks, and whether changes are allowed, where that is wanted.
    ///
    /// # Errors
    /// The reason why the server does not answer.
    pub async fn ask(
        self,
        client: &Client,
        with_failures: bool,
        with_rights: bool,
    ) -> Result<Answer, ClientError> {
        let page = match self {
            Self::Now { step } => {
                let failures = async {
                    let query =
                        TaskQuery { status: &[Status::Failed], limit: FAILURES, ..TaskQuery::default() };
                    Ok(if with_failures { Some(client.tasks(query).await?) } else { None })
                };
                let (kinds, stats, failures) =
                    futures::try_join!(client.kinds(), client.stats(step), failures)?;
                Page::Now { kinds: kinds.kinds, points: stats.series, failures }
            }
            Self::Tasks { filter, is_oldest_first, limit } => {
                let query = TaskQuery { is_oldest_first, limit, wants_total: true, ..filter.query() };
                Page::Tasks(client.tasks(query).await?)
            }
            Self::Task(id) => {
                let (task, attempts) = futures::try_join!(client.task(id), client.attempts(id))?;
                Page::Task { task: Box::new(task), attempts: attempts.attempts }
            }
            Self::Workers => Page::Workers(client.workers().await?.workers),
            Self::Audit => Page::Audit(client.acts(ACTS).await?.acts),
        };
        let read_only = if with_rights { Some(client.why_read_only().await?) } else { None };
        Ok(Answer { page, read_only })
    }
}
