//! The envelopes that a release is given before its fixtures are written, and what comes later.

use bytes::Bytes;
use serde_json::json;
use storekeeper::broker::{Envelope, EnvelopeKind};
use storekeeper::clock;
use storekeeper::domain::{Action, Identifier, MessageId, Note, OrderId, Policy, Restock, Site};
use storekeeper::requests::corrections::{self, CorrectionRequest};
use storekeeper::store::orders::order as stored_order;
use storekeeper::store::{DeadLetterName, Store};
use uuid::Uuid;

use crate::bodies::webhooks;

pub(super) const SITE: &str = "shop";
/// The one item of [`order`]s.
pub(super) const KEY: &str = "product:P";
/// Receipts of that item.
pub(super) const RECEIPTS: [&str; 4] = ["PO-1", "PO-2", "PO-3", "broken"];
/// The time of the first event, in milliseconds.
const BEGUN: i64 = 1_700_000_000_000;

/// What the fixtures were written under: not the default, which need not be read to be in force.
pub(super) fn policy() -> Policy {
    Policy { restock: Restock::Lines, ..Policy::default() }
}

fn envelope(kind: EnvelopeKind, body: impl Into<Bytes>) -> Envelope {
    Envelope {
        message_id: MessageId(Uuid::now_v7()),
        kind,
        received_at: clock::now(),
        source: "duda".to_owned(),
        replays: 0,
        traceparent: None,
        tracestate: None,
        body: body.into(),
    }
}

/// A webhook of an order, so many milliseconds after the first.
fn order(id: &str, event: &str, after: i64, quantity: u32) -> Envelope {
    let body = json!({
        "event_type": format!("ECOMM_ORDER_{event}"),
        "event_timestamp": BEGUN + after,
        "resource_data": {"site_name": SITE},
        "data": {
            "id": id,
            "invoice_number": format!("INVOICE-{id}"),
            "status": "PROCESSED",
            "items": [{"id": "L", "product_id": "P", "quantity": quantity}],
        },
    });
    envelope(EnvelopeKind::Webhook, body.to_string())
}

fn receipt(reference: &str, quantity: &str) -> Envelope {
    let body = json!({"site": SITE, "key": KEY, "quantity": quantity, "reference": reference});
    envelope(EnvelopeKind::Receipt, body.to_string())
}

/// What makes a receipt void, which comes before it.
fn void(reference: &str) -> Envelope {
    let body = json!({"site": SITE, "key": KEY, "void": true, "reference": reference});
    envelope(EnvelopeKind::Receipt, body.to_string())
}

/// What a release has worked off: every documented webhook, and some of our own.
pub(super) struct Given {
    pub(super) done: Vec<Envelope>,
    edited: DeadLetterName,
    discarded: DeadLetterName,
}

impl Given {
    pub(super) fn new() -> Self {
        let broken = |body: &'static str| envelope(EnvelopeKind::Webhook, body);
        let [kept, edited, discarded] = [broken("{kept"), broken("{edited"), broken("{discarded")];
        let name =
            |letter: &Envelope| DeadLetterName { message_id: letter.message_id, generation: 1 };
        let letters = (name(&edited), name(&discarded));
        let mut done = vec![
            receipt("PO-1", "100"),
            receipt("broken", "-1.5"),
            void("PO-3"),
            kept,
            edited,
            discarded,
        ];
        for id in 1..=4 {
            done.push(order(&id.to_string(), "CREATED", 0, id));
        }
        let documented = webhooks().into_iter();
        done.extend(documented.map(|(_, body)| envelope(EnvelopeKind::Webhook, body)));
        Self { done, edited: letters.0, discarded: letters.1 }
    }
}

/// What waits when a release ends that has worked off what it was given: one of every kind.
pub(super) async fn pending(given: &Given, store: &dyn Store) -> Vec<Envelope> {
    let repaired = order("repaired", "CREATED", 0, 3).body;
    let mut traced = order("1", "UPDATED", 1000, 9);
    traced.traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned());
    traced.tracestate = Some("vendor=1".to_owned());
    vec![
        traced,
        order("2", "DELETED", 1000, 2),
        receipt("PO-2", "5.5"),
        receipt("PO-3", "7"),
        shipped(store).await,
        envelope(EnvelopeKind::Edit, given.edited.edit_body(&repaired)),
        envelope(EnvelopeKind::Discard, given.discarded.discard_body()),
    ]
}

/// A person says that an order has left.
async fn shipped(store: &dyn Store) -> Envelope {
    let (site, order) = (Site::parse(SITE).unwrap(), OrderId::parse("id:4").unwrap());
    let found = stored_order(store, &site, &order).await.unwrap().unwrap();
    let request = CorrectionRequest {
        site,
        order,
        action: Action::Ship,
        shown: None,
        reference: Identifier::parse("parcel 7").unwrap(),
        note: Note::default(),
    };
    corrections::envelope(&request, &found.order, &found.record.shown().unwrap(), "cli")
}

/// What comes after an upgrade: an old order changes, and another is deleted.
pub(super) fn later() -> Vec<Envelope> {
    vec![order("3", "UPDATED", 2000, 7), order("4", "DELETED", 2000, 4)]
}
