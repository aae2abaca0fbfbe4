//! Whether an upload may come in: decided before its body is read, and again while it grows.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use accounts::user::UserId;
use limits::Limits;
use parking_lot::Mutex;
use task_data::blobs::Blobs;
use task_data::life::Life;
use task_data::metrics;
use task_data::store::Store;
use tracing::warn;

use crate::http::look::Look;
use crate::http::permits::{Client, FairSemaphore, LazyPermit};
use crate::http::problem::{Code, Problem};
use crate::settings::ApiSettings;
use crate::uploads::quota::{Quotas, Reserved};

/// Uploads that stream into the blob store at a time.
const STREAMED_UPLOADS: usize = 64;
/// How old the count of pending tasks may be: counting millions of rows is not free.
const COUNT_AGE: Duration = Duration::from_secs(10);
/// How old it may be when it says that there are too many.
const FULL_COUNT_AGE: Duration = Duration::from_secs(1);
/// A bound on pending tasks below this is counted anew rather than refused by a figure of a second ago.
const FEW_PENDING: u64 = 10_000;
/// How old the figure of free space may be: what comes in meanwhile may go beyond the bound.
const DISK_AGE: Duration = Duration::from_millis(100);
/// How often a growing upload looks at the disk.
const DISK_EVERY: u64 = 64 << 20;

/// What decides for all of the process's uploads.
pub struct Admission {
    store: Arc<dyn Store>,
    /// Uploads up to this size take no permit.
    inline_bytes: u64,
    settings: ApiSettings,
    semaphore: Arc<FairSemaphore>,
    pending: Figure,
    /// Tasks made here since they were counted.
    made: AtomicU64,
    free_disk: Look<Option<u64>>,
    quotas: Quotas,
}

/// An upload that may come in.
pub struct Admitted<'a> {
    admission: &'a Admission,
    /// Only what goes to the blob store takes one. A slow client with a small upload then keeps nobody out.
    permit: Arc<LazyPermit>,
    reserved: Reserved<'a>,
    size: u64,
    disk_seen_at: u64,
}

impl Admission {
    pub fn new(
        life: &Life,
        store: Arc<dyn Store>,
        blobs: Arc<dyn Blobs>,
        limits: Arc<dyn Limits>,
        settings: ApiSettings,
    ) -> Self {
        Self {
            quotas: Quotas::new(store.clone(), limits, settings.quotas),
            free_disk: Look::new(DISK_AGE, {
                let store = store.clone();
                move || measure_disks(store.clone(), blobs.clone())
            }),
            store,
            inline_bytes: life.settings().inline_bytes,
            settings,
            semaphore: FairSemaphore::new(STREAMED_UPLOADS),
            pending: Figure::new(),
            made: AtomicU64::new(0),
        }
    }

    /// Returns the bounds of each user.
    pub fn quotas(&self) -> &Quotas {
        &self.quotas
    }

