//! The feed of outcomes in SQLite. A trigger enters each task as it ends, and the row's key is its number: there is one writer.

use async_trait::async_trait;
use database::types::{SqlUuid, UuidType};
use database::{Prepared, Sqlite, UserId};
use diesel::sql_types::{BigInt, Nullable};
use diesel::sqlite::SqliteConnection;
use diesel::{OptionalExtension, RunQueryDsl, sql_query};

use super::super::StoreError;
use super::super::feed::{
    Feed, FeedRange, FirstRow, GONE, OutcomePage, Place, PlaceRow, RangeRow, ids_of, known_kinds, page_of,
    places_to_read,
};
use crate::task::TaskId;

#[async_trait]
impl Feed for Sqlite {
    async fn number_outcomes(&self, _: i64) -> Result<Option<i64>, StoreError> {
        Ok(Some(0))
    }

    async fn feed_range(&self) -> Result<FeedRange, StoreError> {
        self.read(|connection| {
            let range = sql_query(format!(
                "SELECT gone_no, gone_within, coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'feed'), 0) + 1 AS next FROM {GONE}"
            ));
            let range: RangeRow = Prepared(range).get_result(connection)?;
            Ok(range.into())
        })
        .await
    }

    async fn outcomes(
        &self,
        after: Place,
        owner: Option<UserId>,
        limit: i64,
    ) -> Result<OutcomePage, StoreError> {
        let read = move |connection: &mut SqliteConnection| {
            let asked = places_to_read(owner, limit);
            // A reply is the one part of a result that may be large, and no detail needs it.
            let places = sql_query(format!(
                "SELECT gone_no, gone_within, place.no, 1 AS within, id, kind, status, owner, finished, error_code, blob_check IS NOT NULL AS has_blob, \
                        CASE WHEN kind IN ({}) AND json_type(result) = 'object' THEN json_remove(result, '$.reply') END AS result \
                 FROM {GONE} \
                 LEFT JOIN (SELECT no, task FROM feed WHERE no >= ?1 AND (no, 1) > (?1, ?2) ORDER BY no LIMIT ?4) AS place \
                 LEFT JOIN tasks ON id = place.task AND (?3 IS NULL OR owner = ?3) \
                 ORDER BY place.no",
                known_kinds()
            ))
            .bind::<BigInt, _>(after.no)
            .bind::<BigInt, _>(after.within)
            .bind::<Nullable<UuidType>, _>(owner.map(|owner| SqlUuid(owner.0)))
            .bind::<BigInt, _>(asked);
            let rows: Vec<PlaceRow> = Prepared(places).load(connection)?;
            Ok(page_of(rows, after, asked, limit))
        };
        // All outcomes are read a page at a time; of one owner's, pages without any may be.
        match owner {
            None => self.read(read).await,
            Some(_) => self.read_long(read).await,
        }
    }

    async fn those_after(&self, place: Place, ids: Vec<TaskId>) -> Result<Vec<TaskId>, StoreError> {
        self.read(move |connection| {
            let after = sql_query(format!(
                "SELECT task AS id FROM feed WHERE no >= ?1 AND (no, 1) > (?1, ?2) AND task IN ({})",
                blobs(&ids)
            ))
            .bind::<BigInt, _>(place.no)
            .bind::<BigInt, _>(place.within);
            Ok(ids_of(after.load(connection)?))
        })
        .await
    }

    async fn before_first(&self, ids: Vec<TaskId>) -> Result<Place, StoreError> {
        self.read(move |connection| {
            let first = sql_query(format!(
                "SELECT no, 1 AS within FROM feed WHERE task IN ({}) ORDER BY no LIMIT 1",
                blobs(&ids)
            ));
            let first: Option<FirstRow> = first.get_result(connection).optional()?;
            Ok(first.map(FirstRow::before).unwrap_or_default())
        })
        .await
    }
}

/// Returns ids as a list of SQL.
fn blobs(ids: &[TaskId]) -> String {
    let blobs: Vec<String> = ids.iter().map(|id| format!("x'{}'", id.0.simple())).collect();
    blobs.join(", ")
}
