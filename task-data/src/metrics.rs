//! The names and descriptions of all counters, gauges and timings. Names begin with `coatcheck_`; durations are in seconds.
//!
//! Counters count in the process that reports them; values from the rows ([`crate::store::KindStats`]) are read for each scrape.

use std::sync::LazyLock;
use std::time::Duration;

use program::metrics::{
    Gauge, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, counter, counters, gauge, gauges,
    timing, timings,
};

use crate::kinds::Kind;
use crate::store::{KindStats, LogLag, Pause, PoolUse, Subject};
use crate::task::Status;

static ACCEPTED: LazyLock<IntCounterVec> =
    LazyLock::new(|| counters("coatcheck_tasks_accepted_total", "Tasks accepted, by kind", &["kind"]));
static ENDED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters(
        "coatcheck_tasks_ended_total",
        "Tasks ended by this process, by kind and status",
        &["kind", "status"],
    )
});
static PUBLISHED: LazyLock<IntCounter> =
    LazyLock::new(|| counter("coatcheck_published_total", "Published tasks that the queue has confirmed"));
static RETRIED: LazyLock<IntCounter> = LazyLock::new(|| {
    counter(
        "coatcheck_tasks_retried_total",
        "Attempts that failed for a transient reason and were charged to their task",
    )
});
static LOST: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters(
        "coatcheck_tasks_lost_total",
        "Tasks taken back from lost workers, by their new status",
        &["status"],
    )
});
static STALE: LazyLock<IntCounter> = LazyLock::new(|| {
    counter(
        "coatcheck_stale_completions_total",
        "Results rejected because another attempt had the task, or its kind was paused",
    )
});
static LEASES_LOST: LazyLock<IntCounter> =
    LazyLock::new(|| counter("coatcheck_leases_lost_total", "Leases lost by this worker"));
static LEASE_AGE: LazyLock<Gauge> = LazyLock::new(|| {
    gauge("coatcheck_lease_age_seconds", "Time since the database last confirmed this worker's lease")
});
static HASHED: LazyLock<IntCounter> =
    LazyLock::new(|| counter("coatcheck_hashed_bytes_total", "Bytes hashed"));
static LOG_LINES: LazyLock<IntCounter> =
    LazyLock::new(|| counter("coatcheck_log_lines_total", "Lines written to the outcome log"));
static LOG_FOREIGN: LazyLock<IntCounter> = LazyLock::new(|| {
    counter("coatcheck_log_foreign_lines_total", "Lines of other programs found in the outcome log")
});
static LOG_BUSY: LazyLock<IntCounter> = LazyLock::new(|| {
    counter("coatcheck_log_busy_total", "Times the outcome log was locked by another process")
});
static LOG_WAIT: LazyLock<Histogram> =
    LazyLock::new(|| timing("coatcheck_log_wait_seconds", "Time spent waiting for the outcome log's lock"));
static ANSWER: LazyLock<Histogram> =
    LazyLock::new(|| timing("coatcheck_answer_seconds", "Time from the end of an upload to its ticket"));
static RESULT: LazyLock<Histogram> =
    LazyLock::new(|| timing("coatcheck_result_seconds", "Time from a task's row to its result"));
static TASKS: LazyLock<GaugeVec> = LazyLock::new(|| {
    gauges("coatcheck_tasks", "Tasks that have not ended, by kind and status", &["kind", "status"])
});
static NEWER: LazyLock<Gauge> = LazyLock::new(|| {
    gauge(
        "coatcheck_newer_kind_tasks",
        "Tasks of kinds that only a newer version knows, not ended or without a line",
    )
});
static PRUNED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters(
        "coatcheck_pruned_total",
        "Tasks, rows of tables and uploads of failed tasks deleted by this process because they were old, by subject",
        &["subject"],
    )
});
static UNPUBLISHED: LazyLock<GaugeVec> = LazyLock::new(|| {
    gauges("coatcheck_unpublished_tasks", "Pending tasks whose ids are not on the queue, by kind", &["kind"])
});
static OLDEST: LazyLock<GaugeVec> = LazyLock::new(|| {
    gauges("coatcheck_oldest_pending_seconds", "Age of the oldest pending task, by kind", &["kind"])
});
static PAUSED: LazyLock<GaugeVec> = LazyLock::new(|| {
    gauges("coatcheck_paused", "1 if an operator has paused the kind's tasks, 0 if not, by kind", &["kind"])
});
static CONNECTIONS: LazyLock<GaugeVec> = LazyLock::new(|| {
    gauges("coatcheck_database_connections", "Connections to the database, by state", &["state"])
});
static WAITERS: LazyLock<Gauge> = LazyLock::new(|| {
    gauge("coatcheck_waiters", "Clients that wait for a task or for outcomes in this process")
});
static QUEUE_UP: LazyLock<Gauge> =
    LazyLock::new(|| gauge("coatcheck_queue_up", "1 if the queue answers, 0 if not"));
