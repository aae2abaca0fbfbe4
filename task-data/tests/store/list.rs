//! Tasks are listed newest first, by pages.

use std::collections::HashSet;

use rstest::rstest;
use rstest_reuse::apply;
use serde_json::json;
use task_data::kinds::Kind;
use task_data::kinds::md5::Md5Digest;
use task_data::store::{Completion, Filter, LIST_BYTES, ListPlace, NewTask, Store};
use task_data::task::{Status, TaskId};
use test_kit::{FreshDatabase, each_database};

use crate::samples::*;

async fn listed(store: &dyn Store, filter: Filter) -> Vec<TaskId> {
    store.list(filter).await.unwrap().tasks.iter().map(|task| task.id).collect()
}

async fn some(store: &dyn Store, count: usize) -> Vec<TaskId> {
    let new: Vec<_> = (0..count).map(|_| new_task()).collect();
    let ids = new.iter().map(|new| new.id).collect();
    store.insert(new, NOW).await.unwrap();
    ids
}

#[apply(each_database)]
async fn a_page_ends_where_its_bytes_do_and_the_next_goes_on(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let mut newest_first = Vec::new();
    // More than a page has, a page of small ones, and one that is larger than a page.
    for (tasks, bytes) in [(20, 300_000), (5, 10), (1, 3 << 20), (1, 10)] {
        for _ in 0..tasks {
            let new = NewTask { input: json!({"text": "x".repeat(bytes)}), ..new_task() };
            newest_first.push(new.id);
            store.insert(vec![new], NOW).await.unwrap();
        }
    }
    newest_first = sorted(newest_first);
    newest_first.reverse();

    let (mut all, mut pages, mut after) = (Vec::new(), 0, None);
    loop {
        let page = store.list(Filter { after, limit: 1000, ..Filter::default() }).await.unwrap();
        let bytes: usize = page.tasks.iter().map(|task| task.input.to_string().len()).sum();
        assert!(bytes <= LIST_BYTES as usize || page.tasks.len() == 1, "{bytes}");
        all.extend(page.tasks.iter().map(|task| task.id));
        pages += 1;
        after = page.next;
        if after.is_none() {
            break;
        }
    }

    assert!(all == newest_first && pages > 3, "{pages} pages of {}", all.len());
    let exactly = store.list(Filter { limit: 1, ..Filter::default() }).await.unwrap();
    assert_eq!((exactly.tasks.len(), exactly.next), (1, Some(all[0].into())));
}

#[apply(each_database)]
async fn the_newest_come_first_and_no_more_than_wanted(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let mut newest_first = sorted(some(&*store, 10).await);
    newest_first.reverse();

    let all = listed(&*store, Filter { limit: 100, ..Filter::default() }).await;
    let three = listed(&*store, Filter { limit: 3, ..Filter::default() }).await;

    assert_eq!(all, newest_first);
    assert_eq!(three, newest_first[..3]);
}

#[apply(each_database)]
async fn a_filter_by_status_gives_those_in_it_alone(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let ids = one_of_each(&*store).await;
    for (id, status) in ids.into_iter().zip(Status::ALL) {
        let filter =
            Filter { kinds: vec![Kind::Md5], statuses: vec![status], limit: 100, ..Filter::default() };

        assert_eq!(listed(&*store, filter).await, [id], "{status:?}");
    }
}

#[apply(each_database)]
async fn a_digest_gives_the_tasks_that_found_it_page_by_page(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let [digest, other] = [[0xab; 16], [0xcd; 16]].map(Md5Digest);
    let mut found_it = Vec::new();
    for found in [digest, other, digest, digest] {
        let claim = running(&*store).await;
        let outcome = Ok(json!({"md5": found}));
        store.complete(vec![Completion { outcome, ..success(&claim) }], RULES).await.unwrap();
        found_it.extend((found == digest).then_some(claim.id));
    }
    one_of_each(&*store).await;
    let newest_first: Vec<TaskId> = sorted(found_it).into_iter().rev().collect();

    let mut filter = Filter { digest: Some(digest), limit: 2, ..Filter::default() };
    let first = listed(&*store, filter.clone()).await;
    filter.after = first.last().copied().map(ListPlace::from);
    let second = listed(&*store, filter).await;

    assert_eq!(first, newest_first[..2]);
    assert_eq!(second, newest_first[2..]);
}

/// Ids are made before their rows: a row may come in between two that were listed already.
#[apply(each_database)]
async fn tasks_that_come_in_while_a_page_is_read_push_no_others_out_of_the_list(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let mut new: Vec<NewTask> = (0..400).map(|_| new_task()).collect();
    new.sort_by_key(|new| new.id);
    let (mut there, mut later) = (Vec::new(), Vec::new());
    for (number, new) in new.into_iter().enumerate() {
        if number % 2 == 0 { there.push(new) } else { later.push(new) }
    }
    let ids = sorted(there.iter().map(|new| new.id));
    store.insert(there, NOW).await.unwrap();
    let inserting = tokio::spawn({
        let store = store.clone();
        async move {
            for new in later {
                store.insert(vec![new], NOW).await.unwrap();
            }
        }
    });

    loop {
        let has_ended = inserting.is_finished();
        let (mut met, mut filter) = (HashSet::new(), Filter { limit: 1000, ..Filter::default() });
        loop {
            let page = store.list(filter.clone()).await.unwrap();
            met.extend(page.tasks.iter().map(|task| task.id));
            filter.after = page.next;
            if page.next.is_none() {
                break;
            }
        }
        let missing: Vec<&TaskId> = ids.iter().filter(|id| !met.contains(id)).collect();
        assert!(missing.is_empty(), "{missing:?}");
        if has_ended {
            break;
        }
    }
    inserting.await.unwrap();
}

#[apply(each_database)]
async fn pages_meet_each_task_once_while_new_ones_come_in(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let there = some(&*store, 25).await;
    let mut met = Vec::new();
    let mut filter = Filter { limit: 7, ..Filter::default() };

    loop {
        let page = listed(&*store, filter.clone()).await;
        some(&*store, 3).await;
        let Some(last) = page.last() else { break };
        filter.after = Some((*last).into());
        met.extend(page);
    }

    assert_eq!(sorted(met), sorted(there));
}
