//! Receipts: received goods and counts, from the request until they are counted.
//!
//! API and command line submit a [`ReceiptRequest`]. It becomes an envelope that takes the same
//! path as every webhook, through queue and journal, and the answer waits a while for the worker.
//! This is the only place where envelopes of receipts are created; [`crate::domain`] defines what
//! they mean.
//!
//! # Invariants
//! - A receipt that is stored is not published again: the first message with its reference counts.
//! - A count's difference is computed once, when the count is first requested.

use std::time::Duration;

use futures_util::FutureExt as _;
use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::broker::{Broker, BrokerError, Envelope, EnvelopeKind};
use crate::domain::{
    Counts, Identifier, MessageId, Note, QUANTITY_MAX, Quantity, Receipt, ReceiptContent,
    ReceiptId, Said, Site, StockKey, StockKeyKind,
};
use crate::requests::{self, AskError, Progress};
use crate::store::{Asked, EntityId, EntityName, EntityState, PageRequest, Store, StoreError};

/// A person's report about the goods of one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptRequest {
    /// The shop.
    pub site: Site,
    /// The item, and the name under which this is counted once.
    pub receipt: ReceiptId,
    /// What is reported.
    pub amount: Amount,
    /// The reason, and the person.
    pub note: Note,
}

/// The content that a receipt is requested with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// This many units were received, or left for another reason than an order.
    Received(Quantity),
    /// This many units were found on the shelf.
    OnHand(Quantity),
    /// The receipt under this reference counts for nothing.
    Void,
}

impl Amount {
    /// Returns whether a receipt has this content. A count that finds the same number again is the
    /// same count, although its difference would now be another one.
    pub fn is_said_by(self, content: ReceiptContent) -> bool {
        match content {
            ReceiptContent::Goods { quantity } => self == Self::Received(quantity),
            ReceiptContent::Count { on_hand, .. } => self == Self::OnHand(on_hand),
            ReceiptContent::Void => self == Self::Void,
        }
    }
}

/// The result of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceiptAnswer {
    /// The message that counts: the first with this reference.
    pub message_id: MessageId,
    /// The content of that message.
    pub content: ReceiptContent,
    /// The progress of the request.
    pub progress: Progress,
    /// What a count's difference may lack; `None` for goods, and for requests made before.
    pub pending: Option<Pending>,
    /// The item's counts before the request.
    pub before: Counts,
    /// The item's counts now, if the receipt is counted.
    pub after: Option<Counts>,
}

/// Events of all sites that were not yet in the stock when a difference was computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// Events that waited for a worker or were with one.
    pub queued: u64,
    /// Events that waited for their next attempt.
    pub retrying: u64,
}

/// Why a receipt is not counted.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// The reference is already used with other content.
    #[error(
        "the reference is taken: {reference} was {}, this says {}; choose another, or correct the \
         count with an adjustment (message {})",
        said_before(.said.content),
        asked_now(*.asked),
        .said.message_id
    )]
    ReferenceReused {
        /// The reference.
        reference: Identifier,
        /// What it says already.
        said: Box<Said>,
        /// What was asked for.
        asked: Amount,
    },
    /// The reference was taken back; a receipt under it counts for nothing.
    #[error("the reference is void: message {0} took it back; choose another")]
    Voided(MessageId),
    /// An item that is named only by its order's line cannot be received.
    #[error("{0} is the name of a line of an order: its goods cannot be received")]
    NotTracked(StockKey),
    /// The count is too far from the known stock for one receipt.
    #[error("the count differs by more than 1e9 from what is known")]
    DifferenceTooLarge,
    /// The request was not carried out.
    #[error(transparent)]
    Ask(#[from] AskError),
}

fn said_before(content: ReceiptContent) -> String {
    asked_now(match content {
        ReceiptContent::Goods { quantity } => Amount::Received(quantity),
        ReceiptContent::Count { on_hand, .. } => Amount::OnHand(on_hand),
        ReceiptContent::Void => Amount::Void,
    })
}

