//! An idempotency key stands for one task.

use database::UserId;
use futures::future::try_join_all;
use rstest::rstest;
use rstest_reuse::apply;
use task_data::idempotency::{Idempotency, OwnedKey};
use task_data::store::NewTask;
use task_data::task::TaskId;
use test_kit::{FreshDatabase, each_database};

use crate::samples::*;

fn keyed_task(key: &str) -> NewTask {
    let idempotency = Idempotency { key: key.parse().unwrap(), content_sha256: [7; 32] };
    NewTask { idempotency: Some(idempotency), ..new_task() }
}

fn nobodys(key: &str) -> OwnedKey {
    OwnedKey { key: key.parse().unwrap(), owner: None }
}

#[apply(each_database)]
async fn a_key_that_is_there_keeps_a_second_row_out_and_tells_what_it_stands_for(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let (first, second, other) = (keyed_task("a"), keyed_task("a"), keyed_task("A"));
    store.insert(vec![first.clone()], NOW).await.unwrap();

    let given = store.insert(vec![second.clone(), other.clone(), new_task()], NOW).await.unwrap();
    let stands_for = store.keyed(["a", "unknown"].map(nobodys).to_vec()).await.unwrap();

    assert!(given.len() == 2 && given.iter().all(|task| task.id != second.id), "{given:?}");
    assert!(given.iter().any(|task| task.id == other.id));
    assert_eq!(stands_for.len(), 1);
    assert_eq!(stands_for[0].task, stands(&*store, first.id).await);
    assert_eq!(Some(&stands_for[0].idempotency), first.idempotency.as_ref());
}

#[apply(each_database)]
async fn of_one_batch_under_one_key_one_row_stands(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let new: Vec<NewTask> = (0..5).map(|_| keyed_task("k")).collect();

    let given = store.insert(new, NOW).await.unwrap();

    assert_eq!(given.len(), 1);
    assert_eq!(store.keyed(vec![nobodys("k")]).await.unwrap()[0].task, given[0]);
}

#[apply(each_database)]
async fn a_row_that_is_inserted_again_under_its_key_meets_itself(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let new = keyed_task("k");
    let first = store.insert(vec![new.clone()], NOW).await.unwrap();

    let again = store.insert(vec![new], NOW).await.unwrap();

    assert_eq!(first, again);
}

#[apply(each_database)]
async fn each_owner_has_his_own_keys_and_nobody_too(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let owners = [None, Some(UserId::random()), Some(UserId::random())];
    let of = |owner| NewTask { owner, ..keyed_task("k") };
    let first = store.insert(owners.map(of).to_vec(), NOW).await.unwrap();

    let again = store.insert(owners.map(of).to_vec(), NOW).await.unwrap();
    let keys = owners.map(|owner| OwnedKey { owner, ..nobodys("k") });
    let all = store.keyed(keys.to_vec()).await.unwrap();
    let one = store.keyed(keys[1..2].to_vec()).await.unwrap();
    let stranger = OwnedKey { owner: Some(UserId::random()), ..nobodys("k") };

    assert_eq!((first.len(), again.len(), all.len()), (3, 0, 3));
    assert!(owners.iter().all(|owner| first.iter().any(|task| task.owner == *owner)));
    assert!(all.iter().all(|keyed| first.contains(&keyed.task)));
    assert_eq!(one.iter().map(|keyed| keyed.task.owner).collect::<Vec<_>>(), [owners[1]]);
    assert_eq!(store.keyed(vec![stranger]).await.unwrap(), []);
}

#[apply(each_database)]
async fn batches_that_bring_the_same_keys_in_any_order_do_not_hold_each_other_up(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let owners = [None, Some(UserId::random())];
    for round in 0..20 {
        let batch = |turn: usize| {
            // Two owners have each key.
            let owned = |key: usize| {
                let owner = owners[key % 2];
                NewTask { owner, ..keyed_task(&format!("{round}-{}", key / 2)) }
            };
            let mut batch: Vec<NewTask> = (0..20).map(owned).collect();
            batch.rotate_left(turn * 5);
            batch
        };

        let given = try_join_all((0..4).map(|turn| store.insert(batch(turn), NOW))).await.unwrap();

        let ids: Vec<TaskId> = given.iter().flatten().map(|task| task.id).collect();
        assert_eq!(ids.len(), 20);
    }
}

#[apply(each_database)]
async fn tasks_without_a_key_are_as_many_as_they_come(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let given = store.insert(vec![new_task(), new_task()], NOW).await.unwrap();

    assert_eq!(given.len(), 2);
    assert_eq!(store.keyed(Vec::new()).await.unwrap(), []);
}
