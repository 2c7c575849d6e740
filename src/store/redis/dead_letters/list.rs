//! Lists and counts of parked dead letters, read from the index in parts.
//!
//! A list is no snapshot: a dead letter that ends while its page is read may be on it or not. Each
//! that stays parked is on exactly one page.

use std::collections::BTreeSet;

use super::super::client::{Call, Client};
use super::super::failure;
use super::super::script::Script;
use super::index::{Group, Range, idle_before, parse_grouped, parse_idle};
use super::{load, shared};
use crate::domain::{Code, MessageId, Site, Timestamp};
use crate::store::{
    DeadLetterFilter, DeadLetterGroup, DeadLetterPlace, DeadLetterTotals, LoadedDeadLetter,
    StoreError,
};

/// The most groups of one answer.
const GROUPS_MAX: usize = 10_000;
/// The least number of members read per query where not all of them match.
const LOOK: usize = 500;
/// Members of the index per step of a scan.
const SCANNED: usize = 1_000;
/// Groups counted per call.
const GROUPS_COUNTED: usize = 200;

static GROUPS: Script =
    Script::new("groups.lua", &["#!lua flags=no-writes\n", include_str!("groups.lua")]);

/// Parked dead letters after a place, oldest failure first.
pub(in crate::store::redis) async fn list(
    client: &Client,
    filter: &DeadLetterFilter,
    mut after: Option<DeadLetterPlace>,
    limit: usize,
) -> Result<Vec<LoadedDeadLetter>, StoreError> {
    let DeadLetterFilter { reason, site, failed_before, ids } = filter;
    if !ids.is_empty() {
        return named(client, filter, after, limit).await;
    }
    let range = match (site, reason) {
        (Some(site), reason) => Range::of_site(site, *reason),
        (None, Some(reason)) => Range::of_reason(*reason),
        (None, None) => Range::all(),
    };
    let range = match failed_before {
        Some(before) => range.before(*before),
        None => range,
    };
    let mut items = Vec::new();
    while items.len() < limit {
        let (looked, places) = look(client, &range, after, limit - items.len()).await?;
        let Some(looked) = looked else { break };
        after = Some(looked);
        let ids: Vec<MessageId> = places.iter().map(|place| place.id).collect();
        let found = load(client, &ids, false).await?;
        // One that failed again in the meantime has another place now.
        let same = places
            .iter()
            .zip(found)
            .filter_map(|(was, letter)| letter.filter(|letter| place(letter) == Some(*was)));
        items.extend(same);
    }
    items.truncate(limit);
    Ok(items)
}

/// Selects from the messages that a filter names.
async fn named(
    client: &Client,
    filter: &DeadLetterFilter,
    after: Option<DeadLetterPlace>,
    limit: usize,
) -> Result<Vec<LoadedDeadLetter>, StoreError> {
    let ids: BTreeSet<MessageId> = filter.ids.iter().copied().collect();
    let found = load(client, &ids.into_iter().collect::<Vec<_>>(), false).await?;
    let selected = found.into_iter().flatten().filter(|letter| {
        let parked = letter.state.parked.as_ref();
        parked.is_some_and(|parked| filter.selects(letter.id, parked)) && place(letter) > after
    });
    let mut selected: Vec<LoadedDeadLetter> = selected.collect();
    selected.sort_unstable_by_key(place);
    selected.truncate(limit);
    Ok(selected)
}

fn place(letter: &LoadedDeadLetter) -> Option<DeadLetterPlace> {
    letter.state.parked.as_ref().map(|parked| DeadLetterPlace::of(letter.id, parked))
}

/// Messages that are no longer parked and were last changed before a time.
pub(in crate::store::redis) async fn ended(
    client: &Client,
    before: Timestamp,
    limit: usize,
) -> Result<Vec<LoadedDeadLetter>, StoreError> {
    let (from, to) = idle_before(before);
    let mut look = redis::cmd("ZRANGEBYLEX");
    look.arg(shared(client, &["index"])).arg(from).arg(to).arg("LIMIT").arg(0).arg(limit);
    let members: Vec<String> = client.query(&look).await?;
    let ids: Vec<MessageId> =
        members.iter().map(|member| parse_idle(member)).collect::<Result<_, _>>()?;
    Ok(load(client, &ids, false).await?.into_iter().flatten().collect())
}

