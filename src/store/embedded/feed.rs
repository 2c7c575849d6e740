//! Where a site's change feed begins, and what is trimmed of it.

use rusqlite::{Connection, OptionalExtension};

use crate::domain::{Site, Timestamp};
use crate::store::FeedStart;

/// Entries that one transaction removes at most.
const TRIM_STEP: i64 = 1000;

pub(super) fn start(connection: &Connection, site: &Site) -> rusqlite::Result<FeedStart> {
    let epoch =
        connection.prepare_cached("SELECT epoch FROM meta")?.query_row((), |row| row.get(0))?;
    // Sequences have no gaps: what stands before the first that is kept was trimmed, and all of
    // them if none is kept.
    let trimmed: Option<i64> = connection
        .prepare_cached(
            "SELECT coalesce((SELECT min(sequence) - 1 FROM changes WHERE site = ?1), \
             last_sequence) FROM sites WHERE site = ?1",
        )?
        .query_row((site.as_str(),), |row| row.get(0))
        .optional()?;
    Ok(FeedStart { epoch, trimmed: trimmed.unwrap_or_default().cast_unsigned() })
}

/// Removes some of a site's oldest entries, as long as they are of before a time; answers with how
/// many, and whether there may be more.
pub(super) fn trim(
    connection: &Connection,
    site: &Site,
    before: Timestamp,
) -> rusqlite::Result<(u64, bool)> {
    // Times need not grow with the sequence: what stands behind a younger entry stays with it, so
    // that the feed has no gap.
    let oldest = connection
        .prepare_cached(
            "SELECT sequence, at FROM changes WHERE site = ?1 ORDER BY sequence LIMIT ?2",
        )?
        .query_map((site.as_str(), TRIM_STEP), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<Vec<(i64, i64)>>>()?;
    let last = oldest.iter().take_while(|(_, at)| *at < before.micros()).last();
    let Some((last, _)) = last else { return Ok((0, false)) };
    let removed = connection
        .prepare_cached("DELETE FROM changes WHERE site = ?1 AND sequence <= ?2")?
        .execute((site.as_str(), last))?;
    let may_go_on = i64::try_from(removed).is_ok_and(|removed| removed == TRIM_STEP);
    Ok((u64::try_from(removed).unwrap_or(u64::MAX), may_go_on))
}
