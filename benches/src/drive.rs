//! The one driver: clients that submit different files in a closed loop, and the outcomes.

use std::collections::HashSet;
use std::fmt;
use std::ops::AddAssign;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use serde_json::Value;
use tokio::time::sleep;

use crate::connection::Connection;
use crate::error::BenchError;
use crate::figures::{Figures, per_second};
use crate::outcomes::Outcomes;
use crate::target::Target;

/// The interval at which the log is read.
const LOOK: Duration = Duration::from_millis(5);
/// The time without a new line after which the missing ones are assumed never to come.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The time after the last line in which a second line of a promise would appear.
const AFTERWARDS: Duration = Duration::from_millis(300);
/// The shortest interval between a paced client's requests, so that the client does not measure a queue of its own.
const PAUSE: Duration = Duration::from_millis(5);
/// The number of digests that are computed at once.
const BESIDE: usize = 32;

/// Files of one length, no two alike.
#[derive(Debug)]
pub struct Files {
    content: Vec<u8>,
    next: AtomicU64,
}

impl Files {
    /// Creates files of that many bytes, at least eight.
    pub fn new(length: usize) -> Self {
        let mut content = vec![0; length];
        fastrand::Rng::with_seed(1).fill(&mut content);
        Self { content, next: AtomicU64::new(0) }
    }

    /// Returns a request that submits another file each time, as a form.
    pub fn upload(&self, path: &str) -> Upload<'_> {
        const BOUNDARY: &str = "a-boundary-that-is-in-no-file";
        let begin = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"upload\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        );
        let end = format!("\r\n--{BOUNDARY}--\r\n");
        let length = begin.len() + self.content.len() + end.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\
             Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n{begin}"
        );
        let request = [head.as_bytes(), &self.content, end.as_bytes()].concat();
        Upload { files: self, request, number_at: head.len() }
    }

    /// Returns a request that submits another file each time, as a raw body.
    pub fn put(&self, path: &str) -> Upload<'_> {
        let length = self.content.len();
        let head = format!("PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n");
        let request = [head.as_bytes(), &self.content].concat();
        Upload { files: self, request, number_at: head.len() }
    }

    /// Returns the digests of these files.
    fn digests(&self, numbers: &[u64]) -> Vec<String> {
        let content = |number: &u64| [&number.to_le_bytes(), &self.content[8..]].concat();
        let beside = |numbers: &[u64]| {
            let contents: Vec<Vec<u8>> = numbers.iter().map(content).collect();
            md5_lanes::digest_many(&contents).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        numbers.chunks(BESIDE).flat_map(beside).collect()
    }
}

/// A request that carries a file.
pub struct Upload<'a> {
    files: &'a Files,
    request: Vec<u8>,
    number_at: usize,
}

impl Upload<'_> {
    /// Submits a file that was not submitted before.
    ///
    /// # Errors
    /// If the file is rejected.
    pub async fn send(&mut self, connection: &mut Connection) -> Result<Promise, BenchError> {
        let number = self.files.next.fetch_add(1, Relaxed);
        self.request[self.number_at..][..8].copy_from_slice(&number.to_le_bytes());
        connection.ask(&self.request, 202).await?;
        let id = match connection.told("id")? {
            Value::String(id) => id,
            id => id.to_string(),
        };
        Ok(Promise { id, number })
    }
}

/// A ticket for a file.
#[derive(Debug)]
pub struct Promise {
    pub id: String,
    number: u64,
}

/// When the clients stop.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// After that many files in all.
    Promises(usize),
    Passed(Duration),
}

/// Submits files, each client the next one as soon as it has a ticket.
///
/// # Errors
/// If a file is rejected.
pub async fn submit(
    target: &Target<'_>,
    files: &Files,
    clients: usize,
    until: Until,
) -> Result<Vec<Promise>, BenchError> {
    hand_in(target.address(), || files.upload(target.path()), clients, until).await
}

/// Makes uploads at an address, each client the next one as soon as it has a ticket.
///
/// # Errors
/// If a file is rejected.
pub async fn hand_in<'a>(
    address: &str,
    upload: impl Fn() -> Upload<'a>,
    clients: usize,
    until: Until,
) -> Result<Vec<Promise>, BenchError> {
    let (begun, count) = (Instant::now(), AtomicUsize::new(0));
    let goes_on = || match until {
        Until::Promises(most) => count.fetch_add(1, Relaxed) < most,
        Until::Passed(time) => begun.elapsed() < time,
    };
    let client = async || {
        let mut connection = Connection::open(address).await?;
        let mut upload = upload();
        let mut promises = Vec::new();
        while goes_on() {
            promises.push(upload.send(&mut connection).await?);
        }
        Ok::<_, BenchError>(promises)
    };
    Ok(try_join_all((0..clients).map(|_| client())).await?.into_iter().flatten().collect())
}

