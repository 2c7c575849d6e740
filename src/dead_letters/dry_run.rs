//! Forecasts what a replay would do: the worker's own rules, on states that are loaded and never
//! committed.
//!
//! Dead letters are taken in the order in which they would be sent, and each sees the changes of
//! those before it. Those of a running replay are left out, as a replay would. Events that arrive
//! and orders that are closed in the meantime are not considered.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::{
    Arrival, Code, Content, Counts, Decision, Decoded, EntityName, EntityState, Event,
    EventOutcome, Names, OrderId, Outcome, PolicyInForce, Reading, Reason, Rejection, Site,
    SourceRules, StockChange, StockKey, TotalError, Write, decide_catalogue, decide_orders,
    decide_receipt,
};
use crate::store::orders::OrderReadings;
use crate::store::{
    Asked, DeadLetter, DeadLetterFilter, DeadLetterName, DeadLetterSummary, EntityId, PageRequest,
    Store, StoreError,
};
use crate::worker::{outcome_of_command, understand};

/// The limit of dead letters in one dry run.
pub const DRY_RUN_DEAD_LETTERS_MAX: usize = 10_000;
/// Dead letters per page.
const PAGE: usize = 500;

/// What a replay would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DryRun {
    /// Each dead letter, in the order of the replay.
    pub letters: Vec<Forecast>,
    /// What would change in stock, all dead letters together.
    pub effects: Vec<Effect>,
    /// Whether there are more dead letters than the limit.
    pub is_cut_off: bool,
}

/// What would become of a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forecast {
    /// The dead letter.
    pub letter: DeadLetterName,
    /// What would become of it.
    pub would_be: WouldBe,
}

/// What would become of a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WouldBe {
    /// It would have this outcome.
    Settled(EventOutcome),
    /// It would fail again for this reason.
    Rejected {
        /// Why.
        code: Code,
        /// What is wrong, and where.
        detail: String,
    },
}

/// The total change of a stock item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// The shop.
    pub site: Site,
    /// The item.
    pub key: StockKey,
    /// What would be added to its counts.
    pub delta: Counts,
}

/// Forecasts what a replay of the selected dead letters would do now, under the given rules for
/// sources; `None` before a policy is in force.
pub async fn dry_run(
    store: &dyn Store,
    sources: &SourceRules,
    filter: &DeadLetterFilter,
) -> Result<Option<DryRun>, StoreError> {
    let Some(policy) = store.policy().await? else { return Ok(None) };
    let mut imagined = Imagined::new(store, sources, policy);
    let mut done = DryRun::default();
    let mut page = PageRequest::first(PAGE);
    'pages: loop {
        let found = store.dead_letters(filter, &page).await?;
        for DeadLetterSummary { id, .. } in found.items {
            if store.replay_of(id).await?.is_some() {
                continue;
            }
            if done.letters.len() == DRY_RUN_DEAD_LETTERS_MAX {
                done.is_cut_off = true;
                break 'pages;
            }
            // One that has ended in the meantime would not be replayed.
            let Some(letter) = store.dead_letter(id).await? else { continue };
            let would_be = imagined.apply(&letter).await?;
            let name = DeadLetterName { message_id: id, generation: letter.generation() };
            done.letters.push(Forecast { letter: name, would_be });
        }
        let Some(next) = found.next else { break };
        page.after = Some(next);
    }
    done.effects = imagined.effects();
    Ok(Some(done))
}

/// Forecasts what a replay of a dead letter would do now if it had this body; `None` before a policy
/// is in force.
pub async fn dry_run_edit(
    store: &dyn Store,
    sources: &SourceRules,
    letter: &DeadLetter,
    body: &[u8],
) -> Result<Option<DryRun>, StoreError> {
    let Some(policy) = store.policy().await? else { return Ok(None) };
    let mut edited = letter.clone();
    edited.envelope.body = body.to_vec().into();
    let mut imagined = Imagined::new(store, sources, policy);
    let would_be = imagined.apply(&edited).await?;
    let letters = vec![Forecast { letter: edited.name(), would_be }];
    Ok(Some(DryRun { letters, effects: imagined.effects(), is_cut_off: false }))
}

