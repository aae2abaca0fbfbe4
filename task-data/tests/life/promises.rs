//! Single promises of the life that can be checked without a crash.

use std::time::Duration;

use bytes::Bytes;
use futures::future::{join, join_all};
use serde_json::{Value, json};
use task_data::error::Refusal;
use task_data::kinds::Kind;
use task_data::kinds::md5::Input;
use task_data::settings::Settings;
use task_data::store::{Cancel, Claim, StoreError};
use task_data::task::{Status, Task, TaskError, TaskId};

use crate::cut::{Call, Cut, Phase, Then, UNREADABLE, Wire, unreadable};
use crate::scenario::{Worker, back};
use crate::world::{INLINE_BYTES, Process, World, named};
use test_kit::{DEADLINE, in_time};

/// Returns a cut in the first call of that method.
fn first(method: &'static str, phase: Phase) -> Option<Cut> {
    Some(Cut { call: Call { method, occurrence: 1, changes: true }, phase, then: Then::GoesOn })
}

async fn hand_in(process: &Process, bytes: usize, input: Input) -> Result<Task, Refusal> {
    let mut intake = process.life.take_in(None);
    intake.write(Bytes::from(vec![b'x'; bytes])).await?;
    process.life.accept(intake, None, input.into()).await.map(|accepted| accepted.task)
}

async fn small(process: &Process) -> TaskId {
    hand_in(process, 1, named("a")).await.unwrap().id
}

async fn large(process: &Process) -> TaskId {
    hand_in(process, INLINE_BYTES as usize + 1, named("a")).await.unwrap().id
}

async fn stands(process: &Process, id: TaskId) -> Task {
    process.life.find(id).await.unwrap().expect("the task is there")
}

/// Takes everything in the queue as a worker.
async fn taken(process: &Process) -> Vec<Claim> {
    Worker::begin(process).await.take().await
}

fn done() -> Result<Value, TaskError> {
    Ok(json!({"md5": "abc"}))
}

#[tokio::test]
async fn a_row_that_is_refused_holds_up_no_neighbour_and_leaves_no_blob() {
    let world = World::new();
    let process = world.start(Wire::new(None));
    let inputs = (0..20).map(|at| named(if at == 7 { UNREADABLE } else { "a" }));

    let outcomes = join_all(inputs.map(|input| hand_in(&process, 100, input))).await;

    let refused: Vec<usize> = (0..20).filter(|at| outcomes[*at].is_err()).collect();
    assert_eq!(refused, [7]);
    assert!(matches!(outcomes[7], Err(Refusal::Store(StoreError::Refused(_)))));
    assert_eq!((world.tasks().await.len(), world.count_blobs()), (19, 19));
}

#[tokio::test]
async fn an_end_that_is_refused_holds_up_no_neighbour() {
    let world = World::new();
    let process = world.start(Wire::new(None));
    join_all((0..20).map(|_| small(&process))).await;
    let claims = taken(&process).await;
    let outcome = |at| if at == 7 { Ok(unreadable()) } else { done() };

    let ends = claims.iter().enumerate().map(|(at, claim)| process.life.complete(claim, outcome(at)));
    let is_mine = join_all(ends).await;

    let mine: Vec<usize> = (0..20).filter(|at| is_mine[*at]).collect();
    assert_eq!(mine, (0..20).filter(|at| *at != 7).collect::<Vec<_>>());
    assert_eq!(stands(&process, claims[7].id).await.status, Status::Running);
}

#[tokio::test]
async fn a_promise_whose_commit_was_not_confirmed_is_given_all_the_same() {
    let world = World::new();
    let process = world.start(Wire::new(first("store.insert", Phase::After)));

    let id = large(&process).await;

    assert_eq!(stands(&process, id).await.status, Status::Pending);
    assert_eq!((world.tasks().await.len(), world.count_blobs()), (1, 1));
}

#[tokio::test]
async fn a_task_that_was_claimed_before_its_commit_was_confirmed_is_not_published() {
    let world = World::new();
    let wire = Wire::new(first("store.insert", Phase::After));
    let look_up = wire.hold("store.find");
    let (process, other) = (world.start(wire), world.start(Wire::new(None)));

    let claim = async {
        while world.tasks().await.is_empty() {
            tokio::task::yield_now().await;
        }
        world.let_a_day_pass();
        other.life.sweep().await.unwrap();
        let claims = taken(&other).await;
        look_up.add_permits(1);
        claims
    };
    let (id, claims) = in_time("a promise and its claim", join(small(&process), claim)).await;

    assert_eq!(claims.iter().map(|claim| claim.id).collect::<Vec<_>>(), [id]);
    assert_eq!(process.queue.depth(Kind::Md5).await, Ok(0));
}

