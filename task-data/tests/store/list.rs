//! Tasks are listed newest first, by pages.

use task_data::kinds::Kind;
use task_data::store::{Filter, Store};
use task_data::task::{Status, TaskId};

use crate::samples::*;

async fn listed(store: &dyn Store, filter: Filter) -> Vec<TaskId> {
    store.list(filter).await.unwrap().iter().map(|task| task.id).collect()
}

async fn some(store: &dyn Store, count: usize) -> Vec<TaskId> {
    let new: Vec<_> = (0..count).map(|_| new_task()).collect();
    let ids = new.iter().map(|new| new.id).collect();
    store.insert(new, NOW).await.unwrap();
    ids
}

on_each_store!(the_newest_come_first_and_no_more_than_wanted, |store| async move {
    let mut newest_first = sorted(some(&*store, 10).await);
    newest_first.reverse();

    let all = listed(&*store, Filter { limit: 100, ..Filter::default() }).await;
    let three = listed(&*store, Filter { limit: 3, ..Filter::default() }).await;

    assert_eq!(all, newest_first);
    assert_eq!(three, newest_first[..3]);
});

on_each_store!(a_filter_by_status_gives_those_in_it_alone, |store| async move {
    let ids = one_of_each(&*store).await;
    for (id, status) in ids.into_iter().zip(Status::ALL) {
        let filter = Filter { kind: Some(Kind::Md5), status: Some(status), after: None, limit: 100 };

        assert_eq!(listed(&*store, filter).await, [id], "{status:?}");
    }
});

on_each_store!(pages_meet_each_task_once_while_new_ones_come_in, |store| async move {
    let there = some(&*store, 25).await;
    let mut met = Vec::new();
    let mut filter = Filter { limit: 7, ..Filter::default() };

    loop {
        let page = listed(&*store, filter.clone()).await;
        some(&*store, 3).await;
        let Some(last) = page.last() else { break };
        filter.after = Some(*last);
        met.extend(page);
    }

    assert_eq!(sorted(met), sorted(there));
});
