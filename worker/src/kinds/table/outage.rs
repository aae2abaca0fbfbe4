//! Whether it is the third party that fails, or a row alone: what fails while others are answered is the row's own, and what fails
//! with all others is one cause.

use std::collections::HashSet;

/// Rows that fail one after the other, and none is answered, are an outage. Fewer are, if no others are under way.
pub const ROWS: usize = 5;

/// What is known of the third party, from the rows of one table.
#[derive(Debug, Default)]
pub struct Outage {
    /// Rows under way that may tell something of it.
    under_way: usize,
    /// The rows that have failed since one was answered.
    failed: HashSet<i64>,
    /// How many were answered.
    answers: u64,
}

/// What is known of a row that has failed.
#[derive(Debug, Default)]
pub struct Failures {
    /// How often it has.
    pub count: u32,
    /// How many others had been answered when it did first.
    answers: u64,
    /// Whether others were answered since: then its failures are its own.
    are_own: bool,
}

impl Outage {
    /// Counts a row that is begun.
    pub fn begin(&mut self) {
        self.under_way += 1;
    }

    /// Counts a row that is over, whatever came of it.
    pub fn end(&mut self, failures: &Failures) {
        if !failures.are_own {
            self.under_way = self.under_way.saturating_sub(1);
        }
    }

    /// Takes note that a row was answered: the third party is there.
    pub fn answered(&mut self) {
        self.answers += 1;
        self.failed.clear();
    }

    /// Whether any row was answered.
    pub fn has_answers(&self) -> bool {
        self.answers > 0
    }

    /// Takes note that a row has failed, and says whether that is the third party's doing. A row that has failed before others were
    /// answered tells nothing of it.
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

    /// Which of these failures, each of another row, is an outage's.
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
        // They have met an answer of another's: whatever they meet now, it is their own.
        for _ in 0..9 {
            for (row, failures) in (0..).zip(&mut own).take(4) {
                assert!(!outage.failed(row, failures));
            }
        }
        // Those that have not are an outage's, if all four that can tell do fail.
        assert_eq!(fail(&mut outage, 10..14), [false, false, false, true]);
    }
}
