//! How much the refunds of an order leave of its lines.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use super::order::Order;
use super::policy::RestockedRefunds;
use super::statement::{Refund, Statement, Tied};

impl Order<'_> {
    /// Returns how much of each line of a snapshot is still held.
    pub(super) fn kept(&self, latest: &Statement, restock: RestockedRefunds) -> Vec<Decimal> {
        let refunded = match restock {
            RestockedRefunds::Never => BTreeMap::new(),
            RestockedRefunds::Full | RestockedRefunds::Lines => self.refunded(|_| true),
            RestockedRefunds::Unshipped => {
                let left_since = self.left_since();
                self.refunded(|time| left_since.is_none_or(|left| time < left))
            }
        };
        // It is unknown which of two lines with one id was refunded.
        let own = latest.lines_with_own_id();
        let back = |id: Option<&str>| {
            id.filter(|id| own.contains_key(id)).and_then(|id| refunded.get(id)).copied()
        };
        let lines = latest.lines.iter();
        let lines: Vec<(Decimal, Decimal)> =
            lines.map(|line| (line.quantity, back(line.id()).unwrap_or_default())).collect();
        let is_complete =
            !lines.is_empty() && lines.iter().all(|(quantity, back)| back >= quantity);
        let kept = lines.into_iter().map(|(quantity, back)| match restock {
            RestockedRefunds::Full if is_complete => Decimal::ZERO,
            RestockedRefunds::Full | RestockedRefunds::Never => quantity,
            RestockedRefunds::Lines | RestockedRefunds::Unshipped => {
                (quantity - back).max(Decimal::ZERO)
            }
        });
        kept.collect()
    }

    /// Returns whether only a fingerprint decides which entry of a refund counts.
    pub(super) fn has_ambiguous_refund(&self) -> bool {
        let differ = |tied: &[&Refund]| match tied {
            [one, other] => one.sorted_lines() != other.sorted_lines(),
            _ => false,
        };
        self.by_id().values().any(|entries| tied(entries).windows(2).any(differ))
    }

    /// Returns how many units of each line, by its id, were refunded at times that count.
    fn refunded(&self, counts: impl Fn(i64) -> bool) -> BTreeMap<&str, Decimal> {
        let mut by_line: BTreeMap<&str, Decimal> = BTreeMap::new();
        for entries in self.by_id().into_values() {
            if !counts(time_of(&entries)) {
                continue;
            }
            let tied = tied(&entries);
            let chosen = if tied.len() > 1 { (self.tie_break)(&Tied::Refunds(&tied)) } else { 0 };
            for line in tied.get(chosen).into_iter().flat_map(|refund| &refund.lines) {
                if let Some(id) = &line.id {
                    *by_line.entry(id).or_default() += line.quantity;
                }
            }
        }
        by_line
    }

    /// Returns all entries of each refund.
    fn by_id(&self) -> BTreeMap<&str, Vec<&Refund>> {
        let mut by_id: BTreeMap<&str, Vec<&Refund>> = BTreeMap::new();
        for refund in &self.refunds {
            by_id.entry(&refund.id).or_default().push(refund);
        }
        by_id
    }
}

/// Returns when a refund was made, in microseconds: the time that it states, or else that of the
/// first event that mentions it.
fn time_of(entries: &[&Refund]) -> i64 {
    let created = entries.iter().filter_map(|entry| entry.created_us).min();
    let heard = entries.iter().map(|entry| entry.event_timestamp * 1000).min();
    created.or(heard).unwrap_or_default()
}

/// Returns the entries of one refund that take precedence over the others. Entries with equal
/// content all stay: one body may contain the refund beside something that counts more there, and
/// another may not. Whatever its time, an entry with lines takes precedence over a stub: a stub is
/// missing knowledge.
fn tied<'a>(entries: &[&'a Refund]) -> Vec<&'a Refund> {
    let place = |entry: &Refund| (entry.has_lines(), entry.event_timestamp, entry.from_event);
    let highest = entries.iter().map(|entry| place(entry)).max();
    let mut tied: Vec<&Refund> =
        entries.iter().copied().filter(|entry| Some(place(entry)) == highest).collect();
    tied.sort_by(|a, b| (a.sorted_lines(), &a.body).cmp(&(b.sorted_lines(), &b.body)));
    tied
}
