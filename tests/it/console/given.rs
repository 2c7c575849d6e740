//! A shop with a little of everything.

use std::collections::BTreeMap;

use bytes::Bytes;
use storekeeper::broker::{Envelope, EnvelopeKind};
use storekeeper::domain::{
    CatalogueEntry, CatalogueId, Code, Counts, Description, Fingerprint, Hold, Identifier, Latest,
    Line, MessageId, Notice, NoticeStatus, OrderId, OrderState, Outcome, Policy, Quantity, Rank,
    Reason, Receipt, ReceiptContent, ReceiptId, Rejection, Site, Snapshot, Status, StockChange,
    StockKey, TimelineEntry, Timestamp, Version,
};
use storekeeper::store::{Commit, Committed, DeadLetter, EntityId, EntityName, EntityState, Store};
use uuid::Uuid;

/// 2023-11-14T22:13:20Z
pub(super) const START_MS: i64 = 1_700_000_000_000;

pub(super) fn key(text: &str) -> StockKey {
    StockKey::parse(text).unwrap()
}

pub(super) fn order_id(text: &str) -> OrderId {
    OrderId::parse(text).unwrap()
}

pub(super) fn message(number: u128) -> MessageId {
    MessageId(Uuid::from_u128(number))
}

fn identifier(text: &str) -> Identifier {
    Identifier::parse(text).unwrap()
}

fn units(count: i64) -> Quantity {
    Quantity::from_millionths(count * 1_000_000)
}

fn version(rank: Rank, status: Status) -> Version {
    Version { event_timestamp: START_MS, rank, status, fingerprint: Fingerprint(7) }
}

async fn write(
    store: &dyn Store,
    site: &str,
    name: EntityName,
    state: EntityState,
    changes: Vec<StockChange>,
) {
    let entity = EntityId { site: Site::parse(site).unwrap(), name };
    let at = Timestamp::from_millis(START_MS);
    let commit = Commit { entity, loaded: None, state, changes, message_id: message(1), at };
    let committed = store.commit(vec![commit]).await.unwrap();
    assert!(matches!(committed[..], [Committed::Written { .. }]), "{committed:?}");
}

/// So many units of an item came in.
pub(super) async fn goods(store: &dyn Store, site: &str, item: &str, count: i64) {
    let content = ReceiptContent::Goods { quantity: units(count) };
    let id = ReceiptId { key: key(item), reference: identifier("delivery-1") };
    let state = EntityState::Receipt(Receipt { message_id: message(1), content });
    let delta = Counts { received: units(count), ..Counts::default() };
    let change = StockChange { key: key(item), delta, hold: None };
    write(store, site, EntityName::Receipt(id), state, vec![change]).await;
}

/// A product that gives its name to an item.
pub(super) async fn product(store: &dyn Store, site: &str, id: &str, name: &str) {
    let description = Description {
        name: Some(name.to_owned()),
        sku: Some(identifier("MUG-1")),
        stock_keys: vec![key(id)],
        ..Description::default()
    };
    let described = Some(version(Rank::Created, Status::Unknown));
    let entry = CatalogueEntry { described, description, deleted: None };
    let id = EntityName::Catalogue(CatalogueId::parse(id).unwrap());
    write(store, site, id, EntityState::Catalogue(entry), Vec::new()).await;
}

/// An order that is promised so many units of an item, and has a line that nothing names.
pub(super) async fn order(store: &dyn Store, site: &str, id: &str, item: &str, count: i64) {
    let hold = Hold { committed: units(count), fulfilled: Quantity::ZERO };
    let product = Some(key(item).identifier);
    let line = Line { id: Some(identifier("L1")), product, quantity: units(count), ..no_line() };
    let unmapped = Line { quantity: units(1), ..no_line() };
    let entry = |number, rank, received_at_ms, outcome, reason| TimelineEntry {
        version: version(rank, Status::Processed),
        message_id: message(number),
        event_type: identifier("ECOMM_ORDER_UPDATED"),
        received_at: Timestamp::from_millis(START_MS + received_at_ms),
        outcome,
        reason,
        rekeyed_lines: u64::from(rank == Rank::Updated),
    };
    let state = OrderState {
        latest: Some(Latest {
            version: version(Rank::Updated, Status::Processed),
            snapshot: Snapshot { test: false, lines: vec![line, unmapped] },
        }),
        aliases: vec![order_id(id)],
        applied: BTreeMap::from([(key(item), hold)]),
        policy: 1,
        timeline: vec![
            entry(3, Rank::Updated, 250, Outcome::Applied, None),
            entry(2, Rank::Created, 900, Outcome::Superseded, Some(Reason::Ambiguous)),
        ],
        ..OrderState::default()
    };
    let delta = Counts { committed: units(count), ..Counts::default() };
    let change = StockChange { key: key(item), delta, hold: Some(hold) };
    let state = EntityState::Order(Box::new(state));
    write(store, site, EntityName::Order(order_id(id)), state, vec![change]).await;
}

