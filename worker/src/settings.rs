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

/// The settings of workers alone.
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
    /// Returns the number of md5 tasks worked on at once. By default as many as all lanes of all threads.
    pub(crate) fn md5_concurrency(&self) -> usize {
        self.workers.map_or_else(|| cores() * Hashing::lanes(), usize::from)
    }

    /// Returns whether a service that the worker sends to needs TLS.
    pub(crate) fn needs_tls(&self) -> bool {
        let urls = [&self.providers.free_url, &self.providers.paid_url, &self.third_party.third_party_url];
        urls.into_iter().any(BaseUrl::is_https)
    }

    /// Returns the number of threads that hash.
    pub(crate) fn hashing_threads(&self) -> usize {
        cores().min(self.md5_concurrency())
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The providers' addresses, and the free provider's rule.
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
    /// Requests that the free provider accepts before it blocks
    #[arg(long, env, value_name = "REQUESTS", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub requests: u32,
    /// How long the free provider then blocks
    #[arg(long, env, value_name = "BLOCK_SECONDS", default_value = "60", value_parser = positive_duration)]
    pub block_seconds: Duration,
    /// How long a message waits for the free provider before it is paid for
    #[arg(long, env, value_name = "PATIENCE", default_value = "0", value_parser = duration)]
    pub patience: Duration,
}

impl ProviderSettings {
    /// Returns the free provider's rule.
    pub fn rule(&self) -> WindowRule {
        WindowRule { requests: self.requests, block: self.block_seconds }
    }
}

/// The third party's address, and its rate limit.
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
    /// Returns the third party's rate limit.
    pub fn rule(&self) -> rate::RateRule {
        rate::RateRule { rate: self.rate, call: CALL }
    }
}

/// An `http://` or `https://` URL that paths are appended to.
#[derive(Clone)]
pub struct BaseUrl(Url);

impl BaseUrl {
    /// Returns the URL of a path under it.
    pub fn at(&self, path: &str) -> Url {
        let mut url = self.0.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push(path);
        }
        url
    }

    /// Returns whether the URL needs TLS.
    fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }
}

impl FromStr for BaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The invalid text may contain a password, and is not repeated.
        let wrong = || "expected a URL such as http://127.0.0.1:2197 or https://provider.example".to_owned();
        let url: Url = text.parse().map_err(|_| wrong())?;
        let is_base =
            matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none();
        is_base.then_some(Self(url)).ok_or_else(wrong)
    }
}

impl fmt::Debug for BaseUrl {
    /// Writes the URL without its password.
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
