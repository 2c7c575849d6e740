//! Joins snapshots, deletions, refunds, notices and corrections into the records of a family.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Arrival, limits};
use crate::domain::record::told_apart;
use crate::domain::{
    ClosedName, Content, Correction, CorrectionEvent, Event, EventOutcome, Findings, Identifier,
    Line, Link, Mode, Names, NoticeEvent, OrderEvent, OrderId, Outcome, Policy, Rank, Reading,
    Reason, Record, RefundEvent, Refused, Snapshot, Status, TestMode, TimelineEntry, Version,
};

/// Records and links that belong together, before and after the events.
pub(super) struct Family<'a> {
    /// What was read.
    pub(super) before: &'a Reading,
    /// The same, with all events joined.
    pub(super) after: Reading,
    pub(super) findings: Findings,
    /// Whether the current event's timestamp is more than a day after its receipt.
    is_ahead: bool,
}

/// What a join did, which determines the event's outcome.
#[derive(Default)]
struct Joined {
    /// The event added something that counts whatever else is known: a refund, a shipment, or the
    /// deletion of the order.
    contributed: bool,
    /// Only the fingerprint decided.
    ambiguous: bool,
}

impl<'a> Family<'a> {
    pub(super) fn new(before: &'a Reading) -> Self {
        Self { before, after: before.clone(), findings: Findings::default(), is_ahead: false }
    }

    pub(super) fn has_changed(&self) -> bool {
        self.after.records != self.before.records || self.after.links != self.before.links
    }

    pub(super) fn take(
        &mut self,
        event: &Event,
        arrival: &Arrival,
        policy: &Policy,
    ) -> Result<EventOutcome, Refused> {
        let Some(names) = event.content.names() else {
            return Ok(EventOutcome::plain(Outcome::Ignored));
        };
        if self.is_closed(&names) {
            return self.after_closing(&names, arrival);
        }
        limits::check(self.after.record(names.own()), &event.content)?;
        let known = match &event.content {
            Content::Order(order) => self.knows(&names, order.version, arrival),
            Content::Notice(notice) => self.knows(&names, notice.version, arrival),
            Content::Refund(refund) => self.knows(&names, refund.version, arrival),
            Content::Correction(_) | Content::Catalogue(_) | Content::Receipt(_) => false,
        };
        if !known {
            self.count_oddities(event);
        }
        self.join_names(&names);
        self.is_ahead = event.oddities.is_ahead;
        Ok(match &event.content {
            Content::Order(order) => self.join_order(order, arrival, policy, known),
            Content::Notice(notice) => self.join_notice(notice, arrival, known),
            Content::Refund(refund) => self.join_refund(refund, arrival, known),
            Content::Correction(correction) => self.join_correction(correction, arrival),
            Content::Catalogue(_) | Content::Receipt(_) => EventOutcome::plain(Outcome::Ignored),
        })
    }

    fn count_oddities(&mut self, event: &Event) {
        self.findings.names_unreadable += u64::from(event.oddities.names_unreadable);
        self.findings.quantities_rounded += u64::from(event.oddities.quantities_rounded);
        self.findings.timestamps_ahead += u64::from(event.oddities.is_ahead);
    }

    /// Returns whether the event belongs to an order that was closed.
    fn is_closed(&self, names: &Names) -> bool {
        let closed = |name: &OrderId| self.before.closed.get(name);
        if closed(names.own()).is_some() {
            return true;
        }
        // A second name that never had an id is the only name of its order. One that led to a
        // different order is contested from now on.
        names.second().any(|name| closed(name) == Some(&ClosedName::Itself))
    }

    /// An event received before the watermark is treated as known. A later one may be new, so a
    /// person must see it. So must a replayed dead letter, because it is not known when it was sent
    /// again.
    fn after_closing(&self, names: &Names, arrival: &Arrival) -> Result<EventOutcome, Refused> {
        let watermark = self.before.watermark;
        if arrival.received_at < watermark && arrival.replays == 0 {
            return Ok(EventOutcome::because(Outcome::Superseded, Reason::OrderClosed));
        }
        let open = names.all().find(|name| self.before.record(name).is_some()).cloned();
        Err(Refused::Expired { watermark, open })
    }

    /// Returns whether an event was seen before, as far as the record remembers.
    fn knows(&self, names: &Names, version: Version, arrival: &Arrival) -> bool {
        self.after.record(names.own()).is_some_and(|record| {
            record.knows(version, &arrival.event_type) || record.newest() == Some(version)
        })
    }

    fn join_names(&mut self, names: &Names) {
        let Some(id) = names.id() else { return };
        for second in names.second() {
            let mut link = self.after.link(second);
            let was_contested = link.is_contested();
            link.add(second, id);
            self.findings.names_contested += u64::from(link.is_contested() && !was_contested);
            self.set_link(second, link);
            self.record(id).second_names.insert(second.clone());
        }
    }

