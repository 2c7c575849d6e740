//! What shops really sent, through a real server: `fixtures/field`.
//!
//! Goal: each row counts what is right, on both backends, in every order of its bodies and with
//! repetitions. Each row in each order is a shop of its own. The right values, lists and counters
//! are those of the specification's table, which came with the bodies; a list that is not named
//! must be empty.

use std::path::Path;

use serde_json::{Value, json};
use storekeeper::domain::{Counts, List, Site};
use storekeeper::store::{Direction, PageRequest, StockItem};

use super::backends::AtWork;
use super::{CREATED, DELETED, SITE, UPDATED, fixture, get};
use crate::distributed::deployment::Deployment;

/// One row of the table.
struct Row {
    /// Its number, which begins the names of its site and bodies.
    no: &'static str,
    /// The letters of its bodies, in their order.
    letters: &'static str,
    /// The items, each with committed/fulfilled and what is available.
    right: &'static str,
    /// The lists of orders that are not empty.
    lists: &'static str,
    /// A counter, and what it counts when the bodies come once, in the order of their letters.
    counted: Option<(&'static str, u64)>,
}

const fn row(no: &'static str, letters: &'static str, right: &'static str) -> Row {
    Row { no, letters, right, lists: "", counted: None }
}

#[rustfmt::skip]
const BY_DEFAULT: [Row; 15] = [
    row("01", "ab", "variation:V 3/0 available -3"),
    Row { lists: "after-deletion id:o", ..row("03", "abc", "") },
    row("04", "ab", ""),
    Row { counted: Some(("quantities_rounded", 1)),
        ..row("06", "", "variation:KG 0.3/0 available -0.3, variation:V 4/0 available -4") },
    row("07", "bc", "variation:VB 1/0 available -1, variation:VC 1/0 available -1"),
    row("08", "a", "variation:VA 1/0 available -1"),
    row("16", "ab", ""),
    row("19", "ab", "product:DON 25/0 available -25 untracked"),
    row("21", "ab", ""),
    row("23", "abc", "variation:V 0/3 available 7"),
    row("26", "ab", "variation:V 0/1 available -1"),
    row("53", "abc", ""),
    Row { lists: "contested external-id:shop id:A id:B", counted: Some(("names_contested", 1)),
        ..row("60", "abc", "variation:V 8/0 available -8") },
    row("61", "ab", "variation:V 0/3 available -3"),
    // The guide's three events of one timestamp.
    row("guide", "abc", ""),
];

#[rustfmt::skip]
const BY_LINES: [Row; 4] = [
    Row { counted: Some(("refund_lines_unmatched", 1)),
        ..row("33", "abc", "variation:V 2/0 available -2") },
    row("34", "abc", "variation:V 1/0 available -1"),
    Row { lists: "waiting id:0d3c", ..row("42", "ab", "variation:V 1/0 available -1") },
    // An event bears both names: the refund is of this order.
    row("42", "abc", ""),
];

/// The body of a row, for a shop of this name.
fn body(row: &Row, letter: &str, site: &str) -> String {
    if row.no == "guide" {
        let name = [CREATED, UPDATED, DELETED]["abc".find(letter).unwrap()];
        return fixture(name).replace(SITE, site);
    }
    let is_both_names = (row.no, letter) == ("42", "c");
    let file = if is_both_names { "42a".to_owned() } else { format!("{}{letter}", row.no) };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/field/{file}.json"));
    let text = std::fs::read_to_string(&path).unwrap();
    // Numbers must come as they were written.
    let of_site = format!("\"c{}\"", row.no);
    assert!(text.contains(&of_site), "{file} is of another shop");
    let text = text.replace(&of_site, &format!("\"{site}\""));
    if !is_both_names {
        return text;
    }
    let mut body: Value = serde_json::from_str(&text).unwrap();
    body["data"]["id"] = json!("0d3c");
    body["event_type"] = json!("ECOMM_ORDER_UPDATED");
    body["event_timestamp"] = json!(1_780_000_005_000_i64);
    body.to_string()
}

/// Every order of the letters.
fn orders(letters: &[&'static str]) -> Vec<Vec<&'static str>> {
    let Some((first, rest)) = letters.split_first() else { return vec![Vec::new()] };
    let mut all = Vec::new();
    for shorter in orders(rest) {
        for place in 0..=shorter.len() {
            let mut longer = shorter.clone();
            longer.insert(place, *first);
            all.push(longer);
        }
    }
    all
}

/// What was received before the first body.
async fn receive(at_work: &mut AtWork, row: &Row, site: &str) {
    if row.no == "23" {
        let body = json!({"quantity": "10", "reference": "opening", "create": true});
        at_work.ask(&format!("/v1/sites/{site}/stock/variation:V/receipts"), body).await;
    }
}

/// The items of a shop that count something.
async fn stock(at_work: &AtWork, site: &str) -> String {
    let site = Site::parse(site).unwrap();
    let page = at_work.store.stock(&site, None, &PageRequest::first(100)).await.unwrap();
    let items = page.items.into_iter().filter(|item| item.counts != Counts::default());
    let item = |item: StockItem| {
        let (key, counts) = (item.key, item.counts);
        let untracked = if item.is_untracked { " untracked" } else { "" };
        let (committed, fulfilled) = (counts.committed, counts.fulfilled);
        format!(
            "{key} {committed}/{fulfilled} available {}{untracked}",
            counts.available().normalize()
        )
    };
    items.map(item).collect::<Vec<_>>().join(", ")
}

/// The lists of a shop's orders that are not empty, with the orders' names.
async fn lists(at_work: &AtWork, site: &str) -> String {
    let site = Site::parse(site).unwrap();
    let mut found = Vec::new();
    for list in List::ALL.into_iter().filter(|it| ![List::All, List::Final].contains(it)) {
        let all = PageRequest::first(100);
        let page = at_work.store.listed(&site, list, Direction::OldestFirst, &all).await.unwrap();
        let mut names: Vec<_> = page.items.iter().map(|it| it.order.to_string()).collect();
        names.sort();
        if !names.is_empty() {
            found.push(format!("{} {}", list.as_str(), names.join(" ")));
        }
    }
    found.join(", ")
}

/// Once, in the order of the letters: each body has its outcome before the next is sent.
async fn in_their_order(at_work: &mut AtWork, row: &Row) -> String {
    let site = format!("{}-{}-in-order", row.no, row.letters.len());
    let before = match row.counted {
        Some((counter, _)) => at_work.counted(counter).await,
        None => 0,
    };
    receive(at_work, row, &site).await;
    for letter in letters(row) {
        at_work.post(body(row, letter, &site)).await;
        at_work.settled().await;
    }
    if let Some((counter, right)) = row.counted {
        let counted = at_work.counted(counter).await - before;
        assert_eq!(counted, right, "{counter} of row {}", row.no);
    }
    site
}

/// In every order, and each body once more; nobody waits.
async fn in_every_order(at_work: &mut AtWork, row: &Row) -> Vec<String> {
    let mut sites = Vec::new();
    for order in orders(&letters(row)) {
        let site = format!("{}-{}", row.no, order.concat());
        receive(at_work, row, &site).await;
        for letter in order.iter().chain(order.iter().rev()) {
            at_work.post(body(row, letter, &site)).await;
        }
        sites.push(site);
    }
    sites
}

/// The letters of a row; the one body of a row that has no letters has none, too.
fn letters(row: &Row) -> Vec<&'static str> {
    if row.letters.is_empty() {
        vec![""]
    } else {
        (0..row.letters.len()).filter_map(|it| row.letters.get(it..=it)).collect()
    }
}

async fn all_rows_are_right(mut at_work: AtWork, rows: &[Row]) {
    let mut shops = Vec::new();
    for row in rows {
        shops.push((row, in_their_order(&mut at_work, row).await));
    }
    for row in rows {
        let sites = in_every_order(&mut at_work, row).await;
        shops.extend(sites.into_iter().map(|site| (row, site)));
    }
    at_work.settled().await;
    let mut wrong = Vec::new();
    for (row, site) in &shops {
        let found = (stock(&at_work, site).await, lists(&at_work, site).await);
        if found != (row.right.to_owned(), row.lists.to_owned()) {
            wrong.push(format!("{site}: {found:?} and not {:?}", (row.right, row.lists)));
        }
    }
    assert!(wrong.is_empty(), "{} of {} shops:\n{}", wrong.len(), shops.len(), wrong.join("\n"));
    assert_eq!(at_work.store.dead_letter_counts().await.unwrap(), []);
    only_what_is_tracked_is_oversold(&at_work).await;
    for (row, site) in &shops {
        match row.no {
            "03" => a_person_can_hold_it(&mut at_work, site).await,
            "33" => what_a_refund_misses_is_shown(&at_work, site).await,
            _ => {}
        }
        let site = Site::parse(site).unwrap();
        let audited =
            storekeeper::upkeep::audit::site(&*at_work.store, &site, |_| {}).await.unwrap();
        assert_eq!(audited.differences, [], "{site}");
    }
    at_work.store.close().await;
}

async fn only_what_is_tracked_is_oversold(at_work: &AtWork) {
    let mut oversold = 0;
    for site in at_work.store.sites().await.unwrap() {
        let stock = stock(at_work, site.as_str()).await;
        let items = stock.split(", ").filter(|item| item.contains("available -"));
        oversold += items.filter(|item| !item.contains("untracked")).count() as u64;
    }
    assert_eq!(at_work.store.oversold().await.unwrap(), oversold);
}

/// An order that was updated after its deletion holds its goods again once a person says so.
async fn a_person_can_hold_it(at_work: &mut AtWork, site: &str) {
    let order = get(&at_work.server, &format!("/v1/sites/{site}/orders/id:o")).await;
    assert_eq!((&order["deleted"], &order["after_deletion"]), (&json!(true), &json!(true)));
    let hold = json!({"action": "hold", "shown": order["shown"], "reference": "TICKET-1",
        "reason": "deleted by mistake"});
    at_work.ask(&format!("/v1/sites/{site}/orders/id:o/corrections"), hold).await;
    assert_eq!(stock(at_work, site).await, "variation:V 2/0 available -2", "{site}");
    assert_eq!(lists(at_work, site).await, "corrected id:o", "{site}");
}

/// A refund of a line that an edit replaced is shown on its order.
async fn what_a_refund_misses_is_shown(at_work: &AtWork, site: &str) {
    let order = get(&at_work.server, &format!("/v1/sites/{site}/orders/id:o")).await;
    let lines = json!([{"id": "l1", "quantity": "1", "matched": false}]);
    assert_eq!(order["refunds"][0]["lines"], lines, "{site}: {order}");
}

#[tokio::test]
async fn what_shops_sent_is_counted_right_by_the_embedded_backend() {
    all_rows_are_right(AtWork::embedded(false).await, &BY_DEFAULT).await;
    all_rows_are_right(AtWork::embedded(true).await, &BY_LINES).await;
}

#[tokio::test]
async fn what_shops_sent_is_counted_right_by_the_distributed_backend() {
    let deployment = Deployment::start().await;
    all_rows_are_right(AtWork::distributed(&deployment, false).await, &BY_DEFAULT).await;
    all_rows_are_right(AtWork::distributed(&deployment, true).await, &BY_LINES).await;
}

/// No file of the field is left out.
#[test]
fn every_body_from_the_field_is_in_a_row() {
    let mut named: Vec<String> = BY_DEFAULT
        .iter()
        .chain(&BY_LINES)
        .flat_map(|row| letters(row).into_iter().map(|letter| format!("{}{letter}.json", row.no)))
        .filter(|name| !name.starts_with("guide") && name != "42c.json")
        .collect();
    named.sort();
    named.dedup();
    let found: Vec<_> =
        crate::bodies::bodies("fixtures/field").into_iter().map(|body| body.name).collect();
    assert_eq!(named, found);
}
