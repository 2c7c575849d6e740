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

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::sync::Arc;

use super::{Pool, fault};
use crate::broker::{Envelope, EnvelopeKind};
use crate::clock;
use crate::domain::{
    Arrival, Code, Decoded, EntityName, Event, Findings, Identifier, MessageId, Outcome, Policy,
    Refused, Rejection, Settled, SourceRules, Timestamp, TotalError, after_closing, check, decide,
    decode_receipt, decode_webhook,
};
use crate::store::{Commit, Committed, EntityId, StoreError};

/// What became of one envelope.
#[derive(Debug, Clone)]
pub(super) enum Verdict {
    /// It is done.
    Settled(Settled),
    /// It is an event of a name that no rule knows.
    Unknown(Identifier),
    /// It can never be applied.
    Rejected(Box<Rejection>),
    /// It may be applied later.
    Failed,
    /// It was decided by a policy that is no longer in force.
    Outdated,
}

/// An event and the envelope that brought it, by its place in the batch.
struct Arrived {
    place: usize,
    event: Event,
    arrival: Arrival,
}

/// The events of one entity, in the order of the batch.
type Group = (EntityId, Vec<Arrived>);

/// Does a batch and answers with a verdict for each envelope, in their order.
///
/// # Errors
/// Something that will not pass by waiting; which envelope it is due to is not known. A Store that
/// is away is waited for.
pub(super) async fn process(
    pool: &Pool,
    envelopes: &[Arc<Envelope>],
) -> Result<Vec<Verdict>, StoreError> {
    fault::taken(envelopes);
    let mut verdicts = vec![None; envelopes.len()];
    let mut waiting = decode(pool, envelopes, &mut verdicts);
    // A conflict means that another commit of the same entity was written: somebody makes
    // progress, so this ends.
    while !waiting.is_empty() {
        let (first, later) = one_of_each(waiting);
        waiting = match round(pool, first, envelopes, &mut verdicts).await {
            Ok(conflicted) => {
                pool.gate.succeeded();
                conflicted
            }
            Err((error, StillWaiting(groups))) if error.is_transient() => {
                pool.gate.wait_out(&error).await;
                groups
            }
            Err((error, _)) => return Err(error),
        };
        waiting.extend(later);
    }
    // Every place was decoded to a verdict or to a group, and every group ended with one.
    Ok(verdicts.into_iter().map(|verdict| verdict.unwrap_or(Verdict::Failed)).collect())
}

/// The first group of each entity, and the others: two commits of one entity may not be in one
/// call, and the second must be computed from what the first wrote.
fn one_of_each(groups: Vec<Group>) -> (Vec<Group>, Vec<Group>) {
    let mut seen = BTreeSet::new();
    groups.into_iter().partition(|(entity, _)| seen.insert(entity.clone()))
}

/// Decodes every envelope: to a verdict, or to an event in the group of its entity.
fn decode(
    pool: &Pool,
    envelopes: &[Arc<Envelope>],
    verdicts: &mut [Option<Verdict>],
) -> Vec<Group> {
    let mut groups = BTreeMap::<EntityId, Vec<Arrived>>::new();
    for (place, (envelope, verdict)) in envelopes.iter().zip(verdicts).enumerate() {
        match decode_one(pool, envelope) {
            Ok(Decoded::Event(event)) => {
                let arrival = Arrival {
                    message_id: envelope.message_id,
                    received_at: envelope.received_at,
                    replays: envelope.replays,
                    event_type: event.event_type.clone(),
                };
                let arrived = Arrived { place, event: *event, arrival };
                groups.entry(entity_of(&arrived.event)).or_default().push(arrived);
            }
            Ok(Decoded::Unknown { event_type }) => *verdict = Some(Verdict::Unknown(event_type)),
            Err(rejection) => *verdict = Some(Verdict::Rejected(rejection)),
        }
    }
    groups.into_iter().collect()
}

