//! How far along its key a walk with a filter reads in one statement.
//!
//! A filter may pass everything or nothing. A statement covers about as many rows as yield a chunk. So a planner that sorts those rows, as
//! PostgreSQL's does while it has no statistics of a new table, sorts few in vain, and each statement ends soon.

/// The most rows that one statement covers.
const MOST: i64 = 50_000;

/// The range of the next statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    chunk: i64,
    rows: i64,
}

impl Reach {
    /// Creates the range for a walk that wants `chunk` rows at a time, and covers that many first.
    pub fn new(chunk: i64) -> Self {
        Self { chunk, rows: chunk }
    }

    /// Returns the number of rows to cover now.
    pub fn rows(self) -> i64 {
        self.rows
    }

    /// Records how many of these rows passed the filter.
    pub fn found(&mut self, count: i64) {
        if count >= self.chunk {
            self.rows = (self.rows / 2).max(self.chunk);
        } else if count < self.chunk / 2 {
            self.rows = (self.rows * 2).min(MOST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns how many rows a walk covers after that many statements, if one row in `one_in` passes.
    fn after(statements: usize, one_in: i64) -> i64 {
        let mut reach = Reach::new(1000);
        for _ in 0..statements {
            reach.found((reach.rows() / one_in).min(1000));
        }
        reach.rows()
    }

    #[test]
    fn a_filter_that_lets_all_through_looks_at_what_it_gives() {
        assert_eq!(after(100, 1), 1000);
    }

    #[test]
    fn a_filter_that_lets_little_through_looks_as_far_as_one_may() {
        assert_eq!(after(100, 1_000_000), MOST);
    }

    #[test]
    fn a_filter_looks_at_no_more_than_gives_a_chunk_twice_over() {
        for one_in in 1..50 {
            let rows = after(100, one_in);

            assert!(rows / one_in <= 2000, "one in {one_in}: {rows}");
        }
    }
}
