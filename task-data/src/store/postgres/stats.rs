//! Statistics by minute in PostgreSQL.

use async_trait::async_trait;
use database::postgres::{Session, answer};
use database::schema::stats;
use database::types::{SqlTime, TimeType};
use database::{Postgres, Prepared};
use diesel::dsl::insert_into;
use diesel::result::QueryResult;
use diesel::sql_types::BigInt;
use diesel::{OptionalExtension, QueryDsl, sql_query};
use diesel_async::{AsyncConnection, RunQueryDsl};

use super::super::StoreError;
use super::super::stats::{
    EndRow, MinuteCounts, Stats, StatsRow, Unended, add_rows, counted, move_place, of_rows, place,
    rows_between, rows_of,
};
use crate::task::Time;

#[async_trait]
impl Stats for Postgres {
    async fn count_outcomes(&self, limit: i64) -> Result<Option<i64>, StoreError> {
        let mut connection = self.get().await?;
        let counted = (*connection).transaction(async |connection: &mut Session| {
            let place = place().for_update().skip_locked();
            let Some((no, within)) = place.get_result::<(i64, i64)>(connection).await.optional()? else {
                return QueryResult::Ok(None);
            };
            // An array of one id is used because a join might read all tasks through an index.
            let ends = sql_query(
                "SELECT place.no, place.within, kind, status, created, started, finished \
                 FROM (SELECT no, within, task FROM feed, unnest(tasks) WITH ORDINALITY AS one (task, within) \
                       WHERE no >= $1 AND (no, within) > ($1, $2) ORDER BY no, within LIMIT $3) AS place \
                 LEFT JOIN tasks ON id = ANY(ARRAY[place.task]) \
                 ORDER BY place.no, place.within",
            );
            let ends = ends.bind::<BigInt, _>(no).bind::<BigInt, _>(within).bind::<BigInt, _>(limit);
            let ends: Vec<EndRow> = Prepared(ends).load(connection).await?;
            let count = ends.len() as i64;
            let Some((last, mut counts)) = counted(ends) else { return Ok(Some(count)) };
            let minutes: Vec<SqlTime> = counts.keys().map(|(minute, _)| SqlTime(minute.0)).collect();
            add_rows(&mut counts, rows_of(minutes).load(connection).await?);
            for (key, counts) in counts {
                let row = StatsRow::new(key, &counts);
                let store = insert_into(stats::table).values(&row);
                let store = store.on_conflict((stats::minute, stats::kind)).do_update().set(&row);
                Prepared(store).execute(connection).await?;
            }
            Prepared(move_place(last)).execute(connection).await?;
            Ok(Some(count))
        });
        answer(counted).await
    }

    async fn minutes(&self, from: Time, to: Time) -> Result<Vec<MinuteCounts>, StoreError> {
        let (mut connection, _turn) = self.get_long().await?;
        Ok(of_rows(answer(rows_between(from, to).load(&mut connection)).await?))
    }

    async fn unended(&self, from: Time, to: Time, seconds: i64) -> Result<Vec<Unended>, StoreError> {
        let (mut connection, _turn) = self.get_long().await?;
        let unended = sql_query(
            "SELECT span, kind, count(*) AS tasks \
             FROM (SELECT floor(extract(epoch FROM created) / $3)::bigint AS span, kind FROM tasks \
                   WHERE tasks.status = 'pending' AND created >= $1 AND created < $2 \
                   UNION ALL \
                   SELECT floor(extract(epoch FROM created) / $3)::bigint AS span, kind FROM tasks \
                   WHERE tasks.status = 'running' AND created >= $1 AND created < $2) AS unended \
             GROUP BY span, kind",
        );
        let unended = unended.bind::<TimeType, _>(SqlTime(from.0)).bind::<TimeType, _>(SqlTime(to.0));
        answer(Prepared(unended.bind::<BigInt, _>(seconds)).load(&mut connection)).await
    }
}
