//! Logs that are deleted, emptied or replaced: noticed, and writing goes on.

use std::fs::{self, File};

use shared_log::Begun;

use crate::file_ledger::line;
use crate::place::Place;

fn assert_goes_on(place: &Place) {
    let done = place.owe_and_settle(2);

    assert_eq!((done.begun, done.written), (Some(Begun::AfterLoss), 2));
    let head = place.ledger.state().head.unwrap();
    assert_eq!(head.committed, fs::metadata(place.path()).unwrap().len());
    assert!(place.contents().ends_with(&format!("{}\n{}\n", line(5), line(6))));
}

#[test]
fn a_deleted_log_is_begun_anew() {
    let place = Place::with_lines(5);
    fs::remove_file(place.path()).unwrap();

    assert_goes_on(&place);
}

#[test]
fn an_emptied_log_is_begun_anew() {
    let place = Place::with_lines(5);
    File::create(place.path()).unwrap();

    assert_goes_on(&place);
}

/// `rm` and re-create gives ext4's same inode number; rewriting in place always does.
#[test]
fn a_longer_log_with_the_same_inode_number_is_begun_anew() {
    let place = Place::with_lines(5);
    fs::write(place.path(), "something else\n".repeat(100)).unwrap();

    assert_goes_on(&place);
}

#[test]
fn a_copy_in_place_of_the_log_is_read_from_its_beginning() {
    let place = Place::with_lines(5);
    let copy = place.folder.path().join("copy");
    fs::copy(place.path(), &copy).unwrap();
    fs::rename(copy, place.path()).unwrap();

    let done = place.owe_and_settle(2);

    assert_eq!((done.begun, done.found, done.written), (Some(Begun::AfterLoss), 5, 2));
    place.assert_each_line_once();
}
