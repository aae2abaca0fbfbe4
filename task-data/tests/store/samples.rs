//! Rows in the states with which the tests begin.

use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_types::BigInt;
use serde_json::{Value, json};
use task_data::kinds::Kind;
use task_data::store::{
    Claim, Completion, HandBack, KeepUploads, Moved, NewTask, Payload, Rules, Store, StoreError,
};
use task_data::task::{Status, Task, TaskError, TaskId, Ticket, WorkerId};

pub const RULES: Rules = Rules { max_attempts: 3, keep_uploads: KeepUploads::OfUnended };
pub const NOW: Duration = Duration::ZERO;
/// Long enough to come after any test.
pub const LATER: Duration = Duration::from_secs(3600);

/// The row of `SELECT … AS count`.
#[derive(QueryableByName)]
pub struct Count {
    #[diesel(sql_type = BigInt)]
    pub count: i64,
}

/// Returns a small upload that is not inserted yet.
pub fn new_task() -> NewTask {
    NewTask {
        id: TaskId::random(),
        kind: Kind::Md5,
        owner: None,
        input: json!({"filename": "abc.txt", "size": 3}),
        payload: Payload::Inline(b"abc".to_vec()),
        idempotency: None,
        retried_from: None,
    }
}

/// Returns a value that no database may accept, because `serde_json` could not read it back.
pub fn unreadable() -> Value {
    (0..250).fold(json!({}), |inner, _| json!([inner]))
}

pub fn ticket(id: TaskId, attempt: i64) -> Ticket {
    Ticket { id, kind: Kind::Md5, attempt }
}

pub fn success(claim: &Claim) -> Completion {
    let (from, outcome) = (claim.status, Ok(json!({"md5": "abc"})));
    Completion { id: claim.id, from, attempt: claim.attempt, outcome }
}

pub fn failure(claim: &Claim) -> Completion {
    Completion { outcome: Err(TaskError::new("blob-missing", "It is gone.")), ..success(claim) }
}

/// Returns a hand-back that costs no try.
pub fn free_return(claim: &Claim, after: Duration) -> HandBack {
    HandBack { id: claim.id, attempt: claim.attempt, after, charge: None, waits_for: None }
}

/// Returns a hand-back that costs a try.
pub fn charged_return(claim: &Claim, after: Duration) -> HandBack {
    HandBack { charge: Some(TaskError::new("io", "It could not be read.")), ..free_return(claim, after) }
}

/// Makes a pending task, due now.
pub async fn pending(store: &dyn Store) -> TaskId {
    let new = new_task();
    let id = new.id;
    store.insert(vec![new], NOW).await.unwrap();
    id
}

/// Makes a worker with a lease that outlives the test.
pub async fn worker(store: &dyn Store) -> WorkerId {
    let worker = WorkerId::random();
    store.register(worker, "a worker".to_owned(), LATER).await.unwrap();
    worker
}

/// Claims a pending task for the worker.
pub async fn claim(store: &dyn Store, id: TaskId, worker: WorkerId) -> Claim {
    let claims = store.claim(vec![id], worker).await.unwrap();
    let [claim] = <[Claim; 1]>::try_from(claims.claimed).expect("the pending task is claimed");
    claim
}

/// Makes a running task.
pub async fn running(store: &dyn Store) -> Claim {
    let worker = worker(store).await;
    claim(store, pending(store).await, worker).await
}

/// Makes a task that has succeeded.
pub async fn succeeded(store: &dyn Store) -> TaskId {
    let claim = running(store).await;
    assert_eq!(store.complete(vec![success(&claim)], RULES).await.unwrap(), [claim.id]);
    claim.id
}

/// Makes a task in each status, in the order of `Status::ALL`.
pub async fn one_of_each(store: &dyn Store) -> [TaskId; 5] {
    let cancelled = pending(store).await;
    store.cancel(cancelled, RULES).await.unwrap();
    let failed = running(store).await;
    store.complete(vec![failure(&failed)], RULES).await.unwrap();
    let ids = [pending(store).await, running(store).await.id, succeeded(store).await, failed.id, cancelled];
    for (id, status) in ids.into_iter().zip(Status::ALL) {
        assert_eq!(stands(store, id).await.status, status);
    }
    ids
}

/// Returns which tasks were moved, and to which status.
pub fn went(moved: &[Moved]) -> Vec<(TaskId, Status)> {
    moved.iter().map(|moved| (moved.id, moved.status)).collect()
}

/// Returns the task as its row has it.
pub async fn stands(store: &dyn Store, id: TaskId) -> Task {
    store.find(vec![id]).await.unwrap().pop().expect("the task is there")
}

/// Returns the tasks that the sweep would take now, without taking them.
pub async fn due_now(store: &dyn Store) -> Vec<TaskId> {
    let mut ids: Vec<TaskId> = store.due(1000, NOW).await.unwrap().iter().map(|ticket| ticket.id).collect();
    ids.sort();
    ids
}

/// Returns `true` for a success, `false` if the database rejects the values.
pub fn is_taken<T>(outcome: &Result<T, StoreError>) -> bool {
    match outcome {
        Ok(_) => true,
        Err(StoreError::Refused(_)) => false,
        Err(error) => panic!("neither taken nor refused: {error:?}"),
    }
}

pub fn sorted<T: Ord>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.into_iter().collect();
    items.sort();
    items
}
