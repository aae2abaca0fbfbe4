//! Tables: each row to the third party and its answer kept, never faster than it allows.

use std::collections::{BTreeMap, BTreeSet};

use nix::sys::signal::Signal;
use reqwest::Method;
use reqwest::multipart::{Form, Part};
use rstest_reuse::apply;
use serde_json::{Value, json};
use test_kit::{eventually, servers};

use crate::kit::client::{Answer, ask};
use crate::kit::people::as_bearer;
use crate::kit::proxy::Proxy;
use crate::kit::stack::{Running, Setup, Stack, both_stacks};
use crate::kit::stand_ins::StandIns;

const HEADER: &str = "userId,title,body\n";

impl Setup {
    /// A stack beside a third party.
    pub async fn beside_third_party(self, limits: &[(&str, &str)]) -> (Running, StandIns) {
        let third_party = StandIns::start_as(&["providers", "third-party"], &[]).await;
        (self.start(&settings(&third_party, limits)).await, third_party)
    }
}

/// Returns the settings of a stack that sends to this third party.
pub fn settings<'a>(third_party: &'a StandIns, settings: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&third_party.urls()[..], &[("LEASE_SECONDS", "2")], settings].concat()
}

/// A table of so many rows.
pub fn table(rows: usize) -> String {
    let rows = (1..=rows).map(|row| format!("{row},title {row},\"body, {row}\"\n"));
    format!("{HEADER}{}", rows.collect::<String>())
}

impl Stack {
    fn table_request(&self, file: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
        let file = Part::stream(file).file_name("posts.csv").mime_str("text/csv").unwrap();
        self.request(Method::POST, "/api/v1/tables").multipart(Form::new().part("file", file))
    }

    pub async fn hand_in(&self, file: impl Into<reqwest::Body>) -> Answer {
        ask(self.table_request(file)).await.unwrap()
    }

    /// Hands a table in; the ticket.
    async fn table(&self, file: impl Into<reqwest::Body>) -> String {
        let answer = self.hand_in(file).await;
        let id = accepted_table(&answer);
        assert_eq!(answer.header("location"), format!("/api/v1/tables/{id}"));
        id
    }

    async fn progress(&self, id: &str) -> Value {
        self.get(&format!("/api/v1/tables/{id}")).await.json()["progress"].clone()
    }

    /// Waits until so many rows have their answer.
    async fn until_sent(&self, id: &str, rows: i64) {
        eventually("rows with an answer", async || {
            let progress = self.progress(id).await;
            if progress["sent"].as_i64().unwrap() >= rows { Ok(()) } else { Err(progress) }
        })
        .await;
    }

