//! The results of a run, for people and for programs.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use indicatif::HumanCount;
use rust_decimal::Decimal;
use serde::Serialize;

use super::check::{Check, Counted, DeadLetterDifference, StockDifference};
use super::console::StockRow;
use super::history::History;
use super::model::Holder;
use super::poster::Posted;

/// The most items of a site that are shown.
const ROWS_SHOWN: usize = 20;
/// The most differences that are shown.
const DIFFERENCES_SHOWN: usize = 20;
/// The first column that contains numbers.
const FIRST_NUMBER: usize = 2;

/// The result of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What was posted.
    pub sent: Sent,
    /// How fast it was posted.
    pub speed: Speed,
    /// The stock of each site after the run, if the console was asked.
    pub stock: Option<BTreeMap<String, Vec<StockRow>>>,
    /// The result of the comparison with the model, if there was one.
    pub check: Option<Check>,
}

/// What was posted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sent {
    /// The seed of the history.
    pub seed: u64,
    /// The number of orders in the history.
    pub orders: u32,
    /// How many bodies were posted and accepted.
    pub deliveries: u64,
    /// The accepted bodies by kind.
    pub by_kind: BTreeMap<&'static str, u64>,
    /// How many of them repeat an earlier one.
    pub duplicates: u64,
    /// How many of them came after a later event of their order.
    pub reordered: u64,
    /// How many of them must become dead letters.
    pub malformed: u64,
    /// How many attempts were repeated.
    pub retries: u64,
}

/// How fast bodies were accepted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Speed {
    /// How long the whole history took.
    pub seconds: f64,
    /// How many bodies were accepted per second.
    pub per_second: u64,
    /// The time within which half of them were answered, in milliseconds.
    pub latency_p50_ms: f64,
    /// The time within which all but one in a hundred were answered, in milliseconds.
    pub latency_p99_ms: f64,
}

impl Sent {
    pub(super) fn of(history: &History, answers: &[Posted]) -> Self {
        Self {
            seed: history.options.seed,
            orders: history.options.orders,
            deliveries: answers.len() as u64,
            by_kind: history.counts(),
            duplicates: history.duplicates(),
            reordered: history.reordered,
            malformed: history.malformed(),
            retries: answers.iter().map(|answer| u64::from(answer.attempts - 1)).sum(),
        }
    }
}

impl Speed {
    pub(super) fn of(answers: &[Posted], took: Duration) -> Self {
        let mut latencies: Vec<Duration> = answers.iter().map(|answer| answer.latency).collect();
        latencies.sort_unstable();
        let within = |percent: usize| {
            let place = (latencies.len() * percent).div_ceil(100).saturating_sub(1);
            latencies.get(place).map_or(0.0, |latency| latency.as_secs_f64() * 1000.0)
        };
        let per_second = answers.len() as u128 * 1_000_000 / took.as_micros().max(1);
        Self {
            seconds: took.as_secs_f64(),
            per_second: u64::try_from(per_second).unwrap_or(u64::MAX),
            latency_p50_ms: within(50),
            latency_p99_ms: within(99),
        }
    }
}

impl Report {
    /// Returns whether the comparison found no difference; true if nothing was compared.
    pub fn holds(&self) -> bool {
        self.check.as_ref().is_none_or(Check::holds)
    }

    /// Writes the report as one JSON object.
    pub fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        serde_json::to_writer(&mut *out, self)?;
        writeln!(out)
    }

    /// Writes the report for people; the verdict is its last line.
    pub fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        let Sent { seed, orders, deliveries, duplicates, reordered, malformed, retries, .. } =
            self.sent;
        writeln!(
            out,
            "Sent {} webhooks of {} orders (seed {seed}) in {:.1} s: {} a second, half of them \
             answered within {:.1} ms, 99 of 100 within {:.1} ms.",
            HumanCount(deliveries),
            HumanCount(u64::from(orders)),
            self.speed.seconds,
            HumanCount(self.speed.per_second),
            self.speed.latency_p50_ms,
            self.speed.latency_p99_ms,
        )?;
        let kinds = self.sent.by_kind.iter();
        let kinds: Vec<String> =
            kinds.map(|(label, count)| format!("{label} {}", HumanCount(*count))).collect();
        writeln!(out, "Of these: {}.", kinds.join(", "))?;
        writeln!(
            out,
            "{} were duplicates, {} came after a later event of their order, {} were malformed; \
             {} had to be sent again.",
            HumanCount(duplicates),
            HumanCount(reordered),
            HumanCount(malformed),
            HumanCount(retries),
        )?;
        for (site, rows) in self.stock.iter().flatten() {
            write_site(out, site, rows)?;
        }
        writeln!(out)?;
        match &self.check {
            None => writeln!(out, "The stock was not compared with the model; --check does."),
            Some(check) if check.holds() => writeln!(
                out,
                "The stock equals the model: {} items, {} orders, {} deliveries ({} of them \
                 duplicates).",
                HumanCount(check.items),
                HumanCount(u64::from(orders)),
                HumanCount(deliveries),
                HumanCount(duplicates),
            ),
            Some(check) => write_differences(out, check),
        }
    }
}

