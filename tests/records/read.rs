//! Records come out of the access log: in one order for everybody, by cursor, by date, by what they are like, as a stream.

use std::collections::{BTreeMap, HashSet};

use futures::future::join_all;
use reqwest::{Method, Response};
use rstest_reuse::apply;
use serde_json::{Value, json};
use test_kit::eventually;

use crate::kit::client::ask;
use crate::kit::stack::{Setup, Stack, both_stacks, distributed};
use crate::records::append::{added, line_of};

const NDJSON: &str = "application/x-ndjson";

fn id_of(record: &Value) -> &str {
    record["id"].as_str().expect("an id")
}

impl Stack {
    /// Begins to read records, a line each.
    async fn record_lines(&self, query: &str) -> Response {
        let request = self.http.get(self.url(&format!("/api/data{query}"))).header("Accept", NDJSON);
        request.send().await.unwrap()
    }

    /// Numbered lines, in one body.
    async fn add_numbered(&self, count: usize, padding: usize) {
        let padding = "x".repeat(padding);
        let chunks = (0..count).map(move |number| Ok(format!("1.1.1.1 GET /{number}/{padding} 200\n")));
        let body =
            reqwest::Body::wrap_stream(futures::stream::iter(chunks.collect::<Vec<std::io::Result<_>>>()));
        let report = self.bulk_request("text/plain", body).send().await.unwrap();
        assert_eq!(report.json::<Value>().await.unwrap(), json!({"saved": count, "rejected": []}));
    }
}

#[apply(both_stacks)]
async fn who_goes_on_after_the_last_he_saw_misses_nothing(setup: Setup) {
    let stack = setup.start(&[]).await;
    assert_eq!(stack.records("").await, [] as [Value; 0]);
    let mut records = Vec::new();
    for number in 0..10 {
        records.push(stack.add_record(&format!("1.1.1.1 GET /{number} 200")).await);
    }

    assert_eq!(stack.records("").await, records);
    for (number, record) in records.iter().enumerate() {
        assert_eq!(stack.records(&format!("?id={}", id_of(record))).await, records[number + 1..]);
    }
    let upper = id_of(&records[4]).to_uppercase();
    assert_eq!(stack.records(&format!("?id={upper}&limit=3")).await, records[5..8]);
    assert_eq!(stack.records("?limit=3").await, records[..3]);
    assert_eq!(stack.records("?limit=100").await, records);
}

#[apply(both_stacks)]
async fn dates_are_bounds_that_belong_to_it(setup: Setup) {
    let stack = setup.start(&[]).await;
    let mut records = Vec::new();
    for number in 0..5 {
        records.push(stack.add_record(&format!("1.1.1.1 GET /{number} 200")).await);
    }
    let created = |number: usize| records[number]["created"].as_str().unwrap();
    let within = |from: &str, to: &str| {
        let is_within = |record: &&Value| (from..=to).contains(&record["created"].as_str().unwrap());
        records.iter().filter(is_within).cloned().collect::<Vec<_>>()
    };

    for (from, to) in [(0, 4), (1, 3), (2, 2), (3, 1)] {
        let found = stack.records(&format!("?date_from={}&date_to={}", created(from), created(to))).await;
        assert_eq!(found, within(created(from), created(to)));
    }
    assert_eq!(stack.records(&format!("?date_from={}", created(2))).await, within(created(2), "9"));
    assert_eq!(stack.records(&format!("?date_to={}", created(2))).await, within("0", created(2)));
    // The same instant, by another clock.
    let east = created(2).replace('Z', "+00:00");
    for from in [east.replace('+', "%2B"), east.clone()] {
        assert_eq!(stack.records(&format!("?date_from={from}")).await, within(created(2), "9"));
    }
    let (first_day, last_day) = (&created(0)[..10], &created(4)[..10]);
    assert_eq!(stack.records(&format!("?date_from={first_day}&date_to={last_day}")).await, records);
    assert_eq!(stack.records("?date_from=1970-01-01&date_to=1999-12-31").await, [] as [Value; 0]);
    assert_eq!(stack.records("?date_from=2999-01-01").await, [] as [Value; 0]);
    let both = format!("?id={}&date_from={first_day}&date_to={}&limit=2", id_of(&records[0]), created(3));
    assert_eq!(stack.records(&both).await, records[1..3]);
}

#[apply(both_stacks)]
async fn filters_go_together(setup: Setup) {
    let stack = setup.start(&[]).await;
    let lines = [
        "1.1.1.1 GET /a 200",
        "1.1.1.1 GET /a/b 404",
        "1.1.1.1 POST /a 500",
        "::1 GET /A%20 599",
        "::1 get /100%_ 400",
        "2.2.2.2 GET /日本/x 499",
    ];
    stack.add_records("text/plain", lines.join("\n")).await;

    for (query, numbers) in [
        ("ip=1.1.1.1", &[0, 1, 2][..]),
        ("ip=::1&method=GET", &[3]),
        ("method=get", &[4]),
        ("status_code=404", &[1]),
        ("status_code=4xx", &[1, 4, 5]),
        ("status_code=5xx&method=POST", &[2]),
        ("status_code=1xx", &[]),
        ("uri=/a", &[0, 1, 2]),
        ("uri=/A%2520", &[3]),
        ("uri=/100%25_", &[4]),
        ("uri=/%E6%97%A5", &[5]),
        ("uri=/a&limit=1&status_code=5xx", &[2]),
        ("ip=2.2.2.2", &[5]),
    ] {
        let found: Vec<String> = stack.records(&format!("?{query}")).await.iter().map(line_of).collect();
        let expected: Vec<&str> = numbers.iter().map(|number| lines[*number]).collect();
        assert_eq!(found, expected, "{query}");
    }
}

