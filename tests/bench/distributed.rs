//! The server on RabbitMQ and Redis, beside a bare pipeline on the same, in turns.
//!
//! The server is measured with its changes of stock told to listeners, which is its default, and
//! without, which is what the bare pipeline does. The rate ends with the last outcome; the time on the
//! processor, with the last change that was told.

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};
use tokio::time::Instant;

use crate::place::Place;
use crate::process::{Process, settled};
use crate::servers::{Servers, ServersCpu};
use crate::{Arguments, bare_pipeline, median, per_second};

/// How many processes of the server share a backlog, and whether they tell changes.
const POOLS: [(u32, bool); 4] = [(1, false), (2, false), (3, false), (1, true)];

/// What is measured: events a second, and times on the processor for each event in microseconds.
#[derive(Debug, Clone, Copy)]
struct Measured {
    rate: f64,
    own: f64,
    rabbitmq: Option<f64>,
    redis: Option<f64>,
}

/// A clock of processors, which began with the run.
struct Began {
    at: Instant,
    own: f64,
    servers: ServersCpu,
}

impl Began {
    fn now(servers: Servers, processes: &[Process]) -> Self {
        let own = processes.iter().map(Process::cpu).sum();
        Self { at: Instant::now(), own, servers: servers.cpu() }
    }

    /// What a run of so many events took, if its last outcome was at this rate.
    fn measured(
        &self,
        servers: Servers,
        processes: &[Process],
        events: u32,
        rate: f64,
    ) -> Measured {
        let each = |seconds: f64| seconds * 1e6 / f64::from(events);
        let own: f64 = processes.iter().map(Process::cpu).sum();
        let now = servers.cpu();
        let between = |now: Option<f64>, then: Option<f64>| Some(each(now? - then?));
        Measured {
            rate,
            own: each(own - self.own),
            rabbitmq: between(now.rabbitmq, self.servers.rabbitmq),
            redis: between(now.redis, self.servers.redis),
        }
    }
}

pub(crate) async fn run(arguments: &Arguments) {
    let servers = Servers::find(arguments);
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header([
        "",
        "events/s",
        "to bare",
        "process us",
        "to bare",
        "RabbitMQ us",
        "to bare",
        "Redis us",
        "to bare",
    ]);
    for clients in [64, 256] {
        compare(arguments, servers, clients, &mut table).await;
    }
    drain(arguments, servers, &mut table).await;
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}");
    println!(
        "medians of {} rounds in turns; `us` is time on the processor for each event; bodies of \
         {} bytes; {}",
        arguments.rounds,
        crate::body::of(0).len(),
        keeping(arguments).await,
    );
}

/// From the first request to the last outcome.
async fn compare(arguments: &Arguments, servers: Servers, clients: u32, table: &mut Table) {
    let events = arguments.scaled(20_000);
    let (mut bare, mut whole) =
        (Vec::new(), [false, true].map(|announces| (announces, Vec::new())));
    for _ in 0..arguments.rounds {
        let place = Place::fresh(arguments);
        let process = [Process::bare(&place, false)];
        let run = end_to_end(&place, &process, servers, events, clients).await;
        tell(&format!("{clients} clients, bare"), run);
        bare.push(run);
        drop(process);
        place.remove().await;
        for (announces, measured) in &mut whole {
            let place = Place::fresh(arguments);
            let process = [Process::role("serve", &place, *announces).await];
            let run = end_to_end(&place, &process, servers, events, clients).await;
            tell(&format!("{clients} clients{}", told(*announces)), run);
            measured.push(run);
            drop(process);
            place.remove().await;
        }
    }
    let bare = middle(&bare);
    add(table, &format!("{events} by {clients} clients, bare"), bare, bare);
    for (announces, measured) in whole {
        let name = format!("{events} by {clients} clients{}", told(announces));
        add(table, &name, middle(&measured), bare);
    }
}

const fn told(announces: bool) -> &'static str {
    if announces { ", changes told" } else { "" }
}

async fn end_to_end(
    place: &Place,
    process: &[Process; 1],
    servers: Servers,
    events: u32,
    clients: u32,
) -> Measured {
    process[0].is_settled_in(place).await;
    // Connections are warm when the clock starts.
    let warm = events / 10;
    process[0].post(0..warm, clients).await;
    settled(place, process, warm).await;
    process[0].is_through(place).await;
    let began = Began::now(servers, process);
    process[0].post(warm..warm + events, clients).await;
    settled(place, process, warm + events).await;
    let rate = per_second(events, began.at.elapsed());
    process[0].is_through(place).await;
    began.measured(servers, process, events, rate)
}

