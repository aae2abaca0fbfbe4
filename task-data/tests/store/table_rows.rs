//! The outcomes of the rows of tables.

use rstest::rstest;
use rstest_reuse::apply;
use serde_json::json;
use task_data::kinds::table::{Row, SentRow};
use task_data::store::{Claim, PAGE_BYTES, RowFilter, Store, TableProgress, UnkeptRow};
use task_data::task::TaskId;
use test_kit::{FreshDatabase, each_database};

use crate::samples::{
    NOW, RULES, charged_return, claim, free_return, is_taken, pending, running, stands, unreadable, worker,
};

/// Returns a row with that answer.
pub fn sent(number: i64, status: Option<u16>) -> SentRow {
    let row = Row { user_id: -number, title: format!("title {number}"), body: "é\n\"".to_owned() };
    SentRow { number, row, status, reply: json!({"id": 101, "number": number}) }
}

pub fn unkept(claim: &Claim, sent: SentRow) -> UnkeptRow {
    UnkeptRow { task: claim.id, attempt: claim.attempt, sent }
}

async fn all(store: &dyn Store, id: TaskId, filter: RowFilter) -> Vec<SentRow> {
    store.kept_rows(id, 0, i64::MAX, filter, 100).await.unwrap().rows
}

#[apply(each_database)]
async fn rows_are_kept_and_found_in_their_order(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let (first, other) = (running(&*store).await, running(&*store).await);
    let rows = [sent(3, Some(201)), sent(1, Some(404)), sent(2, None), sent(5, Some(201))];
    let mut batch: Vec<_> = rows.iter().map(|row| unkept(&first, row.clone())).collect();
    batch.push(unkept(&other, sent(1, Some(200))));

    let mut held = store.keep_rows(batch).await.unwrap();

    held.sort();
    let mut both = [(first.id, 1), (other.id, 1)];
    both.sort();
    assert_eq!(held, both);
    let [third, one, two, fifth] = rows;
    let in_order = [one.clone(), two.clone(), third.clone(), fifth.clone()];
    assert_eq!(all(&*store, first.id, RowFilter::All).await, in_order);
    assert_eq!(all(&*store, first.id, RowFilter::Status(201)).await, [third.clone(), fifth]);
    assert_eq!(all(&*store, first.id, RowFilter::Failed).await, [one, two.clone()]);
    let kept = store.kept_rows(first.id, 1, 3, RowFilter::All, 100).await.unwrap();
    assert_eq!((kept.rows, kept.until), (vec![two.clone(), third], 3));
    let kept = store.kept_rows(first.id, 1, 3, RowFilter::All, 1).await.unwrap();
    assert_eq!((kept.rows, kept.until), (vec![two], 2));
    assert_eq!(store.kept_numbers(first.id, 0, 100).await.unwrap(), [1, 2, 3, 5]);
    assert_eq!(store.kept_numbers(first.id, 1, 2).await.unwrap(), [2, 3]);
    let progress = store.table_progress(first.id).await.unwrap();
    assert_eq!(progress, TableProgress { sent: 4, failed: 2 });
    assert_eq!(store.last_attempt(first.id).await.unwrap(), 1);
    assert_eq!(store.last_attempt(TaskId::random()).await.unwrap(), 0);
    let none = store.table_progress(TaskId::random()).await.unwrap();
    assert_eq!(none, TableProgress { sent: 0, failed: 0 });
}

#[apply(each_database)]
async fn rows_are_read_a_page_of_bytes_at_a_time(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let table = running(&*store).await;
    let large =
        |number: i64, bytes: usize| SentRow { reply: json!("x".repeat(bytes)), ..sent(number, Some(201)) };
    let rows = [large(1, 200_000), large(2, 200_000), large(3, 1 << 20), large(4, 10), large(5, 10)];
    store.keep_rows(rows.iter().map(|row| unkept(&table, row.clone())).collect()).await.unwrap();

    let (mut after, mut read) = (0, Vec::new());
    while after < 9 {
        let kept = store.kept_rows(table.id, after, 9, RowFilter::All, 64).await.unwrap();
        let bytes: usize = kept.rows.iter().map(|row| row.reply.to_string().len()).sum();
        assert!(bytes <= PAGE_BYTES as usize || kept.rows.len() == 1, "{bytes}");
        assert!(kept.until > after && kept.rows.iter().all(|row| row.number <= kept.until));
        after = kept.until;
        read.extend(kept.rows);
    }

    assert!(read == rows);
}

#[apply(each_database)]
async fn a_row_is_kept_once_and_for_a_running_attempt_alone(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let worker = worker(&*store).await;
    let first = claim(&*store, pending(&*store).await, worker).await;
    let running = [(first.id, first.attempt)];
    assert_eq!(store.keep_rows(vec![unkept(&first, sent(1, Some(201)))]).await.unwrap(), running);
    // Again, if the answer to the first time was lost; twice in one batch, too.
    let again = vec![
        unkept(&first, sent(1, Some(500))),
        unkept(&first, sent(2, None)),
        unkept(&first, sent(2, None)),
    ];
    assert_eq!(store.keep_rows(again).await.unwrap(), running);

    store.hand_back(vec![free_return(&first, NOW)], RULES).await.unwrap();
    assert_eq!(store.keep_rows(vec![unkept(&first, sent(3, Some(201)))]).await.unwrap(), []);
    let second = claim(&*store, first.id, worker).await;
    let both = vec![unkept(&first, sent(4, Some(201))), unkept(&second, sent(5, Some(201)))];
    assert_eq!(store.keep_rows(both).await.unwrap(), [(second.id, second.attempt)]);

    let kept = all(&*store, first.id, RowFilter::All).await;
    assert_eq!(kept, [sent(1, Some(201)), sent(2, None), sent(5, Some(201))]);
}

#[apply(each_database)]
async fn a_table_that_gets_on_has_its_tries_forgotten(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let worker = worker(&*store).await;
    let first = claim(&*store, pending(&*store).await, worker).await;
    store.hand_back(vec![charged_return(&first, NOW)], RULES).await.unwrap();
    let second = claim(&*store, first.id, worker).await;
    assert_eq!(second.tries, 1);

    store.keep_rows(vec![unkept(&second, sent(1, Some(201)))]).await.unwrap();
    store.hand_back(vec![free_return(&second, NOW)], RULES).await.unwrap();

    assert_eq!(claim(&*store, first.id, worker).await.tries, 0);
}

#[apply(each_database)]
async fn a_row_that_is_refused_leaves_nothing(database: FreshDatabase) {
    let store = task_data::store::of(&database);
    let claim = running(&*store).await;
    let bad = SentRow { reply: unreadable(), ..sent(2, Some(201)) };

    let outcome = store.keep_rows(vec![unkept(&claim, sent(1, Some(201))), unkept(&claim, bad)]).await;

    assert!(!is_taken(&outcome));
    assert_eq!(all(&*store, claim.id, RowFilter::All).await, []);
    assert_eq!(stands(&*store, claim.id).await.attempt, 1);
}
