//! The lists that an order is in, for people who look for what needs them.

use serde::{Deserialize, Serialize};

/// A list of a site's orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum List {
    /// Every order.
    All,
    /// Orders of which nothing more is expected.
    Settled,
    /// Only a fingerprint made their latest snapshot the latest.
    Ambiguous,
    /// One of their names was seen beside another id.
    Contested,
    /// A snapshot is newer than their deletion.
    AfterDeletion,
    /// A line of theirs has no stock key.
    Unmapped,
    /// Nothing but refunds, corrections or notices is known of them.
    Waiting,
    /// A person corrected them.
    Corrected,
}

impl List {
    /// Every list.
    pub const EVERY: [Self; 8] = [
        Self::All,
        Self::Settled,
        Self::Ambiguous,
        Self::Contested,
        Self::AfterDeletion,
        Self::Unmapped,
        Self::Waiting,
        Self::Corrected,
    ];

    /// The list's name in keys, commands and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Settled => "settled",
            Self::Ambiguous => "ambiguous",
            Self::Contested => "contested",
            Self::AfterDeletion => "after-deletion",
            Self::Unmapped => "unmapped",
            Self::Waiting => "waiting",
            Self::Corrected => "corrected",
        }
    }

    /// The list of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::EVERY.into_iter().find(|list| list.as_str() == name)
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of lists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lists(u8);

impl Lists {
    /// No list.
    pub const NONE: Self = Self(0);

    /// Whether it has a list.
    pub const fn has(self, list: List) -> bool {
        self.0 & list.bit() != 0
    }

    /// Its lists.
    pub fn iter(self) -> impl Iterator<Item = List> {
        List::EVERY.into_iter().filter(move |list| self.has(*list))
    }
}

impl FromIterator<List> for Lists {
    fn from_iter<I: IntoIterator<Item = List>>(lists: I) -> Self {
        Self(lists.into_iter().fold(0, |all, list| all | list.bit()))
    }
}
