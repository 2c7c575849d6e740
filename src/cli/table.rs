//! How results look: tables without lines, with bold headings and numbers to the right.
//!
//! A table is fitted to the terminal: ids, keys and numbers are shown whole or, with their column,
//! not at all; other texts are shortened.

use std::io;

use anstyle::{AnsiColor, Style};
use comfy_table::presets::NOTHING;
use comfy_table::{
    Attribute, Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, Table, Width,
};
use console::{measure_text_width, truncate_str};
use serde::Serialize;

use super::fit::{self, Shape};
use super::output::Output;
use super::{ExitStatus, Format};
use crate::domain::printable;

/// The style of headings.
const HEADING: Style = Style::new().bold();
/// The style of what needs a person's attention.
const WARNING: Style = AnsiColor::Yellow.on_default();
/// Rows of a table that are laid out together.
const PAGE_ROWS: usize = 500;
/// Space to the right of every column.
const GAP: u16 = 2;
/// The end of a text that was shortened.
const SHORTENED: &str = "…";

/// A column of a table of `V`s.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column<V> {
    heading: &'static str,
    alignment: CellAlignment,
    shape: Shape,
    cell: fn(&V) -> Cell,
}

impl<V> Column<V> {
    /// A column of text, which may be shortened.
    pub(super) const fn text(heading: &'static str, cell: fn(&V) -> Cell) -> Self {
        let shape = Shape { may_shorten: true, rank: 0 };
        Self { heading, alignment: CellAlignment::Left, shape, cell }
    }

    /// A column of what a person or a program copies: ids, keys, times. It is never shortened.
    pub(super) const fn name(heading: &'static str, cell: fn(&V) -> Cell) -> Self {
        let shape = Shape { may_shorten: false, rank: 0 };
        Self { heading, alignment: CellAlignment::Left, shape, cell }
    }

    /// A column of numbers, set to the right. It is never shortened.
    pub(super) const fn number(heading: &'static str, cell: fn(&V) -> Cell) -> Self {
        let shape = Shape { may_shorten: false, rank: 0 };
        Self { heading, alignment: CellAlignment::Right, shape, cell }
    }
}

/// The same column, which may be left out where there is no room: those of a higher rank first.
pub(super) const fn spare<V>(rank: u8, mut column: Column<V>) -> Column<V> {
    column.shape.rank = rank;
    column
}

/// A list of results: a table, or one JSON object a line. It is written page by page, so that it
/// may be longer than memory; later pages of a table keep the columns of the first, and their
/// widths at least.
#[derive(Debug)]
pub(super) struct Listing<'c, V> {
    columns: &'c [Column<V>],
    /// Which columns are shown; decided by the first page.
    shown: Option<Vec<bool>>,
    /// Rows that wait until they are a page.
    rows: Vec<Vec<Cell>>,
    /// The widest content so far, by column.
    needed: Vec<usize>,
}

impl<'c, V> Listing<'c, V> {
    pub(super) fn new(columns: &'c [Column<V>]) -> Self {
        let needed = columns.iter().map(|column| measure_text_width(column.heading)).collect();
        Self { columns, shown: None, rows: Vec::new(), needed }
    }

    /// Adds results in the output's format.
    pub(super) fn add(
        &mut self,
        views: impl IntoIterator<Item = V>,
        output: &mut Output<'_>,
    ) -> io::Result<()>
    where
        V: Serialize,
    {
        for view in views {
            match output.format {
                Format::Table => self.add_row(&view, output)?,
                Format::Json => output.json(&view)?,
            }
        }
        Ok(())
    }

    /// Adds a row to the table, and writes a page once it is full.
    fn add_row(&mut self, view: &V, output: &mut Output<'_>) -> io::Result<()> {
        self.rows.push(self.columns.iter().map(|column| (column.cell)(view)).collect());
        if self.rows.len() == PAGE_ROWS { self.write_page(output) } else { Ok(()) }
    }

    /// Writes the rows so far, for a list that goes on.
    pub(super) fn flush(&mut self, output: &mut Output<'_>) -> io::Result<()> {
        self.write_page(output)?;
        output.out.flush()
    }

    /// Writes the remaining rows.
    pub(super) fn finish(mut self, output: &mut Output<'_>) -> io::Result<()> {
        self.write_page(output)
    }

    /// Writes the remaining rows, and which columns were left out; if there were no rows at all,
    /// tells a person so by `none`.
    pub(super) fn finish_or_say(
        mut self,
        none: &str,
        output: &mut Output<'_>,
    ) -> anyhow::Result<ExitStatus> {
        self.write_page(output)?;
        match (&self.shown, output.width) {
            (None, _) if output.format == Format::Table => output.say(none)?,
            (Some(shown), Some(width)) if shown.contains(&false) => {
                let left_out = self.columns.iter().zip(shown).filter(|(_, shown)| !**shown);
                let headings = left_out.map(|(column, _)| column.heading);
                let headings: Vec<_> = headings.filter(|heading| !heading.is_empty()).collect();
                let headings = headings.join(", ");
                output.say(format_args!("left out to fit {width} columns: {headings}"))?;
            }
            (None | Some(_), _) => {}
        }
        Ok(ExitStatus::Done)
    }

