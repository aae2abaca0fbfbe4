//! The fetched records that are not written yet: an unbroken sequence in the server's order.

use std::collections::VecDeque;

use uuid::Uuid;

/// The most lines, and the most bytes, in memory; beyond them nothing is fetched.
pub const MAX_LINES: usize = 100_000;
pub const MAX_BYTES: usize = 64 << 20;

/// Records in order, and the record that they follow.
#[derive(Debug, Default)]
pub struct Memory {
    /// The record before the first one here; `None` if the first one here is the server's first.
    after: Option<Uuid>,
    records: VecDeque<Fetched>,
    bytes: usize,
    /// Whether the next record is the server's first, because what follows the last one here was deleted.
    passes_over: bool,
}

/// A record as it was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    pub id: Uuid,
    pub json: String,
}

impl Memory {
    /// Returns an empty memory, whose next record follows `after`.
    pub fn empty_after(after: Option<Uuid>) -> Self {
        Self { after, ..Self::default() }
    }

    /// Appends the record that follows all that are here.
    pub fn push(&mut self, record: Fetched) {
        self.bytes += record.json.len();
        self.records.push_back(record);
        self.passes_over = false;
    }

    /// Takes the server's first record for the one that follows here.
    pub fn pass_over_deleted(&mut self) {
        self.passes_over = true;
    }

    /// Returns the record after which to go on fetching; `None` for the server's first.
    pub fn last(&self) -> Option<Uuid> {
        let last = self.records.back().map(|record| record.id).or(self.after);
        last.filter(|_| !self.passes_over)
    }

    pub fn len(&self) -> usize {
        self.records.len()
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Returns how many lines may be fetched now.
    pub fn room(&self) -> usize {
        if self.bytes < MAX_BYTES { MAX_LINES.saturating_sub(self.records.len()) } else { 0 }
    }

    /// Drops all records up to and including that one, so that the memory begins with the record that follows it. Returns `false`, and
    /// changes nothing, if the record is not known here: then its successor is not known either.
    pub fn begin_after(&mut self, id: Option<Uuid>) -> bool {
        if id == self.after {
            return true;
        }
        let Some(place) = self.records.iter().position(|record| Some(record.id) == id) else { return false };
        self.bytes -= self.records.drain(..=place).map(|record| record.json.len()).sum::<usize>();
        self.after = id;
        true
    }

    /// Returns the records, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Fetched> {
        self.records.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    fn memory(after: Option<u128>, records: std::ops::Range<u128>) -> Memory {
        let mut memory = Memory::empty_after(after.map(id));
        records.for_each(|number| memory.push(Fetched { id: id(number), json: "12345678".to_owned() }));
        memory
    }

    #[test]
    fn what_follows_a_known_record_stays_and_an_unknown_one_changes_nothing() {
        for (cursor, left) in [(None, Some(3)), (Some(1), Some(2)), (Some(3), Some(0)), (Some(7), None)] {
            let mut memory = memory(None, 1..4);
            let is_known = memory.begin_after(cursor.map(id));
            assert_eq!(is_known.then_some(memory.iter().count()), left, "{cursor:?}");
            assert_eq!(memory.last(), Some(id(3)));
        }
        assert!(!memory(Some(1), 2..4).begin_after(None), "its first is not the server's first");
        assert!(memory(Some(1), 2..2).begin_after(Some(id(1))));
    }

    #[test]
    fn it_is_full_at_either_bound_and_not_when_it_was_emptied() {
        let mut lines = memory(None, 0..MAX_LINES as u128);
        assert_eq!(lines.room(), 0);
        assert!(lines.begin_after(Some(id(9))));
        assert_eq!(lines.room(), 10);

        let mut bytes = memory(None, 0..1);
        bytes.push(Fetched { id: id(1), json: "x".repeat(MAX_BYTES) });
        assert_eq!(bytes.room(), 0);
        assert!(bytes.begin_after(Some(id(1))));
        assert_eq!((bytes.room(), bytes.bytes), (MAX_LINES, 0));
    }
}
