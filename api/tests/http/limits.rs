//! Requests that exceed a limit.

use std::convert::Infallible;

use bytes::Bytes;
use futures::stream;
use reqwest::multipart::{Form, Part};
use test_kit::eventually;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::desk::{Desk, is_problem};

fn chunked(bytes: usize) -> reqwest::Body {
    let chunks = (0..bytes / 1000).map(|_| Ok::<_, Infallible>(Bytes::from_static(&[0; 1000])));
    reqwest::Body::wrap_stream(stream::iter(chunks))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_may_have_max_upload_bytes_and_no_more() {
    let desk = Desk::with(&["--max-upload", "50000"]);
    let post = |bytes: usize| {
        let form = Form::new().part("file", Part::bytes(vec![0; bytes]).file_name("a"));
        desk.client.post(desk.url("/api/v1/md5")).multipart(form)
    };

    for (what, request) in [
        ("a body", desk.put("a", vec![0; 51_000])),
        ("a body of unknown length", desk.put("a", chunked(51_000))),
        ("a form", post(51_000)),
        ("a large form", post(5_000_000)),
    ] {
        is_problem(request.send().await.unwrap(), 413, "upload-too-large", what).await;
        desk.is_empty_after(what).await;
    }
    for request in [desk.put("a", vec![0; 50_000]), desk.put("a", chunked(50_000)), post(50_000)] {
        assert_eq!(request.send().await.unwrap().status(), 202);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_upload_is_taken_when_the_disk_is_nearly_full() {
    let desk = Desk::with(&["--min-free-disk", "1000000TiB"]);

    is_problem(desk.put("a", "abc").send().await.unwrap(), 507, "insufficient-storage", "a full disk").await;

    desk.is_empty_after("a full disk").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_has_an_end() {
    let desk = Desk::with(&["--max-pending", "3"]);
    for _ in 0..3 {
        assert_eq!(desk.put("a", "abc").send().await.unwrap().status(), 202);
    }

    is_problem(desk.put("a", "abc").send().await.unwrap(), 503, "queue-full", "a fourth").await;

    let id = desk.tasks().await[0]["id"].as_str().unwrap().to_owned();
    desk.client.delete(desk.url(&format!("/api/v1/tasks/{id}"))).send().await.unwrap();
    eventually("there is room again", async || desk.put("a", "abc").send().await.unwrap().status() == 202)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_uploads_that_stand_still_keep_out_large_ones_only() {
    let desk = Desk::open();
    let mut standing = Vec::new();
    // Half of the slots: as many as one client may have.
    for _ in 0..32 {
        let mut connection = desk.connect().await;
        let head = "PUT /api/v1/md5/a HTTP/1.1\r\nHost: desk\r\nExpect: 100-continue\r\nContent-Length: 100000\r\n\r\n";
        connection.write_all(head.as_bytes()).await.unwrap();
        connection.read_exact(&mut [0; 25]).await.unwrap();
        standing.push(connection);
    }

    eventually("a large one finds no place", async || {
        let response = desk.put("a", vec![0; 20_000]).send().await.unwrap();
        let is_refused = response.status() == 503;
        if is_refused {
            is_problem(response, 503, "overloaded", "a 33rd upload").await;
        }
        is_refused
    })
    .await;
    assert_eq!(desk.put("a", "abc").send().await.unwrap().status(), 202);

    drop(standing);
    eventually("there is room again", async || {
        desk.put("a", vec![0; 20_000]).send().await.unwrap().status() == 202
    })
    .await;
}
