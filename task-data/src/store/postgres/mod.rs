//! The distributed adapter: PostgreSQL, shared by many processes.
//!
//! The queries are those of `store/tasks.rs` and its neighbours. Statements for a whole batch are written in SQL, because diesel has no
//! `unnest`. Rows that are read to be written are locked, which gives the isolation that SQLite has by its single writer.

mod feed;
mod followers;
mod leases;
mod paid_calls;
mod pauses;
mod progress;
mod retention;
mod stats;
mod table_rows;
mod workers;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use database::postgres::{Session, answer};
use database::schema::tasks;
use database::types::{JsonType, SqlJson, SqlTime, SqlUuid, TimeType, UuidType, sql_ids};
use database::{Postgres, Prepared, UserId};
use diesel::dsl::{count_star, sql};
use diesel::pg::Pg;
use diesel::result::QueryResult;
use diesel::sql_types::{Array, BigInt, Binary, Bool, Double, Nullable, Text};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, sql_query};
use diesel_async::{AsyncConnection, RunQueryDsl};

use super::attempts::{self, RecordedRow, into_attempts, into_retries};
use super::lists::{self, Lead, PlaceRow, Rest, SizeRow, Walk};
use super::rows::{
    ClaimRow, Next, RunningRow, SmallRow, TASK_COLUMNS, TaskRow, TicketRow, idempotency_columns, into_keyed,
    into_small, into_tasks, summed,
};
use super::tasks::TaskEnd;
use super::walked::walked;
use super::{
    Attempt, BLOB_IS_FRESH, Cancel, Claim, Claims, Completion, Filter, HandBack, Holdings, Keyed, KindStats,
    ListPlace, Moved, NewTask, Payload, Period, PoolUse, Retry, Rules, StoreError, TaskCount, TaskPage,
    Tasks, Upload, tasks as queries,
};
use crate::idempotency::OwnedKey;
use crate::kinds::Kind;
use crate::task::{Status, Task, TaskError, TaskId, Ticket, Time, WorkerId};

walked!(Pg, "~>=~", "~<~");

