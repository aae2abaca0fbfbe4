//! Queries for the outcome log: which lines are due, which are written, and how far the file is known.

use database::now;
use database::schema::{log_head, tasks};
use database::types::{SqlUuid, sql_ids};
use diesel::dsl::{auto_type, update};
use diesel::expression::SqlLiteral;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use shared_log::Head;

use super::rows::{TASK_COLUMNS, TaskColumns};
use super::tasks::is_known;
use crate::task::TaskId;

/// A log's head as it is stored; unsigned numbers keep their bits.
#[derive(Debug, Clone, PartialEq, Queryable, Insertable, AsChangeset)]
#[diesel(table_name = log_head)]
pub struct HeadRow {
    pub log: String,
    pub generation: i32,
    pub dev: i64,
    pub ino: i64,
    pub committed: i64,
    pub tail_check: i64,
}

impl HeadRow {
    /// Creates the row of that log.
    pub fn new(log: String, head: &Head) -> Self {
        Self {
            log,
            generation: head.generation.cast_signed(),
            dev: head.dev.cast_signed(),
            ino: head.ino.cast_signed(),
            committed: head.committed.cast_signed(),
            tail_check: head.tail_check,
        }
    }
}

impl From<HeadRow> for Head {
    fn from(row: HeadRow) -> Self {
        Self {
            generation: row.generation.cast_unsigned(),
            dev: row.dev.cast_unsigned(),
            ino: row.ino.cast_unsigned(),
            committed: row.committed.cast_unsigned(),
            tail_check: row.tail_check,
        }
    }
}

/// Selects the position at which that log was last committed.
#[auto_type]
pub fn head(log: &str) -> _ {
    let log: String = log.to_owned();
    log_head::table.filter(log_head::log.eq(log))
}

/// Replaces the generation that was seen by a new one.
#[auto_type]
pub fn begin(seen: u32, new: HeadRow) -> _ {
    let log: String = new.log.clone();
    let seen: i32 = seen.cast_signed();
    update(log_head::table).filter(log_head::log.eq(log)).filter(log_head::generation.eq(seen)).set(new)
}

/// Moves the head on within its generation.
#[auto_type]
pub fn advance(new: HeadRow) -> _ {
    let log: String = new.log.clone();
    let generation: i32 = new.generation;
    let committed: i64 = new.committed;
    update(log_head::table)
        .filter(log_head::log.eq(log))
        .filter(log_head::generation.eq(generation))
        .filter(log_head::committed.lt(committed))
        .set(new)
}

/// Selects ended tasks without a line, oldest end first.
#[auto_type]
pub fn unlogged(limit: i64) -> _ {
    let is_known: SqlLiteral<Bool> = is_known();
    let columns: TaskColumns = TASK_COLUMNS;
    tasks::table
        .filter(tasks::finished.is_not_null())
        .filter(tasks::logged_at.is_null())
        .filter(is_known)
        .order(tasks::finished)
        .limit(limit)
        .select(columns)
}

/// Marks these tasks as logged.
#[auto_type]
pub fn mark_logged(ids: &[TaskId]) -> _ {
    let ids: Vec<SqlUuid> = sql_ids(ids);
    let now: now = now();
    update(tasks::table)
        .filter(tasks::id.eq_any(ids))
        .filter(tasks::logged_at.is_null())
        .set(tasks::logged_at.eq(now.nullable()))
}
