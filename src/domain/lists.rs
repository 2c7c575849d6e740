//! The lists of orders, by which people find those that need attention.

use serde::{Deserialize, Serialize};

use super::named::named;

named! {
    /// A list of a site's orders.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum List {
        /// Every order.
        All = "all",
        /// Orders of which nothing more is expected.
        Final = "settled",
        /// Only a fingerprint made their latest snapshot the latest.
        Ambiguous = "ambiguous",
        /// One of their names was seen beside another id.
        Contested = "contested",
        /// A snapshot is newer than their deletion.
        AfterDeletion = "after-deletion",
        /// A line of theirs has no stock key.
        Unmapped = "unmapped",
        /// Only refunds, corrections or notices are known of them.
        Waiting = "waiting",
        /// A person corrected them.
        Corrected = "corrected",
    }
}

impl List {
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
        List::ALL.into_iter().filter(move |list| self.has(*list))
    }
}

impl FromIterator<List> for Lists {
    fn from_iter<I: IntoIterator<Item = List>>(lists: I) -> Self {
        Self(lists.into_iter().fold(0, |all, list| all | list.bit()))
    }
}
