//! Quotas: the tasks and bytes that one user may have at once, and that other users do not suffer from them.

use std::sync::Arc;

use futures::future::join_all;
use futures::stream;
use reqwest::{Body, Method};
use rstest_reuse::apply;
use serde_json::json;
use test_kit::eventually;
use tokio::sync::mpsc;

use crate::kit::client::{Answer, accepted, ask};
use crate::kit::people::as_bearer;
use crate::kit::stack::{Setup, Stack, both_stacks, distributed};

/// An address without a listener: messages wait.
const NOWHERE: &str = "http://127.0.0.1:9";
const WAITING: [(&str, &str); 3] =
    [("FREE_URL", NOWHERE), ("PAID_URL", NOWHERE), ("MAX_ATTEMPTS", "1000000")];

async fn user(stack: &Arc<Stack>, name: &str) -> String {
    stack.register(name).await;
    stack.log_in(name).await
}

/// Hands a file in, at the stack's address or another.
async fn put(stack: &Stack, at: &str, token: &str, bytes: impl Into<Body>) -> Answer {
    let request = stack.request(Method::PUT, &format!("{at}/api/v1/md5/a.txt")).body(bytes);
    ask(as_bearer(request, token)).await.unwrap()
}

/// A task that waits.
async fn wait(stack: &Stack, token: &str) -> Answer {
    let request = as_bearer(stack.request(Method::POST, "/api/v1/messages"), token);
    ask(request.body(json!({"text": "abc"}).to_string())).await.unwrap()
}

/// Refused, with the seconds after which another try may do better.
#[track_caller]
fn refused(answer: &Answer) -> u32 {
    answer.problem(429, "too-many-requests");
    answer.header("retry-after").parse().unwrap()
}

/// Checks the limit on tasks a minute against one API or two.
async fn few_a_minute(stack: &Arc<Stack>, addresses: &[String]) {
    let (ada, bob) = (user(stack, "ada").await, user(stack, "bob").await);
    let at = |attempt: usize| &*addresses[attempt % addresses.len()];
    for attempt in 0..3 {
        accepted(&put(stack, at(attempt), &ada, "abc").await);
    }
    for attempt in 0..2 {
        let seconds = refused(&put(stack, at(attempt), &ada, "abc").await);
        assert!((1..=61).contains(&seconds), "{seconds}");
    }
    refused(&wait(stack, &ada).await);
    // The limit is hers alone: another user and an anonymous client go on.
    accepted(&put(stack, at(0), &bob, "abc").await);
    for _ in 0..4 {
        stack.put("abc").await;
    }
    assert_eq!(stack.tasks("").await.len(), 8);
}

#[apply(both_stacks)]
async fn a_user_hands_in_so_many_tasks_a_minute(setup: Setup) {
    let stack = setup.start(&[("UPLOADS_PER_MINUTE", "3")]).await;
    few_a_minute(&stack, &[stack.address()]).await;
}

#[apply(distributed)]
async fn tasks_that_are_handed_in_at_two_apis_are_counted_together(setup: Setup) {
    let stack = setup.start(&[("UPLOADS_PER_MINUTE", "3")]).await;
    let mut second = stack.extra(&["api"], &[]);
    let addresses = [stack.address(), second.address().await];
    few_a_minute(&stack, &addresses).await;
}

#[apply(both_stacks)]
async fn a_user_has_so_many_tasks_waiting(setup: Setup) {
    let stack =
        setup.start(&[&WAITING[..], &[("MAX_PENDING_PER_OWNER", "2"), ("WORKERS", "1")]].concat()).await;
    let (ada, bob) = (user(&stack, "ada").await, user(&stack, "bob").await);

    // All at once, while none can be tried: no more come in than by and by.
    let (held, address) = (stack.hold_worker().await, stack.address());
    let answers = join_all((0..20).map(|_| put(&stack, &address, &ada, "abc"))).await;
    let (let_in, others): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 202);
    others.into_iter().for_each(|answer| assert!(refused(answer) > 0));
    assert_eq!(let_in.len(), 2);
    held.release();
    for answer in let_in {
        stack.until(&accepted(answer), "succeeded").await;
    }

    // One that is being tried is not pending for that moment.
    eventually("a full house", async || match wait(&stack, &ada).await {
        answer if answer.status == 202 => Err(accepted(&answer)),
        answer => Ok(refused(&answer)),
    })
    .await;
    accepted(&wait(&stack, &bob).await);
    for task in stack.tasks("limit=1000").await {
        stack.ask(Method::DELETE, &format!("/api/v1/tasks/{}", task["id"].as_str().unwrap())).await;
    }
    eventually("room again", async || match wait(&stack, &ada).await {
        answer if answer.status == 202 => Ok(()),
        answer => Err(answer.text().to_owned()),
    })
    .await;
}

