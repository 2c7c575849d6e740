//! Pages for people against the program: commands, options and routes that they mention exist, and
//! those that exist are mentioned.

use std::collections::BTreeSet;

use clap::{Command, CommandFactory};
use storekeeper::cli::Cli;

use super::source::Tree;
use super::{catches, check};

/// Where every command and every route is.
const OPERATING: &str = "deploy/OPERATING.md";
const PROGRAM: &str = "storekeeper ";

/// What stands between backticks in pages, and the lines of their examples.
fn code(tree: &Tree) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let pages = ["", "deploy/", "config/", "tests/"].map(|folder| format!("{folder}README.md"));
    for page in pages.iter().map(String::as_str).chain([OPERATING, "CHANGELOG.md"]) {
        let mut is_example = false;
        for line in tree.text(page).lines() {
            if line.starts_with("```") {
                is_example = !is_example;
            } else if is_example {
                found.push((page.to_owned(), line.to_owned()));
            } else {
                let spans = line.split('`').skip(1).step_by(2);
                found.extend(spans.map(|span| (page.to_owned(), span.to_owned())));
            }
        }
    }
    found
}

/// What of a command line is no command or option of the program.
fn unknown(root: &Command, line: &str) -> Option<String> {
    let mut command = root;
    let global: Vec<&str> = root.get_arguments().filter_map(|it| it.get_long()).collect();
    for word in line.split_whitespace() {
        let word = word.trim_matches(['[', ']', ',', '.', ';', '(', ')', '"']);
        if matches!(word, "&" | "|" | "#" | "&&" | ">" | "\\") {
            break;
        }
        if let Some(option) = word.strip_prefix("--") {
            let option = option.split('=').next().unwrap_or_default();
            let mut known = command.get_arguments().filter_map(|it| it.get_long());
            if !option.is_empty() && !global.contains(&option) && !known.any(|it| it == option) {
                return Some(format!("{} has no --{option}", command.get_name()));
            }
        } else if let Some(next) = command.find_subcommand(word) {
            command = next;
        } else if command.has_subcommands() && is_command(word) {
            return Some(format!("there is no command {word}"));
        }
    }
    None
}

fn is_command(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '-')
}

fn unknown_commands(tree: &Tree) -> Vec<String> {
    let root = Cli::command();
    let lines = code(tree).into_iter().filter_map(|(page, line)| {
        let (before, command) = line.rsplit_once(PROGRAM)?;
        // Or it is the name of a namespace or a user, of another program.
        let is_of_others = ["--namespace ", "-n ", "restart ", "SETUSER "]
            .iter()
            .any(|word| before.ends_with(word))
            || before.ends_with(['-', '/', '=', '_', '.']);
        let wrong = unknown(&root, command).filter(|_| !is_of_others)?;
        Some(format!("{page}: `{line}`: {wrong}"))
    });
    lines.collect()
}

/// Commands and routes of which the page says nothing.
fn undocumented(tree: &Tree) -> Vec<String> {
    let page = tree.text(OPERATING);
    let spans: BTreeSet<&str> = page.split(['`', ' ', '(', ')', ',', '\n']).collect();
    let mut missing = Vec::new();
    let root = Cli::command();
    for command in root.get_subcommands().filter(|it| it.get_name() != "help") {
        let leaves = command.get_subcommands().filter(|it| it.get_name() != "help");
        for name in leaves.map(Command::get_name).chain([command.get_name()]) {
            if !spans.contains(name) {
                missing.push(format!("{OPERATING}: `{} {name}`", command.get_name()));
            }
        }
    }
    let routes = tree.text("src/console/mod.rs").split('"').skip(1).step_by(2);
    for route in routes.filter(|text| text.starts_with("/v1/")) {
        let last = route.rsplit('/').next().unwrap_or_default();
        let is_there = page.contains(&format!("{route}`"))
            || page.contains(&format!("{route}?"))
            || page.contains(&format!("/{last}"));
        if !is_there {
            missing.push(format!("{OPERATING}: {route}"));
        }
    }
    missing
}

#[test]
fn pages_mention_commands_and_options_that_exist() {
    let tree = Tree::of_repository();
    let all = code(&tree).iter().filter(|(_, line)| line.contains(PROGRAM)).count();
    assert!(all >= 60, "{all} command lines");
    check(
        &unknown_commands(&tree),
        "`storekeeper --help` says which commands and options there are",
    );
    for wrong in [
        "`storekeeper stok list`",
        "`storekeeper stock raed A`",
        "`storekeeper stock list --lwo 3`",
    ] {
        catches(unknown_commands, &[("README.md", wrong)]);
    }
}

#[test]
fn every_command_and_every_route_is_documented() {
    let tree = Tree::of_repository();
    check(&undocumented(&tree), "say there what it is for");
}
