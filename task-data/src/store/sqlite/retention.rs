//! Retention in SQLite. Its one writer makes the steps one after the other.

use std::collections::HashSet;
use std::time::Instant;

use async_trait::async_trait;
use database::pace::Took;
use database::sqlite::{STEPS, clock};
use database::types::{SqlTime, SqlUuid, TimeType, UuidType};
use database::{Prepared, Sqlite};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::sqlite::SqliteConnection;

use super::super::StoreError;
use super::super::feed::{IdRow, Place, ids_of, known_kinds};
use super::super::followers::FOLLOWED_SECONDS;
use super::super::retention::{
    Ended, EndedRow, GoneRow, PruneStep, Pruned, Purge, Retention, StandingRow, Subject, SubjectRow,
    UntilRow, blobs_of, first_to_go,
};
use crate::task::{TaskId, Time};

/// Places of the feed, after `after` up to and including `until`.
#[derive(Clone, Copy)]
struct Span {
    after: i64,
    until: i64,
}

#[async_trait]
impl Retention for Sqlite {
    async fn prune(&self, step: PruneStep) -> Result<Pruned, StoreError> {
        self.write(move |connection| {
            let begun = Instant::now();
            let pruned = pruned(connection, &step)?;
            Ok(Pruned { took: Took::since(begun, STEPS), ..pruned })
        })
        .await
    }

    async fn pruned_until(&self) -> Result<Option<Time>, StoreError> {
        self.read(|connection| {
            let until =
                sql_query("SELECT max(until) AS until FROM retention WHERE subject <> 'failed-uploads'");
            let row: UntilRow = Prepared(until).get_result(connection)?;
            Ok(row.until.map(Time::from))
        })
        .await
    }

    async fn purge(&self, id: TaskId) -> Result<Purge, StoreError> {
        self.write(move |connection| purged(connection, id)).await
    }
}

fn pruned(connection: &mut SqliteConnection, step: &PruneStep) -> Result<Pruned, StoreError> {
    let subject =
        sql_query("SELECT no FROM retention WHERE subject = ?1").bind::<Text, _>(step.subject.name());
    let SubjectRow { no: after } = Prepared(subject).get_result(connection)?;
    let ended = read_ended(connection, step, after)?;
    let Some(last_read) = ended.last().map(|ended| ended.place.no) else { return Ok(Pruned::default()) };
    let held = held(connection, step.subject, Span { after, until: last_read })?;
    let is_last_read = (ended.len() as i64) < step.limit;
    let count = ended.len();
    let go = first_to_go(ended, &held, step.limit);
    let Some(last) = go.last() else { return Ok(Pruned::default()) };
    let (until, at) = (last.place, go.iter().map(|ended| ended.at).max());
    let has_more = !is_last_read || go.len() < count;
    let span = Span { after, until: until.no };

    let gone = match step.subject {
        Subject::FailedUploads => forget_contents(connection, span)?,
        Subject::Tasks(status) => {
            let rows = delete_some_rows(connection, status.name(), span, step.limit)?;
            if rows >= step.limit {
                return Ok(Pruned { rows: rows.cast_unsigned(), has_more: true, ..Pruned::default() });
            }
            let gone = delete_tasks(connection, status.name(), span)?;
            let delete = sql_query(
                "DELETE FROM feed WHERE no > ?1 AND no <= ?2 AND NOT EXISTS (SELECT 1 FROM tasks WHERE id = feed.task)",
            );
            delete.bind::<BigInt, _>(span.after).bind::<BigInt, _>(span.until).execute(connection)?;
            gone
        }
    };
    sql_query(
        "UPDATE retention SET no = ?2, within = ?3, until = max(coalesce(until, ?4), ?4) WHERE subject = ?1",
    )
    .bind::<Text, _>(step.subject.name())
    .bind::<BigInt, _>(until.no)
    .bind::<BigInt, _>(until.within)
    .bind::<Nullable<TimeType>, _>(at.map(|at| SqlTime(at.0)))
    .execute(connection)?;
    Ok(Pruned { rows: gone.len() as u64, blobs: blobs_of(&gone), has_more, ..Pruned::default() })
}

