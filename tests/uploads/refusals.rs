//! Uploads without room: each is rejected with its own code, and nothing of it is kept.

use std::sync::Arc;

use rstest_reuse::apply;
use test_kit::eventually;

use crate::kit::client::ask;
use crate::kit::content::noise;
use crate::kit::stack::{Setup, Stack, both_stacks};

#[apply(both_stacks)]
async fn what_is_larger_than_allowed_is_refused(setup: Setup) {
    let stack = setup.start(&[("MAX_UPLOAD", "100kB")]).await;
    // By one byte, and by more than fits into any buffer on the way.
    for bytes in [100_001, 20 << 20] {
        let content = noise(1, bytes);
        let announced = stack.put_request("a", content.clone());
        let chunked = stack.put_request("a", reqwest::Body::wrap_stream(pieces(content.clone())));
        for request in [announced, chunked, stack.post_request("a", content)] {
            ask(request).await.unwrap().problem(413, "upload-too-large");
            nothing_is_kept(&stack).await;
        }
    }

    let content = noise(1, 100_000);
    for id in [stack.put(content.clone()).await, stack.post(content).await] {
        stack.until(&id, "succeeded").await;
    }
}

#[apply(both_stacks)]
async fn what_would_fill_the_disk_is_refused(setup: Setup) {
    let stack = setup.start(&[("MIN_FREE_DISK", "1000TiB")]).await;
    let answer = ask(stack.put_request("a", noise(1, 100_000))).await.unwrap();

    answer.problem(507, "insufficient-storage");
    nothing_is_kept(&stack).await;
}

#[apply(both_stacks)]
async fn a_queue_that_is_full_takes_no_more_until_there_is_room(setup: Setup) {
    let stack = setup.start(&[("WORKERS", "1"), ("MAX_PENDING", "3")]).await;
    let held = stack.hold_worker().await;
    let refusal = loop {
        let answer = ask(stack.put_request("a", "abc")).await.unwrap();
        if answer.status != 202 {
            break answer;
        }
        assert!(stack.tasks("status=pending").await.len() <= 4, "it takes whatever comes");
    };

    refusal.problem(503, "queue-full");
    assert!(!refusal.header("retry-after").is_empty());
    held.release();
    eventually("room in the queue", async || {
        let answer = ask(stack.put_request("a", "abc")).await.unwrap();
        if answer.status == 202 { Ok(()) } else { Err(answer) }
    })
    .await;
}

/// No task, no byte of an upload; and the server serves.
async fn nothing_is_kept(stack: &Arc<Stack>) {
    assert_eq!(stack.tasks("").await, [] as [serde_json::Value; 0]);
    // A part may still be on its way out.
    stack.until_no_blobs().await;
    assert_eq!(stack.get("/healthz").await.status, 200);
}

fn pieces(bytes: Vec<u8>) -> impl futures::Stream<Item = std::io::Result<Vec<u8>>> + Send + 'static {
    futures::stream::iter(bytes.chunks(10_000).map(|piece| Ok(piece.to_vec())).collect::<Vec<_>>())
}
