//! How much the bodies of parked dead letters may take.

use std::collections::BTreeMap;

use super::DeadLetterState;

/// The share of what is left that one process may take before it reads again what others took.
const UNREAD_SHARE: u64 = 16;

/// What is left of `dead_letters.bytes_max`. One source has half of it at most: a shop whose
/// webhooks all fail leaves room for the dead letters of the others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Room {
    bytes_max: u64,
    used: BTreeMap<String, u64>,
    /// What was taken since `used` was read.
    taken: u64,
    /// Whether something did not fit since then.
    has_refused: bool,
}

impl Room {
    /// So much in all, of which sources use this.
    pub fn new(bytes_max: u64, used: Vec<(String, u64)>) -> Self {
        Self { bytes_max, used: used.into_iter().collect(), ..Self::default() }
    }

    /// Whether so many bytes more of a source fit.
    pub fn fits(&mut self, source: &str, bytes: u64) -> bool {
        let own = self.used.get(source).copied().unwrap_or(0).saturating_add(bytes);
        let fits = bytes <= self.left() && own <= self.bytes_max / 2;
        self.has_refused |= !fits;
        fits
    }

    /// Whether it matters by now what other processes took or freed.
    pub fn is_tight(&self) -> bool {
        self.has_refused || self.taken > self.left() / UNREAD_SHARE
    }

    fn left(&self) -> u64 {
        let used = self.used.values().fold(0_u64, |sum, bytes| sum.saturating_add(*bytes));
        self.bytes_max.saturating_sub(used)
    }

    /// Takes what a step adds to a dead letter, if there is room for it. One that is parked already
    /// always fits: if it fails again, it must find its place.
    pub fn takes(
        &mut self,
        before: Option<&DeadLetterState>,
        after: Option<&DeadLetterState>,
    ) -> bool {
        let Some((source, is)) = after.and_then(DeadLetterState::stored) else { return true };
        let was = before.and_then(DeadLetterState::stored).map_or(0, |(_, bytes)| bytes);
        let added = is.saturating_sub(was);
        let is_there = before.is_some_and(|before| before.parked.is_some());
        if !is_there && added > 0 && !self.fits(source, added) {
            return false;
        }
        let own = self.used.entry(source.to_owned()).or_default();
        *own = own.saturating_add(added);
        self.taken = self.taken.saturating_add(added);
        true
    }
}
