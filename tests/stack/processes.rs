//! Several processes over shared servers: they share the work, and what one of them leaves another takes up.

use std::time::Duration;

use nix::sys::signal::Signal;
use rstest_reuse::apply;
use test_kit::{eventually, in_time, servers};
use tokio::net::UnixDatagram;

use crate::kit::content::{Sample, noise};
use crate::kit::program::{coatcheck, output};
use crate::kit::stack::{Running, Setup, Stack, both_stacks, distributed};

#[apply(distributed)]
async fn two_apis_and_three_workers_keep_each_promise_once(setup: Setup) {
    let stack = setup.start(&[]).await;
    let mut second_api = stack.extra(&["api"], &[]);
    let _workers = [stack.extra(&["worker"], &[]), stack.extra(&["worker"], &[])];
    let second = format!("http://{}/api/v1/md5", second_api.address().await);

    let mut promises = Vec::new();
    for number in 0..300_usize {
        let sample = Sample::new(noise(number as u64, (number * 977) % 60_000));
        let id = match number % 2 {
            0 => stack.put(sample.bytes.to_vec()).await,
            _ => {
                let request = stack.http.put(format!("{second}/other")).body(sample.bytes.to_vec());
                crate::kit::client::accepted(&crate::kit::client::ask(request).await.unwrap())
            }
        };
        promises.push((id, sample.md5));
    }

    stack.are_kept(&promises).await;
    stack.each_task_has_one_line(&[]).await;
}

/// As systemd starts it, with `Type=notify` and `WatchdogSec`.
#[apply(both_stacks)]
async fn a_supervisor_is_told_when_it_serves_that_it_lives_and_when_it_stops(setup: Setup) {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("notify");
    let supervisor = UnixDatagram::bind(&path).unwrap();
    let told = async || {
        let mut words = [0; 64];
        let length = in_time("a word to the supervisor", supervisor.recv(&mut words)).await.unwrap();
        String::from_utf8_lossy(&words[..length]).trim_end().to_owned()
    };
    let watched = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "100000")];
    let stack = setup.start(&watched).await;

    let processes = stack.processes();
    let mut words = Vec::new();
    while words.iter().filter(|word| *word == "READY=1").count() < processes {
        words.push(told().await);
    }
    assert!(words.iter().all(|word| word == "READY=1" || word == "WATCHDOG=1"), "{words:?}");
    assert_eq!(words[0], "READY=1");
    while told().await != "WATCHDOG=1" {}
    stack.signal(Signal::SIGTERM);
    while told().await != "STOPPING=1" {}
    // A supervisor goes on reading. Otherwise its socket is soon full, and a process waits before it can say that it stops.
    let reads_on = async { while !told().await.is_empty() {} };
    tokio::select! {
        status = stack.exit() => assert_eq!(status.code(), Some(0)),
        () = reads_on => panic!("an empty word"),
    }
}

#[apply(distributed)]
async fn a_task_whose_worker_died_is_done_by_another(setup: Setup) {
    let stack = setup.start(&[("WORKERS", "1")]).await;
    let held = stack.hold_worker().await;
    let id = held.id.clone();

    stack.kill_process(1);
    held.restore();
    let _other = stack.extra(&["worker"], &[]);

    assert_eq!(stack.until(&id, "succeeded").await["attempt"], 2);
    stack.each_task_has_one_line(&[]).await;
}

#[apply(distributed)]
async fn a_worker_that_slept_beyond_its_lease_changes_nothing(setup: Setup) {
    let stack = setup.start(&[("WORKERS", "1")]).await;
    let held = stack.hold_worker().await;
    let id = held.id.clone();

    stack.signal_process(1, Signal::SIGSTOP);
    let pipe = held.restore_behind();
    let other = stack.extra(&["worker"], &[]);
    let done = stack.until(&id, "succeeded").await;
    drop(other);
    stack.signal_process(1, Signal::SIGCONT);
    drop(pipe);

    // It has ended what it slept over when it does something else.
    let next = stack.put("abc").await;
    stack.until(&next, "succeeded").await;
    assert_eq!(stack.task(&id).await, done);
    stack.each_task_has_one_line(&[]).await;
}

#[apply(distributed)]
async fn a_worker_that_is_told_to_stop_hands_its_task_back_at_no_cost(setup: Setup) {
    let stack = setup.start(&[("WORKERS", "1")]).await;
    let mut held = stack.hold_worker().await;
    let id = held.id.clone();

    stack.signal_process(1, Signal::SIGTERM);
    // It looks up from its work now and then; it is given some for as long as it works.
    let given_back = eventually("the task is given back", async || {
        held.drip();
        tokio::time::sleep(Duration::from_millis(20)).await;
        let task = stack.task(&id).await;
        if task["status"] == "pending" { Ok(task) } else { Err(task) }
    });
    let given_back = given_back.await;

    assert_eq!(stack.exit_of(1).await.code(), Some(0));
    assert_eq!(given_back["attempt"], 1);
    assert_eq!(stack.sql(&format!("SELECT tries FROM tasks WHERE id = '{id}'")), "0");
    held.restore();
    let _other = stack.extra(&["worker"], &[]);
    stack.until(&id, "succeeded").await;
    stack.each_task_has_one_line(&[]).await;
}

#[tokio::test]
async fn a_row_is_pending_before_its_id_is_queued() {
    let (vhost, nowhere) = (servers().vhost(), "amqp://127.0.0.1:9/");
    let stack = Running::of(Stack::without_worker(&[("AMQP_URL", nowhere)])).await;
    let id = stack.put("abc").await;

    let row =
        stack.sql(&format!("SELECT status, published_at IS NULL, attempt FROM tasks WHERE id = '{id}'"));
    assert_eq!(row, "pending|t|0");

    // A worker whose broker is reachable publishes what the others could not.
    let _worker = stack.extra(&["worker"], &[("AMQP_URL", &vhost)]);
    stack.until(&id, "succeeded").await;
}

#[tokio::test]
async fn a_wiped_queue_loses_nothing() {
    let empty = servers().vhost();
    let stack = Running::of(Stack::without_worker(&[])).await;
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(stack.put("abc").await);
    }
    eventually("all are published", async || {
        let count = stack.sql("SELECT count(*) FROM tasks WHERE published_at IS NOT NULL");
        if count == "20" { Ok(()) } else { Err(count) }
    })
    .await;

    // Its queue has nothing of what was published.
    let _worker = stack.extra(&["worker"], &[("AMQP_URL", &empty)]);

    for id in &ids {
        stack.until(id, "succeeded").await;
    }
    stack.each_task_has_one_line(&[]).await;
}

#[tokio::test]
async fn a_process_of_its_own_refuses_servers_that_it_can_share_with_nobody() {
    let folder = tempfile::TempDir::new().unwrap();
    let shared = [
        ("DATABASE_URL", "postgres://u@127.0.0.1:9/d"),
        ("AMQP_URL", "amqp://127.0.0.1:9/"),
        ("REDIS_URL", "redis://127.0.0.1:9"),
    ];
    for role in ["api", "worker"] {
        for missing in shared {
            let mut command = coatcheck(folder.path(), [role]);
            command.envs(shared.into_iter().filter(|setting| *setting != missing));

            let done = output(command).await;

            let told = String::from_utf8(done.stderr).unwrap();
            assert_eq!((done.status.code(), told.lines().count()), (Some(2), 1), "{told}");
            assert!(told.contains(missing.0), "{told}");
        }
    }
}
