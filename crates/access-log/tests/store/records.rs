//! Records come back in the order of commit: each once, by a cursor, by dates, by what they are like.

use std::collections::HashSet;

use access_log::record::{Record, RecordId, StatusCode};
use access_log::{Count, NewRecord, RecordFilter, Records, Span};
use chrono::TimeDelta;
use database::Time;
use futures::future::join_all;
use rstest::rstest;
use rstest_reuse::apply;
use test_kit::{FreshDatabase, each_database};

const ALL: i64 = 1_000_000;

fn new_record(line: &str) -> NewRecord {
    NewRecord { id: RecordId::random(), log: line.parse().unwrap() }
}

pub fn new_records(lines: &[&str]) -> Vec<NewRecord> {
    lines.iter().copied().map(new_record).collect()
}

/// Appended in one transaction, and found again.
async fn appended(store: &dyn Records, lines: &[&str]) -> Vec<Record> {
    let new = new_records(lines);
    let created = store.append_records(new.clone()).await.unwrap();
    new.into_iter().map(|NewRecord { id, log }| Record { id, created, log }).collect()
}

async fn found(store: &dyn Records, span: Span, filter: RecordFilter) -> Vec<Record> {
    let placed = store.records(span, filter, ALL).await.unwrap();
    placed.into_iter().map(|placed| placed.record).collect()
}

async fn all(store: &dyn Records) -> Vec<Record> {
    between(store, None, None).await
}

async fn between(store: &dyn Records, from: Option<Time>, to: Option<Time>) -> Vec<Record> {
    found(store, store.record_span(from, to).await.unwrap(), RecordFilter::default()).await
}

fn status(code: &str) -> StatusCode {
    code.parse().unwrap()
}

#[apply(each_database)]
async fn records_come_back_as_they_were_appended_in_their_order(database: FreshDatabase) {
    let store = access_log::of(&database);
    assert_eq!(all(&*store).await, []);
    let long_uri = format!("1.2.3.4 GET /{} 200", "é".repeat(4000));
    let lines =
        ["::ffff:1.2.3.4 get /%zz?a=b 100", &long_uri, "fe80::1 M-SEARCH * 599", "1.1.1.1 GET /'\"\\ 204"];

    let first = appended(&*store, &lines).await;
    let second = appended(&*store, &["9.9.9.9 POST /b 500"]).await;

    assert_eq!(all(&*store).await, [first, second].concat());
}