/// Finds every member of a message by a scan, for a message whose state cannot be read.
pub(super) async fn members_of(client: &Client, id: MessageId) -> Result<Vec<String>, StoreError> {
    let (mut found, mut cursor) = (Vec::new(), 0_u64);
    loop {
        let mut scan = redis::cmd("ZSCAN");
        scan.arg(shared(client, &["index"])).arg(cursor);
        scan.arg("MATCH").arg(format!("*.{id}*")).arg("COUNT").arg(SCANNED);
        let (next, members): (u64, Vec<(String, f64)>) = client.query(&scan).await?;
        found.extend(members.into_iter().map(|(member, _)| member));
        cursor = next;
        if cursor == 0 {
            return Ok(found);
        }
    }
}

/// Reads a part of a range: the last place that was read, and the places that match.
async fn look(
    client: &Client,
    range: &Range,
    after: Option<DeadLetterPlace>,
    count: usize,
) -> Result<(Option<DeadLetterPlace>, Vec<DeadLetterPlace>), StoreError> {
    let count = if range.reason.is_some() { count.max(LOOK) } else { count };
    let mut look = redis::cmd("ZRANGEBYLEX");
    look.arg(shared(client, &["index"])).arg(range.from(after)).arg(range.to());
    look.arg("LIMIT").arg(0).arg(count);
    let members: Vec<String> = client.query(&look).await?;
    let places: Vec<_> =
        members.iter().map(|member| range.place(member)).collect::<Result<_, _>>()?;
    let last = places.last().map(|(place, _)| *place);
    Ok((last, places.into_iter().filter(|(_, is_in)| *is_in).map(|(place, _)| place).collect()))
}

/// How much is parked.
pub(in crate::store::redis) async fn totals(
    client: &Client,
) -> Result<DeadLetterTotals, StoreError> {
    let mut totals = DeadLetterTotals::default();
    let ranges = Code::ALL.iter().map(|code| count_of(client, &Range::of_reason(*code)));
    for (code, found) in Code::ALL.iter().zip(client.query_all(ranges.collect()).await?) {
        let count: u64 = redis::from_redis_value(found)
            .map_err(|_| failure::odd_value("ZLEXCOUNT of dead letters"))?;
        if count > 0 {
            totals.letters.push((*code, count));
        }
    }
    let mut bytes = redis::cmd("HGETALL");
    bytes.arg(shared(client, &["bytes"]));
    // A spoiled total must not keep dead letters from being parked.
    let found = client.query::<Vec<(String, i64)>>(&bytes).await?.into_iter();
    totals.bytes = found.map(|(source, bytes)| (source, bytes.max(0).cast_unsigned())).collect();
    totals.bytes.sort_unstable();
    Ok(totals)
}

/// How many dead letters of a site are parked.
pub(in crate::store::redis) async fn parked_of(
    client: &Client,
    site: &Site,
) -> Result<u64, StoreError> {
    let (_, count) = count_of(client, &Range::of_site(site, None));
    client.query(&count).await
}

fn count_of(client: &Client, range: &Range) -> (String, redis::Cmd) {
    let index = shared(client, &["index"]);
    let mut count = redis::cmd("ZLEXCOUNT");
    count.arg(&index).arg(range.from(None)).arg(range.to());
    (index, count)
}

/// Parked dead letters by reason, site and event's name; the largest groups first.
pub(in crate::store::redis) async fn groups(
    client: &Client,
) -> Result<Vec<DeadLetterGroup>, StoreError> {
    let mut groups = Vec::new();
    let mut from = Some("[g|".to_owned());
    while let Some(start) = from {
        let call = Call::of(&GROUPS).key(shared(client, &["index"])).arg(start);
        let call = call.arg(GROUPS_COUNTED.to_string());
        let (next, found): (Option<String>, Vec<(String, String, u64)>) = client.run(&call).await?;
        for (first, last, letters) in found {
            let (Group { reason, site, event_type }, oldest) = parse_grouped(&first)?;
            let (_, newest) = parse_grouped(&last)?;
            let (oldest, newest) = (oldest.failed_at, newest.failed_at);
            groups.push(DeadLetterGroup { reason, site, event_type, letters, oldest, newest });
        }
        from = next;
    }
    groups.sort_unstable_by(|a, b| {
        let names = |group: &DeadLetterGroup| {
            (group.reason.as_str(), group.site.clone(), group.event_type.clone())
        };
        b.letters.cmp(&a.letters).then_with(|| names(a).cmp(&names(b)))
    });
    groups.truncate(GROUPS_MAX);
    Ok(groups)
}
