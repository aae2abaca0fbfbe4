//! A decorator that cuts calls of the store's ports, with the effect that a cut call of each method may leave behind.

/// The effect that a call may leave behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: everything is as before the call.
    Nothing,
    /// It happens in this process, or not at all.
    Here,
    /// It is sent to a server, which may execute it when its sender is long dead.
    Afar,
    /// That many bytes in the log.
    Bytes(usize),
}

/// Implements `task_data::store`'s ports for a decorator. Each method is a call of the decorator's `call(name, effect, act)`, whose `act`
/// calls the same method of the store that it receives.
///
/// For each of four ports the caller lists the methods in which decorators differ: first those that go through `call` like the others,
/// then those that are written out.
#[macro_export]
macro_rules! cut_store {
    (
        $decorator:ty;
        Tasks { $($tasks:tt)* } { $($own_tasks:tt)* }
        Leases { $($leases:tt)* } { $($own_leases:tt)* }
        Followers { $($followers:tt)* } { $($own_followers:tt)* }
        Feed { $($feed:tt)* } { $($own_feed:tt)* }
    ) => {
        $crate::cut_store!(@port $decorator, Tasks {
            Nothing fn keyed(keys: Vec<task_data::idempotency::OwnedKey>) -> Vec<task_data::store::Keyed>;
            Nothing fn small(ids: Vec<task_data::task::TaskId>, bytes: i64) -> Vec<task_data::store::Claim>;
            Nothing fn list(filter: task_data::store::Filter) -> task_data::store::TaskPage;
            Nothing fn count(filter: task_data::store::Filter, most: i64) -> task_data::store::TaskCount;
            Nothing fn count_on(filter: task_data::store::Filter, rows: i64) -> (i64, Option<task_data::store::ListPlace>);
            Afar fn mark_published(tickets: Vec<task_data::task::Ticket>) -> ();
            Afar fn cancel(id: task_data::task::TaskId, rules: task_data::store::Rules) -> task_data::store::Cancel;
            Afar fn due(limit: i64, repeat: std::time::Duration) -> Vec<task_data::task::Ticket>;
            Nothing fn attempts(id: task_data::task::TaskId) -> Vec<task_data::store::Attempt>;
            Nothing fn retries(id: task_data::task::TaskId) -> Vec<task_data::store::Retry>;
            Nothing fn upload(id: task_data::task::TaskId) -> Option<task_data::store::Upload>;
            Nothing fn pending() -> i64;
            Nothing fn holdings(owner: database::UserId) -> task_data::store::Holdings;
            Nothing fn unqueued(
                kind: task_data::kinds::Kind,
                limit: i64,
                published_ago: std::time::Duration
            ) -> Vec<task_data::task::TaskId>;
            Afar fn due_again(ids: Vec<task_data::task::TaskId>) -> ();
            Nothing fn published_before(
                kind: task_data::kinds::Kind,
                ago: std::time::Duration,
                limit: i64
            ) -> Vec<task_data::task::Ticket>;
            Nothing fn stats(kind: task_data::kinds::Kind) -> task_data::store::KindStats;
            Nothing fn newer_kinds() -> Vec<(String, i64)>;
            $($tasks)*
        } $($own_tasks)*);
        $crate::cut_store!(@port $decorator, Leases {
            Afar fn beat(
                worker: task_data::task::WorkerId,
                lease: std::time::Duration
            ) -> Option<task_data::store::Beat>;
            Afar fn retire(worker: task_data::task::WorkerId) -> ();
            Here fn begin_alone() -> ();
            Nothing fn stuck(
                ids: Vec<task_data::task::TaskId>,
                lapsed: std::time::Duration,
                overdue: std::time::Duration
            ) -> Vec<task_data::task::TaskId>;
            Nothing fn live_leases() -> i64;
            $($leases)*
        } $($own_leases)*);
        $crate::cut_store!(@port $decorator, Followers {
            Afar fn store_log(seen: Option<u64>, log: task_data::store::LogFollower) -> bool;
            Nothing fn log_lags() -> Vec<task_data::store::LogLag>;
            Afar fn rename_log(from: String, log: task_data::store::LogFollower) -> bool;
            $($followers)*
        } $($own_followers)*);
        $crate::cut_store!(@port $decorator, Feed {
            Afar fn number_outcomes(limit: i64) -> Option<i64>;
            Nothing fn feed_range() -> task_data::store::FeedRange;
            Nothing fn those_after(
                place: task_data::store::Place,
                ids: Vec<task_data::task::TaskId>
            ) -> Vec<task_data::task::TaskId>;
            Nothing fn before_first(ids: Vec<task_data::task::TaskId>) -> task_data::store::Place;
            $($feed)*
        } $($own_feed)*);
        $crate::cut_store!(@port $decorator, Progress {
            Nothing fn progress(id: task_data::task::TaskId) -> Option<serde_json::Value>;
            Afar fn keep_progress(id: task_data::task::TaskId, attempt: i64, state: serde_json::Value) -> bool;
        });
        $crate::cut_store!(@port $decorator, Retention {
            Afar fn prune(step: task_data::store::PruneStep) -> task_data::store::Pruned;
            Nothing fn pruned_until() -> Option<task_data::task::Time>;
            Afar fn purge(id: task_data::task::TaskId) -> task_data::store::Purge;
        });
        $crate::cut_store!(@port $decorator, Upkeep {
            Nothing fn now() -> task_data::task::Time;
            Here fn try_write() -> ();
            Nothing fn free_bytes() -> Option<u64>;
            Nothing fn size_bytes() -> u64;
            Here fn give_space_back(pages: i64) -> Option<database::pace::Took>;
            Nothing fn close() -> ();
        });
        $crate::cut_store!(@port $decorator, Stats {
            Afar fn count_outcomes(limit: i64) -> Option<i64>;
            Nothing fn minutes(
                from: task_data::task::Time,
                to: task_data::task::Time
            ) -> Vec<task_data::store::MinuteCounts>;
            Nothing fn unended(
                from: task_data::task::Time,
                to: task_data::task::Time,
                seconds: i64
            ) -> Vec<task_data::store::Unended>;
        });
        $crate::cut_store!(@port $decorator, Workers {
            Nothing fn workers() -> Vec<task_data::store::WorkerState>;
            Afar fn drain(worker: task_data::task::WorkerId, is_draining: bool) -> bool;
        });
        $crate::cut_store!(@port $decorator, Pauses {
            Afar fn pause(kind: task_data::kinds::Kind) -> task_data::store::Pause;
            Afar fn resume(kind: task_data::kinds::Kind) -> ();
            Nothing fn pauses() -> Vec<task_data::store::Pause>;
        });
        $crate::cut_store!(@port $decorator, PaidCalls {
            Here fn record_paid_call(
                id: task_data::task::TaskId,
                attempt: i64,
                free_opens_in: Option<std::time::Duration>
            ) -> task_data::store::PaidEntry;
            Here fn withdraw_paid_call(id: task_data::task::TaskId, attempt: i64) -> ();
        });
        $crate::cut_store!(@port $decorator, TableRows {
            Here fn keep_rows(
                rows: Vec<task_data::store::UnkeptRow>
            ) -> Vec<(task_data::task::TaskId, i64)>;
            Nothing fn table_progress(id: task_data::task::TaskId) -> task_data::store::TableProgress;
            Nothing fn last_attempt(id: task_data::task::TaskId) -> i64;
            Nothing fn kept_numbers(id: task_data::task::TaskId, after: i64, limit: i64) -> Vec<i64>;
            Nothing fn kept_rows(
                id: task_data::task::TaskId,
                after: i64,
                until: i64,
                filter: task_data::store::RowFilter,
                limit: i64
            ) -> task_data::store::KeptRows;
        });
    };
    (
        @port $decorator:ty,
        $port:ident { $($effect:ident fn $method:ident($($name:ident: $type:ty),*) -> $answer:ty;)* } $($own:tt)*
    ) => {
        #[async_trait::async_trait]
        impl task_data::store::$port for $decorator {
            $(async fn $method(&self, $($name: $type),*) -> Result<$answer, task_data::store::StoreError> {
                let act = move |store: std::sync::Arc<dyn task_data::store::Store>| async move {
                    store.$method($($name),*).await
                };
                self.call(concat!("store.", stringify!($method)), $crate::Effect::$effect, act).await
            })*
            $($own)*
        }
    };
}
