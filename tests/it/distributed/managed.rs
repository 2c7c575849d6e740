//! Redis as managed services have it: users with few rights, no `INFO`, and words of their own.
//!
//! Goal: what Redis lost is noticed without `INFO` too, and an outage is charged to no message,
//! whatever it is called.

use std::time::Duration;

use serde_json::Value;

use super::changes_out::order;
use super::deployment::Surroundings;
use super::faults::{COUNTED, receive};
use super::surviving::{history, survives_on};
use crate::harness::{DEADLINE, Server, eventually, eventually_or_told};
use crate::servers::rabbitmq::RabbitMq;
use crate::servers::redis_user::settings_with_user;
use crate::servers::{Managed, RedisServer};

/// A Redis with a user of least right, but for some rights, that has on disk what it answered.
fn redis_without(rights: &[&str]) -> RedisServer {
    let on_disk = ["--appendonly", "yes", "--appendfsync", "always"];
    let user = settings_with_user(rights);
    let settings = on_disk.into_iter().chain(user.iter().map(String::as_str));
    RedisServer::start(&settings.collect::<Vec<_>>())
}

async fn surroundings(redis: &RedisServer) -> (RabbitMq, Surroundings) {
    let rabbitmq = RabbitMq::start().await;
    let surroundings = Surroundings::new(rabbitmq.url(), redis.url_of_user(), &[]);
    (rabbitmq, surroundings)
}

async fn eventually_counted(redis: &RedisServer) {
    eventually("the goods are counted", async || {
        let counts: Option<String> = redis.ask(&["HGET", "sk:{shop}:stock", "sku:A"]);
        counts.filter(|counts| counts == COUNTED)
    })
    .await;
}

/// What a process says that keeps it from being ready.
async fn reasons(server: &Server) -> String {
    let url = format!("http://{}/readyz", server.addresses.probes);
    let answer: Option<Value> = async { reqwest::get(&url).await.ok()?.json().await.ok() }.await;
    answer.map(|mut answer| answer["reasons"].take().to_string()).unwrap_or_default()
}

