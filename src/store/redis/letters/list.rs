//! Lists and counts of parked letters, read from the index in parts.
//!
//! A list is not one moment: a letter that ends while its page is read may be on it or not. Each
//! letter that is parked all the while is on exactly one page.

use std::collections::BTreeSet;

use super::super::client::{Call, Client};
use super::super::failure;
use super::index::{Group, Place, Range, parse_grouped};
use super::letter::{Found, SUMMARY, WHOLE};
use super::scripts::{FIELDS, GROUPS, letter_key, shared};
use crate::domain::{Code, MessageId, Site};
use crate::store::{
    DeadLetter, DeadLetterFilter, DeadLetterGroup, DeadLetterSummary, Page, PageRequest, StoreError,
};

/// The most message ids that one filter may name.
const FILTER_IDS_MAX: usize = 10_000;
/// At most so many letters or groups are read for one answer, whatever was asked for.
const ANSWER_MAX: usize = 10_000;
/// Letters that are read at one moment without their bodies, and with them.
const SUMMARIES: usize = 500;
const WHOLE_LETTERS: usize = 8;
/// Members of the index that are looked at, at least, where not all are wanted.
const LOOK: usize = 500;
/// Groups that are counted by one call.
const GROUPS_COUNTED: usize = 200;

/// The letters that a filter selects, in order.
#[derive(Debug)]
pub(super) struct Scan {
    source: Source,
    after: Option<Place>,
}

#[derive(Debug)]
enum Source {
    Index(Range),
    /// What was found of the messages that were named.
    Found(Vec<Place>),
}

