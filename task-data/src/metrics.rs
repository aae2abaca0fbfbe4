//! The names and descriptions of all counters, gauges and timings. Names begin with `coatcheck_`; durations are in seconds.
//!
//! Counters count in the process that reports them; values from the rows ([`crate::store::KindStats`]) are read for each scrape.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::kinds::Kind;
use crate::store::{KindStats, PoolUse};
use crate::task::Status;

const ACCEPTED: &str = "coatcheck_tasks_accepted_total";
const ENDED: &str = "coatcheck_tasks_ended_total";
const PUBLISHED: &str = "coatcheck_published_total";
const RETRIED: &str = "coatcheck_tasks_retried_total";
const LOST: &str = "coatcheck_tasks_lost_total";
const STALE: &str = "coatcheck_stale_completions_total";
const LEASES_LOST: &str = "coatcheck_leases_lost_total";
const LEASE_AGE: &str = "coatcheck_lease_age_seconds";
const HASHED: &str = "coatcheck_hashed_bytes_total";
const LOG_LINES: &str = "coatcheck_log_lines_total";
const LOG_FOREIGN: &str = "coatcheck_log_foreign_lines_total";
const LOG_BUSY: &str = "coatcheck_log_busy_total";
const LOG_WAIT: &str = "coatcheck_log_wait_seconds";
const ANSWER: &str = "coatcheck_answer_seconds";
const RESULT: &str = "coatcheck_result_seconds";
const TASKS: &str = "coatcheck_tasks";
const NEWER: &str = "coatcheck_newer_kind_tasks";
const UNPUBLISHED: &str = "coatcheck_unpublished_tasks";
const OLDEST: &str = "coatcheck_oldest_pending_seconds";
const CONNECTIONS: &str = "coatcheck_database_connections";
const WAITERS: &str = "coatcheck_waiters";
const QUEUE_UP: &str = "coatcheck_queue_up";
const QUEUE_DEPTH: &str = "coatcheck_queue_messages";
const DISK_FREE: &str = "coatcheck_disk_free_bytes";
const CALLS: &str = "coatcheck_provider_calls_total";
const CALL_SECONDS: &str = "coatcheck_provider_call_seconds";
const AVOIDABLE: &str = "coatcheck_paid_calls_avoidable_total";
const ROWS: &str = "coatcheck_table_rows_total";

/// Upper bounds of the buckets of all timings, in seconds.
pub const BUCKETS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0, 3600.0];

/// Describes each metric, once for each process, and starts the series that alerts use: an alert would not see a series grow that began
/// with its first increment.
pub(crate) fn describe() {
    for kind in Kind::ALL {
        counter!(ACCEPTED, "kind" => kind.name()).absolute(0);
        for status in Status::ALL.into_iter().filter(|status| status.is_ended()) {
            counter!(ENDED, "kind" => kind.name(), "status" => status.name()).absolute(0);
        }
    }
    for status in [Status::Pending, Status::Failed, Status::Cancelled] {
        counter!(LOST, "status" => status.name()).absolute(0);
    }
    for name in [PUBLISHED, RETRIED, STALE, LEASES_LOST, LOG_LINES, LOG_FOREIGN, LOG_BUSY] {
        counter!(name).absolute(0);
    }
    describe_counter!(ACCEPTED, "Tasks accepted, by kind");
    describe_counter!(ENDED, "Tasks ended by this process, by kind and status");
    describe_counter!(PUBLISHED, "Published tasks that the queue has confirmed");
    describe_counter!(RETRIED, "Attempts that failed for a transient reason and were charged to their task");
    describe_counter!(LOST, "Tasks taken back from lost workers, by their new status");
    describe_counter!(STALE, "Results rejected because another attempt had the task");
    describe_counter!(LEASES_LOST, "Leases lost by this worker");
    describe_gauge!(LEASE_AGE, Unit::Seconds, "Time since the database last confirmed this worker's lease");
    describe_counter!(HASHED, Unit::Bytes, "Bytes hashed");
    describe_counter!(LOG_LINES, "Lines written to the outcome log");
    describe_counter!(LOG_FOREIGN, "Lines of other programs found in the outcome log");
    describe_counter!(LOG_BUSY, "Times the outcome log was locked by another process");
    describe_histogram!(LOG_WAIT, Unit::Seconds, "Time spent waiting for the outcome log's lock");
    describe_histogram!(ANSWER, Unit::Seconds, "Time from the end of an upload to its ticket");
    describe_histogram!(RESULT, Unit::Seconds, "Time from a task's row to its result");
    describe_gauge!(TASKS, "Tasks that have not ended, by kind and status");
    describe_gauge!(NEWER, "Tasks of kinds that only a newer version knows, not ended or without a line");
    describe_gauge!(UNPUBLISHED, "Pending tasks whose ids are not on the queue, by kind");
    describe_gauge!(OLDEST, Unit::Seconds, "Age of the oldest pending task, by kind");
    describe_gauge!(CONNECTIONS, "Connections to the database, by state");
    describe_gauge!(WAITERS, "Clients that wait for a task in this process");
    describe_gauge!(QUEUE_UP, "1 if the queue answers, 0 if not");
    describe_gauge!(QUEUE_DEPTH, "Messages on the queue, by kind; a message may carry several tasks");
    describe_gauge!(
        DISK_FREE,
        Unit::Bytes,
        "Free space on the disks of the uploads and of an embedded database"
    );
    describe_counter!(CALLS, "Requests sent to providers, by provider and outcome");
    describe_histogram!(CALL_SECONDS, Unit::Seconds, "Time from a request to a provider to its reply");
    describe_counter!(AVOIDABLE, "Requests to the paid provider that the free provider would have taken");
    describe_counter!(ROWS, "Rows of tables that were answered, by outcome");
}

