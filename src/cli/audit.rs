//! `audit`: computes every number again and says what differs.

use anyhow::Context;
use clap::Args;
use serde::Serialize;

use super::output::Output;
use super::table::{Column, Listing, optional, text};
use super::{ExitStatus, Format, progress, sites};
use crate::audit::{self, Difference, Findings};
use crate::domain::Site;
use crate::store::Store;

/// What `audit` takes.
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// Only this site.
    #[arg(long, value_name = "SITE", value_parser = Site::parse)]
    pub site: Option<Site>,
}

const COLUMNS: [Column; 6] = [
    Column::Text("SITE"),
    Column::Text("DIFFERS"),
    Column::Text("KEY"),
    Column::Text("ORDER"),
    Column::Text("FOUND"),
    Column::Text("EXPECTED"),
];

/// A difference in JSON.
#[derive(Serialize)]
struct View<'a> {
    site: &'a str,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<String>,
    found: &'a str,
    expected: &'a str,
}

/// What was found in all, in JSON: the last line.
#[derive(Serialize)]
struct Summary {
    /// Stock items that were looked at.
    items: u64,
    /// Orders that were computed again.
    orders: u64,
    /// What differs; of very many, not all have a line.
    differences: u64,
    /// Second names that were seen beside several ids, and lead to none; no difference.
    names_contested: u64,
}

/// Audits the sites and writes what differs, and how much was looked at.
pub async fn run(
    store: &dyn Store,
    args: &AuditArgs,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    let Some(sites) = sites::chosen(store, args.site.as_ref(), output).await? else {
        return Ok(ExitStatus::NotHeld);
    };
    let mut listing = Listing::new(&COLUMNS, output.width);
    let (mut differences, mut orders, mut items, mut names_contested) = (0, 0, 0, 0);
    let bar = progress::count("orders audited");
    for site in &sites {
        let found = audit::site(store, site, |read| bar.inc(read)).await;
        let found = found.with_context(|| format!("cannot audit {site}"))?;
        bar.suspend(|| write_findings(site, &found, &mut listing, output))?;
        differences += found.differences_count;
        orders += found.orders;
        items += found.items;
        names_contested += found.names_contested;
    }
    bar.finish_and_clear();
    listing.finish(output.out)?;
    let contested = match names_contested {
        0 => None,
        1 => Some("1 name was seen beside several ids, and leads to none of them".to_owned()),
        names => {
            Some(format!("{names} names were seen beside several ids, and lead to none of them"))
        }
    };
    if let Some(contested) = contested {
        output
            .say(format_args!("note: {contested}; `orders list --contested` shows the orders"))?;
    }
    let verdict = if differences == 0 {
        "nothing differs".to_owned()
    } else {
        format!("{differences} differ; restore a backup and replay the journal, or report it")
    };
    let sentence = format_args!("{items} stock items and {orders} orders: {verdict}");
    output.verdict(sentence, &Summary { items, orders, differences, names_contested })?;
    Ok(if differences == 0 { ExitStatus::Done } else { ExitStatus::NotHeld })
}

fn write_findings(
    site: &Site,
    found: &Findings,
    listing: &mut Listing,
    output: &mut Output<'_>,
) -> anyhow::Result<()> {
    for difference in &found.differences {
        let view = view(site.as_str(), difference);
        match output.format {
            Format::Table => listing.add(output.out, std::iter::once(row(&view)))?,
            Format::Json => output.json(&view)?,
        }
    }
    Ok(())
}

fn view<'a>(site: &'a str, difference: &'a Difference) -> View<'a> {
    View {
        site,
        kind: difference.kind.as_str(),
        key: difference.key.as_ref().map(ToString::to_string),
        order: difference.order.as_ref().map(ToString::to_string),
        found: &difference.found,
        expected: &difference.expected,
    }
}

fn row(view: &View<'_>) -> Vec<comfy_table::Cell> {
    vec![
        text(view.site),
        text(view.kind),
        optional(view.key.as_deref()),
        optional(view.order.as_deref()),
        text(view.found),
        text(view.expected),
    ]
}
