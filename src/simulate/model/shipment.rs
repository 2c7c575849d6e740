//! Whether the goods have left, and since when.

use std::collections::BTreeMap;

use super::correction::{Action, Correction};
use super::order::Order;
use super::version::Version;

/// How many of the lowest versions with a shipped status are kept, in addition to the highest.
const SHIPPED_KEPT: usize = 64;

/// A point among an order's statements: one of them, or a correction directly above the one that
/// was shown. Of several corrections of one statement, the one received later is higher.
type Point<'a> = (Version, Option<(i64, &'a str)>);

impl Order<'_> {
    /// Returns since when the goods have left, in microseconds, or `None` while they are here.
    pub(super) fn left_since(&self) -> Option<i64> {
        let unshipped = self.snapshots().rfind(|(_, snapshot)| snapshot.status.is_unshipped());
        let released = self.corrected(Action::Release).map(|(_, point)| point).max();
        let is_above =
            |point: &Point<'_>| unshipped.is_none_or(|(version, _)| *point > (*version, None));

        let bodies = self.shipped().into_iter().map(|(version, time)| ((version, None), time));
        let bodies = bodies.filter(|(point, _)| is_above(point));
        let ships = self.corrected(Action::Ship).filter(|(ship, point)| {
            let words = ship.shown.snapshot.words();
            // What a person knew when they declared the goods shipped does not contradict them.
            let is_known = unshipped.is_some_and(|(_, snapshot)| snapshot.words() == words);
            is_known || is_above(point)
        });
        let ships = ships.map(|(ship, point)| (point, ship.received_at_us));
        let counting = bodies.chain(ships).filter(|(point, _)| Some(*point) > released);
        counting.min().map(|(_, time)| time)
    }

    /// Returns the kept versions with a shipped status, and their times.
    fn shipped(&self) -> BTreeMap<Version, i64> {
        let said = self.statements.iter().filter(|(_, statement)| statement.status.is_shipped());
        let said = said.map(|(version, statement)| (*version, statement.event_timestamp * 1000));
        let said: Vec<(Version, i64)> = said.collect();
        said.iter().take(SHIPPED_KEPT).chain(said.last()).copied().collect()
    }

    /// Returns the corrections of one kind, and their points.
    fn corrected(&self, action: Action) -> impl Iterator<Item = (&Correction, Point<'_>)> {
        let corrections = self.corrections.iter().filter(move |it| it.action == action);
        corrections.map(|correction| {
            let shown = self.versions.of(&correction.shown.snapshot);
            (*correction, (shown, Some(correction.turn())))
        })
    }
}
