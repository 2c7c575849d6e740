//! Products and categories: the latest description, the latest deletion, and which is later.

use crate::domain::{
    CatalogueEntry, CatalogueEvent, CatalogueId, Decision, EntityName, EntityState, EventOutcome,
    ItemNames, Lists, Outcome, Policy, Write,
};

/// Joins events into a catalogue entry. Stock never changes.
pub fn decide_catalogue(
    id: &CatalogueId,
    before: Option<&CatalogueEntry>,
    events: &[&CatalogueEvent],
    policy: &Policy,
) -> Decision {
    let mut state = before.cloned().unwrap_or_default();
    let settled = events.iter().map(|event| Ok(join(&mut state, event))).collect();
    let mut decision = Decision { settled, ..Decision::default() };
    if before != Some(&state) {
        decision.item_names = catalogue_names(&state, policy);
        decision.writes.push(Write {
            name: EntityName::Catalogue(id.clone()),
            state: Some(EntityState::Catalogue(state)),
            lists: (Lists::NONE, Lists::NONE),
        });
    }
    decision
}

/// Returns the names of an entry's goods.
pub fn catalogue_names(state: &CatalogueEntry, policy: &Policy) -> Vec<ItemNames> {
    let goods = state.description.goods.iter().filter_map(|names| {
        let key = names.key(None, &policy.key_precedence)?;
        Some(ItemNames { key, line: None, also: names.keys().collect() })
    });
    goods.collect()
}

fn join(state: &mut CatalogueEntry, event: &CatalogueEvent) -> EventOutcome {
    let version = Some(event.version);
    let newest = state.described.max(state.deleted);
    let known = version == state.described || version == state.deleted;
    match &event.description {
        Some(description) if version > state.described => {
            state.described = version;
            state.description = description.clone();
        }
        Some(_) => {}
        None => state.deleted = state.deleted.max(version),
    }
    EventOutcome::plain(if known {
        Outcome::Duplicate
    } else if version > newest {
        Outcome::Applied
    } else {
        Outcome::Superseded
    })
}
