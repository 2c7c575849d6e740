//! Lists of orders, where people find the orders that need attention.

use serde::{Deserialize, Serialize};

use super::named::named;

named! {
    /// A list of a site's orders.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum List {
        /// Every order.
        All = "all",
        /// Orders for which nothing more is expected.
        Final = "settled",
        /// Orders whose latest snapshot is the latest by its fingerprint alone.
        Ambiguous = "ambiguous",
        /// Orders with a name that was seen beside another id.
        Contested = "contested",
        /// Orders with a snapshot that is newer than their deletion.
        AfterDeletion = "after-deletion",
        /// Orders with a line that has no stock key.
        Unmapped = "unmapped",
        /// Orders known only from refunds, corrections or notices.
        Waiting = "waiting",
        /// Orders that a person corrected.
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
    /// The empty set.
    pub const NONE: Self = Self(0);

    /// Returns whether the set contains a list.
    pub const fn has(self, list: List) -> bool {
        self.0 & list.bit() != 0
    }

    /// Iterates over the lists in the set.
    pub fn iter(self) -> impl Iterator<Item = List> {
        List::ALL.into_iter().filter(move |list| self.has(*list))
    }
}

impl FromIterator<List> for Lists {
    fn from_iter<I: IntoIterator<Item = List>>(lists: I) -> Self {
        Self(lists.into_iter().fold(0, |all, list| all | list.bit()))
    }
}