#[apply(both_stacks)]
async fn a_user_has_so_many_bytes_in_tasks_that_have_not_ended(setup: Setup) {
    let stack = setup.start(&[("MAX_BYTES_PER_OWNER", "100000"), ("WORKERS", "1")]).await;
    let (ada, bob) = (user(&stack, "ada").await, user(&stack, "bob").await);
    let address = stack.address();
    let chunked = |bytes: usize| {
        Body::wrap_stream(stream::iter((0..bytes / 10_000).map(|_| Ok::<_, String>(vec![0; 10_000]))))
    };
    let held = stack.hold_worker().await;

    put(&stack, &address, &ada, vec![0; 100_001]).await.problem(413, "upload-too-large");
    put(&stack, &address, &ada, chunked(110_000)).await.problem(413, "upload-too-large");
    let first = accepted(&put(&stack, &address, &ada, vec![0; 60_000]).await);
    refused(&put(&stack, &address, &ada, vec![0; 60_000]).await);
    refused(&put(&stack, &address, &ada, chunked(60_000)).await);
    accepted(&put(&stack, &address, &ada, chunked(40_000)).await);
    accepted(&put(&stack, &address, &bob, vec![0; 60_000]).await);
    stack.put(vec![0; 200_000]).await;

    held.release();
    stack.until(&first, "succeeded").await;
    eventually("room again", async || match put(&stack, &address, &ada, vec![0; 60_000]).await {
        answer if answer.status == 202 => Ok(()),
        answer => Err(answer.text().to_owned()),
    })
    .await;
}

#[apply(both_stacks)]
async fn the_texts_of_messages_count_as_bytes(setup: Setup) {
    let stack = setup.start(&[&WAITING[..], &[("MAX_BYTES_PER_OWNER", "100")]].concat()).await;
    let ada = user(&stack, "ada").await;
    let send = async |bytes: usize| {
        let request = as_bearer(stack.request(Method::POST, "/api/v1/messages"), &ada);
        ask(request.body(json!({"text": "é".repeat(bytes / 2)}).to_string())).await.unwrap()
    };

    send(102).await.problem(413, "upload-too-large");
    accepted(&send(60).await);
    refused(&send(60).await);
    accepted(&send(40).await);
    refused(&send(2).await);
}

#[apply(both_stacks)]
async fn uploads_that_come_in_side_by_side_are_no_more_than_one_after_the_other(setup: Setup) {
    let stack = setup.start(&[("MAX_BYTES_PER_OWNER", "100000"), ("WORKERS", "1")]).await;
    let ada = user(&stack, "ada").await;
    let address = stack.address();
    let held = stack.hold_worker().await;
    // All have begun before the first has become a task, and their lengths are unknown.
    let (mut senders, mut answers) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let (sender, receiver) = mpsc::channel::<Vec<u8>>(10);
        sender.send(vec![0; 1000]).await.unwrap();
        let body = stream::unfold(receiver, async |mut receiver| {
            receiver.recv().await.map(|bytes| (Ok::<_, String>(bytes), receiver))
        });
        let (stack, address, ada) = (stack.clone(), address.clone(), ada.clone());
        answers.push(tokio::spawn(async move { put(&stack, &address, &ada, Body::wrap_stream(body)).await }));
        senders.push(sender);
    }

    let mut statuses = Vec::new();
    for (sender, answer) in senders.into_iter().zip(answers) {
        // The server may have stopped reading a rejected upload.
        let _ = sender.send(vec![0; 60_000]).await;
        drop(sender);
        statuses.push(answer.await.unwrap().status);
    }

    assert_eq!(statuses, [202, 429, 429, 429, 429]);
    held.release();
}
