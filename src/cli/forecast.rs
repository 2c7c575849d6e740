//! What a replay or an edit of dead letters would do, as tables.

use std::io;

use comfy_table::Cell;

use super::output::Output;
use super::table::{Column, optional, text, write_section, write_table};
use crate::console::views::{DeadLetterForecastView, ForecastView, StockEffectView};

/// Writes the outcome of each dead letter, and what would be added to the stock.
pub(super) fn write_forecast(forecast: &ForecastView, output: &mut Output<'_>) -> io::Result<()> {
    write_table(FORECAST_COLUMNS, &forecast.letters, output)?;
    let heading = "What it would add to the stock";
    write_section(heading, EFFECT_COLUMNS, &forecast.stock, "nothing", output)?;
    if forecast.cut_off {
        let tried = forecast.letters.len();
        output.say(format_args!("there are more dead letters than these {tried}"))?;
    }
    Ok(())
}

const FORECAST_COLUMNS: &[Column<DeadLetterForecastView>] = &[
    Column::name("ID", |letter| text(&letter.id)),
    Column::text("WOULD BE", |letter| text(letter.outcome)),
    Column::text("REASON", |letter| optional(letter.reason)),
    Column::text("DETAIL", |letter| optional(letter.detail.as_deref())),
];

const EFFECT_COLUMNS: &[Column<StockEffectView>] = &[
    Column::name("SITE", |effect| text(&effect.site)),
    Column::name("KEY", |effect| text(&effect.key)),
    Column::number("RECEIVED", |effect| Cell::new(&effect.received)),
    Column::number("COMMITTED", |effect| Cell::new(&effect.committed)),
    Column::number("FULFILLED", |effect| Cell::new(&effect.fulfilled)),
];
