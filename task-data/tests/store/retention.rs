//! Retention: what ended long ago is deleted with all that belongs to it, in the order of the feed, and never before each log has its line.

use std::time::Duration;

use accounts::user::Right;
use database::Database;
use diesel::connection::SimpleConnection;
use diesel_async::SimpleAsyncConnection;
use rstest::rstest;
use rstest_reuse::apply;
use serde_json::json;
use task_data::store::{
    Claim, KeepUploads, LogFollower, LogHead, NewTask, Payload, Place, PruneStep, Purge, Rules, Store,
    Subject, Upload,
};
use task_data::task::{Status, TaskId, Time};
use test_kit::{FreshDatabase, each_database};

use crate::feed::{all, ids};
use crate::followers::{head, log};
use crate::paid_calls::user;
use crate::samples::*;
use crate::table_rows::{sent, unkept};

const SUCCEEDED: Subject = Subject::Tasks(Status::Succeeded);

fn step(subject: Subject) -> PruneStep {
    PruneStep { subject, age: NOW, limit: 100, log: None }
}

/// Makes steps until nothing more may be deleted, and returns their number and the tasks whose blobs are to be deleted.
async fn prune(store: &dyn Store, step: PruneStep) -> (usize, Vec<TaskId>) {
    while store.number_outcomes(1000).await.unwrap() != Some(0) {}
    while store.count_outcomes(1000).await.unwrap() != Some(0) {}
    let (mut steps, mut blobs) = (0, Vec::new());
    loop {
        let pruned = store.prune(step.clone()).await.unwrap();
        steps += 1;
        blobs.extend(pruned.blobs);
        if !pruned.has_more {
            return (steps, blobs);
        }
    }
}

async fn left(store: &dyn Store, ids: &[TaskId]) -> Vec<TaskId> {
    sorted(store.find(ids.to_vec()).await.unwrap().iter().map(|task| task.id))
}

/// Returns a log that has come to that place.
fn log_at(name: &str, place: Place) -> LogFollower {
    LogFollower { name: name.to_owned(), ..log(LogHead { place, ..head(1) }) }
}

async fn failed(store: &dyn Store, rules: Rules) -> Claim {
    let claim = running(store).await;
    store.complete(vec![failure(&claim)], rules).await.unwrap();
    claim
}

#[apply(each_database)]
async fn each_status_goes_by_itself_and_nothing_else_does(database: FreshDatabase) {
    let store = &*task_data::store::of(&database);
    let [pending, running, succeeded, failed, cancelled] = one_of_each(store).await;
    let every = [pending, running, succeeded, failed, cancelled];

    prune(store, step(SUCCEEDED)).await;
    assert_eq!(left(store, &every).await, sorted([pending, running, failed, cancelled]));
    prune(store, step(Subject::Tasks(Status::Cancelled))).await;
    assert_eq!(left(store, &every).await, sorted([pending, running, failed]));
    prune(store, step(Subject::Tasks(Status::Failed))).await;
    assert_eq!(left(store, &every).await, sorted([pending, running]));
    assert!(all(store).await.is_empty());
}

#[apply(each_database)]
async fn what_is_not_old_enough_stays(database: FreshDatabase) {
    let store = &*task_data::store::of(&database);
    let id = succeeded(store).await;
    let before = store.now().await.unwrap();

    while store.number_outcomes(1000).await.unwrap() != Some(0) {}
    store.prune(step(SUCCEEDED)).await.unwrap();
    assert_eq!(left(store, &[id]).await, [id], "the statistics have not counted it");
    prune(store, PruneStep { age: LATER, ..step(SUCCEEDED) }).await;
    assert_eq!(left(store, &[id]).await, [id]);
    assert_eq!(store.pruned_until().await.unwrap(), None);

    prune(store, step(SUCCEEDED)).await;
    assert_eq!(left(store, &[id]).await, []);
    assert!(store.pruned_until().await.unwrap().is_some_and(|until: Time| until <= before));
}

