//! The names of an order: one id, second names that may lead to it, and invoice numbers, which are
//! hints for people.

use std::collections::BTreeSet;

use super::{NameError, OrderId};

/// The most second names that may lead to an id.
pub const SECOND_NAMES_MAX: usize = 64;
/// The most ids kept of those seen beside a second name: two make it contested.
const IDS_OF_SECOND_NAME: usize = 2;
/// The most orders kept of those that have an invoice number.
const ORDERS_OF_INVOICE: usize = 8;

/// An event's names for its order; there is at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// The record that the event is joined into: the order's id, else its second name, else its
    /// invoice number.
    own: OrderId,
    /// The other names.
    others: Vec<OrderId>,
}

impl Names {
    /// Creates names, the first of which is the record's; returns `None` if there are none.
    pub fn new(names: impl IntoIterator<Item = OrderId>) -> Option<Self> {
        let mut names = names.into_iter();
        Some(Self { own: names.next()?, others: names.collect() })
    }

    /// Creates a single name.
    pub const fn only(own: OrderId) -> Self {
        Self { own, others: Vec::new() }
    }

    /// Returns the record that the event is joined into.
    pub const fn own(&self) -> &OrderId {
        &self.own
    }

    /// Returns the id, if there is one.
    pub fn id(&self) -> Option<&OrderId> {
        self.own.kind.is_id().then_some(&self.own)
    }

    /// Iterates over all names.
    pub fn all(&self) -> impl Iterator<Item = &OrderId> {
        std::iter::once(&self.own).chain(&self.others)
    }

    /// Iterates over the second names.
    pub fn second(&self) -> impl Iterator<Item = &OrderId> {
        self.all().filter(|name| name.kind.is_second_name())
    }

    /// Returns the invoice number, unless it is the only name.
    pub fn invoice(&self) -> Option<&OrderId> {
        self.others.iter().find(|name| !name.kind.is_id() && !name.kind.is_second_name())
    }
}

/// What was seen beside a name, lowest first: ids beside a second name, orders beside an invoice
/// number. Only the lowest are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    /// The ids or orders.
    pub ids: BTreeSet<OrderId>,
    /// Whether it led to an order that has been closed since.
    pub led_to_closed: bool,
}

impl Link {
    /// Adds an id or order that was seen beside a name.
    pub(super) fn add(&mut self, name: &OrderId, id: &OrderId) {
        let limit = if name.kind.is_second_name() { IDS_OF_SECOND_NAME } else { ORDERS_OF_INVOICE };
        if !self.ids.contains(id) {
            self.ids.insert(id.clone());
            while self.ids.len() > limit {
                self.ids.pop_last();
            }
        }
    }

    /// Returns the id that the second name leads to: the only one that was ever seen beside it.
    pub fn leads_to(&self) -> Option<&OrderId> {
        if self.ids.len() == 1 && !self.led_to_closed { self.ids.first() } else { None }
    }

    /// Returns whether several ids were seen beside the second name.
    pub fn is_contested(&self) -> bool {
        self.ids.len() + usize::from(self.led_to_closed) > 1
    }

    /// Returns whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty() && !self.led_to_closed
    }

    /// Returns the text that Stores keep and compare.
    pub fn to_text(&self) -> String {
        let closed = self.led_to_closed.then(|| CLOSED.to_owned());
        let parts: Vec<String> =
            closed.into_iter().chain(self.ids.iter().map(ToString::to_string)).collect();
        parts.join("\n")
    }

    /// Parses a text that [`to_text`](Self::to_text) returned.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let mut link = Self::default();
        for part in text.split('\n') {
            if part == CLOSED {
                link.led_to_closed = true;
            } else {
                link.ids.insert(OrderId::parse(part)?);
            }
        }
        Ok(link)
    }
}

/// Never the name of an order, because it has no kind.
const CLOSED: &str = "~";

/// What is remembered about a name whose order was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClosedName {
    /// It is the id or invoice number of a closed order, or a second name that never had an id.
    Itself,
    /// It is a second name that was seen beside an id.
    BesideAnId,
}
