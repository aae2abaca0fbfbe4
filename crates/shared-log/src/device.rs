//! Differences between a file in the page cache and on its device.
//!
//! A failed write-back, or a power cut before it, leaves more in memory, or in the file's length, than on the device. This module does not
//! interpret the bytes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

/// Flushes a file and drops it from the page cache: reads from now on return the content of the device.
///
/// After a failed flush, also by another process, Linux keeps the pages that could not be written as if they had been: they are
/// read, the next flush finds nothing to do and succeeds, and a power cut takes them (<https://lwn.net/Articles/752063/>). To write
/// the same bytes once more is not enough either: ext4 may write them to blocks that it still marks as unwritten, which
/// are read as zeros after a cut.
///
/// # Errors
/// If dirty pages can't be flushed. They may be gone then, and the next call succeeds: do not trust anything that was read before.
pub fn read_from_device(file: &File) -> io::Result<()> {
    file.sync_data()?;
    Ok(posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?)
}

/// The smallest unit, in bytes, that a device writes as one.
const SECTOR_BYTES: u64 = 512;
const BLOCK_BYTES: usize = 64 * 1024;

/// Returns where, between two offsets, unwritten bytes begin: NULs up to the end of a sector or of the file.
///
/// A power cut leaves these if a file's length was kept and a block of its content was not. Text contains none.
pub(crate) fn unwritten_between(file: &File, from: u64, to: u64) -> io::Result<Option<u64>> {
    let mut block = vec![0; BLOCK_BYTES];
    let (mut offset, mut nuls) = (from, None);
    while offset < to {
        let length = (to - offset).min(BLOCK_BYTES as u64) as usize;
        let read = file.read_at(&mut block[..length], offset)?;
        if read == 0 {
            break;
        }
        for (at, byte) in (offset..).zip(&block[..read]) {
            match (nuls, byte) {
                (Some(begun), _) if at % SECTOR_BYTES == 0 => return Ok(Some(begun)),
                (None, 0) => nuls = Some(at),
                (Some(_), 0) | (None, _) => {}
                (Some(_), _) => nuls = None,
            }
        }
        offset += read as u64;
    }
    let is_end = offset >= file.metadata()?.len();
    Ok(nuls.filter(|_| is_end || offset % SECTOR_BYTES == 0))
}

/// Returns where the NULs begin that a file ends with.
pub(crate) fn nuls_at_end(file: &File) -> io::Result<Option<u64>> {
    let bytes = file.metadata()?.len();
    let mut block = vec![0; BLOCK_BYTES];
    let mut begin = bytes;
    while begin > 0 {
        let length = begin.min(BLOCK_BYTES as u64);
        let before = &mut block[..length as usize];
        file.read_exact_at(before, begin - length)?;
        let text = before.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1);
        begin -= length - text;
        if text > 0 {
            break;
        }
    }
    Ok((begin < bytes).then_some(begin))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn nuls_up_to_the_end_of_a_sector_or_the_file_were_not_written() {
        let sector = |text: &str| {
            let mut sector = text.as_bytes().to_vec();
            sector.resize(SECTOR_BYTES as usize, b'x');
            sector
        };
        for (content, from, unwritten) in [
            (b"".to_vec(), 0, None),
            (b"text\n".to_vec(), 0, None),
            (b"text\n\0".to_vec(), 0, Some(5)),
            (b"te\0xt\n\0\0".to_vec(), 0, Some(6)),
            (b"\0\0\0".to_vec(), 0, Some(0)),
            (b"\0\0\0".to_vec(), 2, Some(2)),
            (b"te\0xt\n".to_vec(), 0, None),
            ([sector("one"), vec![0; 512], sector("two")].concat(), 0, Some(512)),
            ([sector("one"), vec![0; 511], sector("two")].concat(), 0, None),
            ([b"one".to_vec(), vec![0; 509], b"two".to_vec()].concat(), 0, Some(3)),
            (
                [vec![b'x'; 3 * BLOCK_BYTES - 1], b"\0y".to_vec()].concat(),
                0,
                Some(3 * BLOCK_BYTES as u64 - 1),
            ),
            ([vec![b'x'; 3 * BLOCK_BYTES], b"\0y".to_vec()].concat(), 0, None),
        ] {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&content).unwrap();
            assert_eq!(
                unwritten_between(&file, from, content.len() as u64).unwrap(),
                unwritten,
                "{} bytes from {from}",
                content.len()
            );
        }
    }

    #[test]
    fn nuls_at_the_end_are_found_however_many() {
        for (text, nuls) in [
            (0, 0),
            (0, 1),
            (5, 0),
            (5, 3),
            (0, 3 * BLOCK_BYTES),
            (5, 2 * BLOCK_BYTES),
            (BLOCK_BYTES, BLOCK_BYTES),
        ] {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&[vec![b'x'; text], vec![0; nuls]].concat()).unwrap();
            assert_eq!(nuls_at_end(&file).unwrap(), (nuls > 0).then_some(text as u64), "{text} and {nuls}");
        }
    }
}