#[apply(each_database)]
async fn nothing_goes_that_a_log_has_not_passed(database: FreshDatabase) {
    let store = &*task_data::store::of(&database);
    let ended = [succeeded(store).await, succeeded(store).await, succeeded(store).await];
    let places: Vec<Place> = all(store).await.iter().map(|outcome| outcome.place).collect();
    let (ahead, behind) = (log_at("ahead", places[2]), log_at("behind", places[0]));
    store.store_log(None, ahead).await.unwrap();
    store.store_log(None, behind.clone()).await.unwrap();

    let own = PruneStep { log: Some("not begun".to_owned()), ..step(SUCCEEDED) };
    prune(store, own).await;
    assert_eq!(left(store, &ended).await, sorted(ended));

    prune(store, step(SUCCEEDED)).await;
    assert_eq!(left(store, &ended).await, sorted(ended[1..].to_vec()));

    let within = Place { within: 0, ..places[1] };
    for (seen, place, kept) in [(1, within, 2), (2, places[1], 1), (3, places[2], 0)] {
        let log = log_at("behind", place);
        let head = LogHead { version: seen + 1, ..log.head.clone() };
        assert!(store.store_log(Some(seen), LogFollower { head, ..log }).await.unwrap());
        prune(store, step(SUCCEEDED)).await;
        assert_eq!(left(store, &ended).await.len(), kept, "{place}");
    }
}

#[apply(each_database)]
async fn a_reader_learns_up_to_where_outcomes_are_gone(database: FreshDatabase) {
    let store = &*task_data::store::of(&database);
    // The failed one in between is kept, but its place is not whole any more.
    succeeded(store).await;
    let kept = failed(store, RULES).await.id;
    succeeded(store).await;
    let places: Vec<Place> = all(store).await.iter().map(|outcome| outcome.place).collect();

    prune(store, step(SUCCEEDED)).await;

    let range = store.feed_range().await.unwrap();
    assert_eq!((range.pruned, range.next), (places[2], places[2].no + 1));
    let page = store.outcomes(Place::default(), None, 10).await.unwrap();
    assert_eq!((ids(&page.outcomes), page.pruned, page.is_end), (vec![kept], places[2], true));
    let last = succeeded(store).await;
    store.number_outcomes(10).await.unwrap();
    let page = store.outcomes(places[2], None, 10).await.unwrap();
    assert_eq!((ids(&page.outcomes), page.pruned), (vec![last], places[2]));
}

#[apply(each_database)]
async fn a_step_is_small_and_the_next_one_goes_on(database: FreshDatabase) {
    let store = &*task_data::store::of(&database);
    let mut ended = Vec::new();
    for number in 0..12 {
        ended.push(if number % 3 == 0 { failed(store, RULES).await.id } else { succeeded(store).await });
    }

    let (steps, _) = prune(store, PruneStep { limit: 2, ..step(SUCCEEDED) }).await;

    assert!(steps >= 6, "{steps}");
    assert_eq!(left(store, &ended).await.len(), 4);
    let again = store.prune(PruneStep { limit: 2, ..step(SUCCEEDED) }).await.unwrap();
    assert_eq!((again.rows, again.has_more), (0, false));
}

#[apply(each_database)]
async fn all_that_belongs_to_a_task_goes_with_it(database: FreshDatabase) {
    let store = &*task_data::store::of(&database);
    let held = running(store).await;
    for number in 1..=7 {
        store.keep_rows(vec![unkept(&held, sent(number, Some(201)))]).await.unwrap();
    }
    assert!(store.keep_progress(held.id, held.attempt, json!({"n": 1})).await.unwrap());
    store.hand_back(vec![charged_return(&held, NOW)], RULES).await.unwrap();
    let worker = worker(store).await;
    let again = claim(store, held.id, worker).await;
    store.complete(vec![success(&again)], RULES).await.unwrap();
    assert_eq!(store.attempts(held.id).await.unwrap().len(), 2);

    let (steps, _) = prune(store, PruneStep { limit: 3, ..step(SUCCEEDED) }).await;

    assert!(steps >= 3, "{steps}");
    assert_eq!(left(store, &[held.id]).await, []);
    assert_eq!(store.attempts(held.id).await.unwrap(), []);
    assert_eq!(store.progress(held.id).await.unwrap(), None);
    assert_eq!(store.kept_numbers(held.id, 0, 10).await.unwrap(), Vec::<i64>::new());
}

/// The statements of a step: one for each table, in which it deletes rows or moves its place. A purge has those up to `progress`.
const STATEMENTS: [(&str, &str); 7] = [
    ("table_rows", "DELETE"),
    ("tasks", "DELETE"),
    ("attempts", "DELETE"),
    ("paid_calls", "DELETE"),
    ("progress", "DELETE"),
    ("feed", "DELETE"),
    ("retention", "UPDATE"),
];

