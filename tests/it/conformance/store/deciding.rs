//! What a worker does with webhooks, for cases that are about more than one commit.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use storekeeper::domain::{
    Arrival, Decoded, Event, EventOutcome, MessageId, Names, PolicyInForce, Refused, Timestamp,
    decide_orders, decode_webhook,
};
use storekeeper::store::orders::OrderReadings;
use storekeeper::store::{Committed, Store};
use uuid::Uuid;

/// When the webhooks of the cases are received.
pub(crate) const RECEIVED: Timestamp = Timestamp::from_millis(1_700_000_100_000);

/// What became of an event.
pub(crate) type Outcome = Result<EventOutcome, Refused>;

/// An update of an order of the site `alpha`, so many milliseconds after the first; `names` are the
/// fields that name it.
pub(crate) fn update(names: &Value, after: i64, status: &str, lines: &[Value]) -> Value {
    let mut data = names.clone();
    data["status"] = json!(status);
    data["items"] = json!(lines);
    json!({
        "event_type": "ECOMM_ORDER_UPDATED",
        "event_timestamp": 1_700_000_000_000_i64 + after,
        "resource_data": {"site_name": "alpha"},
        "data": data,
    })
}

/// Reads a webhook of a message of this number.
pub(crate) fn event(body: &Value, number: u128) -> (Event, Arrival) {
    let Decoded::Event(event) = decode_webhook(body.to_string().as_bytes(), RECEIVED).unwrap()
    else {
        panic!("no rule knows {body}")
    };
    let arrival = Arrival {
        message_id: MessageId(Uuid::from_u128(number)),
        received_at: RECEIVED,
        replays: 0,
        event_type: event.event_type.clone(),
    };
    (*event, arrival)
}

/// Decides events of orders of one site as one batch, and writes what that changes; again, what
/// another commit overtook.
pub(crate) async fn take(
    store: &dyn Store,
    in_force: &PolicyInForce,
    events: &[(Event, Arrival)],
) -> Vec<Outcome> {
    let site = &events[0].0.site;
    let names: Vec<Names> =
        events.iter().map(|(event, _)| event.content.names().unwrap()).collect();
    let mut outcomes: BTreeMap<usize, Outcome> = BTreeMap::new();
    let mut closed = None;
    while outcomes.len() < events.len() {
        let open: Vec<usize> = (0..events.len()).filter(|it| !outcomes.contains_key(it)).collect();
        let mut readings = OrderReadings::default();
        if let Some((names, watermark)) = closed.take() {
            readings.add_closed(site, names, watermark);
        }
        let asked: Vec<_> = open.iter().map(|place| (site, &names[*place])).collect();
        readings.fill(store, &asked, Vec::new()).await.unwrap();
        let read = readings.of(site);
        let of_open: Vec<&Names> = open.iter().map(|place| &names[*place]).collect();
        let (mut commits, mut told) = (Vec::new(), Vec::new());
        for group in read.reading.groups(&of_open) {
            let part = read.reading.part(group.iter().map(|place| of_open[*place]));
            let places: Vec<usize> = group.iter().map(|place| open[*place]).collect();
            let group: Vec<_> =
                places.iter().map(|place| (&events[*place].0, &events[*place].1)).collect();
            let mut decision = decide_orders(&part, &group, in_force);
            let settled = places.into_iter().zip(std::mem::take(&mut decision.settled));
            if decision.changes_anything() {
                let message = (group[0].1.message_id, RECEIVED);
                commits.push(read.commit(site, &part, decision, in_force.revision, message));
                told.push(settled.collect::<Vec<_>>());
            } else {
                outcomes.extend(settled);
            }
        }
        let committed = store.commit(commits).await.unwrap();
        for (told, committed) in told.into_iter().zip(committed) {
            match committed {
                Committed::Written => outcomes.extend(told),
                Committed::Conflict => {}
                Committed::Closed { names, watermark } => closed = Some((names, watermark)),
                Committed::PolicyChanged | Committed::Overflow(_) => panic!("{committed:?}"),
            }
        }
    }
    outcomes.into_values().collect()
}
