//! A ledger in a file: several processes share it, and each call is one transaction.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use shared_log::{Entry, Ledger, Placed};

/// A head of this ledger's log: an entry's id is the place before it.
pub type Head = shared_log::Head<usize, usize>;

/// How many entries there ever are. The first `due` of them owe a line.
pub const ENTRIES: usize = 5000;

pub struct FileLedger {
    folder: PathBuf,
    /// The log's name. Each has a head of its own.
    name: &'static str,
    /// An entry whose line can't be written.
    pub unwritable: Option<usize>,
    /// The name of the log that this one goes on with.
    pub old_name: Option<&'static str>,
}

#[derive(Clone)]
pub struct State {
    pub due: usize,
    pub head: Option<Head>,
}

impl State {
    /// The entries that the head knows to have their lines.
    pub fn logged(&self) -> Vec<usize> {
        let Some(head) = &self.head else { return Vec::new() };
        let mut logged: Vec<usize> = (0..head.place).chain(head.ahead.iter().copied()).collect();
        logged.sort_unstable();
        logged
    }
}

/// The line of an entry: of different lengths, and alike up to their ends where the ids are neighbours.
pub fn line(id: usize) -> String {
    format!("2026-01-02T03:04:05Z {id:06} md5 succeeded {}", "é".repeat(id % 23 + 1))
}

impl FileLedger {
    pub fn at(folder: &Path) -> Self {
        Self::of_log(folder, "log")
    }

    pub fn of_log(folder: &Path, name: &'static str) -> Self {
        Self { folder: folder.join("ledger"), name, unwritable: None, old_name: None }
    }

    pub fn create(folder: &Path) -> Self {
        let ledger = Self::at(folder);
        fs::create_dir(&ledger.folder).unwrap();
        ledger.write(&State { due: 0, head: None }).unwrap();
        ledger
    }

    /// Adds that many entries that owe a line.
    pub fn owe(&self, count: usize) {
        self.change(|state| state.due = (state.due + count).min(ENTRIES)).unwrap();
    }

    pub fn state(&self) -> State {
        self.read().unwrap()
    }

    /// As if nothing since `state` had been committed.
    pub fn restore(&self, earlier: &State) {
        self.change(|state| *state = earlier.clone()).unwrap();
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> io::Result<T> {
        // `flock`: not the lock under test.
        let lock = File::create(self.folder.join("lock"))?;
        lock.lock()?;
        let mut state = self.read()?;
        let answer = change(&mut state);
        self.write(&state)?;
        Ok(answer)
    }

    fn read(&self) -> io::Result<State> {
        let due = fs::read_to_string(self.folder.join("due"))?;
        Ok(State { due: due.parse().unwrap(), head: self.head_of(self.name)? })
    }

    fn head_of(&self, name: &str) -> io::Result<Option<Head>> {
        let head = match fs::read_to_string(self.folder.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            head => head?,
        };
        let head: Vec<i128> = head.split_whitespace().map(|number| number.parse().unwrap()).collect();
        Ok(Some(Head {
            version: head[0] as u64,
            dev: head[1] as u64,
            ino: head[2] as u64,
            committed: head[3] as u64,
            tail_check: head[4] as i64,
            place: head[5] as usize,
            ahead: head[6..].iter().map(|id| *id as usize).collect(),
        }))
    }

    fn write(&self, state: &State) -> io::Result<()> {
        self.replace("due", &state.due.to_string())?;
        let Some(Head { version, dev, ino, committed, tail_check, place, ahead }) = &state.head else {
            let _ = fs::remove_file(self.folder.join(self.name));
            return Ok(());
        };
        let ahead: String = ahead.iter().map(|id| format!(" {id}")).collect();
        self.replace(self.name, &format!("{version} {dev} {ino} {committed} {tail_check} {place}{ahead}"))
    }

    fn replace(&self, name: &str, text: &str) -> io::Result<()> {
        fs::write(self.folder.join("next"), text)?;
        fs::rename(self.folder.join("next"), self.folder.join(name))
    }
}

impl Ledger for FileLedger {
    type Id = usize;
    type Place = usize;
    type Error = io::Error;

    fn head(&mut self) -> io::Result<Option<Head>> {
        Ok(self.read()?.head)
    }

    fn inherited(&mut self) -> io::Result<Option<Head>> {
        self.old_name.map_or(Ok(None), |name| self.head_of(name))
    }

    fn inherit(&mut self, head: &Head) -> io::Result<bool> {
        fs::remove_file(self.folder.join(self.old_name.unwrap()))?;
        self.store(None, head)
    }

    fn store(&mut self, seen: Option<u64>, head: &Head) -> io::Result<bool> {
        self.change(|state| {
            let is_unchanged = state.head.as_ref().map(|head| head.version) == seen;
            if is_unchanged {
                state.head = Some(head.clone());
            }
            is_unchanged
        })
    }

    fn after(&mut self, place: usize, limit: usize) -> io::Result<Option<Vec<Placed<usize, usize>>>> {
        let entry = |id| Placed { place: id + 1, id, line: (self.unwritable != Some(id)).then(|| line(id)) };
        Ok(Some((place..self.read()?.due).map(entry).take(limit).collect()))
    }

    fn those_after(&mut self, place: usize, ids: Vec<usize>) -> io::Result<Vec<usize>> {
        Ok(ids.into_iter().filter(|id| *id >= place).collect())
    }

    fn before_first(&mut self, ids: Vec<usize>) -> io::Result<usize> {
        Ok(ids.into_iter().min().unwrap())
    }

    fn recognize(&mut self, lines: &[&[u8]]) -> io::Result<Vec<Option<usize>>> {
        Ok(lines.iter().map(|bytes| id_of(bytes).filter(|id| line(*id).as_bytes() == *bytes)).collect())
    }

    fn beginning_with(&mut self, prefix: &[u8]) -> io::Result<Option<Entry<usize>>> {
        let due = self.read()?.due;
        Ok(id_of(prefix).filter(|id| *id < due).map(|id| Entry { id, line: line(id) }))
    }
}

fn id_of(line: &[u8]) -> Option<usize> {
    let id = String::from_utf8_lossy(line).split(' ').nth(1).filter(|id| id.len() == 6)?.parse().ok()?;
    (id < ENTRIES).then_some(id)
}
