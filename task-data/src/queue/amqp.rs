//! The distributed adapter: RabbitMQ, one quorum queue for each kind behind one durable exchange. A message has one or more ids, 16 bytes
//! each, which were published together. The deployment's name is part of the names of exchange and queues, so that several deployments may
//! share a virtual host: `coatcheck.{deployment}` and `coatcheck.{deployment}.{kind}`.
//!
//! One connection publishes and one consumes: during a memory or disk alarm the broker stops reading a connection that publishes, and
//! acknowledgements on it would stop too (<https://www.rabbitmq.com/docs/alarms>). A failed channel is replaced at its next use.

use std::collections::VecDeque;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use database::Deployment;
use deadpool_lapin::{Manager, Pool};
use futures::StreamExt;
use futures::future::join_all;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Acker, BasicProperties, Channel, Confirmation, ConnectionProperties, ExchangeKind};
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::time::{interval, timeout};
use tracing::{debug, warn};
use uuid::Uuid;

use super::transport::Transport;
use super::{Consumer, Delivery, Queue, QueueError, Receipt, Turn};
use crate::kinds::Kind;
use crate::task::{TaskId, Ticket};

/// The time-out of each request to the broker, including a batch of confirms.
const ANSWER: Duration = Duration::from_secs(2);
/// The interval of heartbeats, unless the URL has one.
const HEARTBEAT_SECONDS: u16 = 10;
/// The interval at which a silent consumer checks whether its channel is still open.
const LOOK: Duration = Duration::from_secs(5);
/// The number of checks after which a consumer that gets nothing, although messages are ready, is replaced.
const LOOKS_IN_SILENCE: u32 = 12;
/// The value of `delivery_mode` for a message that survives the broker's restart.
const PERSISTENT: u8 = 2;
/// The type of a message whose ids may have been delivered before. Other messages have none.
const AGAIN: &str = "again";

/// A broker, before the deployment is known.
pub struct Broker {
    publishing: Pool,
    consuming: Pool,
    runtime: Handle,
}

impl Broker {
    /// Creates a client of the broker at that `amqp://` or `amqps://` URL. Does not connect yet.
    ///
    /// # Errors
    /// One line for a person, if the URL is not an AMQP URL, or is `amqps:` and TLS can't be set up.
    pub fn new(url: &str) -> Result<Self, String> {
        // The parser's own error may repeat the password.
        let mut uri =
            AMQPUri::from_str(url).map_err(|_| "expected amqp://USER:PASSWORD@HOST:PORT/VHOST".to_owned())?;
        uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
        let transport = match uri.scheme {
            AMQPScheme::AMQP => Transport::plain(),
            AMQPScheme::AMQPS => Transport::tls(&uri.authority.host)?,
        };
        // Else the library would add a TLS of its own.
        uri.scheme = AMQPScheme::AMQP;
        let pool = || {
            let runtime = async_rs::Runtime::new(transport.clone());
            let manager = Manager::new(uri.to_string(), ConnectionProperties::default, runtime);
            Pool::builder(manager)
                .max_size(1)
                .wait_timeout(Some(ANSWER))
                .create_timeout(Some(ANSWER))
                .runtime(deadpool_lapin::Runtime::Tokio1)
                .build()
                .map_err(|error| error.to_string())
        };
        Ok(Self { publishing: pool()?, consuming: pool()?, runtime: Handle::current() })
    }

    /// Opens a connection and a channel, and closes the channel.
    ///
    /// # Errors
    /// If the broker can't be reached, or has an alarm and takes no messages.
    pub(crate) async fn reach(&self) -> Result<(), QueueError> {
        in_time(async {
            let connection = self.consuming.get().await.map_err(unavailable)?;
            let channel = connection.create_channel().await.map_err(unavailable)?;
            let _ = channel.close(200, "".into()).await;
            match connection.status().blocked() {
                true => Err(QueueError("the broker has an alarm".to_owned())),
                false => Ok(()),
            }
        })
        .await
    }

    /// Returns the queues of that deployment.
    pub fn queues_of(self, deployment: &Deployment) -> AmqpQueue {
        let Self { publishing, consuming, runtime } = self;
        let names = Names { exchange: format!("coatcheck.{deployment}").into() };
        AmqpQueue { publishing, consuming, names, channel: Mutex::default(), runtime }
    }
}

/// The names of a deployment's exchange and queues.
#[derive(Clone)]
struct Names {
    exchange: Arc<str>,
}

impl Names {
    fn queue(&self, kind: Kind) -> String {
        format!("{}.{kind}", self.exchange)
    }
}

/// One queue for each kind at one broker.
pub struct AmqpQueue {
    publishing: Pool,
    consuming: Pool,
    names: Names,
    /// The channel that publishes, reused while it is open; its topology is declared.
    channel: Mutex<Option<Channel>>,
    runtime: Handle,
}