/// Sends a request again and again: each client on a kept connection of its own, and with a pause after each answer, until it is over.
/// Returns the milliseconds to each answer, of requests sent after `warm_up`.
///
/// # Errors
/// If a request is rejected.
pub async fn paced(
    address: &str,
    request: &[u8],
    clients: usize,
    warm_up: Duration,
    is_over: impl Fn() -> bool,
) -> Result<Figures, BenchError> {
    let begun = Instant::now() + warm_up;
    let client = async || {
        let mut connection = Connection::open(address).await?;
        let mut times = Vec::new();
        while !is_over() {
            let sent = Instant::now();
            connection.ask(request, 202).await?;
            if sent >= begun {
                times.push(sent.elapsed().as_secs_f64() * 1e3);
            }
            sleep(PAUSE).await;
        }
        Ok::<_, BenchError>(times)
    };
    Ok(try_join_all((0..clients).map(|_| client())).await?.into_iter().flatten().collect())
}

/// The outcome of a set of promises.
#[derive(Debug)]
pub struct Outcome {
    pub promises: usize,
    /// The time from the first request to the last line.
    pub time: Duration,
    pub cpu: Duration,
    pub faults: Faults,
}

/// Counts that must be 0.
#[derive(Debug, Default, Clone, Copy)]
pub struct Faults {
    /// Promises without a line.
    pub lost: usize,
    /// Promises with more than one line.
    pub doubled: usize,
    /// Promises whose digest is not the file's.
    pub wrong: usize,
}

impl AddAssign for Faults {
    fn add_assign(&mut self, other: Self) {
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.wrong += other.wrong;
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}, {}", self.lost, self.doubled, self.wrong)
    }
}

impl Outcome {
    pub fn a_second(&self) -> f64 {
        per_second(self.promises - self.faults.lost, self.time)
    }

    pub fn cpu_millis(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e3 / self.promises as f64
    }
}

/// Submits files, waits until each has its line in the log, and checks the digests there.
///
/// # Errors
/// If a file is rejected, or the log can't be read.
pub async fn run(
    target: &Target<'_>,
    files: &Files,
    clients: usize,
    until: Until,
) -> Result<Outcome, BenchError> {
    let mut outcomes = Outcomes::from_now(target.log());
    let (begun, used) = (Instant::now(), target.cpu());
    let mut submitting = std::pin::pin!(submit(target, files, clients, until));
    let promises = loop {
        tokio::select! {
            submitted = &mut submitting => break submitted?,
            () = sleep(LOOK) => { outcomes.look()?; }
        }
    };
    let ended = until_ended(&mut outcomes, &promises).await?;
    let cpu = target.cpu().saturating_sub(used);
    let faults = faults(&mut outcomes, files, &promises).await?;
    Ok(Outcome { promises: promises.len(), time: ended - begun, cpu, faults })
}

/// Reads the log until each promise has a line or no more lines come. Returns when the last one was seen.
///
/// # Errors
/// If the log can't be read.
pub async fn until_ended(outcomes: &mut Outcomes, promises: &[Promise]) -> Result<Instant, BenchError> {
    let ids = promises.iter().map(|promise| promise.id.as_str());
    let mut open: HashSet<&str> = ids.filter(|id| !outcomes.digests.contains_key(*id)).collect();
    let mut last = Instant::now();
    while !open.is_empty() && last.elapsed() < TIMEOUT {
        sleep(LOOK).await;
        for id in outcomes.look()? {
            if open.remove(id.as_str()) {
                last = Instant::now();
            }
        }
    }
    Ok(last)
}

/// Returns the faults in the lines of these promises.
///
/// # Errors
/// If the log can't be read.
pub async fn faults(
    outcomes: &mut Outcomes,
    files: &Files,
    promises: &[Promise],
) -> Result<Faults, BenchError> {
    sleep(AFTERWARDS).await;
    outcomes.look()?;
    let mut faults = Faults::default();
    let numbers: Vec<u64> = promises.iter().map(|promise| promise.number).collect();
    for (promise, expected) in promises.iter().zip(files.digests(&numbers)) {
        let told = outcomes.digests.get(&promise.id).map(Vec::as_slice).unwrap_or_default();
        faults.lost += usize::from(told.is_empty());
        faults.doubled += usize::from(told.len() > 1);
        faults.wrong += usize::from(told.iter().any(|told| *told != expected));
    }
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_files_are_alike() {
        let digests = Files::new(1024).digests(&(0..100).collect::<Vec<_>>());

        assert_eq!(digests.len(), 100);
        assert_eq!(digests.iter().collect::<HashSet<_>>().len(), 100);
    }
}
