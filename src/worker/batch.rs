//! One batch: decode > load > decide > commit.
//!
//! Events of one entity are folded into one commit. Where it may die:
//! 1. before the commit: nothing happened; the deliveries come again;
//! 2. after the commit, before the deliveries are settled: they come again, the join changes
//!    nothing, and they are named duplicates;
//! 3. in the middle of a commit: the Store writes each commit whole or not at all.
//!
//! The Store refuses an order that was computed with another policy than the one in force. Such a
//! delivery is handed back, and the pool ends: it decides by a policy that nobody wants.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::decided::{Arrived, Decided, decide_entity, decide_grouped};
use super::{Pool, discarded, fault};
use crate::broker::{Envelope, EnvelopeKind};
use crate::clock::{self, Delays};
use crate::domain::{
    Arrival, ClosedName, Code, Content, Decoded, EntityName, Event, EventOutcome, Identifier,
    Names, OrderId, Outcome, Reason, Rejection, Site, SourceRules, Timestamp, TotalError,
    decode_correction, decode_receipt, decode_webhook,
};
use crate::store::orders::OrderReadings;
use crate::store::{Commit, Committed, EntityId, StoreError};

/// What became of one envelope.
#[derive(Debug, Clone)]
pub(super) enum Verdict {
    /// It is done.
    Settled(EventOutcome),
    /// It is an event of a name that no rule knows.
    Unknown(Identifier),
    /// It can never be applied.
    Rejected(Box<Rejection>),
    /// Its source is not known here: another worker may know it. If none does, this is why.
    UnknownSource(Box<Rejection>),
    /// It may be applied later.
    Failed,
    /// It was decided by a policy that is no longer in force.
    Outdated,
}

/// What is known of the closing of names, by site, from commits that were refused.
type Closed = BTreeMap<Site, (BTreeMap<OrderId, Option<ClosedName>>, Timestamp)>;

/// How often a batch is decided again because others were faster, until it is retried later.
const CONFLICTS_MAX: usize = 20;
/// How long the first and the last pauses before that are, more or less: of many workers at one
/// order each round one wins.
const PAUSE_MIN: Duration = Duration::from_millis(4);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// Does a batch and returns a verdict for each envelope, in their order.
///
/// # Errors
/// Something that will not pass by waiting; which envelope it is due to is not known. A Store that
/// is away is waited for.
pub(super) async fn process(
    pool: &Pool,
    envelopes: &[Arc<Envelope>],
) -> Result<Vec<Verdict>, StoreError> {
    fault::taken(envelopes);
    let verdicts = vec![None; envelopes.len()];
    let mut batch = Batch { pool, envelopes, verdicts, closed: Closed::new(), conflicts: 0 };
    // Before anything is applied: a discard wins over a copy that a replay sent before it.
    for place in discarded::places(pool, envelopes).await? {
        let settled = EventOutcome::because(Outcome::Ignored, Reason::Discarded);
        batch.conclude(place, Verdict::Settled(settled));
    }
    let mut waiting = batch.decode();
    let mut pauses = Delays::new(PAUSE_MIN, PAUSE_MAX);
    while !waiting.is_empty() {
        let (now, later) = next(waiting);
        let conflicts = batch.conflicts;
        waiting = match batch.round(now).await {
            Ok(conflicted) => {
                pool.breaker.succeeded();
                conflicted
            }
            Err((error, arrived)) => {
                let sites = arrived.iter().map(|it| it.event.site.clone()).collect();
                if !pool.breaker.waited_out(&error, sites).await {
                    return Err(error);
                }
                arrived
            }
        };
        waiting.extend(later);
        if batch.conflicts > CONFLICTS_MAX {
            tracing::warn!(
                deliveries = waiting.len(),
                conflicts = batch.conflicts,
                "other commits were faster each time; what is left is retried later"
            );
            break;
        }
        if batch.conflicts > conflicts {
            sleep(pauses.next()).await;
        }
    }
    // Every place was decoded to a verdict or to an event; an event without one lost each round.
    Ok(batch.verdicts.into_iter().map(|verdict| verdict.unwrap_or(Verdict::Failed)).collect())
}

/// All that may be decided together; or, once nothing else waits, the next that is decided alone.
fn next(waiting: Vec<Arrived>) -> (Vec<Arrived>, Vec<Arrived>) {
    let (alone, together): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|it| it.alone);
    if together.is_empty() {
        let mut alone = alone.into_iter();
        return (alone.by_ref().take(1).collect(), alone.collect());
    }
    (together, alone)
}