    /// Writes the rows, if there are any; the first page has the headings.
    fn write_page(&mut self, output: &mut Output<'_>) -> io::Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        for row in &self.rows {
            for (cell, needed) in row.iter().zip(&mut self.needed) {
                *needed = (*needed).max(measure_text_width(&cell.content()));
            }
        }
        let shapes: Vec<Shape> = self.columns.iter().map(|column| column.shape).collect();
        let limit = output.width.map(usize::from);
        let mut widths = fit::widths(&shapes, &self.needed, usize::from(GAP), limit);
        let is_first = self.shown.is_none();
        let shown = self.shown.get_or_insert_with(|| widths.iter().map(Option::is_some).collect());
        for ((width, shown), needed) in widths.iter_mut().zip(shown).zip(&self.needed) {
            *width = if *shown { width.or(Some(*needed)) } else { None };
        }
        let mut table = plain_table();
        if is_first {
            table.set_header(fitted(self.columns.iter().map(heading), &widths));
        }
        for row in self.rows.drain(..) {
            table.add_row(fitted(row, &widths));
        }
        let shown = self.columns.iter().zip(&widths);
        let shown = shown.filter_map(|(column, width)| Some((column, width.as_ref()?)));
        for (index, (column, width)) in shown.enumerate() {
            let Some(shown) = table.column_mut(index) else { continue };
            shown.set_padding((0, GAP));
            shown.set_cell_alignment(column.alignment);
            let padded = u16::try_from(*width).unwrap_or(u16::MAX).saturating_add(GAP);
            shown.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(padded)));
        }
        writeln!(output.out, "{}", table.trim_fmt())
    }
}

/// The heading of a column. Styled, an empty one would leave spaces that cannot be trimmed.
fn heading<V>(column: &Column<V>) -> Cell {
    let cell = Cell::new(column.heading);
    if column.heading.is_empty() { cell } else { cell.add_attribute(Attribute::Bold) }
}

/// The cells of the columns that are shown. Only plain text is ever too wide for its column.
fn fitted(cells: impl IntoIterator<Item = Cell>, widths: &[Option<usize>]) -> Vec<Cell> {
    let shown = cells.into_iter().zip(widths);
    let shown = shown.filter_map(|(cell, width)| Some((cell, (*width)?)));
    shown
        .map(|(cell, width)| {
            let content = cell.content();
            match measure_text_width(&content) {
                found if found <= width => cell,
                _ => Cell::new(truncate_str(&content, width, SHORTENED)),
            }
        })
        .collect()
}

/// Writes a whole table under a heading, or `none` in its place.
pub(super) fn write_section<V>(
    heading: &str,
    columns: &[Column<V>],
    views: &[V],
    none: &str,
    output: &mut Output<'_>,
) -> io::Result<()> {
    write_heading(heading, output)?;
    if views.is_empty() {
        return writeln!(output.out, "{none}");
    }
    write_table(columns, views, output)
}

/// Writes a whole table.
pub(super) fn write_table<V>(
    columns: &[Column<V>],
    views: &[V],
    output: &mut Output<'_>,
) -> io::Result<()> {
    let mut listing = Listing::new(columns);
    for view in views {
        listing.add_row(view, output)?;
    }
    listing.finish(output)
}

/// Writes names and values, one pair a line. Long values continue on the next line, at a space: no
/// id is broken.
pub(super) fn write_facts(facts: Vec<(&str, Cell)>, output: &mut Output<'_>) -> io::Result<()> {
    let mut table = plain_table();
    let names = facts.iter().map(|(name, _)| measure_text_width(name)).max();
    let words = facts.iter().flat_map(|(_, value)| {
        let content = value.content();
        content.split(' ').map(measure_text_width).collect::<Vec<_>>()
    });
    let longest = words.max();
    for (name, value) in facts {
        table.add_row([Cell::new(name), value]);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, GAP));
    }
    if let (Some(width), Some(names), Some(longest)) = (output.width, names, longest) {
        let left = usize::from(width).saturating_sub(names + usize::from(GAP)).max(longest);
        let padded = u16::try_from(left).unwrap_or(u16::MAX).saturating_add(GAP);
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(u16::MAX);
        if let Some(column) = table.column_mut(1) {
            column.set_constraint(ColumnConstraint::UpperBoundary(Width::Fixed(padded)));
        }
    }
    writeln!(output.out, "{}", table.trim_fmt())
}

/// Writes a heading with an empty line before it.
pub(super) fn write_heading(heading: &str, output: &mut Output<'_>) -> io::Result<()> {
    writeln!(output.out, "\n{HEADING}{heading}{HEADING:#}")
}

