//! One step of writing the lines that are due. Its order guarantees "exactly one line"; each place says why.
//!
//! A step does not wait, does not retry, and keeps no state for the next one. All that it knows it reads from the ledger and the file, so
//! it may be killed anywhere, and the next step, of any process, completes it.

use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::append::{self, Tail, Text};
use crate::device::{nuls_at_end, read_from_device, unwritten_between};
use crate::error::{LogError, SettleError};
use crate::ledger::{Entry, Head, HeadOf, Ledger, PageOf};
use crate::read::{Batch, MAX_LINE_BYTES, Rest, check_before, lines_after};
use crate::rotation::{find_file_of, first_head, is_file_of, is_sibling_of};
use crate::unseen::{self, Known};
use crate::{Guard, SharedLog};

/// The number of entries that are written at once; more if as many lines were found.
const APPEND_LINES: usize = 1000;
/// How many entries that have their lines already are passed to find more. Beyond it the log waits for the entry before them, whose line
/// only a later version of the program can write.
const MOST_PASSED: usize = 10_000;

/// The outcome of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Settled {
    /// Another process has the log, and may be writing the caller's lines; look again later.
    Busy,
    /// The step was completed.
    Done(Done),
}

/// The effects of a step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Done {
    /// Entries whose line was appended and read back.
    pub written: usize,
    /// Entries whose line was in the file already, whole: its writer died before it could say so.
    pub found: usize,
    /// Lines that belong to no entry of the ledger, including those that a write without the lock has spoiled.
    pub foreign: usize,
    /// Half lines of entries that were completed.
    pub completed: usize,
    /// Half foreign lines that were closed by a newline.
    pub closed: usize,
    /// Bytes that were cut off: what a power cut has left unwritten, and what followed it.
    pub cut: u64,
    /// Why another file was begun, if one was.
    pub begun: Option<Begun>,
    /// Whether there is more to do now: call again.
    pub more: bool,
}

/// Why a file was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// It is the first file.
    First,
    /// The previous file was renamed and is complete.
    AfterRotation,
    /// The previous file, or its settled content, is gone: deleted, emptied, replaced or moved elsewhere.
    AfterLoss,
    /// It is a rotated file with lines that the log doesn't know: they were written under another name or path of the log, or the files
    /// were copied since.
    Unseen,
}

impl SharedLog {
    /// Writes the lines that are due, up to a thousand. Never waits for the lock.
    ///
    /// # Errors
    /// Those of [`try_lock`](Self::try_lock), of reading, writing and flushing (see [`LogError`] for the reaction to each), of
    /// the ledger, and [`SettleError::BadLine`].
    pub fn settle<L: Ledger>(&self, ledger: &mut L) -> Result<Settled, SettleError<L::Error>> {
        match self.try_lock()? {
            Some(guard) => Step { ledger, done: Done::default() }.make(self, &guard),
            None => Ok(Settled::Busy),
        }
    }
}

struct Step<'l, L> {
    ledger: &'l mut L,
    done: Done,
}

/// The text that may be appended to a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// Only the rest of a torn line: the file was rotated, or is another file with its inode number, unless its name is a rotated file's.
    Tail { is_sibling: bool },
    /// The rest of a torn line, and all lines that are due.
    Everything,
}

/// A place, and the entries after it that have their lines.
type Reach<L> = (<L as Ledger>::Place, Vec<<L as Ledger>::Id>);

