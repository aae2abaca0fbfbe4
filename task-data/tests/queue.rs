//! The promises of the port `Queue`, checked against every adapter.
//!
//! An id may come twice, so no test forbids that, except after its acknowledgement.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy takes helpers outside of #[test] for production code"
)]

use std::collections::HashSet;
use std::sync::Arc;

use database::Deployment;
use futures::FutureExt;
use futures::future::join;
use rstest_reuse::{apply, template};
use task_data::kinds::Kind;
use task_data::queue::amqp::Broker;
use task_data::queue::memory::MemoryQueue;
use task_data::queue::{Consumer, Delivery, Queue, Turn};
use task_data::task::{TaskId, Ticket};
use test_kit::{eventually, in_time, servers};

/// A promise, as one test an adapter.
#[template]
#[rstest::rstest]
#[case::memory(Arc::new(MemoryQueue::new()))]
#[case::rabbitmq(rabbitmq())]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_queue(#[case] queue: Arc<dyn Queue>) {}

fn rabbitmq() -> Arc<dyn Queue> {
    queues_of(&servers().vhost(), &new_deployment())
}

/// Returns the id of a new deployment.
fn new_deployment() -> String {
    TaskId::random().to_string()[24..].to_owned()
}

/// Returns the queues of a deployment on a virtual host.
fn queues_of(vhost: &str, deployment: &str) -> Arc<dyn Queue> {
    Arc::new(Broker::new(vhost).unwrap().queues_of(&Deployment(deployment.into())))
}

const KIND: Kind = Kind::Md5;

async fn published(queue: &dyn Queue, count: usize) -> HashSet<TaskId> {
    published_as(queue, count, Turn::First).await
}

async fn published_as(queue: &dyn Queue, count: usize, turn: Turn) -> HashSet<TaskId> {
    let mut tickets: Vec<Ticket> =
        (0..count).map(|_| Ticket { id: TaskId::random(), kind: KIND, attempt: 0 }).collect();
    let ids = tickets.iter().map(|ticket| ticket.id).collect();
    // A busy machine's broker may confirm too late: then they are published again, as the sweep does.
    eventually("a queue that is well confirms all", async || {
        let confirmed = queue.publish(tickets.clone(), turn).await;
        tickets.retain(|ticket| !confirmed.contains(ticket));
        tickets.is_empty().then_some(())
    })
    .await;
    ids
}

async fn next(consumer: &mut dyn Consumer) -> Delivery {
    in_time("a delivery", consumer.next()).await.expect("the stream goes on")
}

/// Takes and acknowledges until each of the ids has come.
async fn drain(consumer: &mut dyn Consumer, mut ids: HashSet<TaskId>) {
    while !ids.is_empty() {
        let delivery = next(consumer).await;
        ids.remove(&delivery.id);
        delivery.receipt.ack().await;
    }
}

#[apply(each_queue)]
async fn what_is_published_is_delivered(queue: Arc<dyn Queue>) {
    let ids = published(&*queue, 100).await;

    let mut consumer = queue.consume(KIND, 1).await.unwrap();

    drain(&mut *consumer, ids).await;
}

#[apply(each_queue)]
async fn publishing_nothing_is_no_trouble(queue: Arc<dyn Queue>) {
    assert_eq!(queue.publish(Vec::new(), Turn::First).await, []);
}

#[apply(each_queue)]
async fn who_waits_is_given_what_is_published_then(queue: Arc<dyn Queue>) {
    let mut consumer = queue.consume(KIND, 1).await.unwrap();

    let (delivery, ids) = join(next(&mut *consumer), published(&*queue, 1)).await;

    assert!(ids.contains(&delivery.id));
}

#[apply(each_queue)]
async fn what_was_not_acknowledged_goes_to_another_when_its_consumer_goes(queue: Arc<dyn Queue>) {
    let ids = published(&*queue, 10).await;
    let mut first = queue.consume(KIND, 10).await.unwrap();
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(next(&mut *first).await);
    }

    drop((first, held));

    drain(&mut *queue.consume(KIND, 10).await.unwrap(), ids).await;
}

#[apply(each_queue)]
async fn a_delivery_that_is_dropped_comes_again(queue: Arc<dyn Queue>) {
    let ids = published(&*queue, 1).await;
    let mut consumer = queue.consume(KIND, 1).await.unwrap();

    drop(next(&mut *consumer).await);

    drain(&mut *consumer, ids).await;
}

#[apply(each_queue)]
async fn a_delivery_says_whether_a_worker_may_have_had_it_before(queue: Arc<dyn Queue>) {
    let ids = published(&*queue, 3).await;
    let mut consumer = queue.consume(KIND, 10).await.unwrap();
    let mut first = Vec::new();
    for _ in 0..3 {
        first.push(next(&mut *consumer).await);
    }
    assert!(first.iter().all(|delivery| delivery.turn == Turn::First));

    // One is dropped by its worker; that of the others dies. A message has all three.
    drop(first.pop());
    drop((consumer, first));

    let mut consumer = queue.consume(KIND, 10).await.unwrap();
    let mut missing = ids;
    while !missing.is_empty() {
        let Delivery { id, turn, receipt } = next(&mut *consumer).await;
        assert_eq!(turn, Turn::Again);
        missing.remove(&id);
        receipt.ack().await;
    }

    let swept = published_as(&*queue, 1, Turn::Again).await;
    let delivery = next(&mut *consumer).await;
    assert_eq!((swept.contains(&delivery.id), delivery.turn), (true, Turn::Again));
}

