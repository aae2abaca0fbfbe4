//! The feed of outcomes in PostgreSQL.

use async_trait::async_trait;
use database::postgres::{Session, answer};
use database::types::{SqlUuid, UuidType, sql_ids};
use database::{Postgres, Prepared, UserId};
use diesel::result::QueryResult;
use diesel::sql_types::{Array, BigInt, Nullable};
use diesel::{OptionalExtension, sql_query};
use diesel_async::RunQueryDsl;

use super::super::StoreError;
use super::super::feed::{
    Feed, FeedRange, FirstRow, GONE, OutcomePage, Place, PlaceRow, RangeRow, ids_of, known_kinds, page_of,
    places_to_read,
};
use crate::task::TaskId;

/// Enters tasks in the feed, as one row, in the transaction that has ended them.
pub(super) async fn enter(connection: &mut Session, ended: &[TaskId]) -> QueryResult<()> {
    if !ended.is_empty() {
        let enter = sql_query(
            "INSERT INTO feed (appended, tasks) SELECT max(finished), array_agg(id) FROM tasks WHERE id = ANY($1)",
        );
        Prepared(enter.bind::<Array<UuidType>, _>(sql_ids(ended))).execute(connection).await?;
    }
    Ok(())
}

#[async_trait]
impl Feed for Postgres {
    async fn number_outcomes(&self, limit: i64) -> Result<Option<i64>, StoreError> {
        let mut connection = self.get().await?;
        let number = sql_query("SELECT number_feed($1) AS numbered").bind::<BigInt, _>(limit);
        let row: NumberedRow = answer(Prepared(number).get_result(&mut connection)).await?;
        Ok(row.numbered)
    }

    async fn feed_range(&self) -> Result<FeedRange, StoreError> {
        let mut connection = self.get().await?;
        let range = sql_query(format!(
            "SELECT gone_no, gone_within, feed_end.no + 1 AS next FROM feed_end, {GONE} AS gone"
        ));
        let range: RangeRow = answer(Prepared(range).get_result(&mut connection)).await?;
        Ok(range.into())
    }

    async fn outcomes(
        &self,
        after: Place,
        owner: Option<UserId>,
        limit: i64,
    ) -> Result<OutcomePage, StoreError> {
        // All outcomes are read a page at a time; of one owner's, pages without any may be.
        let (mut connection, _turn) = match owner {
            None => (self.get().await?, None),
            Some(_) => {
                let (connection, turn) = self.get_long().await?;
                (connection, Some(turn))
            }
        };
        let asked = places_to_read(owner, limit);
        // A reply is the one part of a result that may be large, and no detail needs it. An array of one id is used because a join might
        // read all tasks through an index.
        let places = sql_query(format!(
            "SELECT gone_no, gone_within, place.no, place.within, id, kind, status, owner, finished, error_code, blob_check IS NOT NULL AS has_blob, \
                    CASE WHEN kind IN ({}) AND jsonb_typeof(result) = 'object' THEN result - 'reply' END AS result \
             FROM {GONE} AS gone \
             LEFT JOIN (SELECT no, within, task FROM feed, unnest(tasks) WITH ORDINALITY AS one (task, within) \
                        WHERE no >= $1 AND (no, within) > ($1, $2) ORDER BY no, within LIMIT $4) AS place ON true \
             LEFT JOIN tasks ON id = ANY(ARRAY[place.task]) AND ($3 IS NULL OR owner = $3) \
             ORDER BY place.no, place.within",
            known_kinds()
        ))
        .bind::<BigInt, _>(after.no)
        .bind::<BigInt, _>(after.within)
        .bind::<Nullable<UuidType>, _>(owner.map(|owner| SqlUuid(owner.0)))
        .bind::<BigInt, _>(asked);
        let rows: Vec<PlaceRow> = answer(Prepared(places).load(&mut connection)).await?;
        Ok(page_of(rows, after, asked, limit))
    }

    async fn those_after(&self, place: Place, ids: Vec<TaskId>) -> Result<Vec<TaskId>, StoreError> {
        let mut connection = self.get().await?;
        let after = sql_query(
            "SELECT task AS id FROM feed, unnest(tasks) WITH ORDINALITY AS one (task, within) \
             WHERE no >= $1 AND (no, within) > ($1, $2) AND task = ANY($3)",
        )
        .bind::<BigInt, _>(place.no)
        .bind::<BigInt, _>(place.within)
        .bind::<Array<UuidType>, _>(sql_ids(&ids));
        Ok(ids_of(answer(Prepared(after).load(&mut connection)).await?))
    }

    async fn before_first(&self, ids: Vec<TaskId>) -> Result<Place, StoreError> {
        let mut connection = self.get().await?;
        let first = sql_query(
            "SELECT no, within FROM feed, unnest(tasks) WITH ORDINALITY AS one (task, within) \
             WHERE no IS NOT NULL AND task = ANY($1) ORDER BY no, within LIMIT 1",
        )
        .bind::<Array<UuidType>, _>(sql_ids(&ids));
        let first: Option<FirstRow> =
            answer(async { Prepared(first).get_result(&mut connection).await.optional() }).await?;
        Ok(first.map(FirstRow::before).unwrap_or_default())
    }
}

#[derive(diesel::QueryableByName)]
struct NumberedRow {
    #[diesel(sql_type = Nullable<BigInt>)]
    numbered: Option<i64>,
}
