//! The distributed adapter: wakes over Redis pub/sub. When Redis is away or wiped, hints are lost, never promises.
//!
//! A Redis channel spans all its databases, so the channel is named by the deployment.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use database::Deployment;
use futures::StreamExt;
use program::{Backoff, Repeated, without_numbers};
use redis::aio::MultiplexedConnection;
use redis::{Client, RedisError, RedisResult};
use tokio::sync::{broadcast, mpsc};
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};
use uuid::Uuid;

use super::{BACKLOG, Notify};
use crate::task::TaskId;

const ANSWER: Duration = Duration::from_secs(2);
/// The most ids in one message.
const IDS: usize = 256;

/// Wakes over one Redis.
pub struct RedisNotify {
    outgoing: mpsc::Sender<TaskId>,
    wakes: broadcast::Sender<TaskId>,
}

/// Creates a client for a `redis://` or `rediss://` URL. Does not connect yet.
///
/// # Errors
/// One line for a person, if the URL is not a Redis URL.
pub fn client(url: &str) -> Result<Client, String> {
    // The parser's own error may repeat the password.
    Client::open(url).map_err(|_| "expected redis://HOST:PORT".to_owned())
}

/// Sends a PING to the server at that URL.
///
/// # Errors
/// One line for a person, if the URL is not a Redis URL or the server can't be reached.
pub(crate) async fn ping(url: &str) -> Result<(), String> {
    let client = client(url)?;
    let ping = async {
        let mut connection = client.get_multiplexed_async_connection().await?;
        redis::cmd("PING").query_async::<String>(&mut connection).await
    };
    match timeout(ANSWER, ping).await {
        Ok(answer) => answer.map(drop).map_err(|error| without_numbers(&error.to_string())),
        Err(_) => Err("no answer".to_owned()),
    }
}

impl RedisNotify {
    /// Starts to send and receive the deployment's wakes, on the current runtime. Returns at once.
    pub fn start(client: Client, deployment: &Deployment) -> Self {
        let channel: Arc<str> = format!("coatcheck:{deployment}:changed").into();
        let (outgoing, ids) = mpsc::channel(BACKLOG);
        let wakes = broadcast::Sender::new(BACKLOG);
        tokio::spawn(tell(client.clone(), channel.clone(), ids));
        tokio::spawn(listen(client, channel, wakes.clone()));
        Self { outgoing, wakes }
    }
}

#[async_trait]
impl Notify for RedisNotify {
    async fn wake(&self, ids: Vec<TaskId>) {
        for id in ids {
            // Redis is slower than the work: the hint is dropped, and waiting clients' rows are read within a second.
            let _ = self.outgoing.try_send(id);
        }
    }

    fn wakes(&self) -> broadcast::Receiver<TaskId> {
        self.wakes.subscribe()
    }
}

async fn tell(client: Client, channel: Arc<str>, mut ids: mpsc::Receiver<TaskId>) {
    let mut connection: Option<MultiplexedConnection> = None;
    let mut batch = Vec::new();
    while ids.recv_many(&mut batch, IDS).await > 0 {
        let message: Vec<u8> = batch.drain(..).flat_map(|id| id.0.into_bytes()).collect();
        let told = async {
            let mut open = match connection.take() {
                Some(open) => open,
                None => client.get_multiplexed_async_connection().await?,
            };
            let _: () = redis::cmd("PUBLISH").arg(&*channel).arg(message).query_async(&mut open).await?;
            RedisResult::Ok(open)
        };
        match timeout(ANSWER, told).await {
            Ok(Ok(open)) => connection = Some(open),
            Ok(Err(error)) => debug!(%error, "a wake was lost"),
            Err(_) => debug!("a wake was lost: Redis does not answer"),
        }
    }
}

async fn listen(client: Client, channel: Arc<str>, wakes: broadcast::Sender<TaskId>) {
    let (mut failures, mut outage) = (0, Repeated::default());
    loop {
        match listen_once(&client, &channel, &wakes, &mut failures).await {
            Ok(()) => {}
            Err(error) => {
                if failures == 0 {
                    outage = Repeated::default();
                }
                if let Some(line) = outage.line("Redis is away; waiting clients are told a little later") {
                    warn!(%error, "{line}");
                }
            }
        }
        sleep(Backoff::SERVER.delay(failures)).await;
        failures += 1;
    }
}

async fn listen_once(
    client: &Client,
    channel: &str,
    wakes: &broadcast::Sender<TaskId>,
    failures: &mut u32,
) -> Result<(), RedisError> {
    let mut subscription = client.get_async_pubsub().await?;
    subscription.subscribe(channel).await?;
    if std::mem::take(failures) > 0 {
        info!("Redis is back");
    }
    let mut messages = subscription.into_on_message();
    while let Some(message) = messages.next().await {
        for id in message.get_payload_bytes().chunks_exact(16).filter_map(|id| Uuid::from_slice(id).ok()) {
            // Without listeners, no client waits.
            let _ = wakes.send(TaskId(id));
        }
    }
    Ok(())
}
