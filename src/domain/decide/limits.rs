//! The limits of a record. Which of an order's events are refused depends on which came first, as
//! it must: the events that were joined have taken the room.

use crate::domain::correction::CORRECTIONS_MAX;
use crate::domain::names::SECOND_NAMES_MAX;
use crate::domain::record::{REFUNDED_LINES_MAX, REFUNDS_MAX};
use crate::domain::{Content, Names, OrderEvent, Record, Refund, Refused};

/// Refuses an event that does not fit into its record, before anything of it is joined.
pub(super) fn check(record: Option<&Record>, content: &Content) -> Result<(), Refused> {
    let refunds = match content {
        // A deletion must work whatever else is wrong with it.
        Content::Order(OrderEvent { snapshot: Some(_), refunds, .. }) => refunds,
        Content::Refund(event) => event.refund.as_slice(),
        Content::Order(_)
        | Content::Notice(_)
        | Content::Correction(_)
        | Content::Catalogue(_)
        | Content::Receipt(_) => &[],
    };
    if !have_room(record, refunds) {
        return Err(Refused::TooManyRefunds);
    }
    if let Content::Order(OrderEvent { names, .. }) = content {
        check_names(record, names)?;
    }
    if let Content::Notice(notice) = content {
        check_names(record, &notice.names)?;
    }
    if let (Content::Correction(event), Some(record)) = (content, record)
        && record.corrections.len() >= CORRECTIONS_MAX
        && !record.corrections.contains_key(&event.reference)
    {
        return Err(Refused::TooManyCorrections);
    }
    Ok(())
}

fn check_names(record: Option<&Record>, names: &Names) -> Result<(), Refused> {
    if names.id().is_none() {
        return Ok(());
    }
    let is_new = |name: &&crate::domain::OrderId| {
        record.is_none_or(|record| !record.second_names.contains(*name))
    };
    let known = record.map_or(0, |record| record.second_names.len());
    let new = names.second().filter(is_new).count();
    if new > 0 && known + new > SECOND_NAMES_MAX { Err(Refused::TooManyNames) } else { Ok(()) }
}

/// Returns whether a record has room for these refunds too. Refunds that add nothing always fit.
pub(super) fn have_room(record: Option<&Record>, refunds: &[Refund]) -> bool {
    if refunds.is_empty() {
        return true;
    }
    let nothing = Record::default();
    let record = record.unwrap_or(&nothing);
    let known = record.refunds.len();
    let known_lines: usize = record.refunds.values().map(|entry| entry.lines.len()).sum();
    let (mut count, mut lines) = (known, known_lines);
    for Refund { id, entry } in refunds {
        if let Some(before) = record.refunds.get(id) {
            let mut after = before.clone();
            after.join(entry);
            lines = lines + after.lines.len() - before.lines.len();
        } else {
            count += 1;
            lines += entry.lines.len();
        }
    }
    count <= known.max(REFUNDS_MAX) && lines <= known_lines.max(REFUNDED_LINES_MAX)
}
