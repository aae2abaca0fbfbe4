//! A backlog: promises that gather while no worker runs, and are kept to the last one when workers come.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use test_kit::DEADLINE;
use tokio::time::Instant;

use crate::kit::client::{accepted, ask};
use crate::kit::content::{Dice, md5sum};
use crate::kit::stack::{Running, Stack, own_host};
use crate::uploads::memory::memory_kib;

const CONTENT: &[u8] = b"one of many";
const CLIENTS: usize = 16;
const WORKERS: usize = 2;
/// The memory that a process may need beyond its idle size, however long the backlog is.
const MARGIN_KIB: u64 = 64 << 10;
/// Tickets that are looked up to see how long that takes.
const LOOK_UPS: u64 = 1000;

/// How many promises gather: `COATCHECK_BACKLOG`.
fn length() -> usize {
    let length = std::env::var("COATCHECK_BACKLOG");
    length.map_or(3000, |text| text.parse().expect("COATCHECK_BACKLOG is a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_backlog_is_done_to_its_last_task_distributed() {
    let stack = Running::of(Stack::without_worker(&[])).await;
    let length = length();
    let idle = stack.memory_kib("VmRSS");
    let few = look_ups(&stack, &submit(&stack, 100).await).await;

    let begun = Instant::now();
    let mut ids = submit(&stack, length).await;
    println!("{length} promises in {:.1?}", begun.elapsed());
    println!("a look-up takes {few:?} with 100 pending tasks, {:?} with all", look_ups(&stack, &ids).await);
    let peak = stack.memory_kib("VmHWM");
    assert!(peak < idle + MARGIN_KIB, "the API: {idle} KiB when idle, up to {peak} KiB then");
    println!("the API needs {idle} KiB when idle, {peak} KiB at most");

    let listens: Vec<_> = (0..WORKERS).map(|_| format!("{}:9100", own_host())).collect();
    let start = |listen: &String| stack.extra(&["worker"], &[("METRICS_LISTEN", listen)]);
    let workers: Vec<_> = listens.iter().map(start).collect();
    let begun = Instant::now();
    drain(&stack).await;
    println!("drained in {:.1?}", begun.elapsed());
    for worker in &workers {
        let peak = memory_kib(worker.program.pid(), "VmHWM");
        assert!(peak < idle + MARGIN_KIB, "a worker: up to {peak} KiB");
        println!("a worker needs {peak} KiB at most");
    }

    // None is lost, and each is done right.
    let right = format!("SELECT count(*) FROM md5_tasks WHERE result = '{}'", md5sum(CONTENT));
    assert_eq!(stack.sql(&right), (length + 100).to_string());
    for task in stack.tasks("status=succeeded&limit=1000").await {
        ids.remove(task["id"].as_str().unwrap());
    }
    assert_eq!(ids, HashSet::new());
    stack.verifies().await;

    let mut published = published_at(&stack, &stack.url("/metrics")).await;
    for listen in listens {
        published += published_at(&stack, &format!("http://{listen}/metrics")).await;
    }
    println!("{published} messages for {} tasks", length + 100);
    assert!(published as f64 <= (length + 100) as f64 * 1.01, "{published} messages");
}

/// Hands in that many uploads; returns their tickets.
async fn submit(stack: &Arc<Stack>, length: usize) -> HashSet<String> {
    let begun = Arc::new(AtomicUsize::new(0));
    let client = |_| {
        let (stack, begun) = (stack.clone(), begun.clone());
        tokio::spawn(async move {
            let mut ids = Vec::new();
            while begun.fetch_add(1, Relaxed) < length {
                ids.push(accepted(&ask(stack.put_request("one", CONTENT)).await.unwrap()));
            }
            ids
        })
    };
    let clients: Vec<_> = (0..CLIENTS).map(client).collect();
    let mut ids = HashSet::new();
    for client in clients {
        ids.extend(client.await.unwrap());
    }
    assert_eq!(ids.len(), length);
    ids
}

/// How long a look-up takes: the median, and 99 of 100.
async fn look_ups(stack: &Arc<Stack>, ids: &HashSet<String>) -> [Duration; 2] {
    let ids: Vec<&String> = ids.iter().collect();
    let mut dice = Dice::new(1);
    let mut times = Vec::new();
    for _ in 0..LOOK_UPS {
        let id = ids[dice.below(ids.len() as u64) as usize];
        let begun = Instant::now();
        assert_eq!(stack.task(id).await["status"], "pending");
        times.push(begun.elapsed());
    }
    times.sort();
    [times[times.len() / 2], times[times.len() * 99 / 100]]
}

/// Waits until each task has ended and its line is written; fails if nothing moves for long.
async fn drain(stack: &Arc<Stack>) {
    let (mut left, mut moved_at) = (stack.left(), Instant::now());
    while left != 0 {
        assert!(moved_at.elapsed() < DEADLINE, "{left} are left, and none was done for {DEADLINE:?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = stack.left();
        if now != left {
            (left, moved_at) = (now, Instant::now());
        }
    }
}

/// How many messages a process says that the queue has confirmed to it.
async fn published_at(stack: &Arc<Stack>, url: &str) -> u64 {
    let told = ask(stack.http.get(url)).await.unwrap();
    let line = told.text().lines().find(|line| line.starts_with("coatcheck_published_total "));
    line.map_or(0, |line| line.split(' ').next_back().unwrap().parse().unwrap())
}