async fn execute(database: &FreshDatabase, statements: String) {
    match &**database {
        Database::Sqlite(sqlite) => {
            sqlite.write(move |connection| Ok(connection.batch_execute(&statements)?)).await.unwrap();
        }
        Database::Postgres(postgres) => {
            let mut connection = postgres.get().await.unwrap();
            SimpleAsyncConnection::batch_execute(&mut *connection, &statements).await.unwrap();
        }
    }
}

#[apply(each_database)]
async fn a_step_that_ends_at_any_statement_has_changed_nothing(database: FreshDatabase) {
    let store = &*task_data::store::of(&database);
    let owner = user(&*accounts::of(&database), "bob", &[Right::Paid]).await;
    let new = NewTask { owner: Some(owner), ..new_task() };
    store.insert(vec![new.clone()], NOW).await.unwrap();
    let held = claim(store, new.id, worker(store).await).await;
    store.keep_rows(vec![unkept(&held, sent(1, Some(201)))]).await.unwrap();
    store.keep_progress(held.id, held.attempt, json!({"n": 1})).await.unwrap();
    store.record_paid_call(held.id, held.attempt, None).await.unwrap();
    store.hand_back(vec![charged_return(&held, NOW)], RULES).await.unwrap();
    let again = claim(store, held.id, worker(store).await).await;
    store.complete(vec![success(&again)], RULES).await.unwrap();
    while store.number_outcomes(10).await.unwrap() != Some(0) {}
    while store.count_outcomes(10).await.unwrap() != Some(0) {}
    let stands = async || {
        (
            store.find(vec![new.id]).await.unwrap(),
            store.attempts(new.id).await.unwrap(),
            store.progress(new.id).await.unwrap(),
            store.kept_numbers(new.id, 0, 10).await.unwrap(),
            store.outcomes(Place::default(), None, 10).await.unwrap(),
        )
    };
    let before = stands().await;
    let is_sqlite = matches!(&*database, Database::Sqlite(_));
    if !is_sqlite {
        let fail = "BEGIN RAISE EXCEPTION 'cut'; END";
        execute(&database, format!("CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql AS $${fail}$$"))
            .await;
    }

    for (table, verb) in STATEMENTS {
        for moment in ["BEFORE", "AFTER"] {
            let point = format!("{moment} {verb} ON {table}");
            let (fail, place) = match is_sqlite {
                true => ("BEGIN SELECT RAISE(ABORT, 'cut'); END", String::new()),
                false => ("EXECUTE FUNCTION cut()", format!(" ON {table}")),
            };
            execute(&database, format!("CREATE TRIGGER cut {point} {fail}")).await;
            assert!(store.prune(step(SUCCEEDED)).await.is_err(), "{point}");
            assert_eq!(stands().await, before, "{point}");
            if !["feed", "retention"].contains(&table) {
                assert!(store.purge(new.id).await.is_err(), "{point}");
                assert_eq!(stands().await, before, "{point}");
            }
            execute(&database, format!("DROP TRIGGER cut{place}")).await;
        }
    }

    prune(store, step(SUCCEEDED)).await;
    let (tasks, attempts, progress, rows, outcomes) = stands().await;
    assert_eq!((tasks, attempts, progress, rows, outcomes.outcomes), (vec![], vec![], None, vec![], vec![]));
}

#[apply(each_database)]
async fn a_task_that_an_unfinished_one_continues_stays_and_so_do_those_behind_it(database: FreshDatabase) {
    let store = &*task_data::store::of(&database);
    let (first, continued, behind) = (succeeded(store).await, succeeded(store).await, succeeded(store).await);
    let again = NewTask { retried_from: Some(continued), ..new_task() };
    store.insert(vec![again.clone()], NOW).await.unwrap();

    prune(store, step(SUCCEEDED)).await;
    assert_eq!(left(store, &[first, continued, behind]).await, sorted([continued, behind]));
    assert_eq!(store.purge(continued).await.unwrap(), Purge::Continued);

    store.cancel(again.id, RULES).await.unwrap();
    prune(store, step(SUCCEEDED)).await;
    assert_eq!(left(store, &[continued, behind]).await, []);
}

