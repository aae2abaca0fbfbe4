//! The API over real sockets, with a real embedded stack behind it and no worker: tasks stay pending.

#![allow(clippy::unwrap_used, reason = "clippy takes helpers outside of #[test] for production code")]

mod cases;
mod desk;
mod documents;
mod forms;
mod limits;
mod lines;
mod stop;
mod tickets;