#[tokio::test]
async fn a_promise_that_the_database_did_not_take_leaves_nothing() {
    let world = World::new();
    let process = world.start(Wire::new(first("store.insert", Phase::Before)));

    let outcome = hand_in(&process, 100, named("a")).await;

    assert!(matches!(outcome, Err(Refusal::Store(StoreError::Unavailable(_)))), "{outcome:?}");
    assert_eq!((world.tasks().await.len(), world.count_blobs()), (0, 0));
}

#[tokio::test]
async fn a_promise_is_given_though_the_queue_is_down_and_published_by_the_sweep() {
    let world = World::new();
    let process = world.start(Wire::new(first("queue.publish", Phase::Before)));

    let id = small(&process).await;
    assert_eq!(taken(&process).await, []);
    world.let_a_day_pass();
    process.life.sweep().await.unwrap();

    let claims = taken(&process).await;
    assert_eq!(claims.iter().map(|claim| claim.id).collect::<Vec<_>>(), [id]);
}

#[tokio::test]
async fn a_long_backlog_is_not_published_again_and_a_lost_queue_is() {
    let world = World::new();
    let process = world.start(Wire::new(None));
    join_all((0..5).map(|_| small(&process))).await;
    world.until_published(5).await;

    let looks = async || {
        world.let_a_day_pass();
        process.life.sweep().await.unwrap();
        let mut depths = [0; 2];
        for depth in &mut depths {
            process.life.publish_lost().await.unwrap();
            *depth = process.queue.depth(Kind::Md5).await.unwrap();
        }
        depths
    };
    let of_backlog = looks().await;
    let mut consumer = process.queue.consume(Kind::Md5, 5).await.unwrap();
    for _ in 0..5 {
        consumer.next().await.unwrap().receipt.ack().await;
    }
    let of_lost = looks().await;

    assert_eq!((of_backlog, of_lost), ([5, 5], [0, 5]));
}

#[tokio::test]
async fn an_end_whose_answer_was_lost_is_known_to_be_mine() {
    for outcome in [done(), Err(TaskError::new("blob-corrupt", "It was changed."))] {
        let world = World::new();
        let process = world.start(Wire::new(first("store.complete", Phase::After)));
        let id = large(&process).await;
        let claims = taken(&process).await;

        let is_mine = process.life.complete(&claims[0], outcome).await;

        process.wire.quiet().await;
        assert!(is_mine);
        assert!(stands(&process, id).await.status.is_ended());
        assert_eq!(world.count_blobs(), 0);
    }
}

#[tokio::test]
async fn small_work_that_was_read_twice_ends_once_though_an_answer_is_lost() {
    for cut in [None, first("store.complete", Phase::After)] {
        let world = World::new();
        let process = world.start(Wire::new(cut));
        let id = small(&process).await;
        let read = async || process.life.read_small(vec![id], INLINE_BYTES as i64).await.pop().unwrap();
        let (one, two) = (read().await, read().await);

        let (is_first, is_second) =
            join(process.life.complete(&one, done()), process.life.complete(&two, done())).await;
        let is_late = process.life.complete(&one, done()).await;

        assert_eq!((is_first, is_second, is_late), (true, false, false));
        let task = stands(&process, id).await;
        assert_eq!((task.status, task.attempt), (Status::Succeeded, 1));
        assert!(taken(&process).await.is_empty());
        let _ = process.life.log_outcomes().await.unwrap();
        assert_eq!(world.log().lines().count(), 1);
    }
}

