//! Everything that was said about one order, and what it therefore holds.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use super::TieBreak;
use super::body::Fact;
use super::correction::{Action, Correction, Shown};
use super::policy::{CancelledOrders, DeletedOrders, ModelPolicy, RestockedRefunds, TestOrders};
use super::statement::{Refund, Statement, Status};
use super::version::{Version, Versions};

/// Everything that was seen under one name, in any order and with any repetition.
#[derive(Debug, Clone, Default)]
pub(super) struct Record {
    statements: Vec<Statement>,
    refunds: Vec<Refund>,
    corrections: Vec<Correction>,
}

impl Record {
    pub(super) fn collect(&mut self, fact: Fact) {
        match fact {
            Fact::Statement(statement) => self.statements.push(statement),
            Fact::Refund(refund) => self.refunds.extend(refund),
        }
    }

    pub(super) fn correct(&mut self, correction: Correction) {
        self.corrections.push(correction);
    }
}

/// What an order holds of one stock key.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Hold {
    pub(super) committed: Decimal,
    pub(super) fulfilled: Decimal,
}

/// An order: the join of its records.
pub(super) struct Order<'a> {
    /// Snapshots and deletions, in ascending order.
    pub(super) statements: Vec<(Version, &'a Statement)>,
    pub(super) refunds: Vec<&'a Refund>,
    /// One for each reference.
    pub(super) corrections: Vec<&'a Correction>,
    /// The versions of all statements, and of those that people were shown.
    pub(super) versions: Versions<'a>,
    pub(super) tie_break: &'a TieBreak,
}

impl<'a> Order<'a> {
    pub(super) fn join(records: &[&'a Record], tie_break: &'a TieBreak) -> Self {
        let mut by_reference: BTreeMap<&str, &Correction> = BTreeMap::new();
        for correction in records.iter().flat_map(|record| &record.corrections) {
            let counts = by_reference.entry(&correction.reference).or_insert(correction);
            if correction.message_id < counts.message_id {
                *counts = correction;
            }
        }
        let corrections: Vec<&Correction> = by_reference.into_values().collect();
        let stated = || records.iter().flat_map(|record| &record.statements);
        // What a person was shown may belong to a record that no longer leads here, or does not
        // yet.
        let shown = corrections.iter().flat_map(|correction| {
            [Some(&correction.shown.snapshot), correction.shown.deletion.as_ref()]
        });
        let versions = Versions::new(stated().chain(shown.flatten()), tie_break);
        let statements: BTreeMap<Version, &Statement> =
            stated().map(|statement| (versions.of(statement), statement)).collect();
        let of_statements = stated().flat_map(|statement| &statement.refunds);
        let of_events = records.iter().flat_map(|record| &record.refunds);
        Self {
            statements: statements.into_iter().collect(),
            refunds: of_statements.chain(of_events).collect(),
            corrections,
            versions,
            tie_break,
        }
    }

    /// Returns what the order holds of each stock key; keys of which it holds nothing are left out.
    pub(super) fn holds(&self, policy: &ModelPolicy) -> BTreeMap<String, Hold> {
        let mut holds: BTreeMap<String, Hold> = BTreeMap::new();
        let latest = self.latest().filter(|latest| self.is_held(latest, policy));
        let Some(latest) = latest else { return holds };
        let has_left = self.left_since().is_some();
        for (line, kept) in latest.lines.iter().zip(self.kept(latest, policy.restock)) {
            let Some(key) = self.stock_key(latest, line, policy) else { continue };
            let hold = holds.entry(key).or_default();
            if has_left {
                hold.fulfilled += kept;
            } else {
                hold.committed += kept;
            }
        }
        holds.retain(|_, hold| !hold.committed.is_zero() || !hold.fulfilled.is_zero());
        holds
    }

    /// Returns whether the order holds its lines at all. Covers every row of the table with the
    /// effect *nothing*, except refunds of lines.
    fn is_held(&self, latest: &Statement, policy: &ModelPolicy) -> bool {
        let has_left = self.left_since().is_some();
        let ruling = self.ruling(latest);
        let is_deleted = self.deletion().is_some();
        // A person saw why the order held nothing, and decided that it holds nevertheless.
        let is_overruled = ruling == Some(Action::Hold) && !is_deleted;

        let released = ruling == Some(Action::Release);
        let deleted = is_deleted
            && match policy.deleted {
                DeletedOrders::Release => true,
                DeletedOrders::ReleaseUnlessShipped => !has_left,
            };
        let test = self.is_test() && policy.test_mode == TestOrders::Ignore;
        let incomplete = latest.status == Status::Incomplete;
        let refunded = latest.status == Status::Refunded
            && !has_left
            && policy.restock != RestockedRefunds::Never;
        let cancelled = latest.status == Status::Cancelled
            && match policy.cancelled {
                CancelledOrders::Release => true,
                CancelledOrders::ReleaseUnlessShipped => !has_left,
                CancelledOrders::Keep => false,
            };
        let stopped = !is_overruled && (test || incomplete || cancelled);
        !(released || deleted || stopped || refunded)
    }

    /// Returns the snapshots in ascending order.
    pub(super) fn snapshots(&self) -> impl DoubleEndedIterator<Item = (&Version, &'a Statement)> {
        let snapshots = self.statements.iter().filter(|(_, statement)| !statement.is_deletion());
        snapshots.map(|(version, statement)| (version, *statement))
    }

    /// Returns the snapshot that counts.
    pub(super) fn latest(&self) -> Option<&'a Statement> {
        self.snapshots().next_back().map(|(_, snapshot)| snapshot)
    }