/// How fast workers get through a backlog that waited for them.
async fn drain(arguments: &Arguments, servers: Servers, table: &mut Table) {
    let events = arguments.scaled(arguments.backlog);
    let mut bare = Vec::new();
    let mut pools = POOLS.map(|pool| (pool, Vec::new()));
    for _ in 0..arguments.rounds.div_ceil(2) {
        let place = Place::fresh(arguments);
        bare_pipeline::fill(&place, events).await;
        let began = Began::now(servers, &[]);
        let process = [Process::bare(&place, true)];
        settled(&place, &process, events).await;
        let rate = per_second(events, began.at.elapsed());
        let run = began.measured(servers, &process, events, rate);
        tell("backlog, bare", run);
        bare.push(run);
        drop(process);
        place.remove().await;
        for ((workers, announces), measured) in &mut pools {
            let place = Place::fresh(arguments);
            let first = Process::role("worker", &place, false).await;
            first.is_settled_in(&place).await;
            drop(first);
            let ingress = Process::role("ingress", &place, false).await;
            ingress.post(0..events, 256).await;
            drop(ingress);
            let began = Began::now(servers, &[]);
            let pool = (0..*workers).map(|_| Process::role("worker", &place, *announces));
            let pool = futures_util::future::join_all(pool).await;
            settled(&place, &pool, events).await;
            let rate = per_second(events, began.at.elapsed());
            pool[0].is_through(&place).await;
            let run = began.measured(servers, &pool, events, rate);
            tell(&format!("backlog, {workers} worker(s){}", told(*announces)), run);
            measured.push(run);
            drop(pool);
            place.remove().await;
        }
    }
    let bare = middle(&bare);
    add(table, &format!("backlog of {events}, bare"), bare, bare);
    for ((workers, announces), measured) in pools {
        let name = format!("backlog of {events}, {workers} worker(s){}", told(announces));
        add(table, &name, middle(&measured), bare);
    }
}

/// Says what one run was, as all of them take minutes.
fn tell(name: &str, run: Measured) {
    eprintln!("{name}: {:.0} events/s, {:.0} us in its processes", run.rate, run.own);
}

/// The medians of each figure.
fn middle(runs: &[Measured]) -> Measured {
    let of = |figure: fn(&Measured) -> f64| median(runs.iter().map(figure).collect());
    let known = |figure: fn(&Measured) -> Option<f64>| {
        runs.iter().map(figure).collect::<Option<Vec<f64>>>().map(median)
    };
    Measured {
        rate: of(|run| run.rate),
        own: of(|run| run.own),
        rabbitmq: known(|run| run.rabbitmq),
        redis: known(|run| run.redis),
    }
}

fn add(table: &mut Table, name: &str, of: Measured, bare: Measured) {
    let figure =
        |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.0}"));
    let ratio = |value: Option<f64>, bare: Option<f64>| {
        let ratio = value.zip(bare).map(|(value, bare)| value / bare);
        ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"))
    };
    table.add_row([
        name.to_owned(),
        figure(Some(of.rate)),
        ratio(Some(of.rate), Some(bare.rate)),
        figure(Some(of.own)),
        ratio(Some(of.own), Some(bare.own)),
        figure(of.rabbitmq),
        ratio(of.rabbitmq, bare.rabbitmq),
        figure(of.redis),
        ratio(of.redis, bare.redis),
    ]);
}

/// What Redis keeps on disk, which its figures depend on.
async fn keeping(arguments: &Arguments) -> String {
    let client = redis::Client::open(arguments.redis.as_str()).unwrap();
    let mut redis = client.get_multiplexed_async_connection().await.unwrap();
    let mut setting = async |name: &str| {
        let mut asked = redis::cmd("CONFIG");
        let answer = asked.arg("GET").arg(name).query_async::<(String, String)>(&mut redis).await;
        answer.map_or_else(|_| "unknown".to_owned(), |(_, value)| value)
    };
    let (appends, syncs) = (setting("appendonly").await, setting("appendfsync").await);
    format!("Redis with appendonly {appends}, appendfsync {syncs}")
}
