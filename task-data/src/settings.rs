//! The settings that every part of the program shares: each an environment variable and a flag of the same name.

use std::time::Duration;

use clap::Args;

use crate::store::Rules;

/// Which servers are used, and how promises are kept.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Promises")]
pub struct Settings {
    /// The database: `sqlite:PATH` or `postgres://…`
    #[arg(
        long,
        env,
        value_name = "DATABASE_URL",
        default_value = "sqlite:data/coatcheck.db",
        hide_env_values = true
    )]
    pub database_url: String,
    /// The queue: `memory:` or `amqp://…`
    #[arg(long, env, value_name = "AMQP_URL", default_value = "memory:", hide_env_values = true)]
    pub amqp_url: String,
    /// What wakes those who wait in other processes: `redis://…`; unset: in-process
    #[arg(long, env, value_name = "REDIS_URL", hide_env_values = true)]
    pub redis_url: Option<String>,
    /// Where uploads are kept that are too large for a row: `file:PATH`
    #[arg(long, env, value_name = "BLOB_URL", default_value = "file:data/blobs")]
    pub blob_url: String,
    /// Uploads up to this size travel in the row
    #[arg(long, env, value_name = "INLINE_BYTES", default_value = "16KiB", value_parser = inline_bytes)]
    pub inline_bytes: u64,
    /// The file in which every ended task gets one line
    #[arg(long, env, value_name = "OUTCOME_LOG", default_value = "data/outcomes.log")]
    pub outcome_log: String,
    /// How long a worker that is no longer heard of keeps its tasks
    #[arg(long, env, value_name = "LEASE_SECONDS", default_value = "30", value_parser = positive_duration)]
    pub lease_seconds: Duration,
    /// Attempts that may end badly before a task fails
    #[arg(long, env, value_name = "MAX_ATTEMPTS", default_value_t = 5, value_parser = clap::value_parser!(i32).range(1..))]
    pub max_attempts: i32,
    /// How often what was left behind is looked for
    #[arg(long, env, value_name = "SWEEP_SECONDS", default_value = "1", value_parser = positive_duration)]
    pub sweep_seconds: Duration,
    /// Age after which bytes without a task are removed, at least 60
    #[arg(long, env, value_name = "ORPHAN_SECONDS", default_value = "86400", value_parser = orphan_age)]
    pub orphan_seconds: Duration,
    /// Keep the uploads of ended tasks
    #[arg(long, env, value_name = "KEEP_UPLOADS", default_value_t = false, action = clap::ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub keep_uploads: bool,
}

impl Settings {
    /// How attempts and uploads end.
    pub fn rules(&self) -> Rules {
        Rules { max_attempts: self.max_attempts, keep_uploads: self.keep_uploads }
    }
}

/// A length of time: seconds with decimals (`0.5`), or with a unit of `ms`, `s`, `m`, `h`, `d` (`5m`).
///
/// # Errors
/// One line for a person, if the text is nothing of the kind.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong =
        || "a duration is a number of seconds such as 10 or 0.5, or 200ms, 10s, 5m, 2h, 1d".to_owned();
    let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
    let seconds = match unit {
        "" | "s" => 1.0,
        "ms" => 0.001,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        _ => return Err(wrong()),
    };
    Duration::try_from_secs_f64(number * seconds).map_err(|_| wrong())
}

/// A [`duration`] that is not nothing.
///
/// # Errors
/// One line for a person.
pub fn positive_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("must be more than 0".to_owned()),
        duration => Ok(duration),
    }
}

/// A size: bytes, or with a unit of `KiB`, `MiB`, `GiB`, `TiB` or `kB`, `MB`, `GB`, `TB`.
///
/// # Errors
/// One line for a person, if the text is nothing of the kind.
pub fn size(text: &str) -> Result<u64, String> {
    let wrong = || "a size is a number of bytes such as 4096, or 64KiB, 10MiB, 2GiB".to_owned();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit: u64 = match unit.trim() {
        "" | "B" => 1,
        "kB" | "KB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "K" | "KiB" => 1 << 10,
        "M" | "MiB" => 1 << 20,
        "G" | "GiB" => 1 << 30,
        "T" | "TiB" => 1 << 40,
        _ => return Err(wrong()),
    };
    number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).ok_or_else(wrong)
}

fn number_and_unit(text: &str) -> Option<(f64, &str)> {
    let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim()))
}

fn inline_bytes(text: &str) -> Result<u64, String> {
    match size(text)? {
        // More would make every claim and every row as heavy as a file.
        bytes if bytes > 1 << 20 => Err("must be at most 1MiB".to_owned()),
        bytes => Ok(bytes),
    }
}

fn orphan_age(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        // A row with a blob is taken up to 30 s after the blob was made durable.
        age if age < Duration::from_secs(60) => Err("must be at least 60".to_owned()),
        age => Ok(age),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_seconds_or_have_a_unit() {
        for (text, milliseconds) in
            [("10", 10_000), ("0.5", 500), ("10s", 10_000), ("5m", 300_000), ("200ms", 200)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "-1", "s", "1 fortnight", "1e3", "1.2.3", "NaN"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_bytes_or_have_a_unit() {
        for (text, bytes) in
            [("0", 0), ("16384", 16384), ("10MiB", 10 << 20), ("1GiB", 1 << 30), ("2 kB", 2000)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "-1", "MiB", "1.5MiB", "99999999999999999999", "18446744073709551615KiB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