/// What the Store would hold.
struct Imagined<'a> {
    store: &'a dyn Store,
    sources: &'a SourceRules,
    policy: PolicyInForce,
    /// Orders, as they would be.
    readings: OrderReadings,
    /// Catalogue entries and receipts, as they would be.
    states: BTreeMap<EntityId, Option<EntityState>>,
    /// What each item counts, and what would be added.
    stock: BTreeMap<(Site, StockKey), (Counts, Counts)>,
}

impl<'a> Imagined<'a> {
    fn new(store: &'a dyn Store, sources: &'a SourceRules, policy: PolicyInForce) -> Self {
        let (states, stock) = (BTreeMap::new(), BTreeMap::new());
        Self { store, sources, policy, readings: OrderReadings::default(), states, stock }
    }

    async fn apply(&mut self, letter: &DeadLetter) -> Result<WouldBe, StoreError> {
        if let Some(outcome) = outcome_of_command(&letter.envelope) {
            return Ok(outcome.map_or_else(WouldBe::from, WouldBe::Settled));
        }
        let event = match understand(&letter.envelope, self.sources) {
            Ok(Decoded::Event(event)) => *event,
            Ok(Decoded::Unknown { .. }) => {
                let reason = Reason::UnknownEventType;
                return Ok(WouldBe::Settled(EventOutcome::because(Outcome::Ignored, reason)));
            }
            Err(rejection) => return Ok(WouldBe::from(*rejection)),
        };
        let decision = match event.content.names() {
            Some(names) => self.decide_order(&event, &names, letter).await?,
            None => self.decide_entity(&event, letter).await?,
        };
        let settled = match decision.settled.first() {
            Some(Ok(settled)) => *settled,
            Some(Err(refused)) => {
                let (code, detail) = (refused.code(), refused.to_string());
                return Ok(WouldBe::Rejected { code, detail });
            }
            None => EventOutcome::plain(Outcome::Duplicate),
        };
        if let Err(error) = self.add(&event.site, &decision.changes).await? {
            let detail = error.to_string();
            return Ok(WouldBe::Rejected { code: Code::StockOverflow, detail });
        }
        self.keep(&event.site, decision);
        Ok(WouldBe::Settled(settled))
    }

    async fn decide_order(
        &mut self,
        event: &Event,
        names: &Names,
        letter: &DeadLetter,
    ) -> Result<Decision, StoreError> {
        self.readings.fill(self.store, &[(&event.site, names)], Vec::new()).await?;
        let arrival = arrival(event, letter);
        let decide = |part: &Reading, policy| decide_orders(part, &[(event, &arrival)], policy);
        let part = self.readings.of(&event.site).reading.part([names]);
        let decision = decide(&part, &self.policy);
        // As in a commit: whether the order was closed is asked before whether its totals fit.
        let new: Vec<OrderId> = decision.new_names.iter().map(|(name, _)| name.clone()).collect();
        if new.is_empty() {
            return Ok(decision);
        }
        let (closed, watermark) = self.store.closed(&event.site, &new).await?;
        if closed.iter().all(Option::is_none) {
            return Ok(decision);
        }
        self.readings.add_closed(&event.site, new.into_iter().zip(closed), watermark);
        let part = self.readings.of(&event.site).reading.part([names]);
        Ok(decide(&part, &self.policy))
    }