#[async_trait]
impl Tasks for Postgres {
    async fn insert(&self, mut new: Vec<NewTask>, grace: Duration) -> Result<Vec<Task>, StoreError> {
        let mut connection = self.get().await?;
        // In one order everywhere, so that two statements that insert the same keys never deadlock.
        new.sort_by_cached_key(NewTask::owned_key);
        let (mut ids, mut kinds, mut inputs) = (Vec::new(), Vec::new(), Vec::new());
        let (mut contents, mut checks, mut sinces) = (Vec::new(), Vec::new(), Vec::new());
        let (mut owners, mut keys, mut sums) = (Vec::new(), Vec::new(), Vec::new());
        let mut retried = Vec::new();
        for NewTask { id, kind, owner, input, payload, idempotency, retried_from } in &new {
            let (content, check, since) = match payload {
                Payload::None => (None, None, None),
                Payload::Inline(bytes) => (Some(bytes.as_slice()), None, None),
                Payload::Blob { check, since } => (None, Some(*check), Some(SqlTime(since.0))),
            };
            ids.push(SqlUuid::from(*id));
            kinds.push(kind.name());
            owners.push(owner.map(|owner| SqlUuid(owner.0)));
            inputs.push(SqlJson(input.clone()));
            contents.push(content);
            checks.push(check);
            sinces.push(since);
            let (key, sum) = idempotency_columns(idempotency.clone());
            keys.push(key);
            sums.push(sum);
            retried.push(retried_from.map(SqlUuid::from));
        }
        // The statement itself reads the clock: a process that slept before it must not promise an old blob's bytes.
        let insert = sql_query(
            "INSERT INTO tasks (id, kind, status, owner, created, input, content, blob_check, idempotency_key, content_sha256, \
                                sweep_at, retried_from) \
             SELECT id, kind, 'pending', owner, now_plus(0), input, content, blob_check, key, sum, now_plus($11), retried_from \
             FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $12) \
                 AS new (id, kind, owner, input, content, blob_check, key, sum, since, retried_from) \
             WHERE since IS NULL OR clock_timestamp() < since + make_interval(secs => $10) \
             ON CONFLICT DO NOTHING \
             RETURNING id, created",
        )
        .bind::<Array<UuidType>, _>(ids)
        .bind::<Array<Text>, _>(kinds)
        .bind::<Array<Nullable<UuidType>>, _>(owners)
        .bind::<Array<JsonType>, _>(inputs)
        .bind::<Array<Nullable<Binary>>, _>(contents)
        .bind::<Array<Nullable<BigInt>>, _>(checks)
        .bind::<Array<Nullable<Text>>, _>(keys)
        .bind::<Array<Nullable<Binary>>, _>(sums)
        .bind::<Array<Nullable<TimeType>>, _>(sinces)
        .bind::<Double, _>(BLOB_IS_FRESH.as_secs_f64())
        .bind::<Double, _>(grace.as_secs_f64())
        .bind::<Array<Nullable<UuidType>>, _>(retried);
        let made: Vec<MadeRow> = answer(Prepared(insert).load(&mut connection)).await?;
        let made: HashMap<TaskId, Time> =
            made.into_iter().map(|row| (row.id.into(), row.created.into())).collect();
        let left_out: Vec<TaskId> =
            new.iter().map(|task| task.id).filter(|id| !made.contains_key(id)).collect();
        let mut standing = match left_out.is_empty() {
            true => Vec::new(),
            // An error now says nothing about the rows that were inserted.
            false => into_tasks(
                answer(queries::by_ids(&left_out).load(&mut connection))
                    .await
                    .map_err(|error| StoreError::Unknown(Arc::new(error)))?,
            ),
        };
        let made_of = |task: NewTask| made.get(&task.id).map(|created| task.made(*created));
        standing.extend(new.into_iter().filter_map(made_of));
        Ok(standing)
    }

    async fn find(&self, ids: Vec<TaskId>) -> Result<Vec<Task>, StoreError> {
        let mut connection = self.get().await?;
        Ok(into_tasks(answer(queries::by_ids(&ids).load(&mut connection)).await?))
    }

    async fn keyed(&self, keys: Vec<OwnedKey>) -> Result<Vec<Keyed>, StoreError> {
        let mut connection = self.get().await?;
        Ok(into_keyed(answer(queries::by_keys(&keys).load(&mut connection)).await?, &keys))
    }

    async fn list(&self, filter: Filter) -> Result<TaskPage, StoreError> {
        let (mut connection, _turn) = self.get_long().await?;
        let mut walk = Walk::of(&filter);
        let cut = answer(cut(&mut connection, &mut walk, lists::LOOKED_AT)).await?;
        let sizes = listed(&walk).select(((tasks::id, walk.lead.finished()), lists::task_bytes()));
        let sizes = sizes.order(walk.lead.order(walk.order)).limit(filter.limit + 1);
        let sizes: Vec<SizeRow> = answer(sizes.load(&mut connection)).await?;
        let Some((first, last, count, has_more)) = lists::page_of(&sizes, filter.limit) else {
            return Ok(TaskPage { tasks: Vec::new(), next: cut });
        };
        let walk = walk.between(first, last);
        let page = listed(&walk).select(TASK_COLUMNS).order(walk.lead.order(walk.order)).limit(count);
        let tasks = into_tasks(answer(page.load(&mut connection)).await?);
        let next = lists::next_of(&walk, &tasks, (last, count), if has_more { Some(last) } else { cut });
        Ok(TaskPage { tasks, next })
    }

    async fn count(&self, filter: Filter, most: i64) -> Result<TaskCount, StoreError> {
        let (mut connection, _turn) = self.get_long().await?;
        let mut walk = Walk::to_count(&filter);
        let cut = answer(cut(&mut connection, &mut walk, lists::COUNTED_AMONG)).await?;
        let ids = listed(&walk).select(tasks::id).order(walk.lead.order(walk.order)).limit(most + 1);
        let ids: Vec<SqlUuid> = answer(ids.load(&mut connection)).await?;
        Ok(lists::counted(ids.len(), most, cut))
    }

