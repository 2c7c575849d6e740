//! What a replay would do, without doing it: the worker's own rules on states that are loaded and
//! never committed.
//!
//! Letters are taken in the order in which they would be sent, and each sees what those before it
//! would have changed. Those of a running replay are left out, as a replay leaves them out. What
//! arrives meanwhile is not foreseen, nor an order that is closed meanwhile.

use std::collections::BTreeMap;

use crate::domain::{
    Arrival, Code, Counts, Decision, Decoded, EntityName, EntityState, Event, Outcome,
    PolicyInForce, Reason, Rejection, Settled, Site, SourceRules, StockChange, StockKey,
    TotalError, after_closing, decide,
};
use crate::store::{
    DeadLetter, DeadLetterFilter, DeadLetterSummary, EntityId, LetterName, PageRequest, Store,
    StoreError,
};
use crate::worker::{outcome_of_order, understand};

/// The most letters that one dry run looks at.
pub const DRY_RUN_LETTERS_MAX: usize = 10_000;
/// Letters asked for at a time.
const PAGE: usize = 500;

/// What a replay would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DryRun {
    /// Each letter, in the order of the replay.
    pub letters: Vec<Forecast>,
    /// What would change in stock, all letters together.
    pub effects: Vec<Effect>,
    /// Whether there are more letters than were looked at.
    pub is_cut_off: bool,
}

/// What would become of a letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forecast {
    /// The letter.
    pub letter: LetterName,
    /// What would become of it.
    pub would_be: WouldBe,
}

/// What would become of a letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WouldBe {
    /// It would have this outcome.
    Settled(Settled),
    /// It would come back for this reason.
    Rejected {
        /// Why.
        code: Code,
        /// What is wrong, and where.
        detail: String,
    },
}

/// The sum of what would change of a stock item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// The shop.
    pub site: Site,
    /// The item.
    pub key: StockKey,
    /// What would be added to its counts.
    pub delta: Counts,
}

/// Says what a replay of the selected letters would do now, if the worker lets each source write
/// what `sources` says; `None` before a policy is in force.
pub async fn dry_run(
    store: &dyn Store,
    sources: &SourceRules,
    filter: &DeadLetterFilter,
) -> Result<Option<DryRun>, StoreError> {
    let Some(policy) = store.policy().await? else { return Ok(None) };
    let (states, stock) = (BTreeMap::new(), BTreeMap::new());
    let mut imagined = Imagined { store, sources, policy, states, stock };
    let mut done = DryRun::default();
    let mut page = PageRequest::first(PAGE);
    'pages: loop {
        let found = store.dead_letters(filter, &page).await?;
        for DeadLetterSummary { id, .. } in found.items {
            if store.replay_of(id).await?.is_some() {
                continue;
            }
            if done.letters.len() == DRY_RUN_LETTERS_MAX {
                done.is_cut_off = true;
                break 'pages;
            }
            // One that ended meanwhile would not be replayed.
            let Some(letter) = store.dead_letter(id).await? else { continue };
            let would_be = imagined.apply(&letter).await?;
            let name = LetterName { message_id: id, generation: letter.generation() };
            done.letters.push(Forecast { letter: name, would_be });
        }
        let Some(next) = found.next else { break };
        page.after = Some(next);
    }
    done.effects = imagined.effects();
    Ok(Some(done))
}

/// What the Store would hold.
struct Imagined<'a> {
    store: &'a dyn Store,
    sources: &'a SourceRules,
    policy: PolicyInForce,
    states: BTreeMap<EntityId, Option<EntityState>>,
    /// What each item counts, and what would be added.
    stock: BTreeMap<(Site, StockKey), (Counts, Counts)>,
}