    async fn rows(&self, id: &str, query: &str) -> Vec<Value> {
        let answer = self.get(&format!("/api/v1/tables/{id}/rows{query}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json().as_array().unwrap().clone()
    }
}

fn accepted_table(answer: &Answer) -> String {
    assert_eq!(answer.status, 202, "{}", answer.text());
    let task = answer.json();
    assert_eq!(task["kind"], "table");
    task["id"].as_str().unwrap().to_owned()
}

/// The keys of what has come, and how often each has.
async fn keys(third_party: &StandIns) -> BTreeMap<String, usize> {
    let mut keys = BTreeMap::new();
    for arrival in third_party.arrivals("third-party").await {
        *keys.entry(arrival["key"].as_str().unwrap().to_owned()).or_insert(0) += 1;
    }
    keys
}

/// Checks by the third party's own arrivals that no second has more requests than it allows.
async fn assert_rate(third_party: &StandIns, rate: usize) {
    let arrivals = third_party.arrivals("third-party").await;
    let at: Vec<u64> = arrivals.iter().map(|arrival| arrival["at"].as_u64().unwrap()).collect();
    let tightest = at.windows(rate + 1).map(|window| window[rate] - window[0]).min();
    assert!(tightest.is_none_or(|micros| micros >= 1_000_000), "{} in {tightest:?} µs", rate + 1);
}

#[apply(both_stacks)]
async fn each_row_is_sent_and_its_answer_kept(setup: Setup) {
    let (stack, third_party) = setup.beside_third_party(&[("RATE", "5")]).await;
    let id = stack.table(table(12)).await;

    let task = stack.until(&id, "succeeded").await;

    assert_eq!(task["result"], json!({"rows": 12, "failed": 0}));
    assert_eq!(task["input"]["filename"], "posts.csv");
    assert_eq!((&task["input"]["rows"], &task["input"]["content_type"]), (&json!(12), &json!("text/csv")));
    let all: BTreeMap<String, usize> = (1..=12).map(|row| (format!("{id}:{row}"), 1)).collect();
    assert_eq!(keys(&third_party).await, all);
    assert_rate(&third_party, 5).await;
    assert_eq!(stack.progress(&id).await, json!({"rows": 12, "sent": 12, "failed": 0}));
    let rows = stack.rows(&id, "").await;
    for (number, row) in (1..).zip(&rows) {
        let input =
            json!({"userId": number, "title": format!("title {number}"), "body": format!("body, {number}")});
        assert_eq!((&row["row"], &row["input"], &row["status"]), (&json!(number), &input, &json!(201)));
        assert_eq!((&row["reply"]["id"], &row["reply"]["title"]), (&json!(101), &input["title"]));
    }
    assert_eq!(rows.len(), 12);
    let lines = stack.log_lines(&id).await;
    assert!(lines.len() == 1 && lines[0].ends_with(" table succeeded rows=12 failed=0"), "{lines:?}");
    stack.until_no_blobs().await;
    stack.get(&format!("/api/v1/md5/{id}")).await.problem(404, "task-not-found");
}

#[apply(both_stacks)]
async fn rows_come_in_three_forms(setup: Setup) {
    let (stack, third_party) = setup.beside_third_party(&[("RATE", "50")]).await;
    let file = format!(
        "{HEADER}1,=cmd|' /C calc'!A0,+1\n-2,@x,\"a \"\"b\"\", c;=1\"\n3,\ttab,-1\n4,\u{ff1d}1+1,\"\n|@x\"\n"
    );
    let id = stack.table(file).await;
    stack.until(&id, "succeeded").await;
    let path = format!("/api/v1/tables/{id}/rows");

    let rows = stack.rows(&id, "").await;
    let lines =
        ask(stack.request(Method::GET, &path).header("Accept", "application/x-ndjson")).await.unwrap();
    let csv = ask(stack.request(Method::GET, &path).header("Accept", "text/csv")).await.unwrap();

    assert_eq!(rows[0]["input"]["title"], "=cmd|' /C calc'!A0");
    let of_lines: Vec<Value> = lines.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.header("content-type"), of_lines), ("application/x-ndjson", rows.clone()));
    assert!(csv.header("content-type").starts_with("text/csv"), "{}", csv.header("content-type"));
    let reply = rows[0]["reply"].to_string().replace('"', "\"\"");
    let begin = format!(
        "{}\r\n\"1\",\"1\",\"'=cmd|' /C calc'!A0\",\"'+1\",\"201\",\"{reply}\"\r\n",
        r#""row","userId","title","body","status","reply""#,
    );
    assert!(csv.text().starts_with(&begin), "{}", csv.text());
    for cells in [
        "\"2\",\"'-2\",\"'@x\",\"a \"\"b\"\", c;'=1\",\"201\",",
        "\"3\",\"3\",\"'\ttab\",\"'-1\",\"201\",",
        "\"4\",\"4\",\"'\u{ff1d}1+1\",\"'\n|'@x\",\"201\",",
    ] {
        assert!(csv.text().contains(&format!("\r\n{cells}")), "{}", csv.text());
    }
    for (query, form) in [("?format=csv", csv.text()), ("?format=ndjson", lines.text())] {
        assert_eq!(stack.get(&format!("{path}{query}")).await.text(), form);
    }
    assert_eq!(stack.rows(&id, "?status=201&format=json").await, rows);
    assert_eq!(stack.rows(&id, "?status=404").await, [] as [Value; 0]);
    assert_eq!(stack.rows(&id, "?status=failed").await, [] as [Value; 0]);
    for query in ["?status=x", "?format=xml"] {
        stack.get(&format!("{path}{query}")).await.problem(400, "invalid-parameter");
    }
    stack.get("/api/v1/tables/x/rows").await.problem(400, "invalid-id");
    let unknown = "/api/v1/tables/0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d/rows";
    stack.get(unknown).await.problem(404, "task-not-found");
    assert_eq!(third_party.stats("third-party").await["accepted"], 4);
}

