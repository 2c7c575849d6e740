//! The fates of orders, and how often each occurs.

use time::UtcOffset;
use time::macros::offset;

use super::order::new_line;
use super::story::{Occasion, Story};
use super::webhook::{Identity, OrderRefund, rfc3339};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Kept,
    Delivered,
    Edited,
    Cancelled,
    Deleted,
    Refunded,
    /// Refunded before any goods left.
    RefundedEarly,
    /// Cancelled, refunded and deleted: its units return to stock once.
    GivenUp,
    /// Shipped by mistake, and processed again.
    Unshipped,
    /// Its products were deleted before shipment.
    Discontinued,
    /// Begun and perhaps never finished.
    Incomplete,
    Disputed,
    /// Has a status that the rules do not know.
    Odd,
}

const FATES: [(Fate, u64); 13] = [
    (Fate::Kept, 14),
    (Fate::Delivered, 30),
    (Fate::Edited, 12),
    (Fate::Cancelled, 9),
    (Fate::Deleted, 6),
    (Fate::Refunded, 8),
    (Fate::RefundedEarly, 4),
    (Fate::GivenUp, 4),
    (Fate::Unshipped, 3),
    (Fate::Discontinued, 3),
    (Fate::Incomplete, 2),
    (Fate::Disputed, 3),
    (Fate::Odd, 2),
];

impl Story<'_> {
    /// Writes everything that happens to the order.
    pub(super) fn tell(&mut self) {
        let fate = *self.dice.pick_weighted(&FATES);
        let are_clocks_apart = self.dice.chance(50);
        if are_clocks_apart {
            self.creation_ahead_ms = 1 + self.dice.time(360 * 60_000);
        }
        self.status = if fate == Fate::Incomplete {
            "INCOMPLETE"
        } else {
            *self.dice.pick_weighted(&[("PROCESSED", 55), ("IN_PROGRESS", 30), ("PENDING", 15)])
        };
        self.say(Occasion::Created);
        if are_clocks_apart || self.dice.chance(350) {
            self.update("PROCESSED");
        }
        self.fulfil(fate);
        self.link();
    }

    fn fulfil(&mut self, fate: Fate) {
        match fate {
            Fate::Kept => {}
            Fate::Delivered => self.deliver(),
            Fate::Edited => self.edit(),
            Fate::Cancelled => self.cancel(),
            Fate::Deleted => {
                if self.dice.chance(400) {
                    self.deliver();
                }
                self.delete();
            }
            Fate::Refunded => {
                self.deliver();
                self.refund();
            }
            Fate::RefundedEarly => {
                self.refund();
                if self.dice.chance(600) {
                    self.deliver();
                }
            }
            Fate::GivenUp => {
                self.cancel();
                self.refund();
                self.delete();
            }
            Fate::Unshipped => {
                self.update("SHIPPED");
                self.update("PROCESSED");
                match self.dice.below(3) {
                    0 => self.update("CANCELLED"),
                    1 => self.deliver(),
                    _ => {}
                }
            }
            Fate::Discontinued => {
                for line in &mut self.lines {
                    // A line without an id of its own is identified by those names alone.
                    line.is_discontinued = line.id.is_some();
                }
                self.update(self.status);
                self.deliver();
            }
            Fate::Incomplete => {
                if self.dice.chance(500) {
                    self.update("INCOMPLETE");
                }
                if self.dice.chance(500) {
                    self.update("PROCESSED");
                }
            }
            Fate::Disputed => {
                if self.dice.chance(600) {
                    self.deliver();
                }
                self.update("DISPUTED");
            }
            Fate::Odd => {
                if self.dice.chance(500) {
                    self.deliver();
                }
                self.update("AWAITING_PICKUP");
            }
        }
    }

    fn deliver(&mut self) {
        for (status, chance) in [("DISPATCHED", 500), ("SHIPPED", 800), ("DELIVERED", 750)] {
            if self.dice.chance(chance) {
                self.update(status);
            }
        }
    }

    fn edit(&mut self) {
        for _ in 0..self.dice.between(1, 3) {
            match self.dice.below(4) {
                0 if self.lines.len() > 1 => drop(self.lines.pop()),
                1 => {
                    let line = new_line(&mut self.dice, self.order);
                    self.lines.push(line);
                }
                _ => {
                    let quarters = self.dice.between(1, 6) * 4;
                    if let Some(line) = self.lines.first_mut() {
                        line.quarters = quarters;
                    }
                }
            }
            self.update(self.status);
        }
    }

    fn cancel(&mut self) {
        if self.dice.chance(250) {
            self.deliver();
        }
        self.update("CANCELLED");
        if self.dice.chance(60) {
            // The cancellation is reversed.
            self.pass(1);
            self.update("PROCESSED");
        }
    }

    fn delete(&mut self) {
        self.wait();
        let before = self.status;
        // A deletion does not report that the order is cancelled, and seldom that its goods have
        // left.
        if before == "CANCELLED" || self.dice.chance(500) {
            self.status = "PROCESSED";
        }
        self.say(Occasion::Deleted);
        self.status = before;
        if self.dice.chance(80) {
            // An update after a deletion does not make the order hold again.
            self.update(self.status);
        }
    }

    /// Refunds some lines or all of them: by events, within later snapshots, or both.
    fn refund(&mut self) {
        let is_complete = self.dice.chance(450);
        for _ in 0..self.dice.between(1, 2) {
            let refund = self.new_refund(is_complete);
            self.refunds.push(refund);
            let has_id =
                !matches!(self.order.identity, Identity::ExternalId | Identity::InvoiceNumber);
            let has_event = has_id && self.dice.chance(750);
            if has_event {
                self.wait();
                self.say_refund();
            }
            if !has_event || self.dice.chance(500) {
                self.update(self.status);
            }
            if is_complete {
                break;
            }
        }
        match self.dice.below(10) {
            0 => self.amend_refund(),
            1..4 => {
                // From now on, orders list only that there were refunds, not their lines.
                self.refunds.iter_mut().for_each(|refund| refund.is_stub = true);
                self.update(self.status);
            }
            _ => {}
        }
    }

    fn new_refund(&mut self, is_complete: bool) -> OrderRefund {
        let mut lines = Vec::new();
        for line in &self.lines {
            let Some(id) = line.id.clone() else { continue };
            if is_complete || self.dice.chance(500) {
                let part =
                    if is_complete { line.quarters } else { self.dice.between(1, line.quarters) };
                lines.push((id, part));
            }
        }
        let created = match self.dice.below(10) {
            0..2 => None,
            // Long before the first event that mentions it.
            2 => Some(rfc3339(self.order.created_at_ms + 1, UtcOffset::UTC)),
            3..5 => Some(rfc3339(self.at_ms, offset!(+2))),
            _ => Some(rfc3339(self.at_ms, UtcOffset::UTC)),
        };
        OrderRefund {
            id: format!("refund_{}", self.dice.hex(10)),
            lines,
            cents: self.dice.between(100, 9000),
            created,
            is_stub: false,
        }
    }

    /// Changes the content of a known refund, at a later time so that no fingerprint decides.
    fn amend_refund(&mut self) {
        self.pass(7);
        if let Some((_, quarters)) = self.refunds.last_mut().and_then(|last| last.lines.first_mut())
        {
            *quarters += 1;
        }
        self.say(Occasion::Updated);
    }
}