impl AmqpQueue {
    async fn publish_all(&self, tickets: &[Ticket], turn: Turn) -> Result<Vec<Ticket>, QueueError> {
        let mut kept = self.channel.lock().await;
        let connection = self.publishing.get().await.map_err(unavailable)?;
        // The broker would not answer before the alarm ends; the sweep publishes then.
        if connection.status().blocked() {
            return Err(QueueError("the broker has an alarm".to_owned()));
        }
        let channel = match kept.take().filter(|channel| channel.status().connected()) {
            Some(channel) => channel,
            None => {
                let channel = connection.create_channel().await.map_err(unavailable)?;
                channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(unavailable)?;
                self.names.declare(&channel).await?;
                channel
            }
        };
        drop(connection);

        let properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
        let properties = match turn {
            Turn::First => properties,
            Turn::Again => properties.with_type(AGAIN.into()),
        };
        let (mut sent, mut confirms) = (Vec::new(), Vec::new());
        for kind in Kind::ALL {
            let of_kind: Vec<&Ticket> = tickets.iter().filter(|ticket| ticket.kind == kind).collect();
            for some in of_kind.chunks(kind.most_together()) {
                let body: Vec<u8> = some.iter().flat_map(|ticket| *ticket.id.0.as_bytes()).collect();
                let confirm = channel.basic_publish(
                    (&*self.names.exchange).into(),
                    kind.name().into(),
                    BasicPublishOptions { mandatory: true, ..Default::default() },
                    &body,
                    properties.clone(),
                );
                confirms.push(confirm.await.map_err(unavailable)?);
                sent.push(some.to_vec());
            }
        }
        let mut confirmed = Vec::with_capacity(tickets.len());
        let mut is_routed = true;
        for (some, confirm) in sent.into_iter().zip(join_all(confirms).await) {
            match confirm.map_err(unavailable)? {
                Confirmation::Ack(None) => confirmed.extend(some),
                // Acknowledged and returned means that the queue does not exist. The next publisher declares it again.
                Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_)) => is_routed = false,
                Confirmation::Nack(None) | Confirmation::NotRequested => {}
            }
        }
        *kept = is_routed.then_some(channel);
        Ok(confirmed)
    }
}

impl Names {
    /// Declares missing exchanges and queues: safe to repeat.
    async fn declare(&self, channel: &Channel) -> Result<(), QueueError> {
        let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
        let name = (&*self.exchange).into();
        let exchange = channel.exchange_declare(name, ExchangeKind::Direct, durable, FieldTable::default());
        exchange.await.map_err(unavailable)?;
        for kind in Kind::ALL {
            self.declare_queue(channel, kind).await?;
            let bind = channel.queue_bind(
                self.queue(kind).as_str().into(),
                (&*self.exchange).into(),
                kind.name().into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            );
            bind.await.map_err(unavailable)?;
        }
        Ok(())
    }

    /// Declares a kind's queue where it is missing. Returns the number of messages ready in it.
    async fn declare_queue(&self, channel: &Channel, kind: Kind) -> Result<u64, QueueError> {
        let durable = QueueDeclareOptions { durable: true, ..Default::default() };
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        let queue = channel.queue_declare(self.queue(kind).as_str().into(), durable, arguments);
        Ok(queue.await.map_err(unavailable)?.message_count().into())
    }
}

fn unavailable(error: impl std::fmt::Display) -> QueueError {
    QueueError(error.to_string())
}

async fn in_time<T>(work: impl Future<Output = Result<T, QueueError>>) -> Result<T, QueueError> {
    timeout(ANSWER, work).await.unwrap_or_else(|_| Err(QueueError("the broker does not answer".to_owned())))
}

#[async_trait]
impl Queue for AmqpQueue {
    async fn publish(&self, tickets: Vec<Ticket>, turn: Turn) -> Vec<Ticket> {
        match in_time(self.publish_all(&tickets, turn)).await {
            Ok(confirmed) => confirmed,
            Err(error) => {
                debug!(%error, "{} ids were not published", tickets.len());
                Vec::new()
            }
        }
    }

    async fn consume(&self, kind: Kind, prefetch: u16) -> Result<Box<dyn Consumer>, QueueError> {
        let consume = async {
            let connection = self.consuming.get().await.map_err(unavailable)?;
            let channel = connection.create_channel().await.map_err(unavailable)?;
            self.names.declare(&channel).await?;
            channel.basic_qos(prefetch, BasicQosOptions::default()).await.map_err(unavailable)?;
            let stream = channel.basic_consume(
                self.names.queue(kind).as_str().into(),
                "".into(),
                BasicConsumeOptions::default(),
                FieldTable::default(),
            );
            let stream = stream.await.map_err(unavailable)?;
            Ok(AmqpConsumer {
                kind,
                names: self.names.clone(),
                channel,
                stream,
                runtime: self.runtime.clone(),
                delivered: VecDeque::new(),
            })
        };
        Ok(Box::new(in_time(consume).await?))
    }

