//! Uploads that are refused: each with its own code, and nothing of them is kept.

use std::sync::Arc;

use rstest_reuse::apply;
use test_kit::eventually;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{accepted, ask, form_request, read_answer, upload_request};
use crate::content::noise;
use crate::stack::{Setup, Stack, both_stacks};

/// A whole part `file` that is too large to travel in the row, and one that isn't.
fn file_part(bytes: usize) -> Vec<u8> {
    let head = b"--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n";
    [head, noise(1, bytes).as_slice(), b"\r\n"].concat()
}

fn text_part(name: &str, bytes: usize) -> Vec<u8> {
    format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{}\r\n", "x".repeat(bytes))
        .into_bytes()
}

fn named_part(disposition: &str) -> Vec<u8> {
    format!("--B\r\nContent-Disposition: {disposition}\r\n\r\nabc\r\n").into_bytes()
}

fn form(parts: &[Vec<u8>]) -> Vec<u8> {
    [parts.concat().as_slice(), b"--B--\r\n"].concat()
}

#[apply(both_stacks)]
async fn forms_that_are_not_well_made_are_refused_and_leave_nothing(setup: Setup) {
    let stack = setup.start(&[]).await;
    let long_name = "n".repeat(256);
    for (what, body, code) in [
        ("no part", form(&[]), "missing-file"),
        ("no part named file", form(&[text_part("other", 3)]), "missing-file"),
        (
            "nothing chosen",
            form(&[
                b"--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"\"\r\n\r\n\r\n".to_vec()
            ]),
            "missing-file",
        ),
        ("two small files", form(&[file_part(3), file_part(3)]), "multiple-files"),
        ("two large files", form(&[file_part(70_000), file_part(70_000)]), "multiple-files"),
        ("17 parts", form(&vec![text_part("other", 1); 17]), "invalid-multipart"),
        (
            "17 parts after a file",
            form(&[vec![file_part(70_000)], vec![text_part("other", 1); 17]].concat()),
            "invalid-multipart",
        ),
        ("a long text before the file", form(&[text_part("other", 4097), file_part(3)]), "invalid-multipart"),
        (
            "a long text after the file",
            form(&[file_part(70_000), text_part("other", 4097)]),
            "invalid-multipart",
        ),
        (
            "a long name",
            form(&[named_part(&format!("form-data; name=\"file\"; filename=\"{long_name}\""))]),
            "invalid-multipart",
        ),
        ("a part without a name", form(&[named_part("form-data")]), "invalid-multipart"),
        (
            "a part that is no form-data",
            form(&[named_part("attachment; name=\"file\"")]),
            "invalid-multipart",
        ),
        ("a part without headers", form(&[b"--B\r\n\r\nabc\r\n".to_vec()]), "invalid-multipart"),
        (
            "headers that go on and on",
            form(&[format!("--B\r\nX: {}\r\n\r\nabc\r\n", "x".repeat(100_000)).into_bytes()]),
            "invalid-multipart",
        ),
        (
            "33 headers",
            form(&[format!("--B\r\n{}\r\nabc\r\n", "X: y\r\n".repeat(33)).into_bytes()]),
            "invalid-multipart",
        ),
        ("no closing boundary", file_part(3), "incomplete-upload"),
        ("no closing boundary after a large file", file_part(70_000), "incomplete-upload"),
        ("an end within the file", file_part(70_000)[..50_000].to_vec(), "incomplete-upload"),
        ("an end within the headers", file_part(3)[..20].to_vec(), "incomplete-upload"),
        ("no body", Vec::new(), "incomplete-upload"),
    ] {
        println!("{what}");
        let answer = stack.raw(&form_request("B", &body)).await;

        answer.problem(400, code);
        nothing_is_kept(&stack).await;
    }
}

#[apply(both_stacks)]
async fn boundaries_that_can_not_be_are_refused(setup: Setup) {
    let stack = setup.start(&[]).await;
    let body = form(&[file_part(3)]);
    for boundary in ["", "\"\"", &"B".repeat(71)] {
        stack.raw(&form_request(boundary, &body)).await.problem(400, "invalid-multipart");
    }
    let bare = upload_request(&[("Content-Type", "multipart/form-data")], &body);
    stack.raw(&bare).await.problem(400, "invalid-multipart");
    nothing_is_kept(&stack).await;

    let quoted = "a b(c)'d";
    let body = String::from_utf8(body).unwrap().replace("--B", &format!("--{quoted}"));
    accepted(&stack.raw(&form_request(&format!("\"{quoted}\""), body.as_bytes())).await);
}

