//! Disks that record: a FUSE file system with a file for each disk, which loop devices turn into block devices.
//!
//! Each write, discard and flush that reaches a disk becomes a [`Record`], and all disks share one sequence. The file `sequence` contains
//! the number of records and how often a fault has struck; a text written to `control` arms one [`Fault`].
//!
//! It runs as a process of its own: a process that serves a file system and waits for it at the same time cannot be killed.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, INodeNo, LockOwner, MountOption,
    OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite, Request,
    WriteFlags,
};
use nix::fcntl::FallocateFlags;
use nix::sched::CloneFlags;
use parking_lot::Mutex;

use crate::error::{Context, Outcome, Trouble};
use crate::recording::{self, Kind, Record};

/// Attributes never change.
const TTL: Duration = Duration::from_secs(3600);
const SEQUENCE: u64 = 2;
const CONTROL: u64 = 3;
/// The inode of disk 0.
const DISKS: u64 = 10;
const NAMES: [(&str, u64); 4] =
    [("sequence", SEQUENCE), ("control", CONTROL), ("disk0", DISKS), ("disk1", DISKS + 1)];
/// The block size of file systems and databases, in bytes.
const BLOCK: u64 = 4096;

/// A fault that strikes once, with EIO.
#[derive(Debug, PartialEq)]
pub struct Fault {
    pub disk: u64,
    pub call: Call,
    pub mark: Mark,
}

/// The request that fails.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Call {
    /// The first write with the mark.
    Write,
    /// The first flush after a write with the mark.
    Flush,
}

/// Distinguishes writes of one file from those of others.
#[derive(Debug, Clone, PartialEq)]
pub enum Mark {
    /// The write contains these bytes.
    Contains(Vec<u8>),
    /// A block of the write begins with these bytes.
    Begins(Vec<u8>),
}

impl Mark {
    fn is_on(&self, offset: u64, data: &[u8]) -> bool {
        match self {
            Self::Contains(bytes) => data.windows(bytes.len()).any(|part| part == bytes),
            Self::Begins(bytes) => {
                let first = usize::try_from(offset.next_multiple_of(BLOCK) - offset).unwrap_or(usize::MAX);
                let blocks = data.get(first..).unwrap_or_default().chunks(BLOCK as usize);
                blocks.into_iter().any(|block| block.starts_with(bytes))
            }
        }
    }
}

impl Fault {
    /// Formats the fault as `control` accepts it.
    pub fn to_text(&self) -> String {
        let call = match self.call {
            Call::Write => "write",
            Call::Flush => "flush",
        };
        let (mark, bytes) = match &self.mark {
            Mark::Contains(bytes) => ("contains", bytes),
            Mark::Begins(bytes) => ("begins", bytes),
        };
        let bytes = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        format!("{} {call} {mark} {bytes}", self.disk)
    }

    fn from_text(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let disk = words.next()?.parse().ok()?;
        let call = match words.next()? {
            "write" => Call::Write,
            "flush" => Call::Flush,
            _ => return None,
        };
        let mark = words.next()?;
        let digits = words.next()?.as_bytes();
        let bytes = digits.chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok());
        let bytes = bytes.collect::<Option<Vec<u8>>>().filter(|bytes| !bytes.is_empty())?;
        let mark = match mark {
            "contains" => Mark::Contains(bytes),
            "begins" => Mark::Begins(bytes),
            _ => return None,
        };
        Some(Self { disk, call, mark })
    }
}

/// Serves the disks of a recording's folder until the file system is unmounted. Standard input is the namespace of mounts to serve from.
///
/// In the namespace of the mounts this process might be its last one. Killed, it would have to unmount what lies on its own disks, and wait
/// for answers of its own: the kernel unmounts before it closes the files of a process.
///
/// # Errors
/// If the folder has no disks, or FUSE or the namespace is refused.
pub fn serve(folder: &Path, mount_point: &Path) -> Outcome<()> {
    let mut config = Config::default();
    config.mount_options = vec![MountOption::FSName("powercut".into())];
    let disks = Disks::open(folder).at(folder.display())?;
    let session = fuser::Session::new(disks, mount_point, &config).at("FUSE")?;
    nix::sched::setns(io::stdin(), CloneFlags::CLONE_NEWNS).at("the outer namespace of mounts")?;
    session.run().at("FUSE")
}

