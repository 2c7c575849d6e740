//! What must be true of a shop: told by the journal, the model and what operators did.
//!
//! Every message has one end: it is discarded, or parked for a reason that its body gives, or its
//! last good body counts in the stock. A good body of an order that was closed before counts
//! nothing more; what the order held then stays.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use rust_decimal::Decimal;
use storekeeper::broker::{EnvelopeKind, JournalRecord};
use storekeeper::domain::{
    Code, Content, MessageId, Policy, ReceiptContent, Timestamp, decode_receipt,
};
use storekeeper::simulate::Model;
use storekeeper::simulate::model::{Counts, Item, Receipt, Verdict};
use storekeeper::store::{DeadLetterSummary, LetterName};

use crate::generators::{decoded, greatest_fingerprint, model_policy};

/// An order by its site and name, as the model writes them.
pub(super) type OrderName = (String, String);

/// What operators know and the journal does not.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger {
    /// Every message that was accepted, in order.
    pub(super) accepted: Vec<Accepted>,
    /// What is left of the orders that were closed.
    pub(super) closed: BTreeMap<OrderName, Closed>,
}

#[derive(Debug, Clone)]
pub(super) struct Accepted {
    pub(super) id: MessageId,
    pub(super) received_at: Timestamp,
    /// Of a webhook, the body with nothing wrong in it.
    pub(super) repaired: Option<Bytes>,
    pub(super) body: Bytes,
}

/// What is left of an order.
#[derive(Debug, Clone)]
pub(super) struct Closed {
    /// It was untouched before.
    before: Timestamp,
    /// What has left for it, by item.
    fulfilled: BTreeMap<Item, Decimal>,
}

/// A message as the journal has it.
#[derive(Debug)]
struct Message {
    kind: EnvelopeKind,
    received_at: Timestamp,
    /// Its first body, and those that it was replayed with after an edit.
    bodies: Vec<Bytes>,
}

impl Message {
    fn verdicts(&self, policy: &Policy) -> impl Iterator<Item = (&Bytes, Verdict)> {
        let mut reader = Model::new(model_policy(policy));
        let received_at = self.received_at.millis();
        self.bodies.iter().map(move |body| (body, reader.observe(body, received_at)))
    }
}

impl Ledger {
    /// Fails unless the journal has exactly what was accepted.
    pub(super) fn check_journal(&self, records: &[JournalRecord]) {
        let accepted: Vec<_> = self.accepted.iter().map(|accepted| accepted.id).collect();
        assert_eq!(accepted, journalled(records));
    }

    /// Forgets what came after the last message of a journal that was restored, which has at least
    /// so many of those that were accepted.
    pub(super) fn go_back_to(&mut self, records: &[JournalRecord], least: usize) {
        let journalled = journalled(records);
        assert!(journalled.len() >= least, "the journal of a backup has what came before it");
        self.accepted.truncate(journalled.len());
        self.check_journal(records);
    }

    /// Notes that settled orders are closed now, after they were untouched since before a time.
    /// Answers with those that are to be closed, and those that must stay.
    pub(super) fn close(
        &mut self,
        records: &[JournalRecord],
        letters: &[DeadLetterSummary],
        policy: &Policy,
        before: Timestamp,
    ) -> (Vec<OrderName>, Vec<OrderName>) {
        let model = self.observed(records, letters, policy);
        let mut held: BTreeMap<OrderName, (Decimal, BTreeMap<Item, Decimal>)> = BTreeMap::new();
        for (item, holders) in model.holders() {
            for holder in holders {
                let name = (item.site.clone(), holder.order);
                let (committed, fulfilled) = held.entry(name).or_default();
                *committed += holder.committed;
                fulfilled.insert(item.clone(), holder.fulfilled);
            }
        }
        let (mut closed, mut kept) = (Vec::new(), Vec::new());
        for name in model.settled_orders() {
            let (committed, fulfilled) = held.remove(&name).unwrap_or_default();
            if committed.is_zero() {
                self.closed.insert(name.clone(), Closed { before, fulfilled });
                closed.push(name);
            } else {
                kept.push(name);
            }
        }
        (closed, kept)
    }

    /// The stock that there must be. Fails if a message has no end or two.
    pub(super) fn stock(
        &self,
        records: &[JournalRecord],
        letters: &[DeadLetterSummary],
        policy: &Policy,
    ) -> BTreeMap<Item, Counts> {
        let mut stock = self.observed(records, letters, policy).stock();
        for (item, fulfilled) in self.closed.values().flat_map(|closed| &closed.fulfilled) {
            stock.entry(item.clone()).or_default().fulfilled += fulfilled;
        }
        stock.retain(|_, counts| !counts.is_zero());
        stock
    }

    /// The orders that there are, each with whether another bears its name. Nothing is said once
    /// orders were closed: how much of a closed order's names is known is not the model's business.
    pub(super) fn conflicts(
        &self,
        records: &[JournalRecord],
        letters: &[DeadLetterSummary],
        policy: &Policy,
    ) -> Vec<(OrderName, bool)> {
        if !self.closed.is_empty() {
            return Vec::new();
        }
        let model = self.observed(records, letters, policy);
        let conflicts = model.alias_conflicts();
        let names = model.names().keys();
        names.map(|name| (name.clone(), conflicts.contains(name))).collect()
    }

