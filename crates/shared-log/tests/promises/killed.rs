//! `kill -9`, at each moment of a step and at random.

use std::os::unix::process::ExitStatusExt;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use nix::libc::SIGKILL;

use crate::child::{Random, command};
use crate::file_ledger::{ENTRIES, line};
use crate::place::Place;

#[test]
fn a_step_killed_at_any_moment_is_ended_by_the_next() {
    let places: [fn() -> Place; 3] = [a_first_file, a_torn_file, a_rotated_torn_file];
    let mut kills = 0;
    for place in places {
        for call in ["head", "store", "recognize", "read", "beginning_with", "those_after", "before_first"] {
            for moment in [format!("before {call} 0"), format!("after {call} 0"), format!("after {call} 1")] {
                let place = place();
                let status = command(&format!("die-at {moment}"), place.folder.path()).status().unwrap();
                kills += usize::from(status.signal() == Some(SIGKILL));

                place.settle_all();

                place.assert_each_line_once();
            }
        }
    }
    // Not each place has each call. Fewer would mean that the moments have lost their names.
    assert_eq!(kills, 35);
}

fn a_first_file() -> Place {
    let place = Place::new();
    place.ledger.owe(5);
    place
}

/// The torn line's entry is not among the next thousand.
fn a_torn_file() -> Place {
    let place = Place::with_lines(2);
    place.ledger.owe(1100);
    let half_written = format!("{}\n{}", line(2), &line(1050)[..50]);
    place.log.try_lock().unwrap().unwrap().append(half_written.as_bytes()).unwrap();
    place
}

fn a_rotated_torn_file() -> Place {
    let place = a_torn_file();
    place.rotate("1");
    place
}

#[test]
fn each_line_is_written_once_while_processes_die_and_files_move() {
    const ROUNDS: usize = 1000;
    let place = Place::new();
    let mut random = Random(1);
    let mut children = Children::start(&place);
    let mut rotations = 0;

    for _ in 0..ROUNDS {
        place.ledger.owe(ENTRIES / ROUNDS);
        // Not too far behind, so that there is work under way at each kill.
        until(|| {
            children.replace_the_killed();
            let state = place.ledger.state();
            state.logged().len() + 4 * ENTRIES / ROUNDS >= state.due
        });
        children.kill_one(&mut random);
        match random.below(8) {
            0 => place.scribble(b"somebody else's\n"),
            1 => place.scribble(b"half of a line"),
            2 => write_half_a_line(&place),
            3..6 if place.path().exists() => {
                rotations += 1;
                place.rotate(&rotations.to_string());
            }
            _ => {}
        }
    }
    until(|| {
        children.replace_the_killed();
        place.ledger.state().logged().len() == ENTRIES
    });

    println!("{} kills, {rotations} rotations", children.killed);
    assert!(children.killed >= ROUNDS / 2 && rotations >= ROUNDS / 10);
    place.assert_each_line_once();
}

struct Children<'p> {
    place: &'p Place,
    running: Vec<Child>,
    started: usize,
    killed: usize,
}

impl<'p> Children<'p> {
    fn start(place: &'p Place) -> Self {
        let mut children = Self { place, running: Vec::new(), started: 0, killed: 0 };
        for _ in 0..3 {
            let child = children.one_more();
            children.running.push(child);
        }
        children
    }

    fn one_more(&mut self) -> Child {
        self.started += 1;
        command(&format!("settle-all {}", self.started), self.place.folder.path()).spawn().unwrap()
    }

    fn kill_one(&mut self, random: &mut Random) {
        let index = random.below(self.running.len() as u64) as usize;
        self.running[index].kill().unwrap();
    }

    /// They are killed by the test and by themselves.
    fn replace_the_killed(&mut self) {
        for index in 0..self.running.len() {
            let Some(status) = self.running[index].try_wait().unwrap() else { continue };
            if status.signal() == Some(SIGKILL) {
                self.killed += 1;
                self.running[index] = self.one_more();
            } else {
                assert!(status.success(), "a child has failed: {status}");
            }
        }
    }
}

impl Drop for Children<'_> {
    fn drop(&mut self) {
        for child in &mut self.running {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// As a writer does that is killed within a write.
fn write_half_a_line(place: &Place) {
    if let Some(guard) = place.log.try_lock().unwrap() {
        let state = place.ledger.state();
        let logged = state.logged();
        if let Some(owed) = (0..state.due).find(|id| !logged.contains(id)) {
            guard.append(&line(owed).as_bytes()[..40]).unwrap();
        }
    }
}

/// Polls until it is so, and fails if that takes far too long.
fn until(mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !is_so() {
        assert!(Instant::now() < deadline, "it doesn't come about");
        thread::sleep(Duration::from_micros(500));
    }
}
