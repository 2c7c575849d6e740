//! System calls, as strace counts them.

use std::path::Path;

use super::kinds::Kinds;
use crate::harness::eventually;

/// The calls that are counted: not those for memory, which the allocator makes, nor those by which
/// threads wake each other, of which there are many or none by how the scheduler lets them run.
const COUNTED: &str = "trace=!futex,%memory";

/// The words before a command whose system calls are to be counted. Strace runs beside it, so that
/// signals reach the command, and writes a table once the command has ended.
pub(super) fn runner(table: &Path) -> Vec<String> {
    let words = ["strace", "--daemonize", "--follow-forks", "--summary-only", "-e", COUNTED, "-o"];
    words.into_iter().map(str::to_owned).chain([table.display().to_string()]).collect()
}

/// Waits for the table, and reads it.
pub(super) async fn read(table: &Path) -> Kinds {
    let table = eventually("strace has written its table", async || {
        let table = std::fs::read_to_string(table).ok()?;
        table.trim_end().ends_with(" total").then_some(table)
    });
    // The share of time, seconds, microseconds, calls, perhaps errors, the name.
    let table = table.await;
    let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let rows = rows.filter_map(|row| Some((*row.last()?, row.get(3)?.parse().ok()?)));
    Kinds::new(rows.filter(|(name, _)| *name != "total").map(|(name, calls)| (name.into(), calls)))
}
