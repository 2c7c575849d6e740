//! Which sites a source of webhooks may write to.

use std::collections::{BTreeMap, BTreeSet};

use super::{Code, Event, Rejection, Site};

/// The sites that each source may write to. By default there is one trust domain, which may write
/// to all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceRules {
    sources: BTreeMap<String, Option<BTreeSet<Site>>>,
}

impl SourceRules {
    /// Allows a source to write to these sites and no others; `None` means all.
    pub fn allow(&mut self, source: impl Into<String>, sites: Option<&[Site]>) {
        let sites = sites.map(|sites| sites.iter().cloned().collect());
        self.sources.insert(source.into(), sites);
    }

    /// Checks that the source of an event may write to its site.
    ///
    /// Once there are rules, a source that they do not name may write to nothing: it was removed
    /// from the settings, or was never there.
    pub fn check(&self, source: &str, event: &Event) -> Result<(), Box<Rejection>> {
        let detail = match self.sources.get(source) {
            _ if self.sources.is_empty() => return Ok(()),
            Some(None) => return Ok(()),
            Some(Some(sites)) if sites.contains(&event.site) => return Ok(()),
            Some(Some(_)) => "resource_data.site_name: its source may not write this site",
            None => "its source is none of those configured",
        };
        let order = event.content.order().cloned();
        Err(Box::new(Rejection {
            code: Code::SiteNotAllowed,
            detail: detail.to_owned(),
            site: Some(event.site.clone()),
            event_type: Some(event.event_type.clone()),
            order,
        }))
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

    #[test]
    fn without_rules_every_source_may_write_every_site() {
        let rules = SourceRules::default();
        assert_eq!(rules.check("duda", &event("a")), Ok(()));
        assert_eq!(rules.check("whoever", &event("b")), Ok(()));
    }

    #[test]
    fn a_source_may_write_its_sites_and_no_others() {
        let mut rules = SourceRules::default();
        rules.allow("all", None);
        rules.allow("one", Some(&[Site::parse("a").unwrap(), Site::parse("B").unwrap()]));
        for (source, site, allowed) in [
            ("all", "a", true),
            ("all", "c", true),
            ("one", "a", true),
            ("one", "B", true),
            ("one", "b", false),
            ("one", "A", false),
            ("one", "a ", true),
            ("one", "c", false),
            ("One", "a", false),
            ("other", "a", false),
            ("", "a", false),
        ] {
            let checked = rules.check(source, &event(site));
            assert_eq!(checked.is_ok(), allowed, "{source} {site}");
            if let Err(rejection) = checked {
                assert_eq!(rejection.code, Code::SiteNotAllowed);
                assert_eq!(rejection.site, Some(Site::parse(site).unwrap()));
                assert_eq!(rejection.order.unwrap().to_string(), "id:7");
            }
        }
    }
}
