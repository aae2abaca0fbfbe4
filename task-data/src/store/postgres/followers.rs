//! The followers of the feed in PostgreSQL.

use async_trait::async_trait;
use database::postgres::answer;
use database::types::{SqlUuid, UuidType, sql_ids};
use database::{Postgres, Prepared};
use diesel::sql_types::{Array, BigInt, Double, Text};
use diesel::{OptionalExtension, QueryableByName, sql_query};
use diesel_async::RunQueryDsl;

use super::super::StoreError;
use super::super::followers::{
    FOLLOWED_SECONDS, Followers, LOG_COLUMNS, LogFollower, LogLag, LogRow, bind_log,
};

/// Binds all values of a log, as $1 to $10.
macro_rules! bound {
    ($statement:expr, $log:expr) => {
        bind_log!($statement, $log).bind::<Array<UuidType>, _>(sql_ids(&$log.head.ahead))
    };
}

#[async_trait]
impl Followers for Postgres {
    async fn log(&self, name: String) -> Result<Option<(LogFollower, i64)>, StoreError> {
        let mut connection = self.get().await?;
        let log = sql_query(format!(
            "SELECT {LOG_COLUMNS}, ahead, extract(epoch FROM now_plus(0) - seen_at)::bigint AS seconds_ago \
             FROM followers WHERE name = $1"
        ))
        .bind::<Text, _>(&name);
        let row = async { Prepared(log).get_result::<WholeRow>(&mut connection).await.optional() };
        let whole = answer(row).await?;
        Ok(whole.map(|row| row.log.log(name, row.ahead.into_iter().map(Into::into).collect())))
    }

    async fn store_log(&self, seen: Option<u64>, log: LogFollower) -> Result<bool, StoreError> {
        let mut connection = self.get().await?;
        let stored = match seen {
            Some(seen) => {
                let store = sql_query(
                    "UPDATE followers SET location = $2, version = $3, dev = $4, ino = $5, committed = $6, tail_check = $7, \
                        no = $8, within = $9, ahead = $10, seen_at = now_plus(0) \
                     WHERE name = $1 AND version = $11",
                );
                let store = bound!(store, log).bind::<BigInt, _>(seen.cast_signed());
                answer(Prepared(store).execute(&mut connection)).await?
            }
            None => {
                let store = sql_query(format!(
                    "INSERT INTO followers (kind, seen_at, name, {LOG_COLUMNS}, ahead) \
                     VALUES ('log', now_plus(0), $1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING"
                ));
                answer(Prepared(bound!(store, log)).execute(&mut connection)).await?
            }
        };
        Ok(stored > 0)
    }

    async fn log_lags(&self) -> Result<Vec<LogLag>, StoreError> {
        let mut connection = self.get().await?;
        let lags = sql_query(
            "SELECT name, committed AS bytes, \
                coalesce(extract(epoch FROM now_plus(0) - \
                    (SELECT appended FROM feed WHERE feed.no > followers.no ORDER BY feed.no LIMIT 1)), 0)::float8 AS seconds \
             FROM followers WHERE kind = 'log' AND seen_at > now_plus(-$1)",
        );
        answer(Prepared(lags.bind::<Double, _>(FOLLOWED_SECONDS)).load(&mut connection)).await
    }

    async fn rename_log(&self, from: String, log: LogFollower) -> Result<bool, StoreError> {
        let mut connection = self.get().await?;
        let rename = sql_query(format!(
            "WITH gone AS (DELETE FROM followers WHERE name = $11 AND NOT EXISTS (SELECT FROM followers WHERE name = $1) RETURNING kind) \
             INSERT INTO followers (kind, seen_at, name, {LOG_COLUMNS}, ahead) \
             SELECT kind, now_plus(0), $1, $2, $3, $4, $5, $6, $7, $8, $9, $10 FROM gone"
        ));
        let rename = bound!(rename, log).bind::<Text, _>(from);
        Ok(answer(Prepared(rename).execute(&mut connection)).await? > 0)
    }
}

#[derive(QueryableByName)]
struct WholeRow {
    #[diesel(embed)]
    log: LogRow,
    #[diesel(sql_type = Array<UuidType>)]
    ahead: Vec<SqlUuid>,
}
