//! An owner's tasks: the list has theirs alone, and their pending tasks are counted.

use database::UserId;
use rstest::rstest;
use rstest_reuse::apply;
use serde_json::json;
use task_data::kinds::Kind;
use task_data::store::{Filter, Holdings, ListPlace, NewTask, Payload, Store};
use task_data::task::TaskId;
use test_kit::{FreshDatabase, each_database};

use crate::samples::*;

async fn tasks_of(store: &dyn Store, owner: Option<UserId>, count: usize) -> Vec<TaskId> {
    let new: Vec<_> = (0..count).map(|_| NewTask { owner, ..new_task() }).collect();
    let ids = new.iter().map(|new| new.id).collect();
    store.insert(new, NOW).await.unwrap();
    ids
}

#[apply(each_database)]
async fn an_owners_pages_are_full_whatever_others_have(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let (ada, bob) = (UserId::random(), UserId::random());
    let mut hers = Vec::new();
    for _ in 0..5 {
        hers.extend(tasks_of(&*store, Some(ada), 2).await);
        tasks_of(&*store, Some(bob), 3).await;
        tasks_of(&*store, None, 3).await;
    }
    let mut newest_first = sorted(hers);
    newest_first.reverse();

    let mut met = Vec::new();
    let mut filter = Filter { owner: Some(ada), limit: 4, ..Filter::default() };
    loop {
        let page: Vec<TaskId> =
            store.list(filter.clone()).await.unwrap().tasks.iter().map(|task| task.id).collect();
        filter.after = page.last().copied().map(ListPlace::from);
        met.push(page.len());
        if page.is_empty() {
            break;
        }
        newest_first.drain(..page.len()).zip(page).for_each(|(expected, id)| assert_eq!(id, expected));
    }

    assert_eq!(met, [4, 4, 2, 0]);
}

#[apply(each_database)]
async fn what_an_owner_has_waiting_is_told(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let (ada, bob) = (UserId::random(), UserId::random());
    assert_eq!(store.holdings(ada).await.unwrap(), Holdings { pending: 0, bytes: 0 });
    let ids = tasks_of(&*store, Some(ada), 4).await;
    tasks_of(&*store, Some(bob), 1).await;
    let message = NewTask {
        kind: Kind::Message,
        owner: Some(ada),
        input: json!({"text": "abc", "provider": "auto", "may_pay": false}),
        payload: Payload::None,
        ..new_task()
    };
    store.insert(vec![message], NOW).await.unwrap();
    assert_eq!(store.holdings(ada).await.unwrap(), Holdings { pending: 5, bytes: 15 });

    let worker = worker(&*store).await;
    let running = claim(&*store, ids[0], worker).await;
    claim(&*store, ids[1], worker).await;
    store.complete(vec![success(&running)], RULES).await.unwrap();
    store.cancel(ids[2], RULES).await.unwrap();

    // One is running, two are pending, and one of those has no upload but a text.
    assert_eq!(store.holdings(ada).await.unwrap(), Holdings { pending: 2, bytes: 9 });
    assert_eq!(store.holdings(bob).await.unwrap(), Holdings { pending: 1, bytes: 3 });
}
