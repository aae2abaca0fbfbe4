//! The same upload sent again under the same `Idempotency-Key` is the same task.

use futures::future::join_all;
use reqwest::RequestBuilder;
use rstest_reuse::apply;

use crate::kit::client::{Answer, accepted, ask};
use crate::kit::content::noise;
use crate::kit::stack::{Setup, Stack, both_stacks, distributed};

/// Too large to travel in the row.
const LARGE: usize = 100_000;

impl Stack {
    fn keyed_put(&self, key: &str, bytes: impl Into<reqwest::Body>) -> RequestBuilder {
        self.put_request("file", bytes).header("Idempotency-Key", key)
    }

    /// Returns the answer to a request that must be answered.
    async fn answer(&self, request: RequestBuilder) -> Answer {
        ask(request).await.unwrap()
    }
}

#[apply(both_stacks)]
async fn a_repeated_upload_gets_its_first_ticket(setup: Setup) {
    let stack = setup.start(&[]).await;
    for (key, bytes) in [("small", b"abc".to_vec()), ("large", noise(1, LARGE))] {
        let first = stack.answer(stack.keyed_put(key, bytes.clone())).await;
        let id = accepted(&first);
        let at_once = stack.answer(stack.keyed_put(key, bytes.clone())).await;
        let done = stack.until(&id, "succeeded").await;
        let as_form = stack.post_request("other name", bytes.clone()).header("Idempotency-Key", key);
        let later = stack.answer(as_form).await;

        assert_eq!(first.header("idempotency-replayed"), "");
        for again in [&at_once, &later] {
            assert_eq!((accepted(again), again.header("idempotency-replayed")), (id.clone(), "true"));
            assert_eq!(again.header("location"), format!("/api/v1/md5/{id}"));
        }
        assert_eq!(later.json(), done);
    }

    assert_eq!(stack.tasks("").await.len(), 2);
    stack.until_no_blobs().await;
    stack.each_task_has_one_line(&[]).await;
}

#[apply(both_stacks)]
async fn another_content_under_a_used_key_is_refused(setup: Setup) {
    let stack = setup.start(&[]).await;
    for (key, first, other) in [
        ("k", b"abc".to_vec(), b"abd".to_vec()),
        ("longer", b"abc".to_vec(), noise(1, LARGE)),
        ("large", noise(1, LARGE), noise(3, LARGE)),
    ] {
        let id = accepted(&stack.answer(stack.keyed_put(key, first.clone())).await);

        let refused = stack.answer(stack.keyed_put(key, other.clone())).await;
        refused.problem(422, "idempotency-mismatch");

        // It changes nothing for who has the right content, and other keys know nothing of it.
        assert_eq!(accepted(&stack.answer(stack.keyed_put(key, first)).await), id);
        assert_ne!(accepted(&stack.answer(stack.keyed_put(&key.to_uppercase(), other)).await), id);
        stack.until(&id, "succeeded").await;
    }
    assert_eq!(stack.tasks("").await.len(), 6);
    stack.until_no_blobs().await;
}

#[apply(both_stacks)]
async fn a_key_of_nonsense_is_refused_before_the_upload(setup: Setup) {
    let stack = setup.start(&[]).await;
    for key in [&b""[..], b"a b", &[b'x'; 129], "é".as_bytes(), b"a\tb"] {
        for request in [stack.put_request("file", "abc"), stack.post_request("file", "abc")] {
            let answer = stack.answer(request.header("Idempotency-Key", key)).await;
            answer.problem(400, "invalid-idempotency-key");
        }
    }
    let two = stack.keyed_put("a", "abc").header("Idempotency-Key", "b");
    stack.answer(two).await.problem(400, "invalid-idempotency-key");
    assert_eq!(stack.tasks("").await.len(), 0);

    let longest = "~".repeat(128);
    accepted(&stack.answer(stack.keyed_put(&longest, "abc")).await);
}

#[apply(both_stacks)]
async fn uploads_without_a_key_are_tasks_of_their_own(setup: Setup) {
    let stack = setup.start(&[]).await;
    assert_ne!(stack.put("abc").await, stack.put("abc").await);
}

#[apply(both_stacks)]
async fn a_key_outlives_a_crash(setup: Setup) {
    let stack = setup.start(&[]).await;
    let id = accepted(&stack.answer(stack.keyed_put("k", noise(1, LARGE))).await);

    stack.kill();
    stack.start().await;
    let again = stack.answer(stack.keyed_put("k", noise(1, LARGE))).await;

    assert_eq!((accepted(&again), again.header("idempotency-replayed")), (id.clone(), "true"));
    stack.until(&id, "succeeded").await;
    assert_eq!(stack.tasks("").await.len(), 1);
}

/// Sends the same upload under one key from 50 clients at once, to these addresses in turn.
async fn storm(stack: &Stack, addresses: &[String], size: usize) {
    let requests = (0..50).map(|client| {
        let url = format!("http://{}/api/v1/md5/storm", addresses[client % addresses.len()]);
        let request = stack.http.put(url).header("Idempotency-Key", format!("storm-{size}"));
        ask(request.body(noise(size as u64, size)))
    });

    let answers: Vec<Answer> = join_all(requests).await.into_iter().map(Result::unwrap).collect();

    let id = accepted(&answers[0]);
    assert!(answers.iter().all(|answer| accepted(answer) == id));
    let firsts = answers.iter().filter(|answer| answer.header("idempotency-replayed").is_empty());
    assert_eq!(firsts.count(), 1);
    stack.until(&id, "succeeded").await;
}

#[apply(both_stacks)]
async fn of_50_clients_with_one_key_all_get_one_ticket(setup: Setup) {
    let stack = setup.start(&[]).await;
    let addresses = [stack.address()];
    storm(&stack, &addresses, 3).await;
    storm(&stack, &addresses, LARGE).await;

    assert_eq!(stack.tasks("").await.len(), 2);
    stack.until_no_blobs().await;
    stack.each_task_has_one_line(&[]).await;
}

#[apply(distributed)]
async fn of_50_clients_with_one_key_at_two_apis_all_get_one_ticket(setup: Setup) {
    let stack = setup.start(&[]).await;
    let mut second_api = stack.extra(&["api"], &[]);
    let addresses = [stack.address(), second_api.address().await];
    for size in [3, 1000, LARGE, LARGE + 1] {
        storm(&stack, &addresses, size).await;
    }

    assert_eq!(stack.tasks("").await.len(), 4);
    stack.until_no_blobs().await;
    stack.each_task_has_one_line(&[]).await;
}
