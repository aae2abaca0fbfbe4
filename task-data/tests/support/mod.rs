//! What the suites share: fresh adapters that go with their folder, and waiting with a deadline.

#![allow(dead_code, reason = "each suite uses a part of it")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use task_data::blobs::{Blobs, folder::BlobFolder};
use task_data::deployment::Deployment;
use task_data::limits::{Limits, local::LocalLimits, redis::RedisLimits};
use task_data::notify::redis::{RedisNotify, client};
use task_data::notify::{Notify, local::LocalNotify};
use task_data::queue::{Queue, amqp::Broker, memory::MemoryQueue};
use task_data::store::{Store, postgres::PostgresStore, sqlite::SqliteStore};
use tempfile::TempDir;

#[path = "../../../tests/servers.rs"]
mod servers;
#[allow(unused_imports, reason = "each suite uses a part of it")]
pub use servers::{psql, servers};

/// A port over an adapter that nobody has used yet. What it wrote is removed when this is dropped.
pub struct Fresh<P: ?Sized> {
    pub port: Arc<P>,
    _folder: Option<TempDir>,
}

pub fn sqlite() -> Fresh<dyn Store> {
    let folder = tempfile::tempdir().unwrap();
    let port = Arc::new(SqliteStore::open(&folder.path().join("coatcheck.db")).unwrap());
    Fresh { port, _folder: Some(folder) }
}

pub async fn postgres() -> Fresh<dyn Store> {
    let store = PostgresStore::new(&servers().database()).unwrap();
    store.migrate().await.unwrap();
    Fresh { port: Arc::new(store), _folder: None }
}

/// What an operator may set for a database: its messages in German, the strictest isolation, and a time-out of each sort.
const OTHERWISE: [&str; 6] = [
    "lc_messages = 'de_DE.UTF-8'",
    "default_transaction_isolation = serializable",
    "statement_timeout = '15s'",
    "lock_timeout = '15s'",
    "idle_in_transaction_session_timeout = '15s'",
    "idle_session_timeout = '15s'",
];

/// The URL of a new database for which an operator has set all that.
pub fn database_set_otherwise() -> String {
    let url = servers().database();
    let has_transaction_timeout = psql(&url, "SHOW server_version_num").parse::<u32>().unwrap() >= 170_000;
    for setting in
        OTHERWISE.into_iter().chain(has_transaction_timeout.then_some("transaction_timeout = '15s'"))
    {
        set(&url, setting);
    }
    url
}

/// Sets that for the sessions of a database that begin from now on.
pub fn set(url: &str, setting: &str) {
    let (_, name) = url.rsplit_once('/').unwrap();
    psql(url, &format!("ALTER DATABASE {name} SET {setting}"));
}

pub async fn postgres_set_otherwise() -> Fresh<dyn Store> {
    let store = PostgresStore::new(&database_set_otherwise()).unwrap();
    store.migrate().await.unwrap();
    Fresh { port: Arc::new(store), _folder: None }
}

pub fn blob_folder() -> Fresh<dyn Blobs> {
    let folder = tempfile::tempdir().unwrap();
    let port = Arc::new(BlobFolder::open(folder.path().join("blobs")).unwrap());
    Fresh { port, _folder: Some(folder) }
}

pub fn memory_queue() -> Fresh<dyn Queue> {
    Fresh { port: Arc::new(MemoryQueue::new()), _folder: None }
}

pub fn rabbitmq() -> Fresh<dyn Queue> {
    Fresh { port: Arc::new(Broker::new(&servers().vhost()).unwrap().queues_of(&deployment())), _folder: None }
}

pub fn redis() -> Fresh<dyn Notify> {
    Fresh {
        port: Arc::new(RedisNotify::start(client(&servers().redis()).unwrap(), &deployment())),
        _folder: None,
    }
}

pub fn local_notify() -> Fresh<dyn Notify> {
    Fresh { port: Arc::new(LocalNotify::new()), _folder: None }
}

/// Of a database that nobody has used yet.
pub fn redis_url() -> String {
    servers().redis()
}

/// One of no database.
pub fn deployment() -> Deployment {
    Deployment("0123456789ab".into())
}

pub fn redis_limits_at(url: &str) -> RedisLimits {
    RedisLimits::new(client(url).unwrap(), &deployment())
}

pub fn redis_limits() -> Fresh<dyn Limits> {
    Fresh { port: Arc::new(redis_limits_at(&redis_url())), _folder: None }
}

pub fn local_limits() -> Fresh<dyn Limits> {
    Fresh { port: Arc::new(LocalLimits::new()), _folder: None }
}

/// What must have happened by then has not happened.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Asks again and again until there is an answer; panics with `what` at the deadline.
pub async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {DEADLINE:?} in vain: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Waits for `event`; panics with `what` at the deadline.
pub async fn in_time<T>(what: &str, event: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, event).await {
        Ok(answer) => answer,
        Err(_) => panic!("waited {DEADLINE:?} in vain: {what}"),
    }
}