/// Decodes an envelope, and checks that its source is known and may write the site. Pure; used by dry
/// runs too.
///
/// The source comes first: what a body of an unknown source says, another worker decides. What
/// people say is our own publishers' word; only webhooks come from configured sources.
pub fn understand(envelope: &Envelope, sources: &SourceRules) -> Result<Decoded, Box<Rejection>> {
    Ok(match envelope.kind {
        EnvelopeKind::Receipt => Decoded::Event(Box::new(decode_receipt(&envelope.body)?)),
        EnvelopeKind::Correction => Decoded::Event(Box::new(decode_correction(&envelope.body)?)),
        EnvelopeKind::Webhook => {
            let decoded = decode_webhook(&envelope.body, envelope.received_at);
            let event = match &decoded {
                Ok(Decoded::Event(event)) => Some(&**event),
                Ok(Decoded::Unknown { .. }) | Err(_) => None,
            };
            sources.check(&envelope.source, event)?;
            decoded?
        }
        EnvelopeKind::Edit | EnvelopeKind::Discard => {
            return Err(Box::new(Rejection::new(Code::NotJson, "what it is about has no event")));
        }
    })
}

/// What an envelope acts on first, and what it calls its order, if it is an event at all.
pub(super) fn entity(pool: &Pool, envelope: &Envelope) -> Option<(EntityId, Option<Names>)> {
    match understand(envelope, &pool.sources) {
        Ok(Decoded::Event(event)) => Some((entity_of(&event), event.content.names())),
        Ok(Decoded::Unknown { .. }) | Err(_) => None,
    }
}

fn entity_of(event: &Event) -> EntityId {
    let name = match &event.content {
        Content::Catalogue(entry) => EntityName::Catalogue(entry.entry.clone()),
        Content::Receipt(receipt) => EntityName::Receipt(receipt.receipt.clone()),
        Content::Order(order) => EntityName::Order(order.names.own().clone()),
        Content::Notice(notice) => EntityName::Order(notice.names.own().clone()),
        Content::Refund(refund) => EntityName::Order(refund.order.clone()),
        Content::Correction(correction) => EntityName::Order(correction.order.clone()),
    };
    EntityId { site: event.site.clone(), name }
}

/// Why a round failed, and what is to be done again.
type Failed = (StoreError, Vec<Arrived>);

/// A batch on its way.
struct Batch<'a> {
    pool: &'a Pool,
    envelopes: &'a [Arc<Envelope>],
    verdicts: Vec<Option<Verdict>>,
    closed: Closed,
    /// In how many rounds something else was committed meanwhile.
    conflicts: usize,
}

