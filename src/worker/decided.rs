//! The middle of a batch: from what was loaded and events to commits. Nothing waits here.

use std::collections::BTreeMap;

use super::Pool;
use crate::clock;
use crate::domain::{
    Arrival, Content, Decision, EntityName, EntityState, Event, EventOutcome, Findings, MessageId,
    Names, Outcome, Reading, Refused, Site, decide_catalogue, decide_orders, decide_receipt,
};
use crate::store::orders::OrderReadings;
use crate::store::{Commit, EntityId, Loaded};

/// An event and the envelope that brought it, by its place in the batch.
pub(super) struct Arrived {
    pub(super) place: usize,
    pub(super) event: Event,
    pub(super) arrival: Arrival,
    /// What it calls its order, if it acts on one.
    pub(super) names: Option<Names>,
    /// It did not fit together with others: it is decided by itself.
    pub(super) alone: bool,
}

/// Decides events of orders: those together whose names lead to one another.
pub(super) fn decide_grouped(
    pool: &Pool,
    orders: Vec<Arrived>,
    readings: &mut OrderReadings,
) -> Vec<(Option<Commit>, Decided)> {
    let mut by_site: BTreeMap<Site, Vec<Arrived>> = BTreeMap::new();
    for arrived in orders {
        by_site.entry(arrived.event.site.clone()).or_default().push(arrived);
    }
    let mut decided = Vec::new();
    for (site, arrived) in by_site {
        let of_site = readings.of(&site);
        let names: Vec<&Names> = arrived.iter().filter_map(|it| it.names.as_ref()).collect();
        let groups = of_site.reading.groups(&names);
        let is_one_group = groups.len() == 1;
        let mut arrived: Vec<Option<Arrived>> = arrived.into_iter().map(Some).collect();
        for group in groups {
            let group: Vec<Arrived> = group
                .into_iter()
                .filter_map(|place| arrived.get_mut(place).and_then(Option::take))
                .collect();
            let part = if is_one_group {
                // What was read is what these events need.
                std::mem::take(&mut of_site.reading)
            } else {
                of_site.reading.part(group.iter().filter_map(|it| it.names.as_ref()))
            };
            let (decision, group) = decide_group(pool, &site, group, &part);
            let is_changed = decision.changes_anything();
            // The next group may bear the same invoice number: it is written after this one.
            of_site.reading.links.extend(decision.links.iter().cloned());
            let message = (group.cause(), clock::now());
            let revision = pool.policy.revision;
            let commit =
                is_changed.then(|| of_site.commit(&site, &part, decision, revision, message));
            decided.push((commit, group));
        }
    }
    decided
}

fn decide_group(
    pool: &Pool,
    site: &Site,
    arrived: Vec<Arrived>,
    part: &Reading,
) -> (Decision, Decided) {
    let events: Vec<_> = arrived.iter().map(|it| (&it.event, &it.arrival)).collect();
    let mut decision = decide_orders(part, &events, &pool.policy);
    let settled = std::mem::take(&mut decision.settled);
    let findings = decision.findings;
    let site = site.clone();
    (decision, Decided { site, arrived, settled, findings })
}

/// Decides events of one catalogue entry or one receipt.
pub(super) fn decide_entity(
    pool: &Pool,
    (entity, arrived): (EntityId, Vec<Arrived>),
    loaded: Option<Loaded>,
) -> (Option<Commit>, Decided) {
    let (revision, before) = loaded.map(|loaded| (loaded.revision, loaded.state)).unzip();
    let mut decision = match &entity.name {
        EntityName::Catalogue(id) => {
            let before = before.as_ref().and_then(EntityState::catalogue);
            let events: Vec<_> = arrived
                .iter()
                .filter_map(|it| {
                    if let Content::Catalogue(event) = &it.event.content {
                        Some(event)
                    } else {
                        None
                    }
                })
                .collect();
            decide_catalogue(id, before, &events, &pool.policy.policy)
        }
        EntityName::Receipt(id) => {
            let before = before.as_ref().and_then(EntityState::receipt);
            let events: Vec<_> = arrived
                .iter()
                .filter_map(|it| {
                    let Content::Receipt(event) = &it.event.content else { return None };
                    Some((event, &it.arrival))
                })
                .collect();
            decide_receipt(id, before, &events)
        }
        EntityName::Order(_) => Decision::default(),
    };
    let mut group = Decided {
        site: entity.site.clone(),
        arrived,
        settled: std::mem::take(&mut decision.settled),
        findings: decision.findings,
    };
    group.count_oddities();
    let commit = decision.changes_anything().then(|| Commit {
        read: vec![(entity.name, revision)],
        writes: decision.writes,
        changes: decision.changes,
        item_names: decision.item_names,
        ..Commit::nothing(entity.site, group.cause(), clock::now())
    });
    (commit, group)
}

/// The events of a group and what was decided of each.
pub(super) struct Decided {
    pub(super) site: Site,
    pub(super) arrived: Vec<Arrived>,
    pub(super) settled: Vec<Result<EventOutcome, Refused>>,
    pub(super) findings: Findings,
}

impl Decided {
    /// The message that the change is due to: of several, the last that did something.
    fn cause(&self) -> MessageId {
        let applied = self.arrived.iter().zip(&self.settled).rev();
        let mut applied = applied.filter(|(_, settled)| {
            settled.as_ref().is_ok_and(|settled| settled.outcome == Outcome::Applied)
        });
        let last = applied.next().map(|(arrived, _)| arrived).or_else(|| self.arrived.last());
        last.map_or(MessageId(uuid::Uuid::nil()), |arrived| arrived.arrival.message_id)
    }

    /// Counts what could not be read of events that were not seen before.
    fn count_oddities(&mut self) {
        for (arrived, settled) in self.arrived.iter().zip(&self.settled) {
            let is_new =
                settled.as_ref().is_ok_and(|settled| settled.outcome != Outcome::Duplicate);
            if is_new {
                self.findings.names_unreadable +=
                    u64::from(arrived.event.oddities.names_unreadable);
                self.findings.timestamps_ahead += u64::from(arrived.event.oddities.is_ahead);
            }
        }
    }
}
