//! Storekeeper's one binary: reads the command line and ends as the command did.

use std::process::ExitCode;

use clap::Parser;
use storekeeper::cli::run::run;
use storekeeper::cli::{Cli, ExitStatus};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            anstream::eprintln!("error: cannot start the runtime: {error}");
            return ExitStatus::Unreachable.into();
        }
    };
    let mut out = anstream::stdout();
    let mut err = anstream::stderr();
    runtime.block_on(run(cli, &mut out, &mut err)).into()
}
