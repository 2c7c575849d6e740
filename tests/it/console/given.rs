//! A shop with a little of everything: what real events lead to, one after the other.

use bytes::Bytes;
use serde_json::{Value, json};
use storekeeper::broker::{Envelope, EnvelopeKind};
use storekeeper::domain::{
    Arrival, Code, Content, Decision, Decoded, EntityName, EntityState, Event, Identifier,
    MessageId, OrderId, Policy, PolicyOrigin, Rejection, Site, Timestamp, decide_catalogue,
    decide_orders, decide_receipt, decode_correction, decode_receipt, decode_webhook,
};
use storekeeper::store::orders::OrderReadings;
use storekeeper::store::{Asked, Commit, Committed, DeadLetter, EntityId, Store};
use uuid::Uuid;

/// 2023-11-14T22:13:20Z
pub(super) const START_MS: i64 = 1_700_000_000_000;

pub(super) fn order_id(text: &str) -> OrderId {
    OrderId::parse(text).unwrap()
}

pub(super) fn message(number: u128) -> MessageId {
    MessageId(Uuid::from_u128(number))
}

fn identifier(text: &str) -> Identifier {
    Identifier::parse(text).unwrap()
}

/// The policy that every shop has.
pub(super) async fn policy(store: &dyn Store) {
    let at = Timestamp::from_millis(START_MS);
    let origin = PolicyOrigin { actor: "anna".to_owned(), at };
    store.adopt_policy(&Policy::default(), &origin).await.unwrap();
}

/// One event as it is received: its message, so many milliseconds after the start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Received {
    pub(super) message: u128,
    pub(super) millis: i64,
}

/// The first of everything.
pub(super) const FIRST: Received = Received { message: 1, millis: 250 };

/// Applies an event as a worker does.
pub(super) async fn apply(store: &dyn Store, kind: EnvelopeKind, received: Received, body: &Value) {
    let body = body.to_string();
    let received_at = Timestamp::from_millis(START_MS + received.millis);
    let event = match kind {
        EnvelopeKind::Receipt => decode_receipt(body.as_bytes()).unwrap(),
        EnvelopeKind::Correction => decode_correction(body.as_bytes()).unwrap(),
        EnvelopeKind::Webhook => match decode_webhook(body.as_bytes(), received_at).unwrap() {
            Decoded::Event(event) => *event,
            Decoded::Unknown { event_type } => panic!("{event_type}"),
        },
        EnvelopeKind::Edit | EnvelopeKind::Discard | EnvelopeKind::Heartbeat => {
            panic!("it is no event")
        }
    };
    let arrival = Arrival {
        message_id: message(received.message),
        received_at,
        replays: 0,
        event_type: event.event_type.clone(),
    };
    match event.content.names() {
        Some(_) => apply_to_order(store, &event, &arrival).await,
        None => apply_to_entity(store, &event, &arrival).await,
    }
}

async fn apply_to_order(store: &dyn Store, event: &Event, arrival: &Arrival) {
    let (site, names) = (&event.site, event.content.names().unwrap());
    let in_force = store.policy().await.unwrap().unwrap();
    let mut readings = OrderReadings::default();
    readings.fill(store, &[(site, &names)], Vec::new()).await.unwrap();
    let of_site = readings.of(site);
    let part = of_site.reading.part([&names]);
    let decision = decide_orders(&part, &[(event, arrival)], &in_force);
    assert!(decision.settled[0].is_ok(), "{:?}", decision.settled);
    let told = (arrival.message_id, arrival.received_at);
    let commit = of_site.commit(site, &part, decision, in_force.revision, told);
    write(store, commit).await;
}

async fn apply_to_entity(store: &dyn Store, event: &Event, arrival: &Arrival) {
    let site = event.site.clone();
    let name = match &event.content {
        Content::Catalogue(event) => EntityName::Catalogue(event.entry.clone()),
        Content::Receipt(event) => EntityName::Receipt(event.receipt.clone()),
        Content::Order(_) | Content::Refund(_) | Content::Notice(_) | Content::Correction(_) => {
            panic!("it acts on an order: {event:?}")
        }
    };
    let entities = vec![EntityId { site: site.clone(), name: name.clone() }];
    let found = store.load(&Asked { entities, links: Vec::new() }).await.unwrap();
    let loaded = found.entities.into_iter().next().unwrap();
    let (revision, before) = loaded.map(|loaded| (loaded.revision, loaded.state)).unzip();
    let decision: Decision = match (&event.content, &before) {
        (Content::Catalogue(event), before) => {
            let before = before.as_ref().map(|before| match before {
                EntityState::Catalogue(before) => before,
                EntityState::Order(_) | EntityState::Receipt(_) => panic!("{before:?}"),
            });
            decide_catalogue(&event.entry, before, &[event], &Policy::default())
        }
        (Content::Receipt(event), before) => {
            let before = before.as_ref().map(|before| match before {
                EntityState::Receipt(before) => before,
                EntityState::Order(_) | EntityState::Catalogue(_) => panic!("{before:?}"),
            });
            decide_receipt(&event.receipt, before, &[(event, arrival)])
        }
        other => panic!("{other:?}"),
    };
    let commit = Commit {
        read: vec![(name, revision)],
        writes: decision.writes,
        changes: decision.changes,
        item_names: decision.item_names,
        ..Commit::nothing(site, arrival.message_id, arrival.received_at)
    };
    write(store, commit).await;
}

