//! Outcomes: every reader gets each of them exactly once, in one order, however it reads.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::StreamExt;
use futures::future::join_all;
use futures::stream::BoxStream;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use reqwest::Method;
use rstest_reuse::apply;
use serde_json::{Value, json};
use test_kit::{DEADLINE, eventually};
use tokio::time::timeout;

use crate::kit::client::{accepted, ask};
use crate::kit::outcomes::line;
use crate::kit::people::{SECRET, as_bearer};
use crate::kit::stack::{Setup, Stack, both_stacks, distributed};

const OUTCOMES: &str = "/api/v1/outcomes";
/// Readers of one process, each with a connection of its own.
const READERS: usize = 2000;
const BOUND_KIB: u64 = 200 << 10;

/// A stream of outcomes that a client reads.
struct Events {
    chunks: BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    unread: String,
}

impl Events {
    /// Opens the stream at `HOST:PORT`, with a query, after the id of an event if one is given.
    async fn open(stack: &Stack, address: &str, query: &str, last: &str) -> Self {
        let response = loop {
            let request = stack.http.get(format!("http://{address}{OUTCOMES}/events{query}"));
            let request = if last.is_empty() { request } else { request.header("Last-Event-ID", last) };
            let response = timeout(DEADLINE, request.send()).await.expect("an answer").unwrap();
            // A slow machine may not get to read thousands of heads in time.
            if response.status() != 408 {
                break response;
            }
        };
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { chunks: response.bytes_stream().boxed(), unread: String::new() }
    }

    /// The next outcome; `None` when the server has ended the stream.
    async fn next(&mut self) -> Option<Value> {
        loop {
            while let Some((event, rest)) = self.unread.split_once("\n\n") {
                let field = |name| event.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                let (id, data) = (field("id: "), field("data: "));
                self.unread = rest.to_owned();
                // A comment has no data.
                if let Some(data) = data {
                    let outcome: Value = serde_json::from_str(&data).unwrap();
                    assert_eq!(outcome["cursor"].as_str(), id.as_deref());
                    return Some(outcome);
                }
            }
            let chunk = timeout(DEADLINE, self.chunks.next()).await.expect("an event, or an end")?;
            self.unread.push_str(std::str::from_utf8(&chunk.ok()?).unwrap());
        }
    }

    async fn take(&mut self, count: usize) -> Vec<Value> {
        let mut outcomes = Vec::new();
        while outcomes.len() < count {
            outcomes.push(self.next().await.expect("an outcome"));
        }
        outcomes
    }
}

/// Asks for outcomes; returns them and the next cursor.
async fn page(stack: &Stack, address: &str, query: &str) -> (Vec<Value>, String) {
    let answer = ask(stack.http.get(format!("http://{address}{OUTCOMES}{query}"))).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let page = answer.json();
    (page["outcomes"].as_array().unwrap().clone(), page["next"].as_str().unwrap().to_owned())
}

impl Stack {
    async fn outcomes(&self, query: &str) -> (Vec<Value>, String) {
        page(self, &self.address(), query).await
    }

    /// Hands tasks in, one after the end of another.
    async fn ended(&self, count: usize) -> Vec<String> {
        let mut ids = Vec::new();
        for _ in 0..count {
            let id = self.put("abc").await;
            self.until(&id, "succeeded").await;
            ids.push(id);
        }
        ids
    }
}

fn ids(outcomes: &[Value]) -> Vec<&str> {
    outcomes.iter().map(|outcome| outcome["id"].as_str().unwrap()).collect()
}

