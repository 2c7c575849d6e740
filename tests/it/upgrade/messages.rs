//! What is in Redis and what goes through RabbitMQ, as JSON texts and back.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lapin::options::{
    BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Connection};
use serde_json::{Value, json};

/// How texts begin that stand for bytes which are none.
const BASE64: &str = "base64:";

/// Every key with its type and its values.
pub(super) fn keys(connection: &mut redis::Connection) -> Value {
    type Entries = Vec<(String, Vec<Vec<u8>>)>;
    let mut found = BTreeMap::new();
    let mut names: Vec<String> = ask(connection, &["KEYS", "*"]);
    names.sort();
    for name in names {
        let kind: String = ask(connection, &["TYPE", &name]);
        let values = match kind.as_str() {
            "string" => text_of(&ask::<Vec<u8>>(connection, &["GET", &name])),
            "hash" => {
                let fields: BTreeMap<String, Vec<u8>> = ask(connection, &["HGETALL", &name]);
                let fields = fields.into_iter().map(|(field, value)| (field, text_of(&value)));
                fields.collect::<serde_json::Map<_, _>>().into()
            }
            "set" => texts_of(&ask::<Vec<Vec<u8>>>(connection, &["SMEMBERS", &name])),
            "zset" => {
                let range = ["ZRANGE", &name, "0", "-1", "WITHSCORES"];
                let members: Vec<(Vec<u8>, String)> = ask(connection, &range);
                members.iter().map(|(member, score)| json!([text_of(member), score])).collect()
            }
            "stream" => {
                let entries: Entries = ask(connection, &["XRANGE", &name, "-", "+"]);
                entries.iter().map(|(id, fields)| json!([id, texts_of(fields)])).collect()
            }
            other => panic!("{name} is a {other}"),
        };
        found.insert(name, json!({"type": kind, "values": values}));
    }
    json!(found)
}

/// Puts back what [`keys`] found.
pub(super) fn put_keys(connection: &mut redis::Connection, keys: &Value) {
    for (name, key) in keys.as_object().unwrap() {
        put_key(text(&key["type"]), &key["values"], |command, values| {
            redis::cmd(command).arg(name).arg(values).exec(connection).unwrap();
        });
    }
}

fn put_key(kind: &str, values: &Value, mut put: impl FnMut(&str, &[Vec<u8>])) {
    let entries = || values.as_array().unwrap();
    match kind {
        "string" => put("SET", &[bytes_of(values)]),
        "hash" => {
            for (field, value) in values.as_object().unwrap() {
                put("HSET", &[field.clone().into(), bytes_of(value)]);
            }
        }
        "set" => {
            for member in entries() {
                put("SADD", &[bytes_of(member)]);
            }
        }
        "zset" => {
            for entry in entries() {
                put("ZADD", &[bytes_of(&entry[1]), bytes_of(&entry[0])]);
            }
        }
        "stream" => {
            for entry in entries() {
                let mut fields = vec![bytes_of(&entry[0])];
                fields.extend(entry[1].as_array().unwrap().iter().map(bytes_of));
                put("XADD", &fields);
            }
        }
        other => panic!("no type of key: {other}"),
    }
}

fn texts_of(values: &[Vec<u8>]) -> Value {
    values.iter().map(|value| text_of(value)).collect()
}

fn text_of(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.starts_with(BASE64) => json!(text),
        Ok(_) | Err(_) => json!(format!("{BASE64}{}", STANDARD.encode(bytes))),
    }
}

