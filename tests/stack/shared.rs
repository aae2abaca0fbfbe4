//! Two deployments on one virtual host of the broker and one Redis: neither takes the other's work.

use test_kit::servers;

use crate::kit::stack::{Running, Stack};

/// How many messages wait in the stack's queue of md5 tasks.
async fn waiting(stack: &Stack) -> String {
    let told = stack.get("/metrics").await;
    let line = told.text().lines().find(|line| line.starts_with("coatcheck_queue_messages{kind=\"md5\"} "));
    line.unwrap_or_default().to_owned()
}

#[tokio::test]
async fn deployments_that_share_a_broker_and_a_redis_keep_their_own_promises() {
    let (vhost, redis) = (servers().vhost(), servers().redis());
    let shared = [("AMQP_URL", &*vhost), ("REDIS_URL", &redis)];
    let ours = Running::of(Stack::without_worker(&shared)).await;
    let theirs = Running::of(Stack::distributed(&shared)).await;
    let id = ours.put("ours").await;

    // Their worker takes what came to their queue before and after.
    let their_id = theirs.put("theirs").await;
    theirs.until(&their_id, "succeeded").await;

    assert_eq!(waiting(&ours).await, "coatcheck_queue_messages{kind=\"md5\"} 1");
    assert_eq!(ours.task(&id).await["status"], "pending");
    let _worker = ours.extra(&["worker"], &[]);
    ours.until(&id, "succeeded").await;
    ours.each_task_has_one_line(&[]).await;
    theirs.each_task_has_one_line(&[]).await;
}
