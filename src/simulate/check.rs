//! Compares a service's stock and dead letters with the model's, in both directions.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Serialize, Serializer};

use super::console::StockRow;
use super::model::{Counts, Holder, Item, Model, as_text};

/// The most holders of an item that a difference lists.
const HOLDERS_SHOWN: usize = 8;

/// The result of a comparison.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Check {
    /// How many stock items were compared.
    pub items: u64,
    /// How many dead letters were compared.
    pub dead_letters: u64,
    /// The items whose counts differ.
    pub stock: Vec<StockDifference>,
    /// The messages that are dead letters and should not be, or the reverse, or have another
    /// reason.
    pub letters: Vec<DeadLetterDifference>,
}

/// The counts of an item that are compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// Units received; `None` if they are not compared.
    #[serde(serialize_with = "as_text_if_any", skip_serializing_if = "Option::is_none")]
    pub received: Option<Decimal>,
    /// Units committed to orders.
    #[serde(serialize_with = "super::model::as_text")]
    pub committed: Decimal,
    /// Units that have left.
    #[serde(serialize_with = "super::model::as_text")]
    pub fulfilled: Decimal,
}

impl Counted {
    fn is_nothing(&self) -> bool {
        self.received.is_none_or(|units| units.is_zero())
            && self.committed.is_zero()
            && self.fulfilled.is_zero()
    }
}

#[expect(clippy::ref_option, reason = "serde gives it so")]
fn as_text_if_any<S: Serializer>(
    units: &Option<Decimal>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match units {
        Some(units) => as_text(units, serializer),
        None => serializer.serialize_none(),
    }
}

/// An item whose counts differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StockDifference {
    /// The item.
    #[serde(flatten)]
    pub item: Item,
    /// The model's counts.
    pub expected: Counted,
    /// The service's counts; `None` if it has no such item.
    pub found: Option<Counted>,
    /// Some of the orders that hold the item, according to the model.
    pub holders: Vec<Holder>,
    /// How many orders hold it in all.
    pub holders_count: u64,
}

/// A message whose fate differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadLetterDifference {
    /// The message.
    pub message_id: String,
    /// The reason according to the model; `None` if it should not be a dead letter.
    pub expected: Option<String>,
    /// The reason in the service; `None` if it is not a dead letter there.
    pub found: Option<String>,
}

impl Check {
    /// Returns whether the service and the model agree.
    pub fn holds(&self) -> bool {
        self.stock.is_empty() && self.letters.is_empty()
    }
}

/// Compares the stock of the listed sites. Received units are compared only if the model knows
/// every receipt. An item whose counts are all zero equals a missing item: whether it exists
/// depends on the order of arrival.
pub fn compare_stock(
    model: &Model,
    knows_goods: bool,
    listed: &BTreeMap<String, Vec<StockRow>>,
) -> (u64, Vec<StockDifference>) {
    let mut holders = model.holders();
    let counted = |received, committed, fulfilled| {
        let received = knows_goods.then_some(received);
        Counted { received, committed, fulfilled }
    };
    let nothing = counted(Decimal::ZERO, Decimal::ZERO, Decimal::ZERO);
    let mut compared: BTreeMap<Item, (Counted, Option<Counted>)> = BTreeMap::new();
    for (item, Counts { received, committed, fulfilled }) in model.stock() {
        compared.insert(item, (counted(received, committed, fulfilled), None));
    }
    for (site, rows) in listed {
        for row in rows {
            let item = Item { site: site.clone(), key: row.key.clone() };
            let found = counted(row.received, row.committed, row.fulfilled);
            compared.entry(item).or_insert((nothing, None)).1 = Some(found);
        }
    }
    // Whether an item with zero counts exists depends on the order of arrival; the number of
    // compared items must not.
    let counts_something = |(expected, found): &&(Counted, Option<Counted>)| {
        !expected.is_nothing() || found.is_some_and(|found| !found.is_nothing())
    };
    let items = compared.values().filter(counts_something).count() as u64;
    compared.retain(|_, (expected, found)| *expected != found.unwrap_or(nothing));
    let differences = compared.into_iter().map(|(item, (expected, found))| {
        let mut holders = holders.remove(&item).unwrap_or_default();
        let holders_count = holders.len() as u64;
        holders.truncate(HOLDERS_SHOWN);
        StockDifference { item, expected, found, holders, holders_count }
    });
    (items, differences.collect())
}

