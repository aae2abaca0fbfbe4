//! The rows on a wire.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use database::UserId;
use task_data::outcome;
use task_data::store::{
    Claims, Completion, HandBack, LogFollower, Moved, NewTask, Outcome, OutcomePage, Payload, Place, PoolUse,
    Rules, Store, StoreError,
};
use task_data::task::{Status, Task, TaskId, WorkerId};
use test_kit::Effect;

use super::Line;
use crate::wire::{Moment, When};
use crate::world::{Database, World};

pub struct CutStore {
    pub line: Line,
    pub inner: Arc<dyn Store>,
}

impl CutStore {
    /// Makes a call that takes effect on this process's connection, or, if it is late, on none.
    async fn call<T, F>(
        &self,
        method: &'static str,
        effect: Effect,
        act: impl FnOnce(Arc<dyn Store>) -> F + Send + 'static,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        self.call_by_arrival(method, effect, |store, _| act(store)).await
    }

    /// Makes a call whose effect `act` learns how it arrived.
    async fn call_by_arrival<T, F>(
        &self,
        method: &'static str,
        effect: Effect,
        act: impl FnOnce(Arc<dyn Store>, Arrival) -> F + Send + 'static,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let Line { world, wire } = &self.line;
        // No statement comes late to a database that is in the process.
        let effect = match (effect, world.database) {
            (Effect::Afar, Database::Sqlite) => Effect::Here,
            (effect, _) => effect,
        };
        let answer = wire.make(method, effect, |when| match when {
            When::Now | When::Torn(_) => Some(world.wait_for(act(self.inner.clone(), Arrival::InTime))),
            When::Late(moment) => {
                let late = move |world: &World| {
                    let act = act(world.store.clone(), Arrival::Late);
                    Box::pin(async move { drop(act.await) }) as _
                };
                world.postpone(moment, Box::new(late));
                None
            }
        });
        match answer {
            Some(answer) => answer,
            None => wire.end(|| Err(StoreError::Unavailable(Arc::new(io::Error::other("cut"))))).await,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Arrival {
    InTime,
    Late,
}

test_kit::cut_store! {
    CutStore;
    Tasks {} {
        async fn insert(&self, new: Vec<NewTask>, grace: Duration) -> Result<Vec<Task>, StoreError> {
            let act = move |store: Arc<dyn Store>, arrival| async move {
                let mut new = new;
                for NewTask { payload, .. } in &mut new {
                    if let (Payload::Blob { since, .. }, Arrival::Late) = (payload, arrival) {
                        *since = World::a_day_before(*since);
                    }
                }
                store.insert(new, grace).await
            };
            self.call_by_arrival("store.insert", Effect::Afar, act).await
        }

        async fn find(&self, ids: Vec<TaskId>) -> Result<Vec<Task>, StoreError> {
            // Of the threads that are not the runtime's, the log's step is the only one that reads rows.
            let is_log_step = !self.line.wire.is_on_main();
            let is_hidden = is_log_step && self.line.world.hides_found_lines();
            let act = move |store: Arc<dyn Store>| async move {
                if is_hidden { Ok(Vec::new()) } else { store.find(ids).await }
            };
            self.call("store.find", Effect::Nothing, act).await
        }

        async fn claim(&self, ids: Vec<TaskId>, worker: WorkerId) -> Result<Claims, StoreError> {
            let world = self.line.world.clone();
            let act = move |store: Arc<dyn Store>| async move {
                world.weaken_claim(&ids);
                let claims = store.claim(ids, worker).await?;
                for claim in &claims.claimed {
                    world.note_claim(claim.attempt, claim.tries);
                }
                if !claims.claimed.is_empty() {
                    world.arrive(Moment::Claimed).await;
                }
                Ok(claims)
            };
            let claims = self.call("store.claim", Effect::Afar, act).await?;
            self.line.wire.begin_work(claims.claimed.len());
            Ok(claims)
        }

        async fn complete(&self, completions: Vec<Completion>, rules: Rules) -> Result<Vec<TaskId>, StoreError> {
            self.line.wire.end_work(completions.len());
            let world = self.line.world.clone();
            let act = move |store: Arc<dyn Store>| async move {
                world.weaken_end(&completions);
                let ended = store.complete(completions.clone(), rules).await?;
                let unclaimed = completions.iter().filter(|end| end.from == Status::Pending);
                for end in unclaimed.filter(|end| ended.contains(&end.id)) {
                    world.note_claim(end.attempt, 0);
                }
                Ok(ended)
            };
            self.call("store.complete", Effect::Afar, act).await
        }

        async fn hand_back(
            &self,
            returns: Vec<HandBack>,
            rules: Rules,
        ) -> Result<Vec<Moved>, StoreError> {
            self.line.wire.end_work(returns.len());
            let act = move |store: Arc<dyn Store>| async move { store.hand_back(returns, rules).await };
            self.call("store.hand_back", Effect::Afar, act).await
        }

        fn pool_use(&self) -> PoolUse {
            self.inner.pool_use()
        }
    }
    Leases {} {
        async fn register(&self, worker: WorkerId, name: String, lease: Duration) -> Result<(), StoreError> {
            self.line.world.note_worker(worker);
            let act = move |store: Arc<dyn Store>| async move { store.register(worker, name, lease).await };
            self.call("store.register", Effect::Afar, act).await
        }

        async fn return_lost(&self, rules: Rules) -> Result<Vec<Moved>, StoreError> {
            let are_kept = self.line.world.keeps_the_dead();
            let act = move |store: Arc<dyn Store>| async move {
                if are_kept { Ok(Vec::new()) } else { store.return_lost(rules).await }
            };
            self.call("store.return_lost", Effect::Afar, act).await
        }
    }
    Followers {} {
        async fn log(&self, name: String) -> Result<Option<(LogFollower, i64)>, StoreError> {
            self.line.world.weaken_log_step();
            let act = move |store: Arc<dyn Store>| async move { store.log(name).await };
            self.call("store.log", Effect::Nothing, act).await
        }
    }
    Feed {} {
        /// Returns outcomes. It is the last call of the log's step before it writes; so the write is cut here, as if it were a call.
        async fn outcomes(
            &self,
            after: Place,
            owner: Option<UserId>,
            limit: i64,
        ) -> Result<OutcomePage, StoreError> {
            let act = move |store: Arc<dyn Store>| async move { store.outcomes(after, owner, limit).await };
            let page = self.call("store.outcomes", Effect::Nothing, act).await?;
            let Line { world, wire } = &self.line;
            let text = missing_in_log(world, &page);
            if text.is_empty() {
                return Ok(page);
            }
            let write = |when| {
                if let When::Torn(bytes) = when {
                    let mut log = OpenOptions::new().append(true).open(world.log()).unwrap();
                    log.write_all(&text[..bytes]).unwrap();
                }
                Some(())
            };
            match wire.make("log.write", Effect::Bytes(text.len()), write) {
                Some(()) => Ok(page),
                None => wire.end(|| Err(StoreError::Unavailable(Arc::new(io::Error::other("cut"))))).await,
            }
        }
    }
}

/// Returns the bytes that a step of the log is about to write.
fn missing_in_log(world: &World, page: &OutcomePage) -> Vec<u8> {
    let log = fs::read(world.log()).unwrap();
    let mut tail = log.rsplit(|byte| *byte == b'\n').next().unwrap();
    let mut text = Vec::new();
    for Outcome { id, .. } in &page.outcomes {
        let line = world.task(*id).as_ref().and_then(outcome::line).unwrap();
        if log.split(|byte| *byte == b'\n').any(|whole| whole == line.as_bytes() && whole.len() > tail.len())
        {
            continue;
        }
        let written = if line.as_bytes().starts_with(tail) { tail.len() } else { 0 };
        text.extend_from_slice(&line.as_bytes()[written..]);
        text.push(b'\n');
        tail = b"";
    }
    text
}
