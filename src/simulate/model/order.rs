//! Everything that was said of one order, and what it therefore holds.

use std::collections::BTreeMap;

use bytes::Bytes;
use rust_decimal::Decimal;

use super::TieBreak;
use super::policy::{
    CancelledOrders, DeletedOrders, KeyKind, ModelPolicy, RestockedRefunds, TestOrders,
};

/// A full order as an event carried it.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The body that carried it.
    pub body: Bytes,
    /// `event_timestamp`, in milliseconds.
    pub event_timestamp: i64,
    /// Whether an update carried it, not the creation.
    pub is_update: bool,
    /// What it says of the order's progress.
    pub status: Status,
    /// Whether its mode is TEST.
    pub is_test: bool,
    /// Its lines.
    pub lines: Vec<Line>,
}

/// A line of an order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    /// The names that it has.
    pub names: BTreeMap<KeyKind, String>,
    /// How many units.
    pub quantity: Decimal,
}

/// A refund as an event or an order carried it.
#[derive(Debug, Clone)]
pub struct Refund {
    /// The body that carried it.
    pub body: Bytes,
    /// Its id.
    pub id: String,
    /// `event_timestamp` of that body, in milliseconds.
    pub event_timestamp: i64,
    /// Whether a refund event carried it, not an order.
    pub from_event: bool,
    /// What it refunds.
    pub lines: Vec<RefundedLine>,
}

/// A refunded line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RefundedLine {
    /// The order's line, by its own id.
    pub id: Option<String>,
    /// How many units of it.
    pub quantity: Decimal,
}

/// How far an order has come, as versions compare it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// No name that the rules know.
    Unknown,
    /// PENDING
    Pending,
    /// `IN_PROGRESS`
    InProgress,
    /// PROCESSED
    Processed,
    /// DISPATCHED
    Dispatched,
    /// SHIPPED
    Shipped,
    /// DELIVERED
    Delivered,
    /// DISPUTED
    Disputed,
    /// CANCELLED
    Cancelled,
}

impl Status {
    /// The status of that name.
    pub fn of(name: &str) -> Self {
        match name {
            "PENDING" => Self::Pending,
            "IN_PROGRESS" => Self::InProgress,
            "PROCESSED" => Self::Processed,
            "DISPATCHED" => Self::Dispatched,
            "SHIPPED" => Self::Shipped,
            "DELIVERED" => Self::Delivered,
            "DISPUTED" => Self::Disputed,
            "CANCELLED" => Self::Cancelled,
            _ => Self::Unknown,
        }
    }

    const fn has_left(self) -> bool {
        matches!(self, Self::Dispatched | Self::Shipped | Self::Delivered)
    }
}

/// Different contents of which only a fingerprint can say which one counts.
#[derive(Debug)]
pub enum Tied<'a> {
    /// Snapshots of one timestamp, rank and status.
    Snapshots(&'a [&'a Snapshot]),
    /// Entries of one refund id, of one timestamp and class.
    Refunds(&'a [&'a Refund]),
}

impl Line {
    /// The stock key: the first name that the line has.
    pub fn key(&self, precedence: &[KeyKind]) -> Option<String> {
        let named = precedence.iter().find_map(|kind| Some((kind, self.names.get(kind)?)));
        named.map(|(kind, name)| format!("{}:{name}", kind.word()))
    }
}

impl Snapshot {
    /// The part of the version that is no fingerprint: timestamp, rank, status.
    fn place(&self) -> (i64, u8, Status) {
        let rank = match (self.is_update, self.status) {
            (false, _) => 0,
            (true, Status::Cancelled) => 2,
            (true, _) => 1,
        };
        (self.event_timestamp, rank, self.status)
    }

    fn content(&self) -> (bool, Vec<&Line>) {
        let mut lines: Vec<&Line> = self.lines.iter().collect();
        lines.sort();
        (self.is_test, lines)
    }
}