static QUEUE_DEPTH: LazyLock<GaugeVec> = LazyLock::new(|| {
    gauges(
        "coatcheck_queue_messages",
        "Messages on the queue, by kind; a message may carry several tasks",
        &["kind"],
    )
});
static DISK_FREE: LazyLock<GaugeVec> = LazyLock::new(|| {
    gauges(
        "coatcheck_disk_free_bytes",
        "Free space on the disks of the uploads and of an embedded database",
        &["of"],
    )
});
static DATABASE_BYTES: LazyLock<Gauge> =
    LazyLock::new(|| gauge("coatcheck_database_bytes", "Bytes that the database has on its disk"));
static LOG_BYTES: LazyLock<GaugeVec> = LazyLock::new(|| {
    gauges("coatcheck_log_bytes", "Bytes in the outcome log's current file, by the log's name", &["log"])
});
static LOG_BEHIND: LazyLock<GaugeVec> = LazyLock::new(|| {
    gauges(
        "coatcheck_log_behind_seconds",
        "Time since the first end that the outcome log has no line of, by the log's name; 0 if it has all",
        &["log"],
    )
});
static CALLS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters(
        "coatcheck_provider_calls_total",
        "Requests sent to providers, by provider and outcome",
        &["provider", "outcome"],
    )
});
static CALL_SECONDS: LazyLock<HistogramVec> = LazyLock::new(|| {
    timings(
        "coatcheck_provider_call_seconds",
        "Time from a request to a provider to its reply",
        &["provider"],
    )
});
static AVOIDABLE: LazyLock<IntCounter> = LazyLock::new(|| {
    counter(
        "coatcheck_paid_calls_avoidable_total",
        "Requests to the paid provider that the free provider would have taken",
    )
});
static ROWS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters("coatcheck_table_rows_total", "Rows of tables that were answered, by outcome", &["outcome"])
});

/// Starts the series that alerts use: an alert would not see a series grow that began with its first increment.
pub(crate) fn begin() {
    for kind in Kind::ALL {
        ACCEPTED.with_label_values(&[kind.name()]);
        for status in Status::ALL.into_iter().filter(|status| status.is_ended()) {
            ENDED.with_label_values(&[kind.name(), status.name()]);
        }
    }
    for status in [Status::Pending, Status::Failed, Status::Cancelled] {
        LOST.with_label_values(&[status.name()]);
    }
    for subject in Subject::ALL {
        PRUNED.with_label_values(&[subject.name()]);
    }
    for counter in [&PUBLISHED, &RETRIED, &STALE, &LEASES_LOST, &LOG_LINES, &LOG_FOREIGN, &LOG_BUSY] {
        LazyLock::force(counter);
    }
}

/// Counts tasks that the queue has confirmed.
pub(crate) fn published(count: usize) {
    PUBLISHED.inc_by(count as u64);
}

pub(crate) fn accepted(kind: Kind, answer: Duration) {
    ACCEPTED.with_label_values(&[kind.name()]).inc();
    ANSWER.observe(answer.as_secs_f64());
}

/// Counts a task that a commit of this process has ended.
pub(crate) fn ended(kind: &str, status: Status) {
    ENDED.with_label_values(&[kind, status.name()]).inc();
}

/// Records the time from a task's row to its result.
pub(crate) fn result(age: Duration) {
    RESULT.observe(age.as_secs_f64());
}

pub(crate) fn retried(count: usize) {
    RETRIED.inc_by(count as u64);
}

pub(crate) fn lost(status: Status) {
    LOST.with_label_values(&[status.name()]).inc();
}