#[apply(each_database)]
async fn the_upload_of_a_failed_task_is_kept_for_its_own_time(database: FreshDatabase) {
    let store = &*task_data::store::of(&database);
    let rules = Rules { keep_uploads: KeepUploads::OfFailed, ..RULES };
    let inline = failed(store, rules).await.id;
    let since = store.now().await.unwrap();
    let blob = NewTask { payload: Payload::Blob { check: 17, since }, ..new_task() };
    store.insert(vec![blob.clone()], NOW).await.unwrap();
    let worker = worker(store).await;
    let held = claim(store, blob.id, worker).await;
    store.complete(vec![failure(&held)], rules).await.unwrap();
    let done = running(store).await;
    store.complete(vec![success(&done)], rules).await.unwrap();
    assert_eq!(store.upload(inline).await.unwrap(), Some(Upload::Inline(b"abc".to_vec())));
    assert_eq!(store.upload(blob.id).await.unwrap(), Some(Upload::Blob { check: 17 }));
    assert_eq!(store.upload(done.id).await.unwrap(), None);

    let (_, young) = prune(store, PruneStep { age: LATER, ..step(Subject::FailedUploads) }).await;
    let (_, old) = prune(store, step(Subject::FailedUploads)).await;

    assert_eq!((young, old), (vec![], vec![blob.id]));
    assert_eq!(store.upload(inline).await.unwrap(), None);
    assert_eq!(left(store, &[inline, blob.id, done.id]).await.len(), 3);
    let range = store.feed_range().await.unwrap();
    assert_eq!(range.pruned, Place::default(), "no outcome is gone");
}

#[apply(each_database)]
async fn one_task_is_deleted_alone_once_it_has_ended_and_each_log_has_it(database: FreshDatabase) {
    let store = &*task_data::store::of(&database);
    let [pending, running, succeeded, failed, cancelled] = one_of_each(store).await;
    let places: Vec<Place> = all(store).await.iter().map(|outcome| outcome.place).collect();
    store.store_log(None, log_at("behind", places[0])).await.unwrap();
    assert_eq!(store.purge(cancelled).await.unwrap(), Purge::Unlogged, "the statistics have not counted it");
    while store.count_outcomes(1000).await.unwrap() != Some(0) {}

    assert_eq!(store.purge(TaskId::random()).await.unwrap(), Purge::Unknown);
    assert_eq!(store.purge(pending).await.unwrap(), Purge::NotEnded);
    assert_eq!(store.purge(running).await.unwrap(), Purge::NotEnded);
    // The first one to end was the cancelled one.
    assert_eq!(store.purge(succeeded).await.unwrap(), Purge::Unlogged);
    assert_eq!(store.purge(cancelled).await.unwrap(), Purge::Done { has_blob: false });
    let head = LogHead { version: 2, place: places[2], ..head(2) };
    store.store_log(Some(1), LogFollower { head, ..log_at("behind", places[2]) }).await.unwrap();
    assert_eq!(store.purge(succeeded).await.unwrap(), Purge::Done { has_blob: false });
    assert_eq!(store.purge(succeeded).await.unwrap(), Purge::Unknown);

    let every = [pending, running, succeeded, failed, cancelled];
    assert_eq!(left(store, &every).await, sorted([pending, running, failed]));
    let outcomes = all(store).await;
    assert_eq!(ids(&outcomes), [failed]);
    let known = store.those_after(Place::default(), vec![succeeded, cancelled]).await.unwrap();
    assert_eq!(sorted(known), sorted([succeeded, cancelled]), "their places stay");
    prune(store, step(Subject::Tasks(Status::Failed))).await;
    assert!(store.those_after(Place::default(), every.to_vec()).await.unwrap().is_empty());
}

#[apply(each_database)]
async fn a_key_ends_with_its_task(database: FreshDatabase) {
    let store = &*task_data::store::of(&database);
    let key: task_data::idempotency::IdempotencyKey = "one".parse().unwrap();
    let keyed = || NewTask {
        idempotency: Some(task_data::idempotency::Idempotency::of(key.clone(), b"abc")),
        input: json!({"filename": "abc.txt", "size": 3}),
        ..new_task()
    };
    let (first, second) = (keyed(), keyed());
    store.insert(vec![first.clone()], NOW).await.unwrap();
    let held = claim(store, first.id, worker(store).await).await;
    store.complete(vec![success(&held)], RULES).await.unwrap();

    prune(store, step(SUCCEEDED)).await;
    let standing = store.insert(vec![second.clone()], Duration::ZERO).await.unwrap();

    assert_eq!(standing.iter().map(|task| task.id).collect::<Vec<_>>(), [second.id]);
}
