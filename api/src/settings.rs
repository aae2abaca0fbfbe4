//! The settings of the HTTP side alone.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use program::{Keep, address, keep};
use task_data::settings::size;

use crate::http::hops::Networks;
use crate::http::origin::Hosts;

/// Where the API listens and what it refuses.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "API")]
pub struct ApiSettings {
    /// The address to listen on
    #[arg(long, env, value_name = "LISTEN", default_value = "127.0.0.1:9000", value_parser = address)]
    pub listen: SocketAddr,
    /// The file with the key that signs sessions, at least 32 bytes, the same for all API processes. Of several, with commas between, the
    /// first signs and all verify. The variable JWT_SECRET may have the key instead. Unset: a new key, kept in data/jwt-secret
    #[arg(long, env, value_name = "JWT_SECRET_FILE")]
    pub jwt_secret_file: Option<PathBuf>,
    /// The largest upload that is accepted; unset: any size
    #[arg(long, env, value_name = "MAX_UPLOAD", value_parser = size)]
    pub max_upload: Option<u64>,
    /// Free space below which nothing more is taken in, on the disk of the uploads or of an embedded database
    #[arg(long, env, value_name = "MIN_FREE_DISK", default_value = "1GiB", value_parser = size)]
    pub min_free_disk: u64,
    /// Pending tasks beyond which uploads are refused
    #[arg(long, env, value_name = "MAX_PENDING", default_value_t = 10_000_000)]
    pub max_pending: u64,
    /// How long records of the access log are kept: `forever`, or a duration such as `30d`
    #[arg(long, env, value_name = "KEEP_RECORDS", default_value = "forever", value_parser = keep)]
    pub keep_records: Keep,
    #[command(flatten)]
    pub access: AccessSettings,
    #[command(flatten)]
    pub addresses: AddressSettings,
    #[command(flatten)]
    pub quotas: QuotaSettings,
}

/// Which requests need a log-in or an API key.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Access")]
pub struct AccessSettings {
    /// Whether requests need a log-in or an API key. If required, users see, list and cancel their own tasks, viewers
    /// see all, operators and admins see and change all
    #[arg(long, env, value_name = "AUTH", value_enum, default_value = "off")]
    pub auth: Auth,
    /// Whether anyone may register (open), or only admins make users (closed)
    #[arg(long, env, value_name = "REGISTRATION", value_enum, default_value = "open")]
    pub registration: Exposure,
    /// Whether /docs and /openapi.json are for all (open), or only for admins (closed)
    #[arg(long, env, value_name = "DOCS", value_enum, default_value = "open")]
    pub docs: Exposure,
    /// Whether /metrics is for all (open), or only for admins (closed)
    #[arg(long, env, value_name = "METRICS", value_enum, default_value = "open")]
    pub metrics: Exposure,
}

/// Which proxies are trusted, and which host names are answered.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Addresses")]
pub struct AddressSettings {
    /// Host names that are answered while AUTH is off, besides addresses and localhost; several with commas between
    #[arg(long, env, value_name = "ALLOWED_HOSTS", default_value = "", hide_default_value = true)]
    pub allowed_hosts: Hosts,
    /// Networks of proxies whose X-Forwarded-For and X-Forwarded-Proto are trusted, such as 10.0.0.0/8; several with commas
    /// between; unset: none
    #[arg(long, env, value_name = "TRUSTED_PROXIES", default_value = "", hide_default_value = true)]
    pub trusted_proxies: Networks,
}

/// Whether requests need a log-in or an API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Auth {
    Off,
    Required,
}

/// Whether something is for all, or for admins alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Exposure {
    Open,
    Closed,
}

/// The quotas of each user. Anonymously submitted tasks are not counted.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Quotas")]
pub struct QuotaSettings {
    /// Tasks of any kind that a user may hand in within a minute; none: any number
    #[arg(long, env, value_name = "UPLOADS_PER_MINUTE", value_parser = clap::value_parser!(u32).range(1..))]
    pub uploads_per_minute: Option<u32>,
    /// Pending tasks that a user may have; none: any number
    #[arg(long, env, value_name = "MAX_PENDING_PER_OWNER", value_parser = clap::value_parser!(u64).range(1..))]
    pub max_pending_per_owner: Option<u64>,
    /// Bytes of uploads and messages that a user may have in tasks that have not ended; none: any number
    #[arg(long, env, value_name = "MAX_BYTES_PER_OWNER", value_parser = size)]
    pub max_bytes_per_owner: Option<u64>,
}