/// Counts tasks that the queue has confirmed.
pub(crate) fn published(count: usize) {
    counter!(PUBLISHED).increment(count as u64);
}

pub(crate) fn accepted(kind: Kind, answer: Duration) {
    counter!(ACCEPTED, "kind" => kind.name()).increment(1);
    histogram!(ANSWER).record(answer);
}

/// Counts a task that a commit of this process has ended.
pub(crate) fn ended(kind: &str, status: Status) {
    counter!(ENDED, "kind" => kind.to_owned(), "status" => status.name()).increment(1);
}

/// Records the time from a task's row to its result.
pub(crate) fn result(age: Duration) {
    histogram!(RESULT).record(age);
}

pub(crate) fn retried(count: usize) {
    counter!(RETRIED).increment(count as u64);
}

pub(crate) fn lost(status: Status) {
    counter!(LOST, "status" => status.name()).increment(1);
}

pub(crate) fn stale_completion() {
    counter!(STALE).increment(1);
}

/// Counts a lost lease of this worker.
pub fn lease_lost() {
    counter!(LEASES_LOST).increment(1);
}

/// Sets the time since the database last confirmed a worker's lease.
pub fn lease_age(age: Duration) {
    gauge!(LEASE_AGE).set(age.as_secs_f64());
}

/// Counts hashed bytes.
pub fn hashed(bytes: u64) {
    counter!(HASHED).increment(bytes);
}

/// Counts a time that another process had the outcome log's lock.
pub fn log_busy() {
    counter!(LOG_BUSY).increment(1);
}

/// Records the time until the log's lock was acquired, and the lines of the step.
pub fn log_step(wait: Duration, done: shared_log::Done) {
    histogram!(LOG_WAIT).record(wait);
    counter!(LOG_LINES).increment(done.written as u64);
    counter!(LOG_FOREIGN).increment(done.foreign as u64);
}

/// Records a request to a provider: its outcome and its duration.
pub fn provider_called(provider: &'static str, outcome: &'static str, took: Duration) {
    counter!(CALLS, "provider" => provider, "outcome" => outcome).increment(1);
    histogram!(CALL_SECONDS, "provider" => provider).record(took);
}

/// Counts requests to the paid provider that could have been avoided; 0 starts the series.
pub fn paid_avoidably(count: u64) {
    counter!(AVOIDABLE).increment(count);
}

/// Counts an answered row of a table, by whether it has failed.
pub fn row_answered(has_failed: bool) {
    counter!(ROWS, "outcome" => if has_failed { "failed" } else { "taken" }).increment(1);
}

pub(crate) fn rows(stats: &KindStats) {
    let kind = stats.kind.name();
    gauge!(TASKS, "kind" => kind, "status" => Status::Pending.name()).set(stats.pending as f64);
    gauge!(TASKS, "kind" => kind, "status" => Status::Running.name()).set(stats.running as f64);
    gauge!(UNPUBLISHED, "kind" => kind).set(stats.unpublished as f64);
    gauge!(OLDEST, "kind" => kind).set(stats.oldest_pending.as_secs_f64());
}

/// Sets the number of tasks of kinds that only a newer version knows.
pub(crate) fn newer_kinds(count: i64) {
    gauge!(NEWER).set(count as f64);
}

pub(crate) fn connections(pool: PoolUse) {
    gauge!(CONNECTIONS, "state" => "used").set(pool.used as f64);
    gauge!(CONNECTIONS, "state" => "free").set(pool.free as f64);
}

pub(crate) fn waiter_came() {
    gauge!(WAITERS).increment(1.0);
}

pub(crate) fn waiter_left() {
    gauge!(WAITERS).decrement(1.0);
}

/// Sets the free space of the disk that has the uploads or the database; `None` if it is not known.
pub fn disk_free(of: &'static str, bytes: Option<u64>) {
    if let Some(bytes) = bytes {
        gauge!(DISK_FREE, "of" => of).set(bytes as f64);
    }
}

/// Sets whether the queue answers, and its depth; `None` if it does not answer.
pub(crate) fn queue(kind: Kind, depth: Option<u64>) {
    gauge!(QUEUE_UP).set(f64::from(u8::from(depth.is_some())));
    if let Some(depth) = depth {
        gauge!(QUEUE_DEPTH, "kind" => kind.name()).set(depth as f64);
    }
}
