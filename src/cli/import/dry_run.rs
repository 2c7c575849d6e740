//! `stock import --dry-run`: what each row would do, without doing it.

use std::collections::HashMap;

use comfy_table::Cell;
use futures_util::{StreamExt as _, stream};
use rust_decimal::Decimal;
use serde::Serialize;

use super::CONCURRENCY;
use crate::cli::output::Output;
use crate::cli::plural::word;
use crate::cli::table::{Column, Listing, quantity, spare, text};
use crate::domain::{Site, StockKey, causes};
use crate::requests::receipts::{self, Amount, Foreseen, ReceiptError, ReceiptRequest};
use crate::store::Store;

/// What a row would do, in JSON.
#[derive(Debug, Serialize)]
struct RowView {
    /// The line on which the row begins.
    line: u64,
    site: String,
    key: String,
    quantity: String,
    reference: String,
    /// `count`, `repeat` a receipt that was counted before, or `refuse`.
    would: Would,
    /// What is on hand of the item before and after the row.
    before: String,
    after: String,
    /// Why the row would be refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

const COLUMNS: &[Column<RowView>] = &[
    Column::number("LINE", |row| Cell::new(row.line)),
    spare(2, Column::name("SITE", |row| text(&row.site))),
    Column::name("KEY", |row| text(&row.key)),
    Column::number("QUANTITY", |row| quantity(&row.quantity)),
    spare(1, Column::name("REFERENCE", |row| text(&row.reference))),
    Column::name("WOULD", |row| text(row.would.as_str())),
    Column::number("ON HAND", |row| quantity(&row.before)),
    Column::number("AFTER", |row| quantity(&row.after)),
    Column::text("REASON", |row| text(row.reason.as_deref().unwrap_or_default())),
];

/// What would become of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Would {
    /// Its goods would be counted.
    Count,
    /// They were counted before.
    Repeat,
    /// It would be refused.
    Refuse,
}

impl Would {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Repeat => "repeat",
            Self::Refuse => "refuse",
        }
    }
}

/// Shows what the rows would do one after the other; returns whether none would be refused.
pub(super) async fn run(
    store: &dyn Store,
    rows: &[(u64, ReceiptRequest)],
    output: &mut Output<'_>,
) -> anyhow::Result<bool> {
    let foresee = async |row: &(u64, ReceiptRequest)| receipts::foresee(store, &row.1).await;
    let foreseen = stream::iter(rows).map(foresee).buffered(CONCURRENCY);
    let mut foreseen = foreseen.zip(stream::iter(rows)).boxed_local();
    // What earlier rows would add to an item.
    let mut added: HashMap<(&Site, &StockKey), Decimal> = HashMap::new();
    let mut listing = Listing::new(COLUMNS);
    let (mut counted, mut repeated, mut refused) = (0_u64, 0_u64, 0_u64);
    while let Some((found, (line, request))) = foreseen.next().await {
        let (would, counts, reason) = match found {
            Ok(Foreseen { before, repeats: None }) => (Would::Count, before, None),
            Ok(Foreseen { before, repeats: Some(_) }) => (Would::Repeat, before, None),
            Err(error @ ReceiptError::Ask(_)) => return Err(error.into()),
            Err(error) => {
                let before = receipts::counts(store, request).await?;
                (Would::Refuse, before, Some(causes(&error)))
            }
        };
        let quantity = match request.amount {
            Amount::Received(quantity) => quantity.to_decimal(),
            Amount::OnHand(_) | Amount::Void => Decimal::ZERO,
        };
        let earlier = added.entry((&request.site, &request.receipt.key)).or_default();
        let before = counts.on_hand() + *earlier;
        match would {
            Would::Count => {
                *earlier += quantity;
                counted += 1;
            }
            Would::Repeat => repeated += 1,
            Would::Refuse => refused += 1,
        }
        let view = RowView {
            line: *line,
            site: request.site.to_string(),
            key: request.receipt.key.to_string(),
            quantity: quantity.to_string(),
            reference: request.receipt.reference.to_string(),
            would,
            before: before.normalize().to_string(),
            after: (counts.on_hand() + *earlier).normalize().to_string(),
            reason,
        };
        listing.add([view], output)?;
    }
    listing.finish(output)?;
    let were = word(repeated, "was", "were");
    output.say(format_args!(
        "nothing was counted: {counted} would be, {repeated} {were} counted before, {refused} \
         would be refused"
    ))?;
    Ok(refused == 0)
}