    async fn count_on(&self, filter: Filter, rows: i64) -> Result<(i64, Option<ListPlace>), StoreError> {
        let (mut connection, _turn) = self.get_long().await?;
        let mut walk = Walk::of(&filter);
        let cut = answer(cut(&mut connection, &mut walk, rows)).await?;
        let count = listed(&walk).select(count_star());
        Ok((answer(count.get_result(&mut connection)).await?, cut))
    }

    async fn mark_published(&self, tickets: Vec<Ticket>) -> Result<(), StoreError> {
        let mut connection = self.get().await?;
        for (attempt, ids) in queries::by_attempt(tickets) {
            // Locked rows are skipped: another worker is claiming them. Waiting for them, while others wait for rows that are locked here
            // already, could deadlock, which the database resolves only after a second. And the ids are named once: with two lists for one
            // column, PostgreSQL (to 16, `_bt_advance_array_keys`) tries each id of one with each of the other.
            let are_free = sql::<Bool>("id = ANY(ARRAY(SELECT id FROM tasks WHERE id = ANY(")
                .bind::<Array<UuidType>, _>(sql_ids(&ids))
                .sql(") AND status::text = 'pending' FOR UPDATE SKIP LOCKED))");
            let mark = queries::mark_published(attempt).filter(are_free);
            answer(Prepared(mark).execute(&mut connection)).await?;
        }
        Ok(())
    }

    async fn claim(&self, ids: Vec<TaskId>, worker: WorkerId) -> Result<Claims, StoreError> {
        let mut connection = self.get().await?;
        // The lock that a pause waits for comes before those of the rows: a pause and a claim never deadlock. And the rows are
        // locked in the order of the ids, as `complete` does: a claim and the end of small work that was delivered twice never deadlock.
        let in_order = sql::<Bool>("id = ANY(ARRAY(SELECT id FROM tasks WHERE id = ANY(")
            .bind::<Array<UuidType>, _>(sql_ids(&ids))
            .sql(") AND status::text = 'pending' AND kind <> ALL((SELECT paused_kinds())::text[]) ORDER BY id FOR UPDATE))");
        let claim = queries::claim(worker).filter(in_order);
        let rows: Vec<ClaimRow> = answer(Prepared(claim).get_results(&mut connection)).await?;
        let claimed =
            rows.into_iter().map(|row| Ok(row.try_into()?)).collect::<Result<Vec<_>, StoreError>>()?;
        // Any claim proves that the lease was live and the kind not paused; only without one they must be checked.
        if !claimed.is_empty() {
            return Ok(Claims { claimed, waiting: Vec::new(), lease_is_live: true });
        }
        let live = queries::live_lease(worker.into()).select(count_star());
        let lease_is_live = answer(live.get_result::<i64>(&mut connection)).await? > 0;
        let waiting: Vec<SqlUuid> = match lease_is_live {
            true => answer(queries::claimable(&ids).load(&mut connection)).await?,
            false => Vec::new(),
        };
        Ok(Claims { claimed, waiting: waiting.into_iter().map(TaskId::from).collect(), lease_is_live })
    }

    async fn small(&self, ids: Vec<TaskId>, bytes: i64) -> Result<Vec<Claim>, StoreError> {
        let mut connection = self.get().await?;
        let rows: Vec<SmallRow> = answer(Prepared(queries::small(&ids, bytes)).load(&mut connection)).await?;
        Ok(into_small(rows)?)
    }

