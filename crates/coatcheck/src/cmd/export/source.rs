//! The server's side: a page of records at a time, into memory.

use super::format::Record;
use super::memory::{Fetched, Memory};
use crate::client::{Client, ClientError};

/// Records that are asked for at once, and after how many bytes of them the answer is read no further: what a page brings is
/// written before the next one, if the file is free.
const PAGE: usize = 10_000;
const PAGE_BYTES: usize = 8 << 20;

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
    match fetch_into(client, memory, limit).await {
        Ok(is_full) => Page { is_full, outcome: Ok(()) },
        Err(error) => Page { is_full: false, outcome: Err(error) },
    }
}

async fn fetch_into(client: &Client, memory: &mut Memory, limit: usize) -> Result<bool, ClientError> {
    let mut lines = client.records(memory.last(), limit).await?;
    let (mut count, mut bytes) = (0, 0);
    while count < limit && bytes < PAGE_BYTES && memory.room() > 0 {
        let Some(json) = lines.next().await? else { return Ok(false) };
        let record = Record::from_json(json.as_bytes()).ok_or_else(|| lines.foreign())?;
        count += 1;
        bytes += json.len();
        memory.push(Fetched { id: record.id, json });
    }
    Ok(true)
}
