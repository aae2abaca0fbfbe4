//! The feed of outcomes: each ended task is in it exactly once, in one order that never changes, and a reader with a cursor gets it once.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use database::{Postgres, Sqlite, UserId};
use diesel::connection::{Connection, SimpleConnection};
use diesel::sqlite::SqliteConnection;
use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use futures::future::join_all;
use rstest::rstest;
use rstest_reuse::apply;
use task_data::outcome;
use task_data::store::{Feed, FeedRange, NewTask, Outcome, Place, Rules, Store};
use task_data::task::TaskId;
use test_kit::{FreshDatabase, each_database, eventually, psql, servers};

use crate::samples::*;
use crate::small;

const BEGIN: Place = Place::before(1);

/// Reads as a client does: pages of `limit` from a place on, to the end.
async fn read(store: &dyn Store, mut after: Place, limit: i64) -> Vec<Outcome> {
    let mut read = Vec::new();
    loop {
        let page = store.outcomes(after, None, limit).await.unwrap();
        assert!(page.outcomes.len() as i64 <= limit);
        read.extend(page.outcomes);
        after = page.until;
        if page.is_end {
            return read;
        }
    }
}

/// Numbers and reads all.
pub async fn all(store: &dyn Store) -> Vec<Outcome> {
    while store.number_outcomes(1000).await.unwrap() != Some(0) {}
    read(store, BEGIN, 1000).await
}

pub fn ids(outcomes: &[Outcome]) -> Vec<TaskId> {
    outcomes.iter().map(|outcome| outcome.id).collect()
}

/// Checks that the places follow each other without a gap.
fn is_gap_free(outcomes: &[Outcome]) {
    let mut last = Place { no: 0, within: 0 };
    for Outcome { place, .. } in outcomes {
        let is_next = match place.no == last.no {
            true => place.within == last.within + 1,
            false => place.no == last.no + 1 && place.within == 1,
        };
        assert!(is_next, "{last} is followed by {place}");
        last = *place;
    }
}

/// Ends a task in each way that there is, some of them in one statement, beside tasks that do not end. Returns those that have ended.
async fn end_in_each_way(store: &dyn Store) -> Vec<TaskId> {
    let last_try = Rules { max_attempts: 1, ..RULES };
    let mut ended = Vec::new();

    // Completed, two of them together, beside one that is fenced.
    let (one, two, fenced) = (running(store).await, running(store).await, running(store).await);
    store.hand_back(vec![free_return(&fenced, LATER)], RULES).await.unwrap();
    store.complete(vec![success(&one), failure(&two), success(&fenced)], RULES).await.unwrap();
    store.complete(vec![success(&one)], RULES).await.unwrap();
    ended.extend([one.id, two.id]);

    // Small work, beside a claim's end in one statement; twice.
    let (small, claimed) = (small::read(store).await, running(store).await);
    store.complete(vec![success(&small), success(&claimed)], RULES).await.unwrap();
    store.complete(vec![success(&small)], RULES).await.unwrap();
    ended.extend([small.id, claimed.id]);

    // Cancelled while pending, twice.
    let cancelled = pending(store).await;
    store.cancel(cancelled, RULES).await.unwrap();
    store.cancel(cancelled, RULES).await.unwrap();
    ended.push(cancelled);

    // Handed back: when it was to be cancelled, by its last try, and to go on.
    let (wanted, tried, goes_on) = (running(store).await, running(store).await, running(store).await);
    store.cancel(wanted.id, RULES).await.unwrap();
    let returns = vec![free_return(&wanted, NOW), charged_return(&tried, NOW), free_return(&goes_on, LATER)];
    store.hand_back(returns.clone(), last_try).await.unwrap();
    store.hand_back(returns, last_try).await.unwrap();
    ended.extend([wanted.id, tried.id]);

    // Lost with their worker: to be cancelled, and by their last try.
    let worker = worker(store).await;
    let (wanted, tried) = (pending(store).await, pending(store).await);
    store.claim(vec![wanted, tried], worker).await.unwrap();
    store.cancel(wanted, RULES).await.unwrap();
    store.retire(worker).await.unwrap();
    store.return_lost(last_try).await.unwrap();
    ended.extend([wanted, tried]);
    ended
}

#[apply(each_database)]
async fn each_ended_task_is_in_the_feed_once_whichever_way_it_ended(database: FreshDatabase) {
    let store = task_data::store::of(&database);

    let ended = end_in_each_way(&*store).await;

    let outcomes = all(&*store).await;
    assert_eq!(sorted(ids(&outcomes)), sorted(ended));
    is_gap_free(&outcomes);
    for Outcome { id, kind, status, finished, detail, .. } in outcomes {
        let detail = detail.unwrap();
        let line = format!("{finished} {id} {kind} {} {detail}", status.name());
        assert_eq!(outcome::line(&stands(&*store, id).await), Some(line));
    }
}