impl Scan {
    /// Begins behind a place.
    pub(super) async fn begin(
        client: &Client,
        filter: &DeadLetterFilter,
        after: Option<Place>,
    ) -> Result<Self, StoreError> {
        let DeadLetterFilter { reason, site, failed_before, ids } = filter;
        if ids.len() > FILTER_IDS_MAX {
            let count = ids.len();
            let why = format!("{count} message ids in one filter; the most is {FILTER_IDS_MAX}");
            return Err(failure::rejected(why));
        }
        if !ids.is_empty() {
            let ids: BTreeSet<MessageId> = ids.iter().copied().collect();
            let found = summaries(client, ids.into_iter().collect()).await?;
            let found = found.iter().flatten().filter(|letter| selects(filter, letter));
            let mut places: Vec<_> = found.map(place).collect();
            places.sort_unstable();
            return Ok(Self { source: Source::Found(places), after });
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
        Ok(Self { source: Source::Index(range), after })
    }

    /// Leaves out what comes behind the last letter that is there now.
    pub(super) async fn up_to_now(mut self, client: &Client) -> Result<Self, StoreError> {
        if let Source::Index(range) = &self.source {
            let mut last = redis::cmd("ZREVRANGEBYLEX");
            last.arg(shared(client, &["index"])).arg(range.to()).arg(range.from(None));
            last.arg("LIMIT").arg(0).arg(1);
            let last: Vec<String> = client.query(&last).await?;
            let last = last.first().map(|member| range.place(member)).transpose()?;
            self.source = match last {
                Some((last, _)) => Source::Index(range.clone().up_to(last)),
                None => Source::Found(Vec::new()),
            };
        }
        Ok(self)
    }

    /// About so many of the next letters; none is the end.
    pub(super) async fn next(
        &mut self,
        client: &Client,
        count: usize,
    ) -> Result<Vec<Place>, StoreError> {
        loop {
            let (looked, found) = match &self.source {
                Source::Index(range) => look(client, range, self.after, count).await?,
                Source::Found(places) => {
                    let behind = places.iter().copied().filter(|place| Some(*place) > self.after);
                    let found: Vec<_> = behind.take(count).collect();
                    (found.last().copied(), found)
                }
            };
            if looked.is_none() || !found.is_empty() {
                self.after = looked.or(self.after);
                return Ok(found);
            }
            self.after = looked;
        }
    }
}

/// A part of a range: the last place that was looked at, and the places that it has.
async fn look(
    client: &Client,
    range: &Range,
    after: Option<Place>,
    count: usize,
) -> Result<(Option<Place>, Vec<Place>), StoreError> {
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

fn selects(filter: &DeadLetterFilter, letter: &DeadLetterSummary) -> bool {
    let DeadLetterFilter { reason, site, failed_before, ids: _ } = filter;
    reason.is_none_or(|reason| letter.rejection.code == reason)
        && site.as_ref().is_none_or(|site| letter.rejection.site.as_ref() == Some(site))
        && failed_before.is_none_or(|before| letter.failed_at < before)
}

const fn place(letter: &DeadLetterSummary) -> Place {
    Place { failed_at: letter.failed_at, id: letter.id, generation: letter.generation }
}

/// Parked dead letters, oldest failure first.
pub(in crate::store::redis) async fn dead_letters(
    client: &Client,
    filter: &DeadLetterFilter,
    page: &PageRequest,
) -> Result<Page<DeadLetterSummary>, StoreError> {
    let limit = page.limit.min(ANSWER_MAX);
    let after = page.after.as_deref().map(|cursor| {
        let place = Place::parse_cursor(cursor);
        place.ok_or_else(|| failure::rejected("the cursor is not one of this list"))
    });
    let mut scan = Scan::begin(client, filter, after.transpose()?).await?;
    let mut items = Vec::new();
    // One more than asked for says that there is a next page.
    while items.len() <= limit {
        let places = scan.next(client, limit + 1 - items.len()).await?;
        if places.is_empty() {
            break;
        }
        let found = summaries(client, places.iter().map(|place| place.id).collect()).await?;
        // One that came back meanwhile has another place now.
        let same = places
            .iter()
            .zip(found)
            .filter_map(|(was, letter)| letter.filter(|letter| place(letter) == *was));
        items.extend(same);
    }
    let is_last = items.len() <= limit;
    items.truncate(limit);
    let next = if is_last { None } else { items.last().map(|last| place(last).to_cursor()) };
    Ok(Page { items, next })
}

/// One parked dead letter with its body.
pub(in crate::store::redis) async fn dead_letter(
    client: &Client,
    id: MessageId,
) -> Result<Option<DeadLetter>, StoreError> {
    Ok(letters(client, vec![id]).await?.pop().flatten())
}

/// What is parked of messages, in their order, without bodies.
async fn summaries(
    client: &Client,
    ids: Vec<MessageId>,
) -> Result<Vec<Option<DeadLetterSummary>>, StoreError> {
    let found = read(client, &ids, SUMMARY, SUMMARIES).await?;
    found.into_iter().map(|found| found.map(|mut found| found.summary()).transpose()).collect()
}

/// What is parked of messages, in their order.
pub(super) async fn letters(
    client: &Client,
    ids: Vec<MessageId>,
) -> Result<Vec<Option<DeadLetter>>, StoreError> {
    let found = read(client, &ids, WHOLE, WHOLE_LETTERS).await?;
    found.into_iter().map(|found| found.map(Found::letter).transpose()).collect()
}

async fn read(
    client: &Client,
    ids: &[MessageId],
    fields: &'static [&'static str],
    at_once: usize,
) -> Result<Vec<Option<Found>>, StoreError> {
    let mut found = Vec::with_capacity(ids.len());
    for part in ids.chunks(at_once) {
        let keys: Vec<_> = part.iter().map(|id| letter_key(client, *id)).collect();
        let call = keys.iter().fold(Call::of(&FIELDS), |call, key| call.key(key.as_str()));
        let call = fields.iter().fold(call, |call, field| call.arg(*field));
        let values: Vec<Vec<Option<Vec<u8>>>> = client.run(&call).await?;
        let letters = keys.into_iter().zip(values);
        found.extend(letters.map(|(key, values)| Found::new(key, fields, values)));
    }
    Ok(found)
}

/// How many dead letters are parked for each reason.
pub(in crate::store::redis) async fn dead_letter_counts(
    client: &Client,
) -> Result<Vec<(Code, u64)>, StoreError> {
    let mut counts = Vec::new();
    let ranges = Code::ALL.iter().map(|code| count_of(client, &Range::of_reason(*code)));
    for (code, found) in Code::ALL.iter().zip(client.query_all(ranges.collect()).await?) {
        let count: u64 = redis::from_redis_value(found)
            .map_err(|error| failure::of("ZLEXCOUNT of dead letters", error.into()))?;
        if count > 0 {
            counts.push((*code, count));
        }
    }
    Ok(counts)
}

/// How many letters of a site are parked.
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
pub(in crate::store::redis) async fn dead_letter_groups(
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
    groups.truncate(ANSWER_MAX);
    Ok(groups)
}
