//! A session with the server: diesel's connection, but every answer is read to its end, and errors have their SQLSTATE.
//!
//! A statement outside a transaction commits after its last row. Diesel's `get_result` takes the first row and leaves, so it would never
//! learn that the commit has failed.

use std::vec;

use diesel::connection::{CacheSize, Instrumentation};
use diesel::pg::Pg;
use diesel::query_builder::{AsQuery, QueryFragment, QueryId};
use diesel::result::{DatabaseErrorKind as Kind, Error as DieselError, QueryResult};
use diesel::{ConnectionError, ConnectionResult};
use diesel_async::pooled_connection::PoolableConnection;
use diesel_async::{
    AnsiTransactionManager, AsyncConnection, AsyncConnectionCore, AsyncPgConnection, SimpleAsyncConnection,
};
use futures::future::BoxFuture;
use futures::{FutureExt, TryStreamExt, stream};

use super::sql_state::ServerError;
use super::target::{Driver, Target};
use super::wire::LastError;

/// A session with the server.
pub struct Session {
    connection: AsyncPgConnection,
    last_error: LastError,
    /// Whether a statement has begun and was not read to its end, because the caller went away.
    is_under_way: bool,
    _driver: Driver,
}

type Row = <AsyncPgConnection as AsyncConnectionCore>::Row<'static, 'static>;

impl Session {
    /// Creates a session over a connection whose errors are recorded in `last_error`.
    pub fn new(connection: AsyncPgConnection, last_error: LastError, driver: Driver) -> Self {
        Self { connection, last_error, is_under_way: false, _driver: driver }
    }

    /// Returns the last error that the server reported.
    pub fn last_error(&self) -> &LastError {
        &self.last_error
    }
}

/// Returns the error with the server's message, if there is one.
fn told(error: DieselError, last_error: &LastError) -> DieselError {
    match (error, last_error.get()) {
        // Without a message of the server: the connection is gone, or an earlier error was the last.
        (error @ DieselError::DatabaseError(Kind::UnableToSendCommand | Kind::ClosedConnection, _), _) => {
            error
        }
        (DieselError::DatabaseError(_, info), Some(state)) => {
            let message = info.message().to_owned();
            DieselError::QueryBuilderError(Box::new(ServerError { state, message }))
        }
        (error, _) => error,
    }
}

impl SimpleAsyncConnection for Session {
    async fn batch_execute(&mut self, statements: &str) -> QueryResult<()> {
        self.is_under_way = true;
        let outcome = self.connection.batch_execute(statements).await;
        self.is_under_way = false;
        outcome.map_err(|error| told(error, &self.last_error))
    }
}

impl AsyncConnectionCore for Session {
    type ExecuteFuture<'conn, 'query> = BoxFuture<'conn, QueryResult<usize>>;
    type LoadFuture<'conn, 'query> = BoxFuture<'conn, QueryResult<Self::Stream<'conn, 'query>>>;
    type Stream<'conn, 'query> = stream::Iter<vec::IntoIter<QueryResult<Row>>>;
    type Row<'conn, 'query> = Row;
    type Backend = Pg;

    fn load<'conn, 'query, T>(&'conn mut self, source: T) -> Self::LoadFuture<'conn, 'query>
    where
        T: AsQuery + 'query,
        T::Query: QueryFragment<Pg> + QueryId + 'query,
    {
        let Self { connection, last_error, is_under_way, .. } = self;
        let answer = connection.load(source);
        async move {
            *is_under_way = true;
            let to_its_end = async {
                let (mut answer, mut rows) = (answer.await?, Vec::new());
                while let Some(row) = answer.try_next().await? {
                    rows.push(Ok(row));
                }
                Ok(rows)
            };
            let rows: QueryResult<Vec<_>> = to_its_end.await;
            *is_under_way = false;
            rows.map(stream::iter).map_err(|error| told(error, last_error))
        }
        .boxed()
    }

    fn execute_returning_count<'conn, 'query, T>(
        &'conn mut self,
        source: T,
    ) -> Self::ExecuteFuture<'conn, 'query>
    where
        T: QueryFragment<Pg> + QueryId + 'query,
    {
        let Self { connection, last_error, is_under_way, .. } = self;
        let answer = connection.execute_returning_count(source);
        async move {
            *is_under_way = true;
            let outcome = answer.await;
            *is_under_way = false;
            outcome.map_err(|error| told(error, last_error))
        }
        .boxed()
    }
}

impl AsyncConnection for Session {
    type TransactionManager = AnsiTransactionManager;

    async fn establish(url: &str) -> ConnectionResult<Self> {
        let target = Target::parse(url);
        target.map_err(|error| ConnectionError::InvalidConnectionUrl(error.to_string()))?.connect().await
    }

    fn transaction_state(&mut self) -> &mut AnsiTransactionManager {
        self.connection.transaction_state()
    }

    fn instrumentation(&mut self) -> &mut dyn Instrumentation {
        self.connection.instrumentation()
    }

    fn set_instrumentation(&mut self, instrumentation: impl Instrumentation) {
        self.connection.set_instrumentation(instrumentation);
    }

    fn set_prepared_statement_cache_size(&mut self, size: CacheSize) {
        self.connection.set_prepared_statement_cache_size(size);
    }
}

impl PoolableConnection for Session {
    fn is_broken(&mut self) -> bool {
        let is_spent = self.last_error.get().is_some_and(|state| state.spends_session());
        is_spent || self.is_under_way || self.connection.is_broken()
    }
}
