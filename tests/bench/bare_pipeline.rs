//! What RabbitMQ and Redis allow: the same way of a webhook without signatures, rules or promises.
//!
//! Two processes, as the server has them: an ingress with one confirmed publish to a quorum queue
//! and a stream, and a worker with one script a message, which writes what an order of three lines
//! writes, and acknowledgements in groups. The libraries and the durability are those of the
//! product.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, ExchangeKind};
use storekeeper::app::Addresses;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use crate::corpus::{LINES, PRODUCTS};
use crate::harness::variable;
use crate::rules;

const PREFETCH: u16 = 256;
const BATCH: usize = 64;
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

#[derive(Clone)]
struct Bare {
    channel: Channel,
    namespace: Arc<str>,
    done: Arc<AtomicU64>,
}

/// Serves a role until it is killed, with the settings of the product; its address is in the file.
pub(crate) async fn serve(role: &str, ready_file: &Path) {
    let setting = |name: &str| variable(&format!("STOREKEEPER__{name}")).unwrap();
    let namespace = setting("RABBITMQ__NAMESPACE");
    let channel = channel(&setting("RABBITMQ__URL"), &namespace).await;
    let bare = Bare { channel, namespace: namespace.into(), done: Arc::default() };
    let tracker = TaskTracker::new();
    if role == "worker" {
        tracker.spawn(consume(bare.clone(), setting("REDIS__URL")));
    } else {
        bare.channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let addresses = Addresses { ingress: Some(address), console: None, probes: address };
    let half = ready_file.with_extension("half");
    std::fs::write(&half, serde_json::to_vec(&addresses).unwrap()).unwrap();
    std::fs::rename(half, ready_file).unwrap();
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        socket.set_nodelay(true).unwrap();
        let bare = bare.clone();
        let service = service_fn(move |request| answer(bare.clone(), request));
        // A client that goes is fine.
        let connection = http1::Builder::new().serve_connection(TokioIo::new(socket), service);
        tracker.spawn(async { connection.await.ok() });
    }
}

async fn answer(
    bare: Bare,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path() == "/metrics" {
        let done = bare.done.load(Ordering::Relaxed);
        let metrics = format!("storekeeper_events_settled_total {done}\n");
        return Ok(Response::new(Full::from(metrics)));
    }
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let properties = BasicProperties::default()
        .with_delivery_mode(2)
        .with_message_id(uuid::Uuid::now_v7().to_string().into());
    let (to, key) = ((&*bare.namespace).into(), "webhook".into());
    let publish =
        bare.channel.basic_publish(to, key, BasicPublishOptions::default(), &body, properties);
    assert!(publish.await.unwrap().await.unwrap().is_ack());
    Ok(Response::new(Full::from("{}")))
}

/// A channel on a connection of its own, with everything declared.
async fn channel(url: &str, namespace: &str) -> Channel {
    let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let none = FieldTable::default;
    let kind = ExchangeKind::Topic;
    channel.exchange_declare(namespace.into(), kind, durable, none()).await.unwrap();
    for (queue, kind) in [("work", "quorum"), ("journal", "stream")] {
        let name = format!("{namespace}.{queue}");
        let mut arguments = none();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString(kind.into()));
        let durable = QueueDeclareOptions::durable();
        channel.queue_declare(name.as_str().into(), durable, arguments).await.unwrap();
        let options = QueueBindOptions::default();
        let bound = (name.as_str().into(), namespace.into(), "#".into());
        channel.queue_bind(bound.0, bound.1, bound.2, options, none()).await.unwrap();
    }
    // The connection must live as long as the channel, which is as long as the process.
    std::mem::forget(connection);
    channel
}

async fn consume(bare: Bare, redis: String) {
    let client = redis::Client::open(redis).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let script = redis::Script::new(SCRIPT);
    script.prepare_invoke().load_async(&mut connection).await.unwrap();
    bare.channel.basic_qos(PREFETCH, BasicQosOptions::default()).await.unwrap();
    let queue = format!("{}.work", bare.namespace);
    let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
    // The server gives the consumer its name, since several have one queue.
    let consumer = bare.channel.basic_consume(queue.as_str().into(), "".into(), options, none);
    let mut batches = consumer.await.unwrap().ready_chunks(BATCH);
    let (_, state) = rules::record();
    // Two workers write orders of their own.
    let mut event = rand::random_range(0..1_000_000_000_u32);
    while let Some(batch) = batches.next().await {
        let mut pipeline = redis::pipe();
        for _ in &batch {
            event += 1;
            write(&mut pipeline, &script, &bare.namespace, event, &state);
        }
        pipeline.query_async::<()>(&mut connection).await.unwrap();
        bare.done.fetch_add(batch.len() as u64, Ordering::Relaxed);
        let last = batch.into_iter().last().unwrap().unwrap();
        assert!(last.acker.ack(BasicAckOptions { multiple: true }).await.unwrap());
    }
}

fn write(pipe: &mut redis::Pipeline, script: &redis::Script, tag: &str, event: u32, state: &[u8]) {
    let key = |name: &str| format!("{tag}:{{shop-{}}}:{name}", event % 20);
    let keys = ["holds:", "stock", "items", "changes", "names", "orders"].map(key);
    let keys = [&[key(&format!("order:{event}"))][..], &keys].concat();
    pipe.cmd("EVALSHA").arg(script.get_hash()).arg(keys.len()).arg(&keys).arg(event).arg(state);
    for line in 0..LINES {
        pipe.arg(format!(
            "product:product-{}",
            event.wrapping_mul(7).wrapping_add(line * 61) % PRODUCTS
        ));
    }
    pipe.ignore();
}