fn bytes_of(value: &Value) -> Vec<u8> {
    let text = text(value);
    match text.strip_prefix(BASE64) {
        Some(encoded) => STANDARD.decode(encoded).unwrap(),
        None => text.into(),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn ask<T: redis::FromRedisValue>(connection: &mut redis::Connection, command: &[&str]) -> T {
    redis::cmd(command[0]).arg(&command[1..]).query(connection).unwrap()
}

/// A queue of a test's own that gets a copy of what exchanges are given.
pub(super) struct Copies {
    channel: Channel,
    queue: ShortString,
}

impl Copies {
    /// Copies from `exchange` what has the key.
    pub(super) async fn of(connection: &Connection, exchange: &str, key: &str) -> Self {
        let channel = connection.create_channel().await.unwrap();
        let options = QueueDeclareOptions { exclusive: true, ..Default::default() };
        let declared = channel.queue_declare("".into(), options, FieldTable::default()).await;
        let queue = declared.unwrap().name().clone();
        let (options, none) = (QueueBindOptions::default(), FieldTable::default());
        let bound = channel.queue_bind(queue.clone(), exchange.into(), key.into(), options, none);
        bound.await.unwrap();
        Self { channel, queue }
    }

    /// What came since.
    pub(super) async fn take(&self) -> Vec<Value> {
        let mut messages = Vec::new();
        let options = BasicGetOptions { no_ack: true };
        while let Some(message) = self.channel.basic_get(self.queue.clone(), options).await.unwrap()
        {
            let key = message.routing_key.as_str();
            // A process that starts tries by one whether it may publish.
            let is_marker = key == "marker";
            if !is_marker {
                messages.push(as_json(key, &message.properties, &message.data));
            }
        }
        messages
    }
}

fn as_json(key: &str, properties: &BasicProperties, body: &[u8]) -> Value {
    let of_headers = properties.headers().as_ref().unwrap().inner().iter();
    let headers: BTreeMap<_, _> = of_headers
        .map(|(name, value)| {
            if let AMQPValue::LongLongInt(number) = value {
                return (name.to_string(), json!(number));
            }
            let AMQPValue::LongString(text) = value else { panic!("{name} is {value:?}") };
            (name.to_string(), json!(std::str::from_utf8(text.as_bytes()).unwrap()))
        })
        .collect();
    let text = |value: &Option<ShortString>| value.as_ref().map(ToString::to_string);
    json!({
        "key": key,
        "message_id": text(properties.message_id()),
        "type": text(properties.kind()),
        "app_id": text(properties.app_id()),
        "content_type": text(properties.content_type()),
        "timestamp": properties.timestamp(),
        "delivery_mode": properties.delivery_mode(),
        "headers": headers,
        "body": std::str::from_utf8(body).unwrap(),
    })
}

/// Publishes messages as they were.
pub(super) async fn publish(connection: &Connection, exchange: &str, messages: &Value) {
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    for message in messages.as_array().unwrap() {
        let key = text(&message["key"]).into();
        let body = text(&message["body"]).as_bytes();
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        let published =
            channel.basic_publish(exchange.into(), key, options, body, properties(message));
        let confirmed = published.await.unwrap().await.unwrap();
        assert!(confirmed.is_ack(), "{message}");
    }
}

fn properties(message: &Value) -> BasicProperties {
    let mut headers = FieldTable::default();
    for (name, value) in message["headers"].as_object().unwrap() {
        let value = match value.as_i64() {
            Some(number) => AMQPValue::LongLongInt(number),
            None => AMQPValue::LongString(text(value).into()),
        };
        headers.insert(name.as_str().into(), value);
    }
    let short = |name: &str| message[name].as_str().map(ShortString::from);
    let mut properties = BasicProperties::default().with_headers(headers);
    if let Some(text) = short("message_id") {
        properties = properties.with_message_id(text);
    }
    if let Some(text) = short("type") {
        properties = properties.with_type(text);
    }
    if let Some(text) = short("app_id") {
        properties = properties.with_app_id(text);
    }
    if let Some(text) = short("content_type") {
        properties = properties.with_content_type(text);
    }
    if let Some(seconds) = message["timestamp"].as_u64() {
        properties = properties.with_timestamp(seconds);
    }
    let mode = message["delivery_mode"].as_u64().unwrap();
    properties.with_delivery_mode(u8::try_from(mode).unwrap())
}
