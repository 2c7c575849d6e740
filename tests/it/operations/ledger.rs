//! What must be true of a shop: told by the journal, the model and what operators did.
//!
//! Every message has one end: it is discarded, or parked for a reason that its body gives, or its
//! last good body counts in the stock. A good body of an order that was closed before counts
//! nothing more; what the order held then stays.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use storekeeper::broker::{EnvelopeKind, JournalRecord};
use storekeeper::domain::{
    Action, Code, Content, List, MessageId, Names, Policy, ReceiptContent, Timestamp,
    decode_receipt,
};
use storekeeper::simulate::Model;
use storekeeper::simulate::model::{self, Correction, Counts, Item, Receipt, Verdict};
use storekeeper::store::{DeadLetterName, DeadLetterSummary};

use super::closings::Closings;
use crate::generators::{decoded, greatest_fingerprint, model_policy};

/// An order by its site and name, as the model writes them.
pub(super) type OrderName = (String, String);

/// What operators know and the journal does not.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger {
    /// Every message that was accepted, in order.
    pub(super) accepted: Vec<Accepted>,
    /// Which orders were closed.
    pub(super) closings: Closings,
}

#[derive(Debug, Clone)]
pub(super) struct Accepted {
    pub(super) id: MessageId,
    pub(super) received_at: Timestamp,
    /// Of a webhook, the body with nothing wrong in it.
    pub(super) repaired: Option<Bytes>,
    pub(super) body: Bytes,
    /// Of a correction, what it says in the words of the model.
    pub(super) correction: Option<Correction>,
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

    /// The last body with nothing wrong in it.
    fn good_body(&self, policy: &Policy) -> Option<&Bytes> {
        let good = |(_, verdict): &(_, Verdict)| !matches!(verdict, Verdict::DeadLetter(_));
        self.verdicts(policy).filter(good).last().map(|(body, _)| body)
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
        let aside: BTreeSet<MessageId> =
            letters.iter().map(|letter| letter.id).chain(discarded(records)).collect();
        let applied = messages(records).into_iter().filter(|(id, message)| {
            let names = names_of(message, policy);
            !aside.contains(id)
                && !names.is_some_and(|(site, names)| self.closings.owns(&site, &names))
        });
        let applied: Vec<MessageId> = applied.map(|(id, _)| id).collect();
        self.closings.close(&model, applied, before)
    }

    /// The stock that there must be. Fails if a message has no end or two.
    pub(super) fn stock(
        &self,
        records: &[JournalRecord],
        letters: &[DeadLetterSummary],
        policy: &Policy,
    ) -> BTreeMap<Item, Counts> {
        self.closings.stock(&self.observed(records, letters, policy))
    }

    /// The orders that there are, each with the lists that it must be in.
    pub(super) fn lists(
        &self,
        records: &[JournalRecord],
        letters: &[DeadLetterSummary],
        policy: &Policy,
    ) -> BTreeMap<OrderName, BTreeSet<List>> {
        let model = self.observed(records, letters, policy);
        let settled: BTreeSet<OrderName> = model.settled_orders().into_iter().collect();
        let mut lists = model.lists();
        lists.retain(|name, _| !self.closings.have_closed(name));
        let of_store = |(name, lists): (OrderName, BTreeSet<model::List>)| {
            let settled = settled.contains(&name).then_some(List::Final);
            let lists = lists.into_iter().map(list).chain([List::All]).chain(settled);
            (name, lists.collect())
        };
        lists.into_iter().map(of_store).collect()
    }

