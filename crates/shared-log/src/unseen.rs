//! Finds lines of ours where no head leads: in files that were written under another name or path of the log (the disk is mounted
//! elsewhere, the host has another name), or that were copied (a folder was restored).

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

use crate::SharedLog;
use crate::device::read_from_device;
use crate::error::{LogError, SettleError};
use crate::ledger::Ledger;
use crate::read::{Rest, lines_after};
use crate::rotation::{self, LIST_TRIES};

/// How many bytes of a file are read back at a time, and how many without a line of ours.
const WINDOW_BYTES: u64 = 128 * 1024;
const STRANGE_BYTES: u64 = 4 * 1024 * 1024;

/// The entries that a log knows: all up to a place, and some after it.
pub(crate) struct Known<'h, L: Ledger> {
    pub(crate) place: L::Place,
    pub(crate) ahead: &'h [L::Id],
}

impl<L: Ledger> Known<'_, L> {
    /// Returns those of the entries that are not known.
    pub(crate) fn without(
        &self,
        ledger: &mut L,
        ids: Vec<L::Id>,
    ) -> Result<HashSet<L::Id>, SettleError<L::Error>> {
        let ids: Vec<L::Id> = ids.into_iter().filter(|id| !self.ahead.contains(id)).collect();
        if ids.is_empty() {
            return Ok(HashSet::new());
        }
        let unknown = ledger.those_after(self.place, ids).map_err(SettleError::Ledger)?;
        Ok(unknown.into_iter().collect())
    }

    fn has(&self, ledger: &mut L, id: L::Id) -> Result<bool, SettleError<L::Error>> {
        Ok(self.without(ledger, vec![id])?.is_empty())
    }
}

