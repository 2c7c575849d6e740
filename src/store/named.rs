//! The names that a commit gives items, each item once.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::domain::{Identifier, ItemNames, StockKey, StockKeyKind, Version};

/// The names that a commit gives an item.
pub(super) struct Named<'a> {
    pub(super) key: &'a StockKey,
    /// The newest of the names that lines give it.
    pub(super) line: Option<&'a (Version, String)>,
    /// All names by which it can be found; not its key, if a line names it.
    pub(super) also: BTreeSet<&'a StockKey>,
}

impl<'a> Named<'a> {
    pub(super) fn all_of(names: impl IntoIterator<Item = &'a ItemNames>) -> Vec<Self> {
        let mut by_key: BTreeMap<&StockKey, Self> = BTreeMap::new();
        for ItemNames { key, line, also } in names {
            let nothing = || Self { key, line: None, also: BTreeSet::new() };
            let item = by_key.entry(key).or_insert_with(nothing);
            item.line = item.line.max(line.as_ref());
            item.also.extend(also);
        }
        let mut all: Vec<Self> = by_key.into_values().collect();
        for item in all.iter_mut().filter(|item| item.line.is_some()) {
            item.also.remove(item.key);
        }
        all
    }

    /// A hash of the names by which the item can be found: where it is stored, those are written
    /// already. Lines that name one item differently in turn, and a release with another hash, only
    /// write them once more.
    pub(super) fn mark(&self) -> u64 {
        let mut mark = DefaultHasher::new();
        self.also.hash(&mut mark);
        mark.finish()
    }
}

/// The keys of items that are a name themselves; a line's own id is no name.
pub(super) fn keys_of(
    kind: Option<StockKeyKind>,
    name: &Identifier,
) -> impl Iterator<Item = StockKey> {
    let kinds = StockKeyKind::ALL.into_iter().filter(|kind| *kind != StockKeyKind::Line);
    let wanted = kinds.filter(move |it| kind.is_none_or(|kind| kind == *it));
    wanted.map(|kind| StockKey { kind, identifier: name.clone() })
}
