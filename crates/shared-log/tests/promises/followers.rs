//! Several logs over one ledger, and several names of one log.

use std::fs;

use shared_log::{Begun, SharedLog};

use crate::file_ledger::{FileLedger, line};
use crate::place::Place;

fn text_of(ids: impl IntoIterator<Item = usize>) -> String {
    ids.into_iter().map(|id| line(id) + "\n").collect()
}

impl Place {
    /// A step under another name.
    fn settle_as(&self, name: &'static str) -> shared_log::Done {
        self.settle_by(&mut FileLedger::of_log(self.folder.path(), name)).unwrap()
    }
}

#[test]
fn each_log_gets_every_line_in_order_whenever_it_begins() {
    let place = Place::with_lines(3);
    let other = SharedLog::new(place.folder.path().join("other/outcome.log")).unwrap();
    place.owe_and_settle(2);
    let mut ledger = FileLedger::of_log(place.folder.path(), "other");

    let _ = other.settle(&mut ledger).unwrap();
    place.owe_and_settle(1);
    let _ = other.settle(&mut ledger).unwrap();

    assert_eq!(place.contents(), text_of(0..6));
    let other = fs::read_to_string(place.folder.path().join("other/outcome.log")).unwrap();
    assert_eq!(other, text_of(0..6));
}

#[test]
fn two_names_of_one_log_write_each_line_once() {
    let place = Place::with_lines(3);
    for round in 0..6 {
        place.ledger.owe(2);
        let done = place.settle_as(["another", "log"][round % 2]);
        place.settle_more_after(done);
        if round % 3 == 2 {
            place.rotate(&(9 - round).to_string());
        }
    }
    place.settle_all();

    place.assert_each_line_once();
}

/// Older files may have been deleted: what was before the first line that is left is not written again.
#[test]
fn a_new_name_begins_with_the_first_line_that_its_files_have() {
    let place = Place::with_lines(5);
    place.rotate("1");
    place.owe_and_settle(4);
    place.rotate("2");
    fs::remove_file(place.sibling("1")).unwrap();
    place.ledger.owe(2);

    let mut done = place.settle_as("another");
    while done.more {
        done = place.settle_as("another");
    }

    assert_eq!(fs::read_to_string(place.sibling("2")).unwrap(), text_of(5..9));
    assert_eq!(place.contents(), text_of(9..11));
}

#[test]
fn a_log_goes_on_with_an_older_head_where_its_file_is() {
    let place = Place::with_lines(5);
    place.ledger.owe(1);
    let mut ledger = FileLedger::of_log(place.folder.path(), "another");
    ledger.old_name = Some("log");

    let done = place.settle_by(&mut ledger).unwrap();

    assert_eq!((done.begun, done.found, done.written), (None, 0, 1));
    assert_eq!(place.contents(), text_of(0..6));
    assert_eq!(place.ledger.state().head, None);

    let elsewhere = SharedLog::new(place.folder.path().join("other/outcome.log")).unwrap();
    let mut ledger = FileLedger::of_log(place.folder.path(), "elsewhere");
    ledger.old_name = Some("another");
    let shared_log::Settled::Done(done) = elsewhere.settle(&mut ledger).unwrap() else {
        panic!("the log is locked")
    };
    assert_eq!((done.begun, done.written), (Some(Begun::First), 6));
}

#[test]
fn a_line_that_only_another_version_can_write_delays_no_other() {
    let place = Place::with_lines(2);
    place.ledger.owe(4);
    let mut older = FileLedger::at(place.folder.path());
    older.unwritable = Some(3);

    let done = place.settle_by(&mut older).unwrap();
    assert_eq!((done.written, done.more), (3, false));
    assert_eq!(place.contents(), text_of([0, 1, 2, 4, 5]));
    let head = place.ledger.state().head.unwrap();
    assert_eq!((head.place, head.ahead), (3, vec![4, 5]));
    assert_eq!(place.settle_by(&mut older).unwrap(), shared_log::Done::default());

    assert_eq!(place.owe_and_settle(1).written, 2);
    assert_eq!(place.contents(), text_of([0, 1, 2, 4, 5, 3, 6]));
    place.assert_each_line_once();
}
