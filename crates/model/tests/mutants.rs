//! Each guard of the protocol is needed, and the model sees for what: without it, a promise is broken. A mutant that none of the
//! properties caught would show a guard that does nothing, or a property that looks away.

use std::collections::BTreeSet;

use model::Logs::{OfTwoNames, OnTwoHosts};
use model::guards::Guard::{self, *};
use model::properties::*;
use model::reach::explore;
use model::{Protocol, feed, life, log, paused, two_logs};
use stateright::{Checker, HasDiscoveries, Model};

/// A guard, or two of which either is enough, the promise that is broken without, and the least space (tasks and faults, for the log also
/// rotations) in which that is seen.
const MUTANTS: [(&[Guard], &str, Protocol); 62] = [
    (&[RecordBeforeAnswer], ANSWERED_IS_RECORDED, life(1, 0)),
    (&[PublishOfPending], PUBLISHED_IS_UNDER_WAY, life(1, 1)),
    (&[ClaimOfPending], ENDED_IS_FINAL, life(1, 0)),
    (&[ClaimUnderLease], LOSSES_ARE_FAULTS, life(1, 1)),
    (&[AttemptPerClaim], SUPERSEDED_CHANGES_NOTHING, life(1, 0)),
    (&[AckAfterClaim], PUBLISHED_IS_UNDER_WAY, life(1, 1)),
    (&[SmallEndNamesAttempt], SUPERSEDED_CHANGES_NOTHING, life(1, 0)),
    (&[SmallEndOfPending], ENDED_IS_FINAL, life(1, 0)),
    (&[AckAfterSmallEnd], PUBLISHED_IS_UNDER_WAY, life(1, 1)),
    (&[AckAfterSmallEnd, SweepOfPublished], ALL_CAN_END, Protocol { loses_messages: false, ..life(1, 1) }),
    (&[ClaimLooksAtPause], NOTHING_BEGINS_IN_PAUSE, paused(1, 0)),
    (&[ClaimUnderPauseLock], NOTHING_BEGINS_IN_PAUSE, paused(1, 0)),
    (&[SmallEndLooksAtPause], NOTHING_BEGINS_IN_PAUSE, paused(1, 0)),
    (&[SmallEndUnderPauseLock], NOTHING_BEGINS_IN_PAUSE, paused(1, 0)),
    (&[ReturnOfRefused], PUBLISHED_IS_UNDER_WAY, paused(1, 0)),
    (&[EndNamesAttempt], SUPERSEDED_CHANGES_NOTHING, life(1, 0)),
    (&[EndOfRunning], SUPERSEDED_CHANGES_NOTHING, life(1, 0)),
    (&[FencedHandBack], ENDED_IS_FINAL, life(1, 0)),
    (&[CancelAtHandBack], NO_CANCEL_IS_STRANDED, life(1, 0)),
    (&[CancelBeforeEnd], ENDED_IS_FINAL, life(1, 0)),
    (&[BoundedTries], TRIES_ARE_BOUNDED, life(1, 0)),
    (&[FencedMark], PUBLISHED_IS_UNDER_WAY, life(1, 0)),
    (&[SweepOfLapsed], LOSSES_ARE_FAULTS, life(1, 0)),
    (&[SweepOfAllLost], ALL_CAN_END, life(1, 2)),
    (&[SweepOfPublished], ALL_CAN_END, life(1, 1)),
    (&[HandBackByBeat], ALL_CAN_END, life(1, 1)),
    (&[FeedWithEnd], FED_ONCE, life(1, 0)),
    (&[FeedWithSmallEnd], FED_ONCE, life(1, 0)),
    (&[FeedWithCancel], FED_ONCE, life(1, 0)),
    (&[FeedWithHandBack], FED_ONCE, life(1, 0)),
    (&[FeedWithSweep], FED_ONCE, life(1, 2)),
    (&[FeedOfEnded], FED_ONCE, life(1, 0)),
    (&[NumberUnderLock], NUMBERS_HAVE_NO_GAP, feed(2)),
    (&[SnapshotAfterLock], NUMBERS_HAVE_NO_GAP, feed(2)),
    (&[SnapshotAfterLock, NumberOnce], NUMBERS_STAY, feed(2)),
    (&[SnapshotAfterLock, NumberOnce], READER_SEES_NONE_TWICE, feed(2)),
    (&[ReadByNumber], READER_MISSES_NONE, feed(2)),
    (&[CursorWithinRow], READER_MISSES_NONE, feed(2)),
    (&[ExpiredCursor], READER_MISSES_NONE, Protocol { prunes: true, ..feed(2) }),
    (&[PruneOfPassed], PRUNED_IS_WRITTEN, Protocol { prunes: true, ..log(1, 0, 0) }),
    (&[PruneOfPassedByAll], PRUNED_IS_WRITTEN, Protocol { prunes: true, ..two_logs(OnTwoHosts, 1, 0, 0) }),
    (&[LockBesideLog], ONE_LINE, log(1, 0, 1)),
    (&[ScanBeforeAppend], ONE_LINE, log(1, 1, 0)),
    (&[ReadUnderLock], ONE_LINE, log(1, 0, 0)),
    (&[ReadInOrder], LINES_ARE_IN_ORDER, log(2, 0, 0)),
    (&[AppendWithoutFound], ONE_LINE, log(1, 1, 0)),
    (&[TailWithoutFound], ONE_LINE, log(2, 1, 0)),
    (&[RememberAhead], ONE_LINE, log(2, 1, 0)),
    (&[RotatedFirst], ONE_LINE, log(1, 1, 1)),
    (&[BeginBeforeAppend], ONE_LINE, log(1, 1, 2)),
    (&[FencedBegin], ONE_LINE, log(1, 2, 2)),
    (&[FencedCommit], ONE_LINE, log(2, 2, 2)),
    (&[SearchBeforeBegin], ONE_LINE, two_logs(OfTwoNames, 1, 0, 1)),
    (&[SearchForTorn], ONE_LINE, two_logs(OfTwoNames, 1, 1, 2)),
    (&[PlaceFromFirstLine], ONE_LINE, two_logs(OfTwoNames, 2, 0, 1)),
    (
        &[PlaceFromAllLines],
        PASSED_IS_WRITTEN,
        Protocol { has_foreign_writers: true, ..two_logs(OfTwoNames, 3, 1, 0) },
    ),
    (&[ReadBack], PASSED_IS_WRITTEN, log(1, 1, 0)),
    (&[PlaceAfterAppend], PASSED_IS_WRITTEN, log(1, 0, 0)),
    (&[PlaceAfterFlush], PASSED_IS_WRITTEN, log(1, 1, 0)),
    (&[FlushOfFound], PASSED_IS_WRITTEN, log(1, 2, 0)),
    (&[PlaceWithHead], ONE_LINE, log(1, 1, 0)),
    (&[PlacePerLog], PASSED_IS_WRITTEN, two_logs(OnTwoHosts, 1, 0, 0)),
];

#[test]
fn without_any_one_guard_a_promise_is_broken() {
    for (guards, promise, space) in MUTANTS {
        let mutant = Protocol { without: guards, ..space };

        let trace = broken(mutant, promise);

        let trace = trace.unwrap_or_else(|| panic!("without {guards:?}, {promise:?} still holds"));
        println!("without {guards:?}, {} steps break \"{promise}\": {trace:?}", trace.len());
    }
}

/// The steps that break the promise, if there are some.
fn broken(model: Protocol, promise: &'static str) -> Option<Vec<model::steps::Step>> {
    if promise == ALL_CAN_END {
        return explore(&model).dead_end;
    }
    let only_this = HasDiscoveries::AnyOf(BTreeSet::from([promise]));
    let checker = model.checker().finish_when(only_this).spawn_bfs().join();
    let property = checker.model().property(promise);
    let path = checker.discovery(promise)?.into_vec();
    // Workers of the checker may go on a little after the first find.
    let whole = path.into_iter().take_while(|(state, _)| (property.condition)(checker.model(), state));
    Some(whole.filter_map(|(_, step)| step).collect())
}
