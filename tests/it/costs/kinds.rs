//! Counts by kind: of system calls, and of commands.

use std::collections::BTreeMap;

use super::compare;

/// How often each kind was counted.
#[derive(Debug, Default)]
pub(super) struct Kinds(BTreeMap<String, u64>);

impl Kinds {
    pub(super) fn new(counts: impl Iterator<Item = (String, u64)>) -> Self {
        Self(counts.collect())
    }

    /// Compares the growth of the sum over that of a run with so many events less, and prints the
    /// kinds that it is of.
    #[expect(clippy::print_stderr, reason = "the counts are shown to whoever asks for them")]
    pub(super) fn compare_growth(
        &self,
        less: &Self,
        what: &str,
        events: u32,
        constant: &str,
        accepted: f64,
    ) -> Result<(), String> {
        let growth = |(kind, count): (&String, &u64)| {
            (count.saturating_sub(less.0.get(kind).copied().unwrap_or(0)), kind.clone())
        };
        let mut kinds: Vec<(u64, String)> = self.0.iter().map(growth).collect();
        kinds.sort_unstable_by(|one, other| other.cmp(one));
        kinds.retain(|(growth, _)| *growth > 0);
        eprintln!("{constant}: {what} of {events} events: {kinds:?}");
        let sum = |all: &Self| all.0.values().sum::<u64>();
        compare(what, sum(self).saturating_sub(sum(less)), events, constant, accepted)
    }
}
