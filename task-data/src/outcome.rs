//! The lines of the outcome log, and the feed of outcomes as its ledger.
//!
//! A line is a pure function of an ended row, which never changes again. So the file can be checked against the rows, and rebuilt from
//! them.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::DateTime;
use serde_json::Value;
use shared_log::{Entry, Ledger, Placed};
use tokio::runtime::Handle;

use crate::blobs::{Blobs, delete_all};
use crate::kinds::{Kind, RowKind};
use crate::settings::LogName;
use crate::store::{KeepUploads, LogFollower, LogHead, Outcome, OutcomePage, Place, Store, StoreError};
use crate::tail::number_all;
use crate::task::{Status, Task, TaskId, Time};

/// Returns the line `{finished} {id} {kind} {status} {detail}` of an ended task, without the newline; `None` before its end, and for a kind
/// that only a newer version knows, which writes that line.
pub fn line(task: &Task) -> Option<String> {
    let finished = task.finished.filter(|_| task.status.is_ended())?;
    let kind = task.kind.known()?;
    let code = task.error.as_ref().map(|error| error.code.as_str());
    let detail = detail(&task.kind, task.status, task.result.as_ref(), code)?;
    Some(written(finished, task.id, kind, task.status, &detail))
}

/// Returns the line of an outcome, without the newline; `None` for a kind that only a newer version knows.
pub(crate) fn line_of(outcome: &Outcome) -> Option<String> {
    let Outcome { id, kind, status, finished, detail, .. } = outcome;
    let (kind, detail) = kind.known().zip(detail.as_ref())?;
    Some(written(*finished, *id, kind, *status, detail))
}

fn written(finished: Time, id: TaskId, kind: Kind, status: Status, detail: &str) -> String {
    format!("{finished} {id} {kind} {} {detail}", status.name())
}

/// Returns the detail of an outcome, from the result or the code of the error; `None` for the result of a kind that only a newer version
/// knows.
pub(crate) fn detail(
    kind: &RowKind,
    status: Status,
    result: Option<&Value>,
    error_code: Option<&str>,
) -> Option<String> {
    Some(match (status, result, error_code) {
        (Status::Succeeded, result, _) => {
            let kind = kind.known()?;
            result.map_or_else(|| "-".to_owned(), |result| kind.outcome_detail(result))
        }
        (Status::Failed, _, Some(code)) => code.to_owned(),
        _ => "-".to_owned(),
    })
}

/// Returns whether a whole line, without its newline, is the task's. For a kind that only a newer version knows, this compares only the
/// beginning: skipped, the line would be written a second time.
pub(crate) fn is_line_of(text: &[u8], task: &Task) -> bool {
    match (line(task), task.finished) {
        (Some(line), _) => line.as_bytes() == text,
        (None, Some(finished)) if task.kind.known().is_none() => {
            let beginning = format!("{finished} {} {} {} ", task.id, task.kind, task.status.name());
            text.starts_with(beginning.as_bytes())
        }
        (None, _) => false,
    }
}

/// Returns the id in a line, or in the beginning of one.
pub(crate) fn id_of(line: &[u8]) -> Option<TaskId> {
    std::str::from_utf8(line).ok()?.split(' ').nth(1)?.parse().ok()
}

/// Returns the time that a line begins with.
pub(crate) fn finished_of(line: &[u8]) -> Option<Time> {
    let text = std::str::from_utf8(line).ok()?.split(' ').next()?;
    let time = Time(DateTime::parse_from_rfc3339(text).ok()?.to_utc());
    (time.to_string() == text).then_some(time)
}

/// Returns whether a line begins as those of tasks do: with a time and an id.
pub(crate) fn begins_like_ours(line: &[u8]) -> bool {
    finished_of(line).is_some() && id_of(line).is_some()
}

/// How long a process that wrote a log of the same name elsewhere is taken for alive.
const OTHER_IS_ALIVE_SECONDS: i64 = 60;

