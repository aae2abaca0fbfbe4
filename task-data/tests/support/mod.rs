//! What the suites share: fresh adapters that go with their folder, and waiting with a deadline.

#![allow(dead_code, reason = "each suite uses a part of it")]

use std::sync::Arc;

use access_log::Records;
use accounts::Accounts;
use database::{Deployment, Postgres, Sqlite};
use task_data::blobs::{Blobs, folder::BlobFolder};
use task_data::notify::redis::{RedisNotify, client};
use task_data::notify::{Notify, local::LocalNotify};
use task_data::queue::{Queue, amqp::Broker, memory::MemoryQueue};
use task_data::store::Store;
use tempfile::TempDir;

#[allow(unused_imports, reason = "each suite uses a part of it")]
pub use test_kit::{DEADLINE, in_time, psql, servers, until};

/// All that subjects have in one database.
pub trait Everything: Store + Accounts + Records {}
impl<T: Store + Accounts + Records> Everything for T {}

/// A port over an adapter that nobody has used yet. What it wrote is removed when this is dropped.
pub struct Fresh<P: ?Sized> {
    pub port: Arc<P>,
    _folder: Option<TempDir>,
}

pub fn sqlite() -> Fresh<dyn Everything> {
    let folder = tempfile::tempdir().unwrap();
    let port = Arc::new(Sqlite::open(&folder.path().join("coatcheck.db")).unwrap());
    Fresh { port, _folder: Some(folder) }
}

pub async fn postgres() -> Fresh<dyn Everything> {
    let store = Postgres::new(&servers().database()).unwrap();
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

pub async fn postgres_set_otherwise() -> Fresh<dyn Everything> {
    let store = Postgres::new(&database_set_otherwise()).unwrap();
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