    async fn decide_entity(
        &self,
        event: &Event,
        letter: &DeadLetter,
    ) -> Result<Decision, StoreError> {
        let arrival = arrival(event, letter);
        let of_site = |name| EntityId { site: event.site.clone(), name };
        Ok(match &event.content {
            Content::Catalogue(entry) => {
                let id = of_site(EntityName::Catalogue(entry.entry.clone()));
                let before = self.state(&id).await?;
                let before = before.as_ref().and_then(EntityState::catalogue);
                decide_catalogue(&entry.entry, before, &[entry], &self.policy.policy)
            }
            Content::Receipt(receipt) => {
                let id = of_site(EntityName::Receipt(receipt.receipt.clone()));
                let before = self.state(&id).await?;
                let before = before.as_ref().and_then(EntityState::receipt);
                decide_receipt(&receipt.receipt, before, &[(receipt, &arrival)])
            }
            Content::Order(_)
            | Content::Refund(_)
            | Content::Notice(_)
            | Content::Correction(_) => Decision::default(),
        })
    }

    /// Keeps what would be written.
    fn keep(&mut self, site: &Site, decision: Decision) {
        let reading = &mut self.readings.of(site).reading;
        reading.links.extend(decision.links);
        for Write { name, state, .. } in decision.writes {
            match (name, state) {
                (EntityName::Order(order), Some(EntityState::Order(record))) => {
                    reading.records.insert(order, Some(Arc::from(record)));
                }
                (name, state) => {
                    self.states.insert(EntityId { site: site.clone(), name }, state);
                }
            }
        }
    }

    async fn state(&self, entity: &EntityId) -> Result<Option<EntityState>, StoreError> {
        if let Some(state) = self.states.get(entity) {
            return Ok(state.clone());
        }
        let asked = Asked { entities: vec![entity.clone()], links: Vec::new() };
        let loaded = self.store.load(&asked).await?.entities.pop().flatten();
        Ok(loaded.map(|loaded| loaded.state))
    }

    /// Adds changes to the stock: all of them, or none if a total would exceed its limit.
    async fn add(
        &mut self,
        site: &Site,
        changes: &[StockChange],
    ) -> Result<Result<(), TotalError>, StoreError> {
        // Two orders that become one may change one item twice.
        let mut after = BTreeMap::new();
        for change in changes {
            let place = (site.clone(), change.key.clone());
            let (counts, added) = match after.get(&place).or_else(|| self.stock.get(&place)) {
                Some(found) => *found,
                None => (self.counts(&place).await?, Counts::default()),
            };
            let Some(added) = sum(added, change.delta) else {
                return Ok(Err(TotalError::TooLarge));
            };
            if let Err(error) = counts.plus(added) {
                return Ok(Err(error));
            }
            after.insert(place, (counts, added));
        }
        self.stock.extend(after);
        Ok(Ok(()))
    }

    async fn counts(&self, (site, key): &(Site, StockKey)) -> Result<Counts, StoreError> {
        let item = self.store.stock_item(site, key, &PageRequest::first(1)).await?;
        Ok(item.map(|detail| detail.item.counts).unwrap_or_default())
    }

    fn effects(self) -> Vec<Effect> {
        let changed = self.stock.into_iter().filter(|(_, (_, delta))| *delta != Counts::default());
        changed.map(|((site, key), (_, delta))| Effect { site, key, delta }).collect()
    }
}

/// How a dead letter would arrive if it were sent again.
fn arrival(event: &Event, letter: &DeadLetter) -> Arrival {
    Arrival {
        message_id: letter.envelope.message_id,
        received_at: letter.envelope.received_at,
        replays: letter.envelope.replays.saturating_add(1),
        event_type: event.event_type.clone(),
    }
}

fn sum(a: Counts, b: Counts) -> Option<Counts> {
    Some(Counts {
        received: a.received.checked_add(b.received)?,
        committed: a.committed.checked_add(b.committed)?,
        fulfilled: a.fulfilled.checked_add(b.fulfilled)?,
    })
}

impl From<Rejection> for WouldBe {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected { code: rejection.code, detail: rejection.detail }
    }
}

impl DryRun {
    /// How many dead letters would fail again.
    pub fn rejected(&self) -> usize {
        let is_rejected = |letter: &&Forecast| matches!(letter.would_be, WouldBe::Rejected { .. });
        self.letters.iter().filter(is_rejected).count()
    }
}
