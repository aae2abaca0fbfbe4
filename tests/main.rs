//! Black-box tests: the real program as real processes, over HTTP and its command line alone.
//!
//! How programs are started, asked and watched: `stack`, `program`, `client`, `people`, `chromium`, `outcomes`,
//! `content`, `held`, `load`, `stand_ins`, `scripted`. What is promised: one file a subject.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, and clippy.toml excuses only functions that are marked as tests"
)]

mod chromium;
mod client;
mod content;
mod held;
mod load;
mod outcomes;
mod people;
mod program;
mod proxy;
mod scripted;
mod stack;
mod stand_ins;

mod access;
mod architecture;
mod backlog;
mod backup;
mod bad_requests;
mod book;
mod bounds;
mod browser;
mod browser_access;
mod browser_messages;
mod browser_records;
mod browser_tables;
mod chaos;
mod cli;
mod compose;
mod crash;
mod crowd;
mod database;
mod descriptors;
mod digests;
mod disk;
mod disk_order;
mod docs;
mod ending;
mod events;
mod export;
mod exporters;
mod failing_disk;
mod haproxy;
mod headers;
mod healthcheck;
mod http;
mod keys;
mod listing;
mod log;
mod logs;
mod memory;
mod messages;
mod metrics;
mod missteps;
mod newer;
mod openapi;
mod optimum;
mod private_files;
mod processes;
mod promises;
mod providers;
mod put;
mod quotas;
mod readiness;
mod readme;
mod records;
mod records_read;
mod refusals;
mod repeats;
mod servers_away;
mod services;
mod sessions;
mod settings;
mod shared;
mod simulate;
mod slow;
mod standard_output;
mod sum;
mod tables;
mod terminal;
mod tls;
mod tokens;
mod upgrade;
mod users;
mod verify;
mod waiting;
mod words;
