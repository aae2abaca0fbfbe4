//! Retention in PostgreSQL. The process that has the lock on a subject's row makes the step; others don't wait for it.

use std::collections::HashSet;
use std::time::Instant;

use async_trait::async_trait;
use database::pace::Took;
use database::postgres::{STEPS, Session, answer};
use database::types::{SqlTime, SqlUuid, TimeType, UuidType, sql_ids};
use database::{Postgres, Prepared};
use diesel::result::QueryResult;
use diesel::sql_types::{Array, BigInt, Double, Nullable, Text};
use diesel::{OptionalExtension, QueryableByName, sql_query};
use diesel_async::{AsyncConnection, RunQueryDsl};

use super::super::StoreError;
use super::super::feed::{IdRow, Place, ids_of, known_kinds};
use super::super::followers::FOLLOWED_SECONDS;
use super::super::retention::{
    Ended, EndedRow, GoneRow, PruneStep, Pruned, Purge, Retention, StandingRow, Subject, SubjectRow,
    UntilRow, blobs_of, first_to_go, ids_in,
};
use crate::task::{TaskId, Time};

/// The most rows of the feed that a step reads.
const ROWS: i64 = 64;

#[async_trait]
impl Retention for Postgres {
    async fn prune(&self, step: PruneStep) -> Result<Pruned, StoreError> {
        let mut connection = self.get().await?;
        let step = (*connection).transaction(async |connection: &mut Session| {
            let begun = Instant::now();
            let pruned = pruned(connection, &step).await?;
            QueryResult::Ok(Pruned { took: Took::since(begun, STEPS), ..pruned })
        });
        answer(step).await
    }

    async fn pruned_until(&self) -> Result<Option<Time>, StoreError> {
        let mut connection = self.get().await?;
        let until = sql_query("SELECT max(until) AS until FROM retention WHERE subject <> 'failed-uploads'");
        let row: UntilRow = answer(Prepared(until).get_result(&mut connection)).await?;
        Ok(row.until.map(Time::from))
    }

    async fn purge(&self, id: TaskId) -> Result<Purge, StoreError> {
        let mut connection = self.get().await?;
        answer((*connection).transaction(async |connection: &mut Session| purged(connection, id).await)).await
    }
}

async fn pruned(connection: &mut Session, step: &PruneStep) -> QueryResult<Pruned> {
    let subject = sql_query("SELECT no FROM retention WHERE subject = $1 FOR UPDATE SKIP LOCKED");
    let subject = Prepared(subject.bind::<Text, _>(step.subject.name()));
    let Some(SubjectRow { no: after }) = subject.get_result(connection).await.optional()? else {
        return Ok(Pruned::default());
    };
    let ended: Vec<Ended> = read_ended(connection, step, after).await?;
    if ended.is_empty() {
        return Ok(Pruned::default());
    }
    let held = held(connection, step.subject, &ids_in(&ended)).await?;
    let is_last_read = (ended.len() as i64) < ROWS;
    let count = ended.len();
    let go = first_to_go(ended, &held, step.limit);
    let Some(last) = go.last() else { return Ok(Pruned::default()) };
    let (until, at) = (last.place, go.iter().map(|ended| ended.at).max());
    let has_more = !is_last_read || go.len() < count;
    let ids = ids_in(&go);

    let gone = match step.subject {
        Subject::FailedUploads => forget_contents(connection, &ids).await?,
        Subject::Tasks(status) => {
            let rows = delete_some_rows(connection, status.name(), &ids, step.limit).await?;
            if rows >= step.limit {
                return Ok(Pruned { rows: rows.cast_unsigned(), has_more: true, ..Pruned::default() });
            }
            let gone = delete_tasks(connection, status.name(), &ids).await?;
            let delete = sql_query(
                "DELETE FROM feed WHERE no > $1 AND no <= $2 AND NOT EXISTS (SELECT FROM tasks WHERE id = ANY (feed.tasks))",
            );
            let delete = delete.bind::<BigInt, _>(after).bind::<BigInt, _>(until.no);
            Prepared(delete).execute(connection).await?;
            gone
        }
    };
    let store = sql_query(
        "UPDATE retention SET no = $2, within = $3, until = greatest(until, $4) WHERE subject = $1",
    )
    .bind::<Text, _>(step.subject.name())
    .bind::<BigInt, _>(until.no)
    .bind::<BigInt, _>(until.within)
    .bind::<Nullable<TimeType>, _>(at.map(|at| SqlTime(at.0)));
    Prepared(store).execute(connection).await?;
    Ok(Pruned { rows: gone.len() as u64, blobs: blobs_of(&gone), has_more, ..Pruned::default() })
}