fn decode_one(pool: &Pool, envelope: &Envelope) -> Result<Decoded, Box<Rejection>> {
    understand(envelope, &pool.policy.policy, &pool.sources)
}

/// Says what an envelope means under a policy, if its source may say so. Pure; a dry run asks the
/// same.
pub fn understand(
    envelope: &Envelope,
    policy: &Policy,
    sources: &SourceRules,
) -> Result<Decoded, Box<Rejection>> {
    let decoded = match envelope.kind {
        EnvelopeKind::Receipt => Decoded::Event(Box::new(decode_receipt(&envelope.body)?)),
        EnvelopeKind::Webhook => decode_webhook(&envelope.body, envelope.received_at)?,
        EnvelopeKind::Edit | EnvelopeKind::Discard => {
            return Err(Box::new(Rejection::new(Code::NotJson, "what it is about has no event")));
        }
    };
    if let Decoded::Event(event) = &decoded {
        check(event, policy)?;
        // A receipt is our own publishers' word; only webhooks come from configured sources.
        if envelope.kind == EnvelopeKind::Webhook {
            sources.check(&envelope.source, event)?;
        }
    }
    Ok(decoded)
}

/// What an envelope acts on, if it is an event at all.
pub(super) fn entity(pool: &Pool, envelope: &Envelope) -> Option<EntityId> {
    match decode_one(pool, envelope) {
        Ok(Decoded::Event(event)) => Some(entity_of(&event)),
        Ok(Decoded::Unknown { .. }) | Err(_) => None,
    }
}

fn entity_of(event: &Event) -> EntityId {
    EntityId { site: event.site.clone(), name: event.content.entity() }
}

/// What a round that failed gives back, to be done again.
struct StillWaiting(Vec<Group>);

/// Loads, decides and commits every group once; answers with those that conflicted.
async fn round(
    pool: &Pool,
    groups: Vec<Group>,
    envelopes: &[Arc<Envelope>],
    verdicts: &mut [Option<Verdict>],
) -> Result<Vec<Group>, (StoreError, StillWaiting)> {
    let entities: Vec<_> = groups.iter().map(|(entity, _)| entity.clone()).collect();
    let loaded = match pool.store.load(&entities).await {
        Ok(loaded) => loaded,
        Err(error) => return Err((error, StillWaiting(groups))),
    };
    let mut commits = Vec::new();
    let mut decided = Vec::new();
    for ((entity, arrived), loaded) in groups.into_iter().zip(loaded) {
        let (revision, before) = loaded.map(|loaded| (loaded.revision, loaded.state)).unzip();
        let events: Vec<_> =
            arrived.iter().map(|arrived| (&arrived.event.content, &arrived.arrival)).collect();
        let Some(decision) = decide(before, &events, &pool.policy) else { continue };
        let told = Told { arrived, settled: decision.settled, findings: decision.findings };
        if decision.changed {
            commits.push(Commit {
                entity: entity.clone(),
                loaded: revision,
                state: decision.state,
                changes: decision.changes,
                message_id: told.cause(),
                at: clock::now(),
            });
            decided.push((entity, told));
        } else {
            told.conclude(pool, envelopes, verdicts);
        }
    }
    if commits.is_empty() {
        return Ok(Vec::new());
    }
    let written = match pool.store.commit(commits).await {
        Ok(written) => written,
        Err(error) => {
            let groups = decided.into_iter().map(|(entity, told)| (entity, told.arrived));
            return Err((error, StillWaiting(groups.collect())));
        }
    };
    fault::committed();
    let mut again = Vec::new();
    for ((entity, told), written) in decided.into_iter().zip(written) {
        match written {
            Committed::Written { alias_conflict } => {
                pool.metrics.orders_alias_conflict.inc_by(u64::from(alias_conflict));
                told.conclude(pool, envelopes, verdicts);
            }
            Committed::Conflict => {
                pool.metrics.commit_conflicts.inc();
                again.push((entity, told.arrived));
            }
            Committed::Closed { watermark } => closed(&entity, told.arrived, watermark, verdicts),
            Committed::PolicyChanged => {
                for arrived in &told.arrived {
                    if let Some(verdict) = verdicts.get_mut(arrived.place) {
                        *verdict = Some(Verdict::Outdated);
                    }
                }
            }
            Committed::Overflow(error) => {
                overflowed(&entity, told.arrived, error, &mut again, verdicts);
            }
        }
    }
    Ok(again)
}