/// An order that is delivered, and holds nothing.
pub(super) async fn delivered_order(store: &dyn Store, site: &str, id: &str) {
    let version = version(Rank::Updated, Status::Delivered);
    let state = OrderState {
        latest: Some(Latest { version, snapshot: Snapshot::default() }),
        aliases: vec![order_id(id)],
        policy: 1,
        ..OrderState::default()
    };
    let state = EntityState::Order(Box::new(state));
    write(store, site, EntityName::Order(order_id(id)), state, Vec::new()).await;
}

fn no_line() -> Line {
    Line {
        id: None,
        variation: None,
        product: None,
        external_variation: None,
        external_product: None,
        sku: None,
        quantity: Quantity::ZERO,
    }
}

/// An order of a third-party store, of which only a notice is known.
pub(super) async fn noticed_order(store: &dyn Store, site: &str, id: &str) {
    let status = NoticeStatus {
        payment: Some(identifier("PAID")),
        fulfillment: Some(identifier("AWAITING_PROCESSING")),
    };
    let notice = Notice { version: version(Rank::Created, Status::Unknown), status };
    let state = OrderState {
        notice: Some(notice),
        aliases: vec![order_id(id)],
        policy: 1,
        ..OrderState::default()
    };
    let state = EntityState::Order(Box::new(state));
    write(store, site, EntityName::Order(order_id(id)), state, Vec::new()).await;
}

/// An envelope that was received so many seconds after the start.
pub(super) fn envelope(number: u128, seconds: i64, body: &[u8]) -> Envelope {
    Envelope {
        message_id: message(number),
        kind: EnvelopeKind::Webhook,
        received_at: Timestamp::from_millis(START_MS + seconds * 1000),
        source: "default".to_owned(),
        replays: 0,
        traceparent: None,
        tracestate: None,
        body: Bytes::copy_from_slice(body),
    }
}

/// Three dead letters, an hour apart; only the second is of a known site.
pub(super) async fn dead_letters(store: &dyn Store) {
    let letter = |number, body: &[u8], rejection| {
        let seconds = i64::try_from(number).unwrap() * 3600;
        let envelope = envelope(number, seconds, body);
        let failed_at = envelope.received_at.plus_micros(1_000_000);
        DeadLetter { envelope, rejection, failed_at, attempts: 1, original: None }
    };
    let mut of_shop = Rejection::new(Code::InvalidQuantity, "data.items[0].quantity: found a list");
    of_shop.site = Some(Site::parse("shop").unwrap());
    of_shop.event_type = Some(identifier("ECOMM_ORDER_CREATED"));
    of_shop.order = Some(order_id("id:9"));
    let not_json = |detail| Rejection::new(Code::NotJson, detail);
    let letters = vec![
        letter(1, b"{\"half\": ", not_json("line 1 column 9: unexpected end")),
        letter(2, b"{\"name\": \"\x1b[31mJane\"}", of_shop),
        letter(3, b"\xff\xfe", not_json("not UTF-8 at byte 0")),
    ];
    store.park(letters).await.unwrap();
}

/// The shop that most tests look at: ten mugs, of which an order was promised twelve.
pub(super) async fn shop(store: &dyn Store) {
    store.adopt_policy(&Policy::default()).await.unwrap();
    product(store, "shop", "product:mug", "Blue mug").await;
    goods(store, "shop", "product:mug", 10).await;
    goods(store, "shop", "sku:S-1", 3).await;
    order(store, "shop", "id:1001", "product:mug", 12).await;
    noticed_order(store, "shop", "store-order:77/5").await;
}
