//! What each user may have at once, so that nobody spends what is everyone's.
//!
//! Tasks a minute are counted over all processes. Pending tasks and bytes are looked up in the rows at each upload; what has not
//! become a row yet is known to the process alone that takes it in. So a user who hands in at several processes at once may
//! have as many times the bound as there are processes, and never more.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use accounts::user::UserId;
use limits::Limits;
use parking_lot::Mutex;
use task_data::store::Store;

use crate::http::counts::Counts;
use crate::http::problem::{Code, Problem};
use crate::settings::QuotaSettings;

const MINUTE: Duration = Duration::from_secs(60);
/// When it is worth another try, if tasks have to end first: how long that takes nobody knows.
const UNTIL_SOME_END: Duration = Duration::from_secs(10);

/// The bounds, and what comes in under them.
pub struct Quotas {
    store: Arc<dyn Store>,
    pub settings: QuotaSettings,
    counts: Counts,
    coming_in: Mutex<HashMap<UserId, ComingIn>>,
}

/// What a user hands in at this moment.
#[derive(Debug, Default)]
struct ComingIn {
    tasks: u64,
    bytes: u64,
}

/// A task's place among its owner's, until it has a row or is given up. Nobody's has none.
pub struct Reserved<'a> {
    quotas: &'a Quotas,
    owner: Option<UserId>,
    bytes: u64,
    /// Bytes that the owner's rows had when they were last looked at, and how many this task had then.
    bytes_in_rows: u64,
    bytes_when_looked: u64,
}

impl Quotas {
    pub fn new(store: Arc<dyn Store>, limits: Arc<dyn Limits>, settings: QuotaSettings) -> Self {
        let counts = Counts::new(limits);
        Self { store, settings, counts, coming_in: Mutex::default() }
    }

    /// Reserves a place for a task with so many bytes, as far as they are known.
    ///
    /// # Errors
    /// 429 if its owner has what he may have; 413 if he may not even have this alone; 503.
    pub async fn reserve(&self, owner: Option<UserId>, bytes: u64) -> Result<Reserved<'_>, Problem> {
        let mut reserved =
            Reserved { quotas: self, owner: None, bytes: 0, bytes_in_rows: 0, bytes_when_looked: 0 };
        let Some(owner) = owner else { return Ok(reserved) };
        self.check_size(bytes)?;
        self.count(owner).await?;
        if self.settings.max_pending_per_owner.is_none() && self.settings.max_bytes_per_owner.is_none() {
            return Ok(reserved);
        }
        // Before the rows are read: of several that come at once the last one to read sees all.
        self.coming_in.lock().entry(owner).or_default().tasks += 1;
        reserved.owner = Some(owner);
        reserved.add(owner, bytes);
        let rows = self.store.holdings(owner).await?;
        reserved.look(rows.bytes.cast_unsigned());
        let tasks = self.coming_in.lock().get(&owner).map_or(0, |coming_in| coming_in.tasks);
        match self.settings.max_pending_per_owner {
            Some(most) if rows.pending.cast_unsigned().saturating_add(tasks) > most => {
                return Err(full(format!(
                    "You have {most} pending tasks, or nearly, which is what a user may have."
                )));
            }
            _ => {}
        }
        reserved.check_bytes(owner)?;
        Ok(reserved)
    }

    async fn count(&self, owner: UserId) -> Result<(), Problem> {
        let Some(most) = self.settings.uploads_per_minute else { return Ok(()) };
        let name = format!("uploads:{owner}");
        let counted = self.counts.ask(async |limits| limits.count(&name, MINUTE).await).await?;
        if counted.count > most {
            let told = format!("A user may hand in {most} tasks a minute.");
            return Err(Problem::too_many(counted.resets_in).adding(&told));
        }
        Ok(())
    }

    /// What would never be taken is told as such.
    fn check_size(&self, bytes: u64) -> Result<(), Problem> {
        match self.settings.max_bytes_per_owner {
            Some(most) if bytes > most => {
                let told = format!("A user may have {most} bytes in tasks that have not ended.");
                Err(Code::UploadTooLarge.because(told))
            }
            _ => Ok(()),
        }
    }
}

impl Reserved<'_> {
    /// The task has so many bytes, or at least that.
    ///
    /// # Errors
    /// As for the reservation.
    pub async fn grow_to(&mut self, bytes: u64) -> Result<(), Problem> {
        let Some(owner) = self.owner else { return Ok(()) };
        self.quotas.check_size(bytes)?;
        self.add(owner, bytes.saturating_sub(self.bytes));
        // What was in the rows may have ended since.
        match self.check_bytes(owner) {
            Ok(()) => Ok(()),
            Err(_) => self.look_again(owner).await,
        }
    }

    /// The task has come in whole. What came in beside it may have become rows since they were looked at: with all of its bytes
    /// reserved, they are looked at once more.
    ///
    /// # Errors
    /// As for the reservation.
    pub async fn settle(&mut self) -> Result<(), Problem> {
        match self.owner {
            Some(owner) if self.bytes > self.bytes_when_looked => self.look_again(owner).await,
            _ => Ok(()),
        }
    }

    async fn look_again(&mut self, owner: UserId) -> Result<(), Problem> {
        let rows = self.quotas.store.holdings(owner).await?;
        self.look(rows.bytes.cast_unsigned());
        self.check_bytes(owner)
    }

    fn look(&mut self, bytes_in_rows: u64) {
        (self.bytes_in_rows, self.bytes_when_looked) = (bytes_in_rows, self.bytes);
    }

    fn add(&mut self, owner: UserId, bytes: u64) {
        self.quotas.coming_in.lock().entry(owner).or_default().bytes += bytes;
        self.bytes += bytes;
    }

    fn check_bytes(&self, owner: UserId) -> Result<(), Problem> {
        let coming_in = self.quotas.coming_in.lock().get(&owner).map_or(0, |coming_in| coming_in.bytes);
        match self.quotas.settings.max_bytes_per_owner {
            Some(most) if self.bytes_in_rows.saturating_add(coming_in) > most => Err(full(format!(
                "With this you have more than {most} bytes in tasks that have not ended, which is what a user may have."
            ))),
            _ => Ok(()),
        }
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        let Some(owner) = self.owner else { return };
        if let Entry::Occupied(mut entry) = self.quotas.coming_in.lock().entry(owner) {
            entry.get_mut().tasks -= 1;
            entry.get_mut().bytes -= self.bytes;
            if entry.get().tasks == 0 {
                entry.remove();
            }
        }
    }
}

fn full(told: String) -> Problem {
    Problem::too_many(UNTIL_SOME_END).adding(&told)
}
