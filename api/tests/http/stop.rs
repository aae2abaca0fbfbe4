//! The stop of a server: it accepts nothing new, and finishes requests under way.

use test_kit::eventually;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::desk::{Desk, Raw, json};

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_under_way_is_finished_and_who_waits_is_answered() {
    let mut desk = Desk::open();
    let mut upload = desk.connect().await;
    let head =
        "PUT /api/v1/md5/a HTTP/1.1\r\nHost: desk\r\nExpect: 100-continue\r\nContent-Length: 6\r\n\r\n";
    upload.write_all(head.as_bytes()).await.unwrap();
    upload.read_exact(&mut [0; 25]).await.unwrap();
    upload.write_all(b"abc").await.unwrap();
    let task = json(desk.put("b", "b").send().await.unwrap()).await;
    let mut wait = desk.connect().await;
    let path = format!("/api/v1/md5/{}?wait=60", task["id"].as_str().unwrap());
    wait.write_all(format!("GET {path} HTTP/1.1\r\nHost: desk\r\nExpect: 100-continue\r\n\r\n").as_bytes())
        .await
        .unwrap();
    wait.read_exact(&mut [0; 25]).await.unwrap();

    desk.stop.take().unwrap().send(()).unwrap();
    eventually("the server accepts no connection", async || TcpStream::connect(desk.address).await.is_err())
        .await;
    upload.write_all(b"def").await.unwrap();

    let answer = Raw::read(upload).await;
    assert_eq!(answer.status(), 202, "{answer:?}");
    assert_eq!(answer.body()["input"]["size"], 6);
    let answer = Raw::read(wait).await;
    assert_eq!(answer.body()["status"], "pending", "{answer:?}");
    desk.served.await.unwrap();
}
