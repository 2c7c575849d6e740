//! Products and categories: the latest description, the latest deletion, and which is later.

use crate::domain::{CatalogueEntry, CatalogueEvent, Decision, Findings, Outcome, Settled};

/// Joins events into a catalogue entry. Stock is never touched.
pub(super) fn decide(
    before: Option<&CatalogueEntry>,
    events: &[&CatalogueEvent],
) -> Decision<CatalogueEntry> {
    let mut state = before.cloned().unwrap_or_default();
    let settled = events.iter().map(|event| Ok(join(&mut state, event))).collect();
    let changed = before != Some(&state);
    Decision { state, changed, changes: Vec::new(), settled, findings: Findings::default() }
}

fn join(state: &mut CatalogueEntry, event: &CatalogueEvent) -> Settled {
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
    Settled::plain(if known {
        Outcome::Duplicate
    } else if version > newest {
        Outcome::Applied
    } else {
        Outcome::Superseded
    })
}
