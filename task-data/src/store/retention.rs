//! Retention: its part of the port. Tasks that ended long ago are deleted in the order of the feed, with all that belongs to them, and only
//! after each outcome log and the statistics have passed them.
//!
//! Each subject has a place in the feed, up to which it is done. So a step never reads again what an earlier one has passed, however much of
//! it is kept for longer.

use std::collections::HashSet;
use std::time::Duration;

use async_trait::async_trait;
use database::StoreError;
use database::pace::Took;
use database::types::{SqlTime, SqlUuid, TimeType, UuidType};
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Bool, Nullable, Text};

use super::feed::Place;
use crate::task::{Status, TaskId, Time};

/// A thing that retention deletes by a place of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    /// Tasks that ended with this status, with their attempts, rows and paid calls.
    Tasks(Status),
    /// The uploads of failed tasks, which are kept so that these can be retried.
    FailedUploads,
}

impl Subject {
    /// Every subject.
    pub const ALL: [Self; 4] = [
        Self::Tasks(Status::Succeeded),
        Self::Tasks(Status::Failed),
        Self::Tasks(Status::Cancelled),
        Self::FailedUploads,
    ];

    /// Returns the subject's name in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tasks(status) => status.name(),
            Self::FailedUploads => "failed-uploads",
        }
    }

    /// Returns the status of the tasks concerned.
    pub const fn status(self) -> Status {
        match self {
            Self::Tasks(status) => status,
            Self::FailedUploads => Status::Failed,
        }
    }
}

/// A step of retention.
#[derive(Debug, Clone, PartialEq)]
pub struct PruneStep {
    /// The subject to delete.
    pub subject: Subject,
    /// The least time since a task's end.
    pub age: Duration,
    /// About the most rows to delete; a batch of tasks that ended together is not divided.
    pub limit: i64,
    /// The outcome log that must have a place already: that of the process that asks.
    pub log: Option<String>,
}

/// The outcome of a step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// The number of tasks, of rows of tables, or of uploads in rows that were deleted.
    pub rows: u64,
    /// The tasks whose uploads are to be deleted from the blob store.
    pub blobs: Vec<TaskId>,
    /// Whether more may be old enough already.
    pub has_more: bool,
    /// How long it took.
    pub took: Took,
}

/// The outcome of deleting one task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purge {
    /// It is gone; whether it had an upload in the blob store.
    Done {
        /// Whether its upload is to be deleted from the blob store.
        has_blob: bool,
    },
    /// It has not ended.
    NotEnded,
    /// Another task continues it and has not ended.
    Continued,
    /// An outcome log has not written its line yet, or the statistics have not counted it.
    Unlogged,
    /// It is of a kind that only a newer version knows; nothing was changed.
    Newer,
    /// It does not exist.
    Unknown,
}

/// The deletion of what ended long ago.
#[async_trait]
pub trait Retention: Send + Sync {
    /// Makes a step, unless another process makes one with this subject now. A task that an unfinished one continues, or of a kind that
    /// only a newer version knows, holds up those behind it.
    async fn prune(&self, step: PruneStep) -> Result<Pruned, StoreError>;

    /// Returns when the last of the tasks ended that steps have passed; `None` if they have passed none.
    async fn pruned_until(&self) -> Result<Option<Time>, StoreError>;

    /// Deletes an ended task, if each outcome log that was written lately has its line and the statistics have counted it. Its place in the feed stays, without an outcome.
    async fn purge(&self, id: TaskId) -> Result<Purge, StoreError>;
}

/// Tasks that ended together, as a step reads them.
pub(super) struct Ended {
    pub place: Place,
    pub at: Time,
    pub ids: Vec<TaskId>,
    /// Whether they are old enough, and passed by each log and the statistics.
    pub may_go: bool,
}

/// The columns of a row of the feed but for its tasks, which each database stores in its own way.
#[derive(QueryableByName)]
pub(super) struct EndedRow {
    #[diesel(sql_type = BigInt)]
    pub no: i64,
    #[diesel(sql_type = TimeType)]
    pub appended: SqlTime,
    #[diesel(sql_type = Bool)]
    pub may_go: bool,
}

