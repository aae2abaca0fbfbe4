//! Small work: read while it is pending, done, and ended by one statement, without a claim.

use futures::future::join_all;
use rstest::rstest;
use rstest_reuse::apply;
use serde_json::json;
use task_data::kinds::Kind;
use task_data::store::{Cancel, Claim, Completion, NewTask, Payload, Store};
use task_data::task::{Status, TaskId};
use test_kit::{FreshDatabase, each_database};

use crate::feed;
use crate::samples::*;

/// The bytes of the content of `new_task`.
const BYTES: i64 = 3;

/// Makes a small task that was read.
pub async fn read(store: &dyn Store) -> Claim {
    let id = pending(store).await;
    let [small] = <[Claim; 1]>::try_from(store.small(vec![id], BYTES).await.unwrap()).unwrap();
    small
}

#[apply(each_database)]
async fn small_work_is_read_with_all_that_it_needs_and_stays_pending(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let new = new_task();
    store.insert(vec![new.clone()], NOW).await.unwrap();
    let before = stands(&*store, new.id).await;

    let small = store.small(vec![new.id], BYTES).await.unwrap();

    let [small] = &small[..] else { panic!("{small:?}") };
    assert_eq!((small.id, small.kind, &small.input), (new.id, Kind::Md5, &new.input));
    assert_eq!((small.status, small.attempt, small.tries), (Status::Pending, 1, 0));
    assert_eq!(small.content.as_deref(), Some(&b"abc"[..]));
    assert_eq!(stands(&*store, new.id).await, before);
}

#[apply(each_database)]
async fn only_pending_content_within_the_bound_that_no_worker_has_had_is_read(database: FreshDatabase) {
    let store = &*task_data::store::of(&database);
    let [small, others @ ..] = one_of_each(store).await;
    let back = running(store).await;
    store.hand_back(vec![free_return(&back, NOW)], RULES).await.unwrap();
    let since = store.now().await.unwrap();
    let larger = NewTask { payload: Payload::Inline(b"abcd".to_vec()), ..new_task() };
    let blob = NewTask { payload: Payload::Blob { check: 7, since }, ..new_task() };
    let without = NewTask { payload: Payload::None, ..new_task() };
    let message = NewTask { kind: Kind::Message, ..new_task() };
    let new = vec![larger, blob, without, message];
    let mut ids: Vec<TaskId> = new.iter().map(|task| task.id).collect();
    store.insert(new, NOW).await.unwrap();
    ids.extend(others);
    ids.extend([back.id, TaskId::random(), small]);

    let read = store.small(ids, BYTES).await.unwrap();

    assert_eq!(read.iter().map(|claim| claim.id).collect::<Vec<_>>(), [small]);
}

#[apply(each_database)]
async fn small_work_ends_without_a_claim_and_counts_its_attempt(database: FreshDatabase) {
    let store = &*task_data::store::of(&database);
    let small = read(store).await;

    let ended = store.complete(vec![success(&small)], RULES).await.unwrap();

    assert_eq!(ended, [small.id]);
    let task = stands(store, small.id).await;
    assert_eq!((task.status, task.attempt), (Status::Succeeded, 1));
    assert_eq!((task.result, task.error), (Some(json!({"md5": "abc"})), None));
    assert!(task.created <= task.started.unwrap() && task.started <= task.finished);
}

/// Whatever happens to a task after it was read, its end changes nothing; its neighbour in the statement ends.
#[apply(each_database)]
async fn small_work_loses_every_race_that_it_has_not_won(database: FreshDatabase) {
    let store = &*task_data::store::of(&database);
    let (cancelled, claimed, returned, done, last) =
        (read(store).await, read(store).await, read(store).await, read(store).await, read(store).await);
    store.cancel(cancelled.id, RULES).await.unwrap();
    let worker = worker(store).await;
    claim(store, claimed.id, worker).await;
    let back = claim(store, returned.id, worker).await;
    store.hand_back(vec![free_return(&back, NOW)], RULES).await.unwrap();
    let end = claim(store, done.id, worker).await;
    store.complete(vec![failure(&end)], RULES).await.unwrap();
    let ids = [&cancelled, &claimed, &returned, &done].map(|small| small.id);
    let mut before = Vec::new();
    for id in ids {
        before.push(stands(store, id).await);
    }

    let ends = [&cancelled, &claimed, &returned, &last, &done].map(success).to_vec();
    let ended = store.complete(ends, RULES).await.unwrap();

    assert_eq!(ended, [last.id]);
    for (id, before) in ids.into_iter().zip(before) {
        assert_eq!(stands(store, id).await, before);
    }
    // The attempt that has it goes on.
    let claim = claim(store, returned.id, worker).await;
    assert_eq!(claim.attempt, 2);
    assert_eq!(store.complete(vec![success(&claim)], RULES).await.unwrap(), [returned.id]);
}

