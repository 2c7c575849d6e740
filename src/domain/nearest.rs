//! The names that a person who mistyped one probably meant.

use strsim::osa_distance;

/// The most names that are proposed.
const PROPOSED_MAX: usize = 3;
/// One character in so many may be wrong.
const CHARACTERS_PER_MISTAKE: usize = 3;

/// Collects the names that are nearest to what was typed. Case is ignored.
#[derive(Debug)]
pub struct Nearest<T> {
    typed: String,
    /// The nearest so far, each with its distance.
    found: Vec<(usize, T)>,
}

impl<T> Nearest<T> {
    /// Creates an empty collection for what was typed.
    pub fn new(typed: &str) -> Self {
        Self { typed: typed.to_lowercase(), found: Vec::new() }
    }

    /// Looks at something that goes by these names.
    pub fn consider<'n>(&mut self, names: impl IntoIterator<Item = &'n str>, value: T) {
        let distance = names.into_iter().filter_map(|name| self.distance(name)).min();
        let Some(distance) = distance else { return };
        let place = self.found.partition_point(|(other, _)| *other <= distance);
        self.found.insert(place, (distance, value));
        self.found.truncate(PROPOSED_MAX);
    }

    /// Returns the nearest first.
    pub fn into_values(self) -> Vec<T> {
        self.found.into_iter().map(|(_, value)| value).collect()
    }

    /// The number of mistakes that make the name of what was typed; `None` if they are too many.
    fn distance(&self, name: &str) -> Option<usize> {
        let mistakes_max = self.typed.chars().count() / CHARACTERS_PER_MISTAKE;
        // A difference in length alone is that many mistakes, and cheaper to see.
        if name.chars().count().abs_diff(self.typed.chars().count()) > mistakes_max {
            return None;
        }
        let distance = osa_distance(&self.typed, &name.to_lowercase());
        (distance <= mistakes_max).then_some(distance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(typed: &str, names: &[&str], expected: &[&str]) {
        let mut nearest = Nearest::new(typed);
        for name in names {
            nearest.consider([*name], *name);
        }
        assert_eq!(nearest.into_values(), expected, "{typed}");
    }

    #[test]
    fn few_mistakes_are_forgiven_and_the_nearest_comes_first() {
        check("nort-shop", &["south-shop", "north-shop", "web"], &["north-shop", "south-shop"]);
        check("NORTH-SHOP", &["north-shop"], &["north-shop"]);
        check("sku:MGU", &["sku:MUG", "sku:PLATE"], &["sku:MUG"]);
        check("sku:A", &["sku:B", "sku:C", "sku:D", "sku:E"], &["sku:B", "sku:C", "sku:D"]);
    }

    #[test]
    fn other_names_and_short_ones_are_not_proposed() {
        check("shop", &["north", "web", ""], &[]);
        check("AB", &["AC"], &[]);
        check("", &["A", ""], &[""]);
    }

    #[test]
    fn of_several_names_the_nearest_counts() {
        let mut nearest = Nearest::new("amber lantern");
        nearest.consider(["variation:64f0", "Amber Lantern"], 1);
        nearest.consider(["sku:amber", "Amber lanterns"], 2);
        assert_eq!(nearest.into_values(), [1, 2]);
    }
}
