//! The order of an order's events relative to each other.

use std::collections::BTreeMap;

use super::TieBreak;
use super::statement::{Occasion, Statement, Status, Tied};

/// A version without its fingerprint. `observed_at` is 0 for all webhooks, so it is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// A creation precedes everything else, whatever the clocks say.
    class: u8,
    event_timestamp: i64,
    rank: u8,
    status: Status,
}

/// A version: among those with one place, a higher turn stands for a greater fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version {
    pub(super) place: Place,
    turn: usize,
}

impl Place {
    pub(super) fn of(statement: &Statement) -> Self {
        let Statement { event_timestamp, status, .. } = *statement;
        let (class, rank) = match statement.occasion {
            Occasion::Creation => (0, 0),
            Occasion::Update if status == Status::Cancelled => (1, 2),
            Occasion::Update => (1, 1),
            Occasion::Deletion => (1, 3),
        };
        Self { class, event_timestamp, rank, status }
    }
}

/// The statements of an order, each with its version.
#[derive(Debug)]
pub(super) struct Versions<'a>(BTreeMap<Place, Vec<&'a Statement>>);

impl<'a> Versions<'a> {
    /// Sorts statements. Among those with one place and different contents, the tie break chooses
    /// the highest, then the highest of the rest, and so on.
    pub(super) fn new(
        statements: impl IntoIterator<Item = &'a Statement>,
        tie_break: &TieBreak,
    ) -> Self {
        let mut places: BTreeMap<Place, Vec<&Statement>> = BTreeMap::new();
        for statement in statements {
            places.entry(Place::of(statement)).or_default().push(statement);
        }
        for tied in places.values_mut().filter(|tied| tied.len() > 1) {
            tied.sort_by_cached_key(|statement| (statement.content(), &statement.body));
            tied.dedup_by(|a, b| a.content() == b.content());
            let mut rising = Vec::with_capacity(tied.len());
            while tied.len() > 1 {
                let highest = tie_break(&Tied::Snapshots(tied)).min(tied.len() - 1);
                rising.push(tied.remove(highest));
            }
            rising.append(tied);
            rising.reverse();
            *tied = rising;
        }
        Self(places)
    }

    /// Returns the version of a statement, which must be one of the sorted statements.
    pub(super) fn of(&self, statement: &Statement) -> Version {
        let place = Place::of(statement);
        let tied = self.0.get(&place).map_or(&[][..], Vec::as_slice);
        let turn = match tied {
            [] | [_] => Some(0),
            tied => tied.iter().position(|other| other.content() == statement.content()),
        };
        Version { place, turn: turn.unwrap_or_default() }
    }
}
