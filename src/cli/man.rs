//! `man`: writes the manual pages.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::CommandFactory;

use super::output::Output;
use super::{Cli, ExitStatus};

/// Writes a page for the program and one for each command; they are made of the same declarations as
/// the help texts.
pub fn run(directory: &Path, output: &mut Output<'_>) -> anyhow::Result<ExitStatus> {
    let failure = || format!("cannot write manual pages to {}", directory.display());
    std::fs::create_dir_all(directory).with_context(failure)?;
    clap_mangen::generate_to(Cli::command(), directory).with_context(failure)?;
    let first: PathBuf = directory.join("storekeeper.1");
    let first = first.display();
    let sentence = format_args!("the manual pages are written; `man -l {first}` shows the first");
    output
        .verdict(sentence, &serde_json::json!({ "directory": directory.display().to_string() }))?;
    Ok(ExitStatus::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Format;

    #[test]
    fn every_command_has_a_page() {
        let directory = tempfile::tempdir().unwrap();
        let pages = directory.path().join("man/man1");
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut output =
            Output { out: &mut out, err: &mut err, format: Format::Table, width: None };
        assert_eq!(run(&pages, &mut output).unwrap(), ExitStatus::Done);
        for command in Cli::command().get_subcommands() {
            let page = pages.join(format!("storekeeper-{}.1", command.get_name()));
            assert!(std::fs::read_to_string(&page).unwrap().contains(".SH SYNOPSIS"), "{page:?}");
        }
        let receive = std::fs::read_to_string(pages.join("storekeeper-stock-receive.1")).unwrap();
        assert!(receive.contains("Count received goods"), "{receive}");
        let occupied = directory.path().join("file");
        std::fs::write(&occupied, "").unwrap();
        let mut output =
            Output { out: &mut out, err: &mut err, format: Format::Table, width: None };
        let failed = run(&occupied, &mut output).unwrap_err();
        assert!(failed.to_string().contains("cannot write manual pages to"), "{failed}");
    }
}
