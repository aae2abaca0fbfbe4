//! The cut sweep: a promise is kept wherever its process ends, and wherever the process ends that recovers it.
//!
//! One process takes an upload in, does it and logs it: an API's half of the life of a promise and a whole worker. All that
//! leaves it (to the database, the queue, the blobs, those who wait, and what the log's step writes) goes over a wire that numbers
//! the calls, by their names. One run after the other, the process is cut at each of them: before its effect, after it, within
//! a line's write after each byte, and, where a server executes the call, with the effect coming in when its sender is long
//! dead. Nothing in memory survives, and no destructor tidies up. Then a new process has the same database, blobs and log. It is
//! brought to rest and judged ([`checks`]), or cut in its turn, and a third one judged.
//!
//! The clock stands still while there is anything to do, and time passes by moving what is stored into the past: no run
//! waits, and each is like the other. PostgreSQL is joined by a queue in memory that outlives its processes and gives what was not
//! acknowledged again: what RabbitMQ does, without its own timing.
//!
//! Where retention deletes what is not kept, a task goes only after its line is written, its upload goes too, and a neighbour that is kept
//! stays as it was. The statements of one step are one transaction: `task-data/tests/store/retention.rs` lets each of them fail.
//!
//! Between two calls, the log's step opens, locks, reads, flushes and closes its file. What stands on the disk is the same
//! before and after each of these, for a machine that goes on; so they are no points of their own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy takes helpers outside of #[test] for production code"
)]

mod checks;
mod guards;
mod ports;
mod process;
mod sweep;
mod wire;
mod world;

use checks::{Form, Violation};
use guards::Guard;
use rstest_reuse::{apply, template};
use sweep::{Found, Sweep};
use task_data::task::Status;
use wire::Tears;
use world::{Database, Keeps};

