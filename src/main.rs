//! Storekeeper's one binary: reads the command line and ends as the command did.

use std::process::ExitCode;

use storekeeper::cli::ExitStatus;
use storekeeper::cli::run::{parse, run};

fn main() -> ExitCode {
    let cli = parse(std::env::args_os().collect()).unwrap_or_else(|error| error.exit());
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