fn asked_now(amount: Amount) -> String {
    match amount {
        Amount::Received(quantity) => quantity.to_string(),
        Amount::OnHand(on_hand) => format!("a count of {on_hand}"),
        Amount::Void => "void".to_owned(),
    }
}

impl From<StoreError> for ReceiptError {
    fn from(error: StoreError) -> Self {
        Self::Ask(error.into())
    }
}

/// Creates the envelope of a receipt, under a new message id.
pub fn envelope(
    site: &Site,
    receipt: &ReceiptId,
    content: ReceiptContent,
    note: &Note,
    source: &str,
) -> Envelope {
    let mut body = Map::new();
    let mut put = |name: &str, value: Value| drop(body.insert(name.to_owned(), value));
    put("site", site.as_str().into());
    put("key", receipt.key.to_string().into());
    put("reference", receipt.reference.as_str().into());
    match content {
        ReceiptContent::Goods { quantity } => put("quantity", quantity.to_string().into()),
        ReceiptContent::Count { on_hand, difference } => {
            put("on_hand", on_hand.to_string().into());
            put("difference", difference.to_string().into());
        }
        ReceiptContent::Void => put("void", true.into()),
    }
    for (name, text) in [("reason", &note.reason), ("actor", &note.actor)] {
        if let Some(text) = text {
            put(name, text.as_str().into());
        }
    }
    requests::envelope(EnvelopeKind::Receipt, &body.into(), source)
}

/// Publishes a receipt unless it is already stored, and waits until it is, for at most `timeout`.
///
/// 1. If it dies before the publish is durable, nothing is counted; asking again starts anew.
/// 2. If it dies after that, the receipt will be counted; asking again finds it, or publishes a
///    second message under the reference, of which the worker counts only the first.
pub async fn ask(
    broker: &dyn Broker,
    store: &dyn Store,
    request: &ReceiptRequest,
    source: &str,
    timeout: Duration,
) -> Result<ReceiptAnswer, ReceiptError> {
    // This is read before the counts: an event that is applied in between is in the difference and
    // in the pending events. The other way round it would be in neither.
    let pending = match request.amount {
        Amount::Received(_) | Amount::Void => None,
        Amount::OnHand(_) => Some(pending(broker).await.map_err(AskError::from)?),
    };
    let Foreseen { before, repeats } = foresee(store, request).await?;
    if let Some(said) = repeats {
        return answer(request, said, Progress::Repeated, None, (before, Some(before)));
    }
    let content = content(request, before)?;
    let envelope = envelope(&request.site, &request.receipt, content, &request.note, source);
    let (message_id, received_at) = (envelope.message_id, envelope.received_at);
    let asked = Said { message_id, received_at, content, note: request.note.clone() };
    requests::publish(broker, envelope).await?;
    let deadline = Instant::now() + timeout;
    let stored = requests::wait(store, message_id, deadline, || find(store, request).boxed());
    match stored.await? {
        None => answer(request, asked, Progress::Queued, pending, (before, None)),
        Some(stored) => {
            let after = counts(store, request).await?;
            // Another request may have been made at the same time.
            if stored.message_id == asked.message_id {
                answer(request, stored, Progress::Applied, pending, (before, Some(after)))
            } else {
                answer(request, stored, Progress::Repeated, None, (before, Some(after)))
            }
        }
    }
}

/// What a request would meet.
#[derive(Debug)]
pub struct Foreseen {
    /// The item's counts before the request.
    pub before: Counts,
    /// The same receipt, if it was counted before.
    pub repeats: Option<Said>,
}

/// Looks up what a request would meet, and returns why it would be refused.
pub async fn foresee(
    store: &dyn Store,
    request: &ReceiptRequest,
) -> Result<Foreseen, ReceiptError> {
    if request.receipt.key.kind == StockKeyKind::Line && request.amount != Amount::Void {
        return Err(ReceiptError::NotTracked(request.receipt.key.clone()));
    }
    let before = counts(store, request).await?;
    let known = read(store, &request.site, &request.receipt).await?.unwrap_or_default();
    if let (Some(void), true) = (&known.void, request.amount != Amount::Void) {
        return Err(ReceiptError::Voided(void.message_id));
    }
    let repeats = said_of(known, request.amount).map(|said| checked(request, said)).transpose()?;
    Ok(Foreseen { before, repeats })
}

