//! The cost of the paid calls of six processes, compared with the least possible cost if every arrival were known beforehand.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use test_kit::servers;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::kit::content::Dice;
use crate::kit::proxy::Proxy;
use crate::kit::stack::{Extra, Running, Stack};
use crate::kit::stand_ins::StandIns;
use crate::tasks::messages::settings;

/// Beside the stack's own.
const MORE_WORKERS: usize = 5;
/// Sent in one go at most.
const BURST: u64 = 100;
/// Between bursts and single messages, on average.
const GAP: Duration = Duration::from_millis(40);

/// How many messages are sent; `COATCHECK_MESSAGES` says more.
fn messages() -> usize {
    std::env::var("COATCHECK_MESSAGES")
        .map_or(300, |count| count.parse().expect("COATCHECK_MESSAGES is a number"))
}

/// The free provider's rule, in the settings' words: with many messages that of the figures, with few a quicker one.
fn rule() -> [(&'static str, &'static str); 2] {
    match messages() {
        ..1000 => [("REQUESTS", "10"), ("BLOCK_SECONDS", "0.5")],
        _ => [("REQUESTS", "50"), ("BLOCK_SECONDS", "2")],
    }
}

/// The most requests of these, in order of arrival and each sent at once or never, that a provider takes which begins a
/// block with every `requests`-th one.
///
/// To take each one that can be taken is best: whatever else is chosen, its k-th request comes no earlier than this
/// one's, by induction, for the block before it began no earlier.
fn most_free(arrivals: &[i64], requests: usize, block: i64) -> usize {
    let (mut taken, mut opens) = (0, i64::MIN);
    for &arrival in arrivals {
        if arrival >= opens {
            taken += 1;
            if taken % requests == 0 {
                opens = arrival + block;
            }
        }
    }
    taken
}

#[test]
fn no_other_choice_is_better_than_the_optimum() {
    let mut dice = Dice::new(1);
    for _ in 0..200 {
        let mut arrivals: Vec<i64> = (0..10).map(|_| dice.below(40).cast_signed()).collect();
        arrivals.sort_unstable();
        let (requests, block) = (1 + dice.below(4) as usize, 1 + dice.below(15).cast_signed());
        let can_be = |choice: u32| {
            let chosen: Vec<i64> =
                (0..10).filter(|at| choice >> at & 1 == 1).map(|at| arrivals[at as usize]).collect();
            most_free(&chosen, requests, block) == chosen.len()
        };

        let best = (0_u32..1 << 10).filter(|choice| can_be(*choice)).map(u32::count_ones).max();

        assert_eq!(
            best,
            Some(most_free(&arrivals, requests, block) as u32),
            "{arrivals:?} {requests} {block}"
        );
    }
}

/// Sends messages one by one and in bursts, at random times that are the same each time; the tickets.
async fn send(stack: &Arc<Stack>, token: &str, seed: u64) -> BTreeSet<String> {
    let mut dice = Dice::new(seed);
    let mut clients = JoinSet::new();
    let (mut at, mut sent) = (Instant::now(), 0);
    while sent < messages() {
        let burst = if dice.below(10) == 0 { 1 + dice.below(BURST) as usize } else { 1 };
        for number in sent..(sent + burst).min(messages()) {
            let (stack, token) = (stack.clone(), token.to_owned());
            clients.spawn(async move {
                sleep_until(at).await;
                stack.message(&token, &format!("message {number}")).await
            });
        }
        sent += burst;
        at += GAP.mul_f64(dice.below(2000) as f64 / 1000.0);
    }
    clients.join_all().await.into_iter().collect()
}

/// Each of the messages, once all are answered.
async fn answered(stack: &Stack, tickets: &BTreeSet<String>) -> Vec<Value> {
    for id in tickets {
        stack.until(id, "succeeded").await;
    }
    let tasks = stack.tasks("kind=message&limit=1000").await;
    assert_eq!(tasks.len(), tickets.len());
    tasks
}

fn more_workers(stack: &Stack) -> Vec<Extra> {
    (0..MORE_WORKERS).map(|_| stack.extra(&["worker"], &[])).collect()
}