#[tokio::test]
async fn small_work_that_was_cancelled_or_claimed_meanwhile_drops_its_result() {
    let world = World::new();
    let process = world.start(Wire::new(None));
    let ids = [small(&process).await, small(&process).await];
    let read = process.life.read_small(ids.to_vec(), INLINE_BYTES as i64).await;
    let worker = Worker::begin(&process).await;
    process.life.cancel(ids[0]).await.unwrap();
    let claims = process.life.claim(vec![ids[1]], worker.id).await.unwrap().claimed;

    for small in &read {
        assert!(!process.life.complete(small, done()).await);
    }

    assert_eq!(read.len(), 2);
    assert_eq!(stands(&process, ids[0]).await.status, Status::Cancelled);
    assert_eq!(stands(&process, ids[1]).await.status, Status::Running);
    assert!(process.life.complete(&claims[0], done()).await);
}

#[tokio::test]
async fn an_end_that_was_anothers_is_not_mine() {
    let world = World::new();
    let process = world.start(Wire::new(None));
    let worker = Worker::begin(&process).await;
    let (first, second) = (small(&process).await, small(&process).await);
    let old = worker.take().await;
    let claim_of = |claims: &[Claim], id| claims.iter().find(|claim| claim.id == id).cloned().unwrap();

    // One is done, to the same result, by a later attempt; one was cancelled in the very attempt.
    process.life.cancel(second).await.unwrap();
    process.life.hand_back(old.iter().map(|claim| back(claim, None)).collect()).await.unwrap();
    process.life.sweep().await.unwrap();
    let new = worker.take().await;
    assert!(process.life.complete(&claim_of(&new, first), done()).await);

    for id in [first, second] {
        assert!(!process.life.complete(&claim_of(&old, id), done()).await);
        assert!(!process.life.complete(&claim_of(&old, id), Err(TaskError::cancelled())).await);
    }
    assert_eq!(stands(&process, first).await.status, Status::Succeeded);
    assert_eq!(stands(&process, second).await.status, Status::Cancelled);
}

/// Ends tasks in each way, so that lines are owed and blobs become useless.
async fn end_in_each_way(world: &World, process: &Process) {
    let owed = async |what: &str| in_time(what, process.life.lines_owed()).await;

    large(process).await;
    let claims = taken(process).await;
    assert!(process.life.complete(&claims[0], done()).await);
    owed("a completed task owes its line").await;

    let id = large(process).await;
    assert!(matches!(process.life.cancel(id).await, Ok(Cancel::Accepted(_))));
    owed("a cancelled task owes its line").await;
    taken(process).await;

    large(process).await;
    let claims = taken(process).await;
    let charge = Some(TaskError::new("io", "It could not be read."));
    process.life.hand_back(vec![back(&claims[0], charge)]).await.unwrap();
    owed("a task that has failed for good owes its line").await;

    large(process).await;
    let lost = Worker::begin(process).await;
    lost.take().await;
    world.lapse(lost.id).await;
    process.life.sweep().await.unwrap();
    owed("a task that has lost its workers owes its line").await;

    process.wire.quiet().await;
    assert!(world.tasks().await.iter().all(|task| task.status.is_ended()));
}

#[tokio::test]
async fn each_end_owes_its_line_and_needs_no_blob() {
    let world = World::new();
    let process = world.start_with(Wire::new(None), Settings { max_attempts: 1, ..world.settings() });

    end_in_each_way(&world, &process).await;

    assert_eq!((world.tasks().await.len(), world.count_blobs()), (4, 0));
}

/// The first removal of a blob fails without an effect.
const CUT_OFF: Cut = Cut {
    call: Call { method: "blobs.delete", occurrence: 1, changes: true },
    phase: Phase::Before,
    then: Then::GoesOn,
};

#[tokio::test]
async fn an_upload_whose_removal_was_cut_off_goes_with_its_line() {
    let world = World::new();
    let patient = Settings { orphan_seconds: Duration::from_secs(86_400), ..world.settings() };
    for keep_uploads in [false, true] {
        let settings = Settings { keep_uploads, ..patient.clone() };
        let process = world.start_with(Wire::new(Some(CUT_OFF)), settings);
        large(&process).await;
        let claims = taken(&process).await;
        assert!(process.life.complete(&claims[0], done()).await);
        process.wire.quiet().await;
        assert_eq!(world.count_blobs(), 1);

        let _ = process.life.log_outcomes().await.unwrap();

        assert_eq!(world.count_blobs(), usize::from(keep_uploads));
    }
}

