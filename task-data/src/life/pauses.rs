//! Pauses: an operator stops a kind's tasks from beginning, and lets them begin again. All else goes on: tasks are accepted, published,
//! cancelled and swept; those that run end.
//!
//! A pause writes no row of a task, nor does its end: the ids of what waits stay in the queue, from which workers don't consume meanwhile.

use tracing::info;

use super::Life;
use crate::kinds::Kind;
use crate::store::{KindStats, Pause, StoreError};

impl Life {
    /// Pauses a kind: once this has returned, no task of it begins until it is resumed. Repeated, it changes nothing.
    ///
    /// # Errors
    /// If the store fails: whether the kind is paused is then unknown.
    pub async fn pause(&self, kind: Kind) -> Result<Pause, StoreError> {
        let pause = self.stack.store.pause(kind).await?;
        info!("{kind} tasks are paused");
        Ok(pause)
    }

    /// Lets a kind's tasks begin again; workers notice within a second. Repeated, it changes nothing.
    ///
    /// # Errors
    /// If the store fails: whether the kind is paused is then unknown.
    pub async fn resume(&self, kind: Kind) -> Result<(), StoreError> {
        self.stack.store.resume(kind).await?;
        info!("{kind} tasks are resumed");
        Ok(())
    }

    /// Returns the paused kinds.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn pauses(&self) -> Result<Vec<Pause>, StoreError> {
        self.stack.store.pauses().await
    }

    /// Counts the tasks of a kind that have not ended. Reads all of them: call it rarely.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn load(&self, kind: Kind) -> Result<KindStats, StoreError> {
        self.stack.store.stats(kind).await
    }
}
