//! The settings of workers alone.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use limits::rate;
use limits::window::WindowRule;
use program::{duration, positive_duration};
use reqwest::Url;

use crate::hashing::Hashing;
use crate::outbound::CALL;

/// What only workers are told.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Worker")]
pub struct WorkerSettings {
    /// Files hashed at once in this process; a core has 32 lanes for them with AVX-512, 16 with AVX2 [default: cores x lanes]
    #[arg(long, env, value_name = "WORKERS", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub workers: Option<u16>,
    #[command(flatten)]
    pub(crate) providers: ProviderSettings,
    #[command(flatten)]
    pub(crate) third_party: ThirdPartySettings,
}

impl WorkerSettings {
    /// How many md5 tasks are worked on at once. Unless it is told, so many that all lanes of all threads may be taken.
    pub(crate) fn md5_concurrency(&self) -> usize {
        self.workers.map_or_else(|| cores() * Hashing::lanes(), usize::from)
    }

    /// Whether a service that it sends to needs TLS.
    pub(crate) fn needs_tls(&self) -> bool {
        let urls = [&self.providers.free_url, &self.providers.paid_url, &self.third_party.third_party_url];
        urls.into_iter().any(BaseUrl::is_https)
    }

    /// How many threads hash.
    pub(crate) fn hashing_threads(&self) -> usize {
        cores().min(self.md5_concurrency())
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Where messages are sent, and what the free provider takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Messages")]
pub struct ProviderSettings {
    /// The free provider: messages are posted to `process` under this URL
    #[arg(
        long,
        env,
        value_name = "FREE_URL",
        default_value = "http://127.0.0.1:2197",
        hide_env_values = true
    )]
    pub free_url: BaseUrl,
    /// The paid provider, likewise
    #[arg(
        long,
        env,
        value_name = "PAID_URL",
        default_value = "http://127.0.0.1:2198",
        hide_env_values = true
    )]
    pub paid_url: BaseUrl,
    /// Requests that the free provider takes before it blocks
    #[arg(long, env, value_name = "REQUESTS", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub requests: u32,
    /// For how long the free provider blocks then
    #[arg(long, env, value_name = "BLOCK_SECONDS", default_value = "60", value_parser = positive_duration)]
    pub block_seconds: Duration,
    /// How long a message waits for the free provider before it is paid for
    #[arg(long, env, value_name = "PATIENCE", default_value = "0", value_parser = duration)]
    pub patience: Duration,
}

impl ProviderSettings {
    /// What the free provider takes.
    pub fn rule(&self) -> WindowRule {
        WindowRule { requests: self.requests, block: self.block_seconds }
    }
}

/// Where the rows of tables are sent, and how often.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Tables")]
pub struct ThirdPartySettings {
    /// The third party: rows of tables are posted to `posts` under this URL
    #[arg(
        long,
        env,
        value_name = "THIRD_PARTY_URL",
        default_value = "http://127.0.0.1:2199",
        hide_env_values = true
    )]
    pub third_party_url: BaseUrl,
    /// Requests to the third party in any sliding second, of all workers together
    #[arg(long, env, value_name = "RATE", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rate: u32,
}

impl ThirdPartySettings {
    /// What the third party may see.
    pub fn rule(&self) -> rate::RateRule {
        rate::RateRule { rate: self.rate, call: CALL }
    }
}

/// An `http://` or `https://` URL that paths are put under.
#[derive(Clone)]
pub struct BaseUrl(Url);

impl BaseUrl {
    /// The URL of a path under it.
    pub fn at(&self, path: &str) -> Url {
        let mut url = self.0.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push(path);
        }
        url
    }

    /// Whether it needs TLS.
    fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }
}

impl FromStr for BaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // What is wrong may have a password in it, and is not repeated.
        let wrong = || "expected a URL such as http://127.0.0.1:2197 or https://provider.example".to_owned();
        let url: Url = text.parse().map_err(|_| wrong())?;
        let is_base =
            matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none();
        is_base.then_some(Self(url)).ok_or_else(wrong)
    }
}

impl fmt::Debug for BaseUrl {
    /// Without a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.host_str().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_put_under_a_base_url() {
        for (base, url) in [
            ("http://a:1", "http://a:1/process"),
            ("http://a:1/", "http://a:1/process"),
            ("http://u:p@a/b", "http://u:p@a/b/process"),
            ("http://a/b/", "http://a/b/process"),
            ("https://a", "https://a/process"),
        ] {
            assert_eq!(base.parse::<BaseUrl>().unwrap().at("process").as_str(), url);
        }
        for wrong in ["", "a:1", "ftp://a", "http://", "http://a?b", "http://a#b", "/process"] {
            assert!(wrong.parse::<BaseUrl>().is_err(), "{wrong}");
        }
    }
}
