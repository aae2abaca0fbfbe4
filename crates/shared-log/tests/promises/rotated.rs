//! Logs that are renamed, at the worst moments too.

use std::fs;

use shared_log::Begun;

use crate::file_ledger::{FileLedger, line};
use crate::hooked::Hooked;
use crate::place::Place;

#[test]
fn writing_goes_on_in_a_new_file() {
    let place = Place::with_lines(3);
    place.rotate("1");

    let done = place.owe_and_settle(2);

    assert_eq!((done.begun, done.written, done.found), (Some(Begun::AfterRotation), 2, 0));
    assert_eq!(place.contents(), format!("{}\n{}\n", line(3), line(4)));
    place.assert_each_line_once();
}

#[test]
fn lines_that_were_written_but_not_marked_are_found_in_the_rotated_file() {
    let place = Place::with_lines(1);
    let before = place.ledger.state();
    place.owe_and_settle(3000);
    place.settle_all();
    let owed = place.ledger.state().due;
    place.ledger.restore(&before);
    place.ledger.owe(owed);
    place.rotate("1");

    place.settle_all();

    place.assert_each_line_once();
}

#[test]
fn a_torn_line_is_completed_in_the_rotated_file() {
    let place = Place::with_lines(2);
    place.ledger.owe(3);
    let half_written = format!("{}\n{}", line(2), &line(3)[..50]);
    place.log.try_lock().unwrap().unwrap().append(half_written.as_bytes()).unwrap();
    place.rotate("1");

    let done = place.settle();

    assert_eq!((done.found, done.completed, done.written), (1, 1, 2));
    assert_eq!(place.contents(), line(4) + "\n");
    place.assert_each_line_once();
}

#[test]
fn a_foreign_half_line_is_closed_in_the_rotated_file() {
    let place = Place::with_lines(1);
    place.scribble(b"abc");
    place.rotate("1");

    let done = place.settle();

    assert_eq!(done.closed, 1);
    assert_eq!(fs::read_to_string(place.sibling("1")).unwrap(), format!("{}\nabc\n", line(0)));
}

#[test]
fn a_rotation_at_any_moment_of_a_step_loses_and_doubles_nothing() {
    for moment in 0..12 {
        let place = Place::with_lines(2);
        place.rotate("1");
        place.ledger.owe(3);
        let mut now = 0;
        let rotate_once = |_: &str| {
            if now == moment {
                place.rotate("2");
            }
            now += 1;
            Ok(())
        };

        let _ = place
            .settle_by(&mut Hooked { ledger: FileLedger::at(place.folder.path()), hook: rotate_once })
            .unwrap();

        place.owe_and_settle(2);
        place.assert_each_line_once();
    }
}

#[test]
fn a_stranger_with_the_inode_number_of_a_lost_log_is_not_written_to() {
    let place = Place::new();
    let _ = place.settle();
    // The same file stands for one that got the number of the deleted log: nothing in it is ours.
    place.scribble(b"\x1f\x8b no newline");
    place.rotate("stranger");

    place.owe_and_settle(1);

    assert_eq!(fs::read(place.sibling("stranger")).unwrap(), b"\x1f\x8b no newline");
    place.assert_each_line_once();
}
