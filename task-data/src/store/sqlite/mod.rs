//! The embedded adapter: one SQLite file, held by one program.

mod copy;
mod feed;
mod followers;
mod paid_calls;
mod pauses;
#[cfg(test)]
mod plans;
mod progress;
mod retention;
mod stats;
mod table_rows;
mod workers;

use std::slice::from_ref;
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use database::schema::{self, tasks};
use database::sqlite::clock;
use database::types::{SqlTime, SqlUuid, TimeType, UuidType};
use database::{Prepared, Sqlite, UserId};
use diesel::dsl::{count_star, insert_into, sql};
use diesel::prelude::*;
use diesel::sql_types::{Bool, Nullable, Text};
use diesel::sqlite::SqliteConnection;

pub use self::copy::{Original, forget, forget_logs};
use super::attempts::{self, into_attempts, into_retries};
use super::lists::{self, Lead, PlaceRow, Rest, SizeRow, Walk};
use super::rows::{
    ClaimRow, NewTaskRow, Next, RunningRow, SmallRow, TASK_COLUMNS, TaskRow, TicketRow, into_keyed,
    into_small, into_tasks, summed,
};
use super::tasks::TaskEnd;
use super::walked::walked;
use super::{
    Attempt, BLOB_IS_FRESH, Beat, Cancel, Claim, Claims, Completion, Filter, HandBack, Held, Holdings, Keyed,
    KindStats, Leases, ListPlace, Moved, NewTask, Payload, Period, PoolUse, Retry, Rules, StoreError,
    TaskCount, TaskPage, Tasks, Upload, leases, tasks as queries,
};
use crate::idempotency::OwnedKey;
use crate::kinds::Kind;
use crate::task::{Status, Task, TaskError, TaskId, Ticket, Time, WorkerId};

fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}

walked!(diesel::sqlite::Sqlite, ">=", "<");

#[async_trait]
impl Tasks for Sqlite {
    async fn insert(&self, new: Vec<NewTask>, grace: Duration) -> Result<Vec<Task>, StoreError> {
        self.write(move |connection| {
            let now = clock(connection)?;
            let mut standing = Vec::with_capacity(new.len());
            for task in new {
                let id = task.id;
                let is_old = |since: Time| now.0 - since.0 >= delta(BLOB_IS_FRESH);
                let is_late = matches!(task.payload, Payload::Blob { since, .. } if is_old(since));
                let made = task.clone().made(now);
                let row = NewTaskRow::new(task, now, Time(now.0 + delta(grace)));
                let insert = insert_into(tasks::table).values(row).on_conflict_do_nothing();
                match !is_late && insert.execute(connection)? > 0 {
                    true => standing.push(made),
                    false => standing.extend(find(connection, &[id])?),
                }
            }
            Ok(standing)
        })
        .await
    }

    async fn find(&self, ids: Vec<TaskId>) -> Result<Vec<Task>, StoreError> {
        self.read(move |connection| Ok(find(connection, &ids)?)).await
    }

    async fn keyed(&self, keys: Vec<OwnedKey>) -> Result<Vec<Keyed>, StoreError> {
        self.read(move |connection| Ok(into_keyed(queries::by_keys(&keys).load(connection)?, &keys))).await
    }

    async fn list(&self, filter: Filter) -> Result<TaskPage, StoreError> {
        self.read_long(move |connection| {
            let mut walk = Walk::of(&filter);
            let cut = cut(connection, &mut walk, lists::LOOKED_AT)?;
            let sizes = listed(&walk).select(((tasks::id, walk.lead.finished()), lists::task_bytes()));
            let sizes: Vec<SizeRow> =
                sizes.order(walk.lead.order(walk.order)).limit(filter.limit + 1).load(connection)?;
            let Some((first, last, count, has_more)) = lists::page_of(&sizes, filter.limit) else {
                return Ok(TaskPage { tasks: Vec::new(), next: cut });
            };
            let walk = walk.between(first, last);
            let page = listed(&walk).select(TASK_COLUMNS).order(walk.lead.order(walk.order)).limit(count);
            let tasks = into_tasks(page.load(connection)?);
            let next = lists::next_of(&walk, &tasks, (last, count), if has_more { Some(last) } else { cut });
            Ok(TaskPage { tasks, next })
        })
        .await
    }

