//! The servers: PostgreSQL, the broker, Redis, and the API at `COATCHECK_URL`.

use chrono::{DateTime, TimeDelta, Utc};
use client::{Client, TaskQuery};
use task_data::examine::{self, Examined};
use task_data::settings::Settings;
use task_data::stack::{OpenError, Stack};

use super::Finding;

/// How far the clocks of two machines may differ: leases and sessions allow more.
const SLACK: TimeDelta = TimeDelta::seconds(5);

/// Looks at the settings that a `sqlite:` database needs, and at the program that has it.
pub fn of_embedded(settings: &Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    if settings.amqp_url != "memory:" {
        findings.push(Finding::wrong("AMQP_URL", "expected memory: with a sqlite: database; remove it"));
    }
    if settings.redis_url.is_some() {
        findings.push(Finding::wrong("REDIS_URL", "expected no value with a sqlite: database; remove it"));
    }
    if let Some(OpenError::Held { path, pid }) = Stack::holder(settings) {
        findings.push(Finding::ok("DATABASE_URL", format!("coatcheck (pid {pid}) has {}", path.display())));
    }
    findings
}

/// Looks at the servers that processes share.
pub async fn of_distributed(settings: &Settings) -> Vec<Finding> {
    let Settings { database_url, amqp_url, redis_url, .. } = settings;
    let (database, broker, redis) = tokio::join!(
        examine::postgres(database_url),
        async {
            match &**amqp_url {
                "memory:" => Finding::wrong("AMQP_URL", "expected amqp://…, which processes share; set it"),
                url => reached("AMQP_URL", url, examine::broker(url).await),
            }
        },
        async {
            match redis_url {
                None => Finding::wrong("REDIS_URL", "expected redis://…, which processes share; set it"),
                Some(url) => reached("REDIS_URL", url, examine::redis(url).await),
            }
        },
    );
    let mut findings = match database {
        Ok(examined) => of_postgres(database_url, &examined),
        Err(error) => vec![reached("DATABASE_URL", database_url, Err(error))],
    };
    findings.extend([broker, redis]);
    findings
}

fn of_postgres(url: &str, Examined { pending, now }: &Examined) -> Vec<Finding> {
    let schema = match pending.len() {
        0 => Finding::ok("DATABASE_URL", "the schema is up to date"),
        count => {
            let text = format!("the schema lacks {}", program::counted(count as u64, "migration"));
            Finding::wrong("DATABASE_URL", format!("{text}; run coatcheck migrate, or start the API"))
        }
    };
    vec![reached("DATABASE_URL", url, Ok(())), schema, clock("PostgreSQL", now.0)]
}

fn reached(setting: &'static str, url: &str, outcome: Result<(), String>) -> Finding {
    match outcome {
        Ok(()) => Finding::ok(setting, format!("{url} answers")),
        Err(error) => {
            Finding::wrong(setting, format!("{url}: {error}; start the server, or correct the address"))
        }
    }
}

fn clock(whose: &str, now: DateTime<Utc>) -> Finding {
    let behind = now - Utc::now();
    match behind.abs() > SLACK {
        true => {
            let seconds = behind.num_seconds().abs();
            let side = if behind > TimeDelta::zero() { "behind" } else { "ahead of" };
            Finding::wrong("clock", format!("{seconds} s {side} that of {whose}; set both by NTP"))
        }
        false => Finding::ok("clock", format!("as that of {whose}")),
    }
}

/// Looks at the server of the client commands: its version, the parts of its `/readyz`, and whether it accepts the key.
pub async fn api(client: &Client, is_default: bool) -> Vec<Finding> {
    const NAME: &str = "COATCHECK_URL";
    let (status, ready) = match client.readiness().await {
        Ok(said) => said,
        Err(error) if is_default => {
            return vec![Finding::note(NAME, format!("{error}; coatcheck starts one"))];
        }
        Err(error) => {
            return vec![Finding::wrong(NAME, format!("{error}; start the server, or correct the address"))];
        }
    };
    let Some(ready) = ready else {
        let text = format!(
            "{} answers {status} to /readyz, and not as Coatcheck does; correct the address",
            client.name()
        );
        return vec![Finding::wrong(NAME, text)];
    };
    let version = match client.version().await {
        Ok(Some(version)) => format!("version {version}"),
        Ok(None) => "of a version that it does not tell".to_owned(),
        Err(error) => error.to_string(),
    };
    let overall = &ready.status;
    let mut findings = vec![match status.is_success() {
        true => Finding::ok(NAME, format!("{} is {overall}, {version}", client.name())),
        false => Finding::wrong(NAME, format!("{} is {overall}, {version}", client.name())),
    }];
    findings.extend(ready.parts().map(|(part, state)| of_part(part, state)));
    if status.is_success() {
        findings.extend(of_key(client).await);
    }
    findings
}

/// Says whether the server accepts the API key, or needs none; `None` if it does not tell.
async fn of_key(client: &Client) -> Option<Finding> {
    const NAME: &str = "COATCHECK_TOKEN";
    let query = TaskQuery { limit: 1, ..TaskQuery::default() };
    match (client.tasks(query).await, client.has_token()) {
        (Ok(_), true) => Some(Finding::ok(NAME, "the server accepts the API key")),
        (Ok(_), false) => Some(Finding::ok(NAME, "the server needs no API key")),
        (Err(error), _) if error.needs_a_setting() => Some(Finding::wrong(NAME, error.to_string())),
        (Err(_), _) => None,
    }
}

fn of_part(part: &str, state: &str) -> Finding {
    const NAME: &str = "COATCHECK_URL";
    let advice = match (part, state) {
        (_, "ok") => return Finding::ok(NAME, format!("{part} ok")),
        (_, "low") => "make room, or set a smaller MIN_FREE_DISK",
        ("queue", _) => "uploads are accepted meanwhile; look at the broker",
        ("database", _) => "look at the server's log and its DATABASE_URL",
        _ => "look at the server's log and the disk of its BLOB_URL",
    };
    Finding::wrong(NAME, format!("{part} {state}; {advice}"))
}
