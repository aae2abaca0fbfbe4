//! Measures reads of the records after the last one: whether they take longer in a large log.

use fastrand::Rng;

use super::RecordsArgs;
use crate::connection::{Connection, request};
use crate::error::BenchError;
use crate::figures::{Figures, timed};
use crate::lines;
use crate::service::{Service, Stack};

/// The number of calls of each log in a repetition.
pub const CALLS: usize = 2000;
pub const TABLE: &str = "\
| stack | small: median ms | large: median ms | large by small |\n|---|---|---|---|\n";

/// A client that asks one log.
struct Asker {
    connection: Connection,
    request: Vec<u8>,
}

impl Asker {
    async fn new(service: &Service) -> Result<Self, BenchError> {
        let last = service.add_line(&lines::line(&mut Rng::new())).await?;
        let request = request("GET", &format!("/api/data?id={last}"), "");
        Ok(Self { connection: Connection::open(&service.address).await?, request })
    }

    /// Asks once. Returns the milliseconds of the answer.
    async fn ask(&mut self) -> Result<f64, BenchError> {
        let (answer, time) = timed(self.connection.ask(&self.request, 200)).await;
        answer?;
        Ok(time.as_secs_f64() * 1e3)
    }
}

/// Returns a row of the table.
///
/// # Errors
/// If an answer is not the expected one.
pub async fn measure(
    small: &Service,
    large: &Service,
    stack: Stack,
    args: &RecordsArgs,
) -> Result<String, BenchError> {
    let (mut of_small, mut of_large) = (Asker::new(small).await?, Asker::new(large).await?);
    let (mut small_millis, mut large_millis) = (Figures::default(), Figures::default());
    for _ in 0..args.repeat {
        let (mut smalls, mut larges) = (Figures::default(), Figures::default());
        for _ in 0..CALLS {
            smalls.push(of_small.ask().await?);
            larges.push(of_large.ask().await?);
        }
        eprintln!("cursor, {stack}: {:.3} ms and {:.3} ms", smalls.median(), larges.median());
        small_millis.push(smalls.median());
        large_millis.push(larges.median());
    }
    let ratio = large_millis.by(&small_millis);
    let (small_millis, large_millis) = (small_millis.told(3), large_millis.told(3));
    Ok(format!("| {stack} | {small_millis} | {large_millis} | {} |\n", ratio.told(2)))
}
