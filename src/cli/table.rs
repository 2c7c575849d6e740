//! How tables look: no lines, a bold head, numbers to the right.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use comfy_table::presets::NOTHING;
use comfy_table::{
    Attribute, Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, Table, Width,
};

/// The style of headings.
const HEADING: Style = Style::new().bold();
/// The style of what a person should look at.
const WARNING: Style = AnsiColor::Yellow.on_default();
/// Rows of a table that are laid out together.
const PAGE_ROWS: usize = 500;
/// Space to the right of every column.
const PADDING: (u16, u16) = (0, 2);

/// The columns of the terminal that stdout is; `None` if it is none.
pub(super) fn terminal_width() -> Option<u16> {
    Table::new().width()
}

/// A column: its head, and to which side its cells are set.
#[derive(Debug, Clone, Copy)]
pub(super) enum Column {
    /// Text, to the left.
    Text(&'static str),
    /// A number, to the right.
    Number(&'static str),
}

/// A table that is written page by page, so that it may be longer than memory; later pages keep
/// the widths of the earlier ones.
#[derive(Debug)]
pub(super) struct Listing {
    columns: Vec<Column>,
    width: Option<u16>,
    /// Rows that wait until they are a page.
    rows: Vec<Vec<Cell>>,
    /// The widest content so far, by column; empty before the first page.
    widths: Vec<u16>,
}

impl Listing {
    pub(super) fn new(columns: &[Column], width: Option<u16>) -> Self {
        Self { columns: columns.to_vec(), width, rows: Vec::new(), widths: Vec::new() }
    }

    /// Adds rows, and writes those that make a page.
    pub(super) fn add(
        &mut self,
        out: &mut dyn Write,
        rows: impl Iterator<Item = Vec<Cell>>,
    ) -> io::Result<()> {
        for row in rows {
            self.rows.push(row);
            if self.rows.len() == PAGE_ROWS {
                self.write_page(out)?;
            }
        }
        Ok(())
    }

    /// Writes the rows so far, for a list that goes on.
    pub(super) fn flush(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if !self.rows.is_empty() {
            self.write_page(out)?;
        }
        out.flush()
    }

    /// Writes what is left; whether there were any rows.
    pub(super) fn finish(mut self, out: &mut dyn Write) -> io::Result<bool> {
        if !self.rows.is_empty() {
            self.write_page(out)?;
        }
        Ok(!self.widths.is_empty())
    }

    /// Writes the rows; the first page brings the head.
    fn write_page(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let mut table = plain_table(self.width);
        if self.widths.is_empty() {
            table.set_header(self.columns.iter().map(|column| match column {
                // A style of nothing would be no nothing: spaces before it could not be trimmed.
                Column::Text("") => Cell::new(""),
                Column::Text(head) | Column::Number(head) => {
                    Cell::new(head).add_attribute(Attribute::Bold)
                }
            }));
        }
        table.add_rows(self.rows.drain(..));
        let mut widths = table.column_max_content_widths();
        for (index, column) in self.columns.iter().enumerate() {
            let Some(shown) = table.column_mut(index) else { continue };
            shown.set_padding(PADDING);
            if matches!(column, Column::Number(_)) {
                shown.set_cell_alignment(CellAlignment::Right);
            }
            if let (Some(before), Some(width)) = (self.widths.get(index), widths.get_mut(index)) {
                *width = (*width).max(*before);
                let padded = width.saturating_add(PADDING.0 + PADDING.1);
                shown.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(padded)));
            }
        }
        self.widths = widths;
        writeln!(out, "{}", table.trim_fmt())
    }
}

/// Writes a whole table.
pub(super) fn write_table(
    out: &mut dyn Write,
    width: Option<u16>,
    columns: &[Column],
    rows: impl Iterator<Item = Vec<Cell>>,
) -> io::Result<()> {
    let mut listing = Listing::new(columns, width);
    listing.add(out, rows)?;
    listing.finish(out)?;
    Ok(())
}

/// Writes names and values, one pair a line.
pub(super) fn write_facts(
    out: &mut dyn Write,
    width: Option<u16>,
    facts: Vec<(&str, Cell)>,
) -> io::Result<()> {
    let mut table = plain_table(width);
    for (name, value) in facts {
        table.add_row([Cell::new(name), value]);
    }
    for column in table.column_iter_mut() {
        column.set_padding(PADDING);
    }
    writeln!(out, "{}", table.trim_fmt())
}

/// Writes a heading with an empty line before it.
pub(super) fn write_heading(out: &mut dyn Write, heading: &str) -> io::Result<()> {
    writeln!(out, "\n{HEADING}{heading}{HEADING:#}")
}

/// Writes a line that a person should look at.
pub(super) fn write_warning(out: &mut dyn Write, warning: &str) -> io::Result<()> {
    writeln!(out, "{WARNING}{warning}{WARNING:#}")
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

/// Text from outside without the control characters with which it could steer a terminal;
/// `is_block` keeps line ends and tabs.
pub(super) fn printable(text: &str, is_block: bool) -> String {
    let is_kept = |c: char| !c.is_control() || (is_block && matches!(c, '\n' | '\t'));
    text.chars().map(|c| if is_kept(c) { c } else { char::REPLACEMENT_CHARACTER }).collect()
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

    fn written(width: Option<u16>, keys: &[&str]) -> String {
        let mut out = anstream::StripStream::new(Vec::new());
        let mut listing = Listing::new(&[Column::Text("KEY"), Column::Number("ON HAND")], width);
        for key in keys {
            let row = vec![text(key), quantity("12.5")];
            listing.add(&mut out, std::iter::once(row)).unwrap();
        }
        assert_eq!(listing.finish(&mut out).unwrap(), !keys.is_empty());
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
        let mut out = Vec::new();
        let mut listing = Listing::new(&[Column::Number("AVAILABLE")], None);
        let rows = ["-2", "2"].map(|units| vec![quantity(units)]);
        listing.add(&mut out, rows.into_iter()).unwrap();
        listing.finish(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let coloured: Vec<bool> =
            text.lines().map(|line| line.contains("\u{1b}[38;5;9m")).collect();
        assert_eq!(coloured, [false, true, false], "{text:?}");
    }

    #[test]
    fn text_from_outside_cannot_steer_the_terminal() {
        assert_eq!(
            printable("a\u{1b}[2Jb\r\n\tc", false),
            "a\u{fffd}[2Jb\u{fffd}\u{fffd}\u{fffd}c"
        );
        assert_eq!(printable("a\u{1b}[2Jb\n\tc", true), "a\u{fffd}[2Jb\n\tc");
    }
}
