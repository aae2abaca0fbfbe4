//! Checks the log and its rotated files against the rows, line by line.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use shared_log::{Line, LogError, LogFile};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::report::{FEW, Found, PAGE, Report, VerifyError, VerifyProgress};
use super::rows::{Ended, check_of};
use crate::outcome;
use crate::store::{LogHead, Place, Store};
use crate::task::{Task, TaskId, Time};

/// How long a writer may take to finish a line.
const SETTLING: Duration = Duration::from_secs(1);

/// The content of the log, as far as it was read.
pub struct Reading {
    store: Arc<dyn Store>,
    files: Arc<[LogFile]>,
    /// How far the log is written, read before the rows; `None` if it has no place in the feed yet.
    head: Option<LogHead>,
    /// Ended tasks, newest first.
    ended: Vec<Ended>,
    /// Lines of tasks that ended after the rows were read: the hash to compare, and the number of lines.
    late: HashMap<TaskId, (u64, u32)>,
    /// Lines whose rows were not looked up yet.
    unknown: Vec<(Position, Vec<u8>)>,
    /// Places at which a file ends within a line.
    torn: Vec<Position>,
    malformed: Found,
    foreign: Found,
    lines: u64,
    /// Lines of tasks that were deleted.
    pruned: u64,
}

/// The place of a line.
#[derive(Debug, Clone, Copy)]
struct Position {
    file: usize,
    offset: u64,
}

/// A task that seems to have no line, or several.
struct Suspect {
    check: u64,
    count: u32,
    /// The places of the first few lines.
    places: Vec<String>,
}

impl Reading {
    /// Reads all lines.
    pub async fn read(
        store: Arc<dyn Store>,
        log: &Path,
        head: Option<LogHead>,
        ended: Vec<Ended>,
        progress: Arc<VerifyProgress>,
    ) -> Result<Self, VerifyError> {
        let log = log.to_owned();
        let runtime = Handle::current();
        blocking(move || {
            let mut reading = Self {
                store,
                files: LogFile::all_of(&log)?.into(),
                head,
                ended,
                late: HashMap::new(),
                unknown: Vec::new(),
                torn: Vec::new(),
                malformed: Found::default(),
                foreign: Found::default(),
                lines: 0,
                pruned: 0,
            };
            reading.read_files(&runtime, &progress)?;
            Ok(reading)
        })
        .await
    }

    fn read_files(&mut self, runtime: &Handle, progress: &VerifyProgress) -> Result<(), VerifyError> {
        let sizes: io::Result<Vec<u64>> = self.files.iter().map(LogFile::bytes).collect();
        progress.of_bytes.store(sizes.map_err(LogError::Io)?.iter().sum(), Relaxed);
        for (file, log_file) in self.files.clone().iter().enumerate() {
            for line in log_file.lines(0) {
                let line = line.map_err(LogError::Io)?;
                progress.bytes.fetch_add(line.text.as_ref().map_or(0, Vec::len) as u64 + 1, Relaxed);
                self.see(Position { file, offset: line.offset }, line);
                if self.unknown.len() >= PAGE as usize {
                    runtime.block_on(self.ask())?;
                }
            }
        }
        runtime.block_on(self.ask())
    }

    fn see(&mut self, position: Position, Line { text, is_whole, .. }: Line) {
        if !is_whole {
            return self.torn.push(position);
        }
        let Some(text) = text else {
            let at = self.at(position);
            return self.foreign.add(|| format!("{at}: a line too long for a task's"));
        };
        let Some(id) = outcome::id_of(&text) else {
            let at = self.at(position);
            return self.foreign.add(|| format!("{at}: {}", shown(&text)));
        };
        // The rows are sorted newest first.
        match self.ended.binary_search_by(|ended| id.cmp(&ended.id)) {
            Ok(index) if self.ended[index].check == check_of(&text) => {
                self.ended[index].lines += 1;
                self.lines += 1;
            }
            // The task may have ended since the rows were read.
            Ok(_) | Err(_) => self.unknown.push((position, text)),
        }
    }

