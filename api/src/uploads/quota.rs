//! Quotas: the tasks and bytes that one user can have at once.
//!
//! Tasks a minute are counted over all processes. Pending tasks and bytes are looked up in the rows at each upload; an upload that is
//! not a row yet is known only to the process that receives it. So a user with uploads at several processes at once can have up to
//! as many times the bound as there are processes.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
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
/// When a retry is worth while if tasks have to end first: how long they take is unknown.
const UNTIL_SOME_END: Duration = Duration::from_secs(10);

/// The bounds, and the uploads that arrive under them.
pub struct Quotas {
    store: Arc<dyn Store>,
    pub settings: QuotaSettings,
    counts: Counts,
    coming_in: Mutex<HashMap<UserId, ComingIn>>,
}

/// A user's uploads that are neither rows yet nor given up. Removed with the last of them.
#[derive(Debug, Default)]
struct ComingIn {
    /// The number of each, in the order in which they came.
    tasks: BTreeSet<u64>,
    next: u64,
    bytes: u64,
    /// Bytes of uploads that have ended since the first of these came: as rows, or given up.
    ended: u64,
}

/// A task's share of its owner's quotas, until it has a row or is given up. An anonymous task's reserves nothing.
pub struct Reserved<'a> {
    quotas: &'a Quotas,
    /// The owner, and this task's number among theirs.
    owner: Option<(UserId, u64)>,
    bytes: u64,
    /// The bytes of the owner's rows when they were last read, and [`ComingIn::ended`] just before.
    bytes_in_rows: u64,
    ended_before: u64,
}

impl Quotas {
    pub fn new(store: Arc<dyn Store>, limits: Arc<dyn Limits>, settings: QuotaSettings) -> Self {
        let counts = Counts::new(limits);
        Self { store, settings, counts, coming_in: Mutex::default() }
    }

    /// Reserves a share for a task of `bytes`, as far as they are known.
    ///
    /// # Errors
    /// 429 if the owner's quota is used up; 413 if the task alone exceeds it; 503.
    pub async fn reserve(&self, owner: Option<UserId>, bytes: u64) -> Result<Reserved<'_>, Problem> {
        let mut reserved =
            Reserved { quotas: self, owner: None, bytes: 0, bytes_in_rows: 0, ended_before: 0 };
        let Some(owner) = owner else { return Ok(reserved) };
        self.check_size(bytes)?;
        self.count(owner).await?;
        if self.settings.max_pending_per_owner.is_none() && self.settings.max_bytes_per_owner.is_none() {
            return Ok(reserved);
        }
        let number = {
            let mut coming_in = self.coming_in.lock();
            let coming_in = coming_in.entry(owner).or_default();
            coming_in.next += 1;
            coming_in.tasks.insert(coming_in.next);
            coming_in.next
        };
        reserved.owner = Some((owner, number));
        reserved.add(bytes);
        reserved.look().await?;
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

    /// Rejects a size that the quota would never allow.
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
    /// Raises the task's size to at least `bytes`.
    ///
    /// # Errors
    /// As [`Quotas::reserve`].
    pub async fn grow_to(&mut self, bytes: u64) -> Result<(), Problem> {
        if self.owner.is_none() {
            return Ok(());
        }
        self.quotas.check_size(bytes)?;
        self.add(bytes.saturating_sub(self.bytes));
        // Tasks in the rows may have ended since they were read.
        match self.check_bytes() {
            Ok(()) => Ok(()),
            Err(_) => self.look().await,
        }
    }

    /// Reads the owner's rows, and checks both quotas. An upload that became a row meanwhile may count twice, as a row and as an upload; so
    /// a rejection stands only if that did not happen.
    async fn look(&mut self) -> Result<(), Problem> {
        let Some((owner, _)) = self.owner else { return Ok(()) };
        loop {
            let (earlier, ended) = (self.earlier(), self.ended());
            let rows = self.quotas.store.holdings(owner).await?;
            (self.bytes_in_rows, self.ended_before) = (rows.bytes.cast_unsigned(), ended);
            let checked =
                self.check_pending(rows.pending.cast_unsigned(), earlier).and_then(|()| self.check_bytes());
            if checked.is_ok() || (self.earlier() == earlier && self.ended() == ended) {
                return checked;
            }
        }
    }

    fn add(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.of_owner(|coming_in, _| coming_in.bytes += bytes);
    }

    /// Counts the owner's uploads up to this one: of several that come at once, the first ones fit.
    fn earlier(&self) -> u64 {
        self.of_owner(|coming_in, number| coming_in.tasks.range(..=number).count() as u64)
    }

    fn ended(&self) -> u64 {
        self.of_owner(|coming_in, _| coming_in.ended)
    }

    fn check_pending(&self, in_rows: u64, earlier: u64) -> Result<(), Problem> {
        match self.quotas.settings.max_pending_per_owner {
            Some(most) if in_rows.saturating_add(earlier) > most => {
                Err(full(format!("Limit of {most} pending tasks per user reached.")))
            }
            _ => Ok(()),
        }
    }

    /// Uploads that ended since the rows were read count as rows: they may be ones that the reading missed.
    fn check_bytes(&self) -> Result<(), Problem> {
        let beside_rows =
            self.of_owner(|coming_in, _| coming_in.bytes.saturating_add(coming_in.ended - self.ended_before));
        match self.quotas.settings.max_bytes_per_owner {
            Some(most) if self.bytes_in_rows.saturating_add(beside_rows) > most => Err(full(format!(
                "With this upload, your tasks that have not ended would exceed the limit of {most} bytes per user."
            ))),
            _ => Ok(()),
        }
    }

    /// Calls `act` with the owner's uploads and this one's number; does nothing for an anonymous task.
    fn of_owner<T: Default>(&self, act: impl FnOnce(&mut ComingIn, u64) -> T) -> T {
        let Some((owner, number)) = self.owner else { return T::default() };
        self.quotas
            .coming_in
            .lock()
            .get_mut(&owner)
            .map(|coming_in| act(coming_in, number))
            .unwrap_or_default()
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        let Some((owner, number)) = self.owner else { return };
        if let Entry::Occupied(mut entry) = self.quotas.coming_in.lock().entry(owner) {
            let coming_in = entry.get_mut();
            coming_in.tasks.remove(&number);
            coming_in.bytes -= self.bytes;
            coming_in.ended += self.bytes;
            if coming_in.tasks.is_empty() {
                entry.remove();
            }
        }
    }
}

fn full(told: String) -> Problem {
    Problem::too_many(UNTIL_SOME_END).adding(&told)
}