    async fn count(&self, filter: Filter, most: i64) -> Result<TaskCount, StoreError> {
        self.read_long(move |connection| {
            let mut walk = Walk::to_count(&filter);
            let cut = cut(connection, &mut walk, lists::COUNTED_AMONG)?;
            let ids = listed(&walk).select(tasks::id).order(walk.lead.order(walk.order)).limit(most + 1);
            Ok(lists::counted(ids.load::<SqlUuid>(connection)?.len(), most, cut))
        })
        .await
    }

    async fn count_on(&self, filter: Filter, rows: i64) -> Result<(i64, Option<ListPlace>), StoreError> {
        self.read_long(move |connection| {
            let mut walk = Walk::of(&filter);
            let cut = cut(connection, &mut walk, rows)?;
            Ok((listed(&walk).select(count_star()).get_result(connection)?, cut))
        })
        .await
    }

    async fn mark_published(&self, tickets: Vec<Ticket>) -> Result<(), StoreError> {
        self.write(move |connection| {
            for Ticket { id, attempt, .. } in tickets {
                let mark = queries::mark_published(attempt).filter(tasks::id.eq(SqlUuid::from(id)));
                Prepared(mark.returning(tasks::id)).load::<SqlUuid>(connection)?;
            }
            Ok(())
        })
        .await
    }

    async fn claim(&self, ids: Vec<TaskId>, worker: WorkerId) -> Result<Claims, StoreError> {
        self.write(move |connection| {
            let mut claimed = Vec::with_capacity(ids.len());
            for id in &ids {
                let claim = queries::claim(worker).filter(tasks::id.eq(SqlUuid::from(*id)));
                let claim = claim.filter(sql::<Bool>(queries::IS_NOT_PAUSED));
                let row: Option<ClaimRow> = Prepared(claim).get_result(connection).optional()?;
                claimed.extend(row.map(Claim::try_from).transpose()?);
            }
            // A lease that lapsed just after the claim has claimed.
            if !claimed.is_empty() {
                return Ok(Claims { claimed, waiting: Vec::new(), lease_is_live: true });
            }
            let live: i64 = queries::live_lease(worker.into()).select(count_star()).get_result(connection)?;
            let waiting: Vec<SqlUuid> = match live > 0 {
                true => queries::claimable(&ids).load(connection)?,
                false => Vec::new(),
            };
            let waiting = waiting.into_iter().map(TaskId::from).collect();
            Ok(Claims { claimed, waiting, lease_is_live: live > 0 })
        })
        .await
    }

    async fn small(&self, ids: Vec<TaskId>, bytes: i64) -> Result<Vec<Claim>, StoreError> {
        self.read(move |connection| {
            let mut rows: Vec<SmallRow> = Vec::with_capacity(ids.len());
            for id in &ids {
                rows.extend(Prepared(queries::small(from_ref(id), bytes)).get_result(connection).optional()?);
            }
            Ok(into_small(rows)?)
        })
        .await
    }

    async fn complete(&self, completions: Vec<Completion>, rules: Rules) -> Result<Vec<TaskId>, StoreError> {
        self.write(move |connection| {
            let mut ended = Vec::with_capacity(completions.len());
            for Completion { id, from, attempt, outcome } in completions {
                let (status, result, error) = match outcome {
                    Ok(result) => (Status::Succeeded, Some(result), None),
                    Err(error) => (Status::Failed, None, Some(error)),
                };
                let end = TaskEnd { from, is_whole_attempt: from == Status::Pending, status, result, error };
                let end = Prepared(queries::end(id, attempt, end, rules).returning(tasks::id));
                ended.extend(end.load::<SqlUuid>(connection)?.into_iter().map(TaskId::from));
            }
            Ok(ended)
        })
        .await
    }

    async fn hand_back(&self, returns: Vec<HandBack>, rules: Rules) -> Result<Vec<Moved>, StoreError> {
        self.write(move |connection| {
            let mut moved = Vec::with_capacity(returns.len());
            for HandBack { id, attempt, after, charge, waits_for } in returns {
                let row: Option<RunningRow> = queries::running(&[id]).get_result(connection).optional()?;
                if let Some(row) = row.filter(|row| row.attempt == attempt) {
                    let seconds = after.as_secs_f64();
                    moved.push(move_on(connection, &row, (charge, waits_for), seconds, rules)?);
                }
            }
            Ok(moved)
        })
        .await
    }