#[apply(both_stacks)]
async fn what_is_no_table_is_refused_and_nothing_of_it_sent(setup: Setup) {
    let (stack, third_party) = setup.beside_third_party(&[]).await;
    for (file, row, column) in [
        (String::new(), 0, json!("userId")),
        ("userId;title;body\n1;a;b\n".to_owned(), 0, json!("userId")),
        ("userId,title,body,more\n".to_owned(), 0, json!(4)),
        ("1,a,b\n".to_owned(), 0, json!("userId")),
        (format!("{HEADER}1,a\n"), 1, json!("body")),
        (format!("{HEADER}1,a,b\n2,a,b,c\n"), 2, json!(4)),
        (format!("{HEADER}x,a,b\n"), 1, json!("userId")),
        (format!("{HEADER}1,a\rb,c\n"), 1, json!("title")),
        (format!("{HEADER}1,a,\"{}", "b\n".repeat(2_000_000)), 1, json!("body")),
        (format!("{HEADER}1,{},b\n", "a".repeat(10_000_000)), 1, json!("title")),
        (format!("{HEADER}{}\n", ",".repeat(100_000)), 1, json!(4)),
    ] {
        let answer = stack.hand_in(file).await;
        let problem = answer.problem(422, "invalid-table");
        assert_eq!(problem["total"], 1, "{problem}");
        let error = &problem["errors"][0];
        assert_eq!((&error["row"], &error["column"]), (&json!(row), &column), "{problem}");
    }
    let many = stack.hand_in(format!("{HEADER}{}", "x,a,b\n".repeat(1000))).await;
    let many = many.problem(422, "invalid-table");
    assert_eq!((many["errors"].as_array().unwrap().len(), &many["total"]), (100, &json!(1000)));
    for file in [
        b"\xff\xfeu\0s\0e\0r\0".to_vec(),
        b"\x89PNG\r\n\x1a\n".to_vec(),
        [HEADER.as_bytes(), b"1,caf\xe9,b\n"].concat(),
        [HEADER.as_bytes(), &b"1,a,b\n".repeat(10_000), b"1,a\0,b\n"].concat(),
    ] {
        stack.hand_in(file).await.problem(415, "not-a-table");
    }
    let no_file = stack.request(Method::POST, "/api/v1/tables").multipart(Form::new().text("other", "a"));
    ask(no_file).await.unwrap().problem(400, "missing-file");
    let no_form = stack.request(Method::POST, "/api/v1/tables").body(table(1));
    ask(no_form).await.unwrap().problem(415, "unsupported-media-type");

    assert_eq!(stack.tasks("").await.len(), 0);
    assert_eq!(stack.blobs().len(), 0);
    assert_eq!(third_party.stats("third-party").await["accepted"], 0);
}

#[apply(both_stacks)]
async fn a_header_alone_is_a_table_without_rows(setup: Setup) {
    let (stack, third_party) = setup.beside_third_party(&[]).await;
    for file in ["userId,title,body", "\u{feff}userId,title,body\r\n"] {
        let id = stack.table(file).await;

        let task = stack.until(&id, "succeeded").await;

        assert_eq!(task["result"], json!({"rows": 0, "failed": 0}));
        assert_eq!(stack.rows(&id, "").await, [] as [Value; 0]);
    }
    assert_eq!(third_party.stats("third-party").await["accepted"], 0);
}

#[apply(both_stacks)]
async fn the_other_address_leads_to_tables(setup: Setup) {
    let (stack, third_party) = setup.beside_third_party(&[]).await;
    let client = crate::kit::client::http().build().unwrap();

    let page = ask(client.get(stack.url("/api/v1/file"))).await.unwrap();
    let post = ask(client.post(stack.url("/api/v1/file")).body(table(1))).await.unwrap();

    assert_eq!((page.status, page.header("location")), (303, "/tables"));
    assert_eq!((post.status, post.header("location")), (307, "/api/v1/tables"));
    assert_eq!(third_party.stats("third-party").await["accepted"], 0);
}

#[apply(both_stacks)]
async fn what_may_pass_is_tried_again(setup: Setup) {
    let (stack, third_party) = setup.beside_third_party(&[("RATE", "50")]).await;
    third_party.control("third-party", &json!({"failure_rate": 0.3, "drop_rate": 0.2})).await;
    let id = stack.table(table(20)).await;
    stack.until_sent(&id, 5).await;
    third_party.control("third-party", &json!({"failure_rate": 0, "drop_rate": 0})).await;

    let task = stack.until(&id, "succeeded").await;

    let answered = stack.rows(&id, "?status=201").await.len() as u64;
    assert_eq!(answered + task["result"]["failed"].as_u64().unwrap(), 20);
    let all: BTreeSet<String> = (1..=20).map(|row| format!("{id}:{row}")).collect();
    assert_eq!(keys(&third_party).await.into_keys().collect::<BTreeSet<_>>(), all);
    assert_rate(&third_party, 50).await;
}

