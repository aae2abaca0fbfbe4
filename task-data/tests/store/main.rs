//! What each database must keep: the promises of the port `Store`, held against every adapter.
//!
//! A promise sees the port alone. What only one adapter has (a file that people can read) stands in that adapter's file.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy takes helpers outside of #[test] for production code"
)]

#[path = "../support/mod.rs"]
mod support;

/// A promise, as one test an adapter.
macro_rules! on_each_store {
    ($promise:ident, |$store:ident| $body:expr) => {
        mod $promise {
            use super::*;

            async fn keep($store: std::sync::Arc<dyn crate::support::Everything>) {
                $body.await
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                let fresh = crate::support::sqlite();
                keep(fresh.port.clone()).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                let fresh = crate::support::postgres().await;
                keep(fresh.port.clone()).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres_set_otherwise() {
                let fresh = crate::support::postgres_set_otherwise().await;
                keep(fresh.port.clone()).await;
            }
        }
    };
}

mod api_keys;
mod claims;
mod commits;
mod due;
mod ends;
mod keys;
mod leases;
mod list;
mod newer;
mod outcomes;
mod owned;
mod paid_calls;
mod pgbouncer;
mod postgres;
mod records;
mod rows;
mod samples;
mod sql_states;
mod sqlite;
mod table_rows;
mod upkeep;
mod users;
