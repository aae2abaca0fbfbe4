//! The connections to PostgreSQL: a pool, and a time-out for every wait.

use std::sync::Arc;
use std::time::Duration;

use deadpool::managed::{Metrics, QueueMode};
use diesel::QueryDsl;
use diesel::result::QueryResult;
use diesel_async::RunQueryDsl;
use diesel_async::pooled_connection::deadpool::{Hook, HookError, Object, Pool};
use diesel_async::pooled_connection::{
    AsyncDieselConnectionManager, ManagerConfig, PoolError, PoolableConnection, RecyclingMethod,
};
use futures::FutureExt;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::session::Session;
use super::target::{Target, UrlError, bad_connection};
use crate::schema::deployment;
use crate::{Deployment, PoolUse, StoreError};

/// The most connections of one process.
const CONNECTIONS: usize = 10;
/// The most of these that reads of many rows may use, so that promises and health checks never wait for all of them.
const LONG_READS: usize = 5;
/// The time-out of the wait for such a read's turn.
const LONG_READ: Duration = Duration::from_secs(10);
/// The time-out of opening a connection, and of waiting for a free one.
pub const CONNECT: Duration = Duration::from_secs(2);
/// A connection that was idle for longer is tested before it is used again.
const RESTED: Duration = Duration::from_secs(1);
/// The time-out of an answer: a little more than the server's own for a statement, whose error says more.
pub const ANSWER: Duration = Duration::from_secs(6);

/// One PostgreSQL database, shared by many processes: a pool of connections.
pub struct Postgres {
    pool: Pool<Session>,
    pub(super) target: Arc<Target>,
    long: Semaphore,
}

impl Postgres {
    /// Creates the pool of that database, without connecting yet.
    pub fn new(url: &str) -> Result<Self, UrlError> {
        let target = Arc::new(Target::parse(url)?);
        let (runtime, connect_to) = (Handle::current(), target.clone());
        let mut config = ManagerConfig::default();
        config.custom_setup = Box::new(move |_| {
            let (target, runtime) = (connect_to.clone(), runtime.clone());
            // On the runtime that outlives all callers: a connection belongs to the runtime that opened it.
            let made = async move { runtime.spawn(async move { target.connect().await }).await };
            made.map(|made| made.unwrap_or_else(|error| Err(bad_connection(error)))).boxed()
        });
        // The pool notices that the server has closed a connection; one that was idle may have died silently, and is tested.
        config.recycling_method = RecyclingMethod::Fast;
        let manager = AsyncDieselConnectionManager::new_with_config("", config);
        let verify = Hook::async_fn(|connection: &mut Session, metrics: &Metrics| {
            let has_rested = metrics.last_used() > RESTED;
            async move {
                if has_rested {
                    let verified = RecyclingMethod::Verified;
                    let answered = timeout(CONNECT, connection.ping(&verified)).await;
                    let answered = answered.map_err(|_| HookError::Message("it does not answer".into()))?;
                    answered.map_err(|error| HookError::Backend(PoolError::QueryError(error)))?;
                }
                Ok(())
            }
            .boxed()
        });
        let pool = Pool::builder(manager)
            .max_size(CONNECTIONS)
            // Connections in use stay warm, with their prepared statements.
            .queue_mode(QueueMode::Lifo)
            .pre_recycle(verify)
            .wait_timeout(Some(CONNECT))
            .create_timeout(Some(CONNECT))
            .recycle_timeout(Some(CONNECT))
            .runtime(deadpool::Runtime::Tokio1)
            .build()
            .map_err(|error| UrlError(error.to_string()))?;
        Ok(Self { pool, target, long: Semaphore::new(LONG_READS) })
    }

    /// Closes the connections: those in use as soon as they are returned.
    pub(crate) fn end(&self) {
        self.pool.close();
    }

    /// Returns the deployment that the database belongs to.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the server can't be reached, [`StoreError::Internal`] if its schema is not up to date.
    pub async fn deployment(&self) -> Result<Deployment, StoreError> {
        let mut connection = self.get().await?;
        let id: String = answer(deployment::table.select(deployment::id).get_result(&mut connection)).await?;
        Ok(Deployment(id.into()))
    }

    /// Returns how the connections are used.
    pub fn pool_use(&self) -> PoolUse {
        let status = self.pool.status();
        PoolUse { used: status.size - status.available, free: status.available }
    }

    /// Returns a connection that answers.
    pub async fn get(&self) -> Result<Object<Session>, StoreError> {
        self.pool.get().await.map_err(|error| StoreError::Unavailable(Arc::new(error)))
    }

    /// Returns a connection for a read of many rows, with its turn, which the caller holds as long.
    pub async fn get_long(&self) -> Result<(Object<Session>, SemaphorePermit<'_>), StoreError> {
        let turn = timeout(LONG_READ, self.long.acquire()).await;
        let turn = turn.map_err(|late| StoreError::Unavailable(Arc::new(late)))?;
        let turn = turn.map_err(|closed| StoreError::Unavailable(Arc::new(closed)))?;
        Ok((self.get().await?, turn))
    }
}

/// Returns the server's answer, within the time-out. A read that took too long may be repeated; whether a write was committed is unknown.
pub async fn answer<T>(query: impl Future<Output = QueryResult<T>>) -> Result<T, StoreError> {
    match timeout(ANSWER, query).await {
        Ok(outcome) => Ok(outcome?),
        Err(late) => Err(StoreError::Unknown(Arc::new(late))),
    }
}
