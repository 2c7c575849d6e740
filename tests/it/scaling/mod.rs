//! Workers that are started and stopped as KEDA and Kubernetes would do it.
//!
//! Goal: while a load rises and falls, the manifest's own numbers keep the age of what waits under
//! a target; workers come when they are needed and go when they are not, from none and back to
//! none; and each that goes does so without loss and without doing anything twice. Method: real
//! processes on a real RabbitMQ and Redis, and a small driver in the place of the cluster, which
//! reads the lengths of the queues as the scaler of KEDA does and decides by the same formulas.
//!
//! Two factors make it fit in a test. All seconds of the manifest are divided by [`SPEED`], as are
//! those of the load and the interval at which RabbitMQ counts. And `value` and `worker.prefetch`,
//! which belong together as one to four, are divided by [`SHARE`], so that a load that a small
//! machine can make needs several workers. Times here are those of the manifest: what takes 20 s
//! takes one second of the test. One thing is not sped up, the start of a process, so it counts for
//! more than it would.

mod autoscaler;
mod distant;
mod fleet;
mod manifest;
mod picture;
mod webhooks;

use std::sync::Arc;
use std::time::Duration;

use storekeeper::config::Settings;
use storekeeper::simulate::{History, HistoryOptions};
use tokio::time::Instant;

use crate::distributed::deployment::Deployment;
use crate::harness::{seed, variable};
use crate::load::{
    all_accounted_for, eventually_settled, stock_becomes_that_of_the_model, stock_equals_the_model,
};
use crate::servers::rabbitmq::RabbitMq;
use autoscaler::{Autoscaler, SYNC_PERIOD};
use distant::Distant;
use fleet::Fleet;
use manifest::{Manifest, Queue};
use webhooks::{Answered, post_when_due};

/// How much faster than by the manifest time goes.
const SPEED: u32 = 20;
/// The same for the picture, where nobody minds waiting.
const SPEED_OF_PICTURE: u32 = 8;
/// By how much `value` and `worker.prefetch` are smaller than they are.
const SHARE: u32 = 16;
/// How many orders the webhooks tell of, were time not sped up.
const ORDERS: u32 = 6_000;
/// How late Redis answers workers.
const DISTANCE: Duration = Duration::from_millis(60);
/// How often the queues are looked at: RabbitMQ counts no more often.
const LOOK: Duration = Duration::from_secs(5);
/// How many looks ago RabbitMQ may have counted what it says now.
const LOOKS_BEHIND: usize = 2;
/// The target: nothing waits longer, even with the start of the first worker.
const AGE_MAX: Duration = Duration::from_mins(6);
/// When a test that gets nowhere ends, by no clock but that of the machine.
const GIVE_UP: Duration = Duration::from_mins(6);

/// The manifest's time, which begins with the test.
#[derive(Clone, Copy, Debug)]
struct Clock {
    start: Instant,
    speed: u32,
}

impl Clock {
    fn now(self) -> Duration {
        self.start.elapsed() * self.speed
    }

    async fn wait_until(self, time: Duration) {
        tokio::time::sleep_until(self.start + time / self.speed).await;
    }
}

/// What one look found.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Duration,
    answered: usize,
    messages: f64,
    workers: u32,
    age: Duration,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_follow_a_load_from_none_to_several_and_back() {
    let picture = variable("STOREKEEPER_TEST_PICTURE");
    let speed = if picture.is_some() { SPEED_OF_PICTURE } else { SPEED };
    let orders = ORDERS / speed;
    let options = HistoryOptions { seed: seed(), orders, duplicates_per_mille: 200 };
    let history = Arc::new(History::write(options));
    let rabbitmq = RabbitMq::start_with_management(LOOK / speed).await;
    let deployment = Arc::new(Deployment::start_on(rabbitmq, &[]));
    let ingress = deployment.role("ingress", "ingress").await;
    let console = deployment.role("console", "console").await;
    let distant = Distant::before(deployment.redis.port(), DISTANCE).await;
    let fleet = Fleet::new(Arc::clone(&deployment), worker_settings(distant.port));

    let clock = Clock { start: Instant::now(), speed };
    let answered = Answered::default();
    let posting = post_when_due(&history, ingress.webhooks(), clock, &answered);
    let scaling = scale(&deployment, fleet, clock, &answered, history.deliveries.len());
    let (ids, (samples, fleet)) = tokio::join!(posting, scaling);
    report(&samples);

    let workers: Vec<_> = samples.iter().map(|sample| sample.workers).collect();
    assert_eq!(workers.first(), Some(&0), "it begins with none");
    assert!(workers.windows(2).any(|pair| pair[0] == 0 && pair[1] > 0), "none came");
    assert!(workers.iter().any(|count| *count > 1), "one was enough: {workers:?}");
    assert_eq!(workers.last(), Some(&0), "it ends with none");
    let oldest = samples.iter().map(|sample| sample.age).max().unwrap();
    assert!(oldest <= AGE_MAX, "something waited {oldest:?}");
    for (name, status) in fleet.all_gone().await {
        assert_eq!(status.code(), Some(0), "{name}");
    }
    eventually_settled(&console).await;
    let (broker, store) = (deployment.broker().await, deployment.store().await);
    stock_becomes_that_of_the_model(&*store, &history).await;
    all_accounted_for(&*broker, &ids).await;
    stock_equals_the_model(&*store, &history, &ids).await;
    broker.close().await;
    store.close().await;
    if let Some(path) = picture {
        picture::draw(path.as_ref(), &samples, speed).unwrap();
    }
}