#[apply(both_stacks)]
async fn what_is_no_form_is_refused(setup: Setup) {
    let stack = setup.start(&[]).await;
    let body = form(&[file_part(3)]);
    for headers in [
        &[][..],
        &[("Content-Type", "application/json")],
        &[("Content-Type", "application/x-www-form-urlencoded")],
        &[("Content-Type", "multipart/mixed; boundary=B")],
        &[("Content-Type", "nonsense")],
        &[("Content-Type", "multipart/form-data; boundary=B"), ("Content-Encoding", "gzip")],
    ] {
        println!("{headers:?}");
        stack.raw(&upload_request(headers, &body)).await.problem(415, "unsupported-media-type");
        nothing_is_kept(&stack).await;
    }
}

#[apply(both_stacks)]
async fn a_length_that_is_too_small_cuts_the_upload_and_ends_the_connection(setup: Setup) {
    let stack = setup.start(&[]).await;
    let request = String::from_utf8(form_request("B", &form(&[text_part("file", 100)]))).unwrap();
    let length = request.lines().find(|line| line.starts_with("Content-Length")).unwrap();
    let request = request.replace(length, "Content-Length: 60");

    let answer = stack.raw(format!("{request}GET /healthz HTTP/1.1\r\n\r\n").as_bytes()).await;

    // The rest of it is never taken for another request.
    answer.problem(400, "incomplete-upload");
    assert_eq!(answer.header("connection"), "close");
    nothing_is_kept(&stack).await;
}

#[apply(both_stacks)]
async fn what_is_no_http_is_refused(setup: Setup) {
    let stack = setup.start(&[]).await;
    let post =
        "POST /api/v1/md5 HTTP/1.1\r\nHost: coatcheck\r\nContent-Type: multipart/form-data; boundary=B\r\n";
    for request in [
        format!("{post}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("{post}Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcde"),
        format!("{post}Content-Length: -1\r\n\r\nabcde"),
        format!("{post}Content-Length: abc\r\n\r\nabcde"),
        "nonsense\r\n\r\n".to_owned(),
    ] {
        let answer = stack.raw(request.as_bytes()).await;

        assert_eq!(answer.status, 400, "{request}: {}", answer.text());
        nothing_is_kept(&stack).await;
    }
}

#[apply(both_stacks)]
async fn a_chunked_upload_is_whole_only_with_its_last_chunk(setup: Setup) {
    let stack = setup.start(&[]).await;
    let head = "PUT /api/v1/md5/a HTTP/1.1\r\nHost: coatcheck\r\nTransfer-Encoding: chunked\r\n\r\n";
    for chunks in
        ["3\r\nabc\r\n", "3\r\nab", "FFFFFFFFFFFFFFFF1\r\nabc", "-1\r\nabc", "3\r\nabcdef\r\n0\r\n\r\n"]
    {
        let mut cut = TcpStream::connect(stack.address()).await.unwrap();
        cut.write_all(format!("{head}{chunks}").as_bytes()).await.unwrap();
        cut.shutdown().await.unwrap();
        let mut end = Vec::new();
        let _ = cut.read_to_end(&mut end).await;

        // A refusal, or a connection that just ends.
        let end = String::from_utf8_lossy(&end);
        assert!(end.is_empty() || end.starts_with("HTTP/1.1 400 "), "{chunks:?}: {end}");
        nothing_is_kept(&stack).await;
    }

    let id = accepted(&stack.raw(format!("{head}3\r\nabc\r\n0\r\n\r\n").as_bytes()).await);

    assert_eq!(stack.until(&id, "succeeded").await["result"]["md5"], "900150983cd24fb0d6963f7d28e17f72");
}

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
async fn what_is_too_large_is_told_before_it_is_sent(setup: Setup) {
    let stack = setup.start(&[("MAX_UPLOAD", "1MiB")]).await;
    let mut connection = TcpStream::connect(stack.address()).await.unwrap();
    let head = "PUT /api/v1/md5/a HTTP/1.1\r\nHost: coatcheck\r\nContent-Length: 1048577\r\n\r\n";
    connection.write_all(head.as_bytes()).await.unwrap();

    // Not a byte of the body was sent.
    read_answer(connection).await.problem(413, "upload-too-large");
    nothing_is_kept(&stack).await;
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
