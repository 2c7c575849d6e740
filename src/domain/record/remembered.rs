//! Earlier names of lines: a null means lost knowledge, not a change.
//!
//! If a product is deleted between sale and shipment, its lines lose their product ids. All names
//! that a line had together are kept, as long as one of them is the newest of its kind.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Latest, Record};
use crate::domain::{Identifier, Line, LineNames, StockKey, StockKeyKind, Version};

/// The most names that are kept, over all lines of an order.
const REMEMBERED_MAX: usize = 5000;

/// The names of a line in one snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// The snapshot's version.
    pub version: Version,
    /// The line's own id.
    pub line: Identifier,
    /// All names that the line had there.
    pub names: LineNames,
}

/// Returns the lines whose id occurs only once, by that id.
pub(in crate::domain) fn told_apart(lines: &[Line]) -> BTreeMap<&Identifier, &Line> {
    let mut once = BTreeMap::new();
    let mut twice = BTreeSet::new();
    for line in lines {
        if let Some(id) = &line.id
            && once.insert(id, line).is_some()
        {
            twice.insert(id);
        }
    }
    once.retain(|id, _| !twice.contains(id));
    once
}

impl Record {
    /// Keeps the names that lines have in snapshots, and those that are remembered elsewhere. The
    /// names in the highest snapshot are not stored again; every join treats them as stored.
    pub(super) fn remember(&mut self, snapshots: &[&Latest], elsewhere: &[Remembered]) {
        let mine = self.latest.as_ref();
        let latest = snapshots.iter().copied().chain(mine).map(|latest| latest.version).max();
        if self.remembered.is_empty() && elsewhere.is_empty() && nothing_new(snapshots) {
            return;
        }
        let stated = snapshots.iter().copied().chain(mine).flat_map(|latest| {
            let lines = told_apart(&latest.snapshot.lines);
            let named = lines.into_iter().filter(|(_, line)| !line.names.is_empty());
            named.map(|(id, line)| Remembered {
                version: latest.version,
                line: id.clone(),
                names: line.names.clone(),
            })
        });
        let mut all: Vec<Remembered> = stated
            .chain(std::mem::take(&mut self.remembered))
            .chain(elsewhere.iter().cloned())
            .collect();
        all.sort_unstable_by(|a, b| {
            b.version
                .cmp(&a.version)
                .then_with(|| a.line.cmp(&b.line))
                .then_with(|| b.names.cmp(&a.names))
        });
        let mut newest: BTreeSet<(Identifier, StockKeyKind)> = BTreeSet::new();
        all.retain(|entry| {
            let mut is_newest = false;
            for (kind, _) in entry.names.iter() {
                if newest.len() < REMEMBERED_MAX {
                    is_newest |= newest.insert((entry.line.clone(), kind));
                }
            }
            is_newest && Some(entry.version) != latest
        });
        self.remembered = all;
    }

    /// Returns the lines of the latest snapshot, each with its stock key, if it has one.
    pub fn keyed_lines(&self, precedence: &[StockKeyKind]) -> Vec<(&Line, Option<StockKey>)> {
        let Some(latest) = &self.latest else { return Vec::new() };
        let lines = &latest.snapshot.lines;
        if self.remembered.is_empty() {
            return lines.iter().map(|line| (line, line.key(precedence))).collect();
        }
        let mut by_line: BTreeMap<&Identifier, Vec<&LineNames>> = BTreeMap::new();
        for Remembered { line, names, .. } in &self.remembered {
            by_line.entry(line).or_default().push(names);
        }
        let told_apart = told_apart(lines);
        let key = |line: &Line| {
            let id = line.id.as_ref().filter(|id| told_apart.contains_key(id));
            let remembered = id.and_then(|id| by_line.get(id)).map_or(&[][..], Vec::as_slice);
            names_of(line, remembered).key(line.id.as_ref(), precedence)
        };
        lines.iter().map(|line| (line, key(line))).collect()
    }
}

/// Returns the names of a line, with the missing ones filled in from what is remembered, newest
/// first.
fn names_of<'a>(line: &'a Line, remembered: &[&LineNames]) -> Cow<'a, LineNames> {
    let mut names = Cow::Borrowed(&line.names);
    for other in remembered {
        // These are other goods: none of their names belongs to this line.
        if names.contradicts(other) {
            continue;
        }
        for (kind, name) in other.iter() {
            if names.get(kind).is_none() {
                names.to_mut().add(kind, name);
            }
        }
    }
    names
}

/// Returns whether the newer of two snapshots has, for every line, all kinds of names that the
/// older one has, so that nothing of the older one must be kept. This is by far the most common
/// case.
fn nothing_new(snapshots: &[&Latest]) -> bool {
    let [first, second] = snapshots else { return true };
    let (older, newer) =
        if first.version < second.version { (first, second) } else { (second, first) };
    let newer = told_apart(&newer.snapshot.lines);
    told_apart(&older.snapshot.lines).into_iter().all(|(id, line)| {
        line.names.is_empty()
            || newer.get(id).is_some_and(|newer| {
                line.names.iter().all(|(kind, _)| newer.names.get(kind).is_some())
            })
    })
}
