//! `completions`.

use std::io::{self, Write};

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, ExitStatus};

/// Prints the script that a shell sources; it is made of the same declarations as the help texts.
pub fn run(shell: Shell, out: &mut dyn Write) -> io::Result<ExitStatus> {
    let mut script = Vec::new();
    // Into memory first: the generator panics where a writer fails, as a closed pipe does.
    clap_complete::generate(shell, &mut Cli::command(), "storekeeper", &mut script);
    out.write_all(&script)?;
    Ok(ExitStatus::Done)
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_shell_gets_every_command() {
        assert!(Shell::value_variants().len() >= 4);
        for shell in Shell::value_variants() {
            let mut out = Vec::new();
            assert_eq!(run(*shell, &mut out).unwrap(), ExitStatus::Done);
            let script = String::from_utf8(out).unwrap();
            for command in Cli::command().get_subcommands() {
                assert!(script.contains(command.get_name()), "{shell}: {}", command.get_name());
            }
            assert!(script.contains("ready-file"), "{shell}");
        }
    }

    #[test]
    fn a_closed_pipe_is_an_error_and_no_panic() {
        let mut full: &mut [u8] = &mut [0; 8];
        assert!(run(Shell::Bash, &mut full).is_err());
    }
}