#[apply(each_database)]
async fn an_end_of_a_claim_and_one_of_small_work_are_not_taken_for_each_other(database: FreshDatabase) {
    let store = &*task_data::store::of(&database);
    let (small, claim) = (read(store).await, running(store).await);
    let as_claimed = Completion { from: Status::Running, ..success(&small) };
    let as_small = [0, 1, 2].map(|attempt| Completion { from: Status::Pending, attempt, ..success(&claim) });

    let mut ends = as_small.to_vec();
    ends.push(as_claimed);

    assert_eq!(store.complete(ends, RULES).await.unwrap(), []);
    assert_eq!(stands(store, small.id).await.status, Status::Pending);
    assert_eq!(stands(store, claim.id).await.status, Status::Running);
}

#[apply(each_database)]
async fn small_work_that_comes_twice_ends_once_and_never_changes_again(database: FreshDatabase) {
    let store = &*task_data::store::of(&database);
    let (together, repeated) = (read(store).await, read(store).await);
    let other = Completion { outcome: Ok(json!({"md5": "other"})), ..success(&together) };

    let twice = vec![success(&together), success(&together), success(&repeated)];
    let mut ended = store.complete(twice, RULES).await.unwrap();
    let before = [stands(store, together.id).await, stands(store, repeated.id).await];
    // As after an answer that was lost.
    ended.extend(store.complete(vec![success(&repeated), other], RULES).await.unwrap());

    assert_eq!(sorted(ended), sorted([together.id, repeated.id]));
    assert_eq!(before, [stands(store, together.id).await, stands(store, repeated.id).await]);
    assert_eq!(store.cancel(together.id, RULES).await.unwrap(), Cancel::Ended(before[0].clone()));
    assert_eq!(sorted(feed::ids(&feed::all(store).await)), sorted([together.id, repeated.id]));
}

#[apply(each_database)]
async fn of_ends_of_small_work_claims_and_cancels_at_once_one_wins(database: FreshDatabase) {
    const TASKS: usize = 8;
    let store = task_data::store::of(&database);
    let small = join_all((0..TASKS).map(|_| read(&*store))).await;
    let ids: Vec<TaskId> = small.iter().map(|small| small.id).collect();
    let worker = worker(&*store).await;

    let mut rivals = Vec::new();
    for rival in 0..12 {
        let (store, ids) = (store.clone(), ids.clone());
        // In another order each, as deliveries come.
        let mut ends: Vec<Completion> = small.iter().map(success).collect();
        ends.rotate_left(rival % TASKS);
        rivals.push(tokio::spawn(async move {
            match rival % 3 {
                0 => store.complete(ends, RULES).await.unwrap(),
                1 => {
                    let claims = store.claim(ids[..TASKS / 2].to_vec(), worker).await.unwrap().claimed;
                    store.complete(claims.iter().map(success).collect(), RULES).await.unwrap()
                }
                _ => match store.cancel(ids[TASKS - 1], RULES).await.unwrap() {
                    Cancel::Accepted(task) => vec![task.id],
                    _ => vec![],
                },
            }
        }));
    }
    let ended: Vec<TaskId> = join_all(rivals).await.into_iter().flat_map(Result::unwrap).collect();

    assert_eq!(sorted(ended), sorted(ids.clone()));
    assert_eq!(sorted(feed::ids(&feed::all(&*store).await)), sorted(ids.clone()));
    for id in ids {
        let task = stands(&*store, id).await;
        let attempt = i64::from(task.status != Status::Cancelled);
        assert_eq!((task.status.is_ended(), task.attempt), (true, attempt));
    }
}