#[apply(both_stacks)]
async fn a_client_that_goes_on_with_next_gets_each_outcome_once(setup: Setup) {
    let stack = setup.start(&[]).await;
    let (none, begin) = stack.outcomes("").await;
    assert_eq!(none, [] as [Value; 0]);
    let tasks = stack.ended(5).await;

    let (mut read, mut after) = (Vec::new(), begin);
    loop {
        let (outcomes, next) = stack.outcomes(&format!("?limit=2&after={after}")).await;
        assert!(outcomes.len() <= 2);
        if outcomes.is_empty() {
            assert_eq!(next, after);
            break;
        }
        assert_eq!(outcomes.last().unwrap()["cursor"], next.as_str());
        (read, after) = ([read, outcomes].concat(), next);
    }

    assert_eq!(ids(&read), tasks);
    for outcome in &read {
        let task = stack.task(outcome["id"].as_str().unwrap()).await;
        let word = |field: &str| outcome[field].as_str().unwrap();
        let told = [word("finished"), word("id"), word("kind"), word("status"), word("detail")].join(" ");
        assert_eq!(told, line(&task));
    }
    // Without a cursor it begins with the oldest, and the order is the same for each.
    assert_eq!(stack.outcomes("?limit=1000").await, (read.clone(), after.clone()));
    assert_eq!(stack.outcomes("?limit=3").await.0, read[..3]);
    let (now, end) = stack.outcomes("?after=now").await;
    assert_eq!(now, [] as [Value; 0]);

    let later = stack.ended(1).await;
    assert_eq!(ids(&stack.outcomes(&format!("?after={after}")).await.0), later);
    assert_eq!(ids(&stack.outcomes(&format!("?after={end}")).await.0), later);
}

#[apply(both_stacks)]
async fn a_client_that_waits_is_told_of_an_end_at_once(setup: Setup) {
    let stack = setup.start(&[]).await;
    stack.ended(1).await;
    let (_, now) = stack.outcomes("?after=now").await;
    let (none, next) = stack.outcomes(&format!("?after={now}&wait=0.2")).await;
    assert_eq!(none, [] as [Value; 0]);

    let wait = |query: String| {
        let stack = stack.clone();
        tokio::spawn(async move { stack.outcomes(&query).await.0 })
    };
    let waits = [
        wait(format!("?after={now}&wait=60")),
        wait(format!("?after={next}&wait=60&limit=1000")),
        wait("?after=now&wait=60".to_owned()),
    ];
    eventually("three that wait", async || {
        let metrics = stack.get("/metrics").await.text().to_owned();
        if metrics.contains("coatcheck_waiters 3\n") { Ok(()) } else { Err(metrics) }
    })
    .await;
    let id = stack.put("abc").await;

    for wait in waits {
        assert_eq!(ids(&wait.await.unwrap()), [&*id]);
    }
}

#[apply(both_stacks)]
async fn events_tell_each_outcome_and_go_on_after_the_last_that_was_seen(setup: Setup) {
    let stack = setup.start(&[]).await;
    let first = stack.ended(2).await;
    let address = stack.address();
    let mut all = Events::open(&stack, &address, "", "").await;
    let mut new = Events::open(&stack, &address, "?after=now", "").await;
    assert_eq!(ids(&all.take(2).await), first);

    let later = stack.ended(3).await;

    let told = new.take(3).await;
    assert_eq!(ids(&told), later);
    assert_eq!(all.take(3).await, told);
    let seen = told[0]["cursor"].as_str().unwrap();
    // The last event's id takes precedence over the address that the stream was opened at.
    let mut again = Events::open(&stack, &address, "?after=now", seen).await;
    assert_eq!(again.take(2).await, told[1..]);
    let mut from = Events::open(&stack, &address, &format!("?after={seen}"), "").await;
    assert_eq!(from.take(2).await, told[1..]);

    stack.signal(Signal::SIGTERM);
    for mut events in [all, new, again, from] {
        assert_eq!(events.next().await, None);
    }
    stack.exit().await;
}

#[apply(both_stacks)]
async fn what_is_no_cursor_is_refused(setup: Setup) {
    let stack = setup.start(&[]).await;
    for query in
        ["after=abc", "after=", "after=1", "after=01-1", "limit=0", "limit=1001", "wait=61", "kind=md5"]
    {
        let problem = stack.get(&format!("{OUTCOMES}?{query}")).await.problem(400, "invalid-parameter");
        let name = query.split('=').next().unwrap();
        assert!(problem["detail"].as_str().unwrap().contains(name), "{problem}");
    }
    stack.get(&format!("{OUTCOMES}/events?after=abc")).await.problem(400, "invalid-parameter");
    let request = stack.http.get(stack.url(&format!("{OUTCOMES}/events"))).header("Last-Event-ID", "abc");
    ask(request).await.unwrap().problem(400, "invalid-parameter");
    stack.ask(Method::POST, OUTCOMES).await.problem(405, "method-not-allowed");
    let head = stack.ask(Method::HEAD, &format!("{OUTCOMES}/events")).await;
    assert_eq!((head.status, head.header("content-type")), (200, "text/event-stream"));
}