/// The events of a group and what was decided of each.
struct Told {
    arrived: Vec<Arrived>,
    settled: Vec<Result<Settled, Refused>>,
    findings: Findings,
}

impl Told {
    /// The message that the change is due to: of several, the last that did something.
    fn cause(&self) -> MessageId {
        let applied = self.arrived.iter().zip(&self.settled).rev();
        let mut applied = applied.filter(|(_, settled)| {
            settled.is_ok_and(|settled| settled.outcome == Outcome::Applied)
        });
        let last = applied.next().map(|(arrived, _)| arrived).or_else(|| self.arrived.last());
        last.map_or(MessageId(uuid::Uuid::nil()), |arrived| arrived.arrival.message_id)
    }

    /// Notes the verdicts and counts; what was decided is durable, or changed nothing.
    fn conclude(self, pool: &Pool, envelopes: &[Arc<Envelope>], verdicts: &mut [Option<Verdict>]) {
        let now = clock::now();
        pool.metrics.count_findings(self.findings);
        for (arrived, settled) in self.arrived.iter().zip(self.settled) {
            if let Some(verdict) = verdicts.get_mut(arrived.place) {
                *verdict = Some(match settled {
                    Ok(settled) => Verdict::Settled(settled),
                    Err(refused) => rejected(&arrived.event, refused.code(), &refused),
                });
            }
            if let Some(envelope) = envelopes.get(arrived.place) {
                pool.metrics.observe_webhook_to_commit(envelope.received_at, now);
            }
        }
    }
}

/// The order was closed: nothing is joined any more.
fn closed(
    entity: &EntityId,
    arrived: Vec<Arrived>,
    watermark: Timestamp,
    verdicts: &mut [Option<Verdict>],
) {
    let EntityName::Order(order) = &entity.name else { return };
    for Arrived { place, event, arrival } in arrived {
        if let Some(verdict) = verdicts.get_mut(place) {
            *verdict = Some(match after_closing(&event, order, &arrival, watermark) {
                Ok(settled) => Verdict::Settled(settled),
                Err(rejection) => Verdict::Rejected(rejection),
            });
        }
    }
}

/// A total would pass a limit. Of several events, each is tried alone, so that only the one
/// that does not fit becomes a dead letter.
fn overflowed(
    entity: &EntityId,
    mut arrived: Vec<Arrived>,
    error: TotalError,
    again: &mut Vec<Group>,
    verdicts: &mut [Option<Verdict>],
) {
    if arrived.len() > 1 {
        again.extend(arrived.into_iter().map(|arrived| (entity.clone(), vec![arrived])));
        return;
    }
    let Some(arrived) = arrived.pop() else { return };
    if let Some(verdict) = verdicts.get_mut(arrived.place) {
        *verdict = Some(rejected(&arrived.event, Code::StockOverflow, &error));
    }
}

/// The end of an event that was understood and does not fit into what there is.
fn rejected(event: &Event, code: Code, why: &dyn Display) -> Verdict {
    Verdict::Rejected(Box::new(Rejection {
        code,
        detail: why.to_string(),
        site: Some(event.site.clone()),
        event_type: Some(event.event_type.clone()),
        order: match event.content.entity() {
            EntityName::Order(order) => Some(order),
            EntityName::Catalogue(_) | EntityName::Receipt(_) => None,
        },
    }))
}