    fn set_link(&mut self, name: &OrderId, link: Link) {
        if self.after.link(name) != link || !self.after.links.contains_key(name) {
            self.after.links.insert(name.clone(), Some(link));
        }
    }

    fn join_invoice(&mut self, names: &Names, version: Version) {
        let Some(invoice) = names.invoice() else { return };
        let record = self.record(names.own());
        let is_known = record.invoices.iter().any(|(_, known)| known == invoice);
        record.join_invoice(version, invoice);
        // A hint is added only once: it may be one of more than the link keeps.
        if !is_known {
            let mut link = self.after.link(invoice);
            link.add(invoice, names.own());
            self.set_link(invoice, link);
        }
    }

    /// Returns the record with this name, and creates it if it does not exist.
    fn record(&mut self, name: &OrderId) -> &mut Record {
        Arc::make_mut(self.after.records.entry(name.clone()).or_default().get_or_insert_default())
    }

    /// Returns the order with this name, as it is now.
    fn order<'r>(&'r self, lead: &'r OrderId) -> Cow<'r, Record> {
        let members: Vec<_> = self.after.members(lead).into_iter().map(|(_, it)| it).collect();
        Record::union(&members)
    }

    /// Returns what is known so far of the order that a record belongs to: the highest version, and
    /// the deletion.
    fn newest(&self, name: &OrderId) -> (Option<Version>, Option<Version>) {
        let lead = self.after.lead(name);
        let members = self.after.members(&lead);
        let newest = members.iter().filter_map(|(_, record)| record.newest()).max();
        (newest, members.iter().filter_map(|(_, record)| record.deleted).max())
    }

    fn join_order(
        &mut self,
        event: &OrderEvent,
        arrival: &Arrival,
        policy: &Policy,
        known: bool,
    ) -> EventOutcome {
        let (own, version) = (event.names.own(), event.version);
        let (newest, deleted) = self.newest(own);
        let rekeyed_lines = match &event.snapshot {
            Some(snapshot) if !known => self.rekeyed(own, snapshot, policy),
            Some(_) | None => 0,
        };
        self.join_invoice(&event.names, version);
        let mut joined = Joined::default();
        let record = self.record(own);
        // The refunds of a deletion count all together or not at all, as they do when they are
        // read.
        let refunds =
            if limits::have_room(Some(record), &event.refunds) { &*event.refunds } else { &[] };
        for refund in refunds {
            joined.contributed |= record.join_refund(&refund.id, &refund.entry);
        }
        if let Some(mode) = event.mode {
            record.mode = record.mode.max(Some((version, mode)));
        }
        if version.status.is_shipped() {
            joined.contributed |= record.shipped.is_empty();
            record.join_shipped(&[version]);
        }
        if let Some(snapshot) = &event.snapshot {
            if version.status.is_unshipped() {
                record.unshipped = record.unshipped.max(Some((version, snapshot.words)));
            }
            let latest = record.latest.as_ref();
            joined.ambiguous = latest.is_some_and(|latest| version.ties_with(&latest.version));
            record.join_snapshot(version, snapshot);
        } else {
            joined.contributed |= record.deleted.is_none();
            record.deleted = record.deleted.max(Some(version));
        }
        if known {
            let settled = EventOutcome::plain(Outcome::Duplicate);
            return self.note(own, version, settled, event.said.as_deref(), 0, arrival);
        }
        self.findings.refunds_unmatched += u64::from(event.refunds_without_id);
        let is_unknown = event.snapshot.is_some() && version.status == Status::Unknown;
        self.findings.statuses_unknown += u64::from(is_unknown);
        self.findings.ambiguous += u64::from(joined.ambiguous);
        self.findings.lines_rekeyed += u64::from(rekeyed_lines);
        let lines = event.snapshot.iter().flat_map(|snapshot| &snapshot.lines);
        let unmapped = lines.filter(|line| line.key(&policy.key_precedence).is_none()).count();
        self.findings.lines_unmapped += u64::try_from(unmapped).unwrap_or(u64::MAX);

        let after_deletion = event.snapshot.is_some() && deleted.is_some_and(|it| it < version);
        let is_newest = Some(version) > newest && !after_deletion;
        let outcome =
            if joined.contributed || is_newest { Outcome::Applied } else { Outcome::Superseded };
        let is_test = policy.test_mode == TestMode::Ignore && event.mode == Some(Mode::Test);
        let reason = [
            (after_deletion, Reason::AfterDeletion),
            (joined.ambiguous, Reason::Ambiguous),
            (is_test, Reason::TestMode),
        ]
        .into_iter()
        .find_map(|(holds, reason)| holds.then_some(reason));
        let settled = EventOutcome { outcome, reason };
        self.note(own, version, settled, event.said.as_deref(), rekeyed_lines, arrival)
    }