    async fn cancel(&self, id: TaskId, rules: Rules) -> Result<Cancel, StoreError> {
        self.write(move |connection| {
            let row: Option<TaskRow> = queries::by_ids(&[id]).get_result(connection).optional()?;
            let Some(row) = row else { return Ok(Cancel::Unknown) };
            let task = Task::from(row);
            match task.status {
                Status::Succeeded | Status::Failed | Status::Cancelled => return Ok(Cancel::Ended(task)),
                Status::Pending | Status::Running if task.kind.known().is_none() => {
                    return Ok(Cancel::Newer(task));
                }
                Status::Pending => {
                    let error = Some(TaskError::cancelled());
                    let (from, status) = (Status::Pending, Status::Cancelled);
                    let end = TaskEnd { from, is_whole_attempt: false, status, result: None, error };
                    queries::end(id, task.attempt, end, rules).execute(connection)?;
                }
                Status::Running => {
                    queries::request_cancel(id).execute(connection)?;
                }
            }
            let row: TaskRow = queries::by_ids(&[id]).get_result(connection)?;
            Ok(Cancel::Accepted(row.into()))
        })
        .await
    }

    async fn due(&self, limit: i64, repeat: Duration) -> Result<Vec<Ticket>, StoreError> {
        self.write(move |connection| {
            let rows: Vec<TicketRow> = queries::due(limit).load(connection)?;
            let ids: Vec<TaskId> = rows.iter().map(|row| row.0.into()).collect();
            queries::due_in(&ids, repeat.as_secs_f64()).execute(connection)?;
            rows.into_iter().map(|row| Ok(row.try_into()?)).collect()
        })
        .await
    }

    async fn unqueued(
        &self,
        kind: Kind,
        limit: i64,
        published_ago: Duration,
    ) -> Result<Vec<TaskId>, StoreError> {
        self.read(move |connection| {
            let ids: Vec<SqlUuid> =
                queries::unqueued(kind, limit, published_ago.as_secs_f64()).load(connection)?;
            Ok(ids.into_iter().map(TaskId::from).collect())
        })
        .await
    }

    async fn due_again(&self, ids: Vec<TaskId>) -> Result<(), StoreError> {
        self.write(move |connection| {
            queries::due_in(&ids, 0.0).execute(connection)?;
            Ok(())
        })
        .await
    }

    async fn attempts(&self, id: TaskId) -> Result<Vec<Attempt>, StoreError> {
        self.read(move |connection| {
            connection.transaction(|connection| {
                let recorded = attempts::recorded(id).load(connection)?;
                Ok(into_attempts(recorded, attempts::last(id).get_result(connection).optional()?))
            })
        })
        .await
    }

    async fn retries(&self, id: TaskId) -> Result<Vec<Retry>, StoreError> {
        self.read(move |connection| Ok(into_retries(attempts::retries(id).load(connection)?))).await
    }

    async fn upload(&self, id: TaskId) -> Result<Option<Upload>, StoreError> {
        self.read(move |connection| {
            Ok(queries::upload(id).get_result(connection).optional()?.and_then(queries::into_upload))
        })
        .await
    }

    async fn pending(&self) -> Result<i64, StoreError> {
        self.read(|connection| Ok(queries::pending().get_result(connection)?)).await
    }

    async fn holdings(&self, owner: UserId) -> Result<Holdings, StoreError> {
        self.read(move |connection| {
            let (pending, bytes) = queries::holdings(owner).get_result(connection)?;
            Ok(Holdings { pending, bytes })
        })
        .await
    }

    async fn published_before(
        &self,
        kind: Kind,
        ago: Duration,
        limit: i64,
    ) -> Result<Vec<Ticket>, StoreError> {
        self.read(move |connection| {
            let published = queries::published_before(kind, ago.as_secs_f64(), limit);
            let rows: Vec<TicketRow> = published.load(connection)?;
            rows.into_iter().map(|row| Ok(row.try_into()?)).collect()
        })
        .await
    }

    async fn stats(&self, kind: Kind) -> Result<KindStats, StoreError> {
        self.read(move |connection| {
            let pending = queries::stats(kind, Status::Pending).get_result(connection)?;
            let running = queries::stats(kind, Status::Running).get_result(connection)?;
            Ok(KindStats::from_rows(kind, pending, running, clock(connection)?))
        })
        .await
    }

    async fn newer_kinds(&self) -> Result<Vec<(String, i64)>, StoreError> {
        self.read(|connection| {
            let mut kinds = Vec::new();
            for status in [Status::Pending, Status::Running] {
                kinds.extend(queries::newer_kinds(status).load::<(String, i64)>(connection)?);
            }
            Ok(summed(kinds))
        })
        .await
    }

    fn pool_use(&self) -> PoolUse {
        self.pool_use()
    }
}

