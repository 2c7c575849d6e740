//! Where a command writes, and how.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, Write};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;

use super::{ExitStatus, Format};
use crate::domain::{printable, printable_json};
use crate::http::problem::{Problem, ProblemCode};

/// A person's own idea of how wide the terminal is.
const COLUMNS: &str = "COLUMNS";

/// Where a command writes, and how. Tables hold ANSI styles; a writer that is not a terminal must
/// strip them, as `anstream::stdout` does.
pub struct Output<'a> {
    /// Results go here.
    pub out: &'a mut dyn Write,
    /// Messages for a person, which are not results, go here.
    pub err: &'a mut dyn Write,
    /// The form of the results.
    pub format: Format,
    /// The width that tables are fitted to; `None` leaves them as wide as they are.
    pub width: Option<u16>,
}

impl fmt::Debug for Output<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output")
            .field("format", &self.format)
            .field("width", &self.width)
            .finish_non_exhaustive()
    }
}

impl<'a> Output<'a> {
    /// Writes to these, fitted to the terminal that stdout is, if it is one.
    pub fn new(out: &'a mut dyn Write, err: &'a mut dyn Write, format: Format) -> Self {
        let columns = std::env::var_os(COLUMNS).and_then(|columns| columns.into_string().ok());
        Self {
            out,
            err,
            format,
            width: width(comfy_table::Table::new().width(), columns.as_deref()),
        }
    }

    /// Writes one object on a line of its own.
    pub(super) fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        writeln!(self.out, "{}", printable_json(&serde_json::to_string(value)?))
    }

    /// Writes one result: for a person by `write`, else as an object.
    pub(super) fn show<V: Serialize>(
        &mut self,
        view: &V,
        write: impl FnOnce(&V, &mut Self) -> io::Result<()>,
    ) -> io::Result<()> {
        match self.format {
            Format::Table => write(view, self),
            Format::Json => self.json(view),
        }
    }

    /// Writes the result of a command: a sentence for a person, an object for a program.
    pub(super) fn verdict(
        &mut self,
        sentence: impl fmt::Display,
        object: &impl Serialize,
    ) -> io::Result<()> {
        match self.format {
            Format::Table => writeln!(self.out, "{}", printable(&sentence.to_string(), true)),
            Format::Json => self.json(object),
        }
    }

    /// Gives out a function that writes messages to the person who asked.
    pub(super) fn teller(&mut self) -> impl Fn(&str) {
        let output = RefCell::new(self);
        move |sentence| {
            // If stderr is closed, nobody can read the message.
            output.borrow_mut().say(sentence).ok();
        }
    }

    /// Writes why the result is negative, or what was not found.
    pub(super) fn not_held(&mut self, reason: impl fmt::Display) -> anyhow::Result<ExitStatus> {
        self.say(reason)?;
        Ok(ExitStatus::NotHeld)
    }

    /// Writes what was not found: for a person a sentence, for a program problem details.
    pub(super) fn not_found(
        &mut self,
        code: ProblemCode,
        reason: impl fmt::Display,
    ) -> anyhow::Result<ExitStatus> {
        self.problem(&Problem::new(code, reason.to_string()), "")?;
        Ok(ExitStatus::NotHeld)
    }

    /// Writes a problem; for a person, its detail after some words.
    pub(super) fn problem(&mut self, problem: &Problem, words: &str) -> io::Result<()> {
        match self.format {
            Format::Table => self.say(format_args!("{words}{}", problem.detail())),
            Format::Json => {
                let body = problem.body();
                writeln!(self.err, "{}", printable_json(&String::from_utf8_lossy(&body)))
            }
        }
    }

    /// Writes a message to the person who asked.
    pub(super) fn say(&mut self, sentence: impl fmt::Display) -> io::Result<()> {
        writeln!(self.err, "{}", printable(&sentence.to_string(), true))
    }
}

/// The width that tables are fitted to: that of the terminal, unless the variable says another. A
/// width of 0 is none.
fn width(terminal: Option<u16>, columns: Option<&str>) -> Option<u16> {
    let terminal = terminal?;
    let width = columns.and_then(|columns| columns.parse().ok()).unwrap_or(terminal);
    (width > 0).then_some(width)
}

/// Whether nobody reads stdout any more, as after `head`. A command that waits for something to
/// write would not find out.
pub(super) fn has_lost_its_reader() -> bool {
    let stdout = io::stdout();
    let mut stdout = [PollFd::new(&stdout, PollFlags::empty())];
    let now = Timespec::default();
    poll(&mut stdout, Some(&now)).is_ok_and(|found| found > 0)
        && stdout.iter().any(|stdout| stdout.revents().contains(PollFlags::ERR))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_width_of_zero_is_no_width_and_a_file_has_none() {
        assert_eq!(width(Some(80), None), Some(80));
        assert_eq!(width(Some(0), None), None);
        assert_eq!(width(Some(80), Some("0")), None);
        assert_eq!(width(Some(0), Some("60")), Some(60));
        assert_eq!(width(Some(80), Some("wide")), Some(80));
        assert_eq!(width(None, Some("60")), None);
    }

    #[test]
    fn no_text_from_outside_steers_the_terminal() {
        let steering = "\u{1b}[2J\u{9b}\u{7f}\u{202e}a\n\u{2066}b";
        let (mut out, mut err) = (Vec::new(), Vec::new());
        for format in [Format::Table, Format::Json] {
            let mut output = Output { out: &mut out, err: &mut err, format, width: None };
            output.say(steering).unwrap();
            output.verdict(steering, &steering).unwrap();
        }
        let out = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines[..2], ["\u{fffd}[2J\u{fffd}\u{fffd}\u{fffd}a", "\u{fffd}b"]);
        assert_eq!(serde_json::from_str::<String>(lines[2]).unwrap(), steering);
        let everything = out + &String::from_utf8(err).unwrap();
        assert_eq!(printable(&everything, true), everything);
    }
}
