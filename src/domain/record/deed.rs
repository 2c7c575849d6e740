//! Which corrections are in force.

use super::Record;
use crate::domain::{Action, Shown, Version};

/// The current effect of people's corrections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CorrectionsInForce {
    /// The release or hold that decides, if there is one.
    pub decides: Option<Action>,
    /// The deletion, unless a hold revoked it.
    pub deleted: Option<Version>,
}

impl Record {
    /// Returns the corrections in force. Of releases and holds, the one received last decides, as
    /// long as the latest snapshot has the words that were shown.
    pub fn corrections_in_force(&self) -> CorrectionsInForce {
        if self.corrections.is_empty() {
            return CorrectionsInForce { decides: None, deleted: self.deleted };
        }
        let corrections = || self.corrections.values();
        let last = corrections()
            .filter(|known| known.content.action != Action::Ship)
            .max_by_key(|known| known.place());
        let words = self.latest.as_ref().map(|latest| latest.snapshot.words);
        let decides = last
            .filter(|last| Some(last.content.shown.words) == words)
            .map(|last| last.content.action);
        // A hold revokes the deletion for good, even once the hold itself no longer decides.
        let taken_back = corrections()
            .filter(|known| known.content.action == Action::Hold)
            .filter_map(|known| known.content.shown.deleted)
            .max();
        CorrectionsInForce { decides, deleted: self.deleted.filter(|_| self.deleted > taken_back) }
    }

    /// Returns what a person is shown of the order, or `None` if there is no snapshot.
    pub fn shown(&self) -> Option<Shown> {
        let latest = self.latest.as_ref()?;
        let (version, words) = (latest.version, latest.snapshot.words);
        Some(Shown { version, words, deleted: self.deleted })
    }
}