#[apply(both_stacks)]
async fn a_query_that_can_not_be_is_refused(setup: Setup) {
    let stack = setup.start(&[]).await;
    stack.add_record("1.1.1.1 GET / 200").await;
    let unknown = "/api/data?id=7f3c2c4e-52a4-4f0e-9d5e-0c6f3b1a2d4e";
    stack.get(unknown).await.problem(404, "record-not-found");
    for id in ["", "abc", "%00", "7f3c2c4e52a44f0e9d5e0c6f3b1a2d4e", "{7f3c2c4e-52a4-4f0e-9d5e-0c6f3b1a2d4}"]
    {
        stack.get(&format!("/api/data?id={id}")).await.problem(400, "invalid-id");
    }
    for query in [
        "date_from=",
        "date_from=yesterday",
        "date_to=2026-02-30",
        "date_to=2026-01-01T00:00:00",
        "date_from=1767323045",
        "limit=0",
        "limit=-1",
        "limit=x",
        "limit=9999999999999999999",
        "ip=1.1.1",
        "method=%0A",
        "status_code=0xx",
        "status_code=",
        "uri=%00",
        "uri=%0A",
        "limit=1&limit=2",
        "uri=%FF%0A",
    ] {
        let problem = stack.get(&format!("/api/data?{query}")).await.problem(400, "invalid-parameter");
        let name = query.split('=').next().unwrap();
        assert!(problem["detail"].as_str().unwrap().contains(name), "{query}: {problem}");
    }
    for query in ["date_from=x", "date_to=", "date_to=1&date_to=2"] {
        stack.get(&format!("/api/data/stats?{query}")).await.problem(400, "invalid-parameter");
    }
}

#[apply(both_stacks)]
async fn records_come_a_line_each_for_who_asks_so(setup: Setup) {
    let stack = setup.start(&[]).await;
    stack.add_numbered(2500, 0).await;
    let records = stack.records("").await;

    let lines = ask(stack.http.get(stack.url("/api/data")).header("Accept", NDJSON)).await.unwrap();

    assert_eq!((lines.status, lines.header("content-type")), (200, NDJSON));
    assert_eq!(lines.header("vary").to_lowercase(), "accept");
    let told: Vec<Value> = lines.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(told, records);
    let none = ask(stack.http.get(stack.url("/api/data?ip=9.9.9.9")).header("Accept", NDJSON)).await.unwrap();
    assert_eq!((none.status, none.text()), (200, ""));
    let head = stack.ask(Method::HEAD, "/api/data").await;
    assert_eq!((head.status, head.header("content-type"), head.text()), (200, "application/json", ""));
}

#[apply(both_stacks)]
async fn any_number_of_records_is_read_in_bounded_memory(setup: Setup) {
    let stack = setup.start(&[]).await;
    const COUNT: usize = 50_000;
    let idle = stack.memory_kib("VmRSS");
    // 50 MB, and more than that as JSON.
    stack.add_numbered(COUNT, 1000).await;

    // A client that stops reading delays no other, and the server keeps nothing for it beyond the bytes on their way.
    let mut slow = stack.record_lines("").await;
    let mut read = slow.chunk().await.unwrap().unwrap().to_vec();
    let mut count = 0;
    let mut quick = stack.record_lines("").await;
    let mut begun = String::new();
    while let Some(chunk) = quick.chunk().await.unwrap() {
        begun.push_str(std::str::from_utf8(&chunk).unwrap());
        let Some((whole, rest)) = begun.rsplit_once('\n') else { continue };
        for line in whole.lines() {
            let record: Value = serde_json::from_str(line).unwrap();
            assert!(record["log"]["uri"].as_str().unwrap().starts_with(&format!("/{count}/x")), "{count}");
            count += 1;
        }
        begun = rest.to_owned();
    }
    assert_eq!(count, COUNT);
    let peak = stack.memory_kib("VmHWM");
    println!("{idle} KiB when idle, up to {peak} KiB then");
    assert!(peak < idle + (40 << 10), "{idle} KiB when idle, up to {peak} KiB then");

    let mut lines = 0;
    loop {
        lines += read.iter().filter(|byte| **byte == b'\n').count();
        match slow.chunk().await.unwrap() {
            Some(chunk) => read = chunk.to_vec(),
            None => break,
        }
    }
    assert_eq!(lines, COUNT);
}

