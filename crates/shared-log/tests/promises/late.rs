//! Calls of the dead that take effect while someone else makes their step.

use std::io;

use shared_log::{Done, Ledger, SettleError};

use crate::file_ledger::{FileLedger, Head};
use crate::hooked::Hooked;
use crate::place::Place;

/// More than a step has moments.
const MOMENTS: usize = 16;

/// A step during which, at the given moment, `effect` comes in; ended by an error before it is committed, if it `dies`.
fn settle_with(
    place: &Place,
    moment: usize,
    dies: bool,
    effect: impl Fn(&mut FileLedger),
) -> Result<Done, SettleError<io::Error>> {
    let mut moments = 0..;
    let hook = |call: &str| {
        if moments.next() == Some(moment) {
            effect(&mut FileLedger::at(place.folder.path()));
        }
        if dies && call == "before store" { Err(io::Error::other("dead")) } else { Ok(()) }
    };
    place.settle_by(&mut Hooked { ledger: FileLedger::at(place.folder.path()), hook })
}

#[test]
fn a_late_commit_doubles_nothing_whenever_it_comes() {
    for (moment, rotated) in (0..MOMENTS).flat_map(|moment| [(moment, false), (moment, true)]) {
        let place = Place::with_lines(2);
        place.ledger.owe(3);
        let before = place.ledger.state();
        let _ = place.settle();
        let late = place.ledger.state();
        place.ledger.restore(&before);
        place.ledger.owe(1);
        if rotated {
            place.rotate("1");
        }

        let done = settle_with(&place, moment, false, |ledger| {
            let seen = before.head.as_ref().unwrap().version;
            ledger.store(Some(seen), late.head.as_ref().unwrap()).unwrap();
        });

        place.settle_more_after(done.unwrap());
        place.assert_each_line_once();
    }
}

#[test]
fn a_late_begin_loses_and_doubles_nothing_whenever_it_comes() {
    for (moment, dies) in (0..MOMENTS).flat_map(|moment| [(moment, false), (moment, true)]) {
        let place = Place::with_lines(2);
        place.rotate("1");
        let before = place.ledger.state();
        let seen = before.head.as_ref().unwrap().version;
        let _ = place.settle();
        let late = place.ledger.state().head.unwrap();
        place.ledger.restore(&before);
        place.rotate("2");
        place.ledger.owe(3);

        let ended = settle_with(&place, moment, dies, |ledger| {
            ledger.store(Some(seen), &late).unwrap();
        });

        match ended {
            Ok(done) => place.settle_more_after(done),
            Err(_) => {
                place.rotate("3");
                place.settle_all();
            }
        }
        place.assert_each_line_once();
    }
}

#[test]
fn a_commit_that_comes_to_nothing_is_made_up_for() {
    let place = Place::with_lines(2);
    place.ledger.owe(3);
    // The log was moved away for a moment, someone began another file, died, and their begin comes in just now.
    let stored = place.ledger.state().head.unwrap();
    let seen = stored.version;
    let elsewhere = Head { version: seen + 1, ino: 0, committed: 0, ..stored };
    let mut ledger = Hooked {
        ledger: FileLedger::at(place.folder.path()),
        hook: |call: &str| {
            if call == "before store" {
                assert!(FileLedger::at(place.folder.path()).store(Some(seen), &elsewhere)?);
            }
            Ok(())
        },
    };

    let done = place.settle_by(&mut ledger).unwrap();

    assert!(done.more);
    place.settle_more_after(done);
    place.assert_each_line_once();
}
