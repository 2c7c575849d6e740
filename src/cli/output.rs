//! Where a command writes, and how.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, Write};

use serde::Serialize;

use super::Format;
use super::table;

/// Where a command writes, and how. Tables hold ANSI styles; a writer that is no terminal must
/// strip them, as `anstream::stdout` does.
pub struct Output<'a> {
    /// Results go here.
    pub out: &'a mut dyn Write,
    /// Sentences for a person, which are no results, go here.
    pub err: &'a mut dyn Write,
    /// The form of the results.
    pub format: Format,
    /// Columns of the terminal that tables are fitted to; `None` leaves them as wide as they are.
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
        Self { out, err, format, width: table::terminal_width() }
    }

    /// Writes one object on a line of its own.
    pub(super) fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut *self.out, value)?;
        writeln!(self.out)
    }

    /// Writes what came of a command: a sentence for a person, an object for a program.
    pub(super) fn verdict(
        &mut self,
        sentence: impl fmt::Display,
        object: &impl Serialize,
    ) -> io::Result<()> {
        match self.format {
            Format::Table => writeln!(self.out, "{sentence}"),
            Format::Json => self.json(object),
        }
    }

    /// Writes sentences to the person who asked, for whoever has several to say at once.
    pub(super) fn teller(&mut self) -> impl Fn(&str) {
        let output = RefCell::new(self);
        move |sentence| {
            // Should stderr be gone, there is nobody to tell.
            output.borrow_mut().say(sentence).ok();
        }
    }

    /// Writes a sentence to the person who asked.
    pub(super) fn say(&mut self, sentence: impl fmt::Display) -> io::Result<()> {
        writeln!(self.err, "{sentence}")
    }
}
