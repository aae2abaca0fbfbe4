//! Servers that go away and come back: what was promised is kept, and nothing is refused but with 503.

use std::time::Duration;

use test_kit::servers;
use tokio::time::timeout;

use crate::kit::load::Load;
use crate::kit::proxy::Proxy;
use crate::kit::stack::{Running, Stack};

/// An upload is answered within this, whatever the broker does.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

#[tokio::test]
async fn uploads_are_taken_and_done_while_the_broker_is_away() {
    let vhost = servers().vhost();
    let broker = Proxy::to(&vhost).await;
    let stack = Running::of(Stack::distributed(&[("AMQP_URL", &broker.url(&vhost))])).await;
    let before = stack.put("before").await;
    stack.until(&before, "succeeded").await;

    broker.pull_out();
    for _ in 0..10 {
        let id = timeout(ANSWER_WITHIN, stack.put("while it is away")).await.expect("an answer in time");
        stack.until(&id, "succeeded").await;
    }
    broker.put_in();

    let after = stack.put("after").await;
    stack.until(&after, "succeeded").await;
    stack.each_task_has_one_line(&[]).await;
}

#[tokio::test]
async fn every_promise_outlives_each_server() {
    let (database, vhost, redis) = (servers().database(), servers().vhost(), servers().redis());
    let proxies = [Proxy::to(&database).await, Proxy::to(&vhost).await, Proxy::to(&redis).await];
    let settings = [
        ("DATABASE_URL", proxies[0].url(&database)),
        ("AMQP_URL", proxies[1].url(&vhost)),
        ("REDIS_URL", proxies[2].url(&redis)),
    ];
    let settings: Vec<(&str, &str)> = settings.iter().map(|(name, url)| (*name, url.as_str())).collect();
    let stack = Running::of(Stack::distributed(&settings)).await;
    let load = Load::start(&stack, 4);
    for server in &proxies {
        load.promises(20).await;
        server.pull_out();
        // Long enough to be noticed by all. Nothing is waited for with it.
        tokio::time::sleep(Duration::from_secs(1)).await;
        server.put_in();
        load.promises(20).await;
    }

    let promises = load.end().await;
    stack.are_kept(&promises).await;
    stack.each_task_has_one_line(&[]).await;
    stack.verifies().await;
}

/// From the first byte of the server's to beyond all that it says before a process listens.
#[tokio::test]
async fn a_process_whose_first_connection_breaks_starts_all_the_same() {
    let database = servers().database();
    let cable = Proxy::to(&database).await;
    let stack = Running::of(Stack::distributed(&[("DATABASE_URL", &cable.url(&database))])).await;
    for bytes in [0, 1, 300, 450, 500, 600, 700, 800, 1000, 1500, 2500] {
        cable.cut_after(bytes);
        let mut api = stack.extra(&["api"], &[]);
        api.address().await;
    }
}
