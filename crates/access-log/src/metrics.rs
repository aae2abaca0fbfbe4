//! The metrics of the access log.

use std::sync::LazyLock;

use program::metrics::{IntCounter, counter};

static RECORDS: LazyLock<IntCounter> =
    LazyLock::new(|| counter("coatcheck_records_appended_total", "Records appended to the access log"));

static PRUNED: LazyLock<IntCounter> = LazyLock::new(|| {
    counter("coatcheck_records_pruned_total", "Records deleted by this process because they were old")
});

/// Starts the series, at 0.
pub(crate) fn begin() {
    LazyLock::force(&RECORDS);
    LazyLock::force(&PRUNED);
}

pub(crate) fn records_pruned(count: u64) {
    PRUNED.inc_by(count);
}

pub(crate) fn records_appended(count: usize) {
    RECORDS.inc_by(count as u64);
}
