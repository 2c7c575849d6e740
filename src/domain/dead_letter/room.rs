//! How much the bodies of parked letters may take.

use std::collections::BTreeMap;

use super::DeadLetterState;

/// What is left of `dead_letters.bytes_max`. One source has half of it at most: a shop whose
/// webhooks all fail leaves room for the dead letters of the others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Room {
    bytes_max: u64,
    used: BTreeMap<String, u64>,
}

impl Room {
    /// So much in all, of which sources use this.
    pub fn new(bytes_max: u64, used: Vec<(String, u64)>) -> Self {
        Self { bytes_max, used: used.into_iter().collect() }
    }

    /// Takes what a step adds to a letter, if there is room for it. A letter that comes back must
    /// find its place, so one that is there already fits always.
    pub fn takes(
        &mut self,
        before: Option<&DeadLetterState>,
        after: Option<&DeadLetterState>,
    ) -> bool {
        let Some((source, is)) = after.and_then(DeadLetterState::stored) else { return true };
        let was = before.and_then(DeadLetterState::stored).map_or(0, |(_, bytes)| bytes);
        let added = is.saturating_sub(was);
        let all = self.used.values().fold(added, |sum, bytes| sum.saturating_add(*bytes));
        let own = self.used.get(source).copied().unwrap_or(0).saturating_add(added);
        let is_there = before.is_some_and(|before| before.parked.is_some());
        if !is_there && added > 0 && (all > self.bytes_max || own > self.bytes_max / 2) {
            return false;
        }
        self.used.insert(source.to_owned(), own);
        true
    }
}