    /// Looks up the rows of lines whose tasks were unknown.
    async fn ask(&mut self) -> Result<(), VerifyError> {
        let unknown = std::mem::take(&mut self.unknown);
        if unknown.is_empty() {
            return Ok(());
        }
        let ids = unknown.iter().filter_map(|(_, text)| outcome::id_of(text)).collect();
        let tasks = self.store.find(ids).await?;
        let tasks: HashMap<TaskId, Task> = tasks.into_iter().map(|task| (task.id, task)).collect();
        let mut gone: Vec<(TaskId, &[u8])> = unknown
            .iter()
            .filter_map(|(_, text)| Some((outcome::id_of(text)?, &**text)))
            .filter(|(id, _)| !tasks.contains_key(id))
            .collect();
        let (mut pruned_until, mut deleted) = (None, HashSet::new());
        if !gone.is_empty() {
            pruned_until = self.store.pruned_until().await?;
            // A task that was deleted alone has left its place in the feed, all of which is read.
            gone.retain(|(_, text)| !is_pruned(text, pruned_until));
        }
        if !gone.is_empty() {
            let ids = gone.into_iter().map(|(id, _)| id).collect();
            deleted.extend(self.store.those_after(Place::default(), ids).await?);
        }
        for (position, text) in unknown {
            let at = self.at(position);
            let task = outcome::id_of(&text).and_then(|id| tasks.get(&id));
            if let Some(task) = task.filter(|task| outcome::is_line_of(&text, task)) {
                self.late.entry(task.id).or_insert((check_of(&text), 0)).1 += 1;
                self.lines += 1;
            } else if task.is_none() && is_of_deleted(&text, pruned_until, &deleted) {
                self.pruned += 1;
            } else if outcome::begins_like_ours(&text) {
                self.malformed.add(|| format!("{at}: {}", shown(&text)));
            } else {
                self.foreign.add(|| format!("{at}: {}", shown(&text)));
            }
        }
        Ok(())
    }

    /// Reports the findings. Looks once more at lines that may have been in progress.
    pub async fn tell(mut self, log: &Path, report: &mut Report) -> Result<(), VerifyError> {
        self.settle_torn().await?;

        let mut suspects = BTreeMap::new();
        let mut suspect = |id, check| suspects.insert(id, Suspect { check, count: 0, places: Vec::new() });
        let without = self.ended.iter().filter(|ended| ended.lines == 0).map(|ended| ended.id).collect();
        let due = self.due_of(without).await?;
        report.owed = due.len() as u64;
        for ended in &self.ended {
            if ended.lines > 1 || ended.lines == 0 && !due.contains(&ended.id) {
                suspect(ended.id, ended.check);
            }
        }
        for (id, (check, _)) in self.late.iter().filter(|(_, (_, lines))| *lines > 1) {
            suspect(*id, *check);
        }
        for (id, Suspect { count, places, .. }) in look_again(log, suspects).await? {
            match count {
                0 => report
                    .lost
                    .add(|| format!("{id} comes before the log's place in the feed but has no line")),
                1 => {}
                _ => report.doubled.add(|| format!("{id} has {count} lines: {}", places.join(", "))),
            }
        }

        report.lines = self.lines;
        report.pruned = self.pruned;
        report.files = self.files.len();
        report.malformed = self.malformed;
        report.foreign = self.foreign;
        Ok(())
    }

    /// Settles incomplete lines: a line may be in progress; or its writer was killed, and the next writer will complete it; or it belongs
    /// to no task.
    async fn settle_torn(&mut self) -> Result<(), VerifyError> {
        let torn = std::mem::take(&mut self.torn);
        if torn.is_empty() {
            return Ok(());
        }
        sleep(SETTLING).await;
        for position in torn {
            let lines: io::Result<Vec<Line>> = self.files[position.file].lines(position.offset).collect();
            for line in lines.map_err(LogError::Io)? {
                let position = Position { offset: line.offset, ..position };
                match line {
                    Line { is_whole: true, .. } => self.see(position, line),
                    Line { text: Some(text), .. } if self.is_due(&text).await? => {}
                    // Treated as complete: it equals no row's line.
                    Line { .. } => self.see(position, Line { is_whole: true, ..line }),
                }
            }
        }
        self.ask().await
    }