impl Refund {
    fn place(&self) -> (i64, bool) {
        (self.event_timestamp, self.from_event)
    }

    fn content(&self) -> Vec<&RefundedLine> {
        let mut lines: Vec<&RefundedLine> = self.lines.iter().collect();
        lines.sort();
        lines
    }
}

/// What one body says of an order.
pub(super) enum Fact {
    Snapshot { snapshot: Snapshot, refunds: Vec<Refund> },
    Deletion { status: Status, refunds: Vec<Refund> },
    Refund(Option<Refund>),
}

/// What an order holds of one stock key.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Hold {
    pub(super) committed: Decimal,
    pub(super) fulfilled: Decimal,
}

/// Where the units of an order are.
enum Place {
    Committed,
    Fulfilled,
    Nowhere,
}

/// Everything that was said of one order, in any order and as often as it was said.
#[derive(Debug, Clone, Default)]
pub(super) struct Order {
    snapshots: Vec<Snapshot>,
    /// The statuses of the deletions.
    deletions: Vec<Status>,
    refunds: Vec<Refund>,
}

impl Order {
    pub(super) fn collect(&mut self, fact: Fact) {
        match fact {
            Fact::Snapshot { snapshot, refunds } => {
                self.snapshots.push(snapshot);
                self.refunds.extend(refunds);
            }
            Fact::Deletion { status, refunds } => {
                self.deletions.push(status);
                self.refunds.extend(refunds);
            }
            Fact::Refund(refund) => self.refunds.extend(refund),
        }
    }

    /// What the order holds of each stock key; keys of which it holds nothing are left out.
    pub(super) fn holds(
        &self,
        policy: &ModelPolicy,
        tie_break: &TieBreak,
    ) -> BTreeMap<String, Hold> {
        let tied = self.latest();
        let Some(latest) = winner(&tied, |tied| tie_break(&Tied::Snapshots(tied))) else {
            return BTreeMap::new();
        };
        let place = self.place(latest, policy);
        let refunded: Vec<Decimal> = self.refunded(latest, tie_break);
        let is_refunded = !latest.lines.is_empty()
            && latest.lines.iter().zip(&refunded).all(|(line, back)| *back >= line.quantity);
        let mut holds: BTreeMap<String, Hold> = BTreeMap::new();
        for (line, back) in latest.lines.iter().zip(&refunded) {
            let kept = match policy.restock {
                RestockedRefunds::Full if is_refunded => Decimal::ZERO,
                RestockedRefunds::Never | RestockedRefunds::Full => line.quantity,
                RestockedRefunds::Lines => (line.quantity - back).max(Decimal::ZERO),
            };
            let Some(key) = line.key(&policy.key_precedence) else { continue };
            let hold = holds.entry(key).or_default();
            match place {
                Place::Committed => hold.committed += kept,
                Place::Fulfilled => hold.fulfilled += kept,
                Place::Nowhere => {}
            }
        }
        holds.retain(|_, hold| !hold.committed.is_zero() || !hold.fulfilled.is_zero());
        holds
    }

    /// Whether a fingerprint decides which snapshot or which refund counts.
    pub(super) fn is_ambiguous(&self) -> bool {
        let mut latest = self.latest();
        latest.dedup_by(|a, b| a.content() == b.content());
        latest.len() > 1 || self.refund_ids().any(|id| self.entries(id).len() > 1)
    }

    /// Whether nothing more is expected of the order.
    pub(super) fn is_settled(&self) -> bool {
        // Those of the highest place have one status.
        let status = self.latest().first().map(|latest| latest.status);
        !self.deletions.is_empty() || matches!(status, Some(Status::Delivered | Status::Cancelled))
    }

