//! Statements that a connection prepares once.

use diesel::backend::Backend;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;

/// A statement that has few texts, whatever its values. Diesel can't know that of an `UPDATE` or a statement written in SQL, so it prepares
/// these again whenever they run: the database parses and plans the statement again, and PostgreSQL has one more exchange.
///
/// With SQLite, [`execute`](diesel::RunQueryDsl::execute) prepares it again all the same, because diesel hands it on by reference; a statement
/// that returns rows and is loaded is prepared once.
#[derive(Debug, Clone, Copy)]
pub struct Prepared<Q>(pub Q);

impl<DB: Backend, Q: QueryFragment<DB>> QueryFragment<DB> for Prepared<Q> {
    fn walk_ast<'b>(&'b self, pass: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        self.0.walk_ast(pass)
    }

    fn is_safe_to_cache_prepared(&self, _: &DB) -> QueryResult<bool> {
        Ok(true)
    }
}

/// Found again by the statement's text.
impl<Q> QueryId for Prepared<Q> {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Q: Query> Query for Prepared<Q> {
    type SqlType = Q::SqlType;
}

impl<Q, C> diesel::RunQueryDsl<C> for Prepared<Q> {}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use diesel::connection::InstrumentationEvent;
    use diesel::sql_types::BigInt;
    use diesel::{Connection, RunQueryDsl, SqliteConnection, sql_query};

    use super::*;

    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        n: i64,
    }

    #[test]
    fn a_statement_is_prepared_once_however_often_it_runs() {
        let mut connection = SqliteConnection::establish(":memory:").unwrap();
        sql_query("CREATE TABLE one (n INTEGER)").execute(&mut connection).unwrap();
        sql_query("INSERT INTO one VALUES (0)").execute(&mut connection).unwrap();
        let prepared = Arc::new(AtomicUsize::new(0));
        let count = prepared.clone();
        connection.set_instrumentation(move |event: InstrumentationEvent<'_>| {
            if let InstrumentationEvent::CacheQuery { .. } = event {
                count.fetch_add(1, Relaxed);
            }
        });

        for n in 1..=3 {
            let update = sql_query("UPDATE one SET n = ? RETURNING n").bind::<BigInt, _>(n);
            let rows: Vec<Row> = Prepared(update).load(&mut connection).unwrap();
            assert_eq!(rows.iter().map(|row| row.n).collect::<Vec<_>>(), [n]);
        }

        assert_eq!(prepared.load(Relaxed), 1);
    }
}
