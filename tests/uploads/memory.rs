//! Memory doesn't grow with what is uploaded.

use std::fs;
use std::sync::Arc;

use rstest_reuse::apply;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::kit::client::{accepted, read_answer};
use crate::kit::stack::{Setup, Stack, both_stacks};

const GIBIBYTE: usize = 1 << 30;
const CHUNK: usize = 1 << 20;
/// The memory that the program may need beyond its idle size.
const MARGIN_KIB: u64 = 150 << 10;

#[apply(both_stacks)]
async fn a_gibibyte_is_taken_in_and_hashed_in_bounded_memory(setup: Setup) {
    let stack = setup.start(&[]).await;
    let idle = stack.memory_kib("VmRSS");
    let mut connection = TcpStream::connect(stack.address()).await.unwrap();
    let head =
        format!("PUT /api/v1/md5/zeros HTTP/1.1\r\nHost: coatcheck\r\nContent-Length: {GIBIBYTE}\r\n\r\n");
    connection.write_all(head.as_bytes()).await.unwrap();
    let zeros = vec![0; CHUNK];
    for _ in 0..GIBIBYTE / CHUNK {
        connection.write_all(&zeros).await.unwrap();
    }

    let id = accepted(&read_answer(connection).await);
    let task = stack.until(&id, "succeeded").await;

    // head -c 1GiB /dev/zero | md5sum
    assert_eq!(task["result"]["md5"], "cd573cfaace07e7949bc0c46028904ff");
    let peak = stack.memory_kib("VmHWM");
    assert!(peak < idle + MARGIN_KIB, "{idle} KiB when idle, up to {peak} KiB then");
    stack.until_no_blobs().await;
}

impl Stack {
    /// A figure of the program's memory.
    pub fn memory_kib(self: &Arc<Self>, name: &str) -> u64 {
        memory_kib(self.pid(), name)
    }
}

/// A figure of a process's memory in `/proc/PID/status`.
pub fn memory_kib(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
