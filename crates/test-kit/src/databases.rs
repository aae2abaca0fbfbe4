//! Databases that no other test has used, and the template that runs a promise on each.

use std::ops::Deref;
use std::sync::Arc;

use database::{Database, Postgres, Sqlite};
use rstest_reuse::template;
use tempfile::TempDir;

use crate::{psql, servers};

/// Runs a promise on every database: `#[apply(each_database)] async fn name(database: FreshDatabase)`, with `rstest::rstest` in scope.
/// Another adapter is one more line here.
#[template]
#[export]
#[rstest]
#[case::sqlite(test_kit::FreshDatabase::sqlite())]
#[case::postgres(test_kit::FreshDatabase::postgres())]
#[case::postgres_set_otherwise(test_kit::FreshDatabase::postgres_set_otherwise())]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_database(
    #[case]
    #[future(awt)]
    database: FreshDatabase,
) {
}

/// A database for one test. Its file is removed when this is dropped.
pub struct FreshDatabase {
    database: Database,
    _folder: Option<TempDir>,
}

impl Deref for FreshDatabase {
    type Target = Database;

    fn deref(&self) -> &Database {
        &self.database
    }
}

impl FreshDatabase {
    /// Makes an SQLite database in a folder of its own.
    #[allow(clippy::unused_async, reason = "the cases of a template are alike")]
    pub async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sqlite = Sqlite::open(&folder.path().join("coatcheck.db")).unwrap();
        Self { database: Database::Sqlite(Arc::new(sqlite)), _folder: Some(folder) }
    }

    /// Makes a database on the private PostgreSQL server.
    pub async fn postgres() -> Self {
        Self::migrated(&servers().database()).await
    }

    /// Makes a database on the private PostgreSQL server, with settings that an operator may have chosen.
    pub async fn postgres_set_otherwise() -> Self {
        Self::migrated(&database_set_otherwise()).await
    }

    async fn migrated(url: &str) -> Self {
        let postgres = Postgres::new(url).unwrap();
        postgres.migrate().await.unwrap();
        Self { database: Database::Postgres(Arc::new(postgres)), _folder: None }
    }
}

/// Settings that an operator may give a database: messages in German, the strictest isolation, and a time-out of each sort.
const OTHERWISE: [&str; 6] = [
    "lc_messages = 'de_DE.UTF-8'",
    "default_transaction_isolation = serializable",
    "statement_timeout = '15s'",
    "lock_timeout = '15s'",
    "idle_in_transaction_session_timeout = '15s'",
    "idle_session_timeout = '15s'",
];

/// Returns the URL of a new database with all those settings.
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

/// Applies a setting to the sessions of a database that begin from now on.
pub fn set(url: &str, setting: &str) {
    let (_, name) = url.rsplit_once('/').unwrap();
    psql(url, &format!("ALTER DATABASE {name} SET {setting}"));
}