    /// Returns the highest deletion, whether or not it was taken back.
    fn highest_deletion(&self) -> Option<&(Version, &'a Statement)> {
        self.statements.iter().rfind(|(_, statement)| statement.is_deletion())
    }

    /// Returns whether a deletion of the order is known, in effect or taken back.
    pub(super) fn is_deleted(&self) -> bool {
        self.highest_deletion().is_some()
    }

    /// Returns the deletion that is in effect: no `hold` has taken it back.
    fn deletion(&self) -> Option<Version> {
        let holds = self.corrections.iter().filter(|it| it.action == Action::Hold);
        let shown = holds.filter_map(|hold| hold.shown.deletion.as_ref());
        let taken_back = shown.map(|deletion| self.versions.of(deletion)).max();
        let highest = self.highest_deletion().map(|(version, _)| *version);
        highest.filter(|version| Some(*version) > taken_back)
    }

    /// Returns the release or hold that is in force: the one received last, as long as the latest
    /// snapshot says what was shown.
    fn ruling(&self, latest: &Statement) -> Option<Action> {
        let rulings = self.corrections.iter().filter(|it| it.action != Action::Ship);
        let last = rulings.max_by_key(|correction| correction.turn())?;
        (last.shown.snapshot.words() == latest.words()).then_some(last.action)
    }

    /// Returns whether the newest statement with a mode has the mode TEST.
    fn is_test(&self) -> bool {
        let mode = self.statements.iter().rev().find_map(|(_, it)| it.mode.as_deref());
        mode.is_some_and(|mode| mode.eq_ignore_ascii_case("TEST"))
    }

    /// Returns what a person is shown now.
    pub(super) fn shown(&self) -> Option<Shown> {
        let deletion = self.highest_deletion().map(|(_, deletion)| (*deletion).clone());
        Some(Shown { snapshot: self.latest()?.clone(), deletion })
    }

    /// Returns whether a fingerprint decides which snapshot or which refund counts.
    pub(super) fn is_ambiguous(&self) -> bool {
        self.has_ambiguous_snapshot() || self.has_ambiguous_refund()
    }

    /// Returns whether a fingerprint decides which snapshot counts.
    pub(super) fn has_ambiguous_snapshot(&self) -> bool {
        let mut places = self.snapshots().rev().map(|(version, _)| version.place);
        let highest = places.next();
        highest.is_some() && places.next() == highest
    }

    /// Returns whether a snapshot comes after the deletion that is in effect.
    pub(super) fn is_after_deletion(&self) -> bool {
        let highest = self.snapshots().next_back().map(|(version, _)| *version);
        self.deletion().is_some_and(|deletion| highest > Some(deletion))
    }

    /// Returns whether a line that counts has no stock key.
    pub(super) fn has_unmapped_line(&self, policy: &ModelPolicy) -> bool {
        self.latest().is_some_and(|latest| {
            latest.lines.iter().any(|line| self.stock_key(latest, line, policy).is_none())
        })
    }

    /// Returns whether no more events are expected for the order.
    pub(super) fn is_settled(&self) -> bool {
        let status = self.latest().map(|latest| latest.status);
        self.deletion().is_some() || matches!(status, Some(Status::Delivered | Status::Cancelled))
    }
}