struct Disks {
    sizes: Vec<u64>,
    state: Mutex<State>,
}

struct State {
    /// The present contents of each disk.
    contents: Vec<File>,
    data: File,
    index: File,
    /// The size of `data` so far, in bytes.
    place: u64,
    sequence: u64,
    fault: Option<Fault>,
    /// A disk whose next flush must fail.
    due: Option<u64>,
    struck: u64,
}

impl Disks {
    fn open(folder: &Path) -> Outcome<Self> {
        let paths = (0..2).map(|disk| folder.join(recording::contents(disk)));
        let contents = paths
            .filter(|path| path.exists())
            .map(|path| OpenOptions::new().read(true).write(true).open(path))
            .collect::<io::Result<Vec<File>>>()?;
        if contents.is_empty() {
            return Err(Trouble::new("expected at least one disk in the folder, found none"));
        }
        let sizes =
            contents.iter().map(|file| Ok(file.metadata()?.len())).collect::<io::Result<Vec<u64>>>()?;
        let state = State {
            contents,
            data: File::create(folder.join(recording::DATA))?,
            index: File::create(folder.join(recording::INDEX))?,
            place: 0,
            sequence: 0,
            fault: None,
            due: None,
            struck: 0,
        };
        Ok(Self { sizes, state: Mutex::new(state) })
    }

    fn attributes(&self, inode: INodeNo) -> Option<FileAttr> {
        let (kind, size, perm) = match inode.0 {
            1 => (FileType::Directory, 0, 0o700),
            SEQUENCE | CONTROL => (FileType::RegularFile, 0, 0o600),
            other => (FileType::RegularFile, *self.sizes.get(disk_of(other)?)?, 0o600),
        };
        Some(FileAttr {
            ino: inode,
            size,
            blocks: size / 512,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind,
            perm,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: BLOCK as u32,
            flags: 0,
        })
    }
}

fn disk_of(inode: u64) -> Option<usize> {
    inode.checked_sub(DISKS).and_then(|disk| usize::try_from(disk).ok())
}

impl State {
    fn record(&mut self, kind: Kind, disk: usize, offset: u64, length: u64, data: &[u8]) -> io::Result<()> {
        self.data.write_all(data)?;
        let record = Record { kind, disk, offset, length, place: self.place };
        self.index.write_all(&record.to_bytes())?;
        self.place += data.len() as u64;
        self.sequence += 1;
        Ok(())
    }

    fn write(&mut self, disk: usize, offset: u64, data: &[u8]) -> io::Result<()> {
        let is_marked = |fault: &Fault| fault.disk == disk as u64 && fault.mark.is_on(offset, data);
        match self.fault.take_if(|fault| is_marked(fault)).map(|fault| fault.call) {
            Some(Call::Write) => {
                self.struck += 1;
                return Err(io::ErrorKind::Other.into());
            }
            Some(Call::Flush) => self.due = Some(disk as u64),
            None => (),
        }
        self.contents[disk].write_all_at(data, offset)?;
        self.record(Kind::Write, disk, offset, data.len() as u64, data)
    }

    fn zero(&mut self, disk: usize, offset: u64, length: u64) -> io::Result<()> {
        punch(&self.contents[disk], offset, length)?;
        self.record(Kind::Zero, disk, offset, length, &[])
    }

    fn flush(&mut self, disk: usize) -> io::Result<()> {
        if self.due.take_if(|due| *due == disk as u64).is_some() {
            self.struck += 1;
            return Err(io::ErrorKind::Other.into());
        }
        self.record(Kind::Flush, disk, 0, 0, &[])
    }
}

/// Makes a range of a file zeros that take no space.
///
/// # Errors
/// If the system refuses.
pub fn punch(file: &File, offset: u64, length: u64) -> io::Result<()> {
    let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    nix::fcntl::fallocate(file, flags, offset.cast_signed(), length.cast_signed())?;
    Ok(())
}

