//! What RabbitMQ and Redis allow: the same way of a webhook without signatures, rules or promises.
//!
//! A process of its own, as the server is: HTTP in, one confirmed publish to a quorum queue and a
//! stream, consuming, one script a message that writes what an order of two lines writes, and
//! acknowledgements in groups. The libraries and the durability are those of the product.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::{get, post};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, ExchangeKind};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

use crate::body;
use crate::end_to_end::{LINES, PRODUCTS};
use crate::place::Place;

const PREFETCH: u16 = 256;
const BATCH: usize = 64;
/// The compact form of an order of two lines takes about so much.
const STATE_BYTES: usize = 400;
/// What an order writes: its state, who bears its invoice number, its place in the list of orders, for
/// each line a hold and the item's counts, and one entry of the change feed.
const SCRIPT: &str = "#!lua
redis.call('HSET', KEYS[1], 'rev', ARGV[1], 'state', ARGV[2])
redis.call('HSET', KEYS[6], 'invoice-number:EX-' .. ARGV[1], KEYS[1])
redis.call('ZADD', KEYS[7], ARGV[1], KEYS[1])
local counts = redis.call('HMGET', KEYS[3], unpack(ARGV, 3))
for i = 3, #ARGV do
    redis.call('HSET', KEYS[2] .. ARGV[i], KEYS[1], '1 0')
    local committed = tonumber(string.match(counts[i - 2] or '0 0 0', ' (%d+) ')) + 1
    redis.call('HSET', KEYS[3], ARGV[i], '0 ' .. committed .. ' 0')
    redis.call('ZADD', KEYS[4], 0, ARGV[i])
end
redis.call('XADD', KEYS[5], '*', 'o', KEYS[1], 'd', table.concat(ARGV, ' 0 1 0 ', 3))
return 1";

type Publish = (Bytes, oneshot::Sender<()>);

/// Serves until it is killed; the first line that it prints is its address.
#[expect(clippy::print_stdout, reason = "the benchmark reads the address there")]
pub(crate) async fn serve(place: &Place, consumes_only: bool) {
    let (publish, requests) = mpsc::channel::<Publish>(1024);
    let tracker = TaskTracker::new();
    if !consumes_only {
        tracker.spawn(publish_all(channel(place).await, place.namespace.clone(), requests));
    }
    let done = Arc::new(AtomicU64::new(0));
    tracker.spawn(consume(channel(place).await, place.clone(), Arc::clone(&done)));
    let take = async |State(publish): State<mpsc::Sender<Publish>>, body: Bytes| {
        let (answer, confirmed) = oneshot::channel();
        publish.send((body, answer)).await.unwrap();
        confirmed.await.unwrap();
        "{}"
    };
    let router = Router::new()
        .route("/webhooks/duda", post(take))
        .with_state(publish)
        .route("/done", get(async move || done.load(Ordering::Relaxed).to_string()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    axum::serve(listener, router).await.unwrap();
}

/// Puts a backlog of so many creations there.
pub(crate) async fn fill(place: &Place, events: u32) {
    let (publish, requests) = mpsc::channel::<Publish>(1024);
    let publishing = publish_all(channel(place).await, place.namespace.clone(), requests);
    let requesting = async move {
        for order in 0..events {
            let (answer, _unheard) = oneshot::channel();
            publish.send((body::of(order).into(), answer)).await.unwrap();
        }
    };
    tokio::join!(publishing, requesting);
}

/// A channel on a connection of its own, with everything declared.
async fn channel(place: &Place) -> Channel {
    let properties = ConnectionProperties::default();
    let connection = Connection::connect(&place.rabbitmq, properties).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let exchange = place.namespace.as_str();
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let none = FieldTable::default;
    let kind = ExchangeKind::Topic;
    channel.exchange_declare(exchange.into(), kind, durable, none()).await.unwrap();
    for (queue, kind) in [("work", "quorum"), ("journal", "stream")] {
        let name = format!("{exchange}.{queue}");
        let mut arguments = none();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString(kind.into()));
        let durable = QueueDeclareOptions::durable();
        channel.queue_declare(name.as_str().into(), durable, arguments).await.unwrap();
        let options = QueueBindOptions::default();
        let bound = (name.as_str().into(), exchange.into(), "#".into());
        channel.queue_bind(bound.0, bound.1, bound.2, options, none()).await.unwrap();
    }
    // The connection must live as long as the channel, which is as long as the process.
    std::mem::forget(connection);
    channel
}

async fn publish_all(channel: Channel, exchange: String, mut requests: mpsc::Receiver<Publish>) {
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let mut confirms = FuturesUnordered::new();
    loop {
        tokio::select! {
            Some(()) = confirms.next() => {}
            Some((body, answer)) = requests.recv(), if confirms.len() < 512 => {
                let properties = BasicProperties::default()
                    .with_delivery_mode(2)
                    .with_message_id(uuid::Uuid::now_v7().to_string().into());
                let options = BasicPublishOptions::default();
                let (to, key) = (exchange.as_str().into(), "webhook".into());
                let written = channel.basic_publish(to, key, options, &body, properties).await;
                let confirm = written.unwrap();
                confirms.push(async move {
                    assert!(confirm.await.unwrap().is_ack());
                    answer.send(()).ok();
                });
            }
            else => return,
        }
    }
}

async fn consume(channel: Channel, place: Place, done: Arc<AtomicU64>) {
    let client = redis::Client::open(place.redis.as_str()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let script = redis::Script::new(SCRIPT);
    script.prepare_invoke().load_async(&mut connection).await.unwrap();
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await.unwrap();
    let queue = format!("{}.work", place.namespace);
    let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
    let consumer = channel.basic_consume(queue.as_str().into(), "bare".into(), options, none);
    let mut batches = consumer.await.unwrap().ready_chunks(BATCH);
    let mut event = 0_u32;
    let state = "x".repeat(STATE_BYTES);
    while let Some(batch) = batches.next().await {
        let mut pipeline = redis::pipe();
        for _ in &batch {
            event += 1;
            write(&mut pipeline, &script, &place.namespace, event, &state);
        }
        pipeline.query_async::<()>(&mut connection).await.unwrap();
        done.fetch_add(batch.len() as u64, Ordering::Relaxed);
        let last = batch.into_iter().last().unwrap().unwrap();
        assert!(last.acker.ack(BasicAckOptions { multiple: true }).await.unwrap());
    }
}

fn write(pipe: &mut redis::Pipeline, script: &redis::Script, tag: &str, event: u32, state: &str) {
    let key = |name: &str| format!("{tag}:{{shop-{}}}:{name}", event % 4);
    let keys = ["holds:", "stock", "items", "changes", "names", "orders"].map(key);
    let keys = [&[key(&format!("order:{event}"))][..], &keys].concat();
    pipe.cmd("EVALSHA").arg(script.get_hash()).arg(keys.len()).arg(&keys).arg(event).arg(state);
    for line in 0..LINES {
        pipe.arg(format!("product:product-{}", (event * 7 + line * 131) % PRODUCTS));
    }
    pipe.ignore();
}
