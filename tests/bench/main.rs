//! How fast it is, on the machine that runs this: `cargo bench`.
//!
//! Each figure is printed with its conditions. Everything runs on this machine: the server, the
//! clients that load it, and the disk with real fsyncs. `cargo bench -- --quick` takes a minute
//! and is good for a first look only; `cargo bench -- --orders 300000` grows the store further.
//! `cargo bench -- --distributed` measures on a RabbitMQ and a Redis that run already.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a benchmark reports to a person, and a failure ends it"
)]

mod bare;
mod bare_pipeline;
mod body;
mod distributed;
mod end_to_end;
mod place;
mod process;
mod rules;
mod servers;

use std::sync::Arc;

use bytes::Bytes;
use clap::Parser;
use storekeeper::simulate::{History, HistoryOptions};

const ROUNDS: usize = 5;

/// What to measure.
#[derive(Debug, Clone, Parser)]
struct Arguments {
    /// A tenth of everything.
    #[arg(long)]
    quick: bool,
    /// How many orders the store is grown to, in three steps.
    #[arg(long, default_value_t = 100_000)]
    orders: u32,
    /// Measures the distributed backend instead, in queues and keys of its own.
    #[arg(long)]
    distributed: bool,
    /// The RabbitMQ of `--distributed`.
    #[arg(long, default_value = "amqp://guest:guest@127.0.0.1:5672/%2f")]
    rabbitmq: String,
    /// The Redis of `--distributed`.
    #[arg(long, default_value = "redis://127.0.0.1:6379")]
    redis: String,
    /// How many rounds `--distributed` has; half as many with a backlog.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How many events wait for the workers of `--distributed`.
    #[arg(long, default_value_t = 200_000)]
    backlog: u32,
    /// Is the bare pipeline, in queues and keys of this name.
    #[arg(long, hide = true)]
    bare_pipeline: Option<String>,
    /// Is its consumer alone.
    #[arg(long, hide = true)]
    bare_consumer: Option<String>,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Arguments {
    fn scaled(&self, amount: u32) -> u32 {
        if self.quick { amount.div_ceil(10) } else { amount }
    }
}

fn main() {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let part = arguments.bare_consumer.as_ref().or(arguments.bare_pipeline.as_ref());
    if let Some(namespace) = part.cloned() {
        let consumes_only = arguments.bare_consumer.is_some();
        let Arguments { rabbitmq, redis, .. } = arguments;
        let place = place::Place { rabbitmq, redis, namespace };
        return runtime.block_on(bare_pipeline::serve(&place, consumes_only));
    }
    println!("{}", machine());
    if arguments.distributed {
        return runtime.block_on(distributed::run(&arguments));
    }
    rules::run(&arguments);
    runtime.block_on(async {
        for clients in [64, 256] {
            compare(&arguments, clients).await;
        }
        mixed(&arguments).await;
        end_to_end::grow(&arguments).await;
    });
}

/// The server beside what the disk allows, in turns, because disks are fast and slow by the minute.
async fn compare(arguments: &Arguments, clients: u32) {
    let events = arguments.scaled(20_000);
    let (mut bare, mut whole, mut memory) = (Vec::new(), Vec::new(), 0);
    for _ in 0..ROUNDS {
        bare.push(bare::run(events, clients).await);
        let run = end_to_end::run(events, clients).await;
        whole.push(run.rate);
        memory = memory.max(run.memory);
    }
    let (bare, whole) = (median(bare), median(whole));
    println!(
        "end to end: {whole:.0} events/s with {clients} clients; a bare SQLite writer of the same \
         rows: {bare:.0} events/s in transactions of {clients}; ratio {:.2} (medians of {ROUNDS} \
         rounds of {events}); {memory} MiB resident at most",
        whole / bare,
    );
}

/// What shops send over a year: updates, cancellations and refunds among the creations, shuffled and
/// repeated.
async fn mixed(arguments: &Arguments) {
    let orders = arguments.scaled(5000);
    let options = HistoryOptions { seed: 1, orders, duplicates_per_mille: 200 };
    let history = History::write(options);
    let bodies: Arc<[Bytes]> =
        history.deliveries.into_iter().map(|delivery| delivery.body).collect();
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        rates.push(end_to_end::run_history(&bodies, 64).await);
    }
    println!(
        "a mixed history of {orders} orders: {:.0} webhooks/s with 64 clients (median of {ROUNDS} \
         rounds of {})",
        median(rates),
        bodies.len(),
    );
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// What a reader needs to know of the machine to compare figures.
fn machine() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split(':').nth(1)).unwrap_or("?").trim().to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let (cpu, memory) = (read("/proc/cpuinfo"), read("/proc/meminfo"));
    format!(
        "machine: {cores} cores of {}, {} of memory",
        field(&cpu, "model name"),
        field(&memory, "MemTotal"),
    )
}

/// So many in a second.
fn per_second(count: u32, took: std::time::Duration) -> f64 {
    f64::from(count) / took.as_secs_f64()
}
