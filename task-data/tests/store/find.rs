//! Tasks are found by what people know of them, in pages whose work is bounded.

use std::collections::BTreeSet;

use database::UserId;
use rstest::rstest;
use rstest_reuse::apply;
use serde_json::json;
use task_data::kinds::Kind;
use task_data::store::{Filter, ListOrder, NewTask, Payload, Period, Store, TaskCount};
use task_data::task::{Status, Task, TaskId, Time};
use test_kit::{FreshDatabase, each_database};

use crate::samples::*;

/// Returns all pages of a list.
async fn pages(store: &dyn Store, mut filter: Filter) -> Vec<Vec<Task>> {
    let mut pages = Vec::new();
    loop {
        let page = store.list(filter.clone()).await.unwrap();
        pages.push(page.tasks);
        filter.after = page.next;
        if page.next.is_none() {
            return pages;
        }
    }
}

/// Returns the ids of a list, which has them page by page as it has them at once.
async fn found(store: &dyn Store, filter: Filter) -> Vec<TaskId> {
    let ids = |pages: Vec<Vec<Task>>| pages.into_iter().flatten().map(|task| task.id).collect::<Vec<_>>();
    let whole = ids(pages(store, Filter { limit: 1000, ..filter.clone() }).await);
    let by_two = ids(pages(store, Filter { limit: 2, ..filter.clone() }).await);
    assert_eq!(by_two, whole, "{filter:?}");
    let oldest_first =
        ids(pages(store, Filter { limit: 2, order: ListOrder::Oldest, ..filter.clone() }).await);
    assert_eq!(oldest_first.into_iter().rev().collect::<Vec<_>>(), whole, "{filter:?}");
    let count = store.count(filter.clone(), 1000).await.unwrap();
    assert_eq!(count, TaskCount { count: whole.len() as i64, is_exact: true }, "{filter:?}");
    assert_eq!(counted_on(store, filter.clone()).await, whole.len() as i64, "{filter:?}");
    whole
}

/// Counts a list in steps of three rows.
async fn counted_on(store: &dyn Store, mut filter: Filter) -> i64 {
    let mut counted = 0;
    loop {
        let (count, next) = store.count_on(filter.clone(), 3).await.unwrap();
        counted += count;
        match next {
            Some(_) => filter.after = next,
            None => return counted,
        }
    }
}

async fn named(store: &dyn Store, name: &str, owner: Option<UserId>) -> TaskId {
    let new = NewTask { owner, input: json!({"filename": name, "size": 3}), ..new_task() };
    let id = new.id;
    store.insert(vec![new], NOW).await.unwrap();
    id
}

#[apply(each_database)]
async fn each_filter_gives_its_tasks_alone_in_their_order(database: FreshDatabase) {
    let store = &*task_data::store::of(&database);
    let owner = UserId::random();
    let (mut all, mut own) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        all.extend(one_of_each(store).await);
        let claimed = named(store, "abc.txt", Some(owner)).await;
        let claimed = claim(store, claimed, worker(store).await).await;
        store.complete(vec![failure(&claimed)], RULES).await.unwrap();
        own.extend([claimed.id, named(store, "abc.txt", Some(owner)).await]);
    }
    all.extend(&own);
    let message =
        NewTask { kind: Kind::Message, input: json!({"text": "abc"}), payload: Payload::None, ..new_task() };
    all.push(message.id);
    store.insert(vec![message], NOW).await.unwrap();
    let busy = running(store).await;
    all.push(busy.id);
    let tasks = store.find(all).await.unwrap();
    let runs = |task: &Task| task.status == Status::Running;
    let failed = |task: &Task| task.error.as_ref().is_some_and(|error| error.code == "blob-missing");
    let is_own = |task: &Task| task.owner == Some(owner);
    let busy_worker = store.attempts(busy.id).await.unwrap()[0].worker.unwrap();

    type Test<'a> = &'a (dyn Fn(&Task) -> bool + Sync);
    let cases: [(Filter, Test); 14] = [
        (Filter::default(), &|_| true),
        (Filter { kinds: vec![Kind::Message, Kind::Table], ..Filter::default() }, &|task| {
            task.kind == Kind::Message
        }),
        (Filter { statuses: vec![Status::Failed], ..Filter::default() }, &failed),
        (Filter { statuses: vec![Status::Running], ..Filter::default() }, &runs),
        (Filter { statuses: vec![Status::Pending], ..Filter::default() }, &|task| {
            task.status == Status::Pending
        }),
        (Filter { statuses: vec![Status::Failed, Status::Running], ..Filter::default() }, &|task| {
            failed(task) || runs(task)
        }),
        (Filter { error_code: Some("blob-missing".to_owned()), ..Filter::default() }, &failed),
        (Filter { error_code: Some("cancelled".to_owned()), ..Filter::default() }, &|_| false),
        (Filter { worker: Some(busy_worker), ..Filter::default() }, &|task| task.id == busy.id),
        (Filter { owner: Some(owner), ..Filter::default() }, &is_own),
        (
            Filter { owner: Some(owner), error_code: Some("blob-missing".to_owned()), ..Filter::default() },
            &|task| is_own(task) && failed(task),
        ),
        (Filter { owner: Some(owner), worker: Some(busy_worker), ..Filter::default() }, &|_| false),
        (
            Filter {
                owner: Some(owner),
                filename: Some("abc".to_owned()),
                kinds: vec![Kind::Md5],
                ..Filter::default()
            },
            &is_own,
        ),
        (Filter { owner: Some(owner), filename: Some("abd".to_owned()), ..Filter::default() }, &|_| false),
    ];
    for (filter, passes) in cases {
        let passing: Vec<_> = tasks.iter().filter(|task| passes(task)).map(|task| task.id).collect();
        let newest_first: Vec<TaskId> = sorted(passing).into_iter().rev().collect();
        assert_eq!(found(store, filter.clone()).await, newest_first, "{filter:?}");
    }
}