async fn write(store: &dyn Store, commit: Commit) {
    let committed = store.commit(vec![commit]).await.unwrap();
    assert_eq!(committed, [Committed::Written]);
}

/// A webhook, so many milliseconds after the start.
pub(super) fn webhook(site: &str, event_type: &str, millis: i64, data: &Value) -> Value {
    json!({
        "event_type": event_type,
        "event_timestamp": START_MS + millis,
        "resource_data": {"site_name": site},
        "data": data,
    })
}

/// Applies a webhook that is received a quarter of a second after it happened.
pub(super) async fn hook(
    store: &dyn Store,
    event_type: &str,
    (number, millis): (u128, i64),
    data: &Value,
) {
    let body = webhook("shop", event_type, millis, data);
    let received = Received { message: number, millis: millis + 250 };
    apply(store, EnvelopeKind::Webhook, received, &body).await;
}

/// So many units of an item came in.
pub(super) async fn goods(store: &dyn Store, site: &str, item: &str, count: i64) {
    let body = json!({
        "site": site, "key": item, "reference": "delivery-1", "quantity": count.to_string(),
    });
    apply(store, EnvelopeKind::Receipt, Received { millis: 0, ..FIRST }, &body).await;
}

/// A product that gives its name to an item.
pub(super) async fn product(store: &dyn Store, site: &str, id: &str, name: &str) {
    let data = json!({"id": id, "name": name, "sku": format!("{}-1", id.to_uppercase())});
    let body = webhook(site, "ECOMM_PRODUCT_CREATED", 0, &data);
    apply(store, EnvelopeKind::Webhook, FIRST, &body).await;
}

/// An order that is promised so many units of a product, and has a line that nothing names.
pub(super) async fn order(store: &dyn Store, site: &str, id: &str, product: &str, count: i64) {
    let data = json!({
        "id": id,
        "status": "PROCESSED",
        "mode": "LIVE",
        "items": [{"id": "L1", "product_id": product, "quantity": count}, {"quantity": 1}],
    });
    let body = webhook(site, "ECOMM_ORDER_UPDATED", 0, &data);
    apply(store, EnvelopeKind::Webhook, FIRST, &body).await;
}

/// An order that is delivered, and holds nothing.
pub(super) async fn delivered_order(store: &dyn Store, site: &str, id: &str) {
    let data = json!({"id": id, "status": "DELIVERED", "items": []});
    let body = webhook(site, "ECOMM_ORDER_UPDATED", 0, &data);
    apply(store, EnvelopeKind::Webhook, FIRST, &body).await;
}

/// An order of a third-party store, of which only a notice is known.
pub(super) async fn noticed_order(store: &dyn Store, site: &str, store_id: u64, entity_id: u64) {
    let data = json!({
        "siteAlias": site, "storeId": store_id, "entityId": entity_id,
        "data": {"newPaymentStatus": "PAID", "newFulfillmentStatus": "AWAITING_PROCESSING"},
    });
    let body = webhook(site, "STORE_ORDER_CREATED", 0, &data);
    apply(store, EnvelopeKind::Webhook, FIRST, &body).await;
}

/// An envelope that was received so many seconds after the start.
pub(super) fn envelope(number: u128, seconds: i64, body: &[u8]) -> Envelope {
    Envelope {
        message_id: message(number),
        kind: EnvelopeKind::Webhook,
        received_at: Timestamp::from_millis(START_MS + seconds * 1000),
        source: "duda".to_owned(),
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
    policy(store).await;
    product(store, "shop", "mug", "Blue mug").await;
    goods(store, "shop", "product:mug", 10).await;
    goods(store, "shop", "sku:S-1", 3).await;
    order(store, "shop", "1001", "mug", 12).await;
    noticed_order(store, "shop", 77, 5).await;
}