/// A check, as one test a database and form of upload.
#[template]
#[rstest::rstest]
#[case::inline_sqlite(Sweep::new(Database::Sqlite, Form::Inline))]
#[case::blob_sqlite(Sweep::new(Database::Sqlite, Form::Blob))]
#[case::inline_postgres(Sweep::new(Database::Postgres, Form::Inline))]
#[case::blob_postgres(Sweep::new(Database::Postgres, Form::Blob))]
fn each_form(#[case] sweep: Sweep) {}

#[apply(each_form)]
fn a_cut_at_any_point_breaks_no_promise(sweep: Sweep) {
    // The content of a file after each byte does not depend on the database.
    let tears = if sweep.database() == Database::Sqlite { Tears::Each } else { Tears::Four };

    keeps_all(sweep.cut_once(tears));
}

#[apply(each_form)]
fn a_cut_and_a_renamed_log_break_no_promise(sweep: Sweep) {
    keeps_all(sweep.rotating_the_log().cut_once(Tears::Four));
}

#[apply(each_form)]
fn a_second_cut_while_the_first_is_mended_breaks_no_promise(sweep: Sweep) {
    keeps_all(sweep.cut_twice(stride(7)));
}

/// A check of what retention deletes, as one test a database.
#[template]
#[rstest::rstest]
#[case::succeeded_inline_sqlite(Sweep::new(Database::Sqlite, Form::Inline).keeping(Keeps::NoSucceeded))]
#[case::succeeded_blob_sqlite(Sweep::new(Database::Sqlite, Form::Blob).keeping(Keeps::NoSucceeded))]
#[case::failed_sqlite(Sweep::new(Database::Sqlite, Form::Blob).keeping(Keeps::NoFailed))]
#[case::failed_uploads_sqlite(Sweep::new(Database::Sqlite, Form::Blob).keeping(Keeps::NoFailedUploads))]
#[case::succeeded_inline_postgres(Sweep::new(Database::Postgres, Form::Inline).keeping(Keeps::NoSucceeded))]
#[case::succeeded_blob_postgres(Sweep::new(Database::Postgres, Form::Blob).keeping(Keeps::NoSucceeded))]
#[case::failed_postgres(Sweep::new(Database::Postgres, Form::Blob).keeping(Keeps::NoFailed))]
#[case::failed_uploads_postgres(Sweep::new(Database::Postgres, Form::Blob).keeping(Keeps::NoFailedUploads))]
fn each_deletion(#[case] sweep: Sweep) {}

#[apply(each_deletion)]
fn a_cut_at_any_point_of_retention_deletes_nothing_too_early_and_leaves_nothing(sweep: Sweep) {
    keeps_all(sweep.cut_once(Tears::Four));
}

#[apply(each_deletion)]
fn a_second_cut_of_retention_deletes_nothing_too_early_and_leaves_nothing(sweep: Sweep) {
    keeps_all(sweep.cut_twice(stride(14)));
}

/// Returns the stride between pairs: each pair where there is time for it, else some that are spread over all.
fn stride(otherwise: usize) -> usize {
    if std::env::var_os("COATCHECK_ALL_PAIRS").is_some() { 1 } else { otherwise }
}

fn keeps_all(found: Found) {
    println!("{found}");
    assert!(found.runs > 40, "{found}");
    assert!(found.violations.is_empty(), "{found}");
}

#[test]
fn small_work_is_claimed_only_after_a_process_that_may_have_died_of_it() {
    for database in [Database::Sqlite, Database::Postgres] {
        let sweep = Sweep::new(database, Form::Inline);
        let is_claimed = |cut_before| sweep.calls(cut_before).contains(&"store.claim");

        assert!(!is_claimed(None));
        assert!(is_claimed(Some("store.complete")));
        assert!(is_claimed(Some("queue.ack")) == (database == Database::Postgres));
    }
}

/// Checks that the sweep finds the effect of a missing guard: this violation, at the cut that begins so.
fn finds(guard: Guard, sweep: Sweep, violation: impl Fn(&Violation) -> bool, cut: &str) {
    let found = sweep.without(guard).cut_once(Tears::Four);

    println!("without {guard:?}: {found}");
    let is_it = found
        .violations
        .iter()
        .any(|(cuts, violations)| cuts[0].to_string().contains(cut) && violations.iter().any(&violation));
    assert!(is_it, "{guard:?}: {found}");
}

#[test]
fn it_finds_that_a_claim_takes_what_has_ended() {
    let twice = |violation: &Violation| *violation == Violation::EndedChanged;

    finds(
        Guard::ClaimsThePendingAlone,
        Sweep::new(Database::Postgres, Form::Inline),
        twice,
        "queue.publish #2 late, at rest",
    );
}

#[test]
fn it_finds_that_a_dead_worker_ends_a_task_again() {
    let again = |violation: &Violation| *violation == Violation::EndedChanged;

    for form in [Form::Inline, Form::Blob] {
        let sweep = Sweep::new(Database::Postgres, form);
        finds(Guard::EndsItsOwnAttemptAlone, sweep, again, "store.complete #1 late, at rest");
    }
}

#[test]
fn it_finds_that_a_line_is_written_twice() {
    let two_lines = |violation: &Violation| *violation == Violation::Lines(2);

    finds(
        Guard::ScansBeforeItAppends,
        Sweep::new(Database::Sqlite, Form::Inline),
        two_lines,
        "before store.store_log #2",
    );
}

#[test]
fn it_finds_that_half_a_line_stays() {
    let half = |violation: &Violation| matches!(violation, Violation::StrayLine(_));

    finds(
        Guard::CompletesTornLines,
        Sweep::new(Database::Sqlite, Form::Inline),
        half,
        "56 bytes into log.write #1",
    );
}

#[test]
fn it_finds_that_a_dead_worker_keeps_its_task() {
    let stuck = |violation: &Violation| *violation == Violation::NotEnded(Status::Running);

    finds(
        Guard::ReturnsWhatTheDeadHeld,
        Sweep::new(Database::Sqlite, Form::Blob),
        stuck,
        "after store.claim #1",
    );
}

#[test]
fn it_finds_that_a_task_is_deleted_without_its_line() {
    let lost = |violation: &Violation| *violation == Violation::Lost;
    let sweep = Sweep::new(Database::Postgres, Form::Inline).keeping(Keeps::NoSucceeded);

    finds(Guard::DeletesWhatIsLoggedAlone, sweep, lost, "log.write #2");
}