#[apply(both_stacks)]
async fn a_cursor_whose_successors_were_deleted_is_told_where_to_go_on(setup: Setup) {
    let stack = setup.start(&[]).await;
    let (_, begin) = stack.outcomes("").await;
    let tasks = stack.ended(4).await;
    let (all, end) = stack.outcomes("").await;
    stack.kill();
    stack.sql("DELETE FROM feed WHERE no <= 2");
    stack.sql("UPDATE retention SET no = 2, within = 1 WHERE subject = 'succeeded'");
    stack.start().await;

    for gone in [&begin, all[0]["cursor"].as_str().unwrap()] {
        let problem = stack.get(&format!("{OUTCOMES}?after={gone}")).await.problem(410, "outcome-expired");
        let oldest = problem["oldest"].as_str().unwrap();
        assert_eq!(ids(&stack.outcomes(&format!("?after={oldest}")).await.0), tasks[2..]);
        let events = stack.http.get(stack.url(&format!("{OUTCOMES}/events"))).header("Last-Event-ID", gone);
        ask(events).await.unwrap().problem(410, "outcome-expired");
    }
    assert_eq!(ids(&stack.outcomes("").await.0), tasks[2..]);
    assert_eq!(stack.outcomes(&format!("?after={end}")).await, (vec![], end.clone()));

    // Also when nothing is left.
    stack.kill();
    stack.sql("DELETE FROM feed");
    stack.sql("UPDATE retention SET no = 4, within = 1 WHERE subject = 'succeeded'");
    stack.start().await;
    let last_but_one = all[2]["cursor"].as_str().unwrap();
    let problem =
        stack.get(&format!("{OUTCOMES}?after={last_but_one}")).await.problem(410, "outcome-expired");
    assert_eq!(stack.outcomes(&format!("?after={end}")).await, (vec![], end.clone()));
    let later = stack.ended(1).await;
    let oldest = problem["oldest"].as_str().unwrap();
    assert_eq!(ids(&stack.outcomes(&format!("?after={oldest}")).await.0), later);
}