/// The place of a subject.
#[derive(QueryableByName)]
pub(super) struct SubjectRow {
    #[diesel(sql_type = BigInt)]
    pub no: i64,
}

/// When the last task ended that was passed.
#[derive(QueryableByName)]
pub(super) struct UntilRow {
    #[diesel(sql_type = Nullable<TimeType>)]
    pub until: Option<SqlTime>,
}

/// A task, and whether it had an upload in the blob store.
#[derive(QueryableByName)]
pub(super) struct GoneRow {
    #[diesel(sql_type = UuidType)]
    pub id: SqlUuid,
    #[diesel(sql_type = Bool)]
    pub has_blob: bool,
}

/// A task to purge.
#[derive(QueryableByName)]
pub(super) struct StandingRow {
    #[diesel(sql_type = Text)]
    pub status: String,
    #[diesel(sql_type = Bool)]
    has_ended: bool,
    #[diesel(sql_type = Bool)]
    is_known: bool,
    #[diesel(sql_type = Bool)]
    is_continued: bool,
    #[diesel(sql_type = Bool)]
    is_unlogged: bool,
}

impl StandingRow {
    /// Returns whether the task may be purged; `Done` if so.
    pub fn purge(&self) -> Purge {
        match self {
            Self { is_known: false, .. } => Purge::Newer,
            Self { has_ended: false, .. } => Purge::NotEnded,
            Self { is_continued: true, .. } => Purge::Continued,
            Self { is_unlogged: true, .. } => Purge::Unlogged,
            _ => Purge::Done { has_blob: false },
        }
    }
}

/// Returns the first of the rows, up to `limit` tasks but at least one row, that may all go and have none of these tasks.
pub(super) fn first_to_go(ended: Vec<Ended>, held: &HashSet<TaskId>, limit: i64) -> Vec<Ended> {
    let mut count = 0;
    let is_free = |ended: &Ended| ended.may_go && !ended.ids.iter().any(|id| held.contains(id));
    let fits = |ended: &Ended| {
        let is_first = count == 0;
        count += ended.ids.len() as i64;
        is_first || count <= limit
    };
    ended.into_iter().take_while(is_free).take_while(fits).collect()
}

/// Returns the ids of all these tasks.
pub(super) fn ids_in(ended: &[Ended]) -> Vec<TaskId> {
    ended.iter().flat_map(|ended| ended.ids.iter().copied()).collect()
}

/// Returns those of the tasks that had an upload in the blob store.
pub(super) fn blobs_of(gone: &[GoneRow]) -> Vec<TaskId> {
    gone.iter().filter(|gone| gone.has_blob).map(|gone| gone.id.into()).collect()
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    #[test]
    fn a_step_takes_whole_rows_up_to_the_first_that_must_stay() {
        let ids: Vec<TaskId> = (0..9).map(|_| TaskId::random()).collect();
        let ended = |no: usize, may_go| Ended {
            place: Place { no: no as i64, within: 3 },
            at: Time(DateTime::from_timestamp_micros(0).unwrap()),
            ids: ids[3 * no..3 * no + 3].to_vec(),
            may_go,
        };
        let taken = |young: usize, held: &[TaskId], limit| {
            let rows = (0..3).map(|no| ended(no, no < young)).collect();
            first_to_go(rows, &held.iter().copied().collect(), limit).len()
        };

        assert_eq!(taken(3, &[], 100), 3);
        assert_eq!(taken(3, &[], 6), 2);
        assert_eq!(taken(3, &[], 1), 1);
        assert_eq!(taken(2, &[], 100), 2);
        assert_eq!(taken(0, &[], 100), 0);
        assert_eq!(taken(3, &ids[4..5], 100), 1);
        assert_eq!(taken(3, &ids[..1], 100), 0);
    }
}
