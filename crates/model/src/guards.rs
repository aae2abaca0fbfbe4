//! The guards that make the protocol hold. A model without one of them (a mutant) must break a promise: otherwise either the guard is not
//! needed, or the model doesn't see its purpose.

/// A guard that can be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Guard {
    // The life of a task.
    /// 202 is sent after the row was committed.
    RecordBeforeAnswer,
    /// A row that was looked for is published only if it is still pending.
    PublishOfPending,
    /// A claim takes only pending rows.
    ClaimOfPending,
    /// A claim checks that its lease is live.
    ClaimUnderLease,
    /// A claim increments the attempt.
    AttemptPerClaim,
    /// A delivery is acknowledged after its claim has committed.
    AckAfterClaim,
    /// Small work names the attempt that it has read.
    SmallEndNamesAttempt,
    /// Small work ends only a pending row.
    SmallEndOfPending,
    /// A delivery of small work is acknowledged after its end has committed.
    AckAfterSmallEnd,
    /// A claim reads whether its kind is paused.
    ClaimLooksAtPause,
    /// A claim reads that after it has taken the lock that a pause waits for, and holds the lock until its commit.
    ClaimUnderPauseLock,
    /// The end of small work reads whether its kind is paused.
    SmallEndLooksAtPause,
    /// It reads that under the lock too.
    SmallEndUnderPauseLock,
    /// A delivery whose claim a pause has refused goes back to the queue.
    ReturnOfRefused,
    /// An end names its attempt.
    EndNamesAttempt,
    /// An end needs a running row.
    EndOfRunning,
    /// A hand-back is fenced by attempt and status.
    FencedHandBack,
    /// A hand-back checks for a request to cancel.
    CancelAtHandBack,
    /// An ended task is not cancelled.
    CancelBeforeEnd,
    /// Attempts end at `MAX_ATTEMPTS`.
    BoundedTries,
    /// A mark of publishing names its attempt.
    FencedMark,
    /// The sweep returns rows only of leases that have lapsed.
    SweepOfLapsed,
    /// The sweep returns every running row without a lease, not only those of leases that it has just ended.
    SweepOfAllLost,
    /// The sweep also looks at published rows.
    SweepOfPublished,
    /// A heartbeat hands back tasks that its worker holds only in the rows.
    HandBackByBeat,
    // The feed.
    /// A statement that ends tasks by their results adds them to the feed.
    FeedWithEnd,
    /// A statement that ends small work adds it to the feed.
    FeedWithSmallEnd,
    /// A statement that cancels a pending task adds it to the feed.
    FeedWithCancel,
    /// A hand-back that ends a task adds it to the feed.
    FeedWithHandBack,
    /// A sweep that ends lost tasks adds them to the feed.
    FeedWithSweep,
    /// Only the tasks that the statement itself has ended.
    FeedOfEnded,
    /// One process numbers at a time.
    NumberUnderLock,
    /// The rows to number are read after the lock was taken, by a statement of their own.
    SnapshotAfterLock,
    /// A row that has a number is not numbered again.
    NumberOnce,
    /// A reader follows the numbers, not the order in which the keys were drawn.
    ReadByNumber,
    /// A cursor has a position within a row of the feed, not only the row's number.
    CursorWithinRow,
    /// A reader whose cursor is before outcomes that were deleted is told so.
    ExpiredCursor,
    /// Retention deletes only outcomes that followers have passed.
    PruneOfPassed,
    /// Not one follower, but each of them.
    PruneOfPassedByAll,

    // The outcome logs.
    /// One writer of a file at a time, whichever file it has opened: the lock beside the log.
    LockBesideLog,
    /// The text after the head is read before anything is appended.
    ScanBeforeAppend,
    /// The outcomes are read after the lock was taken: after the place of the same head that the scan begins at.
    ReadUnderLock,
    /// Outcomes are read in the order of the feed.
    ReadInOrder,
    /// Lines that the scan has found are not appended again.
    AppendWithoutFound,
    /// A torn line is not completed as a line that was found.
    TailWithoutFound,
    /// Lines that are written although the place is before them are remembered.
    RememberAhead,
    /// The previous file is brought up to date before another is begun.
    RotatedFirst,
    /// A file is begun before the first byte is written to it.
    BeginBeforeAppend,
    /// A file is begun only if the follower's row is still as it was seen.
    FencedBegin,
    /// The head moves on only if the follower's row is still as it was seen.
    FencedCommit,
    /// Before a file is begun, all files of the log are searched for lines after the place: another name may have written them.
    SearchBeforeBegin,
    /// That search also looks for torn lines: another name may be about to complete them.
    SearchForTorn,
    /// A new name's place is before the first line that it finds, not before all outcomes: older files may be deleted.
    PlaceFromFirstLine,
    /// A new name takes no place from the last line that it finds, but reads the lines.
    PlaceFromAllLines,
    /// Only lines that can be read back count as written.
    ReadBack,
    /// The place moves after the lines are in the file.
    PlaceAfterAppend,
    /// The place moves after the file was flushed.
    PlaceAfterFlush,
    /// The file is flushed also if all its lines were found there.
    FlushOfFound,
    /// The place is stored with the head.
    PlaceWithHead,
    /// Each log has a place of its own.
    PlacePerLog,
}