/// Returns what was said before, if the request says the same.
fn checked(request: &ReceiptRequest, said: Said) -> Result<Said, ReceiptError> {
    if request.amount.is_said_by(said.content) {
        return Ok(said);
    }
    Err(ReceiptError::ReferenceReused {
        reference: request.receipt.reference.clone(),
        said: Box::new(said),
        asked: request.amount,
    })
}

fn answer(
    request: &ReceiptRequest,
    said: Said,
    progress: Progress,
    pending: Option<Pending>,
    (before, after): (Counts, Option<Counts>),
) -> Result<ReceiptAnswer, ReceiptError> {
    let Said { message_id, content, .. } = checked(request, said)?;
    Ok(ReceiptAnswer { message_id, content, progress, pending, before, after })
}

/// Returns what is stored under the request's reference: for a void, the message that voided it.
async fn find(store: &dyn Store, request: &ReceiptRequest) -> Result<Option<Said>, StoreError> {
    let receipt = read(store, &request.site, &request.receipt).await?;
    Ok(receipt.and_then(|receipt| said_of(receipt, request.amount)))
}

fn said_of(receipt: Receipt, amount: Amount) -> Option<Said> {
    match amount {
        Amount::Void => receipt.void,
        Amount::Received(_) | Amount::OnHand(_) => receipt.said,
    }
}

/// Returns the receipt that is stored under a reference.
pub async fn read(
    store: &dyn Store,
    site: &Site,
    receipt: &ReceiptId,
) -> Result<Option<Receipt>, StoreError> {
    let name = EntityName::Receipt(receipt.clone());
    let entities = vec![EntityId { site: site.clone(), name }];
    let found = store.load(&Asked { entities, links: Vec::new() }).await?;
    let loaded = found.entities.into_iter().next().flatten();
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

/// Returns the counts of the item that a request names; zero if it does not exist.
pub async fn counts(store: &dyn Store, request: &ReceiptRequest) -> Result<Counts, StoreError> {
    let no_holds = PageRequest::first(1);
    let known = store.stock_item(&request.site, &request.receipt.key, &no_holds).await?;
    Ok(known.map(|known| known.item.counts).unwrap_or_default())
}

/// Returns the content of the receipt; for a count, its difference from the known stock.
fn content(request: &ReceiptRequest, counts: Counts) -> Result<ReceiptContent, ReceiptError> {
    let on_hand = match request.amount {
        Amount::Received(quantity) => return Ok(ReceiptContent::Goods { quantity }),
        Amount::Void => return Ok(ReceiptContent::Void),
        Amount::OnHand(on_hand) => on_hand,
    };
    // Totals are within 4e18 of zero and a count is within 1e15, so no difference exceeds 64 bits.
    let known = counts.received.saturating_sub(counts.fulfilled);
    let difference = on_hand.saturating_sub(known);
    if difference > QUANTITY_MAX || -difference > QUANTITY_MAX {
        return Err(ReceiptError::DifferenceTooLarge);
    }
    Ok(ReceiptContent::Count { on_hand, difference })
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
            ReceiptContent::Goods { quantity: units(-4) },
            ReceiptContent::Void,
        ] {
            let identifier = |text| Some(Identifier::parse(text).unwrap());
            let note = Note { reason: identifier("fell \"down\""), actor: identifier("anna") };
            let envelope = envelope(&site, &receipt, content, &note, "test");
            let event = decode_receipt(&envelope.body).unwrap();
            assert_eq!(event.site, site);
            let Content::Receipt(decoded) = event.content else { panic!("no receipt") };
            assert_eq!((decoded.receipt, decoded.content), (receipt.clone(), content));
            assert_eq!(decoded.note, note);
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