#[apply(each_database)]
async fn a_period_has_its_first_instant_and_not_the_one_after_it(database: FreshDatabase) {
    let store = &*task_data::store::of(&database);
    let owner = UserId::random();
    let mut ended = Vec::new();
    let first = [named(store, "a", Some(owner)).await, named(store, "b", None).await];
    let then = [named(store, "c", Some(owner)).await, named(store, "d", None).await];
    // They end in another order than they were created in.
    for id in [then[1], first[0], then[0], first[1]] {
        store.cancel(id, RULES).await.unwrap();
        ended.push(stands(store, id).await);
    }
    pending(store).await;
    let finished = |position: usize| ended[position].finished;
    let period = |from, before| Period { from, before };
    let ids = |tasks: &[Task]| tasks.iter().rev().map(|task| task.id).collect::<Vec<_>>();

    for (from, before, expected) in [
        (finished(1), None, &ended[1..]),
        (None, finished(1), &ended[..1]),
        (finished(1), finished(3), &ended[1..3]),
        (finished(3), finished(1), &[]),
    ] {
        let filter = Filter { finished: period(from, before), ..Filter::default() };
        assert_eq!(found(store, filter.clone()).await, ids(expected));
        let own: Vec<Task> = expected.iter().filter(|task| task.owner == Some(owner)).cloned().collect();
        assert_eq!(found(store, Filter { owner: Some(owner), ..filter.clone() }).await, ids(&own));
        let succeeded = Filter { statuses: vec![Status::Succeeded], ..filter };
        assert_eq!(found(store, succeeded).await, []);
    }

    let created: Vec<Time> = ended.iter().map(|task| task.created).collect();
    let (least, most) = (created.iter().min().copied(), created.iter().max().copied());
    let of = |period| Filter { created: period, statuses: vec![Status::Cancelled], ..Filter::default() };
    assert_eq!(found(store, of(period(least, None))).await.len(), 4);
    assert_eq!(found(store, of(period(least, most))).await.len(), 3);
    assert_eq!(found(store, of(period(None, least))).await, []);
    let in_order = Filter { created: period(most, None), kinds: vec![Kind::Md5], ..Filter::default() };
    assert_eq!(found(store, in_order).await.len(), 2);
}

#[apply(each_database)]
async fn a_name_is_found_by_how_it_begins(database: FreshDatabase) {
    let store = &*task_data::store::of(&database);
    let long = "x".repeat(40);
    let names = [
        "a",
        "ab",
        "abc",
        "b",
        "B",
        "ä",
        "a%c",
        "a_c",
        "\u{d7ff}a",
        "\u{e000}",
        &long,
        &format!("{long}y"),
        &"x".repeat(31),
        "\u{10ffff}",
    ];
    let mut ids = Vec::new();
    for name in names {
        ids.push(named(store, name, None).await);
    }
    for start in [
        "a",
        "ab",
        "abcd",
        "b",
        "B",
        "ä",
        "a%",
        "a_",
        "\u{d7ff}",
        "\u{10ffff}",
        "x",
        &"x".repeat(32),
        &"x".repeat(36),
        &long,
        &format!("{long}y"),
        &format!("{long}z"),
        "'",
    ] {
        let expected: BTreeSet<TaskId> =
            names.iter().zip(&ids).filter(|(name, _)| name.starts_with(start)).map(|(_, id)| *id).collect();
        let filter = Filter { filename: Some(start.to_owned()), ..Filter::default() };
        let found = found(store, filter).await;
        assert_eq!(found, expected.into_iter().rev().collect::<Vec<_>>(), "{start:?}");
    }
}

#[apply(each_database)]
async fn a_page_looks_at_so_many_tasks_and_the_next_goes_on_behind_them(database: FreshDatabase) {
    let store = &*task_data::store::of(&database);
    let first = succeeded(store).await;
    for _ in 0..21 {
        let many: Vec<_> = (0..1000).map(|_| NewTask { payload: Payload::None, ..new_task() }).collect();
        store.insert(many, NOW).await.unwrap();
    }
    let last = succeeded(store).await;
    let succeeded = Filter { statuses: vec![Status::Succeeded], limit: 10, ..Filter::default() };

    let newest_first = pages(store, succeeded.clone()).await;
    let oldest_first = pages(store, Filter { order: ListOrder::Oldest, ..succeeded.clone() }).await;

    let ids = |pages: Vec<Vec<Task>>| {
        pages.into_iter().map(|page| page.into_iter().map(|task| task.id).collect()).collect::<Vec<Vec<_>>>()
    };
    assert_eq!(ids(newest_first), [vec![last], vec![], vec![first]]);
    assert_eq!(ids(oldest_first), [vec![first], vec![], vec![last]]);
    let exact = |count| TaskCount { count, is_exact: true };
    assert_eq!(store.count(succeeded, 10_000).await.unwrap(), exact(2));
    let pending = Filter { statuses: vec![Status::Pending], ..Filter::default() };
    assert_eq!(
        store.count(pending.clone(), 10_000).await.unwrap(),
        TaskCount { count: 10_000, is_exact: false }
    );
    assert_eq!(store.count(pending, 21_000).await.unwrap(), exact(21_000));
}
