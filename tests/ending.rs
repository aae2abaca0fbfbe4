//! SIGTERM and SIGINT: the program ends by itself, and what it has promised is kept.

use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::{accepted, read_answer};
use crate::content::{md5sum, noise};
use crate::load::Load;
use crate::program::eventually;

/// What every command may take to end.
const END_WITHIN: Duration = Duration::from_secs(30);

on_both_stacks!(sigterm_under_load_ends_well_and_loses_nothing, |stack| async move {
    let load = Load::start(&stack, 8);
    load.promises(100).await;

    stack.signal(Signal::SIGTERM);
    let status = timeout(END_WITHIN, stack.exit()).await.expect("it goes on and on");
    assert_eq!(status.code(), Some(0));

    let promises = load.end().await;
    stack.start().await;
    stack.are_kept(&promises).await;
    let tasks = stack.each_task_has_one_line(&[]).await;
    assert!(tasks.iter().all(|task| task["attempt"] == 1), "what was under way was finished, not broken off");
});

on_both_stacks!(sigint_ends_an_idle_program, |stack| async move {
    stack.signal(Signal::SIGINT);

    assert_eq!(stack.exit().await.code(), Some(0));
});

on_both_stacks!(an_upload_under_way_may_still_come_in, |stack| async move {
    let content = noise(2, 200_000);
    let mut upload = stack.begin_put(content.len(), 100_000).await;
    eventually(
        "bytes that have come in",
        async || if stack.blobs().is_empty() { Err("none") } else { Ok(()) },
    )
    .await;

    stack.signal(Signal::SIGTERM);
    eventually("a server that takes nothing new", async || match TcpStream::connect(stack.address()).await {
        Ok(_) => Err("it does"),
        Err(_) => Ok(()),
    })
    .await;
    upload.write_all(&content[100_000..]).await.unwrap();

    let id = accepted(&read_answer(upload).await);
    assert_eq!(stack.exit().await.code(), Some(0));
    stack.start().await;
    assert_eq!(stack.until(&id, "succeeded").await["result"]["md5"], md5sum(&content));
    stack.each_task_has_one_line(&[]).await;
});

on_both_stacks!(what_cannot_be_finished_in_time_is_handed_back, [("WORKERS", "1")], |stack| async move {
    let held = stack.hold_worker().await;
    let waiting = stack.put("abc").await;
    let _upload_that_stands_still = stack.begin_put(200_000, 100_000).await;
    let id = held.id.clone();

    stack.signal(Signal::SIGTERM);
    let status = timeout(END_WITHIN, stack.exit()).await.expect("it goes on and on");
    assert_eq!(status.code(), Some(0));
    let parts: Vec<_> =
        stack.blobs().into_iter().filter(|path| path.starts_with(stack.data("blobs/tmp"))).collect();
    assert!(parts.is_empty(), "of the upload that was cut off: {parts:?}");
    held.restore();
    stack.start().await;

    stack.until(&id, "succeeded").await;
    stack.until(&waiting, "succeeded").await;
    stack.each_task_has_one_line(&[]).await;
});

on_both_stacks!(a_second_signal_ends_it_there_and_then, [("WORKERS", "1")], |stack| async move {
    let held = stack.hold_worker().await;
    let id = held.id.clone();

    let again = async || {
        stack.signal(Signal::SIGTERM);
        stack.exit_status().ok_or("it still runs")
    };
    let status = eventually("the end of the program", again).await;
    assert_ne!(status.code(), Some(0), "it was not the first signal that ended it");
    held.restore();
    stack.start().await;

    stack.until(&id, "succeeded").await;
    stack.each_task_has_one_line(&[]).await;
});
