//! The schema's migrations.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::migration::Migration;
use diesel::result::Error as DieselError;
use diesel::sql_types::Timestamptz;
use diesel_async::pooled_connection::deadpool::Object;
use diesel_async::{
    AnsiTransactionManager, AsyncMigrationHarness, RunQueryDsl, SimpleAsyncConnection, TransactionManager,
};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use tokio::time::timeout;

use super::connection::{ANSWER, Postgres, answer};
use super::session::Session;
use crate::{StoreError, Time};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/postgres");
/// Removes the time-outs within the transaction, and lets one process migrate at a time.
const BEGIN: &str = "SELECT set_config(name, '0', true) FROM pg_settings WHERE name IN \
        ('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout'); \
    SELECT pg_advisory_xact_lock(6302)";

/// The pooler assigns a session to each transaction.
#[derive(Debug, thiserror::Error)]
#[error(
    "the pooler at this address shares sessions between transactions, which loses settings and mixes up prepared statements; \
     set its pool_mode to session, or connect to PostgreSQL directly"
)]
pub struct SharedSessions;

/// The state of a database.
#[derive(Debug)]
pub struct Examined {
    /// The migrations that it lacks, oldest first.
    pub pending: Vec<String>,
    /// Its time.
    pub now: Time,
}

impl Postgres {
    /// Returns the state of the database, and changes nothing. Must run on a multi-thread runtime.
    ///
    /// # Errors
    /// As [`migrate`](Self::migrate).
    pub async fn examine(&self) -> Result<Examined, StoreError> {
        self.refuse_shared_sessions().await?;
        // Never returned to the pool, and so its transaction is rolled back: the library makes a table for what it lists.
        let mut connection = Object::take(self.get().await?);
        answer(AnsiTransactionManager::begin_transaction(&mut connection)).await?;
        let time = diesel::select(sql::<Timestamptz>("clock_timestamp()"));
        let now: DateTime<Utc> = answer(time.get_result(&mut connection)).await?;
        let mut harness = AsyncMigrationHarness::new(connection);
        let pending = tokio::task::block_in_place(|| {
            let pending = harness.pending_migrations(MIGRATIONS)?;
            Ok(pending.iter().map(|migration| migration.name().to_string()).collect())
        });
        match pending {
            Ok(pending) => Ok(Examined { pending, now: Time(now) }),
            Err(error) => Err(failed(error, &harness.into_inner())),
        }
    }

    /// Migrates the schema to this version. Several processes may try at once: the first does it. Must run on a multi-thread runtime.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the server can't be reached, [`StoreError::Internal`] if a migration fails, or with
    /// [`SharedSessions`] as its cause.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        // Before anything is set or prepared in a session.
        self.refuse_shared_sessions().await?;
        // The connection must not return to the pool, however this ends.
        let mut connection = Object::take(self.get().await?);
        let begin = async {
            AnsiTransactionManager::begin_transaction(&mut connection).await?;
            connection.batch_execute(BEGIN).await
        };
        answer(begin).await?;
        // All migrations in one transaction: the lock ends with it, on whichever connection of a pooler it was.
        let mut harness = AsyncMigrationHarness::new(connection);
        let outcome = tokio::task::block_in_place(|| harness.run_pending_migrations(MIGRATIONS).map(|_| ()));
        let mut connection = harness.into_inner();
        match outcome {
            Ok(()) => answer(AnsiTransactionManager::commit_transaction(&mut connection)).await,
            Err(error) => Err(failed(error, &connection)),
        }
    }

    async fn refuse_shared_sessions(&self) -> Result<(), StoreError> {
        let are_shared = timeout(ANSWER, self.target.shares_sessions()).await;
        let are_shared = are_shared.map_err(|late| StoreError::Unavailable(Arc::new(late)))?;
        match are_shared.map_err(|error| StoreError::Unavailable(Arc::new(error)))? {
            true => Err(StoreError::Internal(Arc::new(SharedSessions))),
            false => Ok(()),
        }
    }
}

/// Returns the meaning of an error of the migrations' library.
fn failed(error: Box<dyn std::error::Error + Send + Sync>, connection: &Session) -> StoreError {
    match (error.downcast::<DieselError>(), connection.last_error().get()) {
        (Ok(error), _) => (*error).into(),
        (Err(error), Some(state)) => state.meaning()(Arc::from(error)),
        // The connection broke.
        (Err(error), None) => StoreError::Unavailable(Arc::from(error)),
    }
}
