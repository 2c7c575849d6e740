//! What happens to a shop, at random: events, and what operators do meanwhile.

use std::fmt;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};
use storekeeper::domain::{Action, Policy, Quantity, ReceiptContent};

use crate::generators::{events, policies};

/// The shops that events are of.
const SITES: [&str; 2] = ["alpha", "beta"];
/// Stock items that orders name too.
const KEYS: [&str; 3] = ["product:P", "variation:V", "sku:S"];

/// Something that happens. What chooses among things that are not there does nothing.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// A webhook arrives.
    Deliver {
        /// The event.
        event: Event,
        /// What is wrong with the body that says it.
        flaw: Option<Flaw>,
    },
    /// A webhook arrives again, as another message.
    Repeat(Index),
    /// Goods come in, go, or are counted, or a receipt of them is made void.
    Receive(Goods),
    /// A person corrects an order, having seen it.
    Correct(Said),
    /// Another policy is applied.
    Apply(Policy),
    /// Orders that are settled are closed.
    Close,
    /// The files are backed up.
    BackUp,
    /// Something is lost, and brought back.
    Lose(Loss),
    /// What was received from one webhook on is put into the queue again.
    ReplayJournal(Index),
    /// All dead letters are replayed.
    ReplayLetters,
    /// A dead letter gets another body: the right one, or another that is broken.
    Edit {
        /// Which letter.
        letter: Index,
        /// Whether it gets the right one.
        repairs: bool,
    },
    /// A dead letter is discarded.
    Discard(Index),
    /// The process dies and is started again.
    Crash,
    /// Nothing happens until all is quiet.
    Rest,
}

/// An event, in a listing as the text that it is.
#[derive(Clone)]
pub(super) struct Event(Value);

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What makes a body a dead letter.
#[derive(Debug, Clone, Copy)]
pub(super) enum Flaw {
    /// It ends too early.
    Cut,
    /// Its timestamp is none.
    Untimely,
    /// It does not say whose it is.
    Siteless,
    /// It says nothing.
    Empty,
}

/// Goods of a receipt.
#[derive(Debug, Clone)]
pub(super) struct Goods {
    pub(super) site: &'static str,
    pub(super) key: &'static str,
    pub(super) reference: &'static str,
    pub(super) content: ReceiptContent,
}

/// What a person says of an order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Said {
    /// Which of the orders that are there.
    pub(super) order: Index,
    pub(super) action: Action,
    pub(super) reference: &'static str,
}

/// What is lost.
#[derive(Debug, Clone, Copy)]
pub(super) enum Loss {
    /// Both files: they are restored from the last backup.
    Everything,
    /// The Store: it is restored from the last backup.
    Store,
    /// The Store, and nobody looks for a backup: it is rebuilt from the journal.
    StoreWithoutBackup,
}

/// The body that says an event, with a flaw or without.
pub(super) fn body(Event(event): &Event, flaw: Option<Flaw>) -> Bytes {
    let mut event = event.clone();
    match flaw {
        Some(Flaw::Cut) => {
            let mut text = event.to_string();
            text.pop();
            return text.into();
        }
        Some(Flaw::Untimely) => event["event_timestamp"] = json!("soon"),
        Some(Flaw::Siteless) => event["resource_data"] = json!({}),
        Some(Flaw::Empty) => event["data"] = Value::Null,
        None => {}
    }
    event.to_string().into()
}

pub(super) fn steps() -> impl Strategy<Value = Step> {
    let flaws = vec![Flaw::Cut, Flaw::Untimely, Flaw::Siteless, Flaw::Empty];
    let flaws = prop::option::weighted(0.25, select(flaws));
    let losses = vec![Loss::Everything, Loss::Store, Loss::StoreWithoutBackup];
    prop_oneof![
        24 => (events(&SITES), flaws).prop_map(|(event, flaw)| Step::Deliver { event: Event(event), flaw }),
        4 => any::<Index>().prop_map(Step::Repeat),
        3 => goods().prop_map(Step::Receive),
        4 => said().prop_map(Step::Correct),
        2 => policies().prop_map(Step::Apply),
        3 => Just(Step::Close),
        2 => Just(Step::BackUp),
        2 => select(losses).prop_map(Step::Lose),
        1 => any::<Index>().prop_map(Step::ReplayJournal),
        4 => Just(Step::ReplayLetters),
        4 => (any::<Index>(), prop::bool::weighted(0.7))
            .prop_map(|(letter, repairs)| Step::Edit { letter, repairs }),
        2 => any::<Index>().prop_map(Step::Discard),
        2 => Just(Step::Crash),
        1 => Just(Step::Rest),
    ]
}

fn goods() -> impl Strategy<Value = Goods> {
    let units = |units: i64| Quantity::from_millionths(units * 1_000_000);
    let content = prop_oneof![
        (-4..5_i64).prop_map(move |came| ReceiptContent::Goods { quantity: units(came) }),
        (-3..3_i64).prop_map(move |more| ReceiptContent::Count {
            on_hand: units(5),
            difference: units(more),
        }),
        Just(ReceiptContent::Void),
    ];
    let names = (select(SITES.to_vec()), select(KEYS.to_vec()), select(vec!["PO 1", "PO 2"]));
    (names, content).prop_map(|((site, key, reference), content)| Goods {
        site,
        key,
        reference,
        content,
    })
}

fn said() -> impl Strategy<Value = Said> {
    let actions = vec![Action::Release, Action::Hold, Action::Hold, Action::Ship];
    let references = select(vec!["c1", "c2", "c3"]);
    (any::<Index>(), select(actions), references).prop_map(|(order, action, reference)| Said {
        order,
        action,
        reference,
    })
}
