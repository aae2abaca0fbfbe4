//! The server's side: fetches records into memory, a page at a time.

use client::{Client, ClientError, Record};

use super::memory::{Fetched, Memory};

/// The records of one request, and the bytes after which its answer is not read further: a page is written before the next one is fetched,
/// if the file is free.
const PAGE: usize = 10_000;
const PAGE_BYTES: usize = 8 << 20;

/// The outcome of a page.
#[derive(Debug)]
pub struct Page {
    /// More records can be fetched now, or may be.
    pub is_full: bool,
    /// The error that broke it off; the records before that are kept all the same.
    pub outcome: Result<(), ClientError>,
}

/// Fetches the records that follow the memory's last one, as far as there is room.
///
/// # Cancel safety
/// Records received by then are kept.
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
        let record = Record::from_json(&json).ok_or_else(|| lines.foreign())?;
        count += 1;
        bytes += json.len();
        memory.push(Fetched { id: record.id, json });
    }
    Ok(true)
}
