//! Lines of other programs in the file.

use std::fs;

use crate::file_ledger::{FileLedger, line};
use crate::hooked::Hooked;
use crate::place::Place;

#[test]
fn foreign_lines_stay_and_are_counted() {
    let place = Place::with_lines(2);
    place.scribble(b"hello\n\n\xff\x00\n");

    let done = place.owe_and_settle(1);

    assert_eq!((done.written, done.foreign, done.closed), (1, 3, 0));
    let expected =
        [line(0).as_bytes(), line(1).as_bytes(), b"hello\n\n\xff\x00", line(2).as_bytes(), b""].join(&b'\n');
    assert_eq!(fs::read(place.path()).unwrap(), expected);
    place.assert_each_line_once();
}

#[test]
fn a_foreign_half_line_is_closed_when_a_line_is_to_follow_it() {
    let place = Place::with_lines(1);
    place.scribble(b"abc");

    let idle = place.settle();
    assert_eq!((idle.closed, place.contents()), (0, format!("{}\nabc", line(0))));
    let done = place.owe_and_settle(1);

    assert_eq!((done.closed, done.written), (1, 1));
    assert_eq!(place.contents(), format!("{}\nabc\n{}\n", line(0), line(1)));
}

#[test]
fn the_head_goes_no_further_than_the_last_newline() {
    let place = Place::with_lines(1);
    let half = &line(1)[..30];
    place.scribble(format!("hello\n{half}").as_bytes());

    let _ = place.settle();
    let committed = place.ledger.state().head.unwrap().committed;
    assert_eq!(committed as usize, format!("{}\nhello\n", line(0)).len());
    let done = place.owe_and_settle(1);

    assert_eq!(done.completed, 1);
    place.assert_each_line_once();
}

#[test]
fn a_line_spoiled_by_someone_without_the_lock_is_written_again() {
    let place = Place::with_lines(1);
    place.ledger.owe(3);
    let scribble_after_the_scan = |now: &str| {
        if now == "after read" {
            place.scribble(b"abc");
        }
        Ok(())
    };
    let mut ledger = Hooked { ledger: FileLedger::at(place.folder.path()), hook: scribble_after_the_scan };

    let done = place.settle_by(&mut ledger).unwrap();
    assert_eq!((done.written, done.foreign, done.more), (2, 1, true));

    assert_eq!(place.settle().written, 1);
    place.assert_each_line_once();
}

#[test]
fn many_foreign_lines_are_passed_in_several_steps() {
    let place = Place::with_lines(1);
    place.scribble(&b"x\n".repeat(5000));
    place.ledger.owe(1);

    let steps = [place.settle(), place.settle(), place.settle()];

    assert_eq!(
        steps.map(|done| (done.foreign, done.written, done.more)),
        [(2000, 0, true), (2000, 0, true), (1000, 1, false)]
    );
    place.assert_each_line_once();
}

#[test]
fn a_huge_line_without_an_end_is_closed() {
    let place = Place::with_lines(1);
    place.scribble(&vec![b'x'; 16 * 1024 * 1024]);

    let done = place.owe_and_settle(1);

    assert_eq!((done.closed, done.foreign, done.written, done.cut), (1, 1, 1, 0));
    place.assert_each_line_once();
}

#[test]
fn a_step_with_nothing_to_do_writes_nothing() {
    let place = Place::with_lines(3);
    place.scribble(b"half");
    let mut calls = Vec::new();
    let note = |now: &str| {
        calls.push(now.to_owned());
        Ok(())
    };

    let done =
        place.settle_by(&mut Hooked { ledger: FileLedger::at(place.folder.path()), hook: note }).unwrap();

    assert_eq!(done, shared_log::Done::default());
    assert!(!calls.iter().any(|call| call.contains("store")), "{calls:?}");
}