impl Filesystem for Disks {
    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let inode = NAMES.iter().find(|(known, _)| name == *known).map(|(_, inode)| INodeNo(*inode));
        match inode.and_then(|inode| self.attributes(inode)) {
            Some(attributes) => reply.entry(&TTL, &attributes, fuser::Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes(inode) {
            Some(attributes) => reply.attr(&TTL, &attributes),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn open(&self, _: &Request, inode: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        // A disk may be cached, because only its loop device writes to it.
        let flags = if inode.0 < DISKS { FopenFlags::FOPEN_DIRECT_IO } else { FopenFlags::FOPEN_KEEP_CACHE };
        reply.opened(FileHandle(0), flags);
    }

    fn readdir(&self, _: &Request, _: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let there = NAMES.iter().filter(|(_, inode)| self.attributes(INodeNo(*inode)).is_some());
        for (at, (name, inode)) in (1_u64..).zip(there).filter(|(at, _)| *at > offset) {
            if reply.add(INodeNo(*inode), at, FileType::RegularFile, name) {
                break;
            }
        }
        reply.ok();
    }

    fn read(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let state = self.state.lock();
        if inode.0 == SEQUENCE {
            let told = format!("{} {}\n", state.sequence, state.struck);
            let from = usize::try_from(offset).unwrap_or(usize::MAX);
            return reply.data(told.as_bytes().get(from..).unwrap_or_default());
        }
        let Some((file, length)) = disk_of(inode.0).and_then(|disk| {
            Some((state.contents.get(disk)?, self.sizes.get(disk)?.saturating_sub(offset).min(size.into())))
        }) else {
            return reply.error(Errno::EINVAL);
        };
        let mut buffer = vec![0; length as usize];
        match file.read_exact_at(&mut buffer, offset) {
            Ok(()) => reply.data(&buffer),
            Err(_) => reply.error(Errno::EIO),
        }
    }

    fn write(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut state = self.state.lock();
        let written = if inode.0 == CONTROL {
            // It may have struck since the writer looked.
            if state.struck == 0 {
                state.fault = str::from_utf8(data).ok().and_then(Fault::from_text);
            }
            Ok(())
        } else {
            match disk_of(inode.0) {
                Some(disk) => state.write(disk, offset, data),
                None => Err(io::ErrorKind::InvalidInput.into()),
            }
        };
        match written {
            Ok(()) => reply.written(data.len() as u32),
            Err(_) => reply.error(Errno::EIO),
        }
    }

    fn fallocate(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let zeroes = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_ZERO_RANGE;
        let Some(disk) = disk_of(inode.0).filter(|_| mode & zeroes.bits() != 0) else {
            return reply.error(Errno::EOPNOTSUPP);
        };
        match self.state.lock().zero(disk, offset, length) {
            Ok(()) => reply.ok(),
            Err(_) => reply.error(Errno::EIO),
        }
    }

    fn fsync(&self, _: &Request, inode: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        match disk_of(inode.0).map_or(Ok(()), |disk| self.state.lock().flush(disk)) {
            Ok(()) => reply.ok(),
            Err(_) => reply.error(Errno::EIO),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn setattr(
        &self,
        _: &Request,
        inode: INodeNo,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u64>,
        _: Option<fuser::TimeOrNow>,
        _: Option<fuser::TimeOrNow>,
        _: Option<std::time::SystemTime>,
        _: Option<FileHandle>,
        _: Option<std::time::SystemTime>,
        _: Option<std::time::SystemTime>,
        _: Option<std::time::SystemTime>,
        _: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        match self.attributes(inode) {
            Some(attributes) => reply.attr(&TTL, &attributes),
            None => reply.error(Errno::ENOENT),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_read_as_it_was_written() {
        for (call, mark) in [
            (Call::Write, Mark::Contains(b" md5 succeeded ".to_vec())),
            (Call::Flush, Mark::Begins(vec![0, 255])),
        ] {
            let fault = Fault { disk: 1, call, mark };
            assert_eq!(Fault::from_text(&fault.to_text()), Some(fault));
        }
        assert_eq!(Fault::from_text("0 write contains "), None);
    }

    #[test]
    fn a_block_begins_where_the_disk_has_it_not_the_write() {
        let mut data = vec![0; 8192];
        data[4096 - 512..][..3].copy_from_slice(b"abc");
        let mark = Mark::Begins(b"abc".to_vec());
        assert!(mark.is_on(512, &data));
        assert!(!mark.is_on(0, &data));
    }
}
