//! The envelopes that a release is given before its fixtures are written, and what comes later.

use bytes::Bytes;
use serde_json::json;
use storekeeper::broker::{Envelope, EnvelopeKind};
use storekeeper::clock;
use storekeeper::domain::{MessageId, Policy, Restock};
use storekeeper::store::LetterName;
use uuid::Uuid;

use crate::bodies::webhooks;

pub(super) const SITE: &str = "shop";
/// The one item of [`order`]s.
pub(super) const KEY: &str = "product:P";
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

/// What was in the queue of a release.
pub(super) struct Given {
    /// What it has worked off: every documented webhook, and some of our own.
    pub(super) done: Vec<Envelope>,
    /// What waited when it ended: one of every kind.
    pub(super) pending: Vec<Envelope>,
}

impl Given {
    pub(super) fn new() -> Self {
        let broken = |body: &'static str| envelope(EnvelopeKind::Webhook, body);
        let [kept, edited, discarded] = [broken("{kept"), broken("{edited"), broken("{discarded")];
        let name = |letter: &Envelope| LetterName { message_id: letter.message_id, generation: 1 };
        let repaired = order("repaired", "CREATED", 0, 3).body;
        let mut traced = order("1", "UPDATED", 1000, 9);
        traced.traceparent =
            Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned());
        traced.tracestate = Some("vendor=1".to_owned());
        let pending = vec![
            traced,
            order("2", "DELETED", 1000, 2),
            receipt("PO-2", "5.5"),
            envelope(EnvelopeKind::Edit, name(&edited).edit_body(&repaired)),
            envelope(EnvelopeKind::Discard, name(&discarded).discard_body()),
        ];
        let mut done = vec![receipt("PO-1", "100"), kept, edited, discarded];
        for id in 1..=4 {
            done.push(order(&id.to_string(), "CREATED", 0, id));
        }
        let documented = webhooks().into_iter();
        done.extend(documented.map(|(_, body)| envelope(EnvelopeKind::Webhook, body)));
        Self { done, pending }
    }
}

/// What comes after an upgrade: an old order changes, and another is deleted.
pub(super) fn later() -> Vec<Envelope> {
    vec![order("3", "UPDATED", 2000, 7), order("4", "DELETED", 2000, 4)]
}
