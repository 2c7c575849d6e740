//! A history posted to an ingress, and what must be true of it afterwards, whatever happened.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rust_decimal::Decimal;
use storekeeper::broker::{Broker, BrokerError};
use storekeeper::clock;
use storekeeper::domain::MessageId;
use storekeeper::simulate::{History, Model, ModelPolicy};
use storekeeper::store::{DeadLetterFilter, PageRequest, Store, StoreError};
use storekeeper::upkeep::audit;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::harness::{DEADLINE, Server, eventually, eventually_or_told};

/// Clients that post at the same time.
pub(crate) const CLIENTS: usize = 16;

/// Posts every delivery until it is answered; gives the message id of each, by its place. The count
/// of answers is told while it grows.
pub(crate) async fn post_all(
    history: &Arc<History>,
    url: String,
    answered: watch::Sender<usize>,
) -> BTreeMap<usize, String> {
    let next = Arc::new(AtomicUsize::new(0));
    let answered = Arc::new(answered);
    let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).build().unwrap();
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (history, next, url) = (Arc::clone(history), Arc::clone(&next), url.clone());
        let (answered, client) = (Arc::clone(&answered), client.clone());
        clients.spawn(async move {
            let mut ids = Vec::new();
            loop {
                let place = next.fetch_add(1, Ordering::Relaxed);
                let Some(delivery) = history.deliveries.get(place) else { return ids };
                ids.push((place, post(&client, &url, delivery.body.clone()).await));
                answered.send_modify(|count| *count += 1);
            }
        });
    }
    clients.join_all().await.into_iter().flatten().collect()
}

