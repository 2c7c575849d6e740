//! Orders: snapshots, deletions, refunds and notices, joined into one state.

use std::collections::{BTreeMap, BTreeSet};

use super::{Arrival, timeline};
use crate::domain::decision::{
    Counts, Decision, Findings, Outcome, Reason, Refused, Settled, StockChange,
};
use crate::domain::event::{Line, OrderEvent, Refund, RefundEvent, Snapshot};
use crate::domain::version::fingerprint;
use crate::domain::{
    Deleted, Hold, Latest, Notice, NoticeEvent, OrderId, OrderState, Policy, PolicyInForce,
    REFUNDED_LINES_MAX, REFUNDS_MAX, Rank, Status, StockKey, TestMode, Version, desired,
    refunds_unmatched,
};

/// How many names an order keeps; of more, the lowest.
const ALIASES_MAX: usize = 64;

/// An event that acts on an order.
#[derive(Debug, Clone, Copy)]
pub(super) enum OrderInput<'a> {
    /// A snapshot or deletion.
    Order(&'a OrderEvent),
    /// A refund.
    Refund(&'a RefundEvent),
    /// A third-party store's notice.
    Notice(&'a NoticeEvent),
}

/// Joins events into an order's state and says what that changes in stock.
pub(super) fn decide(
    before: Option<OrderState>,
    events: &[(OrderInput<'_>, &Arrival)],
    in_force: &PolicyInForce,
) -> Decision<OrderState> {
    let policy = &in_force.policy;
    let mut state = before.clone().unwrap_or_default();
    let mut findings = Findings::default();
    let outcomes = events
        .iter()
        .map(|(input, arrival)| {
            // Before anything is joined: what is refused leaves no trace.
            check_refunds(&state, *input)?;
            let rekeyed_lines = match input {
                OrderInput::Order(event) => rekeyed(&state, event, policy),
                OrderInput::Refund(_) | OrderInput::Notice(_) => 0,
            };
            findings.lines_rekeyed += rekeyed_lines;
            let joined = match input {
                OrderInput::Order(event) => {
                    Some(join_order(&mut state, event, policy, &mut findings))
                }
                OrderInput::Refund(event) => join_refund(&mut state, event, &mut findings),
                OrderInput::Notice(event) => Some(join_notice(&mut state, event)),
            };
            let Some((version, settled)) = joined else {
                return Ok(Settled::because(Outcome::Ignored, Reason::RefundWithoutId));
            };
            timeline::record(&mut state.timeline, version, settled, rekeyed_lines, arrival);
            Ok(settled)
        })
        .collect();
    findings.refunds_unmatched +=
        refunds_unmatched(&state).saturating_sub(before.as_ref().map_or(0, refunds_unmatched));
    let wanted = desired(&state, policy);
    let changes = stock_changes(&state.applied, &wanted);
    state.applied = wanted;
    // Until something of the order is known there is nothing that a policy could apply to.
    if state != OrderState::default() {
        state.policy = in_force.revision;
    }
    let differs = before.unwrap_or_default() != state;
    Decision { state, changed: differs, changes, settled: outcomes, findings }
}

/// Refuses an event whose refunds do not fit beside those that are known.
///
/// Which of an order's events are refused depends on which came first, as it must: those that were
/// joined have taken the room. A deletion is not refused, for it must work whatever else is wrong
/// with it.
fn check_refunds(state: &OrderState, input: OrderInput<'_>) -> Result<(), Refused> {
    let refunds = match input {
        OrderInput::Order(OrderEvent { snapshot: Some(_), refunds, .. }) => refunds,
        OrderInput::Refund(event) => event.refund.as_slice(),
        OrderInput::Order(_) | OrderInput::Notice(_) => &[],
    };
    if have_room(state, refunds) { Ok(()) } else { Err(Refused::TooManyRefunds) }
}

/// Whether an order may have these refunds too. Those that add nothing always have room.
fn have_room(state: &OrderState, refunds: &[Refund]) -> bool {
    if refunds.is_empty() {
        return true;
    }
    let known = state.refunds.len();
    let known_lines: usize = state.refunds.values().map(|entry| entry.lines.len()).sum();
    let (mut count, mut lines) = (known, known_lines);
    for Refund { id, entry } in refunds {
        match state.refunds.get(id) {
            Some(before) if before >= entry => {}
            Some(before) => lines = lines + entry.lines.len() - before.lines.len(),
            None => {
                count += 1;
                lines += entry.lines.len();
            }
        }
    }
    count <= known.max(REFUNDS_MAX) && lines <= known_lines.max(REFUNDED_LINES_MAX)
}

/// What a join did, so that the event can be named.
#[derive(Default)]
struct Joined {
    /// The event said something that counts whatever else is known: a refund, a shipment, that the
    /// order is deleted.
    contributed: bool,
    /// Only the fingerprint decided.
    ambiguous: bool,
}

/// The highest version of what is known of an order itself.
fn newest(state: &OrderState) -> Option<Version> {
    state.latest.as_ref().map(|latest| latest.version).max(state.deleted)
}

/// Whether an order's event was seen before, as far as is remembered.
fn is_known(state: &OrderState, version: Version) -> bool {
    timeline::knows(&state.timeline, version) || newest(state) == Some(version)
}

fn join_order(
    state: &mut OrderState,
    event: &OrderEvent,
    policy: &Policy,
    findings: &mut Findings,
) -> (Version, Settled) {
    let version = event.version;
    let newest = newest(state);
    let known = is_known(state, version);
    let deleted_before = state.deleted.is_some_and(|deleted| deleted < version);
    let mut joined = Joined::default();

    add_aliases(&mut state.aliases, &event.aliases);
    // Those of a deletion count as a whole or not at all, as where they are read.
    let refunds = if have_room(state, &event.refunds) { &*event.refunds } else { &[] };
    for refund in refunds {
        joined.contributed |= join_one_refund(state, refund);
    }
    if version.status.is_shipped() && !state.ever_shipped {
        state.ever_shipped = true;
        joined.contributed = true;
    }
    match &event.snapshot {
        Some(snapshot) => join_snapshot(state, version, snapshot, &mut joined),
        None => joined.contributed |= join_deletion(state, version),
    }
    if !known {
        findings.refunds_unmatched += u64::from(event.refunds_without_id);
        let unknown = event.snapshot.is_some() && version.status == Status::Unknown;
        findings.statuses_unknown += u64::from(unknown);
        findings.ambiguous += u64::from(joined.ambiguous);
        findings.lines_unmapped += unmapped(event.snapshot.as_ref(), policy);
    }

    let ignored_test = policy.test_mode == TestMode::Ignore
        && event.snapshot.as_ref().is_some_and(|snapshot| snapshot.test);
    let after_deletion = version.rank != Rank::Deleted && deleted_before;
    let settled = if known {
        Settled::plain(Outcome::Duplicate)
    } else if after_deletion && policy.deleted == Deleted::Release {
        Settled::because(Outcome::Superseded, Reason::AfterDeletion)
    } else {
        let outcome = if joined.contributed || Some(version) > newest {
            Outcome::Applied
        } else {
            Outcome::Superseded
        };
        let reason = [
            (after_deletion, Reason::AfterDeletion),
            (joined.ambiguous, Reason::Ambiguous),
            (ignored_test, Reason::TestMode),
        ]
        .into_iter()
        .find_map(|(holds, reason)| holds.then_some(reason));
        Settled { outcome, reason }
    };
    (version, settled)
}

fn join_snapshot(
    state: &mut OrderState,
    version: Version,
    snapshot: &Snapshot,
    joined: &mut Joined,
) {
    let tied = state.latest.as_ref().is_some_and(|latest| version.ties_with(&latest.version));
    joined.ambiguous = tied;
    if state.latest.as_ref().is_some_and(|latest| latest.version >= version) {
        state.ambiguous |= tied;
        return;
    }
    // What tied with an older version says nothing of this one.
    state.ambiguous = tied;
    state.latest = Some(Latest { version, snapshot: snapshot.clone() });
}

fn join_refund(
    state: &mut OrderState,
    event: &RefundEvent,
    findings: &mut Findings,
) -> Option<(Version, Settled)> {
    let Some(refund) = &event.refund else {
        findings.refunds_unmatched += 1;
        return None;
    };
    let version = Version {
        event_timestamp: event.event_timestamp,
        rank: Rank::Updated,
        status: Status::Unknown,
        // Two refunds may be of the same lines at the same time.
        fingerprint: fingerprint(&(&refund.id, refund.entry.fingerprint)),
    };
    let known = state.refunds.get(&refund.id) == Some(&refund.entry);
    let outcome = if join_one_refund(state, refund) {
        Outcome::Applied
    } else if known {
        Outcome::Duplicate
    } else {
        Outcome::Superseded
    };
    Some((version, Settled::plain(outcome)))
}

/// Joins one refund; whether that changed what is known of it.
fn join_one_refund(state: &mut OrderState, refund: &Refund) -> bool {
    match state.refunds.get_mut(&refund.id) {
        Some(entry) if *entry >= refund.entry => false,
        Some(entry) => {
            // The same refund said again later, or by an event as well, is nothing new.
            let says_more = entry.lines != refund.entry.lines;
            *entry = refund.entry.clone();
            says_more
        }
        None => {
            state.refunds.insert(refund.id.clone(), refund.entry.clone());
            true
        }
    }
}

fn join_notice(state: &mut OrderState, event: &NoticeEvent) -> (Version, Settled) {
    let version = event.version;
    let newest = state.notice.as_ref().map(|notice| notice.version).max(state.deleted);
    let known = timeline::knows(&state.timeline, version) || newest == Some(version);
    let is_deletion = version.rank == Rank::Deleted;
    let after_deletion = !is_deletion && state.deleted.is_some_and(|deleted| deleted < version);
    add_aliases(&mut state.aliases, &event.aliases);
    let is_first_deletion = is_deletion && join_deletion(state, version);
    if state.notice.as_ref().is_none_or(|notice| notice.version < version) {
        state.notice = Some(Notice { version, status: event.status.clone() });
    }
    let settled = if known {
        Settled::plain(Outcome::Duplicate)
    } else if after_deletion {
        Settled::because(Outcome::Superseded, Reason::AfterDeletion)
    } else if is_first_deletion || Some(version) > newest {
        Settled::plain(Outcome::Applied)
    } else {
        Settled::plain(Outcome::Superseded)
    };
    (version, settled)
}

/// Joins a deletion; whether it is the first, which takes effect whatever came before it.
fn join_deletion(state: &mut OrderState, version: Version) -> bool {
    let is_first = state.deleted.is_none();
    state.deleted = state.deleted.max(Some(version));
    is_first
}

/// Keeps the lowest names: which are kept does not depend on the order in which they came.
fn add_aliases(known: &mut Vec<OrderId>, aliases: &[OrderId]) {
    for alias in aliases {
        if let Err(place) = known.binary_search(alias) {
            known.insert(place, alias.clone());
        }
    }
    known.truncate(ALIASES_MAX);
}

fn unmapped(snapshot: Option<&Snapshot>, policy: &Policy) -> u64 {
    let lines = snapshot.map_or(&[][..], |snapshot| &snapshot.lines);
    let unmapped = lines.iter().filter(|line| line.key(&policy.key_precedence).is_none());
    u64::try_from(unmapped.count()).unwrap_or(u64::MAX)
}

/// How many lines of an event that was not seen before, told by their id, have another stock key
/// than in the latest snapshot: of two that differ, either may come first.
fn rekeyed(state: &OrderState, event: &OrderEvent, policy: &Policy) -> u64 {
    let (Some(latest), Some(snapshot)) = (&state.latest, &event.snapshot) else { return 0 };
    if is_known(state, event.version) {
        return 0;
    }
    let key = |line: &Line| line.key(&policy.key_precedence);
    let known = latest.snapshot.lines.iter();
    let keys: BTreeMap<_, _> =
        known.filter_map(|line| line.id.as_ref().map(|id| (id, key(line)))).collect();
    let changed = snapshot.lines.iter().filter(|line| {
        let known = line.id.as_ref().and_then(|id| keys.get(id));
        known.is_some_and(|known| *known != key(line))
    });
    u64::try_from(changed.count()).unwrap_or(u64::MAX)
}

fn stock_changes(
    applied: &BTreeMap<StockKey, Hold>,
    wanted: &BTreeMap<StockKey, Hold>,
) -> Vec<StockChange> {
    let keys: BTreeSet<_> = applied.keys().chain(wanted.keys()).collect();
    keys.into_iter()
        .filter_map(|key| {
            let before = applied.get(key).copied().unwrap_or_default();
            let after = wanted.get(key).copied().unwrap_or_default();
            (before != after).then(|| StockChange {
                key: key.clone(),
                delta: Counts {
                    committed: after.committed.saturating_sub(before.committed),
                    fulfilled: after.fulfilled.saturating_sub(before.fulfilled),
                    ..Counts::default()
                },
                hold: Some(after),
            })
        })
        .collect()
}