/// How often a log is stored although nothing has ended.
const SEEN_SECONDS: i64 = 3600;

/// The feed of outcomes as `shared_log` uses it. Its calls block: it lives on a blocking thread.
pub(crate) struct OutcomeLedger {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) blobs: Arc<dyn Blobs>,
    keep_uploads: KeepUploads,
    pub(crate) log: LogName,
    /// Where the log of this name was written lately, if elsewhere: known after its head was read.
    other_location: Option<String>,
    pub(crate) runtime: Handle,
}

impl OutcomeLedger {
    /// Creates the ledger of a log. Its calls run on the current runtime.
    pub(crate) fn new(
        store: Arc<dyn Store>,
        (blobs, keep_uploads): (Arc<dyn Blobs>, KeepUploads),
        log: LogName,
    ) -> Self {
        Self { store, blobs, keep_uploads, log, other_location: None, runtime: Handle::current() }
    }

    fn find(&self, ids: Vec<TaskId>) -> Result<Vec<Task>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.runtime.block_on(self.store.find(ids))
    }

    fn follower(&self, head: &LogHead) -> LogFollower {
        LogFollower { name: self.log.name.clone(), location: self.log.location.clone(), head: head.clone() }
    }

    /// Removes the uploads of ended tasks. The process that ended a task also removes its upload, but may have died before; and once the
    /// line is written, no other step visits the task.
    fn delete_uploads(&self, page: &OutcomePage) {
        let goes = |outcome: &&Outcome| outcome.has_blob && !self.keep_uploads.keeps(outcome.status);
        let ids: Vec<TaskId> = page.outcomes.iter().filter(goes).map(|outcome| outcome.id).collect();
        if !ids.is_empty() {
            self.runtime.block_on(delete_all(&*self.blobs, ids));
        }
    }
}

impl Ledger for OutcomeLedger {
    type Id = TaskId;
    type Place = Place;
    type Error = StoreError;

    fn head(&mut self) -> Result<Option<LogHead>, StoreError> {
        let Some((log, seconds_ago)) = self.runtime.block_on(self.store.log(self.log.name.clone()))? else {
            return Ok(None);
        };
        if seconds_ago > SEEN_SECONDS {
            // Its head stays the same: only a log that was seen lately holds retention back.
            self.runtime.block_on(self.store.store_log(Some(log.head.version), self.follower(&log.head)))?;
        }
        let is_elsewhere = log.location != self.log.location && seconds_ago < OTHER_IS_ALIVE_SECONDS;
        self.other_location = is_elsewhere.then_some(log.location);
        Ok(Some(log.head))
    }

    fn inherited(&mut self) -> Result<Option<LogHead>, StoreError> {
        let log = self.runtime.block_on(self.store.log(self.log.path.clone()))?;
        Ok(log.map(|(log, _)| log.head))
    }

    fn inherit(&mut self, head: &LogHead) -> Result<bool, StoreError> {
        self.runtime.block_on(self.store.rename_log(self.log.path.clone(), self.follower(head)))
    }

    fn other_location(&mut self) -> Result<Option<String>, StoreError> {
        Ok(self.other_location.clone())
    }

    fn store(&mut self, seen: Option<u64>, head: &LogHead) -> Result<bool, StoreError> {
        self.runtime.block_on(self.store.store_log(seen, self.follower(head)))
    }

    fn after(
        &mut self,
        place: Place,
        limit: usize,
    ) -> Result<Option<Vec<Placed<Place, TaskId>>>, StoreError> {
        if !self.runtime.block_on(number_all(&*self.store))? {
            return Ok(None);
        }
        let (mut entries, mut until) = (Vec::new(), place);
        loop {
            let limit = i64::try_from(limit - entries.len()).unwrap_or(i64::MAX);
            let page = self.runtime.block_on(self.store.outcomes(until, None, limit))?;
            self.delete_uploads(&page);
            until = page.until;
            entries.extend(page.outcomes.iter().map(placed));
            // Places of deleted tasks have no entries.
            if page.is_end || page.outcomes.len() as i64 == limit {
                return Ok(Some(entries));
            }
        }
    }

