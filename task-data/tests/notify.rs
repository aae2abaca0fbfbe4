//! The promises of the port `Notify`, checked against every adapter.
//!
//! A wake is a hint that may be lost, so the tests repeat it until it is heard.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy takes helpers outside of #[test] for production code"
)]

use std::sync::Arc;

use database::Deployment;
use redis::Client;
use rstest_reuse::{apply, template};
use task_data::notify::Notify;
use task_data::notify::local::LocalNotify;
use task_data::notify::redis::{RedisNotify, client};
use task_data::task::TaskId;
use test_kit::{eventually, servers};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::TryRecvError;

/// A promise, as one test an adapter.
#[template]
#[rstest::rstest]
#[case::local(Arc::new(LocalNotify::new()))]
#[case::redis(Arc::new(redis(&redis_client(), "0123456789ab")))]
#[tokio::test]
async fn each_notify(#[case] notify: Arc<dyn Notify>) {}

fn redis_client() -> Client {
    client(&servers().redis()).unwrap()
}

/// Connects to the notifications that wake a deployment's processes.
fn redis(client: &Client, deployment: &str) -> RedisNotify {
    RedisNotify::start(client.clone(), &Deployment(deployment.into()))
}

/// Wakes until the listener has heard it.
async fn heard(notify: &dyn Notify, listener: &mut Receiver<TaskId>, id: TaskId) {
    eventually("the wake is heard", async || {
        notify.wake(vec![id]).await;
        // Others may be told of others between.
        loop {
            match listener.try_recv() {
                Ok(told) if told == id => return Some(()),
                Ok(_) | Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => return None,
            }
        }
    })
    .await;
}

#[apply(each_notify)]
async fn a_wake_reaches_all_who_listen(notify: Arc<dyn Notify>) {
    let mut listeners = [notify.wakes(), notify.wakes()];

    for listener in &mut listeners {
        heard(&*notify, listener, TaskId::random()).await;
    }
}

#[apply(each_notify)]
async fn all_ids_of_a_wake_are_told(notify: Arc<dyn Notify>) {
    let mut listener = notify.wakes();
    let ids: Vec<TaskId> = (0..10).map(|_| TaskId::random()).collect();
    let mut missing = ids.clone();

    eventually("each id is heard", async || {
        notify.wake(ids.clone()).await;
        while let Ok(id) = listener.try_recv() {
            missing.retain(|missing| *missing != id);
        }
        missing.is_empty().then_some(())
    })
    .await;
}

#[apply(each_notify)]
async fn waking_while_nobody_listens_is_no_trouble(notify: Arc<dyn Notify>) {
    notify.wake(vec![TaskId::random()]).await;
    notify.wake(Vec::new()).await;

    let mut listener = notify.wakes();
    heard(&*notify, &mut listener, TaskId::random()).await;
}

#[apply(each_notify)]
async fn who_goes_away_is_in_nobodys_way(notify: Arc<dyn Notify>) {
    let mut stays = notify.wakes();

    drop(notify.wakes());

    heard(&*notify, &mut stays, TaskId::random()).await;
}

#[apply(each_notify)]
async fn who_falls_behind_is_told_so(notify: Arc<dyn Notify>) {
    let mut slow = notify.wakes();
    let id = TaskId::random();

    eventually("the listener is told that it lags", async || {
        notify.wake(vec![id; 10_000]).await;
        matches!(slow.try_recv(), Err(TryRecvError::Lagged(_))).then_some(())
    })
    .await;

    eventually("it hears on", async || (slow.try_recv() == Ok(id)).then_some(())).await;
}

#[tokio::test]
async fn deployments_that_share_a_redis_are_not_woken_by_each_other() {
    let client = redis_client();
    let [ours, theirs] = ["000000000001", "000000000002"].map(|id| redis(&client, id));
    let (mut listener, mut their_listener, mut all_of_theirs) =
        (ours.wakes(), theirs.wakes(), theirs.wakes());
    let (our_id, their_id) = (TaskId::random(), TaskId::random());

    // Each listens by now; what comes from here on is heard in its order.
    heard(&ours, &mut listener, TaskId::random()).await;
    heard(&theirs, &mut their_listener, TaskId::random()).await;
    heard(&ours, &mut listener, our_id).await;
    heard(&theirs, &mut their_listener, their_id).await;

    while let Ok(told) = all_of_theirs.try_recv() {
        assert_ne!(told, our_id);
    }
}