/// Writes a table of the items that orders hold most of.
fn write_site(out: &mut dyn Write, site: &str, rows: &[StockRow]) -> io::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut largest: Vec<&StockRow> = rows.iter().collect();
    largest.sort_by_key(|row| (std::cmp::Reverse(row.committed + row.fulfilled), &row.key));
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.force_no_tty();
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["item", "key", "received", "committed", "fulfilled", "available"]);
    for row in largest.iter().take(ROWS_SHOWN) {
        let name = row.name.clone().unwrap_or_default();
        let counts = [row.received, row.committed, row.fulfilled, row.available].map(shown);
        table.add_row([name, row.key.clone()].into_iter().chain(counts));
    }
    for column in table.column_iter_mut().skip(FIRST_NUMBER) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    writeln!(out, "\n{site}")?;
    for line in table.lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    let more = rows.len().saturating_sub(ROWS_SHOWN);
    if more > 0 { writeln!(out, "  and {more} more") } else { Ok(()) }
}

fn write_differences(out: &mut dyn Write, check: &Check) -> io::Result<()> {
    for difference in check.stock.iter().take(DIFFERENCES_SHOWN) {
        write_item(out, difference)?;
    }
    write_more(out, check.stock.len(), "items")?;
    for DeadLetterDifference { message_id, expected, found } in
        check.letters.iter().take(DIFFERENCES_SHOWN)
    {
        let expected = expected.as_deref().unwrap_or("no dead letter");
        let found = found.as_deref().unwrap_or("none");
        writeln!(out, "message {message_id}: expected {expected}, found {found}")?;
    }
    write_more(out, check.letters.len(), "messages")?;
    writeln!(
        out,
        "The stock does not equal the model: {} of {} items differ, and {} dead letters.",
        HumanCount(check.stock.len() as u64),
        HumanCount(check.items),
        HumanCount(check.letters.len() as u64),
    )
}

fn write_item(out: &mut dyn Write, difference: &StockDifference) -> io::Result<()> {
    let StockDifference { item, expected, found, holders, holders_count } = difference;
    let found = found.as_ref().map_or_else(|| "no such item".to_owned(), Counted::to_string);
    writeln!(out, "{} {}: expected {expected}; found {found}", item.site, item.key)?;
    for holder in holders {
        let Holder { order, committed, fulfilled } = holder;
        let expected = Counted { received: None, committed: *committed, fulfilled: *fulfilled };
        writeln!(out, "  {order} should hold {expected}")?;
    }
    let more = holders_count.saturating_sub(holders.len() as u64);
    if more > 0 { writeln!(out, "  and {more} more orders") } else { Ok(()) }
}

fn write_more(out: &mut dyn Write, count: usize, what: &str) -> io::Result<()> {
    let more = count.saturating_sub(DIFFERENCES_SHOWN);
    if more > 0 { writeln!(out, "and {more} more {what}") } else { Ok(()) }
}

impl std::fmt::Display for Counted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(received) = self.received {
            write!(f, "received {}, ", shown(received))?;
        }
        write!(f, "committed {}, fulfilled {}", shown(self.committed), shown(self.fulfilled))
    }
}

