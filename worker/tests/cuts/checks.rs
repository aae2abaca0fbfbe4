//! The conditions that one promise must meet: at each cut, and when all is at rest.

use std::time::Duration;

use md5::{Digest, Md5};
use task_data::kinds::md5::Md5Digest;
use task_data::outcome;
use task_data::task::{Status, Task, TaskId};

use crate::world::World;

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
    /// The ticket was given, but its row does not exist.
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
}

impl Promise {
    pub fn new(form: Form) -> Self {
        Self { form, id: None, is_given: false, ended: None, violations: Vec::new() }
    }

    /// Checks the conditions that hold at any time.
    pub fn look(&mut self, world: &World) {
        let Some(task) = self.id.and_then(|id| world.task(id)) else {
            if self.is_given {
                self.violations.push(Violation::Lost);
            }
            return;
        };

        let has_blob = world.files().iter().any(|path| path.ends_with(task.id.to_string()));
        if self.form == Form::Blob && !task.status.is_ended() && !has_blob {
            self.violations.push(Violation::BlobGone);
        }
        if world.is_logged(task.id) && has_blob {
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

        let (line, log) = (outcome::line(&task), world.lines());
        let whole = log.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        let strays = whole.filter(|one| Some(*one) != line.as_deref());
        self.violations.extend(strays.map(|one| Violation::StrayLine(one.to_owned())));
    }

    /// Checks the conditions that hold when all is at rest, after that many cuts; returns all violations.
    pub fn judge(mut self, world: &World, cuts: usize) -> Vec<Violation> {
        self.look(world);
        let task = self.id.and_then(|id| world.task(id));
        let log = world.lines();
        if log.lines().count() != usize::from(task.is_some()) {
            self.violations.push(Violation::Lines(log.lines().count()));
        }
        if !log.is_empty() && !log.ends_with('\n') {
            self.violations.push(Violation::StrayLine(log));
        }
        if let Some(task) = task {
            self.judge_row(&task);
            if !world.is_logged(task.id) {
                self.violations.push(Violation::NotLogged);
            }
            self.judge_claims(&task, world.claims(), cuts);
        }
        if !world.files().is_empty() {
            self.violations.push(Violation::FilesLeft(world.files().len()));
        }
        if has_lease(world) {
            self.violations.push(Violation::LeaseLeft);
        }
        self.violations
    }

    fn judge_row(&mut self, task: &Task) {
        let result = task.result.as_ref().and_then(|result| result["md5"].as_str());
        match task.status {
            Status::Pending | Status::Running => self.violations.push(Violation::NotEnded(task.status)),
            Status::Succeeded if result == Some(&self.form.digest()) => {}
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