impl Imagined<'_> {
    async fn apply(&mut self, letter: &DeadLetter) -> Result<WouldBe, StoreError> {
        if let Some(outcome) = outcome_of_order(&letter.envelope) {
            return Ok(outcome.map_or_else(WouldBe::from, WouldBe::Settled));
        }
        let event = match understand(&letter.envelope, &self.policy.policy, self.sources) {
            Ok(Decoded::Event(event)) => *event,
            Ok(Decoded::Unknown { .. }) => {
                let reason = Reason::UnknownEventType;
                return Ok(WouldBe::Settled(Settled::because(Outcome::Ignored, reason)));
            }
            Err(rejection) => return Ok(WouldBe::from(*rejection)),
        };
        let entity = EntityId { site: event.site.clone(), name: event.content.entity() };
        let before = self.state(&entity).await?;
        let is_first = before.is_none();
        let Some(decision) = self.decide(before, &event, letter) else {
            return Ok(WouldBe::Settled(Settled::plain(Outcome::Duplicate)));
        };
        let settled = match decision.settled.first() {
            Some(Ok(settled)) => *settled,
            Some(Err(refused)) => {
                let (code, detail) = (refused.code(), refused.to_string());
                return Ok(WouldBe::Rejected { code, detail });
            }
            None => Settled::plain(Outcome::Duplicate),
        };
        if decision.changed {
            // As a commit asks: whether the order was closed comes before what fits.
            if is_first && let Some(closed) = self.after_closing(&entity, &event, letter).await? {
                return Ok(closed);
            }
            if let Err(error) = self.add(&entity.site, &decision.changes).await? {
                let detail = error.to_string();
                return Ok(WouldBe::Rejected { code: Code::StockOverflow, detail });
            }
        }
        self.states.insert(entity, Some(decision.state));
        Ok(WouldBe::Settled(settled))
    }

    fn decide(
        &self,
        before: Option<EntityState>,
        event: &Event,
        letter: &DeadLetter,
    ) -> Option<Decision<EntityState>> {
        decide(before, &[(&event.content, &arrival(event, letter))], &self.policy)
    }

    /// What becomes of an event whose order was closed; `None` if it was not.
    async fn after_closing(
        &self,
        entity: &EntityId,
        event: &Event,
        letter: &DeadLetter,
    ) -> Result<Option<WouldBe>, StoreError> {
        let EntityName::Order(order) = &entity.name else { return Ok(None) };
        let watermark = self.store.closed_order(&entity.site, order).await?;
        Ok(watermark.map(|watermark| {
            after_closing(event, order, &arrival(event, letter), watermark)
                .map_or_else(|rejection| WouldBe::from(*rejection), WouldBe::Settled)
        }))
    }

    async fn state(&mut self, entity: &EntityId) -> Result<Option<EntityState>, StoreError> {
        if let Some(state) = self.states.get(entity) {
            return Ok(state.clone());
        }
        let loaded = self.store.load(std::slice::from_ref(entity)).await?.pop().flatten();
        Ok(loaded.map(|loaded| loaded.state))
    }

    /// Adds changes to the stock, all of them or, if a total would pass a limit, none.
    async fn add(
        &mut self,
        site: &Site,
        changes: &[StockChange],
    ) -> Result<Result<(), TotalError>, StoreError> {
        let mut after = Vec::new();
        for change in changes {
            let place = (site.clone(), change.key.clone());
            let (counts, added) = match self.stock.get(&place) {
                Some(found) => *found,
                None => (self.counts(&place).await?, Counts::default()),
            };
            let Some(added) = sum(added, change.delta) else {
                return Ok(Err(TotalError::TooLarge));
            };
            if let Err(error) = counts.plus(added) {
                return Ok(Err(error));
            }
            after.push((place, (counts, added)));
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

/// How a letter would arrive if it were sent again.
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
    /// How many letters would come back.
    pub fn rejected(&self) -> usize {
        let is_rejected = |letter: &&Forecast| matches!(letter.would_be, WouldBe::Rejected { .. });
        self.letters.iter().filter(is_rejected).count()
    }
}