    async fn complete(
        &self,
        mut completions: Vec<Completion>,
        rules: Rules,
    ) -> Result<Vec<TaskId>, StoreError> {
        let mut connection = self.get().await?;
        // In one order everywhere, so that two statements that end the same pending tasks never deadlock.
        completions.sort_by_key(|completion| completion.id);
        let has_small = completions.iter().any(|completion| completion.from == Status::Pending);
        let (mut ids, mut befores, mut attempts) = (Vec::new(), Vec::new(), Vec::new());
        let (mut statuses, mut results) = (Vec::new(), Vec::new());
        let (mut codes, mut details) = (Vec::new(), Vec::new());
        for Completion { id, from, attempt, outcome } in completions {
            let (status, result, error) = match outcome {
                Ok(result) => (Status::Succeeded, Some(SqlJson(result)), None),
                Err(error) => (Status::Failed, None, Some(error)),
            };
            ids.push(SqlUuid::from(id));
            befores.push(from.name());
            attempts.push(attempt);
            statuses.push(status.name());
            results.push(result);
            codes.push(error.as_ref().map(|error| error.code.clone()));
            details.push(error.map(|error| error.detail));
        }
        let keeps = |status: &Status| rules.keep_uploads.keeps(*status);
        let keep: Vec<&str> =
            Status::ALL.iter().filter(|status| keeps(status)).map(|status| status.name()).collect();
        // Small work begins here, so pauses are looked for: before the first row is locked, as by a claim.
        // The status is compared as text: see `stands`. An array of one id is used because a join might read all tasks through an index.
        let complete = sql_query(
            "WITH ended AS ( \
                UPDATE tasks SET status = new.status::taskstatus, attempt = new.attempt, result = new.result, error_code = new.code, \
                    error_detail = new.detail, finished = now_plus(0), logged_at = now_plus(0), worker = NULL, \
                    started = CASE WHEN is_unclaimed THEN now_plus(0) ELSE started END, \
                    content = CASE WHEN new.status = ANY($8) THEN content END \
                FROM (SELECT *, before = 'pending' AS is_unclaimed FROM unnest($1, $2, $3, $4, $5, $6, $7) \
                        AS new (id, before, attempt, status, result, code, detail)) AS new \
                WHERE tasks.id = ANY(ARRAY[new.id]) AND tasks.status::text = before \
                    AND tasks.attempt = new.attempt - is_unclaimed::int AND NOT (is_unclaimed AND cancel_requested) \
                    AND (kind <> ALL((SELECT CASE WHEN $9 THEN paused_kinds() END)::text[]) OR NOT is_unclaimed) \
                RETURNING tasks.id, tasks.finished \
             ), fed AS ( \
                INSERT INTO feed (appended, tasks) SELECT max(finished), array_agg(id) FROM ended HAVING count(*) > 0 \
             ) \
             SELECT id FROM ended",
        )
        .bind::<Array<UuidType>, _>(ids)
        .bind::<Array<Text>, _>(befores)
        .bind::<Array<BigInt>, _>(attempts)
        .bind::<Array<Text>, _>(statuses)
        .bind::<Array<Nullable<JsonType>>, _>(results)
        .bind::<Array<Nullable<Text>>, _>(codes)
        .bind::<Array<Nullable<Text>>, _>(details)
        .bind::<Array<Text>, _>(keep)
        .bind::<Bool, _>(has_small);
        let ended: Vec<EndedRow> = answer(Prepared(complete).load(&mut connection)).await?;
        Ok(ended.into_iter().map(|row| row.id.into()).collect())
    }

    async fn hand_back(&self, returns: Vec<HandBack>, rules: Rules) -> Result<Vec<Moved>, StoreError> {
        let mut connection = self.get().await?;
        let moved = (*connection).transaction(async |connection: &mut Session| {
            let mut moved = Vec::with_capacity(returns.len());
            for HandBack { id, attempt, after, charge, waits_for } in returns {
                let row: Option<RunningRow> =
                    queries::running(&[id]).for_update().get_result(connection).await.optional()?;
                if let Some(row) = row.filter(|row| row.attempt == attempt) {
                    let seconds = after.as_secs_f64();
                    moved.push(move_on(connection, &row, (charge, waits_for), seconds, rules).await?);
                }
            }
            feed::enter(connection, &Moved::ended(&moved)).await?;
            QueryResult::Ok(moved)
        });
        answer(moved).await
    }

