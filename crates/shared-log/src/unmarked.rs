//! Finds lines that are in a file but whose entries are not marked, where no head leads: in a rotated file, written under another path of
//! the log (the disk is mounted elsewhere) or before its files were copied (a folder was restored).

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

/// Returns the newest rotated file whose last line of ours belongs to an unmarked entry, and the offset from which such lines may begin.
/// `ended` is known to have none.
///
/// Only the ends of files can have such lines: a step marks all that it finds before it writes more. So the first file whose last line of
/// ours is marked ends the search.
pub(crate) fn find<L: Ledger>(
    ledger: &mut L,
    log: &SharedLog,
    current: &File,
    ended: Option<&File>,
) -> Result<Option<(File, u64)>, SettleError<L::Error>> {
    // While other programs rotate, a listed file may have moved: none may be skipped.
    'listed: for _ in 0..LIST_TRIES {
        for sibling in rotation::siblings(&log.path, Some(current))? {
            let file = match sibling.open() {
                Ok(Some(file)) => file,
                Ok(None) => continue 'listed,
                // A foreign file: ours were writable when they were the log.
                Err(LogError::Unwritable { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            let is_ended = ended.map(|ended| sibling.is(ended)).transpose().map_err(LogError::Io)?;
            if is_ended == Some(true) || sibling.refuse_compressed(&file).is_err() {
                continue;
            }
            // Entries that become due from now on have no line yet.
            if ledger.owed(1).map_err(SettleError::Ledger)?.is_empty() {
                return Ok(None);
            }
            read_from_device(&file).map_err(LogError::SyncFailed)?;
            match owed_at_end_of(ledger, &file)? {
                End::Owed(from) => return Ok(Some((file, from))),
                End::Marked => return Ok(None),
                End::Strange => {}
            }
        }
        return Ok(None);
    }
    Err(LogError::Io(io::Error::other(
        "the log was renamed during each of several attempts to list its files",
    ))
    .into())
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
    /// The last line of ours belongs to an unmarked entry; no earlier line than the one at this offset does.
    Owed(u64),
    Marked,
    /// The file has no line of ours, as far as was read.
    Strange,
}

fn owed_at_end_of<L: Ledger>(ledger: &mut L, file: &File) -> Result<End, SettleError<L::Error>> {
    let bytes = file.metadata().map_err(LogError::Io)?.size();
    let (mut to, mut end) = (bytes, End::Strange);
    while to > 0 {
        if matches!(end, End::Strange) && bytes - to >= STRANGE_BYTES {
            break;
        }
        let from = to.saturating_sub(WINDOW_BYTES);
        if let Some(from) = line_between(file, from, to).map_err(LogError::Io)?
            && let Some((first, last)) = ours_between(ledger, file, from, to)?
        {
            if !is_owed(ledger, &last)? {
                return Ok(if let End::Owed(_) = end { end } else { End::Marked });
            }
            end = End::Owed(from);
            if !is_owed(ledger, &first)? {
                break;
            }
        }
        to = from;
    }
    Ok(end)
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

type FirstAndLast = (Vec<u8>, Vec<u8>);

/// Returns the first and the last line of ours that begin in `from..to`.
fn ours_between<L: Ledger>(
    ledger: &mut L,
    file: &File,
    from: u64,
    to: u64,
) -> Result<Option<FirstAndLast>, SettleError<L::Error>> {
    let (mut at, mut found) = (from, None);
    while at < to {
        let mut batch = lines_after(file, at).map_err(LogError::Io)?;
        let own: Vec<bool> = ours(ledger, &batch.lines)?.map(|id| id.is_some()).collect();
        if let (Some(first), Some(last)) = (own.iter().position(|is| *is), own.iter().rposition(|is| *is)) {
            let last = batch.lines.swap_remove(last);
            let first = batch.lines.get(first).unwrap_or(&last).clone();
            found = Some((found.map_or(first, |(first, _)| first), last));
        }
        if batch.rest != Rest::Unread {
            break;
        }
        at = batch.end;
    }
    Ok(found)
}

fn is_owed<L: Ledger>(ledger: &mut L, line: &[u8]) -> Result<bool, SettleError<L::Error>> {
    let owner = ledger.owed_beginning_with(line).map_err(SettleError::Ledger)?;
    Ok(owner.is_some_and(|entry| entry.line.as_bytes() == line))
}