#[tokio::test]
async fn a_third_party_that_is_not_there_yet_is_waited_for() {
    // No process listens there until the stand-in does.
    let place = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let url = format!("http://{place}");
    let stack = Running::of(Stack::embedded(&[("THIRD_PARTY_URL", &url)])).await;
    let id = stack.table(table(2)).await;
    stack.until(&id, "running").await;
    let rows = stack.rows(&id, "").await;

    let _third_party =
        StandIns::start_as(&["providers", "third-party"], &[("THIRD_PARTY_LISTEN", &place)]).await;

    // Rows that were not sent yet are listed all the same.
    assert_eq!(rows[1]["input"], json!({"userId": 2, "title": "title 2", "body": "body, 2"}));
    assert_eq!(
        (&rows[1]["row"], &rows[1]["status"], &rows[1]["reply"]),
        (&json!(2), &json!(null), &json!(null))
    );
    assert_eq!(stack.until(&id, "succeeded").await["result"], json!({"rows": 2, "failed": 0}));
}

#[apply(both_stacks)]
async fn a_table_can_be_cancelled(setup: Setup) {
    let (stack, third_party) = setup.beside_third_party(&[("RATE", "2")]).await;
    let id = stack.table(table(1000)).await;
    stack.until_sent(&id, 2).await;

    assert_eq!(stack.ask(Method::DELETE, &format!("/api/v1/tasks/{id}")).await.status, 200);

    stack.until(&id, "cancelled").await;
    let sent = stack.progress(&id).await["sent"].as_u64().unwrap();
    let rows = stack.rows(&id, "").await;
    assert_eq!(rows.len(), 1000);
    assert!(rows.iter().filter(|row| row["status"] == 201).count() as u64 >= sent);
    assert!(third_party.stats("third-party").await["accepted"].as_u64().unwrap() < 100);
    stack.until_no_blobs().await;
}

#[apply(both_stacks)]
async fn a_table_goes_on_where_it_was(setup: Setup) {
    let (stack, third_party) = setup.beside_third_party(&[("RATE", "20"), ("MAX_ATTEMPTS", "1")]).await;
    let id = stack.table(table(60)).await;
    stack.until_sent(&id, 10).await;

    // A clean end waits for the rows under way, and costs no try.
    stack.signal(Signal::SIGTERM);
    assert!(stack.exit().await.success());
    stack.start().await;

    assert_eq!(stack.until(&id, "succeeded").await["result"], json!({"rows": 60, "failed": 0}));
    let all: BTreeMap<String, usize> = (1..=60).map(|row| (format!("{id}:{row}"), 1)).collect();
    assert_eq!(keys(&third_party).await, all);
    assert_rate(&third_party, 20).await;
}

#[apply(both_stacks)]
async fn workers_that_crash_send_no_answered_row_again(setup: Setup) {
    let (stack, third_party) = setup.beside_third_party(&[("RATE", "20"), ("MAX_ATTEMPTS", "100")]).await;
    third_party.control("third-party", &json!({"latency": 0.05, "jitter": 0.2})).await;
    let tables = [stack.table(table(40)).await, stack.table(table(40)).await];
    for rows in [5, 15] {
        stack.until_sent(&tables[0], rows).await;
        stack.kill();
        stack.start().await;
    }

    for id in &tables {
        assert_eq!(stack.until(id, "succeeded").await["result"], json!({"rows": 40, "failed": 0}));
    }

    let all = tables.iter().flat_map(|id| (1..=40).map(move |row| format!("{id}:{row}")));
    let keys = keys(&third_party).await;
    assert_eq!(keys.keys().cloned().collect::<BTreeSet<_>>(), all.collect());
    // Those under way at a crash, or answered and not kept yet.
    let repeated: usize = keys.values().map(|times| times - 1).sum();
    assert!(repeated <= 2 * 2 * 21, "{repeated} sent again");
    assert_rate(&third_party, 20).await;
    stack.each_task_has_one_line(&[]).await;
}

#[tokio::test]
async fn workers_together_keep_the_rate_and_tables_share_it() {
    let third_party = StandIns::start_as(&["providers", "third-party"], &[]).await;
    third_party.control("third-party", &json!({"latency": 0.02, "jitter": 0.1})).await;
    let settings = settings(&third_party, &[("RATE", "50"), ("MAX_ATTEMPTS", "100")]);
    let stack = Running::of(Stack::distributed(&settings)).await;
    let others = [stack.extra(&["worker"], &[]), stack.extra(&["worker"], &[])];
    let tables = [stack.table(table(300)).await, stack.table(table(300)).await];
    for id in &tables {
        stack.until_sent(id, 50).await;
    }
    // One of three, perhaps with a table in its hands.
    stack.kill_process(1);

    for id in &tables {
        assert_eq!(stack.until(id, "succeeded").await["result"], json!({"rows": 300, "failed": 0}));
    }

    let all = tables.iter().flat_map(|id| (1..=300).map(move |row| format!("{id}:{row}")));
    let keys = keys(&third_party).await;
    assert_eq!(keys.keys().cloned().collect::<BTreeSet<_>>(), all.collect());
    assert!(keys.values().all(|times| *times <= 2), "{keys:?}");
    assert_rate(&third_party, 50).await;
    drop(others);
}

