//! Closing: which orders are settled, what remains of one that is closed, and what becomes of an
//! event that comes after it.

use std::collections::BTreeMap;

use super::{
    Arrival, Code, Event, OrderId, OrderState, Outcome, PolicyRevision, Quantity, Reason,
    Rejection, Settled, Status, StockKey, Timestamp,
};

/// What remains of an order that is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remains {
    /// What has left for it, of each stock item that it held.
    pub fulfilled: BTreeMap<StockKey, Quantity>,
    /// The names by which nobody needs to know it any more. The others stay its own: another order
    /// that bears one is still in conflict.
    pub forgotten: Vec<OrderId>,
}

impl OrderState {
    /// Whether nothing more is expected of the order: it is delivered, cancelled or deleted.
    pub fn is_settled(&self) -> bool {
        let status = self.latest.as_ref().map(|latest| latest.version.status);
        self.deleted.is_some() || matches!(status, Some(Status::Delivered | Status::Cancelled))
    }
}

/// What remains of an order if it is closed now; `None` if it must stay.
///
/// An order that still commits units stays: what is promised is not settled. So does one that was
/// not computed with the policy in force: nobody could do so later.
pub fn close(order: &OrderId, state: &OrderState, in_force: PolicyRevision) -> Option<Remains> {
    let commits = state.applied.values().any(|hold| !hold.committed.is_zero());
    if !state.is_settled() || commits || state.policy != in_force {
        return None;
    }
    let is_forgotten = |name: &&OrderId| !name.kind.is_exclusive() && *name != order;
    Some(Remains {
        fulfilled: state.applied.iter().map(|(key, hold)| (key.clone(), hold.fulfilled)).collect(),
        forgotten: state.aliases.iter().filter(is_forgotten).cloned().collect(),
    })
}

/// What becomes of an event whose order is closed: what was received before the site's watermark is
/// taken for known; what came later may be news, and a person must see it. So must one that was a
/// dead letter, of which it is not known when it was sent again.
pub fn after_closing(
    event: &Event,
    order: &OrderId,
    arrival: &Arrival,
    watermark: Timestamp,
) -> Result<Settled, Box<Rejection>> {
    if arrival.received_at < watermark && arrival.replays == 0 {
        return Ok(Settled::because(Outcome::Superseded, Reason::OrderClosed));
    }
    Err(Box::new(Rejection {
        code: Code::OrderExpired,
        detail: format!(
            "the order was closed, as nothing had come since {watermark}; orders.retention says when"
        ),
        site: Some(event.site.clone()),
        event_type: Some(event.event_type.clone()),
        order: Some(order.clone()),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        Content, Fingerprint, Hold, Identifier, Latest, MessageId, Rank, RefundEvent, Site,
        Snapshot, Version,
    };

    fn version(rank: Rank, status: Status) -> Version {
        Version { event_timestamp: 1, rank, status, fingerprint: Fingerprint(1) }
    }

    fn order(status: Status, committed: i64, fulfilled: i64) -> OrderState {
        let version = version(Rank::Updated, status);
        let [committed, fulfilled] = [committed, fulfilled].map(Quantity::from_millionths);
        let key = StockKey::parse("sku:S").unwrap();
        OrderState {
            latest: Some(Latest { version, snapshot: Snapshot::default() }),
            applied: [(key, Hold { committed, fulfilled })].into(),
            aliases: ["id:1", "external-id:E", "invoice-number:7"]
                .map(|name| OrderId::parse(name).unwrap())
                .to_vec(),
            policy: 3,
            ..OrderState::default()
        }
    }

    fn closes(state: &OrderState) -> Option<Remains> {
        close(&OrderId::parse("id:1").unwrap(), state, 3)
    }

    #[test]
    fn only_settled_orders_that_promise_nothing_are_closed() {
        let deleted =
            |state| OrderState { deleted: Some(version(Rank::Deleted, Status::Unknown)), ..state };
        for (state, closed) in [
            (order(Status::Delivered, 0, 2), true),
            (order(Status::Cancelled, 0, 2), true),
            (order(Status::Cancelled, 1, 0), false),
            (order(Status::Shipped, 0, 2), false),
            (order(Status::Disputed, 0, 2), false),
            (order(Status::Unknown, 0, 0), false),
            (deleted(order(Status::Processed, 0, 0)), true),
            (deleted(OrderState { policy: 3, ..OrderState::default() }), true),
            (OrderState { policy: 3, ..OrderState::default() }, false),
            (OrderState { policy: 2, ..order(Status::Delivered, 0, 2) }, false),
        ] {
            assert_eq!(closes(&state).is_some(), closed, "{state:?}");
        }
    }

    #[test]
    fn what_has_left_remains_and_shared_names_are_forgotten() {
        let remains = closes(&order(Status::Delivered, 0, 2)).unwrap();
        let key = StockKey::parse("sku:S").unwrap();
        assert_eq!(remains.fulfilled, [(key, Quantity::from_millionths(2))].into());
        assert_eq!(remains.forgotten, [OrderId::parse("invoice-number:7").unwrap()]);
    }

    #[test]
    fn what_came_before_the_watermark_is_superseded_and_what_came_later_or_again_is_expired() {
        let event = Event {
            site: Site::parse("shop").unwrap(),
            event_type: Identifier::parse("ECOMM_ORDER_UPDATED").unwrap(),
            content: Content::Refund(RefundEvent {
                order: OrderId::parse("id:1").unwrap(),
                event_timestamp: 1,
                refund: None,
            }),
        };
        let at = |micros, replays| {
            let arrival = Arrival {
                message_id: MessageId(uuid::Uuid::nil()),
                received_at: Timestamp::from_micros(micros),
                replays,
                event_type: event.event_type.clone(),
            };
            let watermark = Timestamp::from_micros(10);
            after_closing(&event, &OrderId::parse("id:1").unwrap(), &arrival, watermark)
        };
        let superseded = Settled::because(Outcome::Superseded, Reason::OrderClosed);
        assert_eq!(at(9, 0), Ok(superseded));
        for (micros, replays) in [(10, 0), (11, 0), (9, 1)] {
            assert_eq!(at(micros, replays).unwrap_err().code, Code::OrderExpired);
        }
    }
}
