//! The statements on the feed and its followers, each one transaction.
//!
//! ```sql
//! -- 1. An end: what it has ended, and nothing else, in its own transaction. No lock, no order.
//! WITH ended AS (UPDATE tasks SET … WHERE … RETURNING id)
//! INSERT INTO feed (tasks) SELECT array_agg(id) FROM ended HAVING count(*) > 0;
//!
//! -- 2. Numbers, by any process: a VOLATILE function, so that no client's silence holds the lock, of three statements, since the rows
//! --    must be read by a snapshot that is younger than the lock.
//! SELECT no INTO last FROM feed_end FOR UPDATE SKIP LOCKED;      -- no row: another process numbers; go on
//! UPDATE feed SET no = last + n FROM (SELECT batch, row_number() OVER (ORDER BY batch) AS n FROM feed WHERE no IS NULL) AS counted
//! WHERE feed.batch = counted.batch AND feed.no IS NULL;
//! UPDATE feed_end SET no = last + …;                             -- how many there were
//!
//! -- 3. What a follower has not seen.
//! SELECT no, within, task FROM feed, unnest(tasks) WITH ORDINALITY AS t (task, within)
//! WHERE (no, within) > ($no, $within) ORDER BY no, within LIMIT …;
//!
//! -- 4. A log begins a file, or moves on: file, offset and place in one statement, after the flush; only if nothing has changed the row
//! --    since the step has read it. (In the model no head comes twice, so it is compared itself; in the table its version.)
//! UPDATE followers SET version = version + 1, dev = …, ino = …, committed = …, no = …, within = …, ahead = …
//! WHERE name = … AND version = $seen;                           -- the first time: INSERT … ON CONFLICT DO NOTHING
//! ```
//!
//! ```sql
//! -- 5. Retention: tasks go with their rows of the feed, oldest first, up to what each follower has passed, in one transaction.
//! SELECT no, tasks FROM feed WHERE no > $pruned AND NOT EXISTS (SELECT FROM followers WHERE (no, within) < (feed.no, cardinality(tasks)));
//! DELETE FROM tasks WHERE id = ANY ($tasks); DELETE FROM feed WHERE no = …; UPDATE retention SET no = …;
//! ```
//!
//! A unique index on `no` would make a statement fail that breaks F2; the model has none, so that the properties see it.

use crate::Protocol;
use crate::feed::{Numbering, Place};
use crate::files::FileIndex;
use crate::guards::Guard;
use crate::logger::{Head, NameIndex};
use crate::sets::TaskSet;
use crate::state::State;

impl Protocol {
    /// Inserts the row of a statement that has ended these tasks; the guard is that statement's.
    pub(super) fn feed(&self, state: &mut State, ended: TaskSet, of: Guard) {
        if self.has(of) {
            state.feed.insert(ended);
        }
    }

    /// Numbers all rows: the whole function at once, where nothing can see a moment between them.
    pub(crate) fn number(&self, state: &mut State) {
        let last_number = state.feed.last_number;
        state.feed.number(state.feed.unnumbered(), last_number, false);
    }

    /// Begins to number: takes the lock, then reads the rows.
    pub(crate) fn begin_numbering(&self, state: &State) -> Numbering {
        let rows = state.feed.unnumbered();
        match self.has(Guard::SnapshotAfterLock) {
            true => Numbering::Locked { rows, last_number: state.feed.last_number },
            false => Numbering::Seen(rows),
        }
    }

    /// Stores a head with its place, to begin a file or to move on in one, if the row is still the one that was seen. Returns whether it is
    /// stored.
    pub(crate) fn store_head(
        &self,
        state: &mut State,
        name: NameIndex,
        seen: Option<Head>,
        head: Head,
    ) -> bool {
        let stored = state.heads[usize::from(name)];
        let is_begin = seen.is_none_or(|seen| seen.file != head.file);
        let is_fenced = self.has(if is_begin { Guard::FencedBegin } else { Guard::FencedCommit });
        let follows = |stored: Head| stored.reach() < head.reach() && !self.has(Guard::BeginBeforeAppend);
        if is_fenced && stored != seen && !stored.is_some_and(follows) {
            return false;
        }
        state.past.has_gone_back |=
            stored.is_some_and(|stored| head.reach() < stored.reach() || head.place < stored.place);
        state.heads[usize::from(name)] = Some(head);
        if !self.has(Guard::PlacePerLog) {
            let place = state.shared_place();
            state.heads.iter_mut().flatten().for_each(|head| head.place = place);
        }
        true
    }
}

impl Protocol {
    /// Returns the place up to which one more outcome may be deleted: the next one that is kept, if each follower has passed it.
    pub(crate) fn next_to_prune(&self, state: &State) -> Option<Place> {
        let (_, place) = state.feed.kept().next()?;
        let mut heads = state.heads[..self.followers()].iter().map(|head| head.map(|head| head.place));
        let is_passed = match self.has_log() {
            _ if !self.has(Guard::PruneOfPassed) => true,
            true if !self.has(Guard::PruneOfPassedByAll) => heads.any(|head| head >= Some(place)),
            true => heads.all(|head| head >= Some(place)),
            // A reader's cursor holds nothing back.
            false => true,
        };
        is_passed.then_some(place)
    }
}

impl State {
    /// Returns the place that logs have if they share one: only if that guard is removed.
    pub(crate) fn shared_place(&self) -> Place {
        self.heads.iter().flatten().map(|head| head.place).max().unwrap_or_default()
    }
}

impl Head {
    /// Returns what grows with every statement that changes the row.
    fn reach(&self) -> (FileIndex, u8, Place) {
        (self.file, self.committed, self.place)
    }
}