/// Reads the rows of the feed that follow a subject's place.
fn read_ended(
    connection: &mut SqliteConnection,
    step: &PruneStep,
    after: i64,
) -> Result<Vec<Ended>, StoreError> {
    let ago = |seconds: f64, now: Time| {
        let ago = chrono::TimeDelta::microseconds((seconds * 1e6) as i64);
        now.0.checked_sub_signed(ago).map_or(SqlTime(chrono::DateTime::UNIX_EPOCH), SqlTime)
    };
    let now = clock(connection)?;
    let rows = sql_query(
        "SELECT no, appended, task, \
                appended <= ?2 \
                AND NOT EXISTS (SELECT 1 FROM followers WHERE kind = 'log' AND seen_at > ?3 AND (followers.no, followers.within) < (feed.no, 1)) \
                AND NOT EXISTS (SELECT 1 FROM stats_place WHERE (stats_place.no, stats_place.within) < (feed.no, 1)) \
                AND (?4 IS NULL OR EXISTS (SELECT 1 FROM followers WHERE name = ?4)) AS may_go \
         FROM feed WHERE no > ?1 ORDER BY no LIMIT ?5",
    )
    .bind::<BigInt, _>(after)
    .bind::<TimeType, _>(ago(step.age.as_secs_f64(), now))
    .bind::<TimeType, _>(ago(FOLLOWED_SECONDS, now))
    .bind::<Nullable<Text>, _>(step.log.clone())
    .bind::<BigInt, _>(step.limit);
    let rows: Vec<FeedRow> = Prepared(rows).load(connection)?;
    Ok(rows.into_iter().map(Ended::from).collect())
}

/// Returns those of the tasks that must stay: an unfinished one continues them, or only a newer version knows what belongs to them.
fn held(
    connection: &mut SqliteConnection,
    subject: Subject,
    span: Span,
) -> Result<HashSet<TaskId>, StoreError> {
    if subject == Subject::FailedUploads {
        return Ok(HashSet::new());
    }
    let held = sql_query(format!(
        "SELECT id FROM tasks WHERE id IN (SELECT task FROM feed WHERE no > ?1 AND no <= ?2) AND +status = ?3 \
         AND (kind NOT IN ({}) OR EXISTS (SELECT 1 FROM tasks AS again WHERE again.retried_from = tasks.id AND again.finished IS NULL))",
        known_kinds()
    ))
    .bind::<BigInt, _>(span.after)
    .bind::<BigInt, _>(span.until)
    .bind::<Text, _>(subject.status().name());
    let held: Vec<IdRow> = Prepared(held).load(connection)?;
    Ok(ids_of(held).into_iter().collect())
}

/// Empties the rows of failed tasks of their uploads, and returns those that had one there or in the blob store.
fn forget_contents(connection: &mut SqliteConnection, span: Span) -> Result<Vec<GoneRow>, StoreError> {
    let forget = sql_query(
        "UPDATE tasks SET content = NULL WHERE id IN (SELECT task FROM feed WHERE no > ?1 AND no <= ?2) AND +status = 'failed' \
         AND (content IS NOT NULL OR blob_check IS NOT NULL) RETURNING id, blob_check IS NOT NULL AS has_blob",
    )
    .bind::<BigInt, _>(span.after)
    .bind::<BigInt, _>(span.until);
    Ok(Prepared(forget).load(connection)?)
}

/// Deletes some of the rows of these tables, and returns how many.
fn delete_some_rows(
    connection: &mut SqliteConnection,
    status: &str,
    span: Span,
    limit: i64,
) -> Result<i64, StoreError> {
    let delete = sql_query(
        "DELETE FROM table_rows WHERE rowid IN ( \
            SELECT table_rows.rowid FROM feed JOIN tasks ON tasks.id = feed.task JOIN table_rows ON table_rows.task = tasks.id \
            WHERE feed.no > ?1 AND feed.no <= ?2 AND +tasks.status = ?3 LIMIT ?4)",
    )
    .bind::<BigInt, _>(span.after)
    .bind::<BigInt, _>(span.until)
    .bind::<Text, _>(status)
    .bind::<BigInt, _>(limit);
    Ok(delete.execute(connection)? as i64)
}

