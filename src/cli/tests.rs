//! Tests that command lines are read as the help texts say.

use std::time::Duration;

use clap::CommandFactory;
use clap::error::ErrorKind;

use super::*;
use crate::clock::PastTime;
use crate::domain::{Code, Site};

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split_whitespace())
}

#[test]
fn verify_cli() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_explains_itself_and_most_give_an_example() {
    for command in Cli::command().get_subcommands() {
        let name = command.get_name();
        assert!(command.get_about().is_some(), "`{name}` has no help text");
        let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(examples.contains(&format!("storekeeper {name}")), "`{name}` has no example");
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "`{name} {}`", argument.get_id());
        }
    }
}

#[test]
fn the_examples_of_the_help_texts_are_read() {
    let mut read = 0;
    for command in Cli::command().get_subcommands() {
        let Some(help) = command.get_after_help() else { continue };
        for line in help.to_string().lines() {
            let Some(start) = line.find("storekeeper ") else { continue };
            let example = line.get(start..).unwrap();
            parse(example).unwrap_or_else(|error| panic!("{example}: {error}"));
            read += 1;
        }
    }
    assert!(read >= 10, "only {read} examples");
}

#[test]
fn global_options_stand_before_or_behind_the_command() {
    for line in [
        "storekeeper --config a.toml --format json stock list",
        "storekeeper stock list --config a.toml --format json",
    ] {
        let cli = parse(line).unwrap();
        assert_eq!(cli.config, Some(PathBuf::from("a.toml")));
        assert_eq!(cli.format, Format::Json);
    }
    assert_eq!(parse("storekeeper serve").unwrap().format, Format::Table);
}

#[test]
fn names_from_outside_are_checked_as_usage() {
    for line in [
        "storekeeper stock adjust shop sku:S many --reference R --reason T",
        "storekeeper orders list --older-than yesterday",
        "storekeeper orders hold shop id:1 --reference R --reason T --shown something",
        "storekeeper dead-letters list --reason decode.nothing",
        "storekeeper dead-letters list --older-than yesterday",
        "storekeeper dead-letters show 1234",
        "storekeeper health --url localhost",
        "storekeeper demo --orders 0",
    ] {
        let error = parse(line).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ValueValidation, "{line}: {error}");
        assert_eq!(error.exit_code(), i32::from(ExitStatus::Usage as u8), "{line}");
    }
}

#[test]
fn a_refused_argument_says_what_is_wrong_with_it() {
    for (line, reason) in [
        ("storekeeper stock receive shop sku:S -1 --reference R", "is negative"),
        ("storekeeper stock count shop sku:S -0.5 --reference R", "is negative"),
        ("storekeeper stock adjust shop sku:S many --reference R --reason T", "is not a number"),
        (
            "storekeeper orders ship shop 1 --reference R --reason T --shown x",
            "is not what showing",
        ),
        ("storekeeper dead-letters list --reason nope", "`storekeeper dead-letters groups` pr"),
        ("storekeeper dead-letters show abc", "is not a message id; `storekeeper dead-letters"),
        ("storekeeper health --url foo", "is not an address such as http://HOST:PORT"),
        ("storekeeper health --url 127.0.0.1:8082", "is not an address such as http://"),
        ("storekeeper health --url localhost:8082", "is not an address such as http://"),
        ("storekeeper health --url https://shop.example", "must be http://, not https"),
        ("storekeeper simulate --url foo", "is not an address such as http://HOST:PORT"),
    ] {
        let error = parse(line).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ValueValidation, "{line}: {error}");
        assert!(error.to_string().contains(reason), "{line}: {error}");
    }
}

#[test]
fn an_order_is_looked_for_in_one_list_at_most() {
    let line = "storekeeper orders list shop --waiting --corrected";
    assert_eq!(parse(line).unwrap_err().kind(), ErrorKind::ArgumentConflict);
    assert!(parse("storekeeper orders list shop --waiting --query 1").is_ok());
}

#[test]
fn many_dead_letters_are_named_or_all_of_them_are_meant() {
    let id = "0197c7f5-7d3c-7a51-9d0a-2f1f0a6c9c11";
    for command in ["replay", "discard"] {
        let parsed = |rest: &str| parse(&format!("storekeeper dead-letters {command} {rest}"));
        assert_eq!(parsed("").unwrap_err().kind(), ErrorKind::MissingRequiredArgument);
        let both = parsed("--all --site shop").unwrap_err().kind();
        assert_eq!(both, ErrorKind::ArgumentConflict);
        for rest in ["--all", "--site shop", "--older-than 2h", &format!("--id {id}")] {
            assert!(parsed(rest).is_ok(), "{command} {rest}");
        }
    }
    assert!(parse(&format!("storekeeper dead-letters discard {id}")).is_ok());
    let both = parse(&format!("storekeeper dead-letters discard {id} --all"));
    assert_eq!(both.unwrap_err().kind(), ErrorKind::ArgumentConflict);
}

#[test]
fn filters_are_read_into_domain_words() {
    let cli = parse(
        "storekeeper dead-letters list --reason order.no_identity --site shop --older-than 2h \
         --id 0197c7f5-7d3c-7a51-9d0a-2f1f0a6c9c11 --id 0197c7f5-7d3c-7a51-9d0a-2f1f0a6c9c12",
    );
    let Command::DeadLetters(DeadLettersCommand::List(list)) = cli.unwrap().command else {
        panic!("another command was read");
    };
    assert_eq!(list.reason, Some(Code::NoIdentity));
    assert_eq!(list.site, Some(Site::parse("shop").unwrap()));
    assert_eq!(list.older_than, Some(PastTime::Ago(Duration::from_hours(2))));
    assert_eq!(list.id.len(), 2);
}
