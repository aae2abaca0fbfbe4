//! The server's side: a page of records at a time, into memory.

use crate::client::{Client, ClientError};

use super::format::Record;
use super::memory::{Fetched, Memory};

/// Records that are asked for at once.
const PAGE: usize = 10_000;

/// How a page went.
#[derive(Debug)]
pub struct Page {
    /// There is more to be had now, or may be.
    pub is_full: bool,
    /// What broke it off; what came before is kept all the same.
    pub outcome: Result<(), ClientError>,
}

/// Fetches what follows the memory's last record, as far as there is room.
///
/// # Cancel safety
/// What has come in by then is kept.
pub async fn fetch(client: &Client, memory: &mut Memory) -> Page {
    let limit = PAGE.min(memory.room());
    let mut fetched = 0;
    let outcome = fetch_into(client, memory, limit, &mut fetched).await;
    Page { is_full: outcome.is_ok() && (fetched == limit || memory.room() == 0), outcome }
}

async fn fetch_into(
    client: &Client,
    memory: &mut Memory,
    limit: usize,
    fetched: &mut usize,
) -> Result<(), ClientError> {
    let mut lines = client.records(memory.last(), limit).await?;
    // Never more than asked for, should the server not know of limits.
    while *fetched < limit && memory.room() > 0 {
        let Some(json) = lines.next().await? else { break };
        let record = Record::from_json(json.as_bytes()).ok_or_else(|| lines.foreign())?;
        memory.push(Fetched { id: record.id, json });
        *fetched += 1;
    }
    Ok(())
}