/// Reads the rows of the feed that follow a subject's place.
async fn read_ended(connection: &mut Session, step: &PruneStep, after: i64) -> QueryResult<Vec<Ended>> {
    let rows = sql_query(
        "SELECT no, appended, tasks, \
                appended <= now_plus(-$2) \
                AND NOT EXISTS (SELECT FROM followers WHERE kind = 'log' AND seen_at > now_plus(-$3) \
                                AND (followers.no, followers.within) < (feed.no, cardinality(feed.tasks))) \
                AND NOT EXISTS (SELECT FROM stats_place WHERE (stats_place.no, stats_place.within) < (feed.no, cardinality(feed.tasks))) \
                AND ($4 IS NULL OR EXISTS (SELECT FROM followers WHERE name = $4)) AS may_go \
         FROM feed WHERE no > $1 ORDER BY no LIMIT $5",
    )
    .bind::<BigInt, _>(after)
    .bind::<Double, _>(step.age.as_secs_f64())
    .bind::<Double, _>(FOLLOWED_SECONDS)
    .bind::<Nullable<Text>, _>(&step.log)
    .bind::<BigInt, _>(ROWS);
    let rows: Vec<FeedRow> = Prepared(rows).load(connection).await?;
    Ok(rows.into_iter().map(Ended::from).collect())
}

/// Returns those of the tasks that must stay: an unfinished one continues them, or only a newer version knows what belongs to them.
async fn held(connection: &mut Session, subject: Subject, ids: &[TaskId]) -> QueryResult<HashSet<TaskId>> {
    if subject == Subject::FailedUploads {
        return Ok(HashSet::new());
    }
    let held = sql_query(format!(
        "SELECT id FROM tasks WHERE id = ANY ($1) AND CAST(status AS text) = $2 \
         AND (kind NOT IN ({}) OR EXISTS (SELECT FROM tasks AS again WHERE again.retried_from = tasks.id AND again.finished IS NULL))",
        known_kinds()
    ))
    .bind::<Array<UuidType>, _>(sql_ids(ids))
    .bind::<Text, _>(subject.status().name());
    let held: Vec<IdRow> = Prepared(held).load(connection).await?;
    Ok(ids_of(held).into_iter().collect())
}

/// Empties the rows of failed tasks of their uploads, and returns those that had one there or in the blob store.
async fn forget_contents(connection: &mut Session, ids: &[TaskId]) -> QueryResult<Vec<GoneRow>> {
    let forget = sql_query(
        "UPDATE tasks SET content = NULL WHERE id = ANY ($1) AND CAST(status AS text) = 'failed' \
         AND (content IS NOT NULL OR blob_check IS NOT NULL) RETURNING id, blob_check IS NOT NULL AS has_blob",
    );
    Prepared(forget.bind::<Array<UuidType>, _>(sql_ids(ids))).load(connection).await
}

/// Deletes some of the rows of these tables, and returns how many.
async fn delete_some_rows(
    connection: &mut Session,
    status: &str,
    ids: &[TaskId],
    limit: i64,
) -> QueryResult<i64> {
    let delete = sql_query(
        "DELETE FROM table_rows WHERE ctid = ANY (ARRAY( \
            SELECT table_rows.ctid FROM table_rows JOIN tasks ON tasks.id = table_rows.task \
            WHERE table_rows.task = ANY ($1) AND CAST(tasks.status AS text) = $2 LIMIT $3))",
    )
    .bind::<Array<UuidType>, _>(sql_ids(ids))
    .bind::<Text, _>(status)
    .bind::<BigInt, _>(limit);
    Ok(Prepared(delete).execute(connection).await? as i64)
}