    /// The model of all that counts and is not closed.
    fn observed(
        &self,
        records: &[JournalRecord],
        letters: &[DeadLetterSummary],
        policy: &Policy,
    ) -> Model {
        let mut model = Model::new(model_policy(policy)).with_tie_break(greatest_fingerprint);
        let discarded = discarded(records);
        let mut parked = BTreeMap::new();
        for letter in letters {
            assert!(parked.insert(letter.id, letter).is_none(), "{} is parked twice", letter.id);
        }
        for (id, message) in messages(records) {
            match (parked.remove(&id), message.kind) {
                (Some(letter), EnvelopeKind::Webhook) => {
                    assert!(!discarded.contains(&id), "{id} is discarded, and parked");
                    self.check_reason(&message, letter, policy);
                }
                (Some(letter), _) => panic!("nothing is wrong with {letter:?}"),
                (None, EnvelopeKind::Receipt) => model.receive(receipt(id, &message)),
                (None, EnvelopeKind::Webhook) if !discarded.contains(&id) => {
                    self.observe(&mut model, id, &message, policy);
                }
                (None, _) => {}
            }
        }
        assert!(parked.is_empty(), "nobody sent {parked:?}");
        model
    }

    fn observe(&self, model: &mut Model, id: MessageId, message: &Message, policy: &Policy) {
        let good = |(_, verdict): &(_, Verdict)| !matches!(verdict, Verdict::DeadLetter(_));
        let Some((body, verdict)) = message.verdicts(policy).filter(good).last() else {
            panic!("{id} is lost: {message:?}");
        };
        let Verdict::Counted { site, order } = verdict else { panic!("{verdict:?}") };
        if self.closed.contains_key(&(site.clone(), order)) {
            let is_late = message.received_at >= self.watermark(&site);
            assert!(!is_late || says_nothing(body), "{id} came after the closing: {message:?}");
        } else {
            model.observe(body, message.received_at.millis());
        }
    }

    /// The latest time before which something of the site was closed.
    fn watermark(&self, site: &str) -> Timestamp {
        let of_site = self.closed.iter().filter(|((closed_site, _), _)| closed_site == site);
        of_site.map(|(_, closed)| closed.before).max().unwrap()
    }

    /// Fails unless the message gives the reason for which it is parked.
    fn check_reason(&self, message: &Message, letter: &DeadLetterSummary, policy: &Policy) {
        let code = letter.rejection.code;
        let gives = |(_, verdict): (_, Verdict)| match verdict {
            Verdict::DeadLetter(broken) => code.as_str() == broken,
            Verdict::Counted { site, order } => {
                code == Code::OrderExpired && self.closed.contains_key(&(site, order))
            }
            Verdict::Catalogue | Verdict::Notice | Verdict::Ignored => false,
        };
        assert!(message.verdicts(policy).any(gives), "{letter:?} of {message:?}");
    }
}

/// Whether what a good body says changes nothing whatever its order is.
fn says_nothing(body: &[u8]) -> bool {
    match decoded(body).content {
        Content::Refund(event) => event.refund.is_none(),
        Content::Order(_) | Content::Catalogue(_) | Content::Notice(_) | Content::Receipt(_) => {
            false
        }
    }
}

/// The messages of a journal, without what they were replayed with.
fn journalled(records: &[JournalRecord]) -> Vec<MessageId> {
    let first = records.iter().filter(|record| record.envelope.replays == 0);
    first.map(|record| record.envelope.message_id).collect()
}

fn discarded(records: &[JournalRecord]) -> BTreeSet<MessageId> {
    let envelopes = records.iter().map(|record| &record.envelope);
    let discards = envelopes.filter(|envelope| envelope.kind == EnvelopeKind::Discard);
    discards.map(|it| LetterName::parse_discard(&it.body).unwrap().message_id).collect()
}

fn messages(records: &[JournalRecord]) -> BTreeMap<MessageId, Message> {
    let mut messages = BTreeMap::new();
    for JournalRecord { envelope, .. } in records {
        let message = messages.entry(envelope.message_id).or_insert_with(|| Message {
            kind: envelope.kind,
            received_at: envelope.received_at,
            bodies: Vec::new(),
        });
        message.bodies.push(envelope.body.clone());
    }
    messages
}

fn receipt(id: MessageId, message: &Message) -> Receipt {
    let event = decode_receipt(&message.bodies[0]).unwrap();
    let Content::Receipt(receipt) = event.content else { panic!("it is no receipt") };
    let quantity = match receipt.content {
        ReceiptContent::Goods { quantity } => quantity,
        ReceiptContent::Count { difference, .. } => difference,
    };
    Receipt {
        item: Item { site: event.site.to_string(), key: receipt.receipt.key.to_string() },
        reference: receipt.receipt.reference.to_string(),
        message_id: id.to_string(),
        quantity: quantity.to_decimal(),
    }
}