#[apply(distributed)]
async fn a_stream_that_breaks_off_has_no_end(setup: Setup) {
    let stack = setup.start(&[]).await;
    // More than fits into any buffer on the way.
    stack.add_numbered(6_000, 8_000).await;
    for accept in [NDJSON, "application/json"] {
        let request = stack.http.get(stack.url("/api/data")).header("Accept", accept);
        let mut response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        response.chunk().await.unwrap();

        stack.sql("ALTER TABLE records RENAME TO lost");

        let mut read = 0;
        let failure = loop {
            match response.chunk().await {
                Ok(Some(chunk)) => read += chunk.len(),
                Ok(None) => panic!("{accept}: a part was given for the whole, {read} bytes"),
                Err(failure) => break failure,
            }
        };
        println!("{accept}: {failure:?} after {read} bytes");
        stack.get("/api/data").await.problem(500, "internal");
        stack.sql("ALTER TABLE lost RENAME TO records");
        assert_eq!(stack.records("?limit=1").await.len(), 1);
    }
}

#[apply(both_stacks)]
async fn records_are_counted(setup: Setup) {
    let stack = setup.start(&[]).await;
    let lines = [
        "1.1.1.1 GET /a 200",
        "1.1.1.1 GET /b 200",
        "1.1.1.1 GET /a 204",
        "2.2.2.2 GET /c 500",
        "3.3.3.3 GET /b 404",
        "3.3.3.3 GET /a 404",
    ];
    stack.add_records("text/plain", lines.join("\n")).await;
    let created = stack.records("?limit=1").await[0]["created"].as_str().unwrap().to_owned();

    let stats = stack.get("/api/data/stats").await.json();

    assert_eq!(stats["requests"], 6);
    let minute = format!("{}:00.000000Z", &created[..16]);
    assert_eq!(stats["minutes"], json!([{"minute": minute, "requests": 6}]));
    assert_eq!(
        stats["status_classes"],
        json!([{"class": "2xx", "requests": 3}, {"class": "4xx", "requests": 2}, {"class": "5xx", "requests": 1}])
    );
    assert_eq!(
        stats["uris"],
        json!([{"uri": "/a", "requests": 3}, {"uri": "/b", "requests": 2}, {"uri": "/c", "requests": 1}])
    );
    assert_eq!(
        stats["ips"],
        json!([{"ip": "1.1.1.1", "requests": 3}, {"ip": "3.3.3.3", "requests": 2}, {"ip": "2.2.2.2", "requests": 1}])
    );
    let before = stack.get("/api/data/stats?date_from=1970-01-01&date_to=1999-12-31").await.json();
    assert_eq!((&before["requests"], &before["date_to"]), (&json!(0), &json!("1999-12-31T23:59:59.999999Z")));
}

#[apply(distributed)]
async fn a_reader_of_many_servers_meets_each_record_once_and_in_one_order(setup: Setup) {
    let stack = setup.start(&[]).await;
    const WRITERS: usize = 8;
    const EACH: usize = 40;
    let mut others = [(); 3].map(|()| stack.extra(&["api"], &[]));
    let mut addresses = vec![stack.address()];
    for other in &mut others {
        addresses.push(other.address().await);
    }
    let url = |server: usize, query: &str| format!("http://{}/api/data{query}", addresses[server % 4]);

    let writing = join_all((0..addresses.len() * WRITERS).map(|writer| {
        let (stack, url) = (stack.clone(), url(writer, ""));
        tokio::spawn(async move {
            let mut written = Vec::new();
            for number in 0..EACH {
                let line = format!("10.0.0.{writer} GET /{number} 200");
                let request = stack.http.post(&url).body(json!({"log": line}).to_string());
                written.push(added(&ask(request).await.unwrap()));
            }
            written
        })
    }));
    let reading = async {
        let (mut met, mut server) = (Vec::<Value>::new(), 0);
        eventually("all records are met", async || {
            let query = met.last().map(|last| format!("?id={}", id_of(last))).unwrap_or_default();
            server += 1;
            let answer = ask(stack.http.get(url(server, &query))).await.unwrap();
            assert_eq!(answer.status, 200, "{}", answer.text());
            met.extend(answer.json().as_array().unwrap().iter().cloned());
            if met.len() >= 4 * WRITERS * EACH { Ok(()) } else { Err(met.len()) }
        })
        .await;
        met
    };
    let (written, met) = futures::join!(writing, reading);

    let ids: HashSet<&str> = met.iter().map(id_of).collect();
    assert_eq!((met.len(), ids.len()), (4 * WRITERS * EACH, 4 * WRITERS * EACH));
    let mut by_writer = BTreeMap::<&str, Vec<&Value>>::new();
    for record in &met {
        by_writer.entry(record["log"]["ip"].as_str().unwrap()).or_default().push(record);
    }
    for written in written {
        let written = written.unwrap();
        let met = &by_writer[written[0]["log"]["ip"].as_str().unwrap()];
        assert_eq!(met, &written.iter().collect::<Vec<_>>());
    }
    for server in 0..4 {
        let again = ask(stack.http.get(url(server, ""))).await.unwrap().json();
        assert_eq!(again.as_array().unwrap(), &met, "another order");
    }
    assert!(met.is_sorted_by_key(|record| record["created"].as_str().unwrap().to_owned()));
}