    fn join_refund(&mut self, event: &RefundEvent, arrival: &Arrival, known: bool) -> EventOutcome {
        let settled = if let Some(refund) = &event.refund {
            let says_more = self.record(&event.order).join_refund(&refund.id, &refund.entry);
            EventOutcome::plain(match (says_more, known) {
                (true, _) => Outcome::Applied,
                (false, true) => Outcome::Duplicate,
                (false, false) => Outcome::Superseded,
            })
        } else {
            self.findings.refunds_unmatched += u64::from(!known);
            EventOutcome::because(Outcome::Ignored, Reason::RefundWithoutId)
        };
        self.note(&event.order, event.version, settled, None, 0, arrival)
    }

    fn join_notice(&mut self, event: &NoticeEvent, arrival: &Arrival, known: bool) -> EventOutcome {
        let (own, version) = (event.names.own(), event.version);
        let (newest, deleted) = self.newest(own);
        let record = self.record(own);
        let is_deletion = version.rank == Rank::Deleted;
        let is_first_deletion = is_deletion && record.deleted.is_none();
        if is_deletion {
            record.deleted = record.deleted.max(Some(version));
        }
        let noticed = record.timeline.first().map(|entry| entry.version).max(newest);
        let settled = if known {
            EventOutcome::plain(Outcome::Duplicate)
        } else if !is_deletion && deleted.is_some_and(|deleted| deleted < version) {
            EventOutcome::because(Outcome::Superseded, Reason::AfterDeletion)
        } else if is_first_deletion || Some(version) > noticed {
            EventOutcome::plain(Outcome::Applied)
        } else {
            EventOutcome::plain(Outcome::Superseded)
        };
        self.note(own, version, settled, event.said.as_deref(), 0, arrival)
    }

    fn join_correction(&mut self, event: &CorrectionEvent, arrival: &Arrival) -> EventOutcome {
        let correction = Correction {
            content: event.content.clone(),
            message_id: arrival.message_id,
            received_at: arrival.received_at,
        };
        let record = self.record(&event.order);
        let before = record.corrections.get(&event.reference).cloned();
        let counts = record.join_correction(&event.reference, &correction);
        match before {
            None => {
                self.findings.corrections += 1;
                EventOutcome::plain(Outcome::Applied)
            }
            Some(before) if before.message_id == correction.message_id => {
                EventOutcome::plain(Outcome::Duplicate)
            }
            Some(before) if before.content == correction.content => {
                EventOutcome::plain(Outcome::Duplicate)
            }
            Some(_) if counts => EventOutcome::because(Outcome::Applied, Reason::ReferenceReused),
            Some(_) => EventOutcome::because(Outcome::Superseded, Reason::ReferenceReused),
        }
    }

    /// Writes an event into its record's timeline, and returns its outcome.
    fn note(
        &mut self,
        name: &OrderId,
        version: Version,
        settled: EventOutcome,
        said: Option<&str>,
        rekeyed_lines: u32,
        arrival: &Arrival,
    ) -> EventOutcome {
        let is_ahead = self.is_ahead && settled.outcome != Outcome::Duplicate;
        let reason = settled.reason.or_else(|| is_ahead.then_some(Reason::TimestampAhead));
        let settled = EventOutcome { reason, ..settled };
        self.record(name).join_entry(TimelineEntry {
            version,
            message_id: arrival.message_id,
            event_type: arrival.event_type.clone(),
            received_at: arrival.received_at,
            outcome: settled.outcome,
            reason: settled.reason,
            said: said.map(str::to_owned),
            rekeyed_lines,
        });
        settled
    }

    /// Counts the lines of a snapshot, identified by their id, whose stock key differs from the one
    /// in the latest snapshot so far. Of two snapshots that differ, either may arrive first.
    fn rekeyed(&self, own: &OrderId, snapshot: &Snapshot, policy: &Policy) -> u32 {
        let lead = self.after.lead(own);
        let order = self.order(&lead);
        let lines = order.latest.as_ref().map_or(&[][..], |latest| &latest.snapshot.lines);
        let told = told_apart(lines);
        let known: BTreeMap<_, _> = order
            .keyed_lines(&policy.key_precedence)
            .into_iter()
            .filter_map(|(line, key)| Some((line.id.as_ref()?, (line, key))))
            .filter(|(id, _)| told.contains_key(id))
            .collect();
        let is_rekeyed = |(id, line): &(&Identifier, &Line)| {
            let Some((before, key)) = known.get(id) else {
                return false;
            };
            let mut names = line.names.clone();
            // Missing names are as they were, unless the line is about other goods.
            if !names.contradicts(&before.names) {
                before.names.iter().for_each(|(kind, name)| names.add(kind, name));
            }
            names.key(Some(id), &policy.key_precedence) != *key
        };
        let rekeyed = told_apart(&snapshot.lines).into_iter().filter(is_rekeyed).count();
        u32::try_from(rekeyed).unwrap_or(u32::MAX)
    }
}