#[tokio::test]
async fn no_row_is_sent_uncounted_while_redis_is_away() {
    let redis = servers().redis();
    let proxy = Proxy::to(&redis).await;
    let third_party = StandIns::start_as(&["providers", "third-party"], &[]).await;
    let url = proxy.url(&redis);
    let settings = [&settings(&third_party, &[])[..], &[("REDIS_URL", url.as_str())]].concat();
    let stack = Running::of(Stack::distributed(&settings)).await;
    proxy.pull_out();
    let id = stack.table(table(3)).await;
    stack.until(&id, "running").await;
    // Long enough to be sent, if it were to be.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(third_party.stats("third-party").await["accepted"], 0);

    proxy.put_in();
    assert_eq!(stack.until(&id, "succeeded").await["result"], json!({"rows": 3, "failed": 0}));
}

#[apply(both_stacks)]
async fn a_table_that_is_sent_again_is_the_same(setup: Setup) {
    let (stack, third_party) = setup.beside_third_party(&[("RATE", "50")]).await;
    stack.register("ada").await;
    let token = stack.log_in("ada").await;
    let send = async |file: String| {
        let request = as_bearer(stack.table_request(file), &token).header("Idempotency-Key", "k");
        ask(request).await.unwrap()
    };

    let id = accepted_table(&send(table(2)).await);
    let again = send(table(2)).await;

    assert_eq!((accepted_table(&again), again.header("idempotency-replayed")), (id.clone(), "true"));
    send(table(3)).await.problem(422, "idempotency-mismatch");
    stack.until(&id, "succeeded").await;
    assert_eq!(third_party.stats("third-party").await["accepted"], 2);
}

#[apply(both_stacks)]
async fn a_damaged_table_is_not_sent(setup: Setup) {
    let (stack, third_party) = setup.beside_third_party(&[("WORKERS", "1")]).await;
    // Sixteen at a time are worked on; this one waits until the others are cancelled.
    third_party.control("third-party", &json!({"latency": 5})).await;
    let mut others = Vec::new();
    for _ in 0..16 {
        others.push(stack.table(table(500)).await);
    }
    for id in &others {
        stack.until(id, "running").await;
    }
    let id = stack.table(table(5)).await;
    let blob = stack.blob(&id).expect("its file");
    let bytes = std::fs::read_to_string(&blob).unwrap();
    std::fs::write(&blob, bytes.replace("title 5", "title 6")).unwrap();

    for id in &others {
        assert_eq!(stack.ask(Method::DELETE, &format!("/api/v1/tasks/{id}")).await.status, 200);
    }

    assert_eq!(stack.until(&id, "failed").await["error"]["code"], "blob-corrupt");
    assert!(keys(&third_party).await.keys().all(|key| !key.starts_with(&id)));
}

#[apply(both_stacks)]
async fn a_large_table_is_taken_in_in_bounded_memory(setup: Setup) {
    let stack = setup.start(&[("THIRD_PARTY_URL", "http://127.0.0.1:9")]).await;
    const CHUNKS: usize = 100;
    const ROWS: usize = 2_000;
    let idle = stack.memory_kib("VmRSS");
    // 20 MB.
    let chunk = format!("1,a title,{}\n", "a body ".repeat(13)).repeat(ROWS);
    let chunks = std::iter::once(HEADER.to_owned()).chain(std::iter::repeat_n(chunk, CHUNKS));
    let stream = futures::stream::iter(chunks.map(Ok::<_, std::io::Error>));

    let id = stack.table(reqwest::Body::wrap_stream(stream)).await;

    assert_eq!(stack.task(&id).await["input"]["rows"], CHUNKS * ROWS);
    let sent = stack.get(&format!("/api/v1/tables/{id}/rows?format=ndjson")).await;
    assert_eq!(sent.text().lines().count(), CHUNKS * ROWS);
    let peak = stack.memory_kib("VmHWM");
    assert!(peak < idle + (100 << 10), "{idle} KiB when idle, up to {peak} KiB then");
}