impl<L: Ledger> Step<'_, L> {
    fn make(mut self, log: &SharedLog, guard: &Guard) -> Result<Settled, SettleError<L::Error>> {
        let is_all = match self.head_of_file(log, guard)? {
            Some(head) => self.bring_up_to_date(guard.file(), head, Scope::Everything)?.is_some(),
            None => false,
        };
        self.done.more |= !is_all;
        Ok(Settled::Done(self.done))
    }

    /// Returns the head of the current log; a new one, if the file isn't the one that the stored head refers to. `None` if that takes
    /// another step.
    fn head_of_file(
        &mut self,
        log: &SharedLog,
        guard: &Guard,
    ) -> Result<Option<HeadOf<L>>, SettleError<L::Error>> {
        let stored = match self.ledger.head().map_err(SettleError::Ledger)? {
            None => self.inherit(log, guard)?,
            stored => stored,
        };
        let (begun, ended, old) = match stored {
            None => (Begun::First, None, None),
            Some(head) if is_file_of(&head, guard.file()).map_err(LogError::Io)? => return Ok(Some(head)),
            Some(old) => match find_file_of(&old, &log.folder)? {
                None => {
                    if let Some(location) = self.ledger.other_location().map_err(SettleError::Ledger)? {
                        return Err(SettleError::OtherLocation { location });
                    }
                    (Begun::AfterLoss, None, Some(old))
                }
                Some((rotated, path)) => {
                    let scope = Scope::Tail { is_sibling: is_sibling_of(&log.path, &path) };
                    // All its lines must be known before the head leaves it: no later step looks there again.
                    let Some(old) = self.bring_up_to_date(&rotated, old, scope)? else { return Ok(None) };
                    (Begun::AfterRotation, Some(rotated), Some(old))
                }
            },
        };
        // The file's name must be as durable as the lines that will be known to be in it.
        append::sync(&File::open(&log.folder).map_err(LogError::Io)?)?;

        let seen = old.as_ref().map(|head| head.version);
        let (place, ahead) = match old {
            Some(Head { place, ahead, .. }) => (place, ahead),
            // A new name is not a new file: the lines that are there are what it has.
            None => (unseen::place_before(self.ledger, log, guard.file())?, Vec::new()),
        };
        let known = Known { place, ahead: &ahead };
        let found = unseen::find(self.ledger, log, guard.file(), ended.as_ref(), &known)?;
        let version = seen.unwrap_or(0) + 1;
        if let Some((file, from)) = found {
            let new = first_head(version, &file, from, place, ahead).map_err(LogError::Io)?;
            if self.ledger.store(seen, &new).map_err(SettleError::Ledger)? {
                self.done.begun = Some(Begun::Unseen);
                self.bring_up_to_date(&file, new, Scope::Tail { is_sibling: true })?;
            }
            return Ok(None);
        }
        // Before the first byte is written: should the file be rotated and its writer die right after that byte, the head leads to it.
        let new = first_head(version, guard.file(), 0, place, ahead).map_err(LogError::Io)?;
        if !self.ledger.store(seen, &new).map_err(SettleError::Ledger)? {
            // A dead process's call has come in late. The next step sees what it stored.
            return Ok(None);
        }
        self.done.begun = Some(begun);
        Ok(Some(new))
    }

    /// Goes on with the head of another name, if its file is here.
    fn inherit(
        &mut self,
        log: &SharedLog,
        guard: &Guard,
    ) -> Result<Option<HeadOf<L>>, SettleError<L::Error>> {
        let Some(old) = self.ledger.inherited().map_err(SettleError::Ledger)? else { return Ok(None) };
        let is_here = is_file_of(&old, guard.file()).map_err(LogError::Io)?
            || find_file_of(&old, &log.folder)?.is_some();
        let head = Head { version: 1, ..old };
        Ok((is_here && self.ledger.inherit(&head).map_err(SettleError::Ledger)?).then_some(head))
    }

    /// Recognizes the lines after the head, appends missing lines, and moves the head. Returns the moved head; `None` if more remains.
    fn bring_up_to_date(
        &mut self,
        file: &File,
        head: HeadOf<L>,
        scope: Scope,
    ) -> Result<Option<HeadOf<L>>, SettleError<L::Error>> {
        let scanned = self.scan(file, &head, scope)?;
        let mut found = self.recognize(&scanned)?;

        // Read after the head and the scan, never before: a dead process's call may come in at any moment. Had it come in between, its
        // entries would still be due here, with their lines before the head, out of sight.
        let limit = APPEND_LINES.max(found.len()) + head.ahead.len().min(MOST_PASSED);
        let Some(page) = self.ledger.after(head.place, limit).map_err(SettleError::Ledger)? else {
            return Ok(None);
        };

        let mut end = scanned.end;
        let mut is_all = scanned.rest != Rest::Unread;
        if is_all {
            let text = self.text_to_append(&scanned.rest, &found, &page, &head, scope)?;
            if !text.bytes.is_empty() {
                append::append(file, &text.bytes)?;

                // Only lines that can be read back count, and the head moves only past those: a program without the lock may have written
                // since the scan, and half a line of it would be skipped, or would spoil ours.
                let back = lines_after(file, scanned.end).map_err(LogError::Io)?;
                let appended = text.len();
                let written = text.found_in(&back);
                self.done.written += written.len();
                self.done.foreign += back.lines.len() + back.too_long - written.len();
                is_all = written.len() == appended && back.rest != Rest::Unread;
                found.extend(written);
                end = back.end;
            }
        }
        let (place, ahead) = self.place_after(&head, &page, found)?;
        let is_same = end == head.committed && place == head.place && ahead.len() == head.ahead.len();
        if is_same {
            return Ok(is_all.then_some(head));
        }
        self.done.more |= page.len() == limit && scope == Scope::Everything;

        // Also when nothing was appended: the writer of the lines found may have died before it flushed them.
        append::sync(file)?;
        let tail_check = check_before(file, end).map_err(LogError::Io)?;
        let seen = head.version;
        let moved = Head { version: seen + 1, committed: end, tail_check, place, ahead, ..head };
        let is_stored = self.ledger.store(Some(seen), &moved).map_err(SettleError::Ledger)?;
        Ok((is_all && is_stored).then_some(moved))
    }

    /// Returns the place before the first entry without a line, and the entries after it that have one.
    fn place_after(
        &mut self,
        head: &HeadOf<L>,
        page: &PageOf<L>,
        mut found: HashSet<L::Id>,
    ) -> Result<Reach<L>, SettleError<L::Error>> {
        let mut before: HashSet<L::Id> = head.ahead.iter().cloned().collect();
        let mut take = |id: &L::Id| found.remove(id) | before.remove(id);
        let (mut place, mut ahead, mut is_passed) = (head.place, Vec::new(), true);
        for entry in page {
            let has_line = take(&entry.id);
            is_passed &= has_line;
            if is_passed {
                place = entry.place;
            } else if has_line {
                ahead.push(entry.id.clone());
            }
        }
        ahead.extend(before.iter().cloned());
        let known = Known { place, ahead: &[] };
        let beyond = found.into_iter().filter(|id| !before.contains(id)).collect();
        ahead.extend(known.without(self.ledger, beyond)?);
        Ok((place, ahead))
    }

    /// Returns the text after the head, on the device, without bytes that were never written there.
    fn scan(&mut self, file: &File, head: &HeadOf<L>, scope: Scope) -> Result<Batch, SettleError<L::Error>> {
        let bytes = file.metadata().map_err(LogError::Io)?.len();
        if bytes > head.committed {
            read_from_device(file).map_err(LogError::SyncFailed)?;
        }
        let scanned = lines_after(file, head.committed).map_err(LogError::Io)?;
        let to = if scanned.rest == Rest::Unread { scanned.end } else { bytes };
        let Some(unwritten) = unwritten_between(file, head.committed, to).map_err(LogError::Io)? else {
            return Ok(scanned);
        };
        // A file in which nothing was settled may be any file: it is ours if it contains a line of ours, or if its name is the log's or a
        // rotated file's and all its text is empty or the beginning of a line that is due.
        let is_named_so = scope != Scope::Tail { is_sibling: false };
        let is_ours = head.committed > 0
            || unseen::ours(self.ledger, &scanned.lines)?.any(|id| id.is_some())
            || is_named_so && self.is_beginning_of_due(file, unwritten, head)?;
        if !is_ours {
            return Ok(scanned);
        }
        // Text after the unwritten bytes was not flushed by anyone either: our lines there are still due.
        file.set_len(unwritten).map_err(LogError::writing)?;
        self.done.cut += bytes - unwritten;
        Ok(lines_after(file, head.committed).map_err(LogError::Io)?)
    }

    /// Returns whether a file contains nothing up to `end` but the beginning of a line that is due, possibly empty.
    fn is_beginning_of_due(
        &mut self,
        file: &File,
        end: u64,
        head: &HeadOf<L>,
    ) -> Result<bool, SettleError<L::Error>> {
        if end > MAX_LINE_BYTES as u64 {
            return Ok(false);
        }
        let mut beginning = vec![0; end as usize];
        file.read_exact_at(&mut beginning, 0).map_err(LogError::Io)?;
        if beginning.is_empty() {
            return Ok(nuls_at_end(file).map_err(LogError::Io)? == Some(0));
        }
        let page = self.ledger.after(head.place, APPEND_LINES).map_err(SettleError::Ledger)?;
        let mut due = due_of::<L>(&page.unwrap_or_default(), &HashSet::new(), head);
        Ok(self.take_owner(&beginning, &mut due, &HashSet::new(), head)?.is_some())
    }

    /// Returns the entries whose lines are among these.
    fn recognize(&mut self, scanned: &Batch) -> Result<HashSet<L::Id>, SettleError<L::Error>> {
        self.done.foreign += scanned.too_long;
        let recognized: Vec<_> = unseen::ours(self.ledger, &scanned.lines)?.collect();
        self.done.foreign += recognized.iter().filter(|id| id.is_none()).count();
        let found: HashSet<L::Id> = recognized.into_iter().flatten().collect();
        self.done.found += found.len();
        Ok(found)
    }

    /// Returns the text that the file lacks, beginning with the end of its torn line.
    fn text_to_append(
        &mut self,
        rest: &Rest,
        found: &HashSet<L::Id>,
        page: &PageOf<L>,
        head: &HeadOf<L>,
        scope: Scope,
    ) -> Result<Text<L::Id>, SettleError<L::Error>> {
        let mut due = due_of::<L>(page, found, head);
        let leaves_foreign_tail = match scope {
            // The line's writer may be about to complete it; that is not urgent while no line is to follow.
            Scope::Everything => due.is_empty(),
            // Without a line of ours in it, the file may be a foreign one with our deleted file's inode number.
            Scope::Tail { .. } => head.committed == 0 && found.is_empty(),
        };
        let foreign_tail = if leaves_foreign_tail { Tail::Leave } else { Tail::Close };
        let tail = match rest {
            Rest::Torn(prefix) => match self.take_owner(prefix, &mut due, found, head)? {
                Some(entry) => Tail::Complete(entry, prefix.len()),
                None => foreign_tail,
            },
            Rest::TornTooLong => foreign_tail,
            Rest::Nothing | Rest::Unread => Tail::Leave,
        };
        self.done.completed += usize::from(matches!(tail, Tail::Complete(..)));
        self.done.closed += usize::from(matches!(tail, Tail::Close));

        if scope != Scope::Everything {
            due.clear();
        }
        Text::new(tail, due).map_err(|entry| SettleError::BadLine { id: format!("{:?}", entry.id) })
    }

    /// Returns the entry whose line is due and begins with `prefix`, removed from `due` if it is there.
    fn take_owner(
        &mut self,
        prefix: &[u8],
        due: &mut Vec<Entry<L::Id>>,
        found: &HashSet<L::Id>,
        head: &HeadOf<L>,
    ) -> Result<Option<Entry<L::Id>>, SettleError<L::Error>> {
        let begins_so = |entry: &Entry<L::Id>| entry.line.as_bytes().starts_with(prefix);
        if let Some(index) = due.iter().position(begins_so) {
            return Ok(Some(due.remove(index)));
        }
        // Not among the first: its writer may have known fewer entries, or written under another name.
        let owner = self.ledger.beginning_with(prefix).map_err(SettleError::Ledger)?;
        let Some(entry) = owner.filter(|entry| begins_so(entry) && !found.contains(&entry.id)) else {
            return Ok(None);
        };
        let known = Known { place: head.place, ahead: &head.ahead };
        let is_due = !known.without(self.ledger, vec![entry.id.clone()])?.is_empty();
        Ok(is_due.then_some(entry))
    }
}

/// Returns the entries of a page whose lines are due.
fn due_of<L: Ledger>(page: &PageOf<L>, found: &HashSet<L::Id>, head: &HeadOf<L>) -> Vec<Entry<L::Id>> {
    let ahead: HashSet<&L::Id> = head.ahead.iter().collect();
    let is_due = |id: &L::Id| !found.contains(id) && !ahead.contains(id);
    let due = page.iter().filter(|entry| is_due(&entry.id));
    due.filter_map(|entry| Some(Entry { id: entry.id.clone(), line: entry.line.clone()? })).collect()
}
