//! Decides whether the third party fails or only a row: a row that fails while others are answered has an error of its own; rows that all
//! fail share one cause.

use std::collections::HashSet;

/// The number of rows that must fail in succession, without an answered one, to count as an outage; fewer if no others are in progress.
pub const ROWS: usize = 5;

/// The third party's state, as far as the rows of one table show it.
#[derive(Debug, Default)]
pub struct Outage {
    /// The rows in progress whose outcome may show something.
    under_way: usize,
    /// The rows that have failed since one was answered.
    failed: HashSet<i64>,
    /// The number of answered rows.
    answers: u64,
}

/// The failures of a row.
#[derive(Debug, Default)]
pub struct Failures {
    /// How often the row has failed.
    pub count: u32,
    /// The number of rows that had been answered at its first failure.
    answers: u64,
    /// Whether other rows were answered since: then its failures are its own.
    are_own: bool,
}

impl Outage {
    /// Counts a row that begins.
    pub fn begin(&mut self) {
        self.under_way += 1;
    }

    /// Counts a row that is over, whatever its outcome.
    pub fn end(&mut self, failures: &Failures) {
        if !failures.are_own {
            self.under_way = self.under_way.saturating_sub(1);
        }
    }

    /// Records that a row was answered: the third party works.
    pub fn answered(&mut self) {
        self.answers += 1;
        self.failed.clear();
    }

    /// Returns whether any row was answered.
    pub fn has_answers(&self) -> bool {
        self.answers > 0
    }

    /// Records that a row has failed. Returns whether the third party is at fault. A row that failed before others were answered says
    /// nothing about it.
    pub fn failed(&mut self, row: i64, failures: &mut Failures) -> bool {
        if failures.count == 0 {
            failures.answers = self.answers;
        }
        failures.count += 1;
        if self.answers > failures.answers {
            self.end(failures);
            failures.are_own = true;
            return false;
        }
        self.failed.insert(row);
        self.failed.len() >= ROWS.min(self.under_way).max(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_under_way(count: usize) -> Outage {
        let mut outage = Outage::default();
        (0..count).for_each(|_| outage.begin());
        outage
    }

    /// Returns, for failures of one row each, which of them are an outage's.
    fn fail(outage: &mut Outage, rows: std::ops::Range<i64>) -> Vec<bool> {
        rows.map(|row| outage.failed(row, &mut Failures::default())).collect()
    }

    #[test]
    fn rows_that_fail_while_none_is_answered_are_an_outage() {
        assert_eq!(fail(&mut with_under_way(8), 0..6), [false, false, false, false, true, true]);
        assert_eq!(fail(&mut with_under_way(3), 0..3), [false, false, true]);
        assert_eq!(fail(&mut with_under_way(2), 0..2), [false, true]);
    }

    #[test]
    fn a_row_that_fails_alone_is_none() {
        let (mut outage, mut failures) = (with_under_way(1), Failures::default());
        let verdicts = [(); 9].map(|()| outage.failed(1, &mut failures));
        assert_eq!((verdicts, failures.count), ([false; 9], 9));
    }

    #[test]
    fn rows_that_fail_while_others_are_answered_are_none() {
        let mut outage = with_under_way(8);
        let mut own: Vec<_> = (0..8).map(|_| Failures::default()).collect();
        for (row, failures) in (0..).zip(&mut own).take(4) {
            assert!(!outage.failed(row, failures));
        }
        outage.answered();
        // These rows failed while another was answered: all their further failures are their own.
        for _ in 0..9 {
            for (row, failures) in (0..).zip(&mut own).take(4) {
                assert!(!outage.failed(row, failures));
            }
        }
        // The others are an outage's, once all four that can show it have failed.
        assert_eq!(fail(&mut outage, 10..14), [false, false, false, true]);
    }
}
