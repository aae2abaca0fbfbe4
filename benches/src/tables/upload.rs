//! Measures a large table, accepted or rejected as it arrives, compared with a bare parse of the same bytes by the `csv` crate.

use std::io::{self, Read};
use std::time::Instant;

use bytes::Bytes;
use csv::{ByteRecord, ReaderBuilder};
use fastrand::Rng;
use futures::stream;
use serde_json::Value;

use super::TablesArgs;
use crate::Bench;
use crate::error::BenchError;
use crate::figures::{Figures, timed};
use crate::service::{Service, Stack};

const HEADER: &[u8] = b"userId,title,body\n";
/// A last row for which a table is rejected.
const RAGGED: &[u8] = b"1,one cell too few\n";
const CHUNK: usize = 1 << 20;
const BOUNDARY: &str = "a-boundary-that-no-row-has";

/// Measures both cases on each stack, and writes the section.
///
/// # Errors
/// If a table is not answered as expected.
pub async fn run(bench: &Bench, args: &TablesArgs) -> Result<(), BenchError> {
    let mut table =
        "| stack | table | MiB above idle at most | seconds | bare parse, seconds | times its time |\n\
        |---|---|---|---|---|---|\n"
            .to_owned();
    let chunk = rows_of(CHUNK);
    let stacks = args.stack.map_or_else(|| vec![Stack::Embedded, Stack::Distributed], |stack| vec![stack]);
    for stack in stacks {
        for (last, told, status) in [(&b""[..], "accepted", 202), (RAGGED, "refused at its last row", 422)] {
            let (mut memory_mib, mut seconds, mut bare) =
                (Figures::default(), Figures::default(), Figures::default());
            for _ in 0..args.repeat {
                // A service of its own each time: it keeps as much of a table on disk.
                let service = Service::start(&bench.program, stack, &bench.servers).await?;
                let memory = service.process.watch_memory();
                let body = body(chunk.clone(), args.mib, last);
                let (answer, time) = timed(service.send_table(BOUNDARY, body, status)).await;
                answer?;
                memory_mib.push(memory.most_above_idle_mib().await);
                seconds.push(time.as_secs_f64());
                drop(service);
                bare.push(bare_parse(&chunk, args.mib)?);
                eprintln!("table, {stack}, {told}: {:.1} s", time.as_secs_f64());
            }
            let ratio = seconds.by(&bare);
            let (memory_mib, seconds, bare) = (memory_mib.told(1), seconds.told(1), bare.told(1));
            table +=
                &format!("| {stack} | {told} | {memory_mib} | {seconds} | {bare} | {} |\n", ratio.told(2));
        }
    }
    let text = format!(
        "A table of {} MiB, sent to `POST /api/v1/tables` by a client on the same machine: checked as it comes in, and kept on disk \
         before it is answered. Beside it `csv::Reader` alone reads the same bytes from memory and keeps nothing.\n\n{table}",
        args.mib
    );
    bench.report.write("tables: a large one is taken", &text)
}

/// Returns rows of about that many bytes; one in eight has a cell in quotes, with a line end in it.
fn rows_of(bytes: usize) -> Bytes {
    let mut rng = Rng::with_seed(7);
    let mut rows = String::new();
    while rows.len() < bytes {
        let words = |rng: &mut Rng, count: usize| {
            let word = |rng: &mut Rng| (0..rng.usize(2..9)).map(|_| rng.lowercase()).collect::<String>();
            (0..count).map(|_| word(rng)).collect::<Vec<_>>().join(" ")
        };
        let (title, body) = (words(&mut rng, 4), words(&mut rng, 12));
        let user = rng.u32(1..10_000);
        rows += &match rng.u32(..8) {
            0 => format!("{user},{title},\"{body},\nand \"\"more\"\"\"\n"),
            _ => format!("{user},{title},{body}\n"),
        };
    }
    rows.into()
}

/// Returns the table as the one part of a form.
fn body(chunk: Bytes, mib: usize, last: &'static [u8]) -> reqwest::Body {
    let head = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"large.csv\"\r\n\
         Content-Type: text/csv\r\n\r\n"
    );
    let begin = [Bytes::from(head), Bytes::from_static(HEADER)];
    let end = [Bytes::from_static(last), Bytes::from(format!("\r\n--{BOUNDARY}--\r\n"))];
    let chunks = begin.into_iter().chain(std::iter::repeat_n(chunk, mib)).chain(end);
    reqwest::Body::wrap_stream(stream::iter(chunks.map(Ok::<_, io::Error>)))
}

/// Returns the seconds that the `csv` crate needs for the same rows.
fn bare_parse(chunk: &Bytes, mib: usize) -> Result<f64, BenchError> {
    let begun = Instant::now();
    let repeated = Repeated { chunk: chunk.clone(), left: mib, at: 0 };
    let mut reader = ReaderBuilder::new().from_reader(HEADER.chain(repeated));
    let (mut record, mut rows) = (ByteRecord::new(), 0_u64);
    while reader.read_byte_record(&mut record).map_err(|error| BenchError::Unexpected(error.to_string()))? {
        rows += 1;
    }
    std::hint::black_box(rows);
    Ok(begun.elapsed().as_secs_f64())
}

/// A chunk that is repeated.
struct Repeated {
    chunk: Bytes,
    left: usize,
    at: usize,
}

impl Read for Repeated {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Ok(0);
        }
        let count = (&self.chunk[self.at..]).read(buffer)?;
        self.at += count;
        if self.at == self.chunk.len() {
            (self.at, self.left) = (0, self.left - 1);
        }
        Ok(count)
    }
}

impl Service {
    async fn send_table(&self, boundary: &str, body: reqwest::Body, expected: u16) -> Result<(), BenchError> {
        let content_type = format!("multipart/form-data; boundary={boundary}");
        let request = self.http.post(self.url("/api/v1/tables")).header("Content-Type", content_type);
        let response = request.body(body).send().await?;
        let status = response.status().as_u16();
        let answer: Value = response.json().await?;
        let unexpected = || BenchError::Unexpected(format!("a table was answered by {status}: {answer}"));
        (status == expected).then_some(()).ok_or_else(unexpected)
    }
}