/// Posts a body until it is answered 200; gives its message id.
pub(crate) async fn post(client: &reqwest::Client, url: &str, body: Bytes) -> String {
    let give_up = Instant::now() + DEADLINE;
    loop {
        assert!(Instant::now() < give_up, "a body was not answered 200 within {DEADLINE:?}");
        let answer = client.post(url).body(body.clone()).send().await;
        if let Ok(answer) = answer.and_then(reqwest::Response::error_for_status)
            && let Ok(body) = answer.json::<serde_json::Value>().await
        {
            return body["id"].as_str().unwrap().to_owned();
        }
        // No answer says nothing of the body: it is sent again once the server may be back.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until nothing waits, as a console says.
pub(crate) async fn eventually_settled(console: &Server) {
    eventually_or_told(DEADLINE, "the queues are empty", async || {
        let answer = reqwest::get(console.console("/v1/queues")).await;
        let answer = answer.map_err(|error| error.to_string())?;
        let queues: serde_json::Value = answer.json().await.map_err(|error| error.to_string())?;
        let waiting = ["/work/ready", "/work/in_flight", "/retry/ready", "/dead/intake"];
        // A problem, while a backend is away, has none of these.
        let is_empty = waiting.iter().all(|path| queues.pointer(path).is_some_and(|it| *it == 0));
        if is_empty { Ok(()) } else { Err(queues.to_string()) }
    })
    .await;
}

/// Every answered body is in the journal, once, and in no queue any more.
pub(crate) async fn all_accounted_for(broker: &dyn Broker, ids: &BTreeMap<usize, String>) {
    // A server that was just started again may not answer in time.
    let journalled =
        eventually_or_told(DEADLINE, "the journal is read", async || journalled(broker).await)
            .await;
    // What a worker has in hand shows nowhere, unless it is handed back.
    eventually("nothing is in a queue", async || {
        let depth = broker.depth().await.ok()?;
        assert_eq!(depth.unroutable, 0, "something is unroutable");
        let waiting = depth.work_ready + depth.work_in_flight + depth.retry_ready;
        (waiting + depth.dead_intake == 0).then_some(())
    })
    .await;
    for id in ids.values() {
        assert!(journalled.contains(id), "{id} was answered 200 and is lost");
    }
}

/// The messages in the journal, each once.
async fn journalled(broker: &dyn Broker) -> Result<BTreeSet<String>, BrokerError> {
    let (mut journalled, mut after) = (BTreeSet::new(), None);
    loop {
        let records = broker.journal(after, 1000).await?;
        let Some(last) = records.last() else { return Ok(journalled) };
        after = Some(last.position);
        for record in records {
            let id = record.envelope.message_id.to_string();
            assert!(journalled.insert(id.clone()), "{id} is in the journal twice");
        }
    }
}

/// Counts by site and key: what is committed and what is fulfilled; items without either are left out.
type Counted = BTreeMap<(String, String), (Decimal, Decimal)>;

fn stock_of_the_model(history: &History) -> Counted {
    let mut model = Model::new(ModelPolicy::default());
    for delivery in &history.deliveries {
        model.observe(&delivery.body, clock::now().millis());
    }
    let counts = model.stock().into_iter();
    counts
        .map(|(item, counts)| ((item.site, item.key), (counts.committed, counts.fulfilled)))
        .collect()
}

/// The stock, of which every item must be the sum of its holds.
async fn stock_of(store: &dyn Store) -> Result<Counted, StoreError> {
    let all = PageRequest::first(10_000);
    let mut found = BTreeMap::new();
    for site in store.sites().await? {
        for item in store.stock(&site, None, &all).await?.items {
            let counts = (item.counts.committed.to_decimal(), item.counts.fulfilled.to_decimal());
            if !counts.0.is_zero() || !counts.1.is_zero() {
                found.insert((site.to_string(), item.key.to_string()), counts);
            }
        }
    }
    Ok(found)
}

/// Waits until the stock is that of the model: a worker of another process may have the last events
/// in hand when no queue shows them any more.
pub(crate) async fn stock_becomes_that_of_the_model(store: &dyn Store, history: &History) {
    let expected = stock_of_the_model(history);
    let give_up = Instant::now() + DEADLINE;
    while stock_of(store).await.unwrap() != expected && Instant::now() < give_up {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Counts, holds and dead letters are those of the model, and there are no other dead letters.
pub(crate) async fn stock_equals_the_model(
    store: &dyn Store,
    history: &History,
    ids: &BTreeMap<usize, String>,
) {
    // What a worker of another process has in hand shows in no queue.
    stock_becomes_that_of_the_model(store, history).await;
    assert_eq!(stock_of(store).await.unwrap(), stock_of_the_model(history));
    for site in store.sites().await.unwrap() {
        // A server that shares the machine with all of this may not answer in time.
        let audited = async || audit::site(store, &site, |_| {}).await.ok();
        let found = eventually("an audit comes to its end", audited).await;
        assert_eq!(found.differences, [], "{site}");
    }
    // A body that was taken, but not answered, was posted again: it may be there twice.
    let expected = history.deliveries.iter().filter(|delivery| delivery.kind.code().is_some());
    let expected: BTreeSet<_> = expected.map(|delivery| delivery.body.clone()).collect();
    let give_up = Instant::now() + DEADLINE;
    loop {
        let found = bodies_of_dead_letters(store).await;
        if found == expected {
            break;
        }
        let counts = store.dead_letter_counts().await.unwrap();
        let (found, expected) = (found.len(), expected.len());
        assert!(Instant::now() < give_up, "{found} bodies, not {expected}: {counts:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for (place, delivery) in history.deliveries.iter().enumerate() {
        let Some(code) = delivery.kind.code() else { continue };
        let id = MessageId(ids[&place].parse().unwrap());
        let letter = store.dead_letter(id).await.unwrap().expect("a dead letter is lost");
        assert_eq!(letter.rejection.code.as_str(), code);
        assert_eq!(letter.envelope.body, delivery.body);
    }
}

async fn bodies_of_dead_letters(store: &dyn Store) -> BTreeSet<Bytes> {
    let (every, all) = (DeadLetterFilter::default(), PageRequest::first(1_000));
    let mut bodies = BTreeSet::new();
    for letter in store.dead_letters(&every, &all).await.unwrap().items {
        let letter = store.dead_letter(letter.id).await.unwrap().unwrap();
        bodies.insert(letter.envelope.body);
    }
    bodies
}
