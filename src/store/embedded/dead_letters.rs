//! Parked dead letters: filed once each, listed by the time of their first failure.

use bytes::Bytes;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row};

use super::column::{self, UnknownValue};
use super::letters;
use crate::broker::{Envelope, EnvelopeKind};
use crate::domain::{Code, Identifier, MessageId, OrderId, Rejection, Site, Timestamp};
use crate::store::{
    DeadLetter, DeadLetterFilter, DeadLetterSummary, LetterName, Page, PageRequest, StoreError,
};

/// The most message ids that one filter may name.
const FILTER_IDS_MAX: usize = 10_000;

/// Files letters. Each is looked at beside what is known of its message:
/// - one that is over, or has a later generation, stays away;
/// - one of a later generation ends the earlier, in the same step, and takes over its first failure
///   and the body that was received;
/// - one whose edit came first gets the edit's body.
pub(super) fn park(
    connection: &Connection,
    letters: &[DeadLetter],
    now: Timestamp,
) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO dead_letters (message_id, generation, failed_at, attempts, code, detail, \
         site, event_type, order_id, kind, received_at, source, traceparent, tracestate, body, \
         original) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16) \
         ON CONFLICT (message_id, generation) DO NOTHING",
    )?;
    for letter in letters {
        let DeadLetter { envelope, rejection, failed_at, attempts, original } = letter;
        let name = LetterName { message_id: envelope.message_id, generation: letter.generation() };
        if letters::is_over(connection, name)? {
            continue;
        }
        let body = envelope.body.as_ref();
        let earlier = letters::earlier(connection, name)?;
        let failed_at =
            earlier.as_ref().map_or(*failed_at, |known| known.failed_at.min(*failed_at));
        let original =
            original.as_deref().map(<[u8]>::to_vec).or_else(|| earlier.map(|known| known.body));
        letters::end_earlier(connection, name, now)?;
        insert.execute(rusqlite::params![
            envelope.message_id.to_string(),
            name.generation,
            failed_at.micros(),
            attempts,
            rejection.code.as_str(),
            rejection.detail,
            rejection.site.as_ref().map(Site::as_str),
            rejection.event_type.as_ref().map(Identifier::as_str),
            rejection.order.as_ref().map(ToString::to_string),
            envelope.kind.as_str(),
            envelope.received_at.micros(),
            envelope.source,
            envelope.traceparent,
            envelope.tracestate,
            body,
            original.filter(|original| original != body),
        ])?;
        letters::apply_edit(connection, name)?;
    }
    Ok(())
}

/// A list's filter and place, checked and ready to be bound.
pub(super) struct Selection {
    pub(super) conditions: String,
    pub(super) values: Vec<Value>,
    limit: usize,
}

impl Selection {
    /// Checks what was asked for.
    pub(super) fn new(filter: &DeadLetterFilter, page: &PageRequest) -> Result<Self, StoreError> {
        let refused = |what: String| StoreError::Rejected { source: what.into() };
        if filter.ids.len() > FILTER_IDS_MAX {
            return Err(refused(format!(
                "{} message ids in one filter; the most is {FILTER_IDS_MAX}",
                filter.ids.len()
            )));
        }
        let mut selection =
            Self { conditions: "TRUE".to_owned(), values: Vec::new(), limit: page.limit };
        if let Some(code) = filter.reason {
            selection.require(" AND code = ?", [code.as_str().to_owned().into()]);
        }
        if let Some(site) = &filter.site {
            selection.require(" AND site = ?", [site.to_string().into()]);
        }
        if let Some(before) = filter.failed_before {
            selection.require(" AND failed_at < ?", [before.micros().into()]);
        }
        if !filter.ids.is_empty() {
            let ids = filter.ids.iter().map(ToString::to_string).collect::<Vec<_>>();
            let ids = serde_json::Value::from(ids).to_string();
            selection.require(" AND message_id IN (SELECT value FROM json_each(?))", [ids.into()]);
        }
        if let Some(cursor) = &page.after {
            let cursor = Cursor::parse(cursor)
                .ok_or_else(|| refused("the cursor is not one of this list".to_owned()))?;
            selection.require(
                " AND (failed_at, message_id, generation) > (?, ?, ?)",
                [
                    cursor.failed_at.micros().into(),
                    cursor.id.to_string().into(),
                    i64::from(cursor.generation).into(),
                ],
            );
        }
        selection.values.push(column::page_and_one(page.limit).into());
        Ok(selection)
    }

