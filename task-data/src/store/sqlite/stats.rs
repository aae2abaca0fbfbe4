//! Statistics by minute in SQLite.

use async_trait::async_trait;
use database::schema::stats;
use database::types::{SqlTime, TimeType};
use database::{Prepared, Sqlite};
use diesel::dsl::insert_into;
use diesel::sql_types::BigInt;
use diesel::{RunQueryDsl, sql_query};

use super::super::StoreError;
use super::super::stats::{
    EndRow, MinuteCounts, Stats, StatsRow, Unended, add_rows, counted, move_place, of_rows, place,
    rows_between, rows_of,
};
use crate::task::Time;

#[async_trait]
impl Stats for Sqlite {
    async fn count_outcomes(&self, limit: i64) -> Result<Option<i64>, StoreError> {
        self.write(move |connection| {
            let (no, within): (i64, i64) = place().get_result(connection)?;
            let ends = sql_query(
                "SELECT place.no, 1 AS within, kind, status, created, started, finished \
                 FROM (SELECT no, task FROM feed WHERE no >= ?1 AND (no, 1) > (?1, ?2) ORDER BY no LIMIT ?3) AS place \
                 LEFT JOIN tasks ON id = place.task \
                 ORDER BY place.no",
            );
            let ends = ends.bind::<BigInt, _>(no).bind::<BigInt, _>(within).bind::<BigInt, _>(limit);
            let ends: Vec<EndRow> = Prepared(ends).load(connection)?;
            let count = ends.len() as i64;
            let Some((last, mut counts)) = counted(ends) else { return Ok(Some(count)) };
            let minutes: Vec<SqlTime> = counts.keys().map(|(minute, _)| SqlTime(minute.0)).collect();
            add_rows(&mut counts, rows_of(minutes).load(connection)?);
            for (key, counts) in counts {
                let row = StatsRow::new(key, &counts);
                let store = insert_into(stats::table).values(&row);
                store.on_conflict((stats::minute, stats::kind)).do_update().set(&row).execute(connection)?;
            }
            move_place(last).execute(connection)?;
            Ok(Some(count))
        })
        .await
    }

    async fn minutes(&self, from: Time, to: Time) -> Result<Vec<MinuteCounts>, StoreError> {
        self.read_long(move |connection| Ok(of_rows(rows_between(from, to).load(connection)?))).await
    }

    async fn unended(&self, from: Time, to: Time, seconds: i64) -> Result<Vec<Unended>, StoreError> {
        self.read_long(move |connection| {
            let unended = sql_query(
                "SELECT created / (?3 * 1000000) AS span, kind, count(*) AS tasks FROM tasks \
                 WHERE tasks.status IN ('pending', 'running') AND created >= ?1 AND created < ?2 \
                 GROUP BY span, kind",
            );
            let unended = unended.bind::<TimeType, _>(SqlTime(from.0)).bind::<TimeType, _>(SqlTime(to.0));
            Ok(Prepared(unended.bind::<BigInt, _>(seconds)).load(connection)?)
        })
        .await
    }
}
