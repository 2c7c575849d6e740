//! The index of dead letters: one sorted set, ordered by the names of its members.
//!
//! ```text
//! a|<place>                            every letter
//! r|<reason>|<place>                   by reason
//! s|<site>|<place>|<reason>            by site
//! g|<reason>|<site>|<event>|<place>    by group
//! o|<time>.<message>                   messages that are not parked, by when they were heard of
//! ```
//!
//! A place is the time of the first failure, the message and the generation, each of fixed width,
//! so that members sort as lists do. No part contains a bar. The members of a dead letter are
//! written with its state, and nothing else counts dead letters, so no count can be wrong.

use super::super::failure;
use crate::domain::dead_letter::DeadLetterState;
use crate::domain::identifier::{decode, encode};
use crate::domain::{Code, Identifier, MessageId, Rejection, Site, Timestamp};
use crate::store::dead_letters::port::time_text;
use crate::store::{DeadLetterPlace, StoreError};

/// The length of a place as text.
const PLACE_LENGTH: usize = 62;

/// The members by which lists find a message.
pub(super) fn members(id: MessageId, state: &DeadLetterState) -> Vec<String> {
    let Some(parked) = &state.parked else {
        let idle = state.idle_since();
        return idle.map(|since| format!("o|{}.{id}", time_text(since))).into_iter().collect();
    };
    let place = DeadLetterPlace::of(id, parked).to_text();
    let Rejection { code: reason, site, event_type, .. } = parked.rejection.clone();
    let by_site = site.as_ref().map(|site| format!("s|{}|{place}|{reason}", encode(site.as_str())));
    let group = Group { reason, site, event_type };
    let mut members = vec![
        format!("a|{place}"),
        format!("g|{}|{place}", group.to_text()),
        format!("r|{reason}|{place}"),
    ];
    members.extend(by_site);
    members
}

/// The bounds of the members that are not parked and were last changed before a time.
pub(super) fn idle_before(time: Timestamp) -> (&'static str, String) {
    ("[o|", format!("(o|{}", time_text(time)))
}

/// The message of a member that is not parked.
pub(super) fn parse_idle(member: &str) -> Result<MessageId, StoreError> {
    let id = member.split_once('.').and_then(|(_, id)| id.parse().ok());
    id.map(MessageId).ok_or_else(|| unreadable(member))
}

/// The reason, site and event type of a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Group {
    pub(super) reason: Code,
    pub(super) site: Option<Site>,
    pub(super) event_type: Option<Identifier>,
}

impl Group {
    /// The group as text.
    pub(super) fn to_text(&self) -> String {
        let site = self.site.as_ref().map(|site| encode(site.as_str())).unwrap_or_default();
        let event = self.event_type.as_ref().map(|name| encode(name.as_str())).unwrap_or_default();
        format!("{}|{site}|{event}", self.reason)
    }

    /// Reads what [`to_text`](Self::to_text) has written.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (reason, rest) = text.split_once('|')?;
        let (site, event_type) = rest.split_once('|')?;
        let reason = Code::parse(reason)?;
        let site = match site {
            "" => None,
            site => Some(Site::parse(&decode(site)?).ok()?),
        };
        let event_type = match event_type {
            "" => None,
            name => Some(Identifier::parse(&decode(name)?).ok()?),
        };
        Some(Self { reason, site, event_type })
    }
}

/// A part of the index: members with one prefix, in the order of lists.
#[derive(Debug, Clone)]
pub(super) struct Range {
    /// The prefix of its members, with the bar after it.
    prefix: String,
    /// Only places before this.
    end: Option<String>,
    /// Only members with this after their place.
    pub(super) reason: Option<Code>,
}

impl Range {
    /// Every dead letter.
    pub(super) fn all() -> Self {
        Self { prefix: "a|".to_owned(), end: None, reason: None }
    }

    /// The dead letters of a reason.
    pub(super) fn of_reason(reason: Code) -> Self {
        Self { prefix: format!("r|{reason}|"), ..Self::all() }
    }

    /// The dead letters of a site, or those of one reason among them.
    pub(super) fn of_site(site: &Site, reason: Option<Code>) -> Self {
        Self { prefix: format!("s|{}|", encode(site.as_str())), reason, ..Self::all() }
    }

    /// Of these only those that failed first before a time.
    pub(super) fn before(self, time: Timestamp) -> Self {
        Self { end: Some(time_text(time)), ..self }
    }

    /// The lower bound of a query, after a place if one is given.
    pub(super) fn from(&self, after: Option<DeadLetterPlace>) -> String {
        match after {
            // Whatever follows the place sorts before this.
            Some(place) => format!("({}{}}}", self.prefix, place.to_text()),
            None => format!("[{}", self.prefix),
        }
    }

