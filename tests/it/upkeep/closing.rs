//! The sweep closes orders whole, and events that come after that find out.

use bytes::Bytes;
use serde_json::json;
use storekeeper::broker::{Broker, Envelope, EnvelopeKind};
use storekeeper::clock;
use storekeeper::domain::{
    Cancelled, ClosedName, Code, List, OrderId, Policy, Site, StockKey, Timestamp,
};
use storekeeper::duties::close_final;
use storekeeper::store::orders;
use storekeeper::store::{DeadLetterFilter, Direction, PageRequest, ReadStore, UpkeepStore};
use storekeeper::upkeep::rebuild::{Selection, replay};

use super::{Shop, envelope, linked, order};

fn site() -> Site {
    Site::parse("shop").unwrap()
}

fn names<const N: usize>(names: [&str; N]) -> [OrderId; N] {
    names.map(|name| OrderId::parse(name).unwrap())
}

async fn work_off(shop: &Shop, envelopes: &[Envelope]) {
    shop.publish(envelopes).await;
    shop.work_off(&Policy::default()).await;
}

async fn close(shop: &Shop) -> u64 {
    close_final(&*shop.store, clock::now()).await.unwrap()
}

/// What is known of the closing of names.
async fn closed<const N: usize>(shop: &Shop, of: [&str; N]) -> Vec<Option<ClosedName>> {
    shop.store.closed(&site(), &names(of)).await.unwrap().0
}

/// The orders that there are.
async fn open(shop: &Shop) -> Vec<String> {
    let all = PageRequest::first(100);
    let page = shop.store.listed(&site(), List::All, Direction::OldestFirst, &all).await.unwrap();
    let mut orders: Vec<_> = page.items.iter().map(|listed| listed.order.to_string()).collect();
    orders.sort();
    orders
}

/// The reasons of the letters that are parked, and their details.
async fn letters(shop: &Shop) -> Vec<(Code, String)> {
    let all = PageRequest::first(100);
    let page = shop.port().dead_letters(&DeadLetterFilter::default(), &all).await.unwrap();
    let letters = page.items.into_iter().map(|letter| letter.rejection);
    letters.map(|rejection| (rejection.code, rejection.detail)).collect()
}

/// Committed and fulfilled units, and what closed orders left.
async fn units(shop: &Shop) -> [String; 3] {
    let key = StockKey::parse("product:P").unwrap();
    let item = shop.store.stock_item(&site(), &key, &PageRequest::first(100)).await.unwrap();
    let item = item.unwrap();
    let counts = item.item.counts;
    [counts.committed, counts.fulfilled, item.closed_fulfilled].map(|units| units.to_string())
}

#[tokio::test]
async fn an_order_of_several_names_is_closed_whole() {
    let shop = Shop::new();
    let whole = [
        linked(Some("1"), "E", "PROCESSED", 1),
        linked(None, "E", "SHIPPED", 2),
        linked(Some("1"), "F", "DELIVERED", 3),
        linked(None, "G", "DELIVERED", 5),
    ];
    work_off(&shop, &whole).await;
    assert_eq!(open(&shop).await, ["external-id:G", "id:1"]);
    assert_eq!(close(&shop).await, 2);
    assert_eq!(open(&shop).await, Vec::<String>::new());
    assert_eq!(units(&shop).await, ["0", "8", "8"]);
    let (itself, beside) = (Some(ClosedName::Itself), Some(ClosedName::BesideAnId));
    assert_eq!(
        closed(&shop, ["id:1", "external-id:E", "external-id:F", "external-id:G"]).await,
        [itself, beside, beside, itself]
    );
    // Nothing is left of its records, nor of what led to them.
    let all = names(["id:1", "external-id:E", "external-id:F", "external-id:G"]);
    assert_eq!(shop.store.audit_orders(&site(), &all).await.unwrap(), []);
    assert_eq!(shop.store.links(&site(), &PageRequest::first(100)).await.unwrap().items, []);
    shop.assert_audit_is_clean().await;
}

#[tokio::test]
async fn an_event_of_a_closed_order_becomes_a_dead_letter_by_whichever_of_its_names() {
    let bodies = [
        order("1", "SHIPPED", 9),
        linked(Some("1"), "E", "SHIPPED", 9),
        linked(Some("1"), "new", "SHIPPED", 9),
        linked(None, "E", "SHIPPED", 9),
        // It never had an id, so it is the whole name of its order.
        linked(None, "G", "SHIPPED", 9),
        linked(Some("new"), "G", "SHIPPED", 9),
    ];
    for Envelope { body, .. } in bodies {
        let shop = Shop::new();
        let settled = [linked(Some("1"), "E", "DELIVERED", 1), linked(None, "G", "DELIVERED", 2)];
        work_off(&shop, &settled).await;
        assert_eq!(close(&shop).await, 2);
        // It is received after that.
        let late = envelope(EnvelopeKind::Webhook, body);
        work_off(&shop, std::slice::from_ref(&late)).await;
        let found = letters(&shop).await;
        let codes: Vec<_> = found.iter().map(|(code, _)| *code).collect();
        assert_eq!(codes, [Code::OrderExpired], "{late:?}");
        assert!(!found[0].1.contains("is open"), "{found:?}");
        assert_eq!(open(&shop).await, Vec::<String>::new(), "{late:?}");
        assert_eq!(units(&shop).await, ["0", "3", "3"], "{late:?}");
        shop.assert_audit_is_clean().await;
    }
}