fn shown(quantity: Decimal) -> String {
    quantity.normalize().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::model::Item;

    fn report(check: Option<Check>) -> Report {
        let row = |name: Option<&str>, key: &str, counts: [i64; 3]| {
            let [received, committed, fulfilled] = counts.map(|count| Decimal::new(count, 2));
            let available = received - committed - fulfilled;
            let (name, key) = (name.map(str::to_owned), key.to_owned());
            StockRow { key, name, received, committed, fulfilled, available }
        };
        let tea = vec![
            row(None, "sku:LEAF-142", [1200, 300, 0]),
            row(Some("Earl Grey"), "product:aGf1", [2000, 1825, 400]),
        ];
        let stock =
            BTreeMap::from([("seed1-market".to_owned(), vec![]), ("seed1-tea".to_owned(), tea)]);
        Report {
            sent: Sent {
                seed: 1,
                orders: 2000,
                deliveries: 7812,
                by_kind: BTreeMap::from([("order created", 2600), ("refund created", 86)]),
                duplicates: 1532,
                reordered: 998,
                malformed: 83,
                retries: 2,
            },
            speed: Speed {
                seconds: 3.21,
                per_second: 2433,
                latency_p50_ms: 4.04,
                latency_p99_ms: 21.5,
            },
            stock: Some(stock),
            check,
        }
    }

    fn text(report: &Report) -> String {
        let mut out = Vec::new();
        report.write_text(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_report_is_read_with_pleasure() {
        let check = Check { items: 1214, dead_letters: 83, ..Check::default() };
        let report = report(Some(check));
        assert!(report.holds());
        insta::assert_snapshot!(text(&report), @r"
        Sent 7,812 webhooks of 2,000 orders (seed 1) in 3.2 s: 2,433 a second, half of them answered within 4.0 ms, 99 of 100 within 21.5 ms.
        Of these: order created 2,600, refund created 86.
        1,532 were duplicates, 998 came after a later event of their order, 83 were malformed; 2 had to be sent again.

        seed1-tea
         item       key           received  committed  fulfilled  available
         Earl Grey  product:aGf1        20      18.25          4      -2.25
                    sku:LEAF-142        12          3          0          9

        The stock equals the model: 1,214 items, 2,000 orders, 7,812 deliveries (1,532 of them duplicates).
        ");
    }

    #[test]
    fn a_large_site_is_cut_to_what_is_held_most() {
        let mut report = report(None);
        let tea = report.stock.as_mut().unwrap().get_mut("seed1-tea").unwrap();
        let row = tea[0].clone();
        tea.extend((1..=23).map(|number| StockRow {
            key: format!("line:{number:02}"),
            committed: Decimal::from(100 + number),
            ..row.clone()
        }));
        let text = text(&report);
        assert!(text.contains("line:23") && text.contains("line:04"), "{text}");
        assert!(!text.contains("line:03") && !text.contains("product:aGf1"), "{text}");
        assert!(text.contains("  and 5 more\n"), "{text}");
    }

    fn counted(received: Option<Decimal>, committed: i64) -> Counted {
        Counted { received, committed: Decimal::from(committed), fulfilled: Decimal::ZERO }
    }

    fn difference(number: usize, found: Option<Counted>, holders: Vec<Holder>) -> StockDifference {
        StockDifference {
            item: Item { site: "seed1-tea".to_owned(), key: format!("product:{number}") },
            expected: counted(found.and_then(|found| found.received), 3),
            found,
            holders_count: holders.len() as u64 * 5,
            holders,
        }
    }

    /// Returns the part of the report after the tables.
    fn verdict(check: Check) -> String {
        let report = report(Some(check));
        assert!(!report.holds());
        let text = text(&report);
        text.rsplit_once("\n\n").unwrap().1.to_owned()
    }

    #[test]
    fn differences_name_what_was_expected_and_who_should_hold_it() {
        let holder = Holder {
            order: "id:A".to_owned(),
            committed: Decimal::new(125, 2),
            fulfilled: Decimal::ZERO,
        };
        let found = counted(Some(Decimal::TEN), 4);
        let letter = |expected: Option<&str>, found: Option<&str>| DeadLetterDifference {
            message_id: "0197c7f5".to_owned(),
            expected: expected.map(str::to_owned),
            found: found.map(str::to_owned),
        };
        let check = Check {
            items: 50,
            dead_letters: 9,
            stock: vec![difference(0, Some(found), vec![holder]), difference(1, None, vec![])],
            letters: vec![
                letter(Some("decode.not_json"), None),
                letter(None, Some("worker.panic")),
            ],
        };
        insta::assert_snapshot!(verdict(check), @r"
        seed1-tea product:0: expected received 10, committed 3, fulfilled 0; found received 10, committed 4, fulfilled 0
          id:A should hold committed 1.25, fulfilled 0
          and 4 more orders
        seed1-tea product:1: expected committed 3, fulfilled 0; found no such item
        message 0197c7f5: expected decode.not_json, found none
        message 0197c7f5: expected no dead letter, found worker.panic
        The stock does not equal the model: 2 of 50 items differ, and 2 dead letters.
        ");
    }

    #[test]
    fn many_differences_are_cut() {
        let stock = (0..24).map(|number| difference(number, None, vec![])).collect();
        let said = verdict(Check { items: 50, stock, ..Check::default() });
        assert!(said.contains("product:19:") && !said.contains("product:20:"), "{said}");
        assert!(said.contains("and 4 more items\n"), "{said}");
    }

    #[test]
    fn a_report_is_one_json_object() {
        let mut out = Vec::new();
        report(None).write_json(&mut out).unwrap();
        let read: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(read["sent"]["by_kind"]["order created"], 2600);
        assert_eq!(read["stock"]["seed1-tea"][1]["committed"], "18.25");
        assert_eq!(read["check"], serde_json::Value::Null);
        assert_eq!(str::from_utf8(&out).unwrap().lines().count(), 1);
    }
}