    /// The model of all that counts, and of what counted until its order was closed.
    pub(super) fn observed(
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
            let letter = parked.remove(&id);
            if let Some(letter) = letter {
                assert!(!discarded.contains(&id), "{id} is discarded, and parked");
                self.check_reason(&message, letter, policy);
            }
            // What was applied before its order was closed stays so, also if it came again.
            let is_aside = letter.is_some() || discarded.contains(&id);
            match message.kind {
                EnvelopeKind::Receipt => receive(&mut model, id, &message),
                EnvelopeKind::Correction if !is_aside || self.closings.had_applied(id) => {
                    self.correct(&mut model, id, &message);
                }
                EnvelopeKind::Webhook if !is_aside || self.closings.had_applied(id) => {
                    self.observe(&mut model, id, &message, policy);
                }
                EnvelopeKind::Webhook
                | EnvelopeKind::Correction
                | EnvelopeKind::Edit
                | EnvelopeKind::Discard
                | EnvelopeKind::Heartbeat => {}
            }
        }
        assert!(parked.is_empty(), "nobody sent {parked:?}");
        model
    }

    fn observe(&self, model: &mut Model, id: MessageId, message: &Message, policy: &Policy) {
        let Some(body) = message.good_body(policy) else { panic!("{id} is lost: {message:?}") };
        let Some((site, names)) = names_in(body) else { panic!("{message:?} is of no order") };
        if self.closings.owns(&site, &names) && !self.closings.had_applied(id) {
            let is_late = message.received_at >= self.closings.watermark(&site);
            assert!(!is_late, "{id} came after the closing: {message:?}");
        } else {
            model.observe(body, message.received_at.millis());
        }
    }

    fn correct(&self, model: &mut Model, id: MessageId, message: &Message) {
        let correction = self.correction(id, message);
        if self.is_of_a_closed_order(correction) && !self.closings.had_applied(id) {
            let is_late = message.received_at >= self.closings.watermark(&correction.site);
            assert!(!is_late, "{id} came after the closing: {message:?}");
        } else {
            model.correct(correction.clone());
        }
    }

    fn correction(&self, id: MessageId, message: &Message) -> &Correction {
        let accepted = self.accepted.iter().find(|accepted| accepted.id == id);
        let correction = accepted.and_then(|accepted| accepted.correction.as_ref());
        correction.unwrap_or_else(|| panic!("nobody said {message:?}"))
    }

    fn is_of_a_closed_order(&self, correction: &Correction) -> bool {
        self.closings.have_closed(&(correction.site.clone(), correction.order.clone()))
    }

    /// Fails unless the message gives the reason for which it is parked.
    fn check_reason(&self, message: &Message, letter: &DeadLetterSummary, policy: &Policy) {
        let code = letter.rejection.code;
        if message.kind == EnvelopeKind::Correction {
            let correction = self.correction(letter.id, message);
            let is_expired = code == Code::OrderExpired && self.is_of_a_closed_order(correction);
            assert!(is_expired, "nothing is wrong with {letter:?}");
            return;
        }
        assert_eq!(message.kind, EnvelopeKind::Webhook, "nothing is wrong with {letter:?}");
        let gives = |(body, verdict): (&Bytes, Verdict)| match verdict {
            Verdict::DeadLetter(broken) => code.as_str() == broken,
            Verdict::Counted { .. } | Verdict::Notice => {
                code == Code::OrderExpired
                    && names_in(body).is_some_and(|(site, names)| self.closings.owns(&site, &names))
            }
            Verdict::Catalogue | Verdict::Ignored => false,
        };
        assert!(message.verdicts(policy).any(gives), "{letter:?} of {message:?}");
    }
}

/// The list of the Store by that name.
fn list(list: model::List) -> List {
    match list {
        model::List::Ambiguous => List::Ambiguous,
        model::List::Contested => List::Contested,
        model::List::AfterDeletion => List::AfterDeletion,
        model::List::Waiting => List::Waiting,
        model::List::Unmapped => List::Unmapped,
        model::List::Corrected => List::Corrected,
    }
}

/// An action in the words of the model.
pub(super) fn action(action: Action) -> model::Action {
    match action {
        Action::Release => model::Action::Release,
        Action::Hold => model::Action::Hold,
        Action::Ship => model::Action::Ship,
    }
}

/// What the good body of a message calls its order.
fn names_of(message: &Message, policy: &Policy) -> Option<(String, Names)> {
    match message.kind {
        EnvelopeKind::Webhook => names_in(message.good_body(policy)?),
        EnvelopeKind::Receipt
        | EnvelopeKind::Correction
        | EnvelopeKind::Edit
        | EnvelopeKind::Discard
        | EnvelopeKind::Heartbeat => None,
    }
}

fn names_in(body: &[u8]) -> Option<(String, Names)> {
    let event = decoded(body);
    Some((event.site.to_string(), event.content.names()?))
}

/// The messages of a journal, without what they were replayed with.
fn journalled(records: &[JournalRecord]) -> Vec<MessageId> {
    let first = records.iter().filter(|record| record.envelope.replays == 0);
    first.map(|record| record.envelope.message_id).collect()
}

fn discarded(records: &[JournalRecord]) -> BTreeSet<MessageId> {
    let envelopes = records.iter().map(|record| &record.envelope);
    let discards = envelopes.filter(|envelope| envelope.kind == EnvelopeKind::Discard);
    discards.map(|it| DeadLetterName::parse_discard(&it.body).unwrap().message_id).collect()
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

fn receive(model: &mut Model, id: MessageId, message: &Message) {
    let event = decode_receipt(&message.bodies[0]).unwrap();
    let Content::Receipt(receipt) = event.content else { panic!("it is no receipt") };
    let item = Item { site: event.site.to_string(), key: receipt.receipt.key.to_string() };
    let reference = receipt.receipt.reference.to_string();
    let quantity = match receipt.content {
        ReceiptContent::Goods { quantity } => quantity.to_decimal(),
        ReceiptContent::Count { difference, .. } => difference.to_decimal(),
        ReceiptContent::Void => return model.void(item, reference),
    };
    model.receive(Receipt { item, reference, message_id: id.to_string(), quantity });
}