    async fn depth(&self, kind: Kind) -> Result<u64, QueueError> {
        let (pool, names) = (self.consuming.clone(), self.names.clone());
        // A connection belongs to the runtime that opened it: it must be the runtime that lasts.
        let depth = self.runtime.spawn(in_time(async move {
            let channel =
                pool.get().await.map_err(unavailable)?.create_channel().await.map_err(unavailable)?;
            let depth = names.declare_queue(&channel, kind).await?;
            let _ = channel.close(200, "".into()).await;
            Ok(depth)
        }));
        depth.await.map_err(unavailable)?
    }
}

struct AmqpConsumer {
    kind: Kind,
    names: Names,
    channel: Channel,
    stream: lapin::Consumer,
    runtime: Handle,
    /// Ids of the latest message that were not returned yet.
    delivered: VecDeque<Delivery>,
}

#[async_trait]
impl Consumer for AmqpConsumer {
    async fn next(&mut self) -> Option<Delivery> {
        if let Some(delivery) = self.delivered.pop_front() {
            return Some(delivery);
        }
        let mut look = interval(LOOK);
        let mut silent_looks = 0;
        loop {
            let message = tokio::select! {
                message = self.stream.next() => message?.ok()?,
                _ = look.tick() => {
                    silent_looks += 1;
                    if !self.channel.status().connected() {
                        return None;
                    }
                    let is_deaf = silent_looks % LOOKS_IN_SILENCE == 0
                        && in_time(self.names.declare_queue(&self.channel, self.kind))
                            .await
                            .map_or(true, |ready| ready > 0);
                    if is_deaf {
                        return None;
                    }
                    continue;
                }
            };
            self.delivered = deliveries(message, &self.runtime);
            if let Some(delivery) = self.delivered.pop_front() {
                return Some(delivery);
            }
        }
    }
}

impl Drop for AmqpConsumer {
    fn drop(&mut self) {
        // The broker redelivers unacknowledged messages to other consumers.
        let channel = self.channel.clone();
        self.runtime.spawn(async move { channel.close(200, "".into()).await });
    }
}

/// Returns the ids in a message. Drops a message without ids.
fn deliveries(message: lapin::message::Delivery, runtime: &Handle) -> VecDeque<Delivery> {
    let (ids, rest) = message.data.as_chunks::<16>();
    let is_ours = !ids.is_empty() && rest.is_empty();
    if !is_ours {
        warn!("dropped a message of {} bytes, which has no ids", message.data.len());
    }
    let is_marked = message.properties.kind().as_ref().is_some_and(|kind| kind.as_str() == AGAIN);
    let turn = if message.redelivered || is_marked { Turn::Again } else { Turn::First };
    let unsettled = AtomicUsize::new(if is_ours { ids.len() } else { 0 });
    let message = Arc::new(Message { acker: Some(message.acker), runtime: runtime.clone(), unsettled });
    let delivery = |id: &[u8; 16]| Delivery {
        id: TaskId(Uuid::from_bytes(*id)),
        turn,
        receipt: Box::new(AmqpReceipt(message.clone())),
    };
    ids.iter().filter(|_| is_ours).map(delivery).collect()
}

/// A delivered message. It is acknowledged when all its ids were, and returned if one was not.
struct Message {
    acker: Option<Acker>,
    runtime: Handle,
    /// The number of ids that were not acknowledged yet.
    unsettled: AtomicUsize,
}

impl Message {
    /// Returns the call that settles the message with the broker, the first time only.
    fn settle(&mut self) -> Option<impl Future<Output = ()> + Send + use<>> {
        let (acker, is_through) = (self.acker.take()?, *self.unsettled.get_mut() == 0);
        Some(async move {
            let told = match is_through {
                true => acker.ack(BasicAckOptions::default()).await,
                // If the channel is closed, the broker has the message back already.
                false => acker.nack(BasicNackOptions { requeue: true, ..Default::default() }).await,
            };
            if let Err(error) = told {
                debug!(%error, "a delivery could not be acknowledged and will come again");
            }
        })
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        if let Some(settled) = self.settle() {
            self.runtime.spawn(settled);
        }
    }
}

struct AmqpReceipt(Arc<Message>);

#[async_trait]
impl Receipt for AmqpReceipt {
    async fn ack(self: Box<Self>) {
        self.0.unsettled.fetch_sub(1, Relaxed);
        if let Some(mut message) = Arc::into_inner(self.0)
            && let Some(settled) = message.settle()
        {
            settled.await;
        }
    }
}