#[apply(both_stacks)]
async fn an_owner_reads_only_their_own_outcomes_and_admins_all(setup: Setup) {
    let stack = setup.start(&[("AUTH", "required"), ("JWT_SECRET", SECRET)]).await;
    stack.register("ada").await;
    stack.register("bob").await;
    let (ada, bob, root) = (stack.log_in("ada").await, stack.log_in("bob").await, stack.admin("root").await);
    let read = async |token: &str, query: &str| {
        let answer = stack.ask_as(token, Method::GET, &format!("{OUTCOMES}{query}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    };
    let waiting = {
        let request = stack.request(Method::GET, &format!("{OUTCOMES}?wait=60"));
        tokio::spawn(ask(as_bearer(request, &bob)))
    };
    let mut tasks = Vec::new();
    for token in [&ada, &ada, &bob, &ada] {
        let id = accepted(&ask(as_bearer(stack.put_request("a", "abc"), token)).await.unwrap());
        eventually("the task's end", async || {
            let task = stack.ask_as(token, Method::GET, &format!("/api/v1/tasks/{id}?wait=1")).await.json();
            if task["finished"].is_null() { Err(task) } else { Ok(()) }
        })
        .await;
        tasks.push(id);
    }

    let told = |page: &Value| ids(page["outcomes"].as_array().unwrap()).join(" ");
    assert_eq!(told(&read(&root, "").await), tasks.join(" "));
    let hers = read(&ada, "?limit=2").await;
    assert_eq!(told(&hers), tasks[..2].join(" "));
    let rest = read(&ada, &format!("?limit=2&after={}", hers["next"].as_str().unwrap())).await;
    assert_eq!(told(&rest), tasks[3]);
    assert_eq!(told(&read(&bob, "").await), tasks[2]);
    assert_eq!(told(&waiting.await.unwrap().unwrap().json()), tasks[2]);
    stack.get(OUTCOMES).await.problem(401, "unauthenticated");
}

/// Reads by long polls until it has so many.
async fn poll(stack: Arc<Stack>, address: String, count: usize) -> Vec<Value> {
    let (mut read, mut after) = (Vec::new(), String::new());
    while read.len() < count {
        let (outcomes, next) = page(&stack, &address, &format!("?limit=7&wait=30{after}")).await;
        read.extend(outcomes);
        after = format!("&after={next}");
    }
    read
}

#[apply(distributed)]
async fn readers_at_several_apis_get_each_outcome_once_and_in_one_order(setup: Setup) {
    const WRITERS: usize = 8;
    const TASKS: usize = 15;
    let stack = setup.start(&[]).await;
    let mut second_api = stack.extra(&["api"], &[]);
    let (here, there) = (stack.address(), second_api.address().await);
    let all = WRITERS * TASKS;
    let (mut here_events, mut there_events) =
        (Events::open(&stack, &here, "", "").await, Events::open(&stack, &there, "", "").await);
    let readers = [
        tokio::spawn(async move { here_events.take(all).await }),
        tokio::spawn(async move { there_events.take(all).await }),
        tokio::spawn(poll(stack.clone(), here.clone(), all)),
        tokio::spawn(poll(stack.clone(), there.clone(), all)),
    ];

    let writers = (0..WRITERS).map(|_| async {
        let mut ids = Vec::new();
        for task in 0..TASKS {
            let id = stack.put("abc").await;
            if task % 3 == 0 {
                stack.ask(Method::DELETE, &format!("/api/v1/tasks/{id}")).await;
            }
            ids.push(id);
        }
        ids
    });
    let tasks: BTreeSet<String> = join_all(writers).await.concat().into_iter().collect();
    let read: Vec<Vec<Value>> = join_all(readers).await.into_iter().map(Result::unwrap).collect();

    assert_eq!(tasks.len(), all);
    assert_eq!(ids(&read[0]).into_iter().map(str::to_owned).collect::<BTreeSet<_>>(), tasks);
    assert!(read.iter().all(|other| *other == read[0]), "{read:#?}");
    assert_eq!(page(&stack, &there, "?limit=1000").await.0, read[0]);
}

#[apply(both_stacks)]
async fn two_thousand_readers_are_all_told_an_outcome(setup: Setup) {
    let stack = setup.start(&[]).await;
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let (_, now) = stack.outcomes("?after=now").await;
    let readers: Vec<_> = (0..READERS)
        .map(|reader| {
            let (stack, address, now) = (stack.clone(), stack.address(), now.clone());
            tokio::spawn(async move {
                if reader % 2 == 0 {
                    return Events::open(&stack, &address, &format!("?after={now}"), "").await.take(1).await;
                }
                loop {
                    let path = format!("{OUTCOMES}?wait=60&after={now}");
                    let answer = ask(stack.http.get(stack.url(&path))).await.unwrap();
                    // As above; and it may need longer than one wait.
                    match answer.status {
                        408 => {}
                        200 if answer.json()["outcomes"] == json!([]) => {}
                        _ => return answer.json()["outcomes"].as_array().unwrap().clone(),
                    }
                }
            })
        })
        .collect();
    let waiting = format!("coatcheck_waiters {READERS}\n");
    eventually("so many readers that wait", async || {
        // The server ends a kept connection that was idle for 5 s, perhaps just as this busy client uses it again.
        let answer = ask(stack.http.get(stack.url("/metrics"))).await;
        if answer.is_ok_and(|answer| answer.text().contains(&waiting)) { Ok(()) } else { Err("not yet") }
    })
    .await;

    let id = stack.put("abc").await;

    for reader in readers {
        assert_eq!(ids(&reader.await.unwrap()), [&*id]);
    }
    let peak = stack.memory_kib("VmHWM");
    println!("{READERS} readers: {peak} KiB");
    assert!(peak < BOUND_KIB, "{peak} KiB");
}
