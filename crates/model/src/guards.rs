//! What makes the protocol hold, piece by piece. A model with one of them taken away (a mutant) must break a promise: else either
//! the guard is not needed, or the model doesn't see what it is for.

/// A guard that can be taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Guard {
    /// 202 is sent after the row was committed.
    RecordBeforeAnswer,
    /// What was looked for is published only if it still waits.
    PublishOfPending,
    /// A claim takes pending rows alone.
    ClaimOfPending,
    /// A claim looks whether its lease is live.
    ClaimUnderLease,
    /// A claim counts the attempt up.
    AttemptPerClaim,
    /// A delivery is acknowledged after its claim has committed.
    AckAfterClaim,
    /// An end names its attempt.
    EndNamesAttempt,
    /// An end needs a running row.
    EndOfRunning,
    /// What is handed back is fenced by attempt and status.
    FencedHandBack,
    /// A hand-back looks at the wish to cancel.
    CancelAtHandBack,
    /// What has ended is not cancelled.
    CancelBeforeEnd,
    /// Tries end at `MAX_ATTEMPTS`.
    BoundedTries,
    /// A mark of publishing names its attempt.
    FencedMark,
    /// The sweep returns rows only of leases that have lapsed.
    SweepOfLapsed,
    /// The sweep returns every running row without a lease, not only those of leases that it has just ended.
    SweepOfAllLost,
    /// The sweep looks at rows that were published too.
    SweepOfPublished,
    /// A beat hands back what the rows say its worker holds, and it doesn't.
    HandBackByBeat,
    /// One writer at a time, whichever file it has opened: the lock beside the log.
    LockBesideLog,
    /// What stands after the head is read before anything is appended.
    ScanBeforeAppend,
    /// What is owed is read after the head and the scan.
    OwedAfterScan,
    /// What the scan has found is not appended again.
    OwedWithoutFound,
    /// A torn tail is not completed as a line that was found.
    TailWithoutFound,
    /// The file before is brought up to date before another is begun.
    RotatedFirst,
    /// A file is begun before the first byte is written to it.
    BeginBeforeAppend,
    /// A file is begun only after the generation that was seen.
    FencedBegin,
    /// The head moves within its generation alone.
    FencedCommit,
    /// Only what can be read back counts as written.
    ReadBack,
    /// Rows are marked after their lines are in the file.
    MarkAfterAppend,
}
