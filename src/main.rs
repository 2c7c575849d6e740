//! Storekeeper's one binary: reads the command line and ends as the command did.

use std::process::ExitCode;

use storekeeper::cli::run::{parse, run};
use storekeeper::cli::{ExitStatus, usage};

fn main() -> ExitCode {
    let cli = match parse(std::env::args_os().collect()) {
        Ok(cli) => cli,
        Err(error) => return unparsed(&error),
    };
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

/// Prints help or what is wrong with the command line; the latter in the form that was asked for.
fn unparsed(error: &clap::Error) -> ExitCode {
    match usage::problem(error, std::env::args_os()) {
        Some(problem) => anstream::eprintln!("{problem}"),
        // If nobody reads it, there is nobody to tell.
        None => error.print().ok().unwrap_or_default(),
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(ExitStatus::Usage as u8))
}
