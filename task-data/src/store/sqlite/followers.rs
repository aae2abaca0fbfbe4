//! The followers of the feed in SQLite.

use async_trait::async_trait;
use database::{Prepared, Sqlite};
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Binary, Double, Text};
use diesel::sqlite::SqliteConnection;
use diesel::{OptionalExtension, QueryableByName, RunQueryDsl, sql_query};
use uuid::Uuid;

use super::super::StoreError;
use super::super::followers::{
    FOLLOWED_SECONDS, Followers, LOG_COLUMNS, LogFollower, LogLag, LogRow, bind_log,
};
use crate::task::TaskId;

#[async_trait]
impl Followers for Sqlite {
    async fn log(&self, name: String) -> Result<Option<(LogFollower, i64)>, StoreError> {
        self.read(|connection| Ok(find(connection, name)?)).await
    }

    async fn store_log(&self, seen: Option<u64>, log: LogFollower) -> Result<bool, StoreError> {
        self.write(move |connection| Ok(store(connection, seen, log)?)).await
    }

    async fn log_lags(&self) -> Result<Vec<LogLag>, StoreError> {
        self.read(|connection| {
            let lags = sql_query(
                "SELECT name, committed AS bytes, \
                    coalesce((now_plus(0.0) - (SELECT appended FROM feed WHERE feed.no > followers.no ORDER BY feed.no LIMIT 1)) \
                        / 1000000.0, 0.0) AS seconds \
                 FROM followers WHERE kind = 'log' AND seen_at > now_plus(-?)",
            );
            Ok(Prepared(lags.bind::<Double, _>(FOLLOWED_SECONDS)).load(connection)?)
        })
        .await
    }

    async fn rename_log(&self, from: String, log: LogFollower) -> Result<bool, StoreError> {
        self.write(move |connection| {
            let is_there = find(connection, from.clone())?.is_some();
            let is_renamed = is_there && store(connection, None, log)?;
            if is_renamed {
                let remove = sql_query("DELETE FROM followers WHERE name = ?1");
                remove.bind::<Text, _>(from).execute(connection)?;
            }
            Ok(is_renamed)
        })
        .await
    }
}

/// Returns a log, and the seconds since it was stored.
pub(super) fn find(
    connection: &mut SqliteConnection,
    name: String,
) -> QueryResult<Option<(LogFollower, i64)>> {
    let log = sql_query(format!(
        "SELECT {LOG_COLUMNS}, ahead, (now_plus(0.0) - seen_at) / 1000000 AS seconds_ago FROM followers WHERE name = ?1"
    ))
    .bind::<Text, _>(&name);
    let whole = Prepared(log).get_result::<WholeRow>(connection).optional()?;
    Ok(whole.map(|row| {
        let ids = row.ahead.chunks_exact(16).filter_map(|id| Uuid::from_slice(id).ok());
        row.log.log(name, ids.map(TaskId).collect())
    }))
}

fn store(connection: &mut SqliteConnection, seen: Option<u64>, log: LogFollower) -> QueryResult<bool> {
    let ahead: Vec<u8> = log.head.ahead.iter().flat_map(|id| id.0.into_bytes()).collect();
    let stored = match seen {
        Some(seen) => {
            let store = sql_query(
                "UPDATE followers SET location = ?2, version = ?3, dev = ?4, ino = ?5, committed = ?6, tail_check = ?7, no = ?8, \
                    within = ?9, ahead = ?10, seen_at = now_plus(0.0) WHERE name = ?1 AND version = ?11",
            );
            let store = bind_log!(store, log).bind::<Binary, _>(ahead);
            store.bind::<BigInt, _>(seen.cast_signed()).execute(connection)?
        }
        None => {
            let store = sql_query(format!(
                "INSERT INTO followers (kind, seen_at, name, {LOG_COLUMNS}, ahead) \
                 VALUES ('log', now_plus(0.0), ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT DO NOTHING"
            ));
            bind_log!(store, log).bind::<Binary, _>(ahead).execute(connection)?
        }
    };
    Ok(stored > 0)
}

#[derive(QueryableByName)]
struct WholeRow {
    #[diesel(embed)]
    log: LogRow,
    #[diesel(sql_type = Binary)]
    ahead: Vec<u8>,
}
