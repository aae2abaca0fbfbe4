//! The metrics of the access log.

use metrics::{counter, describe_counter};

const RECORDS: &str = "coatcheck_records_appended_total";

/// Describes the metrics.
pub(crate) fn describe() {
    describe_counter!(RECORDS, "Records appended to the access log");
}

pub(crate) fn records_appended(count: usize) {
    counter!(RECORDS).increment(count as u64);
}