/// Counts what retention has deleted.
pub(crate) fn pruned(subject: Subject, rows: u64) {
    PRUNED.with_label_values(&[subject.name()]).inc_by(rows);
}

pub(crate) fn stale_completion() {
    STALE.inc();
}

/// Counts a lost lease of this worker.
pub fn lease_lost() {
    LEASES_LOST.inc();
}

/// Sets the time since the database last confirmed a worker's lease.
pub fn lease_age(age: Duration) {
    LEASE_AGE.set(age.as_secs_f64());
}

/// Counts hashed bytes.
pub fn hashed(bytes: u64) {
    HASHED.inc_by(bytes);
}

/// Counts a time that another process had the outcome log's lock.
pub fn log_busy() {
    LOG_BUSY.inc();
}

/// Records the time until the log's lock was acquired, and the lines of the step.
pub fn log_step(wait: Duration, done: shared_log::Done) {
    LOG_WAIT.observe(wait.as_secs_f64());
    LOG_LINES.inc_by(done.written as u64);
    LOG_FOREIGN.inc_by(done.foreign as u64);
}

/// Records a request to a provider: its outcome and its duration.
pub fn provider_called(provider: &'static str, outcome: &'static str, took: Duration) {
    CALLS.with_label_values(&[provider, outcome]).inc();
    CALL_SECONDS.with_label_values(&[provider]).observe(took.as_secs_f64());
}

/// Counts requests to the paid provider that could have been avoided; 0 starts the series.
pub fn paid_avoidably(count: u64) {
    AVOIDABLE.inc_by(count);
}

/// Counts an answered row of a table, by whether it has failed.
pub fn row_answered(has_failed: bool) {
    ROWS.with_label_values(&[if has_failed { "failed" } else { "taken" }]).inc();
}

pub(crate) fn rows(stats: &KindStats) {
    let kind = stats.kind.name();
    TASKS.with_label_values(&[kind, Status::Pending.name()]).set(stats.pending as f64);
    TASKS.with_label_values(&[kind, Status::Running.name()]).set(stats.running as f64);
    UNPUBLISHED.with_label_values(&[kind]).set(stats.unpublished as f64);
    OLDEST.with_label_values(&[kind]).set(stats.oldest_pending.as_secs_f64());
}

/// Sets which kinds are paused.
pub(crate) fn paused(pauses: &[Pause]) {
    for kind in Kind::ALL {
        let is_paused = pauses.iter().any(|pause| pause.kind == kind);
        PAUSED.with_label_values(&[kind.name()]).set(f64::from(u8::from(is_paused)));
    }
}

/// Sets the number of tasks of kinds that only a newer version knows.
pub(crate) fn newer_kinds(count: i64) {
    NEWER.set(count as f64);
}

pub(crate) fn connections(pool: PoolUse) {
    CONNECTIONS.with_label_values(&["used"]).set(pool.used as f64);
    CONNECTIONS.with_label_values(&["free"]).set(pool.free as f64);
}

pub(crate) fn waiter_came() {
    WAITERS.inc();
}

pub(crate) fn waiter_left() {
    WAITERS.dec();
}

/// Sets the free space of the disk that has the uploads or the database; `None` if it is not known.
pub fn disk_free(of: &'static str, bytes: Option<u64>) {
    if let Some(bytes) = bytes {
        DISK_FREE.with_label_values(&[of]).set(bytes as f64);
    }
}

/// Sets the bytes that the database has on its disk.
pub(crate) fn database_bytes(bytes: u64) {
    DATABASE_BYTES.set(bytes as f64);
}

/// Sets the sizes of all logs, and how far they are behind.
pub(crate) fn logs(lags: &[LogLag]) {
    // A log that is not followed any more has no series.
    LOG_BYTES.reset();
    LOG_BEHIND.reset();
    for LogLag { name, bytes, seconds } in lags {
        LOG_BYTES.with_label_values(&[name]).set(*bytes as f64);
        LOG_BEHIND.with_label_values(&[name]).set(*seconds);
    }
}

/// Sets whether the queue answers, and its depth; `None` if it does not answer.
pub(crate) fn queue(kind: Kind, depth: Option<u64>) {
    QUEUE_UP.set(f64::from(u8::from(depth.is_some())));
    if let Some(depth) = depth {
        QUEUE_DEPTH.with_label_values(&[kind.name()]).set(depth as f64);
    }
}