/// Returns the oldest rotated file with lines of ours that are not known, and the offset from which they may begin. `ended` is known to have
/// none, and so have those before it.
///
/// Files are looked at from the newest to the oldest, each from its end: a log knows all that was written before a line that it knows. So
/// the first file whose last line of ours is known ends the search.
pub(crate) fn find<L: Ledger>(
    ledger: &mut L,
    log: &SharedLog,
    current: &File,
    ended: Option<&File>,
    known: &Known<'_, L>,
) -> Result<Option<(File, u64)>, SettleError<L::Error>> {
    // While other programs rotate, a listed file may have moved: none may be skipped.
    'listed: for _ in 0..LIST_TRIES {
        let mut oldest = None;
        for sibling in rotation::siblings(&log.path, Some(current))? {
            let file = match sibling.open() {
                Ok(Some(file)) => file,
                Ok(None) => continue 'listed,
                // A foreign file: ours were writable when they were the log.
                Err(LogError::Unwritable { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            let is_ended = ended.map(|ended| sibling.is(ended)).transpose().map_err(LogError::Io)?;
            if is_ended == Some(true) {
                break;
            }
            if sibling.refuse_compressed(&file).is_err() {
                continue;
            }
            read_from_device(&file).map_err(LogError::SyncFailed)?;
            match end_of(ledger, &file, known)? {
                End::Unknown { from, is_all } => {
                    oldest = Some((file, from));
                    if !is_all {
                        break;
                    }
                }
                End::Known => break,
                End::Strange => {}
            }
        }
        return Ok(oldest);
    }
    Err(LogError::Io(io::Error::other(
        "the log was renamed during each of several attempts to list its files",
    ))
    .into())
}

/// Returns the place before the first line of ours in the log's files: that of the oldest file which has one. The default if none has.
///
/// Which entries come before it can't be told from the files; older ones may have been deleted.
pub(crate) fn place_before<L: Ledger>(
    ledger: &mut L,
    log: &SharedLog,
    current: &File,
) -> Result<L::Place, SettleError<L::Error>> {
    let mut files = Vec::new();
    for sibling in rotation::siblings(&log.path, Some(current))? {
        match sibling.open() {
            Ok(file) => files.extend(file.filter(|file| sibling.refuse_compressed(file).is_ok())),
            Err(LogError::Unwritable { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let current = current.try_clone().map_err(LogError::Io)?;
    for file in files.into_iter().rev().chain([current]) {
        let mut at = 0;
        while at < STRANGE_BYTES {
            let batch = lines_after(&file, at).map_err(LogError::Io)?;
            let ids: Vec<L::Id> = ours(ledger, &batch.lines)?.flatten().collect();
            if !ids.is_empty() {
                return ledger.before_first(ids).map_err(SettleError::Ledger);
            }
            if batch.rest != Rest::Unread {
                break;
            }
            at = batch.end;
        }
    }
    Ok(L::Place::default())
}

/// Returns for each line the entry that it belongs to.
pub(crate) fn ours<L: Ledger>(
    ledger: &mut L,
    lines: &[Vec<u8>],
) -> Result<impl Iterator<Item = Option<L::Id>> + use<L>, SettleError<L::Error>> {
    let lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
    let ids = match lines.is_empty() {
        true => Vec::new(),
        false => ledger.recognize(&lines).map_err(SettleError::Ledger)?,
    };
    Ok(ids.into_iter())
}

enum End {
    /// The last line of ours, perhaps a torn one, is not known; no line before this offset is unknown.
    Unknown {
        from: u64,
        /// Whether none of the lines of ours before it is known.
        is_all: bool,
    },
    Known,
    /// The file has no line of ours, as far as was read.
    Strange,
}

fn end_of<L: Ledger>(
    ledger: &mut L,
    file: &File,
    known: &Known<'_, L>,
) -> Result<End, SettleError<L::Error>> {
    let bytes = file.metadata().map_err(LogError::Io)?.size();
    let mut to = bytes;
    let mut end = match torn_line_of_ours(ledger, file, bytes, known)? {
        Some(from) => End::Unknown { from, is_all: true },
        None => End::Strange,
    };
    while to > 0 {
        if matches!(end, End::Strange) && bytes - to >= STRANGE_BYTES {
            break;
        }
        let from = to.saturating_sub(WINDOW_BYTES);
        if let Some(from) = line_between(file, from, to).map_err(LogError::Io)?
            && let Some((first, last)) = ours_between(ledger, file, from, to)?
        {
            if known.has(ledger, last)? {
                return Ok(match end {
                    End::Unknown { from, .. } => End::Unknown { from, is_all: false },
                    End::Known | End::Strange => End::Known,
                });
            }
            if known.has(ledger, first)? {
                return Ok(End::Unknown { from, is_all: false });
            }
            end = End::Unknown { from, is_all: true };
        }
        to = from;
    }
    Ok(end)
}

/// Returns the beginning of the half line at the end of a file, if it may be one of an entry that is not known.
fn torn_line_of_ours<L: Ledger>(
    ledger: &mut L,
    file: &File,
    bytes: u64,
    known: &Known<'_, L>,
) -> Result<Option<u64>, SettleError<L::Error>> {
    let mut at = bytes.saturating_sub(WINDOW_BYTES);
    loop {
        let batch = lines_after(file, at).map_err(LogError::Io)?;
        at = batch.end;
        let prefix = match batch.rest {
            Rest::Unread => continue,
            Rest::Torn(prefix) => prefix,
            Rest::Nothing | Rest::TornTooLong => return Ok(None),
        };
        let owner = ledger.beginning_with(&prefix).map_err(SettleError::Ledger)?;
        let is_ours = match owner.filter(|entry| entry.line.as_bytes().starts_with(&prefix)) {
            Some(entry) => !known.has(ledger, entry.id)?,
            None => false,
        };
        return Ok(is_ours.then_some(at));
    }
}

/// Returns the beginning of the first line within `from..to`.
fn line_between(file: &File, from: u64, to: u64) -> io::Result<Option<u64>> {
    if from == 0 {
        return Ok(Some(0));
    }
    let before = from - 1;
    let mut window = vec![0; (to - before) as usize];
    let read = file.read_at(&mut window, before)?;
    let newline = window[..read].iter().position(|byte| *byte == b'\n');
    Ok(newline.map(|newline| before + newline as u64 + 1).filter(|line| *line < to))
}

type FirstAndLast<L> = (<L as Ledger>::Id, <L as Ledger>::Id);

/// Returns the entries of the first and the last line of ours that begin in `from..to`.
fn ours_between<L: Ledger>(
    ledger: &mut L,
    file: &File,
    from: u64,
    to: u64,
) -> Result<Option<FirstAndLast<L>>, SettleError<L::Error>> {
    let (mut at, mut found) = (from, None);
    while at < to {
        let batch = lines_after(file, at).map_err(LogError::Io)?;
        for id in ours(ledger, &batch.lines)?.flatten() {
            found = Some((found.map_or_else(|| id.clone(), |(first, _)| first), id));
        }
        if batch.rest != Rest::Unread {
            break;
        }
        at = batch.end;
    }
    Ok(found)
}
