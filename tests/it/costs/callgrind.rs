//! Instructions and allocations, as valgrind's callgrind counts them.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::harness::variable;

/// Tells the test binary that it runs as the work of a test, and how many rounds of it.
const ROUNDS: &str = "STOREKEEPER_TEST_ROUNDS";
/// What Rust code calls for memory, whichever allocator there is.
const ALLOCATING: [&str; 3] = ["::__rust_alloc", "::__rust_alloc_zeroed", "::__rust_realloc"];

/// What a program did.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counts {
    instructions: u64,
    allocations: u64,
}

impl Counts {
    /// Reads the profile that callgrind wrote.
    pub(super) fn read(profile: &Path) -> Self {
        let profile = std::fs::read_to_string(profile).expect("callgrind has written its profile");
        let (mut instructions, mut allocations) = (None, 0);
        // A function's name follows its number where it is first mentioned, and only there.
        let (mut allocating, mut is_allocation) = (BTreeSet::new(), false);
        for line in profile.lines() {
            if let Some(total) = line.strip_prefix("totals: ") {
                instructions = total.parse().ok();
            } else if let Some((kind, function)) = line.split_once("fn=(") {
                let (number, name) = function.split_once(')').unwrap();
                if ALLOCATING.iter().any(|known| name.ends_with(known)) {
                    allocating.insert(number);
                }
                is_allocation = kind == "c" && allocating.contains(number);
            } else if let Some(calls) = line.strip_prefix("calls=")
                && is_allocation
            {
                let (calls, _) = calls.split_once(' ').unwrap();
                allocations += calls.parse::<u64>().unwrap();
            }
        }
        Self { instructions: instructions.expect("the profile has a total"), allocations }
    }

    /// Compares what so many events did with the accepted counts for each; their constants are called
    /// `name` and what they count.
    pub(super) fn compare(
        self,
        events: u32,
        name: &str,
        accepted: (f64, f64),
    ) -> Result<(), String> {
        let compare = |what: &str, counted, accepted| {
            let constant = format!("{name}_{}", what.to_uppercase());
            super::compare(what, counted, events, &constant, accepted)
        };
        compare("instructions", self.instructions, accepted.0)?;
        compare("allocations", self.allocations, accepted.1)
    }

    /// By how much this is more than that, if it is.
    pub(super) fn minus(self, less: Self) -> Self {
        Self {
            instructions: self.instructions.saturating_sub(less.instructions),
            allocations: self.allocations.saturating_sub(less.allocations),
        }
    }
}

/// The words before a command that is to run under callgrind.
pub(super) fn runner(profile: &Path) -> Vec<String> {
    let profile = format!("--callgrind-out-file={}", profile.display());
    ["valgrind", "--tool=callgrind", "--quiet", &profile].map(str::to_owned).into()
}

/// What so many rounds of a test's work cost; `None` in the process that only does the work.
///
/// `test` is the path of the test that calls this: the test binary runs it again under callgrind.
pub(super) fn cost(test: &str, rounds: u32, mut round: impl FnMut()) -> Option<Counts> {
    if let Some(rounds) = variable(ROUNDS) {
        (0..rounds.parse::<u32>().unwrap()).for_each(|_| round());
        return None;
    }
    let [once, twice] = [rounds, 2 * rounds].map(|rounds| run(test, rounds));
    Some(twice.minus(once))
}

fn run(test: &str, rounds: u32) -> Counts {
    let directory = tempfile::tempdir().unwrap();
    let profile = directory.path().join("profile");
    let (_, test) = test.split_once("::").expect("the path begins with the name of the binary");
    let words = runner(&profile);
    let output = Command::new(&words[0])
        .args(&words[1..])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--test-threads", "1"])
        .env(ROUNDS, rounds.to_string())
        .stdin(Stdio::null())
        .output()
        .expect("valgrind is installed: tests/run does that");
    assert!(output.status.success(), "{output:?}");
    Counts::read(&profile)
}
