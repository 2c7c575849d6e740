//! How results look: tables without lines, with bold headings and numbers to the right.

use std::io;

use anstyle::{AnsiColor, Style};
use comfy_table::presets::NOTHING;
use comfy_table::{
    Attribute, Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, Table, Width,
};
use serde::Serialize;

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
const PADDING: (u16, u16) = (0, 2);

/// A column of a table of `V`s.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column<V> {
    heading: &'static str,
    alignment: CellAlignment,
    cell: fn(&V) -> Cell,
}

impl<V> Column<V> {
    /// A column of text, set to the left.
    pub(super) const fn text(heading: &'static str, cell: fn(&V) -> Cell) -> Self {
        Self { heading, alignment: CellAlignment::Left, cell }
    }

    /// A column of numbers, set to the right.
    pub(super) const fn number(heading: &'static str, cell: fn(&V) -> Cell) -> Self {
        Self { heading, alignment: CellAlignment::Right, cell }
    }
}

/// A list of results: a table, or one JSON object a line. It is written page by page, so that it
/// may be longer than memory; later pages of a table keep the column widths of the earlier ones.
#[derive(Debug)]
pub(super) struct Listing<'c, V> {
    columns: &'c [Column<V>],
    /// Rows that wait until they are a page.
    rows: Vec<Vec<Cell>>,
    /// The widest content so far, by column; empty before the first page.
    widths: Vec<u16>,
}

impl<'c, V> Listing<'c, V> {
    pub(super) const fn new(columns: &'c [Column<V>]) -> Self {
        Self { columns, rows: Vec::new(), widths: Vec::new() }
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

    /// Writes the remaining rows; if there were none at all, tells a person so by `none`.
    pub(super) fn finish_or_say(
        mut self,
        none: &str,
        output: &mut Output<'_>,
    ) -> anyhow::Result<ExitStatus> {
        self.write_page(output)?;
        if self.widths.is_empty() && output.format == Format::Table {
            output.say(none)?;
        }
        Ok(ExitStatus::Done)
    }

    /// Writes the rows, if there are any; the first page has the headings.
    fn write_page(&mut self, output: &mut Output<'_>) -> io::Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let mut table = plain_table(output.width);
        if self.widths.is_empty() {
            table.set_header(self.columns.iter().map(|column| match column.heading {
                // Styled, an empty heading would leave spaces that cannot be trimmed.
                "" => Cell::new(""),
                heading => Cell::new(heading).add_attribute(Attribute::Bold),
            }));
        }
        table.add_rows(self.rows.drain(..));
        let mut widths = table.column_max_content_widths();
        for (index, column) in self.columns.iter().enumerate() {
            let Some(shown) = table.column_mut(index) else { continue };
            shown.set_padding(PADDING);
            shown.set_cell_alignment(column.alignment);
            if let (Some(before), Some(width)) = (self.widths.get(index), widths.get_mut(index)) {
                *width = (*width).max(*before);
                let padded = width.saturating_add(PADDING.0 + PADDING.1);
                shown.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(padded)));
            }
        }
        self.widths = widths;
        writeln!(output.out, "{}", table.trim_fmt())
    }
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

/// Writes names and values, one pair a line.
pub(super) fn write_facts(facts: Vec<(&str, Cell)>, output: &mut Output<'_>) -> io::Result<()> {
    let mut table = plain_table(output.width);
    for (name, value) in facts {
        table.add_row([Cell::new(name), value]);
    }
    for column in table.column_iter_mut() {
        column.set_padding(PADDING);
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

fn plain_table(width: Option<u16>) -> Table {
    let mut table = Table::new();
    // The width is the caller's, not what this process's stdout happens to be.
    table.force_no_tty().enforce_styling().load_style(NOTHING);
    table.style_text_only();
    if let Some(width) = width {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
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
    fn a_table_is_fitted_to_the_terminal() {
        let text = written(Some(24), &["product:a-very-long-identifier-of-a-product"]);
        assert!(text.lines().all(|line| line.chars().count() <= 24), "{text}");
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
