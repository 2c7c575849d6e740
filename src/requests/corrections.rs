//! Corrections: a person's decisions about orders, from the request to its effect.
//!
//! API and command line submit a [`CorrectionRequest`]. It becomes an envelope that takes the same
//! path as every webhook, through queue and journal, and the answer waits a while for the worker.
//! [`crate::domain`] defines what a correction means.
//!
//! # Invariants
//! - A correction that is stored is not published again: the first message with its reference
//!   counts.
//! - It refers to what the person saw: if the order has changed since then, it is rejected.

use std::time::Duration;

use futures_util::FutureExt as _;
use serde_json::json;
use tokio::time::Instant;

use crate::broker::{Broker, Envelope, EnvelopeKind};
use crate::domain::{Action, Correction, Identifier, MessageId, Note, OrderId, Shown, Site};
use crate::requests::{self, AskError};
use crate::store::orders::{self, StoredOrder};
use crate::store::{Store, StoreError};

/// A person's decision about an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorrectionRequest {
    /// The shop.
    pub site: Site,
    /// The order, by the name under which it is shown.
    pub order: OrderId,
    /// The action to take.
    pub action: Action,
    /// What the person saw; `None` for what the order says now.
    pub shown: Option<Shown>,
    /// The name under which this is counted once.
    pub reference: Identifier,
    /// The reason, and the person.
    pub note: Note,
}

/// The result of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorrectionAnswer {
    /// The message that counts: the first with this reference.
    pub message_id: MessageId,
    /// The progress of the request.
    pub progress: requests::Progress,
    /// The order before the correction.
    pub before: StoredOrder,
    /// The order after the correction, as far as that was seen.
    pub after: Option<StoredOrder>,
}

/// Why an order is not corrected.
#[derive(Debug, thiserror::Error)]
pub enum CorrectionError {
    /// No event of the order is known.
    #[error("no event of {order} of {site} was applied")]
    Unknown {
        /// The shop.
        site: Site,
        /// The order.
        order: OrderId,
    },
    /// There is nothing to correct yet.
    #[error("no snapshot of {0} is known yet: there is nothing that it could hold")]
    NoSnapshot(OrderId),
    /// The order has changed since it was shown.
    #[error("{0} says something else than was shown: look at it again")]
    Outdated(OrderId),
    /// The reference is already used with other content.
    #[error("the reference is taken: message {0} said something else under it")]
    ReferenceReused(MessageId),
    /// The request was not carried out.
    #[error(transparent)]
    Ask(#[from] AskError),
}

impl From<StoreError> for CorrectionError {
    fn from(error: StoreError) -> Self {
        Self::Ask(error.into())
    }
}

/// Publishes a correction unless it is already stored, and waits until it is, for at most
/// `timeout`.
///
/// 1. If it dies before the publish is durable, nothing is corrected; asking again starts anew.
/// 2. If it dies after that, the correction will be in force; asking again finds it, or publishes a
///    second message under the reference, of which only the first counts.
pub async fn ask(
    broker: &dyn Broker,
    store: &dyn Store,
    request: &CorrectionRequest,
    source: &str,
    timeout: Duration,
) -> Result<CorrectionAnswer, CorrectionError> {
    let unknown =
        || CorrectionError::Unknown { site: request.site.clone(), order: request.order.clone() };
    let before = orders::order(store, &request.site, &request.order).await?.ok_or_else(unknown)?;
    let now =
        before.record.shown().ok_or_else(|| CorrectionError::NoSnapshot(before.order.clone()))?;
    let shown = request.shown.unwrap_or(now);
    if let Some(known) = before.record.corrections.get(&request.reference) {
        let (message_id, progress) =
            (checked(request, &shown, known)?, requests::Progress::Repeated);
        return Ok(CorrectionAnswer { message_id, progress, after: Some(before.clone()), before });
    }
    if !shown.is_still(&now) {
        return Err(CorrectionError::Outdated(before.order.clone()));
    }
    let envelope = envelope(request, &before.order, &shown, source);
    let message_id = envelope.message_id;
    requests::publish(broker, envelope).await?;
    let look = || corrected(store, request, &before.order).boxed();
    let after = requests::wait(store, message_id, Instant::now() + timeout, look).await?;
    let Some(after) = after else {
        return Ok(CorrectionAnswer {
            message_id,
            progress: requests::Progress::Queued,
            before,
            after: None,
        });
    };
    let known = after.record.corrections.get(&request.reference);
    let counts =
        known.map(|known| checked(request, &shown, known)).transpose()?.unwrap_or(message_id);
    // Another request may have been made at the same time.
    let progress = if counts == message_id {
        requests::Progress::Applied
    } else {
        requests::Progress::Repeated
    };
    Ok(CorrectionAnswer { message_id: counts, progress, before, after: Some(after) })
}

/// Returns the order, once the correction is stored.
async fn corrected(
    store: &dyn Store,
    request: &CorrectionRequest,
    order: &OrderId,
) -> Result<Option<StoredOrder>, StoreError> {
    let found = orders::order(store, &request.site, order).await?;
    Ok(found.filter(|found| found.record.corrections.contains_key(&request.reference)))
}

/// Returns the message of a stored correction if its content is what the request asks for: the same
/// action on the same words and deletion.
fn checked(
    request: &CorrectionRequest,
    shown: &Shown,
    known: &Correction,
) -> Result<MessageId, CorrectionError> {
    let before = &known.content.shown;
    let is_same = known.content.action == request.action
        && (before.words, before.deleted) == (shown.words, shown.deleted);
    if is_same {
        Ok(known.message_id)
    } else {
        Err(CorrectionError::ReferenceReused(known.message_id))
    }
}

/// Makes the envelope of a correction, under a new message id.
pub fn envelope(
    request: &CorrectionRequest,
    order: &OrderId,
    shown: &Shown,
    source: &str,
) -> Envelope {
    let body = json!({
        "site": request.site.as_str(),
        "order": order.to_string(),
        "action": request.action.as_str(),
        "shown": shown.token(),
        "reference": request.reference.as_str(),
        "reason": request.note.reason.as_ref().map(Identifier::as_str),
        "actor": request.note.actor.as_ref().map(Identifier::as_str),
    });
    requests::envelope(EnvelopeKind::Correction, &body, source)
}