    fn those_after(&mut self, place: Place, ids: Vec<TaskId>) -> Result<Vec<TaskId>, StoreError> {
        self.runtime.block_on(self.store.those_after(place, ids))
    }

    fn before_first(&mut self, ids: Vec<TaskId>) -> Result<Place, StoreError> {
        self.runtime.block_on(self.store.before_first(ids))
    }

    fn recognize(&mut self, lines: &[&[u8]]) -> Result<Vec<Option<TaskId>>, StoreError> {
        let tasks = self.find(lines.iter().filter_map(|line| id_of(line)).collect())?;
        let tasks: HashMap<TaskId, Task> = tasks.into_iter().map(|task| (task.id, task)).collect();
        let own =
            |line: &&[u8]| tasks.get(&id_of(line)?).filter(|task| is_line_of(line, task)).map(|task| task.id);
        Ok(lines.iter().map(own).collect())
    }

    fn beginning_with(&mut self, prefix: &[u8]) -> Result<Option<Entry<TaskId>>, StoreError> {
        let Some(id) = id_of(prefix) else { return Ok(None) };
        let task = self.find(vec![id])?.into_iter().next();
        Ok(task.and_then(|task| Some(Entry { id, line: line(&task)? })))
    }
}

fn placed(outcome: &Outcome) -> Placed<Place, TaskId> {
    Placed { place: outcome.place, id: outcome.id, line: line_of(outcome) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::task::TaskError;

    fn task(status: Status) -> Task {
        let time = Time(DateTime::from_timestamp_micros(1_700_000_000_000_001).unwrap());
        Task {
            id: "0198c0de-0000-7000-8000-000000000000".parse().unwrap(),
            kind: Kind::Md5.into(),
            status,
            owner: None,
            created: time,
            started: Some(time),
            finished: status.is_ended().then_some(time),
            attempt: 1,
            input: json!({}),
            result: (status == Status::Succeeded).then(|| json!({"md5": "900150983cd24fb0d6963f7d28e17f72"})),
            error: (status == Status::Failed).then(TaskError::worker_lost),
            next_attempt: None,
            retried_from: None,
            has_blob: false,
        }
    }

    #[test]
    fn each_end_has_its_line() {
        let start = "2023-11-14T22:13:20.000001Z 0198c0de-0000-7000-8000-000000000000 md5";

        let lines = Status::ALL.map(|status| line(&task(status)));

        assert_eq!(
            lines,
            [
                None,
                None,
                Some(format!("{start} succeeded 900150983cd24fb0d6963f7d28e17f72")),
                Some(format!("{start} failed worker-lost")),
                Some(format!("{start} cancelled -")),
            ]
        );
    }

    #[test]
    fn a_line_names_its_id_even_when_it_is_torn_after_it() {
        let whole = line(&task(Status::Cancelled)).unwrap();

        assert_eq!(id_of(whole.as_bytes()), Some(task(Status::Cancelled).id));
        assert_eq!(id_of(&whole.as_bytes()[..64]), Some(task(Status::Cancelled).id));
        assert_eq!(id_of(&whole.as_bytes()[..63]), None);
        assert_eq!(id_of(b"abc \xff"), None);
    }

    #[test]
    fn what_begins_with_a_time_and_an_id_begins_like_ours() {
        let whole = line(&task(Status::Cancelled)).unwrap();
        let id = task(Status::Cancelled).id;

        assert!(begins_like_ours(whole.as_bytes()) && begins_like_ours(&whole.as_bytes()[..64]));
        for foreign in [
            whole[..63].to_owned(),
            format!("x{whole}"),
            format!("2023-11-14T22:13:20Z {id} md5"),
            format!("{id} {id}"),
            String::new(),
        ] {
            assert!(!begins_like_ours(foreign.as_bytes()), "{foreign}");
        }
    }
}