/// Compares the fates of the messages that were posted: `expected` has the reason for those that
/// must be dead letters. Dead letters of other messages are not compared.
pub fn compare_dead_letters(
    expected: &BTreeMap<String, Option<String>>,
    found: &BTreeMap<String, String>,
) -> (u64, Vec<DeadLetterDifference>) {
    let compared = expected.values().flatten().count() as u64;
    let differing = expected.iter().filter(|(id, expected)| found.get(*id) != expected.as_ref());
    let differences = differing.map(|(message_id, expected)| DeadLetterDifference {
        message_id: message_id.clone(),
        expected: expected.clone(),
        found: found.get(message_id).cloned(),
    });
    (compared, differences.collect())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;

    use super::*;
    use crate::simulate::model::{ModelPolicy, Receipt};

    fn model() -> Model {
        let mut model = Model::new(ModelPolicy::default());
        for (order, product, quantity) in [("A", "P", 2), ("B", "P", 3), ("C", "Q", 1)] {
            let body = json!({"event_type": "ECOMM_ORDER_CREATED", "event_timestamp": 1_710_000_000_000_i64,
                "resource_data": {"site_name": "s"}, "data": {"id": order, "status": "PROCESSED",
                "items": [{"product_id": product, "quantity": quantity}]}});
            model.observe(&Bytes::from(body.to_string()), 1_710_000_000_000);
        }
        model
    }

    fn row(key: &str, committed: i64) -> StockRow {
        let zero = Decimal::ZERO;
        let (key, committed) = (key.to_owned(), Decimal::from(committed));
        // Seven units were received, and the model knows of none of them.
        let received = Decimal::from(7);
        StockRow { key, name: None, received, committed, fulfilled: zero, available: zero }
    }

    fn differences(rows: Vec<StockRow>) -> Vec<(String, Option<Decimal>, Decimal, u64)> {
        let listed = BTreeMap::from([("s".to_owned(), rows)]);
        let (_, differences) = compare_stock(&model(), false, &listed);
        let shown = differences.into_iter().map(|difference| {
            let found = difference.found.map(|found| found.committed);
            let expected = difference.expected.committed;
            (difference.item.key, found, expected, difference.holders_count)
        });
        shown.collect()
    }

    #[test]
    fn equal_stock_has_no_differences() {
        // Neither an item with zero counts nor an item that neither side knows is a difference.
        let rows = vec![row("product:P", 5), row("product:Q", 1), row("sku:gone", 0)];
        let listed = BTreeMap::from([("s".to_owned(), rows)]);
        assert_eq!(compare_stock(&model(), false, &listed), (2, Vec::new()));
    }

    #[test]
    fn missing_extra_and_different_items_are_named() {
        let (five, one, four) = (Decimal::from(5), Decimal::ONE, Decimal::from(4));
        let product = |name: &str| format!("product:{name}");
        assert_eq!(
            differences(vec![row("product:P", 4), row("product:X", 1)]),
            [
                (product("P"), Some(four), five, 2),
                (product("Q"), None, one, 1),
                (product("X"), Some(one), Decimal::ZERO, 0),
            ]
        );
    }

    #[test]
    fn what_came_in_is_compared_where_it_is_known() {
        let seven = |key: &str| {
            let item = Item { site: "s".to_owned(), key: key.to_owned() };
            let (reference, message_id) = ("R".to_owned(), "1".to_owned());
            Receipt { item, reference, message_id, quantity: Decimal::from(7) }
        };
        let mut model = model();
        for key in ["product:P", "product:Q", "sku:full"] {
            model.receive(seven(key));
        }
        let rows = ["product:P", "product:Q", "sku:full"].into_iter().zip([5, 1, 0]);
        let mut rows: Vec<_> = rows.map(|(key, committed)| row(key, committed)).collect();
        let listed = |rows: &[StockRow]| BTreeMap::from([("s".to_owned(), rows.to_vec())]);
        assert_eq!(compare_stock(&model, true, &listed(&rows)), (3, Vec::new()));
        rows[1].received = Decimal::from(8);
        rows.remove(2);
        let (items, differences) = compare_stock(&model, true, &listed(&rows));
        let found = differences.iter().map(|difference| {
            let found = difference.found.and_then(|found| found.received);
            (difference.item.key.as_str(), found, difference.expected.received)
        });
        let (seven, eight) = (Some(Decimal::from(7)), Some(Decimal::from(8)));
        assert_eq!(items, 3);
        assert_eq!(
            found.collect::<Vec<_>>(),
            [("product:Q", eight, seven), ("sku:full", None, seven)]
        );
    }

    #[test]
    fn dead_letters_are_compared_both_ways() {
        let reason = |text: &str| Some(text.to_owned());
        let expected = BTreeMap::from([
            ("1".to_owned(), reason("decode.not_json")),
            ("2".to_owned(), reason("decode.not_json")),
            ("3".to_owned(), reason("decode.not_json")),
            ("4".to_owned(), None),
            ("5".to_owned(), None),
        ]);
        let found =
            [("1", "decode.not_json"), ("2", "worker.panic"), ("5", "stock.overflow"), ("9", "x")];
        let found = found.map(|(id, reason)| (id.to_owned(), reason.to_owned()));
        let (compared, differences) = compare_dead_letters(&expected, &BTreeMap::from(found));
        assert_eq!(compared, 3);
        let ids: Vec<&str> = differences.iter().map(|one| one.message_id.as_str()).collect();
        assert_eq!(ids, ["2", "3", "5"]);
    }
}
