//! The conditions that one promise must meet: at each cut, and when all is at rest.

use std::time::Duration;

use md5::{Digest, Md5};
use task_data::kinds::md5::Md5Digest;
use task_data::outcome;
use task_data::task::{Status, Task, TaskId};

use crate::world::{Keeps, Neighbour, World};

/// The way in which an upload is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// In its row.
    Inline,
    Blob,
}

impl Form {
    pub fn chunks(self) -> &'static [&'static [u8]] {
        match self {
            Self::Inline => &[b"small"],
            Self::Blob => &[b"too ", b"large for ", b"a row"],
        }
    }

    fn digest(self) -> String {
        Md5Digest(Md5::digest(self.chunks().concat()).into()).to_string()
    }
}

/// One upload, with the answers to its client and its observed state.
pub struct Promise {
    pub form: Form,
    pub id: Option<TaskId>,
    /// Whether the ticket was given out.
    pub is_given: bool,
    /// The row as it was first seen to have ended.
    ended: Option<Task>,
    violations: Vec<Violation>,
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq)]
pub enum Violation {
    /// The ticket was given, but its row does not exist, and was not deleted after its line was written.
    Lost,
    /// The row has not ended, and its blob is gone.
    BlobGone,
    /// The row has its line, and its blob is still there.
    BlobKept,
    /// A row that had ended has changed.
    EndedChanged,
    /// All is at rest, and the row has not ended.
    NotEnded(Status),
    /// It ended, but not as it should.
    WrongEnd(Box<Task>),
    /// The row has that many lines.
    Lines(usize),
    /// A line, or a part of one, that is not the line of an ended row.
    StrayLine(String),
    /// The log does not know that it has the line.
    NotLogged,
    /// The attempts and tries of its claims, in order; the end of small work is one.
    Claims(Vec<(i64, i32)>),
    /// Blobs or parts that are not needed.
    FilesLeft(usize),
    /// A lease that no process extends.
    LeaseLeft,
    /// All is at rest, and retention has not deleted the row.
    NotDeleted,
    /// A task that is kept, its upload or its line is not as it was.
    NeighbourChanged,
    /// A finding of `coatcheck verify`.
    Found(String),
}

impl Promise {
    pub fn new(form: Form) -> Self {
        Self { form, id: None, is_given: false, ended: None, violations: Vec::new() }
    }

    /// Checks the conditions that hold at any time.
    pub fn look(&mut self, world: &World) {
        let task = self.id.and_then(|id| world.task(id));
        self.look_at_log(world, task.as_ref());
        self.look_at_neighbour(world);
        let Some(task) = task else {
            // Retention may delete it, but not before its line is written.
            let is_deleted = world.keeps.deletes_the_task() && self.own_lines(world) > 0;
            if self.is_given && !is_deleted {
                self.violations.push(Violation::Lost);
            }
            return;
        };

        let has_blob = has_blob(world, task.id);
        if self.form == Form::Blob && !task.status.is_ended() && !has_blob {
            self.violations.push(Violation::BlobGone);
        }
        if world.is_logged(task.id) && has_blob && !world.keeps.all_fail() {
            self.violations.push(Violation::BlobKept);
        }

        if task.status.is_ended() && self.ended.is_none() {
            self.ended = Some(task.clone());
        }
        if let Some(ended) = &self.ended
            && *ended != task
        {
            self.violations.push(Violation::EndedChanged);
        }
    }

    /// Checks that each whole line is one that should be there, of the row as it is now or was before it was deleted.
    fn look_at_log(&mut self, world: &World, task: Option<&Task>) {
        let own = task.or(self.ended.as_ref()).map(outcome::line);
        let neighbours = world.neighbour.as_ref().and_then(|neighbour| outcome::line(&neighbour.task));
        let is_due = |line: &str| match &own {
            Some(own) => own.as_deref() == Some(line),
            // It ended and was deleted within one process.
            None => world.keeps.deletes_the_task() && self.is_own(line),
        };
        let log = world.lines();
        let whole = log.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        let strays = whole.filter(|line| !is_due(line) && neighbours.as_deref() != Some(line));
        let strays: Vec<Violation> = strays.map(|line| Violation::StrayLine(line.to_owned())).collect();
        self.violations.extend(strays);
    }

