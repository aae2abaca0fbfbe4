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
    // The outcome log.
    /// One writer at a time, whichever file it has opened: the lock beside the log.
    LockBesideLog,
    /// The text after the head is read before anything is appended.
    ScanBeforeAppend,
    /// The due lines are read after the head and the scan.
    OwedAfterScan,
    /// Lines that the scan has found are not appended again.
    OwedWithoutFound,
    /// A torn line is not completed as a line that was found.
    TailWithoutFound,
    /// The previous file is brought up to date before another is begun.
    RotatedFirst,
    /// A file is begun before the first byte is written to it.
    BeginBeforeAppend,
    /// A file is begun only after the generation that was seen.
    FencedBegin,
    /// The head moves only within its generation.
    FencedCommit,
    /// Only lines that can be read back count as written.
    ReadBack,
    /// Rows are marked after their lines are in the file.
    MarkAfterAppend,
}
