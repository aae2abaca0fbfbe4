//! A client of Coatcheck's HTTP API: hands a file in, waits for its digest, reads tasks and outcomes; adds records and reads them.
//!
//! It hashes nothing. It retries failures that may pass (a server that is starting, full or restarting). Every upload carries an
//! `Idempotency-Key`, so one that is repeated after a lost answer is one task.
//!
//! [`calls`] has each call with its answer, as the API's description has it.
#![deny(missing_docs)]

mod answers;
pub mod calls;
mod client;
mod error;
pub mod http;
mod lines;
mod meter;
mod operators;
mod patience;
mod records;
mod server;
mod tasks;
mod upload;

use std::time::Duration;

pub use reqwest::StatusCode;

pub use self::answers::{
    Added, AsSent, CODES, Input, Log, NewRecord, Outcome, OutcomeList, Output, Problem, Readiness, Record,
    Status, Task, TaskError, TaskList, Time,
};
pub use self::client::Client;
pub use self::error::{ClientError, SettingError};
pub use self::lines::Lines;
pub use self::meter::{Meter, Outages};
pub use self::operators::{
    Act, ActList, Action, Attempt, AttemptList, BulkCount, BulkRequest, Kind, KindList, KindPause, Point,
    RunningTask, Stats, Worker, WorkerDrain, WorkerList,
};
pub use self::server::ServerArgs;
pub use self::tasks::TaskQuery;
pub use self::upload::STDIN;

/// How long the server is asked to wait for an end; polls are repeated.
pub const WAIT: Duration = Duration::from_secs(30);
/// The most tasks that a command waits for at once: each wait holds a connection.
pub const WAITS: usize = 64;
/// The setting with the server's address.
pub const URL: &str = "COATCHECK_URL";