impl Batch<'_> {
    /// Decodes every envelope: to a verdict, or to an event.
    fn decode(&mut self) -> Vec<Arrived> {
        let mut arrived = Vec::with_capacity(self.envelopes.len());
        for (place, envelope) in self.envelopes.iter().enumerate() {
            if self.verdicts.get(place).is_some_and(Option::is_some) {
                continue;
            }
            match understand(envelope, &self.pool.sources) {
                Ok(Decoded::Event(event)) => {
                    let arrival = Arrival {
                        message_id: envelope.message_id,
                        received_at: envelope.received_at,
                        replays: envelope.replays,
                        event_type: event.event_type.clone(),
                    };
                    let names = event.content.names();
                    arrived.push(Arrived { place, event: *event, arrival, names, alone: false });
                }
                Ok(Decoded::Unknown { event_type }) => {
                    self.conclude(place, Verdict::Unknown(event_type));
                }
                Err(rejection) if rejection.code == Code::SourceUnknown => {
                    self.conclude(place, Verdict::UnknownSource(rejection));
                }
                Err(rejection) => self.conclude(place, Verdict::Rejected(rejection)),
            }
        }
        arrived
    }

    fn conclude(&mut self, place: usize, verdict: Verdict) {
        if let Some(slot) = self.verdicts.get_mut(place) {
            *slot = Some(verdict);
        }
    }

    /// Loads, decides and commits everything once; returns what is to be done again.
    async fn round(&mut self, waiting: Vec<Arrived>) -> Result<Vec<Arrived>, Failed> {
        let (orders, others): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|arrived| arrived.names.is_some());
        let mut by_entity: BTreeMap<EntityId, Vec<Arrived>> = BTreeMap::new();
        for arrived in others {
            by_entity.entry(entity_of(&arrived.event)).or_default().push(arrived);
        }
        let mut readings = OrderReadings::default();
        for (site, (names, watermark)) in &self.closed {
            let names = names.iter().map(|(name, closed)| (name.clone(), *closed));
            readings.add_closed(site, names, *watermark);
        }
        let events: Vec<_> = orders
            .iter()
            .filter_map(|arrived| Some((&arrived.event.site, arrived.names.as_ref()?)))
            .collect();
        let entities = by_entity.keys().cloned().collect();
        let loaded = match readings.fill(&*self.pool.store, &events, entities).await {
            Ok(loaded) => loaded,
            Err(error) => {
                let others = by_entity.into_values().flatten();
                return Err((error, orders.into_iter().chain(others).collect()));
            }
        };
        let mut decided = Vec::new();
        for (group, loaded) in by_entity.into_iter().zip(loaded) {
            decided.push(decide_entity(self.pool, group, loaded));
        }
        decided.extend(decide_grouped(self.pool, orders, &mut readings));
        self.write(decided).await
    }

    /// Commits what was decided; returns what is to be decided again.
    async fn write(
        &mut self,
        decided: Vec<(Option<Commit>, Decided)>,
    ) -> Result<Vec<Arrived>, Failed> {
        let (mut commits, mut open) = (Vec::new(), Vec::new());
        for (commit, group) in decided {
            match commit {
                Some(commit) => {
                    commits.push(commit);
                    open.push(group);
                }
                None => self.conclude_group(group),
            }
        }
        if commits.is_empty() {
            return Ok(Vec::new());
        }
        let written = match self.pool.store.commit(commits).await {
            Ok(written) => written,
            Err(error) => {
                let arrived = open.into_iter().flat_map(|group| group.arrived);
                return Err((error, arrived.collect()));
            }
        };
        fault::committed();
        let mut again = Vec::new();
        let is_beaten =
            |it: &Committed| matches!(it, Committed::Conflict | Committed::Closed { .. });
        self.conflicts += usize::from(written.iter().any(is_beaten));
        for (group, written) in open.into_iter().zip(written) {
            match written {
                Committed::Written => {
                    self.conclude_group(group);
                }
                Committed::Conflict => {
                    self.pool.metrics.commit_conflicts.inc();
                    again.extend(group.arrived);
                }
                Committed::Closed { names, watermark } => {
                    let known = self.closed.entry(group.site.clone()).or_default();
                    known.0.extend(names);
                    known.1 = watermark;
                    again.extend(group.arrived);
                }
                Committed::PolicyChanged => {
                    for arrived in &group.arrived {
                        self.conclude(arrived.place, Verdict::Outdated);
                    }
                }
                Committed::Overflow(error) => self.overflowed(group.arrived, error, &mut again),
            }
        }
        Ok(again)
    }

    /// Records the verdicts and counts; what was decided is durable, or changed nothing.
    fn conclude_group(&mut self, group: Decided) {
        let now = clock::now();
        self.pool.metrics.count_findings(group.findings);
        for (arrived, settled) in group.arrived.iter().zip(group.settled) {
            let verdict = match settled {
                Ok(settled) => Verdict::Settled(settled),
                Err(refused) => rejected(&arrived.event, refused.code(), &refused),
            };
            self.conclude(arrived.place, verdict);
            if let Some(envelope) = self.envelopes.get(arrived.place) {
                self.pool.metrics.observe_webhook_to_commit(envelope.received_at, now);
            }
        }
    }

    /// A total would pass a limit. Of several events, each is tried alone, so that only the one
    /// that does not fit becomes a dead letter.
    fn overflowed(&mut self, arrived: Vec<Arrived>, error: TotalError, again: &mut Vec<Arrived>) {
        if arrived.len() > 1 {
            again.extend(arrived.into_iter().map(|arrived| Arrived { alone: true, ..arrived }));
            return;
        }
        for arrived in arrived {
            let verdict = rejected(&arrived.event, Code::StockOverflow, &error);
            self.conclude(arrived.place, verdict);
        }
    }
}

/// The end of an event that was understood and does not fit into what there is.
fn rejected(event: &Event, code: Code, why: &dyn Display) -> Verdict {
    Verdict::Rejected(Box::new(Rejection {
        code,
        detail: why.to_string(),
        site: Some(event.site.clone()),
        event_type: Some(event.event_type.clone()),
        order: event.content.order().cloned(),
    }))
}
