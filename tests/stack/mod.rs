//! The processes and their servers: shared, away, killed, ended, upgraded, watched.

pub mod backlog;
pub mod crash;
pub mod database;
pub mod disk_order;
pub mod ending;
pub mod failing_disk;
pub mod logs;
pub mod metrics;
pub mod own_logs;
pub mod private_files;
pub mod processes;
pub mod readiness;
pub mod servers_away;
pub mod servers_tls;
pub mod shared;
pub mod upgrade;
