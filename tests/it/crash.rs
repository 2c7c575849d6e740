//! The real binary, killed in the middle of its work, again and again.
//!
//! Goal: every body that was answered 200 is accounted for, and the stock equals the model.
//! Method: a history is posted by several clients that send a body again until it is answered.
//! Meanwhile the server gets SIGKILL after a random number of answers and a random moment more, and
//! is started again on the same files. `STOREKEEPER_TEST_LONG=1` kills it 50 times.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use storekeeper::broker::Broker;
use storekeeper::broker::embedded::EmbeddedBroker;
use storekeeper::clock;
use storekeeper::simulate::{History, HistoryOptions, Model, ModelPolicy};
use storekeeper::store::embedded::EmbeddedStore;
use storekeeper::store::{PageRequest, Store};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::harness::{DEADLINE, Server, eventually, free_port, is_long, seed};

/// Clients that post at the same time.
const CLIENTS: usize = 16;
/// Orders for each kill, each of several webhooks.
const ORDERS_PER_KILL: u32 = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_loses_nothing_and_counts_nothing_twice() {
    let kills = if is_long() { 50 } else { 8 };
    let seed = seed();
    let options =
        HistoryOptions { seed, orders: kills * ORDERS_PER_KILL, duplicates_per_mille: 200 };
    let history = Arc::new(History::write(options));
    let directory = tempfile::tempdir().unwrap();
    let ports = [free_port(), free_port(), free_port()].map(|port| format!("127.0.0.1:{port}"));
    let settings = [
        ("STOREKEEPER__INGRESS__LISTEN", ports[0].as_str()),
        ("STOREKEEPER__CONSOLE__LISTEN", ports[1].as_str()),
        ("STOREKEEPER__PROBES__LISTEN", ports[2].as_str()),
    ];
    let mut dice = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let server = Server::start(directory.path(), &settings).await;
    let (answered, mut count) = watch::channel(0);
    let posting = post_all(&history, server.webhooks(), answered);
    let (files, deliveries) = (directory.path(), history.deliveries.len());
    let killing = async move {
        let mut server = server;
        let step = deliveries / (kills as usize + 1);
        for kill in 1..=kills as usize {
            let enough = (kill - 1) * step + dice.random_range(1..=step);
            count.wait_for(|count| *count >= enough).await.unwrap();
            tokio::time::sleep(Duration::from_micros(dice.random_range(0..20_000))).await;
            server.kill();
            server = Server::start(files, &settings).await;
        }
        server
    };
    let (ids, mut server) = tokio::join!(posting, killing);
    settle(&server).await;
    server.signal("TERM");
    assert!(server.ended().await.success(), "{}", server.log());

    let data = directory.path().join("data");
    accounted_for(&data, &ids).await;
    stock_equals_the_model(&data, &history, &ids).await;
}

/// Posts every delivery until it is answered; gives the message id of each, by its place.
async fn post_all(
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
async fn post(client: &reqwest::Client, url: &str, body: bytes::Bytes) -> String {
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

/// Waits until nothing waits.
async fn settle(server: &Server) {
    eventually("the queues are empty", async || {
        let answer = reqwest::get(server.console("/v1/queues")).await.ok()?;
        let queues: serde_json::Value = answer.json().await.ok()?;
        let waiting = ["/work/ready", "/work/in_flight", "/retry/ready", "/dead/intake"];
        waiting.iter().all(|path| queues.pointer(path).unwrap() == 0).then_some(())
    })
    .await;
}

/// Every answered body is in the journal, once, and in no queue any more.
async fn accounted_for(data: &std::path::Path, ids: &BTreeMap<usize, String>) {
    let broker = EmbeddedBroker::open(data).unwrap();
    let mut journalled = BTreeSet::new();
    let mut after = None;
    loop {
        let records = broker.journal(after, 1000).await.unwrap();
        let Some(last) = records.last() else { break };
        after = Some(last.position);
        for record in records {
            let id = record.envelope.message_id.to_string();
            assert!(journalled.insert(id.clone()), "{id} is in the journal twice");
        }
    }
    let depth = broker.depth().await.unwrap();
    let waiting = [depth.work_ready, depth.work_in_flight, depth.retry_ready, depth.dead_intake];
    assert_eq!(waiting, [0; 4], "something is in a queue after all was settled");
    for id in ids.values() {
        assert!(journalled.contains(id), "{id} was answered 200 and is lost");
    }
    broker.close().await;
}

async fn stock_equals_the_model(
    data: &std::path::Path,
    history: &History,
    ids: &BTreeMap<usize, String>,
) {
    let store = EmbeddedStore::open(data).unwrap();
    let mut model = Model::new(ModelPolicy::default());
    for delivery in &history.deliveries {
        model.observe(&delivery.body, clock::now().millis());
    }
    let expected: BTreeMap<_, _> = model
        .stock()
        .into_iter()
        .map(|(item, counts)| ((item.site, item.key), (counts.committed, counts.fulfilled)))
        .collect();
    let mut found = BTreeMap::new();
    for site in store.sites().await.unwrap() {
        let all = PageRequest::first(10_000);
        for item in store.stock(&site, None, &all).await.unwrap().items {
            let detail = store.stock_item(&site, &item.key, &all).await.unwrap().unwrap();
            let sums = detail.holds.items.iter().fold((0, 0), |sums, held| {
                let hold = held.hold;
                (sums.0 + hold.committed.millionths(), sums.1 + hold.fulfilled.millionths())
            });
            let counts = (item.counts.committed, item.counts.fulfilled);
            assert_eq!(sums, (counts.0.millionths(), counts.1.millionths()), "{}", item.key);
            let counts = (counts.0.to_decimal(), counts.1.to_decimal());
            if !counts.0.is_zero() || !counts.1.is_zero() {
                found.insert((site.to_string(), item.key.to_string()), counts);
            }
        }
    }
    assert_eq!(found, expected);
    for (place, delivery) in history.deliveries.iter().enumerate() {
        let Some(code) = delivery.kind.code() else { continue };
        let id = storekeeper::domain::MessageId(ids[&place].parse().unwrap());
        let letter = store.dead_letter(id).await.unwrap().expect("a dead letter is lost");
        assert_eq!(letter.rejection.code.as_str(), code);
        assert_eq!(letter.envelope.body, delivery.body);
    }
    store.close().await;
}