/// What workers are set to beside what all processes are.
fn worker_settings(redis: u16) -> Vec<(&'static str, String)> {
    let prefetch = Settings::load_from(None, []).unwrap().worker.prefetch;
    let prefetch = prefetch / usize::try_from(SHARE).unwrap();
    vec![
        ("STOREKEEPER__WORKER__PREFETCH", prefetch.to_string()),
        ("STOREKEEPER__REDIS__URL", format!("redis://127.0.0.1:{redis}")),
    ]
}

/// Starts and stops workers until all webhooks are answered and worked off and no worker is left.
async fn scale(
    deployment: &Deployment,
    mut fleet: Fleet,
    clock: Clock,
    answered: &Answered,
    all: usize,
) -> (Vec<Sample>, Fleet) {
    let manifest = Manifest::read().with_values_divided_by(SHARE);
    let mut autoscaler = Autoscaler::new(manifest.clone());
    let (mut next_poll, mut next_sync) = (Duration::ZERO, Duration::ZERO);
    let mut samples: Vec<Sample> = Vec::new();
    let mut settled = 0;
    loop {
        assert!(clock.start.elapsed() < GIVE_UP, "not over: {:?}", samples.last());
        let mut lengths = Vec::new();
        for queue in manifest.queues() {
            lengths.push(length(&deployment.rabbitmq, queue).await);
        }
        let now = clock.now();
        if now >= next_poll {
            autoscaler.poll(now, &lengths);
            next_poll = now + manifest.polling_interval;
        }
        if now >= next_sync {
            autoscaler.sync(now, &lengths);
            next_sync = now + SYNC_PERIOD;
        }
        fleet.scale_to(autoscaler.replicas);
        let count = answered.count();
        // Messages leave the queue about as they came: the oldest is the one after what is settled.
        // The length may be some looks old, so what was answered since is not in it: the age is
        // rather told too high.
        let known = samples.iter().rev().nth(LOOKS_BEHIND).map_or(0, |sample| sample.answered);
        settled = settled.max(known.saturating_sub(whole(lengths[0])));
        let age = answered.sent(settled).map_or(Duration::ZERO, |sent| now.saturating_sub(sent));
        samples.push(Sample {
            at: now,
            answered: count,
            messages: lengths[0],
            workers: autoscaler.replicas,
            age,
        });
        if count == all && lengths.iter().sum::<f64>() < 1.0 && autoscaler.replicas == 0 {
            return (samples, fleet);
        }
        clock.wait_until(now + LOOK).await;
    }
}

/// How long a queue is, as the scaler of KEDA asks for it. One that has not been counted yet has 0.
async fn length(rabbitmq: &RabbitMq, queue: &Queue) -> f64 {
    let url = format!("{}/api/queues/%2F/{}", rabbitmq.management_url(), queue.name);
    let said = reqwest::get(url).await.unwrap().error_for_status().unwrap();
    let said: serde_json::Value = said.json().await.unwrap();
    let counted = if queue.exclude_unacknowledged { "messages_ready" } else { "messages" };
    said[counted].as_f64().unwrap_or(0.0)
}

#[expect(clippy::cast_precision_loss, reason = "there are few webhooks")]
fn ratio(part: usize, all: usize) -> f64 {
    part as f64 / all as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is a count that came as a number of JSON"
)]
fn whole(count: f64) -> usize {
    count as usize
}

#[expect(clippy::print_stderr, reason = "the curve is for whoever runs the test")]
fn report(samples: &[Sample]) {
    eprintln!("seconds answered messages workers age");
    for sample in samples {
        let (at, age) = (sample.at.as_secs(), sample.age.as_secs_f64());
        let Sample { answered, messages, workers, .. } = sample;
        eprintln!("{at:>7} {answered:>8} {messages:>8} {workers:>7} {age:>5.1}");
    }
}
