//! Which sites a source of webhooks may write to.

use std::collections::BTreeMap;

use super::{Code, Event, Rejection, Site};

/// The source of webhooks that are verified by no credential of a named source.
pub const DEFAULT_SOURCE: &str = "duda";

/// The sites that each source may write to.
///
/// A site that a source names is that source's alone. A source that names no sites may write to
/// every site that no other source names; by default there is one such source, [`DEFAULT_SOURCE`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceRules {
    /// The known sources, and whether each of them names its sites.
    names_sites: BTreeMap<String, bool>,
    /// The source that names each site.
    owners: BTreeMap<Site, String>,
}

impl Default for SourceRules {
    fn default() -> Self {
        let names_sites = BTreeMap::from([(DEFAULT_SOURCE.to_owned(), false)]);
        Self { names_sites, owners: BTreeMap::new() }
    }
}

impl SourceRules {
    /// Makes a source known that names these sites, which no other one names; `None` means none.
    pub fn allow(&mut self, source: impl Into<String>, sites: Option<&[Site]>) {
        let source = source.into();
        let sites_of_source = sites.into_iter().flatten();
        self.owners.extend(sites_of_source.map(|site| (site.clone(), source.clone())));
        self.names_sites.insert(source, sites.is_some());
    }

    /// Checks that the source of a webhook is known and may write to the site of its event, if it
    /// is an event.
    ///
    /// [`Code::SourceUnknown`] may pass: the settings of another worker may name the source.
    pub fn check(&self, source: &str, event: Option<&Event>) -> Result<(), Box<Rejection>> {
        let (code, detail) = match (self.names_sites.get(source), event) {
            (None, _) => (Code::SourceUnknown, "no [[sources]] section names its source"),
            (Some(names_sites), Some(event)) if !self.may_write(source, *names_sites, event) => {
                let detail = "resource_data.site_name: its source may not write this site";
                (Code::SiteNotAllowed, detail)
            }
            (Some(_), _) => return Ok(()),
        };
        Err(Box::new(Rejection {
            code,
            detail: detail.to_owned(),
            site: event.map(|event| event.site.clone()),
            event_type: event.map(|event| event.event_type.clone()),
            order: event.and_then(|event| event.content.order().cloned()),
        }))
    }

    fn may_write(&self, source: &str, names_sites: bool, event: &Event) -> bool {
        self.owners.get(&event.site).map_or(!names_sites, |owner| owner == source)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Decoded, Timestamp, decode_webhook};
    use super::*;

    fn event(site: &str) -> Event {
        let body = format!(
            r#"{{"event_type": "ECOMM_ORDER_CREATED", "event_timestamp": 1700000000000,
                "resource_data": {{"site_name": "{site}"}}, "data": {{"id": "7", "items": []}}}}"#
        );
        let decoded = decode_webhook(body.as_bytes(), Timestamp::from_millis(1_700_000_000_000));
        let Ok(Decoded::Event(event)) = decoded else { panic!("{decoded:?}") };
        *event
    }

    #[track_caller]
    fn check(rules: &SourceRules, source: &str, site: &str, expected: Result<(), Code>) {
        let checked = rules.check(source, Some(&event(site)));
        if let Err(rejection) = &checked {
            assert_eq!(rejection.site, Some(Site::parse(site).unwrap()));
            assert_eq!(rejection.order.as_ref().unwrap().to_string(), "id:7");
        }
        assert_eq!(checked.map_err(|rejection| rejection.code), expected, "{source} {site}");
    }

    #[test]
    fn by_default_one_source_is_known_and_may_write_every_site() {
        let rules = SourceRules::default();
        check(&rules, DEFAULT_SOURCE, "a", Ok(()));
        check(&rules, "whoever", "a", Err(Code::SourceUnknown));
        check(&rules, "", "a", Err(Code::SourceUnknown));
    }

    #[test]
    fn a_site_that_a_source_names_is_that_sources_alone() {
        let mut rules = SourceRules::default();
        rules.allow("one", Some(&[Site::parse("a").unwrap(), Site::parse("B").unwrap()]));
        rules.allow("two", Some(&[Site::parse("c").unwrap()]));
        rules.allow("rest", None);
        let not_allowed = Err(Code::SiteNotAllowed);
        for (source, site, expected) in [
            ("one", "a", Ok(())),
            ("one", "B", Ok(())),
            ("one", "a ", Ok(())),
            ("one", "b", not_allowed),
            ("one", "A", not_allowed),
            ("one", "c", not_allowed),
            ("one", "d", not_allowed),
            ("two", "c", Ok(())),
            ("two", "a", not_allowed),
            ("rest", "a", not_allowed),
            ("rest", "c", not_allowed),
            ("rest", "d", Ok(())),
            (DEFAULT_SOURCE, "a", not_allowed),
            (DEFAULT_SOURCE, "d", Ok(())),
            ("One", "a", Err(Code::SourceUnknown)),
            ("other", "d", Err(Code::SourceUnknown)),
        ] {
            check(&rules, source, site, expected);
        }
    }

    #[test]
    fn the_default_source_may_be_given_sites_too() {
        let mut rules = SourceRules::default();
        rules.allow(DEFAULT_SOURCE, Some(&[Site::parse("a").unwrap()]));
        check(&rules, DEFAULT_SOURCE, "a", Ok(()));
        check(&rules, DEFAULT_SOURCE, "b", Err(Code::SiteNotAllowed));
    }

    #[test]
    fn what_is_no_event_needs_a_known_source_all_the_same() {
        let rules = SourceRules::default();
        assert_eq!(rules.check(DEFAULT_SOURCE, None), Ok(()));
        let rejection = rules.check("whoever", None).unwrap_err();
        assert_eq!((rejection.code, rejection.site), (Code::SourceUnknown, None));
    }
}
