//! Admission of uploads: decided before the body is read, and again while it grows.

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

/// The most uploads that stream into the blob store at a time.
const STREAMED_UPLOADS: usize = 64;
/// The greatest age of the count of pending tasks: counting millions of rows is costly.
const COUNT_AGE: Duration = Duration::from_secs(10);
/// The greatest age of a count that says that there are too many.
const FULL_COUNT_AGE: Duration = Duration::from_secs(1);
/// Under a bound below this the tasks are counted anew: a count of a second ago would reject too much.
const FEW_PENDING: u64 = 10_000;
/// The greatest age of the figure of free space: uploads that arrive meanwhile may exceed the bound.
const DISK_AGE: Duration = Duration::from_millis(100);
/// The bytes after which a growing upload checks the disk again.
const DISK_EVERY: u64 = 64 << 20;

/// The admission of all uploads of the process.
pub struct Admission {
    store: Arc<dyn Store>,
    /// Uploads up to this size, in bytes, take no permit.
    inline_bytes: u64,
    settings: ApiSettings,
    semaphore: Arc<FairSemaphore>,
    pending: Figure,
    /// Tasks made by this process since they were counted.
    made: AtomicU64,
    free_disk: Look<Option<u64>>,
    quotas: Quotas,
}

/// An upload that was admitted.
pub struct Admitted<'a> {
    admission: &'a Admission,
    /// Only an upload that goes to the blob store takes one, so a slow client with a small upload does not block others.
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

    /// Admits an owner's upload with a body of that length, if it is known; up to `around` bytes of it may not be content.
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

    /// Admits an input without an upload. Its reservation is held until it has become a task, and grows to the input's size.
    ///
    /// # Errors
    /// 429, 503 or 507.
    pub async fn admit_input(&self, owner: Option<UserId>) -> Result<Reserved<'_>, Problem> {
        let reserved = self.quotas.reserve(owner, 0).await?;
        self.check_pending().await?;
        self.need_disk(0).await?;
        Ok(reserved)
    }

    /// Counts a new task.
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
        // Counting so few rows is quick.
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

    /// Rejects bytes that would leave less than `MIN_FREE_DISK` on the disk of the uploads, or of an embedded database. Everything that
    /// adds to either calls this first.
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

/// Returns the free bytes of the fuller disk, of the uploads' and the database's; `None` if one does not answer.
async fn measure_disks(store: Arc<dyn Store>, blobs: Arc<dyn Blobs>) -> Option<u64> {
    let uploads = blobs.free_bytes().await.ok()?;
    let database = store.free_bytes().await.ok()?;
    metrics::disk_free("uploads", uploads);
    metrics::disk_free("database", database);
    Some(uploads.into_iter().chain(database).min().unwrap_or(u64::MAX))
}

impl Admitted<'_> {
    /// Admits `bytes` more.
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

    /// Returns the upload's permit, whose pace its body has to keep up.
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

/// A number that is costly to read.
struct Figure(Mutex<(u64, Option<Instant>)>);

impl Figure {
    fn new() -> Self {
        Self(Mutex::new((0, None)))
    }

    /// Returns the number as it was at most `age` ago. While one caller reads it anew the others use the last one.
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