    /// Returns those of the tasks that come after the log's place in the feed, or have no place yet.
    async fn due_of(&self, ids: HashSet<TaskId>) -> Result<HashSet<TaskId>, VerifyError> {
        let Some(head) = &self.head else { return Ok(ids) };
        let (mut due, mut after) = (HashSet::new(), head.place);
        loop {
            let page = self.store.outcomes(after, None, PAGE).await?;
            after = page.until;
            due.extend(page.outcomes.iter().map(|outcome| outcome.id).filter(|id| ids.contains(id)));
            if page.is_end {
                break;
            }
        }
        head.ahead.iter().for_each(|id| {
            due.remove(id);
        });
        let before: Vec<TaskId> = ids.into_iter().filter(|id| !due.contains(id)).collect();
        for some in before.chunks(PAGE as usize) {
            let placed = self.store.those_after(Place::default(), some.to_vec()).await?;
            // Numbered since the pages were read.
            let after = self.store.those_after(head.place, some.to_vec()).await?;
            due.extend(some.iter().filter(|id| !placed.contains(id) || after.contains(id)));
        }
        Ok(due)
    }

    /// Returns whether the text is the beginning of a line that is due.
    async fn is_due(&self, text: &[u8]) -> Result<bool, VerifyError> {
        let place = self.head.as_ref().map(|head| head.place).unwrap_or_default();
        let page = self.store.outcomes(place, None, PAGE).await?;
        let mut ids: Vec<TaskId> = page.outcomes.iter().map(|outcome| outcome.id).collect();
        ids.extend(outcome::id_of(text));
        let has_line = |id: &TaskId| {
            let ended = self.ended.binary_search_by(|ended| id.cmp(&ended.id));
            ended.is_ok_and(|index| self.ended[index].lines > 0)
        };
        ids.retain(|id| !has_line(id));
        let due = self.due_of(ids.into_iter().collect()).await?;
        let tasks = self.store.find(due.into_iter().collect()).await?;
        Ok(tasks.iter().filter_map(outcome::line).any(|line| line.as_bytes().starts_with(text)))
    }

    fn at(&self, position: Position) -> String {
        at(&self.files[position.file], position.offset)
    }
}

/// Returns whether a line without a row is that of a task that was deleted.
fn is_of_deleted(text: &[u8], pruned_until: Option<Time>, deleted: &HashSet<TaskId>) -> bool {
    outcome::begins_like_ours(text)
        && (outcome::id_of(text).is_some_and(|id| deleted.contains(&id)) || is_pruned(text, pruned_until))
}

/// Returns whether the task of a line ended before those that retention has passed.
fn is_pruned(text: &[u8], pruned_until: Option<Time>) -> bool {
    pruned_until.is_some_and(|until| outcome::finished_of(text).is_some_and(|at| at <= until))
}

fn at(file: &LogFile, offset: u64) -> String {
    let name = file.path().file_name().unwrap_or_default().to_string_lossy();
    format!("{name} at byte {offset}")
}

/// Looks for the suspects' lines in the files as they are now.
async fn look_again(
    log: &Path,
    mut suspects: BTreeMap<TaskId, Suspect>,
) -> Result<BTreeMap<TaskId, Suspect>, VerifyError> {
    if suspects.is_empty() {
        return Ok(suspects);
    }
    let log = log.to_owned();
    blocking(move || {
        for file in LogFile::all_of(&log)? {
            for line in file.lines(0) {
                let line = line.map_err(LogError::Io)?;
                let Some(text) = line.text.filter(|_| line.is_whole) else { continue };
                let Some(suspect) = outcome::id_of(&text).and_then(|id| suspects.get_mut(&id)) else {
                    continue;
                };
                if suspect.check == check_of(&text) {
                    suspect.count += 1;
                    if suspect.places.len() < FEW {
                        suspect.places.push(at(&file, line.offset));
                    }
                }
            }
        }
        Ok(suspects)
    })
    .await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, VerifyError> + Send + 'static,
) -> Result<T, VerifyError> {
    spawn_blocking(work).await.unwrap_or_else(|error| Err(LogError::Io(io::Error::other(error)).into()))
}

/// Formats a foreign line for a report: shortened, in characters that can't harm a terminal.
fn shown(text: &[u8]) -> String {
    const LONGEST: usize = 200;
    let text = String::from_utf8_lossy(text);
    let short: String = text.chars().take(LONGEST).collect();
    let dots = if short.len() < text.len() { "…" } else { "" };
    format!("{short:?}{dots}")
}
