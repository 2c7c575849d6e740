//! Receipts: goods that came in and counts, from being asked for to being counted.
//!
//! API and command line ask with a [`ReceiptRequest`]. It becomes an envelope that goes the way of
//! every webhook, through queue and journal, and the answer waits a while for the worker. This is
//! the one place where envelopes of receipts are made; what they mean is in [`crate::domain`].
//!
//! # Invariants
//! - A receipt that is stored is not published again: the first message with its reference counts.
//! - A count's difference is computed once, when it is first asked for.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tokio::time::Instant;

use crate::backoff::Delays;
use crate::broker::{Broker, BrokerError, Envelope, EnvelopeKind};
use crate::clock;
use crate::domain::{
    MessageId, QUANTITY_MAX, Quantity, Receipt, ReceiptContent, ReceiptId, Rejection, Site,
};
use crate::store::{EntityId, EntityName, EntityState, PageRequest, Store, StoreError};

/// How long the broker may take to confirm.
const PUBLISH_TIMEOUT: Duration = Duration::from_millis(2500);
/// The shortest and longest delay between two looks for the receipt.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(200));

/// What somebody says of the goods of one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptRequest {
    /// The shop.
    pub site: Site,
    /// The item, and the name under which this is counted once.
    pub receipt: ReceiptId,
    /// What is said.
    pub amount: Amount,
}

/// What a receipt is asked to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// So many units came in.
    Received(Quantity),
    /// So many units were found on the shelf.
    OnHand(Quantity),
}

impl Amount {
    /// Whether a receipt says this. A count that finds the same again is the same count, although
    /// its difference would be another by now.
    pub fn is_said_by(self, content: ReceiptContent) -> bool {
        match content {
            ReceiptContent::Goods { quantity } => self == Self::Received(quantity),
            ReceiptContent::Count { on_hand, .. } => self == Self::OnHand(on_hand),
        }
    }
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The message that counts: the first with this reference.
    pub message_id: MessageId,
    /// What it says.
    pub content: ReceiptContent,
    /// How far it is.
    pub progress: Progress,
    /// What a count's difference may lack; `None` for goods, and for what was asked for before.
    pub pending: Option<Pending>,
}

/// How far a receipt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It is in the stock since now.
    Applied,
    /// It was in the stock before; nothing was counted.
    Repeated,
    /// It is durable, and not in the stock yet.
    Queued,
}

/// Events of all sites that were not in the stock when a difference was computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// Those that waited for a worker or were with one.
    pub queued: u64,
    /// Those that waited for their next attempt.
    pub retrying: u64,
}

