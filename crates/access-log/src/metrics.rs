//! The metrics of the access log.

use std::sync::LazyLock;

use program::metrics::{IntCounter, counter};

static RECORDS: LazyLock<IntCounter> =
    LazyLock::new(|| counter("coatcheck_records_appended_total", "Records appended to the access log"));

pub(crate) fn records_appended(count: usize) {
    RECORDS.inc_by(count as u64);
}
