//! Properties of PostgreSQL alone: plans that are made once, for a table of any size.

use chrono::DateTime;
use database::{Postgres, UserId};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use task_data::kinds::Kind;
use task_data::kinds::md5::Md5Digest;
use task_data::store::{Feed, Filter, Followers, Leases, ListOrder, Period, Place, Tasks};
use task_data::task::{Status, Time, WorkerId};

use crate::followers::{NAME, head, log};
use crate::samples::*;
use test_kit::{eventually, servers};

/// The number of rows among which a few are looked up.
const MANY: i64 = 20_000;

async fn count(connection: &mut AsyncPgConnection, query: &str) -> i64 {
    diesel::sql_query(query).get_result::<Count>(connection).await.unwrap().count
}

/// Calls once every method that a service calls all the time, or each second.
async fn a_day(store: &Postgres) {
    let worker = worker(store).await;
    let (first, second, third) = (pending(store).await, pending(store).await, pending(store).await);
    store.mark_published(vec![ticket(third, 0)]).await.unwrap();
    store.due(10, LATER).await.unwrap();
    store.published_before(Kind::Md5, NOW, 10).await.unwrap();
    let (first, second) = (claim(store, first, worker).await, claim(store, second, worker).await);
    store.beat(worker, LATER).await.unwrap();
    store.complete(vec![success(&first)], RULES).await.unwrap();
    store.hand_back(vec![charged_return(&second, LATER)], RULES).await.unwrap();
    store.return_lost(RULES).await.unwrap();
    store.cancel(second.id, RULES).await.unwrap();

    let seen = store.log(NAME.to_owned()).await.unwrap().map(|(log, _)| log.head.version);
    assert!(store.store_log(seen, log(head(seen.unwrap_or(0) + 1))).await.unwrap());

    store.number_outcomes(10).await.unwrap();
    let last = Place::before(store.feed_range().await.unwrap().next - 1);
    assert!(!store.outcomes(last, None, 10).await.unwrap().outcomes.is_empty());

    let newest = Filter { limit: 3, ..Filter::default() };
    assert_eq!(store.list(newest.clone()).await.unwrap().tasks.len(), 3);
    let failed = Filter { statuses: vec![Status::Failed], after: Some(first.id.into()), ..newest };
    store.list(failed).await.unwrap();
    store.cancel(third, RULES).await.unwrap();
}

/// Adds rows that no test looks up.
async fn fill(connection: &mut AsyncPgConnection, rows: i64) {
    let fill = format!(
        "INSERT INTO tasks (id, kind, status, created, input, sweep_at, finished, logged_at) \
         SELECT overlay(gen_random_uuid()::text PLACING '00000000' FROM 1)::uuid, 'md5', \
                CASE WHEN n % 2 = 0 THEN 'pending' ELSE 'failed' END::taskstatus, now(), '{{}}', now() + interval '1 day', \
                CASE WHEN n % 2 = 1 THEN now() END, CASE WHEN n % 2 = 1 THEN now() END \
         FROM generate_series(1, {rows}) AS n"
    );
    connection.batch_execute(&fill).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_planned_for_a_small_table_reads_few_rows_of_a_large_one() {
    for small in [0, 30, 300] {
        let url = servers().database();
        let store = Postgres::new(&url).unwrap();
        store.migrate().await.unwrap();
        let mut other = AsyncPgConnection::establish(&url).await.unwrap();

        fill(&mut other, small).await;
        // The planner knows from here on how small it is; nothing tells it that it grows.
        for statement in ["ALTER TABLE tasks SET (autovacuum_enabled = off)", "VACUUM tasks"] {
            other.batch_execute(statement).await.unwrap();
        }
        a_day(&store).await;
        fill(&mut other, MANY).await;
        a_day(&store).await;

        drop(store);
        let read = read_so_far(&mut other).await;
        assert!(read < MANY / 10, "planned for {small}: {read} rows and entries were read");
    }
}

/// Returns the number of rows and entries of tasks that were read, once the other connections are gone: a connection tells the last of what
/// it has read as it ends.
async fn read_so_far(connection: &mut AsyncPgConnection) -> i64 {
    eventually("the store's connections are gone", async || {
        let others = "SELECT count(*) AS count FROM pg_stat_activity WHERE datname = current_database() \
                      AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
        (count(connection, others).await == 0).then_some(())
    })
    .await;
    count(
        connection,
        "SELECT (SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE relname = 'tasks')::bigint \
              + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname = 'tasks')::bigint AS count",
    )
    .await
}

/// Filters that an index serves alone.
fn dense(worker: WorkerId, owner: UserId) -> [Filter; 12] {
    let from = Some(Time(DateTime::UNIX_EPOCH));
    let newest = Filter { limit: 100, ..Filter::default() };
    let oldest = Filter { order: ListOrder::Oldest, ..newest.clone() };
    let finished = Period { from, before: None };
    [
        newest.clone(),
        oldest.clone(),
        Filter { statuses: vec![Status::Failed], ..newest.clone() },
        Filter { statuses: vec![Status::Cancelled], ..oldest.clone() },
        Filter { statuses: vec![Status::Running], ..newest.clone() },
        Filter { worker: Some(worker), ..newest.clone() },
        Filter { error_code: Some("rare".to_owned()), ..newest.clone() },
        Filter { finished, ..oldest },
        Filter { filename: Some("rare".to_owned()), ..newest.clone() },
        Filter { owner: Some(owner), finished, ..newest.clone() },
        Filter { digest: Some(Md5Digest([0xab; 16])), ..newest.clone() },
        Filter { digest: Some(Md5Digest([0xab; 16])), owner: Some(owner), ..newest },
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_was_planned_for_a_small_table_reads_few_rows_of_a_large_one() {
    const ROWS: i64 = 100_000;
    for small in [0, 300] {
        let url = servers().database();
        let store = Postgres::new(&url).unwrap();
        store.migrate().await.unwrap();
        let mut other = AsyncPgConnection::establish(&url).await.unwrap();
        let (worker, owner) = (worker(&store).await, UserId::random());
        fill(&mut other, small).await;
        for statement in ["ALTER TABLE tasks SET (autovacuum_enabled = off)", "VACUUM ANALYZE tasks"] {
            other.batch_execute(statement).await.unwrap();
        }
        for filter in dense(worker, owner) {
            store.list(filter.clone()).await.unwrap();
            store.count(filter, 100).await.unwrap();
        }
        fill(&mut other, ROWS).await;
        for filter in dense(worker, owner) {
            store.list(filter.clone()).await.unwrap();
            store.count(filter, 100).await.unwrap();
        }
        drop(store);
        let read = read_so_far(&mut other).await;
        assert!(read < ROWS / 10, "planned for {small}: {read} rows and entries were read");

        // A condition that no index helps with is compared with only as many rows as a page looks at.
        let newest = Filter { limit: 100, ..Filter::default() };
        for filter in [
            Filter { statuses: vec![Status::Succeeded], ..newest.clone() },
            Filter { kinds: vec![Kind::Table], ..newest.clone() },
            Filter {
                created: Period { from: None, before: Some(Time(DateTime::UNIX_EPOCH)) },
                ..newest.clone()
            },
            Filter { statuses: vec![Status::Failed], kinds: vec![Kind::Table], ..newest },
        ] {
            let before = read_so_far(&mut other).await;
            let store = Postgres::new(&url).unwrap();
            assert_eq!(store.list(filter.clone()).await.unwrap().tasks, []);
            drop(store);
            let read = read_so_far(&mut other).await - before;
            assert!(read < 3 * ROWS / 10, "{filter:?}: {read} rows and entries were read");
        }
    }
}