#[apply(each_queue)]
async fn what_was_acknowledged_does_not_come_again(queue: Arc<dyn Queue>) {
    let first = published(&*queue, 5).await;
    drain(&mut *queue.consume(KIND, 5).await.unwrap(), first.clone()).await;
    let second = published(&*queue, 1).await;

    let delivery = next(&mut *queue.consume(KIND, 5).await.unwrap()).await;

    assert!(second.contains(&delivery.id), "one of the acknowledged: {}", first.contains(&delivery.id));
}

#[apply(each_queue)]
async fn consumers_share_what_there_is(queue: Arc<dyn Queue>) {
    let mut consumers = [queue.consume(KIND, 1).await.unwrap(), queue.consume(KIND, 1).await.unwrap()];
    let mut ids = published(&*queue, 1).await;
    ids.extend(published(&*queue, 1).await);

    let [first, second] = &mut consumers;
    let (first, second) = join(next(&mut **first), next(&mut **second)).await;

    assert_eq!(HashSet::from([first.id, second.id]), ids);
}

#[apply(each_queue)]
async fn no_consumer_waits_while_there_is_something(queue: Arc<dyn Queue>) {
    // Each takes one and keeps it until the other has one too: so both must have been woken.
    let barrier = Arc::new(tokio::sync::Barrier::new(3));
    const ROUNDS: usize = 5000;
    for _ in 0..2 {
        let (queue, barrier) = (queue.clone(), barrier.clone());
        tokio::spawn(async move {
            let mut consumer = queue.consume(KIND, 1).await.unwrap();
            for _ in 0..ROUNDS {
                let delivery = consumer.next().await.unwrap();
                barrier.wait().await;
                delivery.receipt.ack().await;
            }
        });
    }
    for round in 0..ROUNDS {
        join(published(&*queue, 1), published(&*queue, 1)).await;
        in_time(&format!("both have one, round {round}"), barrier.wait()).await;
    }
}

#[apply(each_queue)]
async fn a_wait_that_is_given_up_loses_nothing(queue: Arc<dyn Queue>) {
    let mut consumer = queue.consume(KIND, 1).await.unwrap();
    let mut missing = HashSet::new();
    for _ in 0..50 {
        // Begun, and dropped: with what it may have been given.
        let _ = consumer.next().now_or_never();
        missing.extend(published(&*queue, 1).await);
        let _ = consumer.next().now_or_never();
    }

    drain(&mut *consumer, missing).await;
}

#[apply(each_queue)]
async fn what_waits_is_counted(queue: Arc<dyn Queue>) {
    assert_eq!(queue.depth(KIND).await.unwrap(), 0);
    let mut ids = HashSet::new();
    for _ in 0..3 {
        ids.extend(published(&*queue, 1).await);
    }
    eventually("three wait", async || (queue.depth(KIND).await.unwrap() >= 3).then_some(())).await;

    drain(&mut *queue.consume(KIND, 3).await.unwrap(), ids).await;

    eventually("none waits", async || (queue.depth(KIND).await.unwrap() == 0).then_some(())).await;
}

/// Properties of the queue in memory alone: it is bounded, because the sweep brings the rest.
mod memory {
    use super::*;

    #[tokio::test]
    async fn what_does_not_fit_is_not_confirmed_and_fits_when_there_is_room() {
        let queue = MemoryQueue::new();
        let ticket = Ticket { id: TaskId::random(), kind: KIND, attempt: 0 };
        let too_many = vec![ticket; (1 << 20) + 5];

        let confirmed = queue.publish(too_many, Turn::First).await;
        let refused = queue.publish(vec![ticket], Turn::First).await;
        next(&mut *queue.consume(KIND, 1).await.unwrap()).await.receipt.ack().await;
        let taken = queue.publish(vec![ticket], Turn::First).await;

        assert_eq!((confirmed.len(), refused.len(), taken.len()), (1 << 20, 0, 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deployments_that_share_a_virtual_host_take_nothing_of_each_other() {
    let vhost = servers().vhost();
    let (ours, theirs) = (queues_of(&vhost, &new_deployment()), queues_of(&vhost, &new_deployment()));
    let mut their_consumer = theirs.consume(KIND, 10).await.unwrap();
    let ids = published(&*ours, 10).await;

    let their_ids = published(&*theirs, 10).await;

    drain(&mut *their_consumer, their_ids).await;
    assert!(ours.depth(KIND).await.unwrap() > 0);
    drain(&mut *ours.consume(KIND, 10).await.unwrap(), ids).await;
}
