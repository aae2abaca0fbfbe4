//! The state after a power cut and the next start, with other device numbers, paths and inode numbers.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use shared_log::Begun;

use crate::file_ledger::{FileLedger, Head, State, line};
use crate::place::Place;

/// That many lines in the log that were not marked, after `marked` that were.
fn with_unmarked(marked: usize, unmarked: usize) -> Place {
    let place = Place::new();
    let _ = place.settle();
    place.ledger.owe(marked);
    place.settle_all();
    let before = place.ledger.state();
    place.ledger.owe(unmarked);
    place.settle_all();
    place.ledger.restore(&before);
    place.ledger.owe(unmarked);
    place
}

/// As if the stored head had always been another.
fn change_head(ledger: &FileLedger, change: impl Fn(Head) -> Option<Head>) {
    let state = ledger.state();
    ledger.restore(&State { head: state.head.and_then(change), ..state });
}

#[test]
fn a_device_number_that_changes_doubles_no_line() {
    for (marked, rotated) in [(0, false), (0, true), (3, false), (3, true)] {
        let place = with_unmarked(marked, 2);
        change_head(&place.ledger, |head| Some(Head { dev: head.dev + 1, ..head }));
        if rotated {
            place.rotate("1");
        }

        place.settle_all();

        place.owe_and_settle(2);
        place.assert_each_line_once();
    }
}

/// The disk is mounted elsewhere, so the log has another path, and no head.
#[test]
fn another_path_of_the_log_doubles_no_line_wherever_it_stands() {
    // From none that is marked to many, and to more than are looked at together.
    for (marked, unmarked) in [(0, 2), (3, 2), (2500, 1), (10, 2500), (0, 4000)] {
        for rotations in 0..3 {
            let place = with_unmarked(marked, unmarked);
            for rotation in 0..rotations {
                place.rotate(&(9 - rotation).to_string());
                place.scribble(b"somebody else's\n");
            }
            change_head(&place.ledger, |_| None);

            place.settle_all();

            place.owe_and_settle(2);
            place.assert_each_line_once();
        }
    }
}

#[test]
fn unmarked_lines_in_several_files_are_found_under_another_path() {
    let place = with_unmarked(2, 3);
    place.rotate("1");
    let before = place.ledger.state();
    place.settle_all();
    place.owe_and_settle(2);
    place.rotate("2");
    place.owe_and_settle(1);
    let due = place.ledger.state().due;
    place.ledger.restore(&State { head: None, ..before });
    place.ledger.owe(3);
    assert_eq!(place.ledger.state().due, due);

    place.settle_all();

    place.assert_each_line_once();
}

/// A folder that was copied, or restored, has other inode numbers.
#[test]
fn copied_files_double_no_line() {
    for marked in [0, 3] {
        let place = with_unmarked(marked, 2);
        place.rotate("0");
        fs::copy(place.sibling("0"), place.sibling("1")).unwrap();
        fs::remove_file(place.sibling("0")).unwrap();
        // So that the number is not given to the copy.
        change_head(&place.ledger, |head| Some(Head { ino: u64::MAX, ..head }));

        let done = place.settle();

        assert_eq!((done.begun, done.written), (Some(Begun::Unseen), 0));
        place.settle_more_after(done);
        place.assert_each_line_once();
    }
}

#[test]
fn what_was_never_written_at_the_end_is_cut_off_and_the_line_completed() {
    let text = format!("{}\n{}\n", line(3), line(4));
    for written in [0, 1, 40, line(3).len(), line(3).len() + 1, text.len() - 1] {
        for nuls in [1, 5000, 200_000] {
            for rotated in [false, true] {
                let place = Place::with_lines(3);
                place.ledger.owe(2);
                place.scribble(&[&text.as_bytes()[..written], &vec![0; nuls]].concat());
                if rotated {
                    place.rotate("1");
                }

                let done = place.settle();

                assert_eq!(
                    (done.cut, done.foreign, done.closed),
                    (nuls as u64, 0, 0),
                    "{written} and {nuls}"
                );
                place.settle_more_after(done);
                place.assert_each_line_once();
                assert_all_ours(&place);
            }
        }
    }
}

#[test]
fn a_first_write_that_never_came_leaves_an_empty_log_whatever_its_name_is_by_now() {
    for written in [0, 1, 40, line(0).len()] {
        for nuls in [1, 5000, 200_000] {
            for rotated in [false, true] {
                let place = Place::new();
                let _ = place.settle();
                place.ledger.owe(2);
                place.scribble(&[&line(0).as_bytes()[..written], &vec![0; nuls]].concat());
                if rotated {
                    place.rotate("1");
                }

                let done = place.settle();

                let what = format!("{written} and {nuls}, rotated: {rotated}");
                assert_eq!((done.cut, done.foreign, done.closed), (nuls as u64, 0, 0), "{what}");
                place.settle_more_after(done);
                place.assert_each_line_once();
                assert_all_ours(&place);
            }
        }
    }
}

/// A later block came to the disk, and an earlier one did not.
#[test]
fn what_was_never_written_in_the_midst_is_cut_off_with_what_follows() {
    const SECTOR: usize = 512;
    for marked in [0, 3] {
        for lost in [0..1, 0..2, 1..2, 2..5, 3..4, 0..9] {
            let place = with_unmarked(marked, 100);
            let settled = place.ledger.state().head.unwrap().committed as usize;
            let content = place.contents();
            // Settled lines were flushed.
            let from = (lost.start * SECTOR).max(settled);
            let until = lost.end * SECTOR;
            let file = File::options().write(true).open(place.path()).unwrap();
            file.write_all_at(&vec![0; until - from], from as u64).unwrap();

            let done = place.settle();

            assert_eq!((done.cut, done.foreign), ((content.len() - from) as u64, 0), "{marked} {lost:?}");
            place.settle_more_after(done);
            place.assert_each_line_once();
            assert_all_ours(&place);
        }
    }
}

#[test]
fn a_stranger_with_nuls_in_place_of_the_log_is_not_cut() {
    let stranger = [b"SQLite format 3\0".to_vec(), vec![0; 4096], b"more\n".to_vec(), vec![0; 512]].concat();
    let place = Place::new();
    place.scribble(&stranger);

    let done = place.owe_and_settle(1);

    assert_eq!((done.cut, done.written), (0, 1));
    assert!(fs::read(place.path()).unwrap().starts_with(&stranger));
}

/// The number of a file that was deleted is given to another one.
#[test]
fn a_stranger_of_nuls_with_the_number_of_an_empty_log_is_not_cut() {
    let place = Place::new();
    let _ = place.settle();
    place.scribble(&[0; 5000]);
    let stranger = place.folder.path().join("another-log");
    fs::rename(place.path(), &stranger).unwrap();

    let done = place.owe_and_settle(1);

    assert_eq!((done.cut, done.written), (0, 1));
    assert_eq!(fs::read(&stranger).unwrap(), [0; 5000]);
}

/// Nothing is left in the log that a check would complain of.
fn assert_all_ours(place: &Place) {
    for entry in fs::read_dir(place.folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("outcome.log") && !name.ends_with(".lock") {
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.is_empty() || text.ends_with('\n'), "{name} ends with half a line");
            for text in text.lines() {
                assert!(text.starts_with("2026-01-02") && !text.contains('\0'), "{name} has {text:?}");
            }
        }
    }
}