    fn look_at_neighbour(&mut self, world: &World) {
        let Some(Neighbour { task, has_upload }) = &world.neighbour else { return };
        if world.task(task.id).as_ref() != Some(task) || has_blob(world, task.id) != *has_upload {
            self.violations.push(Violation::NeighbourChanged);
        }
    }

    fn is_own(&self, line: &str) -> bool {
        self.id.is_some_and(|id| line.split(' ').nth(1) == Some(&id.to_string()))
    }

    /// Counts the lines that name the task.
    fn own_lines(&self, world: &World) -> usize {
        world.lines().lines().filter(|line| self.is_own(line)).count()
    }

    /// Checks the conditions that hold when all is at rest, after that many cuts; returns all violations.
    pub fn judge(mut self, world: &World, cuts: usize) -> Vec<Violation> {
        self.look(world);
        let task = self.id.and_then(|id| world.task(id));
        let (log, lines) = (world.lines(), self.own_lines(world));
        let may_be_deleted = task.is_none() && world.keeps.deletes_the_task();
        if lines != usize::from(task.is_some()) && !(may_be_deleted && lines == 1) {
            self.violations.push(Violation::Lines(lines));
        }
        if !log.is_empty() && !log.ends_with('\n') {
            self.violations.push(Violation::StrayLine(log.clone()));
        }
        if let Some(task) = task {
            if world.keeps.deletes_the_task() {
                self.violations.push(Violation::NotDeleted);
            }
            self.judge_row(&task, world.keeps);
            if !world.is_logged(task.id) {
                self.violations.push(Violation::NotLogged);
            }
            self.judge_claims(&task, world.claims(), cuts);
        }
        let files = world.files().len() - usize::from(self.judge_neighbour(world, &log));
        if files > 0 {
            self.violations.push(Violation::FilesLeft(files));
        }
        if has_lease(world) {
            self.violations.push(Violation::LeaseLeft);
        }
        self.violations
    }

    /// Checks that the neighbour has its line, and that `coatcheck verify` finds nothing. Returns whether a file is the neighbour's.
    fn judge_neighbour(&mut self, world: &World, log: &str) -> bool {
        let Some(Neighbour { task, .. }) = &world.neighbour else { return false };
        let line = outcome::line(task);
        if log.lines().filter(|found| Some(*found) == line.as_deref()).count() != 1 {
            self.violations.push(Violation::NeighbourChanged);
        }
        self.violations.extend(world.verify().map(Violation::Found));
        has_blob(world, task.id)
    }

    fn judge_row(&mut self, task: &Task, keeps: Keeps) {
        let result = task.result.as_ref().and_then(|result| result["md5"].as_str());
        match task.status {
            Status::Pending | Status::Running => self.violations.push(Violation::NotEnded(task.status)),
            Status::Succeeded if result == Some(&self.form.digest()) => {}
            Status::Failed if keeps.all_fail() => {}
            _ => self.violations.push(Violation::WrongEnd(Box::new(task.clone()))),
        }
    }

    /// Checks that attempts go up by one. Each but the last was lost with its worker, at one cut, and charged as one try.
    fn judge_claims(&mut self, task: &Task, claims: Vec<(i64, i32)>, cuts: usize) {
        let in_turn = (1..).zip(0..).take(claims.len());
        let last = claims.last().map(|(attempt, _)| *attempt);
        if claims.len() > cuts + 1 || last != Some(task.attempt) || !in_turn.eq(claims.iter().copied()) {
            self.violations.push(Violation::Claims(claims));
        }
    }
}

fn has_blob(world: &World, id: TaskId) -> bool {
    world.files().iter().any(|path| path.ends_with(id.to_string()))
}

/// Returns whether any worker that ever had a lease still has it.
fn has_lease(world: &World) -> bool {
    let (store, workers) = (world.store.clone(), world.workers());
    world.wait_for(async move {
        let mut is_left = false;
        for worker in workers {
            is_left |= store.beat(worker, Duration::ZERO).await.unwrap().is_some();
        }
        is_left
    })
}
