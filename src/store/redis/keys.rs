//! The names of keys.
//!
//! | key (prefix `sk`) | type | holds |
//! |---|---|---|
//! | `sk:sites` | sorted set | sites by name, each listed before its first commit |
//! | `sk:policy` | hash | `revision` and `policy` in force, `actor` and `at` of who put it in force |
//! | `sk:history` | hash | `names` of the histories of the data, `settled_before`, `lost_at` of what was brought back |
//! | `sk:leader` | hash | `owner`, `fence`, `until` of the lease of the process that leads; `count` of its renewals, `lost` when data was found to be gone |
//! | `sk:clock` | hash | the leader's times: `trusted`, `doubted` (empty: none), `fence` |
//! | `sk:dirty` | set | sites with new changes for the relay |
//! | `sk:{site}:relay` | hash | `epoch` and `sequence` of what was relayed last, `fence` of who did |
//! | `sk:layout`, `sk:epoch`, `sk:probe` | string | the number of this layout; the Store's epoch; what checks write |
//! | `sk:{site}:stock` | hash | each item: `<received> <committed> <fulfilled>`, in millionths; beside them what the site knows of itself: `~epoch`, `~policy` (its revision), `~sequence` (the feed's last), `~closed_before` (the watermark), `~about` |
//! | `sk:{site}:order:<kind>:<id>` | hash | `rev`, `state` of a record |
//! | `sk:{site}:receipt:<key>:<reference>`, `:product:<id>`, `:category:<id>`, `:store-product:<id>`, `:store-category:<id>` | hash | `rev`, `state`; an entry also has what it gives to items, as `given` |
//! | `sk:{site}:names` | hash | second names and invoice numbers: what was seen beside each |
//! | `sk:{site}:orders`, `:orders:<list>` | sorted set | every order, and those of each other list, by the time of their last commit in microseconds |
//! | `sk:{site}:items`, `:catalogue` | sorted set | items and catalogue entries, in order of name |
//! | `sk:{site}:oversold` | set | items of which less than nothing is available; none whose only name is a line's |
//! | `sk:{site}:untracked` | hash | items that nobody counts: how many catalogue entries say so |
//! | `sk:{site}:holds:<key>` | hash | order: `<committed> <fulfilled>`; `~closed`: `<orders> <fulfilled>` of closed ones |
//! | `sk:{site}:receipts:<key>` | hash | reference: what it adds to `received` |
//! | `sk:{site}:titles`, `:titled` | sorted set | the catalogue's names by item, and items by such a name in lower case |
//! | `sk:{site}:line-names`, `:line-named` | hash, sorted set | of each item the newest name that a line gave it, with its version and a mark of what `also` has of it; items by such a name in lower case |
//! | `sk:{site}:also` | sorted set | names by which an item can be found: identifier, kind, item |
//! | `sk:{site}:closed:<n>` | set | names of closed orders, as whole numbers |
//! | `sk:{site}:changes` | stream | the change feed, an entry a commit; ids are `<sequence of its last change>-0` |
//! | `sk:pause` | string | who paused the work queue, when and why; absent while it is not paused |
//! | `sk:{*processes}:beats`, `:times` | hash, sorted set | the last heartbeat of each process, and when it came |
//! | `sk:{*dead}:*` | | parked dead letters and replays; see [`dead_letters`](super::dead_letters) |
//!
//! # Invariants
//! - Every part is encoded, so that two different lists of parts never make one key, and no part
//!   can open or close a hash tag.
//! - All keys of a site have its name as their tag and are in one hash slot; all of dead letters
//!   are in another, and all of processes in a third.

use crate::domain::identifier::{encode, push_encoded};

/// The tag of dead letters. No site has it: an encoded name has no asterisk.
const DEAD: &str = "*dead";
/// The tag of processes; no site has it either.
const PROCESSES: &str = "*processes";
/// The tag of what checks name or write; no site has it either.
const PROBE: &str = "*probe";

/// What every key begins with.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: encode(prefix) }
    }

    /// What every key begins with, before a colon.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// A key that belongs to no site.
    pub(super) fn global(&self, name: &str) -> String {
        format!("{}:{}", self.prefix, encode(name))
    }

    /// A key of a site.
    pub(super) fn of_site(&self, site: &str, parts: &[&str]) -> String {
        self.tagged(&encode(site), parts)
    }

    /// A key of parked dead letters.
    pub(super) fn of_dead_letters(&self, parts: &[&str]) -> String {
        self.tagged(DEAD, parts)
    }

    /// A key of what processes report.
    pub(super) fn of_processes(&self, name: &str) -> String {
        self.tagged(PROCESSES, &[name])
    }

    /// A key as a site's, of no site.
    pub(super) fn of_probe(&self, parts: &[&str]) -> String {
        self.tagged(PROBE, parts)
    }

    fn tagged(&self, tag: &str, parts: &[&str]) -> String {
        // Most keys are shorter; a longer one takes more.
        let mut key = String::with_capacity(96);
        key.extend([&self.prefix, ":{", tag, "}"]);
        for part in parts {
            key.push(':');
            push_encoded(&mut key, part);
        }
        key
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_as_the_design_has_them() {
        let keys = Keys::new("sk");
        assert_eq!(keys.global("sites"), "sk:sites");
        assert_eq!(keys.of_site("shop", &["stock"]), "sk:{shop}:stock");
        assert_eq!(keys.of_site("a.b", &["order", "id", "1"]), "sk:{a%2Eb}:order:id:1");
        assert_eq!(keys.of_dead_letters(&["letter", "7"]), "sk:{*dead}:letter:7");
    }

    #[test]
    fn hostile_names_stay_apart_and_in_their_slot() {
        let keys = Keys::new("s{k}:");
        let names =
            ["a", "a:b", "x}:holds:foo{", "{", "}", "", "*dead", "a|b", "a%3Ab", "\u{1f600}"];
        let mut all = BTreeSet::new();
        for site in names {
            let tag = format!("{{{}}}", encode(site));
            for (first, second) in names.iter().flat_map(|a| names.map(|b| (*a, b))) {
                for parts in [&[first, second][..], &[first, second, ""]] {
                    let key = keys.of_site(site, parts);
                    assert_eq!(key.find('{'), key.find(&tag), "{key}");
                    assert_eq!(key.matches(['{', '}']).count(), 2, "{key}");
                    assert!(all.insert(key));
                }
            }
            assert!(all.insert(keys.global(site)));
            assert!(all.insert(keys.of_dead_letters(&[site])));
            assert!(all.insert(keys.of_probe(&[site])));
            assert!(all.insert(keys.of_processes(site)));
        }
    }
}
