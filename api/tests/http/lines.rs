//! Requests that are malformed in HTTP itself, below the handlers.

use tokio::io::AsyncWriteExt;

use crate::desk::{Desk, Raw};

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