/// Why a receipt is not counted.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// The reference says something else already.
    #[error("the reference is taken: message {0} said something else under it")]
    ReferenceReused(MessageId),
    /// What was counted is too far from what is known for one receipt.
    #[error("the count differs by more than 1e9 from what is known")]
    DifferenceTooLarge,
    /// The worker put it aside for a person.
    #[error("message {message_id} became a dead letter: {}: {}", rejection.code, rejection.detail)]
    DeadLetter {
        /// The message.
        message_id: MessageId,
        /// Why.
        rejection: Box<Rejection>,
    },
    /// The broker did not confirm in time; the receipt may or may not be on the queue.
    #[error("the broker did not confirm in time; ask again with the same reference")]
    Unconfirmed,
    /// The broker did not take it, or could not be asked.
    #[error("the receipt was not taken")]
    Broker(#[from] BrokerError),
    /// What is known could not be read.
    #[error("cannot read what is known of the item")]
    Store(#[from] StoreError),
}

/// Makes the envelope of a receipt, under a new message id.
pub fn envelope(
    site: &Site,
    receipt: &ReceiptId,
    content: ReceiptContent,
    source: &str,
) -> Envelope {
    let (site, key, reference) =
        (site.as_str(), receipt.key.to_string(), receipt.reference.as_str());
    let body = match content {
        ReceiptContent::Goods { quantity } => json!({
            "site": site,
            "key": key,
            "reference": reference,
            "quantity": quantity.to_string(),
        }),
        ReceiptContent::Count { on_hand, difference } => json!({
            "site": site,
            "key": key,
            "reference": reference,
            "on_hand": on_hand.to_string(),
            "difference": difference.to_string(),
        }),
    };
    Envelope {
        message_id: MessageId(uuid::Uuid::now_v7()),
        kind: EnvelopeKind::Receipt,
        received_at: clock::now(),
        source: source.to_owned(),
        replays: 0,
        traceparent: None,
        tracestate: None,
        body: Bytes::from(body.to_string()),
    }
}

/// Publishes a receipt unless it is stored already, and waits for so long until it is.
///
/// 1. Dies before the publish is durable: nothing is counted; asking again starts anew.
/// 2. Dies behind it: it will be counted; asking again finds it, or publishes a second message
///    under the reference, of which the worker counts only the first.
pub async fn ask(
    broker: &dyn Broker,
    store: &dyn Store,
    request: &ReceiptRequest,
    source: &str,
    patience: Duration,
) -> Result<Answer, ReceiptError> {
    if let Some(known) = find(store, request).await? {
        return answer(request, known, Progress::Repeated, None);
    }
    // Before what is known is read: an event that is applied in between is in the difference, and
    // said to be pending. The other way round it would be in neither.
    let pending = match request.amount {
        Amount::Received(_) => None,
        Amount::OnHand(_) => Some(pending(broker).await?),
    };
    let content = content(store, request).await?;
    let envelope = envelope(&request.site, &request.receipt, content, source);
    let asked = Receipt { message_id: envelope.message_id, content };
    let published = tokio::time::timeout(PUBLISH_TIMEOUT, broker.publish(envelope));
    published.await.map_err(|_| ReceiptError::Unconfirmed)??;
    match wait(store, request, asked.message_id, Instant::now() + patience).await? {
        // Somebody else may have asked at the same time.
        Some(stored) if stored.message_id != asked.message_id => {
            answer(request, stored, Progress::Repeated, None)
        }
        Some(stored) => answer(request, stored, Progress::Applied, pending),
        None => answer(request, asked, Progress::Queued, pending),
    }
}

fn answer(
    request: &ReceiptRequest,
    receipt: Receipt,
    progress: Progress,
    pending: Option<Pending>,
) -> Result<Answer, ReceiptError> {
    let Receipt { message_id, content } = receipt;
    if !request.amount.is_said_by(content) {
        return Err(ReceiptError::ReferenceReused(message_id));
    }
    Ok(Answer { message_id, content, progress, pending })
}

/// The receipt that is stored under the request's reference.
async fn find(store: &dyn Store, request: &ReceiptRequest) -> Result<Option<Receipt>, StoreError> {
    let name = EntityName::Receipt(request.receipt.clone());
    let entity = EntityId { site: request.site.clone(), name };
    let loaded = store.load(&[entity]).await?.into_iter().next().flatten();
    Ok(loaded.and_then(|loaded| match loaded.state {
        EntityState::Receipt(receipt) => Some(receipt),
        EntityState::Order(_) | EntityState::Catalogue(_) => None,
    }))
}

async fn pending(broker: &dyn Broker) -> Result<Pending, BrokerError> {
    let depth = broker.depth().await?;
    let queued = depth.work_ready.saturating_add(depth.work_in_flight);
    Ok(Pending { queued, retrying: depth.retry_ready })
}

/// What the receipt says, with a count's difference to what is known now.
async fn content(
    store: &dyn Store,
    request: &ReceiptRequest,
) -> Result<ReceiptContent, ReceiptError> {
    let on_hand = match request.amount {
        Amount::Received(quantity) => return Ok(ReceiptContent::Goods { quantity }),
        Amount::OnHand(on_hand) => on_hand,
    };
    let no_holds = PageRequest::first(1);
    let known = store.stock_item(&request.site, &request.receipt.key, &no_holds).await?;
    let counts = known.map(|known| known.item.counts).unwrap_or_default();
    // Totals are within 4e18 of zero and a count within 1e15: no difference passes 64 bits.
    let known = counts.received.saturating_sub(counts.fulfilled);
    let difference = on_hand.saturating_sub(known);
    if difference > QUANTITY_MAX || -difference > QUANTITY_MAX {
        return Err(ReceiptError::DifferenceTooLarge);
    }
    Ok(ReceiptContent::Count { on_hand, difference })
}

/// Waits until a receipt is stored under the request's reference; `None` if it is not by then.
async fn wait(
    store: &dyn Store,
    request: &ReceiptRequest,
    message_id: MessageId,
    deadline: Instant,
) -> Result<Option<Receipt>, ReceiptError> {
    let mut delays = Delays::new(LOOK_AGAIN.0, LOOK_AGAIN.1);
    loop {
        match look(store, request, message_id).await {
            Ok(None) => {}
            Ok(stored) => return Ok(stored),
            // It is on the queue, whatever the Store says: that is worth an answer too.
            Err(ReceiptError::Store(error)) if error.is_transient() => {}
            Err(error) => return Err(error),
        }
        let now = Instant::now();
        if now >= deadline {
            return Ok(None);
        }
        tokio::time::sleep_until(deadline.min(now + delays.next())).await;
    }
}

async fn look(
    store: &dyn Store,
    request: &ReceiptRequest,
    message_id: MessageId,
) -> Result<Option<Receipt>, ReceiptError> {
    if let Some(stored) = find(store, request).await? {
        return Ok(Some(stored));
    }
    match store.dead_letter(message_id).await? {
        None => Ok(None),
        Some(letter) => {
            let rejection = Box::new(letter.rejection);
            Err(ReceiptError::DeadLetter { message_id, rejection })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Content, Identifier, StockKey, decode_receipt};

    fn units(count: i64) -> Quantity {
        Quantity::from_millionths(count * 1_000_000)
    }

    #[test]
    fn an_envelope_is_decoded_to_what_it_was_made_of() {
        let site = Site::parse("a\"b/ü").unwrap();
        let receipt = ReceiptId {
            key: StockKey::parse("sku:\\1").unwrap(),
            reference: Identifier::parse("PO {7}").unwrap(),
        };
        for content in [
            ReceiptContent::Goods { quantity: Quantity::from_millionths(1) },
            ReceiptContent::Goods { quantity: QUANTITY_MAX },
            ReceiptContent::Count { on_hand: units(3), difference: units(-7) },
            ReceiptContent::Count { on_hand: Quantity::ZERO, difference: -QUANTITY_MAX },
        ] {
            let envelope = envelope(&site, &receipt, content, "test");
            let event = decode_receipt(&envelope.body).unwrap();
            assert_eq!(event.site, site);
            let Content::Receipt(decoded) = event.content else { panic!("no receipt") };
            assert_eq!((decoded.receipt, decoded.content), (receipt.clone(), content));
        }
    }

    #[test]
    fn a_count_that_finds_the_same_is_the_same_whatever_its_difference() {
        let count = |difference| ReceiptContent::Count { on_hand: units(5), difference };
        assert!(Amount::OnHand(units(5)).is_said_by(count(units(1))));
        assert!(Amount::OnHand(units(5)).is_said_by(count(units(-2))));
        assert!(!Amount::OnHand(units(6)).is_said_by(count(units(1))));
        assert!(!Amount::Received(units(5)).is_said_by(count(units(5))));
        assert!(!Amount::OnHand(units(5)).is_said_by(ReceiptContent::Goods { quantity: units(5) }));
    }
}