#[apply(each_database)]
async fn a_place_is_where_a_reader_goes_on(database: FreshDatabase) {
    let store = access_log::of(&database);
    let lines: Vec<String> = (0..10).map(|number| format!("1.1.1.1 GET /{number} 200")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let records = appended(&*store, &lines).await;
    let span = store.record_span(None, None).await.unwrap();

    for (number, record) in records.iter().enumerate() {
        let after = store.record_place(record.id).await.unwrap().unwrap();
        let rest = Span { after, ..span };
        assert_eq!(found(&*store, rest, RecordFilter::default()).await, records[number + 1..]);
        assert_eq!(rest.is_empty(), number == 9);
    }
    assert_eq!(store.record_place(RecordId::random()).await.unwrap(), None);
    let three = store.records(span, RecordFilter::default(), 3).await.unwrap();
    assert_eq!(three.into_iter().map(|placed| placed.record).collect::<Vec<_>>(), records[..3]);
}

#[apply(each_database)]
async fn dates_are_bounds_that_belong_to_it(database: FreshDatabase) {
    let store = access_log::of(&database);
    let mut batches = Vec::new();
    for number in 0..3 {
        batches.push(appended(&*store, &[&format!("1.1.1.1 GET /{number} 200"), "1.1.1.1 GET /b 200"]).await);
    }
    let [first, second, third] = [0, 1, 2].map(|number: usize| batches[number][0].created);
    assert!(first <= second && second <= third);
    let by_dates = |from: Time, to: Time| {
        let records = batches.concat();
        records.into_iter().filter(move |record| (from..=to).contains(&record.created)).collect::<Vec<_>>()
    };
    let moved = |time: Time, microseconds| Time(time.0 + TimeDelta::microseconds(microseconds));

    for (from, to) in [
        (first, third),
        (second, second),
        (first, second),
        (second, third),
        (moved(first, 1), moved(third, -1)),
        (moved(second, 1), moved(second, -1)),
        (moved(third, 1), moved(third, 2)),
        (moved(first, -2), moved(first, -1)),
    ] {
        assert_eq!(between(&*store, Some(from), Some(to)).await, by_dates(from, to), "{from} to {to}");
    }
    assert_eq!(between(&*store, Some(second), None).await, by_dates(second, third));
    assert_eq!(between(&*store, None, Some(second)).await, by_dates(first, second));
}

#[apply(each_database)]
async fn filters_let_through_what_has_all_that_is_asked(database: FreshDatabase) {
    let store = access_log::of(&database);
    let records = appended(
        &*store,
        &[
            "1.1.1.1 GET /a 200",
            "1.1.1.1 GET /a/b 404",
            "1.1.1.1 POST /a 500",
            "::1 GET /A 599",
            "0:0:0::0001 get /%_ 400",
            "2.2.2.2 GET /日本/x 499",
        ],
    )
    .await;
    let span = store.record_span(None, None).await.unwrap();
    let like = RecordFilter::default;
    let text = |text: &str| Some(text.to_owned());
    let ip = |text: &str| Some(text.parse().unwrap());
    let prefix = |text: &str| RecordFilter { uri_prefix: text.to_owned(), ..like() };
    let codes = |low: &str, high: &str| RecordFilter { status_codes: status(low)..=status(high), ..like() };

    for (filter, numbers) in [
        (like(), &[0, 1, 2, 3, 4, 5][..]),
        (RecordFilter { ip: ip("1.1.1.1"), ..like() }, &[0, 1, 2]),
        (RecordFilter { ip: ip("1.1.1.10"), ..like() }, &[]),
        (RecordFilter { ip: ip("::0:1"), ..like() }, &[3, 4]),
        (RecordFilter { ip: ip("::ffff:1.1.1.1"), ..like() }, &[]),
        (RecordFilter { method: text("GET"), ..like() }, &[0, 1, 3, 5]),
        (RecordFilter { method: text("get"), ..like() }, &[4]),
        (codes("404", "404"), &[1]),
        (codes("400", "499"), &[1, 4, 5]),
        (codes("500", "599"), &[2, 3]),
        (prefix("/a"), &[0, 1, 2]),
        (prefix("/a/"), &[1]),
        (prefix("/%"), &[4]),
        (prefix("/日本"), &[5]),
        (prefix("/日本/xy"), &[]),
        (RecordFilter { ip: ip("1.1.1.1"), method: text("GET"), ..codes("200", "299") }, &[0]),
    ] {
        let expected: Vec<Record> = numbers.iter().map(|number| records[*number].clone()).collect();
        assert_eq!(found(&*store, span, filter.clone()).await, expected, "{filter:?}");
    }
}

#[apply(each_database)]
async fn records_are_counted_by_what_they_have_in_common(database: FreshDatabase) {
    let store = access_log::of(&database);
    let lines = [
        "1.1.1.1 GET /a 200",
        "1.1.1.1 GET /b 200",
        "1.1.1.1 GET /a 204",
        "2.2.2.2 GET /c 500",
        "3.3.3.3 GET /b 404",
    ];
    let created = appended(&*store, &lines).await[0].created;
    let span = store.record_span(None, None).await.unwrap();

    let counts = store.count_records(span, 60, 2).await.unwrap();

    let minute = created.0.timestamp().div_euclid(60) * 60;
    assert_eq!(counts.minutes.len(), 1);
    assert_eq!(
        (counts.minutes[0].of.0.timestamp_micros(), counts.minutes[0].requests),
        (minute * 1_000_000, 5)
    );
    let count = |of: &str, requests| Count { of: of.to_owned(), requests };
    assert_eq!(counts.uris, [count("/a", 2), count("/b", 2)]);
    assert_eq!(counts.ips, [count("1.1.1.1", 3), count("2.2.2.2", 1)]);
    let codes: Vec<_> =
        counts.status_codes.into_iter().map(|count| (count.of.to_string(), count.requests)).collect();
    let codes: Vec<_> = codes.iter().map(|(code, requests)| (code.as_str(), *requests)).collect();
    assert_eq!(codes, [("200", 2), ("204", 1), ("404", 1), ("500", 1)]);
    let nothing = store.count_records(Span { after: span.until, ..span }, 60, 2).await.unwrap();
    assert!(nothing.minutes.is_empty() && nothing.uris.is_empty());
}

#[apply(each_database)]
async fn a_reader_among_writers_misses_nothing_and_meets_nothing_twice(database: FreshDatabase) {
    let store = access_log::of(&database);
    const WRITERS: usize = 16;
    const BATCHES: usize = 25;
    let writers = join_all((0..WRITERS).map(|writer| {
        let store = store.clone();
        async move {
            let writing = tokio::spawn(async move {
                let mut written = Vec::new();
                for batch in 0..BATCHES {
                    // Batches of different sizes take different times from their first row to their commit.
                    let line = format!("1.1.1.{writer} GET /{batch} 200");
                    let lines = vec![line.as_str(); 1 + (writer * batch) % 40];
                    written.push(appended(&*store, &lines).await);
                }
                written.concat()
            });
            writing.await.unwrap()
        }
    }));
    let mut writers = tokio::spawn(writers);

    let mut met: Vec<Record> = Vec::new();
    let mut written = None;
    loop {
        // This look must see every record committed before it.
        let is_last = written.is_some();
        let after = match met.last() {
            Some(last) => store.record_place(last.id).await.unwrap().unwrap(),
            None => 0,
        };
        let span = store.record_span(None, None).await.unwrap();
        met.extend(found(&*store, Span { after, ..span }, RecordFilter::default()).await);
        if is_last {
            break;
        }
        tokio::select! {
            biased;
            outcome = &mut writers => written = Some(outcome.unwrap().concat()),
            () = tokio::task::yield_now() => {}
        }
    }

    let written = written.unwrap();
    assert_eq!(met.len(), written.len());
    assert_eq!(met.iter().map(|record| record.id).collect::<HashSet<_>>().len(), written.len());
    assert_eq!(met, all(&*store).await, "the order has changed");
    assert!(met.is_sorted_by_key(|record| record.created), "a date is not a place");
    for writer in 0..WRITERS {
        let own = format!("1.1.1.{writer} ");
        let of_writer = |records: &[Record]| {
            records
                .iter()
                .filter(|record| record.log.to_string().starts_with(&own))
                .cloned()
                .collect::<Vec<_>>()
        };
        assert_eq!(of_writer(&met), of_writer(&written), "writer {writer}");
    }
}