#[tokio::test]
async fn what_was_left_of_ended_tasks_goes_when_a_process_starts() {
    let world = World::new();
    let patient = Settings { orphan_seconds: Duration::from_secs(86_400), ..world.settings() };
    let kept = world.start_with(Wire::new(None), Settings { keep_uploads: true, ..patient.clone() });
    large(&kept).await;
    let claims = taken(&kept).await;
    assert!(kept.life.complete(&claims[0], done()).await);
    let waits = large(&kept).await;
    let _ = kept.life.log_outcomes().await.unwrap();
    // Its row will not come any more, but no process knows that.
    let nobodys = kept.stack.blobs.create(TaskId::random()).await.unwrap();
    nobodys.keep(kept.stack.store.now().await.unwrap()).await.unwrap();
    assert_eq!(world.count_blobs(), 3);

    kept.life.remove_orphans().await.unwrap();
    assert_eq!(world.count_blobs(), 3);
    let next = world.start_with(Wire::new(None), patient);
    next.life.remove_orphans().await.unwrap();

    assert_eq!(world.count_blobs(), 2);
    assert!(next.stack.blobs.open(waits).await.is_ok());
}

#[tokio::test]
async fn uploads_that_are_to_be_kept_stay() {
    let world = World::new();
    let settings = Settings { max_attempts: 1, keep_uploads: true, ..world.settings() };
    let process = world.start_with(Wire::new(None), settings);

    end_in_each_way(&world, &process).await;
    process.life.remove_orphans().await.unwrap();

    assert_eq!((world.tasks().await.len(), world.count_blobs()), (4, 4));
}

#[tokio::test]
async fn the_orphan_sweep_leaves_what_is_young_or_still_needed() {
    let world = World::new();
    let patient = Settings { orphan_seconds: Duration::from_secs(60), ..world.settings() };
    let process = world.start_with(Wire::new(None), patient);
    let (pending, running) = (large(&process).await, large(&process).await);
    let worker = Worker::begin(&process).await;
    process.life.claim(vec![running], worker.id).await.unwrap();
    let mut unfinished = process.life.take_in(None);
    unfinished.write(Bytes::from_static(b"more than fits in a row")).await.unwrap();

    process.life.remove_orphans().await.unwrap();
    let recorded = process.life.accept(unfinished, None, named("a").into()).await;
    let impatient = world.start(Wire::new(None));
    impatient.life.remove_orphans().await.unwrap();

    assert!(recorded.is_ok(), "{recorded:?}");
    for id in [pending, running, recorded.unwrap().task.id] {
        assert!(process.stack.blobs.open(id).await.is_ok());
    }
}

#[tokio::test]
async fn who_waits_is_told_of_the_end_even_if_the_wake_is_lost() {
    for cut in [None, first("notify.wake", Phase::Before)] {
        let world = World::new();
        let process = world.start(Wire::new(cut));
        let id = small(&process).await;
        let claims = taken(&process).await;

        let wait = in_time("the end is told", process.life.wait(id, DEADLINE * 2));
        let (waited, is_mine) = join(wait, process.life.complete(&claims[0], done())).await;

        assert!(is_mine);
        assert_eq!(waited.unwrap().unwrap().status, Status::Succeeded);
    }
}

#[tokio::test]
async fn who_is_out_of_patience_is_told_how_it_stands() {
    let world = World::new();
    let process = world.start(Wire::new(None));
    let id = small(&process).await;

    let waited = process.life.wait(id, Duration::ZERO).await.unwrap();
    let unknown = process.life.wait(TaskId::random(), DEADLINE * 2).await.unwrap();

    assert_eq!(waited.map(|task| task.status), Some(Status::Pending));
    assert_eq!(unknown, None);
}

#[tokio::test]
async fn who_watches_is_told_of_changes_alone_and_of_the_last_one() {
    let world = World::new();
    let process = world.start(Wire::new(None));
    let id = small(&process).await;
    let mut watch = process.life.watch(id);

    let claims = taken(&process).await;
    process.life.cancel(id).await.unwrap();
    let first = in_time("a change", watch.changed()).await.unwrap();
    process.life.hand_back(vec![back(&claims[0], None)]).await.unwrap();
    let mut seen = vec![first];
    while seen.iter().all(|task| !task.status.is_ended()) {
        seen.push(in_time("a change", watch.changed()).await.unwrap());
    }

    assert_eq!(seen.last(), Some(&stands(&process, id).await));
    assert!(seen.windows(2).all(|pair| pair[0] != pair[1]), "{seen:?}");
}
