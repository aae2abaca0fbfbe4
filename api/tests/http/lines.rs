//! Requests that are wrong below the handlers: HTTP itself.

use tokio::io::AsyncWriteExt;

use crate::desk::{Desk, Raw};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_can_be_read_in_two_ways_is_refused() {
    let desk = Desk::open();
    let put = "PUT /api/v1/md5/a HTTP/1.1\r\nHost: desk\r\n";
    let chunked = format!("{put}Transfer-Encoding: chunked\r\n");

    for (what, request, statuses) in [
        ("two framings", format!("{chunked}Content-Length: 3\r\n\r\n3\r\nabc\r\n0\r\n\r\n"), &[400][..]),
        ("two lengths", format!("{put}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"), &[400]),
        ("a negative length", format!("{put}Content-Length: -1\r\n\r\n"), &[400]),
        // actix closes without a word when a chunk's size is no number that it can hold.
        ("an endless chunk", format!("{chunked}\r\nFFFFFFFFFFFFFFFF1\r\nabc"), &[0]),
        ("a negative chunk", format!("{chunked}\r\n-1\r\nabc"), &[0, 400]),
        ("a chunked body cut short", format!("{chunked}\r\n3\r\nabc\r\n"), &[400]),
        (
            "a coding below the chunks",
            format!("{put}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
            &[400, 501],
        ),
        ("200 kB of headers", format!("{put}A: {}\r\n\r\n", "x".repeat(200_000)), &[431]),
        ("97 headers", format!("{put}{}\r\n", "A: b\r\n".repeat(97)), &[400, 431]),
        ("an address of 200 kB", format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(200_000)), &[400, 414, 431]),
        ("no HTTP", "hello\r\n\r\n".to_owned(), &[400]),
    ] {
        let answer = desk.raw(request.as_bytes()).await;

        assert!(statuses.contains(&answer.status()), "{what}: {answer:?}");
        desk.is_empty_after(what).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_leaves_nothing() {
    let desk = Desk::open();

    for bytes in [0, 1, 10_000, 99_999] {
        let mut connection = desk.connect().await;
        let head = "PUT /api/v1/md5/a HTTP/1.1\r\nHost: desk\r\nContent-Length: 100000\r\n\r\n";
        connection.write_all(head.as_bytes()).await.unwrap();
        connection.write_all(&vec![b'x'; bytes]).await.unwrap();
        connection.set_zero_linger().unwrap();

        drop(connection);

        desk.is_empty_after(&format!("a reset after {bytes} bytes")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_goes_on_after_an_upload() {
    let desk = Desk::open();
    let put = "PUT /api/v1/md5/a HTTP/1.1\r\nHost: desk\r\nContent-Length: 3\r\n\r\nabc";
    let body = "--b0\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nabc\r\n--b0--\r\n";
    let length = body.len();
    let post = format!(
        "POST /api/v1/md5 HTTP/1.1\r\nHost: desk\r\nContent-Type: multipart/form-data; boundary=b0\r\nContent-Length: {length}\r\n\r\n{body}"
    );

    let mut connection = desk.connect().await;
    connection.write_all([put, &post, put, &post].concat().as_bytes()).await.unwrap();
    connection.shutdown().await.unwrap();

    let answer = Raw::read(connection).await;
    assert_eq!(answer.responses(), 4, "{answer:?}");
    assert_eq!(desk.tasks().await.len(), 4);
}
