//! The settings of the HTTP side alone.

use std::net::SocketAddr;

use clap::Args;
use program::address;
use task_data::settings::size;

/// Where the API listens and what it refuses.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "API")]
pub struct ApiSettings {
    /// The address to listen on
    #[arg(long, env, value_name = "LISTEN", default_value = "127.0.0.1:9000", value_parser = address)]
    pub listen: SocketAddr,
    /// What signs log-ins, at least 32 bytes, the same for all API processes; several with commas between: the first signs,
    /// all verify. Unset: made, and kept in data/jwt-secret
    #[arg(long, env, value_name = "JWT_SECRET", hide_env_values = true)]
    pub jwt_secret: Option<String>,
    /// The largest upload that is taken; none: any size
    #[arg(long, env, value_name = "MAX_UPLOAD", value_parser = size)]
    pub max_upload: Option<u64>,
    /// Uploads are refused when they would leave less space than this
    #[arg(long, env, value_name = "MIN_FREE_DISK", default_value = "1GiB", value_parser = size)]
    pub min_free_disk: u64,
    /// Pending tasks beyond which uploads are refused
    #[arg(long, env, value_name = "MAX_PENDING", default_value_t = 10_000_000)]
    pub max_pending: u64,
}
