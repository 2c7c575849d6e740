//! How fast it is, on the machine that runs this: `cargo bench`. `README.md` beside this file has
//! what is measured, how, and figures.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a benchmark reports to a person, and a failure ends it"
)]

mod bare_pipeline;
mod bare_writer;
mod corpus;
mod distributed;
mod drain;
mod embedded;
mod flat;
mod load;
mod measure;
mod place;
mod process;
mod rules;

#[expect(dead_code, clippy::panic, reason = "it is of the tests, which use more of it")]
#[path = "../it/harness.rs"]
mod harness;
#[expect(dead_code, clippy::panic, reason = "it is of the tests, which use more of it")]
#[path = "../it/servers/rabbitmq.rs"]
mod rabbitmq;
#[expect(dead_code, clippy::panic, reason = "it is of the tests, which use more of it")]
#[path = "../it/servers/redis.rs"]
mod redis_server;

use std::path::PathBuf;

use clap::Parser;

/// What to measure.
#[derive(Debug, Clone, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
struct Arguments {
    /// A tenth of everything.
    #[arg(long)]
    quick: bool,
    /// How many rounds there are; their medians are shown.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How many events a run has.
    #[arg(long, default_value_t = 20_000)]
    events: u32,
    /// Measures the distributed backend instead, on a RabbitMQ and a Redis of its own.
    #[arg(long)]
    distributed: bool,
    /// Measures both backends as their state grows instead.
    #[arg(long)]
    flat: bool,
    /// For `--flat`: how many orders there are in the end.
    #[arg(long, default_value_t = 100_000)]
    orders: u32,
    /// For `--distributed`: another executable of Storekeeper, to be measured too.
    #[arg(long, value_name = "PATH")]
    beside: Option<PathBuf>,
    /// For `--distributed`: numbers of connections.
    #[arg(long, value_delimiter = ',', default_values_t = [16, 64, 256])]
    connections: Vec<usize>,
    /// For `--distributed` and `--flat`: only what has this in its name, such as "drain".
    #[arg(long, value_name = "PART")]
    only: Vec<String>,
    /// Is a role of the bare pipeline.
    #[arg(long, hide = true, requires = "ready_file")]
    bare: Option<String>,
    #[arg(long, hide = true)]
    ready_file: Option<PathBuf>,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Arguments {
    fn scaled(&self, amount: u32) -> u32 {
        if self.quick { amount.div_ceil(10) } else { amount }
    }

    /// Whether something of this name was asked for.
    fn selects(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| name.contains(part))
    }
}

fn main() {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if let Some((role, ready_file)) = arguments.bare.as_ref().zip(arguments.ready_file.as_ref()) {
        return runtime.block_on(bare_pipeline::serve(role, ready_file));
    }
    println!("{}", machine());
    if arguments.distributed {
        return runtime.block_on(distributed::run(&arguments));
    }
    if arguments.flat {
        return runtime.block_on(flat::run(&arguments));
    }
    rules::run(&arguments);
    runtime.block_on(embedded::run(&arguments));
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
