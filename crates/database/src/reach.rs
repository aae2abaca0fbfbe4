//! How far along its key a walk with a filter looks in one statement.
//!
//! A filter may let everything through or nothing. Looked at are about as many rows as give a chunk: a planner that sorts what it
//! looks at, as PostgreSQL's does while it knows nothing of a new table, then sorts little for nothing; and a statement ends soon.

/// Rows that are looked at in one statement at most.
const MOST: i64 = 50_000;

/// How far the next statement looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    chunk: i64,
    rows: i64,
}

impl Reach {
    /// For a walk that wants so many rows at a time: so many are looked at first.
    pub fn new(chunk: i64) -> Self {
        Self { chunk, rows: chunk }
    }

    /// Rows that are to be looked at now.
    pub fn rows(self) -> i64 {
        self.rows
    }

    /// Takes note of how many of them were let through.
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

    /// How far a walk looks, after so many statements, if one row in so many is let through.
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