    /// As [`Selection::new`], with a limit beyond that of pages.
    pub(super) fn whole(filter: &DeadLetterFilter, page: &PageRequest) -> Result<Self, StoreError> {
        let mut selection = Self::new(filter, page)?;
        selection.values.pop();
        selection.values.push(i64::try_from(page.limit).unwrap_or(i64::MAX).into());
        Ok(selection)
    }

    fn require<const N: usize>(&mut self, condition: &'static str, values: [Value; N]) {
        self.conditions.push_str(condition);
        self.values.extend(values);
    }
}

pub(super) fn list(
    connection: &Connection,
    selection: &Selection,
) -> rusqlite::Result<Page<DeadLetterSummary>> {
    let items = connection
        .prepare_cached(&format!(
            "SELECT message_id, generation, failed_at, attempts, code, detail, site, event_type, \
             order_id FROM dead_letters WHERE {} \
             ORDER BY failed_at, message_id, generation LIMIT ?",
            selection.conditions
        ))?
        .query_map(rusqlite::params_from_iter(&selection.values), summary)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(column::page(items, selection.limit, |last| {
        let DeadLetterSummary { failed_at, id, generation, .. } = *last;
        Cursor { failed_at, id, generation }.to_text()
    }))
}

pub(super) fn find(connection: &Connection, id: MessageId) -> rusqlite::Result<Option<DeadLetter>> {
    connection
        .prepare_cached(
            "SELECT * FROM dead_letters WHERE message_id = ?1 ORDER BY generation DESC LIMIT 1",
        )?
        .query_row((id.to_string(),), letter)
        .optional()
}

/// Reads a whole row.
pub(super) fn letter(row: &Row<'_>) -> rusqlite::Result<DeadLetter> {
    let DeadLetterSummary { id, rejection, failed_at, attempts, replays, .. } = summary(row)?;
    let envelope = Envelope {
        message_id: id,
        kind: column::parsed(row, "kind", |kind| EnvelopeKind::parse(kind).ok_or(UnknownValue))?,
        received_at: column::time(row, "received_at")?,
        source: row.get("source")?,
        replays,
        traceparent: row.get("traceparent")?,
        tracestate: row.get("tracestate")?,
        body: Bytes::from(row.get::<_, Vec<u8>>("body")?),
    };
    let original = row.get::<_, Option<Vec<u8>>>("original")?.map(Bytes::from);
    Ok(DeadLetter { envelope, rejection, failed_at, attempts, original })
}

pub(super) fn counts(connection: &Connection) -> rusqlite::Result<Vec<(Code, u64)>> {
    connection
        .prepare_cached("SELECT code, count(*) AS letters FROM dead_letters GROUP BY code")?
        .query_map((), |row| {
            let letters: i64 = row.get("letters")?;
            Ok((column::parsed(row, "code", code)?, letters.cast_unsigned()))
        })?
        .collect()
}

/// The place of a letter in the list.
struct Cursor {
    failed_at: Timestamp,
    id: MessageId,
    generation: u32,
}

impl Cursor {
    fn to_text(&self) -> String {
        format!("{}.{}.{}", self.failed_at.micros(), self.id, self.generation)
    }

    fn parse(text: &str) -> Option<Self> {
        let (failed_at, rest) = text.split_once('.')?;
        let (id, generation) = rest.split_once('.')?;
        Some(Self {
            failed_at: Timestamp::from_micros(failed_at.parse().ok()?),
            id: MessageId(id.parse().ok()?),
            generation: generation.parse().ok()?,
        })
    }
}

fn summary(row: &Row<'_>) -> rusqlite::Result<DeadLetterSummary> {
    let generation: u32 = row.get("generation")?;
    Ok(DeadLetterSummary {
        id: column::message_id(row)?,
        generation,
        rejection: Rejection {
            code: column::parsed(row, "code", code)?,
            detail: row.get("detail")?,
            site: column::parsed_if_any(row, "site", Site::parse)?,
            event_type: column::parsed_if_any(row, "event_type", Identifier::parse)?,
            order: column::parsed_if_any(row, "order_id", OrderId::parse)?,
        },
        failed_at: column::time(row, "failed_at")?,
        attempts: row.get("attempts")?,
        replays: generation.saturating_sub(1),
    })
}

pub(super) fn code(text: &str) -> Result<Code, UnknownValue> {
    Code::parse(text).ok_or(UnknownValue)
}