async fn metric(server: &Server, name: &str) -> Option<f64> {
    let url = format!("http://{}/metrics", server.addresses.probes);
    let text = reqwest::get(&url).await.ok()?.text().await.ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    line.parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_history_needs_no_right_but_the_documented_ones() {
    let redis = redis_without(&[]);
    let (_rabbitmq, surroundings) = surroundings(&redis).await;
    survives_on("a user of least right", &surroundings, history(), async |_| {
        receive(&surroundings);
        surroundings.run_well(&["dead-letters", "groups"]);
    })
    .await;
    surroundings.run_well(&["dead-letters", "discard", "--all"]);
    surroundings.run_well(&["audit", "--repair"]);
    let log: Vec<Vec<redis::Value>> = redis.ask(&["ACL", "LOG"]).unwrap();
    let text = |value: redis::Value| redis::from_redis_value::<String>(value).unwrap_or_default();
    let objects = log.into_iter().filter_map(|entry| {
        let mut fields = entry.into_iter().map(text);
        fields.by_ref().find(|field| field == "object").and_then(|_| fields.next())
    });
    // How the client library introduces itself, which it does without an answer.
    let refused: Vec<String> = objects.filter(|object| !object.starts_with("client")).collect();
    assert_eq!(refused, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emptied_redis_is_noticed_without_info() {
    let redis = redis_without(&["info"]);
    let (_rabbitmq, surroundings) = surroundings(&redis).await;
    let worker = surroundings.role("worker", "worker").await;
    let leader = surroundings.role("leader", "leader").await;
    receive(&surroundings);
    eventually_counted(&redis).await;
    eventually("it is noted what is there", async || {
        redis.ask::<Option<String>>(&["HGET", "sk:history", "settled_before"])?.map(drop)
    })
    .await;
    let failovers = async || metric(&leader, "storekeeper_store_failovers_total").await;
    assert_eq!(failovers().await, Some(0.0));
    redis.tell(&["FLUSHALL"]);
    eventually_counted(&redis).await;
    eventually_or_told(DEADLINE, "it is counted as a failover", async || {
        let failovers = failovers().await;
        if failovers == Some(1.0) { Ok(()) } else { Err(format!("{failovers:?}")) }
    })
    .await;
    drop(worker);
}

/// As a replica is that is promoted and missed what came last: it has all that it had, and is older.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_redis_is_noticed_without_info() {
    let redis = redis_without(&["info"]);
    let (_rabbitmq, surroundings) = surroundings(&redis).await;
    let _worker = surroundings.role("worker", "worker").await;
    let leader = surroundings.role("leader", "leader").await;
    eventually("it is noted what is there", async || {
        redis.ask::<Option<String>>(&["HGET", "sk:history", "settled_before"])?.map(drop)
    })
    .await;
    let epoch: String = redis.ask(&["GET", "sk:epoch"]).unwrap_or_default();
    let backup = redis.back_up();
    let count = || redis.ask::<u64>(&["HGET", "sk:leader", "count"]).unwrap_or_default();
    let before = count();
    receive(&surroundings);
    eventually_counted(&redis).await;
    // What is lost of the last second is not noticed.
    eventually("the leader has counted on", async || (count() > before + 3).then_some(())).await;
    redis.kill();
    redis.restore(&backup);
    redis.start_again();
    let counts: Option<String> = redis.ask(&["HGET", "sk:{shop}:stock", "sku:A"]).unwrap();
    assert_eq!(counts, None, "it is older");
    eventually_counted(&redis).await;
    let now: String = redis.ask(&["GET", "sk:epoch"]).unwrap();
    assert_ne!(now, epoch, "numbers of lost changes are used again");
    assert!(leader.log().contains("older data than it had"), "{}", leader.log());
}

/// Nothing was lost where nothing was: neither a word of loss, nor anything twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_installation_replays_nothing() {
    for without in [&[][..], &["info"]] {
        let redis = redis_without(without);
        let (_rabbitmq, surroundings) = surroundings(&redis).await;
        let _worker = surroundings.role("worker", "worker").await;
        receive(&surroundings);
        let leader = surroundings.role("leader", "leader").await;
        eventually("it is noted what is there", async || {
            redis.ask::<Option<String>>(&["HGET", "sk:history", "settled_before"])?.map(drop)
        })
        .await;
        let log = leader.log();
        for word in ["another history", "in the work queue again", "may be lost"] {
            assert!(!log.contains(word), "{word}: {log}");
        }
    }
}

/// Posts webhooks while Redis refuses what a commit needs, and checks that they wait, and count.
/// `of_all` is whether Redis refuses it for every site.
async fn outage((words, of_all): (&str, bool), begin: impl Fn(&Outage), end: impl Fn(&Outage)) {
    let outage = Outage::start().await;
    let ingress = outage.surroundings.role("ingress", "ingress").await;
    let worker = outage.surroundings.role("worker", "worker").await;
    let broker = outage.surroundings.broker().await;
    for number in 0..20 {
        order(&ingress, "shop", number).await;
    }
    outage.eventually_committed(20).await;
    begin(&outage);
    for number in 20..60 {
        order(&ingress, "shop", number).await;
    }
    eventually_or_told(DEADLINE, "the reason is said", async || {
        let reasons = reasons(&worker).await;
        let said = ["worker.paused", words, &outage.proxy.address()];
        let is_said = said.iter().all(|word| reasons.contains(word))
            && reasons.contains("store.unavailable") == of_all;
        is_said.then_some(()).ok_or(reasons)
    })
    .await;
    let is_up = if of_all { 0.0 } else { 1.0 };
    assert_eq!(metric(&worker, "storekeeper_store_up").await, Some(is_up));
    // Ten times as long as a retry would take.
    tokio::time::sleep(10 * Outage::RUNG).await;
    let depth = broker.depth().await.unwrap();
    assert_eq!((depth.retry_ready, depth.dead_intake), (0, 0), "{depth:?}");
    end(&outage);
    outage.eventually_committed(60).await;
    assert_eq!(metric(&worker, "storekeeper_deliveries_retried_total").await, Some(0.0));
    assert_eq!(metric(&worker, "storekeeper_store_up").await, Some(1.0));
    outage.surroundings.run_well(&["audit"]);
    broker.close().await;
}

/// A Redis behind a proxy, and a user of least right.
struct Outage {
    redis: RedisServer,
    proxy: Managed,
    _rabbitmq: RabbitMq,
    surroundings: Surroundings,
}

impl Outage {
    /// The one delay of the ladder.
    const RUNG: Duration = Duration::from_millis(300);

    async fn start() -> Self {
        let redis = redis_without(&[]);
        let proxy = Managed::before(redis.port()).await;
        let rabbitmq = RabbitMq::start().await;
        let url = proxy.url().replace("redis://", "redis://storekeeper:secret@");
        let ladder = [("STOREKEEPER__RETRY__LADDER", "300ms")];
        let surroundings = Surroundings::new(rabbitmq.url(), url, &ladder);
        Self { redis, proxy, _rabbitmq: rabbitmq, surroundings }
    }

    async fn eventually_committed(&self, orders: usize) {
        let expected = format!("0 {} 0", orders * 1_000_000);
        eventually_or_told(DEADLINE, "the orders are counted", async || {
            let found: Option<String> =
                self.redis.ask(&["HGET", "sk:{shop}:stock", "product:a.b"]).flatten();
            if found.as_ref() == Some(&expected) { Ok(()) } else { Err(format!("{found:?}")) }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_that_nobody_knows_are_charged_to_no_message() {
    for words in ["ERR max daily request limit exceeded", "upstream failure"] {
        // A connection is let in, and whatever is asked then is refused.
        let commands = ["EVALSHA", "HGET", "HMGET", "GET", "SET", "TIME", "PING"];
        let refuse = |outage: &Outage| outage.proxy.answer(&commands, words);
        outage((words, true), refuse, |outage| outage.proxy.answer_as_the_server()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_that_are_refused_are_charged_to_no_message() {
    let words = "ERR unknown command 'EVALSHA'";
    let refuse =
        |outage: &Outage| outage.proxy.answer(&["EVALSHA"], "ERR unknown command 'EVALSHA'");
    outage((words, true), refuse, |outage| outage.proxy.answer_as_the_server()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_that_are_refused_are_charged_to_no_message() {
    let words = "max daily request limit";
    let refuse = |outage: &Outage| {
        outage.proxy.answer(&["HMGET"], "ERR max daily request limit exceeded");
    };
    outage((words, true), refuse, |outage| outage.proxy.answer_as_the_server()).await;
}

/// As by a proxy before several servers, one of which is away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_for_one_site_is_charged_to_no_message() {
    for commands in [&[][..], &["EVALSHA"]] {
        let words = "upstream failure";
        let refuse = |outage: &Outage| outage.proxy.answer_about("{shop}", commands, words);
        outage((words, false), refuse, |outage| outage.proxy.answer_as_the_server()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_that_is_revoked_is_charged_to_no_message() {
    for (right, words) in [("evalsha", "NOPERM"), ("hget", "HGET on sk:*")] {
        let revoke = |outage: &Outage| outage.redis.set_user(&[format!("-{right}")]);
        let allow = |outage: &Outage| outage.redis.set_user(&[format!("+{right}")]);
        outage((words, true), revoke, allow).await;
    }
}