    /// The upper bound of a query.
    pub(super) fn to(&self) -> String {
        match &self.end {
            Some(end) => format!("({}{end}", self.prefix),
            None => format!("({}}}", self.prefix.trim_end_matches('|')),
        }
    }

    /// The place of a member, and whether the range has it.
    pub(super) fn place(&self, member: &str) -> Result<(DeadLetterPlace, bool), StoreError> {
        let rest = member.strip_prefix(&self.prefix);
        let (place, behind) =
            rest.and_then(|rest| rest.split_at_checked(PLACE_LENGTH)).unwrap_or_default();
        let place = DeadLetterPlace::parse(place).ok_or_else(|| unreadable(member))?;
        let is_in = self.reason.is_none_or(|code| behind.strip_prefix('|') == Some(code.as_str()));
        Ok((place, is_in))
    }
}

/// The group and the place of a member by group.
pub(super) fn parse_grouped(member: &str) -> Result<(Group, DeadLetterPlace), StoreError> {
    let parts = member.strip_prefix("g|").and_then(|rest| rest.rsplit_once('|'));
    let parsed = parts
        .and_then(|(group, place)| Some((Group::parse(group)?, DeadLetterPlace::parse(place)?)));
    parsed.ok_or_else(|| unreadable(member))
}

fn unreadable(member: &str) -> StoreError {
    failure::corrupt(format!("the index of dead letters has {member:?}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place(micros: i64, id: u128, generation: u32) -> DeadLetterPlace {
        let failed_at = Timestamp::from_micros(micros);
        DeadLetterPlace { failed_at, id: MessageId(uuid::Uuid::from_u128(id)), generation }
    }

    /// Whether Redis would find a member between the ends of a range.
    fn is_between(member: &str, from: &str, to: &str) -> bool {
        let behind = match from.split_at(1) {
            ("[", from) => member >= from,
            (_, from) => member > from,
        };
        behind && member < to.trim_start_matches('(')
    }

    proptest! {
        #[test]
        fn places_sort_as_lists_do_and_are_read_back(
            a: (i64, u128, u32),
            b: (i64, u128, u32),
        ) {
            let (a, b) = (place(a.0, a.1, a.2), place(b.0, b.1, b.2));
            prop_assert_eq!(a.to_text().cmp(&b.to_text()), a.cmp(&b));
            prop_assert_eq!(a.to_text().len(), PLACE_LENGTH);
            prop_assert_eq!(DeadLetterPlace::parse(&a.to_text()), Some(a));
        }

        #[test]
        fn a_range_has_its_letters_and_no_others(
            times in (0..4_i64, 0..4_i64),
            after in proptest::option::of((0..4_i64, 0..3_u128)),
            before in proptest::option::of(0..4_i64),
            id in 0..3_u128,
        ) {
            let at = place(times.0, id, 1);
            let site = Site::parse("a|%}").unwrap();
            let mut range = Range::of_site(&site, Some(Code::NotJson));
            let after = after.map(|(time, id)| place(time, id, 1));
            if let Some(before) = before {
                range = range.before(Timestamp::from_micros(before));
            }
            let expected = after.is_none_or(|after| at > after)
                && before.is_none_or(|before| at.failed_at.micros() < before);
            let member = format!("s|{}|{}|decode.not_json", encode("a|%}"), at.to_text());
            prop_assert_eq!(is_between(&member, &range.from(after), &range.to()), expected);
            prop_assert_eq!(range.place(&member).unwrap(), (at, true));
            let other = member.replace("decode.not_json", "worker.panic");
            prop_assert_eq!(range.place(&other).unwrap(), (at, false));
        }
    }

    #[test]
    fn sites_that_begin_alike_stay_apart() {
        let range = Range::of_site(&Site::parse("a").unwrap(), None);
        for other in ["ab", "a|", "a b", "a}", "A", "a%7C"] {
            let member = format!("s|{}|{}|worker.panic", encode(other), place(1, 1, 1).to_text());
            assert!(!is_between(&member, &range.from(None), &range.to()), "{other}");
        }
    }

    #[test]
    fn groups_are_read_back() {
        let site = Site::parse("a|%}").ok();
        let event_type = Identifier::parse("é|x").ok();
        for (site, event_type) in
            [(None, None), (site.clone(), None), (None, event_type.clone()), (site, event_type)]
        {
            let group = Group { reason: Code::WorkerPanic, site, event_type };
            assert_eq!(Group::parse(&group.to_text()), Some(group.clone()));
            let member = format!("g|{}|{}", group.to_text(), place(-1, 2, 3).to_text());
            assert_eq!(parse_grouped(&member).unwrap(), (group, place(-1, 2, 3)));
        }
        assert_eq!(Group::parse("no.code||"), None);
    }
}