#[tokio::test]
async fn another_id_beside_a_name_that_led_to_a_closed_order_is_an_order_of_its_own() {
    let shop = Shop::new();
    work_off(&shop, &[linked(Some("1"), "E", "DELIVERED", 1), order("3", "PROCESSED", 2)]).await;
    assert_eq!(close(&shop).await, 1);
    let others = [linked(Some("2"), "E", "PROCESSED", 4), linked(Some("3"), "E", "PROCESSED", 8)];
    work_off(&shop, &others).await;
    assert_eq!(letters(&shop).await, []);
    assert_eq!(open(&shop).await, ["id:2", "id:3"]);
    assert_eq!(units(&shop).await, ["12", "1", "1"]);
    // From then on the name leads to none of them.
    let contested = PageRequest::first(100);
    let contested =
        shop.store.listed(&site(), List::Contested, Direction::OldestFirst, &contested).await;
    assert_eq!(contested.unwrap().items.len(), 2);
    work_off(&shop, &[linked(None, "E", "PROCESSED", 9)]).await;
    let codes: Vec<_> = letters(&shop).await.into_iter().map(|(code, _)| code).collect();
    assert_eq!(codes, [Code::OrderExpired]);
    assert_eq!(units(&shop).await, ["12", "1", "1"]);
    shop.assert_audit_is_clean().await;
}

#[tokio::test]
async fn the_letter_names_a_record_that_is_open_under_another_of_its_names() {
    let shop = Shop::new();
    work_off(&shop, &[linked(None, "G", "DELIVERED", 1), order("3", "PROCESSED", 2)]).await;
    assert_eq!(close(&shop).await, 1);
    work_off(&shop, &[linked(Some("3"), "G", "CANCELLED", 4)]).await;
    let found = letters(&shop).await;
    assert_eq!(found.len(), 1, "{found:?}");
    let (code, detail) = &found[0];
    assert_eq!(*code, Code::OrderExpired);
    assert!(detail.contains("id:3 is open") && detail.contains("orders release"), "{detail}");
    assert_eq!(units(&shop).await, ["2", "1", "1"]);
}

/// What was received before the orders were closed was known then: a rebuild in which it comes again
/// shows nothing to a person.
#[tokio::test]
async fn what_was_received_before_the_watermark_is_superseded() {
    let shop = Shop::new();
    work_off(&shop, &[linked(Some("1"), "E", "PROCESSED", 1), linked(None, "E", "DELIVERED", 2)])
        .await;
    assert_eq!(close(&shop).await, 1);
    let known = clock::now();
    let all = Selection { since: Some(Timestamp::from_micros(0)), partial: false };
    assert_eq!(replay(&*shop.broker, &*shop.store, all, |_| {}).await.unwrap(), 2);
    shop.work_off(&Policy::default()).await;
    assert_eq!(letters(&shop).await, []);
    assert_eq!(open(&shop).await, Vec::<String>::new());
    assert_eq!(units(&shop).await, ["0", "2", "2"]);
    let (_, watermark) = shop.store.closed(&site(), &names(["id:1"])).await.unwrap();
    assert!(watermark <= known, "{watermark} is after {known}");
    // A dead letter that is sent again is shown, whenever it was received.
    let mut letter = linked(Some("1"), "E", "PROCESSED", 1);
    (letter.replays, letter.received_at) = (1, Timestamp::from_micros(1));
    shop.broker.replay(vec![letter]).await.unwrap();
    shop.work_off(&Policy::default()).await;
    assert_eq!(letters(&shop).await.len(), 1);
}

#[tokio::test]
async fn what_is_promised_is_not_closed() {
    let shop = Shop::new();
    let keep = Policy { cancelled: Cancelled::Keep, ..Policy::default() };
    shop.publish(&[
        linked(Some("1"), "E", "CANCELLED", 1),
        order("2", "PROCESSED", 2),
        linked(Some("3"), "F", "DELIVERED", 4),
    ])
    .await;
    shop.work_off(&keep).await;
    assert_eq!(close(&shop).await, 1);
    assert_eq!(open(&shop).await, ["id:1", "id:2"]);
    assert_eq!(units(&shop).await, ["3", "4", "4"]);
    let still = orders::order(&*shop.store, &site(), &names(["external-id:E"])[0]).await.unwrap();
    assert_eq!(still.unwrap().order.to_string(), "id:1");
    shop.assert_audit_is_clean().await;
}

/// An event that names an order by a second name only is news of the order, too.
#[tokio::test]
async fn an_order_that_was_touched_under_another_name_stays() {
    let shop = Shop::new();
    work_off(&shop, &[linked(Some("1"), "E", "DELIVERED", 3)]).await;
    let before = clock::now();
    work_off(&shop, &[linked(None, "E", "DELIVERED", 2)]).await;
    assert_eq!(close_final(&*shop.store, before).await.unwrap(), 0);
    assert_eq!(open(&shop).await, ["id:1"]);
    assert_eq!(close(&shop).await, 1);
}

/// Of many settled orders that share an invoice number, none waits for the next sweep.
#[tokio::test]
async fn orders_that_share_an_invoice_number_are_closed_in_one_sweep() {
    let shop = Shop::new();
    let orders: Vec<Envelope> = (0..5)
        .map(|number| {
            let body = json!({
                "event_type": "ECOMM_ORDER_CREATED",
                "event_timestamp": 1_700_000_000_000_i64,
                "resource_data": {"site_name": "shop"},
                "data": {
                    "id": number.to_string(),
                    "invoice_number": "7",
                    "status": "DELIVERED",
                    "items": [{"product_id": "P", "quantity": 1}],
                },
            });
            envelope(EnvelopeKind::Webhook, Bytes::from(body.to_string()))
        })
        .collect();
    work_off(&shop, &orders).await;
    assert_eq!(close(&shop).await, 5);
    assert_eq!(shop.store.links(&site(), &PageRequest::first(100)).await.unwrap().items, []);
}