fn by(tasks: &[Value], provider: &str) -> usize {
    tasks.iter().filter(|task| task["result"]["provider"] == provider).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn six_workers_pay_for_little_more_than_they_must() {
    let providers = StandIns::start(&rule()).await;
    // A machine that is busy with other tests must not be taken for a worker that died.
    let more = [&rule()[..], &[("LEASE_SECONDS", "60")]].concat();
    let stack = Running::of(Stack::distributed(&settings(&providers, &more))).await;
    let token = stack.sender("ada", true).await;
    let _workers = more_workers(&stack);

    let tickets = send(&stack, &token, 1).await;
    let tasks = answered(&stack, &tickets).await;

    let (free, paid) = (providers.stats("free").await, providers.stats("paid").await);
    let [(_, requests), (_, block)] = rule();
    let requests: usize = requests.parse().unwrap();
    // At first nothing is known of it, nor after a call whose outcome a busy machine could not report: then a refusal may tell. No window
    // takes more than it can, and few are refused.
    let arrivals = providers.arrivals("free").await;
    let refused: Vec<usize> = (0..arrivals.len()).filter(|at| arrivals[*at]["status"] == 429).collect();
    assert_eq!(free["refused"], refused.len());
    assert!(refused.len() * 10 <= arrivals.len(), "{refused:?} {free}");
    assert!(free["most_in_window"].as_u64().unwrap() <= requests as u64, "{free}");
    assert_eq!((&free["repeated"], &paid["repeated"]), (&0.into(), &0.into()), "each is answered once");
    assert_eq!(free["accepted"], by(&tasks, "free"));
    assert_eq!(paid["accepted"], by(&tasks, "paid"));
    let with_reason = stack.sql(
        "SELECT count(*) FROM tasks WHERE result->>'provider' = 'paid' \
         AND EXISTS (SELECT FROM paid_calls WHERE task = id AND free_blocked_until > at)",
    );
    assert_eq!(with_reason, by(&tasks, "paid").to_string(), "each paid call has its reason");

    let mut arrivals: Vec<i64> = tasks.iter().map(created).collect();
    arrivals.sort_unstable();
    let block = (block.parse::<f64>().unwrap() * 1e6) as i64;
    let least = arrivals.len() - most_free(&arrivals, requests, block);
    println!(
        "{} messages, six workers, {requests} free ones per block of {block} µs: {} paid for, {least} at the least ({:.3}), {} refused",
        tasks.len(),
        by(&tasks, "paid"),
        by(&tasks, "paid") as f64 / least as f64,
        free["refused"],
    );
}

/// In microseconds.
fn created(task: &Value) -> i64 {
    task["created"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap().timestamp_micros()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn six_workers_lose_nothing_while_redis_forgets_and_they_crash() {
    let redis = servers().redis();
    let proxy = Proxy::to(&redis).await;
    let providers = StandIns::start(&rule()).await;
    let url = proxy.url(&redis);
    let more = [&rule()[..], &[("REDIS_URL", &*url), ("MAX_ATTEMPTS", "100")]].concat();
    let stack = Running::of(Stack::distributed(&settings(&providers, &more))).await;
    let token = stack.sender("ada", true).await;
    let mut workers = more_workers(&stack);
    let sending = tokio::spawn({
        let (stack, token) = (stack.clone(), token.clone());
        async move { send(&stack, &token, 2).await }
    });

    let mut faults = 0;
    while !sending.is_finished() {
        // One of them after the other, and every third time the Redis, which comes back with nothing.
        if faults % 3 == 2 {
            proxy.pull_out();
            forget(&redis);
            proxy.put_in();
        }
        workers.remove(0).program.kill();
        workers.push(stack.extra(&["worker"], &[]));
        faults += 1;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let tickets = sending.await.unwrap();
    let tasks = answered(&stack, &tickets).await;

    let free = providers.stats("free").await;
    let most: u64 = rule()[0].1.parse().unwrap();
    assert!(free["most_in_window"].as_u64().unwrap() <= most, "{free}");
    let mut keys: BTreeMap<String, usize> = BTreeMap::new();
    for provider in ["free", "paid"] {
        for call in providers.arrivals(provider).await {
            *keys.entry(call["key"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    assert!(keys.keys().all(|key| tickets.contains(key)) && keys.len() == tickets.len());
    println!(
        "{} messages, {faults} workers killed: each answered, {} refused, {} sent more than once",
        tasks.len(),
        free["refused"],
        keys.values().filter(|times| **times > 1).count(),
    );
    stack.each_task_has_one_line(&[]).await;
}

/// Empties a Redis's database.
fn forget(url: &str) {
    let (server, database) = url.strip_prefix("redis://").unwrap().split_once('/').unwrap();
    let mut connection = TcpStream::connect(server).unwrap();
    connection.write_all(format!("SELECT {database}\r\nFLUSHDB\r\nQUIT\r\n").as_bytes()).unwrap();
    let mut said = String::new();
    connection.read_to_string(&mut said).unwrap();
    assert_eq!(said, "+OK\r\n+OK\r\n+OK\r\n");
}
