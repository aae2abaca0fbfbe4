//! The meaning of PostgreSQL's errors, in whichever language they come.

use access_log::record::RecordId;
use access_log::{NewRecord, Records};
use database::Postgres;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use task_data::store::{StoreError, Tasks};

use crate::samples::*;
use test_kit::{database_set_otherwise, psql, servers, set};

/// Makes every insert of records run a PL/pgSQL statement first.
fn before_records(url: &str, does: &str) {
    psql(
        url,
        &format!(
            "CREATE OR REPLACE FUNCTION before_records() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {does}; RETURN NEW; END $$; \
             CREATE OR REPLACE TRIGGER before_records BEFORE INSERT ON records FOR EACH ROW EXECUTE FUNCTION before_records()"
        ),
    );
}

/// Appends a record.
pub async fn append(store: &Postgres) -> Result<(), StoreError> {
    let new = NewRecord { id: RecordId::random(), log: "127.0.0.1 GET / 200".parse().unwrap() };
    store.append_records(vec![new]).await.map(drop)
}

/// Returns the name of the error's variant.
fn variant<T>(outcome: &Result<T, StoreError>) -> &'static str {
    match outcome {
        Ok(_) => "Ok",
        Err(StoreError::Unavailable(_)) => "Unavailable",
        Err(StoreError::Unknown(_)) => "Unknown",
        Err(StoreError::Refused(_)) => "Refused",
        Err(StoreError::Internal(_)) => "Internal",
    }
}

async fn german_store() -> (String, Postgres) {
    let url = database_set_otherwise();
    let mut other = AsyncPgConnection::establish(&url).await.unwrap();
    let error =
        diesel::sql_query("SELECT 1 / 0 AS count").get_result::<Count>(&mut other).await.err().unwrap();
    assert_eq!(error.to_string(), "Division durch Null", "are PostgreSQL's translations installed?");
    let store = Postgres::new(&url).unwrap();
    store.migrate().await.unwrap();
    (url, store)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_means_what_its_sqlstate_says() {
    let (url, store) = german_store().await;

    for (does, expected) in [
        ("PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(10)", "Unknown"),
        ("PERFORM pg_cancel_backend(pg_backend_pid()); PERFORM pg_sleep(10)", "Unavailable"),
        ("PERFORM set_config('transaction_read_only', 'on', true); DELETE FROM workers", "Unavailable"),
        ("RAISE EXCEPTION USING ERRCODE = 'serialization_failure'", "Unavailable"),
        ("RAISE EXCEPTION USING ERRCODE = 'deadlock_detected'", "Unavailable"),
        ("RAISE EXCEPTION USING ERRCODE = 'disk_full'", "Unavailable"),
        ("RAISE EXCEPTION USING ERRCODE = 'out_of_memory'", "Unavailable"),
        ("RAISE EXCEPTION USING ERRCODE = 'lock_not_available'", "Unavailable"),
        ("RAISE EXCEPTION USING ERRCODE = 'io_error'", "Unavailable"),
        ("RAISE EXCEPTION USING ERRCODE = 'connection_failure'", "Unknown"),
        ("PERFORM 'x'::int", "Refused"),
        ("INSERT INTO workers (id) VALUES (NULL)", "Refused"),
        ("PERFORM nowhere", "Internal"),
        ("RAISE EXCEPTION 'terminating connection: deadlock, timeout, too many, shutting down'", "Internal"),
        ("NULL", "Ok"),
    ] {
        before_records(&url, does);

        let outcome = append(&store).await;

        assert_eq!(variant(&outcome), expected, "{does}: {outcome:?}");
    }
    assert_eq!(psql(&url, "SELECT count(*) FROM records"), "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_that_a_column_can_not_hold_are_refused() {
    let (_, store) = german_store().await;
    let mut new = new_task();
    new.input = serde_json::json!({"filename": "a\0b", "size": 3});

    let outcome = store.insert(vec![new], NOW).await;

    assert_eq!(variant(&outcome), "Refused", "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_takes_no_writes_is_away_until_it_does() {
    let (url, before) = german_store().await;
    append(&before).await.unwrap();
    set(&url, "default_transaction_read_only = on");
    let store = Postgres::new(&url).unwrap();

    let migrated = store.migrate().await;
    let written = [append(&store).await, append(&store).await];

    assert_eq!(variant(&migrated), "Unavailable", "{migrated:?}");
    assert_eq!(written.each_ref().map(variant), ["Unavailable"; 2], "{written:?}");
    append(&before).await.unwrap();

    // The sessions that took no writes are gone.
    psql(
        &url,
        &format!(
            "BEGIN READ WRITE; ALTER DATABASE {} RESET default_transaction_read_only; COMMIT",
            url.rsplit_once('/').unwrap().1
        ),
    );
    append(&store).await.unwrap();
    assert_eq!(psql(&url, "SELECT count(*) FROM records"), "3");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_waits_for_the_disk_even_where_the_database_s_default_is_not_to() {
    let check = "IF current_setting('synchronous_commit') <> '{}' THEN RAISE 'it is %', current_setting('synchronous_commit'); END IF";
    for (default, used) in [("off", "on"), ("on", "on"), ("local", "local"), ("remote_apply", "remote_apply")]
    {
        let url = servers().database();
        set(&url, &format!("synchronous_commit = {default}"));
        let store = Postgres::new(&url).unwrap();
        store.migrate().await.unwrap();
        before_records(&url, &check.replace("{}", used));

        append(&store).await.unwrap_or_else(|error| panic!("{default}: {error}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_that_is_cut_off_is_tried_again() {
    let url = database_set_otherwise();
    psql(
        &url,
        "CREATE FUNCTION cut_off() RETURNS event_trigger LANGUAGE plpgsql AS \
             $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(10); END $$; \
         CREATE EVENT TRIGGER cut_off ON ddl_command_start WHEN TAG IN ('CREATE INDEX') EXECUTE FUNCTION cut_off()",
    );
    let store = Postgres::new(&url).unwrap();

    let outcome = store.migrate().await;
    psql(&url, "DROP EVENT TRIGGER cut_off");

    assert_eq!(variant(&outcome), "Unknown", "{outcome:?}");
    assert_eq!(psql(&url, "SELECT to_regclass('tasks') IS NULL"), "t");
    store.migrate().await.unwrap();
    append(&store).await.unwrap();
}
