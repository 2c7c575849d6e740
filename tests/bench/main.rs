//! How fast it is, on the machine that runs this: `cargo bench`.
//!
//! Each figure is printed with its conditions. Everything runs on this machine: the server, the
//! clients that load it, and the disk with real fsyncs. `cargo bench -- --quick` takes a minute
//! and is good for a first look only; `cargo bench -- --orders 300000` grows the store further.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a benchmark reports to a person, and a failure ends it"
)]

mod bare;
mod end_to_end;
mod rules;

use clap::Parser;

/// What to measure.
#[derive(Debug, Clone, Parser)]
struct Arguments {
    /// A tenth of everything.
    #[arg(long)]
    quick: bool,
    /// How many orders the store is grown to, in three steps.
    #[arg(long, default_value_t = 100_000)]
    orders: u32,
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
    println!("{}", machine());
    rules::run(&arguments);
    let bare = bare::run(&arguments);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(end_to_end::run(&arguments, bare));
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