    async fn cancel(&self, id: TaskId, rules: Rules) -> Result<Cancel, StoreError> {
        let mut connection = self.get().await?;
        let rows = (*connection).transaction(async |connection: &mut Session| {
            let row: Option<TaskRow> =
                queries::by_ids(&[id]).for_update().get_result(connection).await.optional()?;
            let Some(row) = row else { return QueryResult::Ok(None) };
            let (before, attempt) = (row.status(), row.attempt());
            match before {
                Status::Succeeded | Status::Failed | Status::Cancelled => return Ok(Some((before, row))),
                Status::Pending | Status::Running if row.kind().known().is_none() => {
                    return Ok(Some((before, row)));
                }
                Status::Pending => {
                    let error = Some(TaskError::cancelled());
                    let (from, status) = (Status::Pending, Status::Cancelled);
                    let end = TaskEnd { from, is_whole_attempt: false, status, result: None, error };
                    queries::end(id, attempt, end, rules).execute(connection).await?;
                    feed::enter(connection, &[id]).await?;
                }
                Status::Running => {
                    queries::request_cancel(id).execute(connection).await?;
                }
            }
            let row: TaskRow = queries::by_ids(&[id]).get_result(connection).await?;
            Ok(Some((before, row)))
        });
        Ok(match answer(rows).await? {
            None => Cancel::Unknown,
            Some((before, row)) if before.is_ended() => Cancel::Ended(row.into()),
            Some((_, row)) if row.kind().known().is_none() => Cancel::Newer(row.into()),
            Some((_, row)) => Cancel::Accepted(row.into()),
        })
    }

    async fn due(&self, limit: i64, repeat: Duration) -> Result<Vec<Ticket>, StoreError> {
        let mut connection = self.get().await?;
        let rows = (*connection).transaction(async |connection: &mut Session| {
            let rows: Vec<TicketRow> =
                queries::due(limit).for_update().skip_locked().load(connection).await?;
            let ids: Vec<TaskId> = rows.iter().map(|row| row.0.into()).collect();
            Prepared(queries::due_in(&ids, repeat.as_secs_f64())).execute(connection).await?;
            QueryResult::Ok(rows)
        });
        answer(rows).await?.into_iter().map(|row| Ok(row.try_into()?)).collect()
    }

    async fn unqueued(
        &self,
        kind: Kind,
        limit: i64,
        published_ago: Duration,
    ) -> Result<Vec<TaskId>, StoreError> {
        let mut connection = self.get().await?;
        let unqueued = queries::unqueued(kind, limit, published_ago.as_secs_f64());
        let ids: Vec<SqlUuid> = answer(unqueued.load(&mut connection)).await?;
        Ok(ids.into_iter().map(TaskId::from).collect())
    }

    async fn due_again(&self, ids: Vec<TaskId>) -> Result<(), StoreError> {
        let mut connection = self.get().await?;
        answer(queries::due_in(&ids, 0.0).execute(&mut connection)).await?;
        Ok(())
    }

    async fn attempts(&self, id: TaskId) -> Result<Vec<Attempt>, StoreError> {
        let mut connection = self.get().await?;
        let read = (*connection).transaction(async |connection: &mut Session| {
            let recorded: Vec<RecordedRow> = attempts::recorded(id).load(connection).await?;
            QueryResult::Ok((recorded, attempts::last(id).get_result(connection).await.optional()?))
        });
        let (recorded, last) = answer(read).await?;
        Ok(into_attempts(recorded, last))
    }

    async fn retries(&self, id: TaskId) -> Result<Vec<Retry>, StoreError> {
        let mut connection = self.get().await?;
        Ok(into_retries(answer(attempts::retries(id).load(&mut connection)).await?))
    }

    async fn upload(&self, id: TaskId) -> Result<Option<Upload>, StoreError> {
        let mut connection = self.get().await?;
        let row = answer(async { queries::upload(id).get_result(&mut connection).await.optional() }).await?;
        Ok(row.and_then(queries::into_upload))
    }