#[apply(each_database)]
async fn readers_get_each_outcome_once_and_in_one_order_under_many_writers(database: FreshDatabase) {
    const WRITERS: usize = 8;
    const ROUNDS: usize = 12;
    let store = &*task_data::store::of(&database);
    let are_done = &AtomicBool::new(false);
    let write = async || {
        let mut ended = Vec::new();
        for round in 0..ROUNDS {
            let (one, two) = (running(store).await, running(store).await);
            match round % 3 {
                0 => drop(store.complete(vec![success(&one), failure(&two)], RULES).await.unwrap()),
                1 => {
                    store.cancel(one.id, RULES).await.unwrap();
                    store.hand_back(vec![free_return(&one, NOW)], RULES).await.unwrap();
                    store.complete(vec![success(&two)], RULES).await.unwrap();
                }
                _ => {
                    store.complete(vec![success(&two)], RULES).await.unwrap();
                    store.complete(vec![success(&one)], RULES).await.unwrap();
                }
            }
            ended.extend([one.id, two.id]);
        }
        ended
    };
    // Each numbers before it reads, as processes do.
    let follow = async |limit: i64| {
        let (mut after, mut read) = (BEGIN, Vec::new());
        loop {
            let is_last = are_done.load(SeqCst);
            while store.number_outcomes(3).await.unwrap() == Some(3) {}
            let page = store.outcomes(after, None, limit).await.unwrap();
            after = page.until;
            let is_end = page.is_end && store.number_outcomes(3).await.unwrap() == Some(0);
            read.extend(page.outcomes);
            if is_last && is_end {
                return read;
            }
        }
    };
    let writers = async {
        let ended = join_all((0..WRITERS).map(|_| write())).await.concat();
        are_done.store(true, SeqCst);
        ended
    };

    let (ended, one, two, three) = tokio::join!(writers, follow(1), follow(5), follow(1000));

    assert_eq!(ended.len(), WRITERS * ROUNDS * 2);
    assert_eq!(sorted(ids(&one)), sorted(ended));
    is_gap_free(&one);
    assert!(one == two && two == three);
    // Nothing has changed since it was first read.
    assert_eq!(all(store).await, one);
    let middle = one[one.len() / 2].place;
    assert_eq!(read(store, middle, 7).await, one[one.len() / 2 + 1..]);
}

#[apply(each_database)]
async fn an_owner_gets_only_outcomes_of_their_own(database: FreshDatabase) {
    let store = &*task_data::store::of(&database);
    let [ada, bob] = [UserId::random(), UserId::random()];
    let mut hers = Vec::new();
    for number in 0..7 {
        let owner = [Some(ada), Some(bob), None][number % 3];
        let new = NewTask { owner, ..new_task() };
        store.insert(vec![new.clone()], NOW).await.unwrap();
        store.cancel(new.id, RULES).await.unwrap();
        hers.extend((owner == Some(ada)).then_some(new.id));
    }
    all(store).await;

    let first = store.outcomes(BEGIN, Some(ada), 2).await.unwrap();
    let rest = store.outcomes(first.until, Some(ada), 2).await.unwrap();
    let none = store.outcomes(rest.until, Some(ada), 2).await.unwrap();

    assert_eq!([ids(&first.outcomes), ids(&rest.outcomes)].concat(), hers);
    assert!(first.outcomes.iter().all(|outcome| outcome.owner == Some(ada)));
    assert_eq!((first.is_end, rest.is_end, none.is_end), (false, true, true));
    assert_eq!((none.outcomes, none.until), (vec![], rest.until));
}

