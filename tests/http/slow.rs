//! Clients that take their time: their connections end, and other clients do not wait for them.

use rstest_reuse::apply;
use test_kit::DEADLINE;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Duration, timeout};

use crate::kit::client::whole_answer;
use crate::kit::stack::{Setup, embedded};

/// How often a byte is sent: far more often than any pause that is allowed.
const DRIP: Duration = Duration::from_millis(50);

#[apply(embedded)]
async fn a_head_that_drips_in_is_refused(setup: Setup) {
    let stack = setup.start(&[]).await;
    let connection = TcpStream::connect(stack.address()).await.unwrap();

    let answered = drip(connection, b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: ").await;

    assert!(answered.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&answered));
}

#[apply(embedded)]
async fn a_later_head_that_drips_in_ends_its_connection(setup: Setup) {
    let stack = setup.start(&[]).await;
    let connection = TcpStream::connect(stack.address()).await.unwrap();

    // Whole, and the next one behind it.
    let head = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /healthz HTTP/1.1\r\nHost: a\r\nX: ";
    let answered = drip(connection, head).await;

    let (first, length) = whole_answer(&answered).unwrap();
    assert_eq!(first.status, 200);
    let rest = String::from_utf8_lossy(&answered[length..]);
    assert!(!rest.starts_with("HTTP/1.1 2"), "{rest}");
}

/// Sends these bytes and then one after the other until the server ends the connection; all that it has answered.
async fn drip(connection: TcpStream, first: &[u8]) -> Vec<u8> {
    let (mut reader, mut writer) = connection.into_split();
    let dripping = async {
        writer.write_all(first).await.unwrap();
        while writer.write_all(b"x").await.is_ok() {
            tokio::time::sleep(DRIP).await;
        }
        std::future::pending::<()>().await;
    };
    let answered = async {
        let mut answered = Vec::new();
        let _ = reader.read_to_end(&mut answered).await;
        answered
    };
    let both = async {
        tokio::select! {
            () = dripping => unreachable!("it waits for the answer's end"),
            answered = answered => answered,
        }
    };
    timeout(DEADLINE, both).await.expect("the server waits")
}
