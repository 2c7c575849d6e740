//! Which message a confirm is for, when many are on their way at once.

use std::cell::Cell;
use std::collections::BTreeSet;

use futures_util::future::join_all;
use lapin::options::{BasicAckOptions, BasicGetOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use storekeeper::broker::rabbitmq::RabbitBroker;
use storekeeper::broker::{Broker, BrokerError};

use super::{envelope, options};
use crate::servers::rabbitmq::RabbitMq;

const MESSAGES: usize = 600;
const QUEUE: &str = "tight";

/// A queue of somebody else has room for few: RabbitMQ refuses in between, and takes again what
/// comes once there is room.
#[tokio::test]
async fn a_publisher_is_told_of_its_own_message_however_many_are_on_their_way() {
    let server = RabbitMq::start().await;
    let options = options(&server);
    let broker = RabbitBroker::connect(&options).await.unwrap();
    let connection = server.connection().await;
    let channel = connection.create_channel().await.unwrap();
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongInt(5));
    arguments.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
    let declare = QueueDeclareOptions::default();
    channel.queue_declare(QUEUE.into(), declare, arguments).await.unwrap();
    let (exchange, none) = (format!("{}.events", options.namespace), FieldTable::default());
    let bind = QueueBindOptions::default();
    channel
        .queue_bind(QUEUE.into(), exchange.as_str().into(), "#".into(), bind, none)
        .await
        .unwrap();
    let take = async || {
        let got = channel.basic_get(QUEUE.into(), BasicGetOptions::default()).await.unwrap()?;
        got.delivery.acker.ack(BasicAckOptions::default()).await.unwrap();
        Some(String::from_utf8(got.delivery.data.clone()).unwrap())
    };
    let (mut taken, is_published) = (BTreeSet::new(), Cell::new(false));
    let publishing = async {
        let answers = join_all((0..MESSAGES).map(async |number| {
            let body = number.to_string();
            (broker.publish(envelope(&body)).await, body)
        }));
        let answers = answers.await;
        is_published.set(true);
        answers
    };
    let taking = async {
        while !is_published.get() {
            taken.extend(take().await);
        }
    };
    let (answers, ()) = tokio::join!(publishing, taking);
    while let Some(body) = take().await {
        taken.insert(body);
    }
    let mut told = BTreeSet::new();
    for (answer, body) in answers {
        match answer {
            Ok(()) => assert!(told.insert(body)),
            Err(error) => assert!(matches!(error, BrokerError::Full), "{error}"),
        }
    }
    assert_eq!(told, taken);
    assert!((5..MESSAGES).contains(&told.len()), "{} were taken", told.len());
    broker.close().await;
}
