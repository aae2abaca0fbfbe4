//! The schema's migrations.

use std::sync::Arc;

use diesel::result::Error as DieselError;
use diesel_async::pooled_connection::deadpool::Object;
use diesel_async::{
    AnsiTransactionManager, AsyncMigrationHarness, SimpleAsyncConnection, TransactionManager,
};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use tokio::time::timeout;

use super::connection::{ANSWER, Postgres, answer};
use crate::StoreError;

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

impl Postgres {
    /// Migrates the schema to this version. Several processes may try at once: the first does it. Must run on a multi-thread runtime.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the server can't be reached, [`StoreError::Internal`] if a migration fails, or with
    /// [`SharedSessions`] as its cause.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        // Before anything is set or prepared in a session.
        let are_shared = timeout(ANSWER, self.target.shares_sessions()).await;
        let are_shared = are_shared.map_err(|late| StoreError::Unavailable(Arc::new(late)))?;
        if are_shared.map_err(|error| StoreError::Unavailable(Arc::new(error)))? {
            return Err(StoreError::Internal(Arc::new(SharedSessions)));
        }
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
        let Err(error) = outcome else {
            return answer(AnsiTransactionManager::commit_transaction(&mut connection)).await;
        };
        match (error.downcast::<DieselError>(), connection.last_error().get()) {
            (Ok(error), _) => Err((*error).into()),
            (Err(error), Some(state)) => Err(state.meaning()(Arc::from(error))),
            // The connection broke.
            (Err(error), None) => Err(StoreError::Unavailable(Arc::from(error))),
        }
    }
}