    /// Lets an owner's upload in from a client, whose body is of that length, if that is known; `around` bytes of it may be no content.
    ///
    /// # Errors
    /// 413, 429, 503 or 507.
    pub async fn admit(
        &self,
        owner: Option<UserId>,
        client: Client,
        body_bytes: Option<u64>,
        around: u64,
    ) -> Result<Admitted<'_>, Problem> {
        let known = body_bytes.unwrap_or(0).saturating_sub(around);
        self.check_size(known)?;
        let reserved = self.quotas.reserve(owner, known).await?;
        self.check_pending().await?;
        self.need_disk(known).await?;
        let permit = LazyPermit::new(self.semaphore.clone(), client);
        let admitted = Admitted { admission: self, permit, reserved, size: 0, disk_seen_at: 0 };
        admitted.take_permit_for(known).await?;
        Ok(admitted)
    }

    /// Lets in an input that has no upload. What is reserved for it is held until it has become a task; it grows to the input's size.
    ///
    /// # Errors
    /// 429, 503 or 507.
    pub async fn admit_input(&self, owner: Option<UserId>) -> Result<Reserved<'_>, Problem> {
        let reserved = self.quotas.reserve(owner, 0).await?;
        self.check_pending().await?;
        self.need_disk(0).await?;
        Ok(reserved)
    }

    /// Tells that something has become a task.
    pub fn count(&self) {
        self.made.fetch_add(1, Relaxed);
    }

    fn check_size(&self, bytes: u64) -> Result<(), Problem> {
        match self.settings.max_upload {
            Some(most) if bytes > most => {
                Err(Code::UploadTooLarge.because(format!("An upload has at most {most} bytes here.")))
            }
            _ => Ok(()),
        }
    }

    async fn check_pending(&self) -> Result<(), Problem> {
        // So few rows are counted at once.
        let full_age = if self.settings.max_pending < FEW_PENDING { Duration::ZERO } else { FULL_COUNT_AGE };
        for age in [COUNT_AGE, full_age] {
            let counted = self.pending.read(age, async || self.count_pending().await).await?;
            if counted.saturating_add(self.made.load(Relaxed)) < self.settings.max_pending {
                return Ok(());
            }
        }
        Err(Code::QueueFull.into())
    }

    async fn count_pending(&self) -> Result<u64, Problem> {
        self.made.store(0, Relaxed);
        Ok(self.store.pending().await?.cast_unsigned())
    }

    /// Refuses what would leave less than `MIN_FREE_DISK` on the disk of the uploads, or of an embedded database. Whatever adds
    /// to either asks this first.
    ///
    /// # Errors
    /// 507, or 503 if a disk does not answer.
    pub async fn need_disk(&self, bytes: u64) -> Result<(), Problem> {
        let free = self.free_disk.outcome().await.flatten().ok_or(Code::Overloaded)?;
        if free < self.settings.min_free_disk.saturating_add(bytes) {
            return Err(Code::InsufficientStorage.into());
        }
        Ok(())
    }

    /// Returns whether less than `MIN_FREE_DISK` is free, so that uploads are refused.
    pub async fn is_disk_low(&self) -> bool {
        matches!(self.free_disk.outcome().await.flatten(), Some(free) if free < self.settings.min_free_disk)
    }

    /// Logs a warning if uploads are refused from the start on.
    pub async fn warn_of_low_disk(&self) {
        let free = self.free_disk.outcome().await.flatten();
        let least = self.settings.min_free_disk;
        if let Some(free) = free.filter(|free| *free < least) {
            warn!(
                "uploads are refused: MIN_FREE_DISK is {least} bytes, and {free} are free; make room, or set a smaller MIN_FREE_DISK"
            );
        }
    }
}

/// Returns what the disk with the least room has, of that of the uploads and that of the database; `None` if one does not answer.
async fn measure_disks(store: Arc<dyn Store>, blobs: Arc<dyn Blobs>) -> Option<u64> {
    let uploads = blobs.free_bytes().await.ok()?;
    let database = store.free_bytes().await.ok()?;
    metrics::disk_free("uploads", uploads);
    metrics::disk_free("database", database);
    Some(uploads.into_iter().chain(database).min().unwrap_or(u64::MAX))
}

impl Admitted<'_> {
    /// Lets so many more bytes in.
    ///
    /// # Errors
    /// 413, 429, 503 or 507.
    pub async fn grow(&mut self, bytes: u64) -> Result<(), Problem> {
        self.size += bytes;
        self.admission.check_size(self.size)?;
        self.reserved.grow_to(self.size).await?;
        self.take_permit_for(self.size).await?;
        if self.size - self.disk_seen_at >= DISK_EVERY {
            self.disk_seen_at = self.size;
            self.admission.need_disk(0).await?;
        }
        Ok(())
    }

    /// The upload's permit, whose pace its body has to keep up.
    pub fn permit(&self) -> Arc<LazyPermit> {
        self.permit.clone()
    }

    async fn take_permit_for(&self, size: u64) -> Result<(), Problem> {
        if size > self.admission.inline_bytes && !self.permit.take().await {
            return Err(Code::Overloaded.because("Too many uploads are coming in."));
        }
        Ok(())
    }
}

/// A number that costs something to read.
struct Figure(Mutex<(u64, Option<Instant>)>);

impl Figure {
    fn new() -> Self {
        Self(Mutex::new((0, None)))
    }

    /// The number as it was at most `age` ago. While one reads it anew the others go on with the last one.
    async fn read(
        &self,
        age: Duration,
        read: impl AsyncFnOnce() -> Result<u64, Problem>,
    ) -> Result<u64, Problem> {
        {
            let mut known = self.0.lock();
            if known.1.is_some_and(|at| at.elapsed() < age) {
                return Ok(known.0);
            }
            known.1 = Some(Instant::now());
        }
        let number = read().await;
        let mut known = self.0.lock();
        match number {
            Ok(number) => known.0 = number,
            Err(_) => known.1 = None,
        }
        number
    }
}
