//! A ledger in a file: several processes share it, and each call is one transaction.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use shared_log::{Entry, Head, Ledger};

/// How many entries there ever are. The first `due` of them owe a line.
pub const ENTRIES: usize = 5000;

pub struct FileLedger {
    folder: PathBuf,
}

#[derive(Clone)]
pub struct State {
    pub due: usize,
    pub head: Option<Head>,
    pub logged: Vec<bool>,
}

impl State {
    pub fn logged(&self) -> Vec<usize> {
        (0..ENTRIES).filter(|id| self.logged[*id]).collect()
    }
}

/// The line of an entry: of different lengths, and alike up to their ends where the ids are neighbours.
pub fn line(id: usize) -> String {
    format!("2026-01-02T03:04:05Z {id:06} md5 succeeded {}", "é".repeat(id % 23 + 1))
}

impl FileLedger {
    pub fn at(folder: &Path) -> Self {
        Self { folder: folder.join("ledger") }
    }

    pub fn create(folder: &Path) -> Self {
        let ledger = Self::at(folder);
        fs::create_dir(&ledger.folder).unwrap();
        ledger.write(&State { due: 0, head: None, logged: vec![false; ENTRIES] }).unwrap();
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
        let text = fs::read_to_string(self.folder.join("state"))?;
        let [due, head, logged] = text.lines().collect::<Vec<_>>().try_into().unwrap();
        let head: Vec<i128> = head.split_whitespace().map(|number| number.parse().unwrap()).collect();
        let head = (!head.is_empty()).then(|| Head {
            generation: head[0] as u32,
            dev: head[1] as u64,
            ino: head[2] as u64,
            committed: head[3] as u64,
            tail_check: head[4] as i64,
        });
        let logged = logged.bytes().map(|byte| byte == b'1').collect();
        Ok(State { due: due.parse().unwrap(), head, logged })
    }

    fn write(&self, state: &State) -> io::Result<()> {
        let head = state.head.map_or(String::new(), |head| {
            let Head { generation, dev, ino, committed, tail_check } = head;
            format!("{generation} {dev} {ino} {committed} {tail_check}")
        });
        let logged: String = state.logged.iter().map(|logged| if *logged { '1' } else { '0' }).collect();
        fs::write(self.folder.join("next"), format!("{}\n{head}\n{logged}", state.due))?;
        fs::rename(self.folder.join("next"), self.folder.join("state"))
    }

    fn owed_entries(&self) -> io::Result<impl Iterator<Item = Entry<usize>>> {
        let state = self.read()?;
        let owed = (0..state.due).filter(move |id| !state.logged[*id]);
        Ok(owed.map(|id| Entry { id, line: line(id) }))
    }
}

impl Ledger for FileLedger {
    type Id = usize;
    type Error = io::Error;

    fn head(&mut self) -> io::Result<Option<Head>> {
        Ok(self.read()?.head)
    }

    fn begin(&mut self, seen: Option<u32>, new: &Head) -> io::Result<bool> {
        self.change(|state| {
            let unchanged = state.head.map(|head| head.generation) == seen;
            if unchanged {
                state.head = Some(*new);
            }
            unchanged
        })
    }

    fn recognize(&mut self, lines: &[&[u8]]) -> io::Result<Vec<Option<usize>>> {
        let recognize = |bytes: &&[u8]| {
            let id = str::from_utf8(bytes).ok()?.split(' ').nth(1)?.parse().ok()?;
            (id < ENTRIES && line(id).as_bytes() == *bytes).then_some(id)
        };
        Ok(lines.iter().map(recognize).collect())
    }

    fn owed(&mut self, limit: usize) -> io::Result<Vec<Entry<usize>>> {
        Ok(self.owed_entries()?.take(limit).collect())
    }

    fn owed_beginning_with(&mut self, prefix: &[u8]) -> io::Result<Option<Entry<usize>>> {
        Ok(self.owed_entries()?.find(|entry| entry.line.as_bytes().starts_with(prefix)))
    }

    fn commit(&mut self, written: &[usize], head: &Head) -> io::Result<bool> {
        self.change(|state| {
            let moves = state
                .head
                .is_some_and(|now| now.generation == head.generation && now.committed < head.committed);
            // The stricter of the two answers that are allowed: else nothing is marked either.
            if moves {
                state.head = Some(*head);
                for id in written {
                    state.logged[*id] = true;
                }
            }
            moves
        })
    }
}