#[async_trait]
impl Leases for Sqlite {
    async fn register(&self, worker: WorkerId, name: String, lease: Duration) -> Result<(), StoreError> {
        self.write(move |connection| {
            // Runs again if the answer to the first time was lost.
            leases::register(worker, name, lease.as_secs_f64())
                .on_conflict(schema::workers::id)
                .do_nothing()
                .execute(connection)?;
            Ok(())
        })
        .await
    }

    async fn beat(&self, worker: WorkerId, lease: Duration) -> Result<Option<Beat>, StoreError> {
        self.write(move |connection| {
            let extend = Prepared(leases::extend(worker, lease.as_secs_f64()));
            let Some(is_draining) = extend.get_result(connection).optional()? else { return Ok(None) };
            let held: Vec<(SqlUuid, i64, bool)> = queries::held(worker, 10.0).load(connection)?;
            Ok(Some(Beat { held: held.into_iter().map(Held::from).collect(), is_draining }))
        })
        .await
    }

    async fn retire(&self, worker: WorkerId) -> Result<(), StoreError> {
        self.write(move |connection| {
            leases::retire(worker).execute(connection)?;
            Ok(())
        })
        .await
    }

    async fn return_lost(&self, rules: Rules) -> Result<Vec<Moved>, StoreError> {
        self.write(move |connection| {
            leases::end_lapsed().execute(connection)?;
            let lost: Vec<RunningRow> = queries::lost().load(connection)?;
            lost.iter()
                .map(|row| {
                    let lost = (Some(TaskError::worker_lost()), None);
                    move_on(connection, row, lost, row.rest_after_loss(), rules)
                })
                .collect()
        })
        .await
    }

    async fn begin_alone(&self) -> Result<(), StoreError> {
        self.write(|connection| {
            leases::end_all().execute(connection)?;
            leases::all_due().execute(connection)?;
            Ok(())
        })
        .await
    }

    async fn stuck(
        &self,
        ids: Vec<TaskId>,
        lapsed: Duration,
        overdue: Duration,
    ) -> Result<Vec<TaskId>, StoreError> {
        self.read(move |connection| {
            let mut stuck: Vec<SqlUuid> = leases::unheld(&ids, lapsed.as_secs_f64()).load(connection)?;
            stuck.extend(leases::overdue(&ids, overdue.as_secs_f64()).load::<SqlUuid>(connection)?);
            Ok(stuck.into_iter().map(TaskId::from).collect())
        })
        .await
    }

    async fn live_leases(&self) -> Result<i64, StoreError> {
        self.read(|connection| Ok(leases::live().get_result(connection)?)).await
    }
}

/// Ends the way at the last of so many rows, if it may be long. Returns the place of that row.
fn cut(connection: &mut SqliteConnection, walk: &mut Walk, rows: i64) -> QueryResult<Option<ListPlace>> {
    if !walk.may_be_long() {
        return Ok(None);
    }
    let last = walked(walk).select((tasks::id, walk.lead.finished())).order(walk.lead.order(walk.order));
    let last: Option<PlaceRow> = last.offset(rows - 1).limit(1).get_result(connection).optional()?;
    let last = last.map(lists::place);
    last.into_iter().for_each(|place| walk.end_at(place));
    Ok(last)
}

/// Finds tasks one by one: a statement for each number of ids would be prepared again each time.
fn find(connection: &mut SqliteConnection, ids: &[TaskId]) -> QueryResult<Vec<Task>> {
    let mut rows = Vec::with_capacity(ids.len());
    for id in ids {
        rows.extend(Prepared(queries::by_ids(from_ref(id))).get_result(connection).optional()?);
    }
    Ok(into_tasks(rows))
}

/// Moves a running row on in its transaction, by the error that is charged or the reason that it waits for. Returns the task in its new
/// state.
fn move_on(
    connection: &mut SqliteConnection,
    row: &RunningRow,
    (charge, waits_for): (Option<TaskError>, Option<TaskError>),
    seconds: f64,
    rules: Rules,
) -> Result<Moved, StoreError> {
    let id = row.id.into();
    if let Some(error) = &charge {
        attempts::record(row, error).execute(connection)?;
    }
    let next = row.next(charge, waits_for, rules);
    match next.clone() {
        Next::Again { tries, error } => {
            queries::release(id, row.attempt, tries, error, seconds).execute(connection)?;
        }
        Next::Ended { status, error } => {
            let (from, error) = (Status::Running, Some(error));
            let end = TaskEnd { from, is_whole_attempt: false, status, result: None, error };
            queries::end(id, row.attempt, end, rules).execute(connection)?;
        }
    }
    Ok(row.moved(next))
}
