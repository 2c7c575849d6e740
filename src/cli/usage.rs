//! Command lines that cannot be parsed: for a program, they are problem details like other errors.

use std::ffi::OsString;

use clap::error::ErrorKind;

use crate::domain::printable_json;
use crate::http::problem::{Problem, ProblemCode};

/// Returns the problem details of a command line with `--format json` that cannot be parsed; `None`
/// if the usual text is to be printed.
pub fn problem(
    error: &clap::Error,
    arguments: impl IntoIterator<Item = OsString>,
) -> Option<String> {
    let is_answer = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if is_answer || !wants_json(arguments) {
        return None;
    }
    let text = error.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
    let body = Problem::new(ProblemCode::RequestInvalid, text).body();
    Some(printable_json(&String::from_utf8_lossy(&body)))
}

fn wants_json(arguments: impl IntoIterator<Item = OsString>) -> bool {
    let mut before_is_format = false;
    for argument in arguments {
        if argument == "--" {
            return false;
        }
        if argument == "--format=json" || (before_is_format && argument == "json") {
            return true;
        }
        before_is_format = argument == "--format";
    }
    false
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Cli;

    fn found(line: &str) -> Option<String> {
        let words = || line.split_whitespace().map(OsString::from);
        problem(&Cli::try_parse_from(words()).unwrap_err(), words())
    }

    #[test]
    fn a_program_gets_problem_details_and_a_person_a_text() {
        for line in [
            "storekeeper --format json stock list --wrong",
            "storekeeper stock receive shop sku:A 1e3 --reference R --format=json",
        ] {
            let body: serde_json::Value = serde_json::from_str(&found(line).unwrap()).unwrap();
            assert_eq!((&body["code"], &body["status"]), (&"request.invalid".into(), &400.into()));
            let detail = body["detail"].as_str().unwrap();
            assert!(!detail.starts_with("error") && !detail.ends_with('\n'), "{detail}");
        }
        assert_eq!(found("storekeeper stock list --wrong"), None);
        assert_eq!(found("storekeeper stock list --wrong -- --format json"), None);
        assert_eq!(found("storekeeper --format json --help"), None);
    }
}