/// Deletes the tasks of that status, with what belongs to them but for rows of tables.
async fn delete_tasks(connection: &mut Session, status: &str, ids: &[TaskId]) -> QueryResult<Vec<GoneRow>> {
    let delete = sql_query(
        "DELETE FROM tasks WHERE id = ANY ($1) AND CAST(status AS text) = $2 \
         RETURNING id, blob_check IS NOT NULL AS has_blob",
    )
    .bind::<Array<UuidType>, _>(sql_ids(ids))
    .bind::<Text, _>(status);
    let gone: Vec<GoneRow> = Prepared(delete).load(connection).await?;
    let ids: Vec<SqlUuid> = gone.iter().map(|gone| gone.id).collect();
    for table in ["attempts", "paid_calls", "progress"] {
        Prepared(
            sql_query(format!("DELETE FROM {table} WHERE task = ANY ($1)")).bind::<Array<UuidType>, _>(&ids),
        )
        .execute(connection)
        .await?;
    }
    Ok(gone)
}

async fn purged(connection: &mut Session, id: TaskId) -> QueryResult<Purge> {
    let task = sql_query(format!(
        "SELECT CAST(status AS text) AS status, finished IS NOT NULL AS has_ended, kind IN ({}) AS is_known, \
                EXISTS (SELECT FROM tasks AS again WHERE again.retried_from = $1 AND again.finished IS NULL) AS is_continued, \
                EXISTS (SELECT FROM feed WHERE no IS NULL AND $1 = ANY (tasks)) \
                OR EXISTS (SELECT FROM followers, feed, unnest(tasks) WITH ORDINALITY AS one (task, within) \
                           WHERE followers.kind = 'log' AND seen_at > now_plus(-$2) AND feed.no >= followers.no \
                           AND (feed.no, one.within) > (followers.no, followers.within) AND one.task = $1 \
                           AND $1 <> ALL (followers.ahead)) \
                OR EXISTS (SELECT FROM stats_place, feed, unnest(tasks) WITH ORDINALITY AS one (task, within) \
                           WHERE feed.no >= stats_place.no AND (feed.no, one.within) > (stats_place.no, stats_place.within) \
                           AND one.task = $1) AS is_unlogged \
         FROM tasks WHERE id = $1 FOR UPDATE",
        known_kinds()
    ))
    .bind::<UuidType, _>(SqlUuid(id.0))
    .bind::<Double, _>(FOLLOWED_SECONDS);
    let task: Option<StandingRow> = Prepared(task).get_result(connection).await.optional()?;
    let purge = task.as_ref().map_or(Purge::Unknown, |task| task.purge());
    let (Purge::Done { .. }, Some(task)) = (purge, task) else { return Ok(purge) };
    let rows = sql_query("DELETE FROM table_rows WHERE task = $1").bind::<UuidType, _>(SqlUuid(id.0));
    Prepared(rows).execute(connection).await?;
    let gone = delete_tasks(connection, &task.status, &[id]).await?;
    Ok(Purge::Done { has_blob: gone.iter().any(|gone| gone.has_blob) })
}

#[derive(QueryableByName)]
struct FeedRow {
    #[diesel(embed)]
    ended: EndedRow,
    #[diesel(sql_type = Array<UuidType>)]
    tasks: Vec<SqlUuid>,
}

impl From<FeedRow> for Ended {
    fn from(FeedRow { ended, tasks }: FeedRow) -> Self {
        let ids: Vec<TaskId> = tasks.into_iter().map(TaskId::from).collect();
        let place = Place { no: ended.no, within: ids.len() as i64 };
        Self { place, at: ended.appended.into(), ids, may_go: ended.may_go }
    }
}