/// Deletes the tasks of that status, with what belongs to them but for rows of tables.
fn delete_tasks(
    connection: &mut SqliteConnection,
    status: &str,
    span: Span,
) -> Result<Vec<GoneRow>, StoreError> {
    let delete = sql_query(
        "DELETE FROM tasks WHERE id IN (SELECT task FROM feed WHERE no > ?1 AND no <= ?2) AND +status = ?3 \
         RETURNING id, blob_check IS NOT NULL AS has_blob",
    )
    .bind::<BigInt, _>(span.after)
    .bind::<BigInt, _>(span.until)
    .bind::<Text, _>(status);
    let gone: Vec<GoneRow> = Prepared(delete).load(connection)?;
    for gone in &gone {
        delete_beside(connection, gone.id)?;
    }
    Ok(gone)
}

/// Deletes what belongs to a task, but for its rows.
fn delete_beside(connection: &mut SqliteConnection, id: SqlUuid) -> Result<(), StoreError> {
    use database::schema::{attempts, paid_calls, progress};
    diesel::delete(attempts::table.filter(attempts::task.eq(id))).execute(connection)?;
    diesel::delete(paid_calls::table.filter(paid_calls::task.eq(id))).execute(connection)?;
    diesel::delete(progress::table.filter(progress::task.eq(id))).execute(connection)?;
    Ok(())
}

fn purged(connection: &mut SqliteConnection, id: TaskId) -> Result<Purge, StoreError> {
    use database::schema::{table_rows, tasks};
    let sql_id = SqlUuid(id.0);
    let followed = clock(connection)?.0 - chrono::TimeDelta::seconds(FOLLOWED_SECONDS as i64);
    let task = sql_query(format!(
        "SELECT status, finished IS NOT NULL AS has_ended, kind IN ({}) AS is_known, \
                EXISTS (SELECT 1 FROM tasks AS again WHERE again.retried_from = ?1 AND again.finished IS NULL) AS is_continued, \
                EXISTS (SELECT 1 FROM followers JOIN feed ON feed.no >= followers.no \
                        WHERE followers.kind = 'log' AND seen_at > ?2 AND (feed.no, 1) > (followers.no, followers.within) \
                        AND feed.task = ?1 AND instr(followers.ahead, ?1) = 0) \
                OR EXISTS (SELECT 1 FROM stats_place JOIN feed ON feed.no >= stats_place.no \
                           WHERE (feed.no, 1) > (stats_place.no, stats_place.within) AND feed.task = ?1) AS is_unlogged \
         FROM tasks WHERE id = ?1",
        known_kinds()
    ))
    .bind::<UuidType, _>(sql_id)
    .bind::<TimeType, _>(SqlTime(followed));
    let task: Option<StandingRow> = task.get_result(connection).optional()?;
    let purge = task.map_or(Purge::Unknown, |task| task.purge());
    let Purge::Done { .. } = purge else { return Ok(purge) };
    let has_blob: bool = tasks::table
        .filter(tasks::id.eq(sql_id))
        .select(tasks::blob_check.is_not_null())
        .get_result(connection)?;
    diesel::delete(table_rows::table.filter(table_rows::task.eq(sql_id))).execute(connection)?;
    diesel::delete(tasks::table.filter(tasks::id.eq(sql_id))).execute(connection)?;
    delete_beside(connection, sql_id)?;
    Ok(Purge::Done { has_blob })
}

#[derive(QueryableByName)]
struct FeedRow {
    #[diesel(embed)]
    ended: EndedRow,
    #[diesel(sql_type = UuidType)]
    task: SqlUuid,
}

impl From<FeedRow> for Ended {
    fn from(FeedRow { ended, task }: FeedRow) -> Self {
        let place = Place { no: ended.no, within: 1 };
        Self { place, at: ended.appended.into(), ids: vec![task.into()], may_go: ended.may_go }
    }
}
