//! Lines that were written in part: by us and by others.

use std::fs;

use crate::child::command_under;
use crate::file_ledger::line;
use crate::place::Place;

#[test]
fn a_torn_line_is_completed_wherever_it_was_cut() {
    let whole = line(3);
    for cut in 1..=whole.len() {
        let place = Place::with_lines(3);
        place.log.try_lock().unwrap().unwrap().append(&whole.as_bytes()[..cut]).unwrap();

        let done = place.owe_and_settle(4);

        assert_eq!((done.completed, done.closed, done.foreign), (1, 0, 0), "cut at {cut}");
        let expected: String = (0..7).map(|id| line(id) + "\n").collect();
        assert_eq!(place.contents(), expected);
        place.assert_each_line_once();
    }
}

#[test]
fn a_torn_line_of_an_entry_beyond_the_next_thousand_is_completed() {
    let place = Place::with_lines(1);
    place.log.try_lock().unwrap().unwrap().append(&line(1500).as_bytes()[..40]).unwrap();
    place.ledger.owe(2000);

    assert_eq!(place.settle().completed, 1);

    place.settle_all();
    place.assert_each_line_once();
}

#[test]
fn lines_after_a_kill_in_the_middle_of_a_batch_are_found_and_the_rest_written() {
    let place = Place::with_lines(2);
    place.ledger.owe(10);
    let half_written = format!("{}\n{}\n{}", line(2), line(3), &line(4)[..44]);
    place.log.try_lock().unwrap().unwrap().append(half_written.as_bytes()).unwrap();

    let done = place.settle();

    assert_eq!((done.found, done.written, done.completed, done.foreign), (2, 8, 1, 0));
    place.assert_each_line_once();
}

#[test]
fn a_torn_line_like_one_that_is_there_already_is_closed() {
    let place = Place::with_lines(2);
    place.ledger.owe(1);
    let text = format!("{}\n{}", line(2), &line(2)[..30]);
    place.log.try_lock().unwrap().unwrap().append(text.as_bytes()).unwrap();

    // Nothing is left to be written, so the half line waits…
    assert_eq!(place.settle().found, 1);
    // …until something is.
    let done = place.owe_and_settle(1);

    assert_eq!((done.written, done.closed), (1, 1));
    place.assert_each_line_once();
}

#[test]
fn a_step_without_space_is_ended_by_a_later_one() {
    let place = Place::new();
    place.ledger.owe(400);

    // A file size limit stands for a full disk. 16 blocks of 1024 bytes are more than the ledger's own file.
    let full = command_under(r#"trap "" XFSZ; ulimit -f 16; exec "$0" "$@""#, "fill it", place.folder.path())
        .status()
        .unwrap();
    assert!(full.success());
    let torn = fs::read(place.path()).unwrap();
    assert_eq!(torn.len(), 16 * 1024);
    assert_ne!(torn.last(), Some(&b'\n'));

    let done = place.settle();

    assert_eq!((done.completed, done.found + done.written), (1, 400));
    place.assert_each_line_once();
}