/// Writes a line that needs a person's attention.
pub(super) fn write_warning(warning: &str, output: &mut Output<'_>) -> io::Result<()> {
    writeln!(output.out, "{WARNING}{}{WARNING:#}", printable(warning, false))
}

/// A cell of text from outside.
pub(super) fn text(text: &str) -> Cell {
    Cell::new(printable(text, false))
}

/// A cell of text from outside that may be missing.
pub(super) fn optional(value: Option<&str>) -> Cell {
    text(value.unwrap_or("-"))
}

/// A quantity; one below zero stands out.
pub(super) fn quantity(units: &str) -> Cell {
    let cell = Cell::new(units);
    if units.starts_with('-') { cell.fg(Color::Red).add_attribute(Attribute::Bold) } else { cell }
}

fn plain_table() -> Table {
    let mut table = Table::new();
    // The width is the caller's, not what this process's stdout happens to be.
    table.force_no_tty().enforce_styling().load_style(NOTHING);
    table.style_text_only();
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column<&str>; 2] =
        [Column::text("KEY", |key| text(key)), Column::number("ON HAND", |_| quantity("12.5"))];

    fn written(width: Option<u16>, keys: &[&'static str]) -> String {
        let mut out = anstream::StripStream::new(Vec::new());
        let mut err = Vec::new();
        let mut output = Output { out: &mut out, err: &mut err, format: Format::Table, width };
        let mut listing = Listing::new(&COLUMNS);
        listing.add(keys.iter().copied(), &mut output).unwrap();
        listing.finish_or_say("none", &mut output).unwrap();
        assert_eq!(err.is_empty(), !keys.is_empty());
        String::from_utf8(out.into_inner()).unwrap()
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        insta::assert_snapshot!(written(None, &["sku:1", "product:P1"]), @r"
        KEY         ON HAND
        sku:1          12.5
        product:P1     12.5
        ");
    }

    #[test]
    fn later_pages_keep_the_columns_of_the_first() {
        let mut keys = vec!["product:P1"; PAGE_ROWS];
        keys.push("sku:1");
        let text = written(None, &keys);
        assert_eq!(text.lines().count(), 1 + keys.len());
        assert_eq!(text.lines().last(), Some("sku:1          12.5"));
    }

    #[test]
    fn a_table_without_rows_is_nothing() {
        assert_eq!(written(None, &[]), "");
    }

    #[test]
    fn facts_continue_at_spaces_and_break_no_id() {
        let facts = || vec![("id", text("0197c7f5-7d3c-7a51")), ("detail", text("one two three"))];
        let written = |width| {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let format = Format::Table;
            let mut output = Output { out: &mut out, err: &mut err, format, width };
            write_facts(facts(), &mut output).unwrap();
            String::from_utf8(out).unwrap()
        };
        let whole = "id      0197c7f5-7d3c-7a51\ndetail  one two three\n";
        assert_eq!((written(None), written(Some(26))), (whole.to_owned(), whole.to_owned()));
        assert_eq!(written(Some(10)), whole, "the id sets the width");
        let narrow = |facts| {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let format = Format::Table;
            let mut output = Output { out: &mut out, err: &mut err, format, width: Some(16) };
            write_facts(facts, &mut output).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            narrow(vec![("detail", text("one two three"))]),
            "detail  one two\n        three\n"
        );
    }

    #[test]
    fn a_text_is_shortened_and_a_column_left_out_with_a_word_about_it() {
        const COLUMNS: [Column<&str>; 3] = [
            Column::name("KEY", |key| text(key)),
            Column::text("NAME", |_| text("a rather long name")),
            spare(1, Column::number("ON HAND", |_| quantity("12.5"))),
        ];
        let written = |width: u16| {
            let mut out = anstream::StripStream::new(Vec::new());
            let (mut err, width) = (Vec::new(), Some(width));
            let format = Format::Table;
            let mut output = Output { out: &mut out, err: &mut err, format, width };
            let mut listing = Listing::new(&COLUMNS);
            listing.add(["sku:1"], &mut output).unwrap();
            listing.finish_or_say("none", &mut output).unwrap();
            String::from_utf8([out.into_inner(), err].concat()).unwrap()
        };
        insta::assert_snapshot!(written(30), @r"
        KEY    NAME            ON HAND
        sku:1  a rather long…     12.5
        ");
        insta::assert_snapshot!(written(20), @r"
        KEY    NAME
        sku:1  a rather lon…
        left out to fit 20 columns: ON HAND
        ");
    }

    #[test]
    fn what_is_below_zero_is_coloured() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut output =
            Output { out: &mut out, err: &mut err, format: Format::Table, width: None };
        let column = Column::number("AVAILABLE", |units: &&str| quantity(units));
        write_table(&[column], &["-2", "2"], &mut output).unwrap();
        let text = String::from_utf8(out).unwrap();
        let coloured: Vec<bool> =
            text.lines().map(|line| line.contains("\u{1b}[38;5;9m")).collect();
        assert_eq!(coloured, [false, true, false], "{text:?}");
    }
}