#[apply(each_database)]
async fn a_feed_has_its_range(database: FreshDatabase) {
    let store = &*task_data::store::of(&database);
    let range = async || {
        all(store).await;
        store.feed_range().await.unwrap()
    };
    assert_eq!(range().await, FeedRange { pruned: Place::default(), next: 1 });

    succeeded(store).await;
    succeeded(store).await;

    assert_eq!(range().await, FeedRange { pruned: Place::default(), next: 3 });
    let page = store.outcomes(Place::before(3), None, 10).await.unwrap();
    assert_eq!((page.outcomes, page.until, page.is_end), (vec![], Place::before(3), true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn up_to_so_many_are_numbered_and_none_while_another_process_numbers() {
    let url = servers().database();
    let store = Postgres::new(&url).unwrap();
    store.migrate().await.unwrap();
    for _ in 0..3 {
        succeeded(&store).await;
    }

    let two = store.number_outcomes(2).await.unwrap();
    let mut other = AsyncPgConnection::establish(&url).await.unwrap();
    other.batch_execute("BEGIN; SELECT no FROM feed_end FOR UPDATE").await.unwrap();
    let while_busy = store.number_outcomes(2).await.unwrap();
    other.batch_execute("ROLLBACK").await.unwrap();
    let one = store.number_outcomes(2).await.unwrap();

    assert_eq!((two, while_busy, one), (Some(2), None, Some(1)));
    assert_eq!(store.number_outcomes(2).await.unwrap(), Some(0));
    is_gap_free(&read(&store, BEGIN, 10).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_for_a_short_feed_numbers_a_long_one_in_one_look_up_a_row() {
    let url = servers().database();
    let store = Postgres::new(&url).unwrap();
    store.migrate().await.unwrap();
    succeeded(&store).await;
    store.number_outcomes(1000).await.unwrap();
    psql(&url, "VACUUM ANALYZE feed");
    let backlog = "INSERT INTO feed (appended, tasks) SELECT now(), ARRAY[gen_random_uuid()] FROM generate_series(1, 3000)";
    psql(&url, backlog);

    assert_eq!(store.number_outcomes(1000).await.unwrap(), Some(1000));

    // A connection tells what it has read as it ends.
    drop(store);
    let read = eventually("what was read", async || {
        let read = "SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes WHERE relname = 'feed'";
        let read: i64 = psql(&url, read).parse().unwrap();
        if read >= 1000 { Ok(read) } else { Err(read) }
    })
    .await;
    assert!(read < 30_000, "{read} entries were read");
}

/// As the version before ends tasks, in a session that knows nothing of the feed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_process_of_the_version_before_ends_is_in_the_feed_once() {
    let url = servers().database();
    let store = Postgres::new(&url).unwrap();
    store.migrate().await.unwrap();
    let ours = succeeded(&store).await;
    let theirs = [running(&store).await.id, running(&store).await.id];

    psql(
        &url,
        "UPDATE tasks SET status = 'failed', error_code = 'io', finished = now_plus(0) WHERE status = 'running'; \
         UPDATE tasks SET finished = finished",
    );

    let outcomes = all(&store).await;
    assert_eq!(outcomes.first().map(|outcome| outcome.id), Some(ours));
    assert_eq!(sorted(ids(&outcomes)), sorted([&[ours], &theirs[..]].concat()));
    is_gap_free(&outcomes);
    // They write no lines from now on.
    let url = url.clone();
    let unlogged = psql(&url, "SELECT count(*) FROM tasks WHERE finished IS NOT NULL AND logged_at IS NULL");
    assert_eq!(unlogged.trim(), "0");
}

const DOWN_SQLITE: &str = include_str!("../../../crates/database/migrations/sqlite/0015_feed/down.sql");
const DOWN_POSTGRES: &str = include_str!("../../../crates/database/migrations/postgres/0015_feed/down.sql");
const NOT_MIGRATED: &str = "DELETE FROM __diesel_schema_migrations WHERE version = '0015';";

/// Ends tasks, of which only the last is in the log, once [`UNLOGGED`] has run. Returns it, and the others.
async fn end_before_the_feed(store: &dyn Store) -> (TaskId, BTreeSet<TaskId>) {
    let due = end_in_each_way(store).await;
    let logged = succeeded(store).await;
    (logged, due.into_iter().collect())
}

/// As the version before leaves it: the log is at its path, and has the line of the last task.
const UNLOGGED: &str = "UPDATE tasks SET logged_at = NULL \
    WHERE finished IS NOT NULL AND finished < (SELECT max(finished) FROM tasks AS last); \
    INSERT INTO log_head (log, generation, dev, ino, committed, tail_check) VALUES ('a.log', 7, 1, 2, 80, 3);";

async fn has_all(store: &dyn Store, (logged, due): (TaskId, BTreeSet<TaskId>)) {
    let later = succeeded(store).await;
    let outcomes = all(store).await;
    is_gap_free(&outcomes);
    let ids = ids(&outcomes);
    let [first, middle @ .., last] = &ids[..] else { panic!("{ids:?}") };
    assert_eq!((*first, *last), (logged, later));
    assert_eq!(middle.iter().copied().collect::<BTreeSet<_>>(), due);
    assert_eq!(middle.len(), due.len());
    // The log goes on behind it.
    let (log, _) = store.log("a.log".to_owned()).await.unwrap().unwrap();
    let at = (log.head.version, log.head.dev, log.head.ino, log.head.committed, log.head.tail_check);
    assert_eq!((at, log.head.place), ((1, 1, 2, 80, 3), outcomes[0].place));
}

#[tokio::test]
async fn what_ended_before_there_was_a_feed_is_in_it_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("coatcheck.db");
    let store = Sqlite::open(&path).unwrap();
    let ended = end_before_the_feed(&store).await;
    drop(store);
    let mut connection = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    connection.batch_execute(&format!("{DOWN_SQLITE} {NOT_MIGRATED} {UNLOGGED}")).unwrap();
    drop(connection);

    let store = Sqlite::open(&path).unwrap();

    has_all(&store, ended).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ended_before_there_was_a_feed_is_in_it_postgres() {
    let url = servers().database();
    let store = Postgres::new(&url).unwrap();
    store.migrate().await.unwrap();
    let ended = end_before_the_feed(&store).await;
    psql(&url, &format!("{DOWN_POSTGRES} {NOT_MIGRATED} {UNLOGGED}"));

    store.migrate().await.unwrap();

    has_all(&store, ended).await;
}
