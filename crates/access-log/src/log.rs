//! The access log: appends lines in batches, and reads records in the order of commit, a chunk at a time.
//!
//! A reader that continues after the last record it received gets every record exactly once, however many processes append. The store makes
//! that order ([`Records`](crate::Records)); this module follows it.

use std::sync::Arc;
use std::time::Duration;

use database::batch::Batcher;
use database::pace::{Pace, look_every};
use database::reach::Reach;
use database::{StoreError, Time};
use program::Keep;
use tokio::time::sleep;

use crate::metrics;
use crate::record::{LogLine, Record, RecordId};
use crate::store::{Deleted, NewRecord, RecordCounts, RecordFilter, Records, Span};

/// The most callers whose lines share a batch.
const BATCH: usize = 256;
/// The approximate number of rows in a transaction, which never splits a caller's lines. Other writes wait while it commits.
const ROWS: usize = 16_384;
/// The least time between two looks for old records.
const MOST_OFTEN: Duration = Duration::from_secs(1);
/// The number of records that are read at a time: some 2 MiB, if all of them have the longest URI.
const CHUNK: i64 = 256;

/// The log over its rows. Lives on the runtime that started it; its methods may be called from any runtime.
pub struct AccessLog {
    store: Arc<dyn Records>,
    keep: Keep,
    appends: Batcher<Vec<NewRecord>, Result<Time, StoreError>>,
}

/// Which records to read, and how many at most.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only records after this one.
    pub after: Option<RecordId>,
    /// Only records created then or later.
    pub from: Option<Time>,
    /// Only records created then or earlier.
    pub to: Option<Time>,
    /// Only records that pass this filter.
    pub filter: RecordFilter,
    /// The most records to read.
    pub limit: Option<i64>,
}

impl AccessLog {
    /// Starts the batches on the current runtime. `keep` says how long records are kept, by [`prune`](Self::prune) of this process or others.
    pub fn start(store: Arc<dyn Records>, keep: Keep) -> Self {
        metrics::begin();
        let appends = Batcher::start(BATCH, {
            let store = store.clone();
            move |callers| append_all(store.clone(), callers)
        });
        Self { store, keep, appends }
    }

    /// Appends a line. When this returns the line is durable.
    ///
    /// # Errors
    /// If the store fails. After [`StoreError::Unknown`] the line may have been appended all the same.
    ///
    /// # Cancel safety
    /// A caller that goes away loses the answer, not the record.
    pub async fn append(&self, log: LogLine) -> Result<Record, StoreError> {
        let id = RecordId::random();
        let created = self.send(vec![NewRecord { id, log: log.clone() }]).await?;
        Ok(Record { id, created, log })
    }

    /// Appends lines in their order, all or none.
    ///
    /// # Errors
    /// As [`Self::append`].
    ///
    /// # Cancel safety
    /// As [`Self::append`].
    pub async fn append_lines(&self, lines: Vec<LogLine>) -> Result<(), StoreError> {
        if lines.is_empty() {
            return Ok(());
        }
        let mut ids: Vec<RecordId> = lines.iter().map(|_| RecordId::random()).collect();
        // Random, but sorted as the index is: neighbours share a page, which is then written once.
        ids.sort_unstable();
        let new = ids.into_iter().zip(lines).map(|(id, log)| NewRecord { id, log }).collect();
        self.send(new).await.map(|_| ())
    }

    async fn send(&self, new: Vec<NewRecord>) -> Result<Time, StoreError> {
        self.appends.send(new).await.unwrap_or_else(|stopped| Err(StoreError::Unavailable(Arc::new(stopped))))
    }

    /// Returns a reader of the records that exist now.
    ///
    /// # Errors
    /// If `after` names a record that does not exist, or the store fails.
    pub async fn read(&self, selection: Selection) -> Result<Reader, ReadError> {
        let Selection { after, from, to, filter, limit } = selection;
        let after_given = after.is_some();
        let after = match after {
            Some(id) => match self.store.record_place(id).await? {
                Some(place) => place,
                None if self.store.pruned_place().await? > 0 => {
                    return Err(ReadError::Expired(self.store.oldest_record().await?));
                }
                None => return Err(ReadError::Unknown),
            },
            None => self.store.pruned_place().await?,
        };
        let mut span = self.store.record_span(from, to).await?;
        span.after = span.after.max(after);
        Ok(Reader {
            store: self.store.clone(),
            span,
            filter,
            left: limit.unwrap_or(i64::MAX),
            reach: Reach::new(CHUNK),
            may_be_outrun: after_given && self.keep != Keep::Forever,
        })
    }