    /// The different bodies of the highest place, by content. Two of one content may still have
    /// two fingerprints: those are over more than what holds depend on, such as refunds.
    fn latest(&self) -> Vec<&Snapshot> {
        let top = self.snapshots.iter().map(Snapshot::place).max();
        let at_top = self.snapshots.iter().filter(|snapshot| Some(snapshot.place()) == top);
        let mut bodies: Vec<&Snapshot> = at_top.collect();
        bodies.sort_by(|a, b| (a.content(), &a.body).cmp(&(b.content(), &b.body)));
        bodies.dedup_by(|a, b| a.body == b.body);
        bodies
    }

    fn place(&self, latest: &Snapshot, policy: &ModelPolicy) -> Place {
        let has_left = self.has_ever_left();
        let as_disputed = if has_left { Place::Fulfilled } else { Place::Committed };
        let is_deleted = !self.deletions.is_empty()
            && match policy.deleted {
                DeletedOrders::Release => true,
                DeletedOrders::ReleaseUnlessShipped => !has_left,
            };
        if is_deleted || (latest.is_test && policy.test_mode == TestOrders::Ignore) {
            return Place::Nowhere;
        }
        match latest.status {
            Status::Pending | Status::InProgress | Status::Processed => Place::Committed,
            Status::Dispatched | Status::Shipped | Status::Delivered => Place::Fulfilled,
            Status::Disputed | Status::Unknown => as_disputed,
            Status::Cancelled => match policy.cancelled {
                CancelledOrders::Keep => as_disputed,
                CancelledOrders::ReleaseUnlessShipped if has_left => as_disputed,
                CancelledOrders::ReleaseUnlessShipped | CancelledOrders::Release => Place::Nowhere,
            },
        }
    }

    fn has_ever_left(&self) -> bool {
        let of_snapshots = self.snapshots.iter().map(|snapshot| snapshot.status);
        of_snapshots.chain(self.deletions.iter().copied()).any(Status::has_left)
    }

    /// How many units of each line of a snapshot were refunded.
    fn refunded(&self, latest: &Snapshot, tie_break: &TieBreak) -> Vec<Decimal> {
        let mut by_line: BTreeMap<&str, Decimal> = BTreeMap::new();
        for id in self.refund_ids() {
            let tied = self.entries(id);
            let Some(entry) = winner(&tied, |tied| tie_break(&Tied::Refunds(tied))) else {
                continue;
            };
            for line in &entry.lines {
                if let Some(id) = &line.id {
                    *by_line.entry(id).or_default() += line.quantity;
                }
            }
        }
        let ids: Vec<Option<&str>> = latest
            .lines
            .iter()
            .map(|line| line.names.get(&KeyKind::Line).map(String::as_str))
            .collect();
        let is_unique = |id: &str| ids.iter().filter(|other| **other == Some(id)).count() == 1;
        let unique = ids.iter().map(|id| id.filter(|id| is_unique(id)));
        unique.map(|id| id.and_then(|id| by_line.get(id).copied()).unwrap_or_default()).collect()
    }

    fn refund_ids(&self) -> impl Iterator<Item = &str> {
        let mut ids: Vec<&str> = self.refunds.iter().map(|refund| refund.id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        ids.into_iter()
    }

    /// The different contents of the highest place of one refund id.
    fn entries(&self, id: &str) -> Vec<&Refund> {
        let of_id = || self.refunds.iter().filter(|refund| refund.id == id);
        let top = of_id().map(Refund::place).max();
        let mut contents: Vec<&Refund> =
            of_id().filter(|refund| Some(refund.place()) == top).collect();
        contents.sort_by(|a, b| a.content().cmp(&b.content()));
        contents.dedup_by(|a, b| a.content() == b.content());
        contents
    }
}

/// The only one, or the one that is chosen.
fn winner<'a, T>(tied: &[&'a T], choose: impl Fn(&[&'a T]) -> usize) -> Option<&'a T> {
    let chosen = if tied.len() > 1 { choose(tied) } else { 0 };
    tied.get(chosen).copied()
}