    async fn pending(&self) -> Result<i64, StoreError> {
        let mut connection = self.get().await?;
        answer(queries::pending().get_result(&mut connection)).await
    }

    async fn holdings(&self, owner: UserId) -> Result<Holdings, StoreError> {
        let mut connection = self.get().await?;
        let (pending, bytes) = answer(queries::holdings(owner).get_result(&mut connection)).await?;
        Ok(Holdings { pending, bytes })
    }

    async fn published_before(
        &self,
        kind: Kind,
        ago: Duration,
        limit: i64,
    ) -> Result<Vec<Ticket>, StoreError> {
        let mut connection = self.get().await?;
        let published = queries::published_before(kind, ago.as_secs_f64(), limit);
        let rows: Vec<TicketRow> = answer(published.load(&mut connection)).await?;
        rows.into_iter().map(|row| Ok(row.try_into()?)).collect()
    }

    async fn stats(&self, kind: Kind) -> Result<KindStats, StoreError> {
        let mut connection = self.get().await?;
        let pending = answer(queries::stats(kind, Status::Pending).get_result(&mut connection)).await?;
        let running = answer(queries::stats(kind, Status::Running).get_result(&mut connection)).await?;
        let now: SqlTime = answer(diesel::select(database::now()).get_result(&mut connection)).await?;
        Ok(KindStats::from_rows(kind, pending, running, now.into()))
    }

    async fn newer_kinds(&self) -> Result<Vec<(String, i64)>, StoreError> {
        let mut connection = self.get().await?;
        let mut kinds = Vec::new();
        for status in [Status::Pending, Status::Running] {
            let of_status = queries::newer_kinds(status);
            kinds.extend(answer(of_status.load::<(String, i64)>(&mut connection)).await?);
        }
        Ok(summed(kinds))
    }

    fn pool_use(&self) -> PoolUse {
        self.pool_use()
    }
}

#[derive(diesel::QueryableByName)]
struct MadeRow {
    #[diesel(sql_type = UuidType)]
    id: SqlUuid,
    #[diesel(sql_type = TimeType)]
    created: SqlTime,
}

#[derive(diesel::QueryableByName)]
struct EndedRow {
    #[diesel(sql_type = UuidType)]
    id: SqlUuid,
}

/// Ends the way at the last of so many rows, if it may be long. Returns the place of that row.
async fn cut(connection: &mut Session, walk: &mut Walk, rows: i64) -> QueryResult<Option<ListPlace>> {
    if !walk.may_be_long() {
        return Ok(None);
    }
    let last = walked(walk).select((tasks::id, walk.lead.finished())).order(walk.lead.order(walk.order));
    let last: Option<PlaceRow> = last.offset(rows - 1).limit(1).get_result(connection).await.optional()?;
    let last = last.map(lists::place);
    last.into_iter().for_each(|place| walk.end_at(place));
    Ok(last)
}

/// Moves a running row on in its transaction, by the error that is charged or the reason that it waits for. The transaction must then enter
/// it in the feed if it has ended. Returns the task in its new state.
async fn move_on(
    connection: &mut Session,
    row: &RunningRow,
    (charge, waits_for): (Option<TaskError>, Option<TaskError>),
    seconds: f64,
    rules: Rules,
) -> QueryResult<Moved> {
    let id = row.id.into();
    if let Some(error) = &charge {
        attempts::record(row, error).execute(connection).await?;
    }
    let next = row.next(charge, waits_for, rules);
    match next.clone() {
        Next::Again { tries, error } => {
            queries::release(id, row.attempt, tries, error, seconds).execute(connection).await?;
        }
        Next::Ended { status, error } => {
            let (from, error) = (Status::Running, Some(error));
            let end = TaskEnd { from, is_whole_attempt: false, status, result: None, error };
            queries::end(id, row.attempt, end, rules).execute(connection).await?;
        }
    }
    Ok(row.moved(next))
}