    /// Counts the records created in these bounds: by minute, for the last `minutes` that have any; by status; and by the most frequent
    /// URIs and addresses.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn count(
        &self,
        from: Option<Time>,
        to: Option<Time>,
        minutes: i64,
        top: i64,
    ) -> Result<RecordCounts, StoreError> {
        let span = self.store.record_span(from, to).await?;
        self.store.count_records(span, minutes, top).await
    }

    /// Deletes records when they are as old as they may become, for as long as the future is polled. Failures are told to `failed`, and
    /// passed over.
    pub async fn prune(&self, failed: impl Fn(StoreError)) {
        let Some(age) = self.keep.age() else { return };
        loop {
            if let Err(error) = self.prune_once(age).await {
                failed(error);
            }
            sleep(look_every(age, MOST_OFTEN)).await;
        }
    }

    async fn prune_once(&self, age: Duration) -> Result<(), StoreError> {
        let mut pace = Pace::default();
        loop {
            let Deleted { records, took } = self.store.prune_records(age, pace.rows()).await?;
            metrics::records_pruned(records);
            if records == 0 {
                break;
            }
            sleep(pace.pause(took)).await;
        }
        let mut pace = Pace::default();
        while let Some(took) = self.store.give_space_back(pace.rows()).await? {
            sleep(pace.pause(took)).await;
        }
        Ok(())
    }

    /// Returns the database's time.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn now(&self) -> Result<Time, StoreError> {
        self.store.now().await
    }
}

/// Why records can't be read after one of them.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// There has never been such a record.
    #[error("the record does not exist")]
    Unknown,
    /// The record is unknown, and old ones were deleted; this is the oldest that is kept, if any is left.
    #[error("the record was deleted, or never existed")]
    Expired(Option<RecordId>),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A walk along the records that existed when it began. Between two chunks it holds nothing of the database.
pub struct Reader {
    store: Arc<dyn Records>,
    span: Span,
    filter: RecordFilter,
    left: i64,
    reach: Reach,
    /// Whether records after the one that was given may be deleted before they are read.
    may_be_outrun: bool,
}

impl Reader {
    /// Returns the next records, never an empty chunk; `None` at the end.
    ///
    /// # Errors
    /// If records that were to be read were deleted meanwhile. If the store fails: the same chunk may be asked for again.
    pub async fn chunk(&mut self) -> Result<Option<Vec<Record>>, ReadError> {
        while self.left > 0 && !self.span.is_empty() {
            let limit = self.left.min(CHUNK);
            let until = self.span.until.min(self.span.after.saturating_add(self.reach.rows()));
            let span = Span { until, ..self.span };
            let placed = self.store.records(span, self.filter.clone(), limit).await?;
            if self.may_be_outrun && self.store.pruned_place().await? > span.after {
                return Err(ReadError::Expired(self.store.oldest_record().await?));
            }
            let count = placed.len() as i64;
            self.reach.found(count);
            // Fewer than asked for: the span has no more up to there.
            self.span.after = placed.last().filter(|_| count == limit).map_or(until, |last| last.place);
            self.left -= count;
            if !placed.is_empty() {
                return Ok(Some(placed.into_iter().map(|placed| placed.record).collect()));
            }
        }
        Ok(None)
    }
}

/// Appends the lines of several callers, in as few transactions as possible.
async fn append_all(store: Arc<dyn Records>, callers: Vec<Vec<NewRecord>>) -> Vec<Result<Time, StoreError>> {
    let mut outcomes = Vec::with_capacity(callers.len());
    let mut callers = callers.into_iter().peekable();
    while let Some(mut rows) = callers.next() {
        let mut together = 1;
        while let Some(mut more) = callers.next_if(|more| rows.len() + more.len() <= ROWS) {
            rows.append(&mut more);
            together += 1;
        }
        let count = rows.len();
        let outcome = store.append_records(rows).await;
        if outcome.is_ok() {
            metrics::records_appended(count);
        }
        outcomes.extend(std::iter::repeat_n(outcome, together));
    }
    outcomes
}
