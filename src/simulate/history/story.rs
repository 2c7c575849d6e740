//! The life of an order: what its events have said so far, and how the next one says it.
//!
//! No two events of an order share timestamp, rank and status unless their content is the same,
//! whichever of its names they carry. So no fingerprint ever decides what the history leads to.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::dice::Dice;
use super::json::{Fields, Json};
use super::spelling::{NameForm, StatusForm};
use super::webhook::{
    Borne, Identity, Order, OrderLine, OrderRefund, Picture, Shape, Wording, envelope,
};
use super::{Event, Kind};

const MINUTE_MS: i64 = 60_000;
const BOM: &str = "\u{feff}";

/// The kind of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Occasion {
    Created,
    Updated,
    StatusUpdated,
    Deleted,
}

/// An order during its life.
pub(super) struct Story<'a> {
    pub(super) dice: Dice,
    pub(super) order: &'a Order<'a>,
    number: u32,
    pub(super) lines: Vec<OrderLine<'a>>,
    pub(super) refunds: Vec<OrderRefund>,
    pub(super) status: &'static str,
    pub(super) at_ms: i64,
    /// How far the clock that stamps creations is ahead of the one that stamps everything else.
    pub(super) creation_ahead_ms: i64,
    /// The versions of the events so far.
    said: BTreeSet<(i64, Occasion, &'static str)>,
    /// Whether an event carried only the external id, and whether one carried both it and the id,
    /// which joins them into one order.
    is_apart: bool,
    is_linked: bool,
    pub(super) events: Vec<Event>,
}

impl<'a> Story<'a> {
    pub(super) fn new(
        dice: Dice,
        order: &'a Order<'a>,
        number: u32,
        lines: Vec<OrderLine<'a>>,
    ) -> Self {
        Self {
            dice,
            order,
            number,
            lines,
            refunds: Vec::new(),
            status: "PROCESSED",
            at_ms: order.created_at_ms,
            creation_ahead_ms: 0,
            said: BTreeSet::new(),
            is_apart: false,
            is_linked: false,
            events: Vec::new(),
        }
    }

    /// Lets time pass, or not: in practice events of one order share their timestamp.
    pub(super) fn wait(&mut self) {
        if !self.dice.chance(180) {
            let minutes = *self.dice.pick(&[20, 600, 5000]);
            self.at_ms += 1 + self.dice.time(minutes * MINUTE_MS);
        }
    }

    /// Advances the time by `minutes`.
    pub(super) fn pass(&mut self, minutes: i64) {
        self.at_ms += minutes * MINUTE_MS;
    }

    pub(super) fn update(&mut self, status: &'static str) {
        self.wait();
        self.status = status;
        let is_by_guide =
            self.dice.chance(if self.order.shape == Shape::Guide { 700 } else { 100 });
        let occasion = if is_by_guide { Occasion::StatusUpdated } else { Occasion::Updated };
        let wording = self.wording(occasion);
        self.say_as(occasion, wording);
        if self.dice.chance(60) {
            // Both names of one change, with the same content and version.
            let other = if is_by_guide { Occasion::Updated } else { Occasion::StatusUpdated };
            let body = self.body(other, wording);
            self.record(self.kind(other), body);
        }
    }

    pub(super) fn say(&mut self, occasion: Occasion) {
        let wording = self.wording(occasion);
        self.say_as(occasion, wording);
    }

    /// Adds one more event if that is needed to join all events into one order.
    pub(super) fn link(&mut self) {
        if self.is_apart && !self.is_linked {
            self.wait();
            let wording = Wording { borne: Borne::All, ..self.wording(Occasion::Updated) };
            self.say_as(Occasion::Updated, wording);
        }
    }

    pub(super) fn say_refund(&mut self) {
        let names = NameForm::pick(&mut self.dice, self.order.has_numeric_ids);
        let Some(refund) = self.refunds.last() else { return };
        let data = Json::Object(refund.fields(self.order, names));
        let body = envelope(Some(data), &self.order.shop.site, self.at_ms, "ECOMM_REFUND_CREATED");
        self.record(Kind::Refund, body);
    }

    fn wording(&mut self, occasion: Occasion) -> Wording {
        Wording {
            borne: self.borne(occasion),
            has_mode: !self.dice.chance(80),
            names: NameForm::pick(&mut self.dice, self.order.has_numeric_ids),
            status: StatusForm::pick(&mut self.dice),
        }
    }

    /// Returns which of its names an event carries.
    fn borne(&mut self, occasion: Occasion) -> Borne {
        match self.order.identity {
            Identity::Several => *self.dice.pick_weighted(&[
                (Borne::All, 70),
                (Borne::IdOnly, 18),
                (Borne::ExternalIdOnly, 12),
            ]),
            // Such an event may concern any order. It contains nothing that another event leaves
            // out.
            Identity::Constant
                if matches!(occasion, Occasion::Updated | Occasion::StatusUpdated)
                    && self.refunds.is_empty()
                    && !self.lines.iter().any(|line| line.is_discontinued)
                    && self.dice.chance(60) =>
            {
                Borne::ExternalIdOnly
            }
            Identity::Id | Identity::Constant | Identity::ExternalId | Identity::InvoiceNumber => {
                Borne::All
            }
        }
    }

    fn say_as(&mut self, occasion: Occasion, wording: Wording) {
        // These are two names for one kind of event.
        let rank = if occasion == Occasion::StatusUpdated { Occasion::Updated } else { occasion };
        let version = |at_ms| (at_ms, rank, self.status);
        while self.said.contains(&version(self.at_ms)) {
            self.at_ms += 1;
        }
        self.said.insert(version(self.at_ms));
        self.is_apart |= wording.borne == Borne::ExternalIdOnly;
        self.is_linked |= wording.borne == Borne::All;
        let body = self.body(occasion, wording);
        self.record(self.kind(occasion), body);
    }

    fn body(&self, occasion: Occasion, wording: Wording) -> Fields {
        let event_type = match occasion {
            Occasion::Created => "ECOMM_ORDER_CREATED",
            Occasion::Updated => "ECOMM_ORDER_UPDATED",
            Occasion::StatusUpdated => "ECOMM_ORDER_STATUS_UPDATED",
            Occasion::Deleted => "ECOMM_ORDER_DELETED",
        };
        let ahead_ms = if occasion == Occasion::Created { self.creation_ahead_ms } else { 0 };
        let picture = Picture {
            order: self.order,
            lines: &self.lines,
            refunds: &self.refunds,
            status: self.status,
            wording,
        };
        let site = &self.order.shop.site;
        envelope(Some(picture.data()), site, self.at_ms + ahead_ms, event_type)
    }

    fn kind(&self, occasion: Occasion) -> Kind {
        match occasion {
            Occasion::Created => Kind::OrderCreated,
            Occasion::Updated | Occasion::StatusUpdated if self.status == "CANCELLED" => {
                Kind::OrderCancelled
            }
            Occasion::Updated => Kind::OrderUpdated,
            Occasion::StatusUpdated => Kind::OrderStatusUpdated,
            Occasion::Deleted => Kind::OrderDeleted,
        }
    }

    fn record(&mut self, kind: Kind, body: Fields) {
        let mut text = Json::Object(body).write(self.order.layout);
        if self.dice.chance(10) {
            text.insert_str(0, BOM);
        }
        self.events.push(Event {
            at_ms: self.at_ms,
            kind,
            order: Some(self.number),
            body: Bytes::from(text),
        });
    }
}
