//! Stock keys, computed with the names that a line had before it lost them.
//!
//! Null means loss of knowledge, not a change: a product that was deleted between sale and shipment
//! leaves its lines without ids, and they are still lines of that product.

use std::collections::BTreeMap;

use super::order::Order;
use super::policy::{KeyKind, ModelPolicy};
use super::statement::{Line, Statement};
use super::version::Version;

/// The names of a line's goods, without the line's own id.
type Names<'a> = BTreeMap<KeyKind, &'a str>;

impl Order<'_> {
    /// Returns the stock key of a line of the latest snapshot: the first name that it has or had.
    pub(super) fn stock_key(
        &self,
        latest: &Statement,
        line: &Line,
        policy: &ModelPolicy,
    ) -> Option<String> {
        let id = line.id();
        let remembers = id.is_some_and(|id| latest.lines_with_own_id().contains_key(id));
        let mut names = goods(line);
        for (_, older) in
            id.filter(|_| remembers).map(|id| self.remembered(id)).into_iter().flatten().rev()
        {
            // A line with contradicting names is about other goods.
            let agrees =
                |(kind, name): (&KeyKind, &&str)| names.get(kind).is_none_or(|it| it == name);
            if older.iter().all(agrees) {
                names.extend(older);
            }
        }
        names.extend(id.map(|id| (KeyKind::Line, id)));
        let first = policy.key_precedence.iter().find_map(|kind| Some((kind, names.get(kind)?)));
        first.map(|(kind, name)| format!("{}:{name}", kind.word()))
    }

    /// Returns the remembered names of a line, in ascending order. For each kind of name, these are
    /// all names that the line had in the highest version with a name of that kind.
    fn remembered(&self, id: &str) -> BTreeMap<Version, Names<'_>> {
        let of_line = || {
            self.snapshots().filter_map(|(version, snapshot)| {
                Some((*version, goods(snapshot.lines_with_own_id().get(id)?)))
            })
        };
        let highest = |kind| of_line().rfind(move |(_, names)| names.contains_key(&kind));
        KeyKind::ALL.into_iter().filter_map(highest).collect()
    }
}

fn goods(line: &Line) -> Names<'_> {
    let names = line.names.iter().filter(|(kind, _)| **kind != KeyKind::Line);
    names.map(|(kind, name)| (*kind, name.as_str())).collect()
}
