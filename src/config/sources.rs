//! Checks that each source can be told from all others.

use std::collections::BTreeSet;

use secrecy::{ExposeSecret, SecretString};

use super::check::{TOKEN_LENGTH_MAX, is_path_token};
use super::{DEFAULT_SOURCE, Settings, SettingsError, SourceSettings};

/// The most sources.
const SOURCES_MAX: usize = 64;
/// The most secrets of all sources: each costs a signature's computation for every request.
const SECRETS_MAX: usize = 64;
/// The longest name of a source; it travels with every webhook.
const NAME_LENGTH_MAX: usize = 64;

impl Settings {
    /// Checks `ingress.sources`, and that they differ from each other and the default source.
    pub(super) fn check_sources(&self) -> Result<(), SettingsError> {
        let ingress = &self.ingress;
        let fault = |place: String, message: String| SettingsError {
            subject: format!("ingress.sources{place}"),
            message,
            origin: self.origins.get("ingress.sources").cloned(),
        };
        let secrets: usize = ingress.sources.iter().map(|source| source.secrets.len()).sum();
        if ingress.sources.len() > SOURCES_MAX || secrets > SECRETS_MAX {
            let message = format!("has more than {SOURCES_MAX} sources or {SECRETS_MAX} secrets");
            return Err(fault(String::new(), message));
        }
        let mut taken = Taken::default();
        if ingress.has_default_source() {
            taken.names.insert(DEFAULT_SOURCE);
            taken.add_secrets(ingress.secrets.iter().map(ExposeSecret::expose_secret));
            taken.tokens.extend(ingress.path_token.as_ref().map(SecretString::expose_secret));
        }
        for (place, source) in ingress.sources.iter().enumerate() {
            taken
                .add(source)
                .map_err(|(name, message)| fault(format!("[{}].{name}", place + 1), message))?;
        }
        Ok(())
    }
}

/// The names, tokens and secrets that belong to one source each.
#[derive(Default)]
struct Taken<'s> {
    names: BTreeSet<&'s str>,
    tokens: BTreeSet<&'s str>,
    secrets: BTreeSet<&'s [u8]>,
}

impl<'s> Taken<'s> {
    /// Checks one more source; the error names the setting, and holds no secret.
    fn add(&mut self, source: &'s SourceSettings) -> Result<(), (&'static str, String)> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let length = source.name.len();
        if !(1..=NAME_LENGTH_MAX).contains(&length) || !source.name.chars().all(is_name) {
            let message = format!("must be 1 to {NAME_LENGTH_MAX} letters, digits or -_.");
            return Err(("name", message));
        }
        if !self.names.insert(&source.name) {
            return Err(("name", format!("{:?} is another source's", source.name)));
        }
        if source.secrets.is_empty() && source.path_token.is_none() {
            let message = "is empty, and there is no path_token: anyone could be this source";
            return Err(("secrets", message.into()));
        }
        if !self.add_secrets(source.secrets.iter().map(ExposeSecret::expose_secret)) {
            return Err(("secrets", "has one twice, or one of another source".into()));
        }
        if let Some(token) = source.path_token.as_ref().map(SecretString::expose_secret) {
            if !is_path_token(token) {
                let message = format!("must be 1 to {TOKEN_LENGTH_MAX} letters, digits or -._~");
                return Err(("path_token", message));
            }
            if !self.tokens.insert(token) {
                return Err(("path_token", "is another source's".into()));
            }
        }
        if source.sites.as_ref().is_some_and(Vec::is_empty) {
            return Err(("sites", "is empty; leave it out to allow all".into()));
        }
        Ok(())
    }

    /// Returns whether all of them were new.
    fn add_secrets(&mut self, mut secrets: impl Iterator<Item = &'s [u8]>) -> bool {
        secrets.all(|secret| self.secrets.insert(secret))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{error, load};
    use super::*;

    const TWO: &str = "
        [[ingress.sources]]
        name = 'eu'
        secrets = ['aHVzaC0x', 'aHVzaC0y']
        sites = ['a', 'b']
        [[ingress.sources]]
        name = 'us'
        path_token = 'hush-3'
    ";

    #[track_caller]
    fn check_two(settings: &Settings) {
        let sources = &settings.ingress.sources;
        let names: Vec<_> = sources.iter().map(|source| source.name.as_str()).collect();
        assert_eq!(names, ["eu", "us"]);
        assert_eq!((sources[0].secrets.len(), sources[1].secrets.len()), (2, 0));
        assert_eq!(sources[0].sites.as_ref().unwrap()[1].as_str(), "b");
        assert!(sources[1].path_token.is_some() && sources[1].sites.is_none());
        let shown =
            format!("{} {} {settings:?}", settings.to_redacted_json(), settings.to_redacted_toml());
        assert!(!shown.contains("aHVza") && !shown.contains("hush"), "{shown}");
    }

    #[test]
    fn sources_come_from_the_settings_a_variable_or_a_file() {
        check_two(&load(TWO, &[]).unwrap());
        check_two(&load("", &[("STOREKEEPER__INGRESS__SOURCES", TWO)]).unwrap());
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sources.toml");
        std::fs::write(&path, TWO).unwrap();
        let variable = ("STOREKEEPER__INGRESS__SOURCES_FILE", path.to_str().unwrap());
        check_two(&load("", &[variable]).unwrap());
    }

    #[test]
    fn a_source_verifies_so_the_ingress_may_be_open() {
        load(&format!("ingress.listen = '0.0.0.0:8080'\n{TWO}"), &[]).unwrap();
    }

    #[test]
    fn sources_are_shown_as_they_are_written() {
        let settings = load("", &[("STOREKEEPER__INGRESS__SOURCES", TWO)]).unwrap();
        let shown = settings.to_redacted_toml();
        let expected = "[[ingress.sources]]  # from STOREKEEPER__INGRESS__SOURCES\n";
        assert_eq!(shown.matches(expected).count(), 2, "{shown}");
        assert!(shown.contains("sites = [\"a\",\"b\"]\n"), "{shown}");
        // With the secrets put back, it is what was loaded.
        let mut secrets = ["aHVzaC0x", "aHVzaC0y", "hush-3"].into_iter();
        let mut parts = shown.split("<redacted>");
        let mut filled = parts.next().unwrap().to_owned();
        for part in parts {
            filled.push_str(secrets.next().unwrap());
            filled.push_str(part);
        }
        check_two(&load(&filled, &[]).unwrap());
    }

    #[test]
    fn sources_that_cannot_be_told_apart_are_refused_without_showing_secrets() {
        let source = |rest: &str| format!("[[ingress.sources]]\n{rest}\n");
        let eu = source("name = 'eu'\nsecrets = 'aHVzaA=='");
        let flat = "[ingress]\nsecrets = 'aHVzaA=='\npath_token = 'hush'\n";
        for (content, expected) in [
            (source("name = 'eu'"), "[1].secrets: is empty, and there is no path_token"),
            (source("secrets = 'aHVzaA=='"), "[1].name: is missing"),
            (source("name = 'a b'\npath_token = 'hush'"), "[1].name: must be 1 to 64 letters"),
            (source("name = ''\npath_token = 'hush'"), "[1].name: must be 1 to 64 letters"),
            (format!("{eu}{eu}"), "[2].name: \"eu\" is another source's"),
            (
                format!("{eu}{}", source("name = 'us'\nsecrets = 'aHVzaA=='")),
                "[2].secrets: has one twice, or one of another source",
            ),
            (format!("{flat}{eu}"), "[1].secrets: has one twice, or one of another source"),
            (
                format!("{flat}{}", source("name = 'us'\npath_token = 'hush'")),
                "[1].path_token: is another source's",
            ),
            (
                format!("{flat}{}", source("name = 'duda'\npath_token = 'hush-2'")),
                "[1].name: \"duda\" is another source's",
            ),
            (source("name = 'a'\npath_token = 'hush hush'"), "[1].path_token: must be 1 to 256"),
            (source("name = 'a'\npath_token = 'hush'\nsites = []"), "[1].sites: is empty"),
            (source("name = 'a'\npath_token = 'hush'\nsites = ['']"), "[1].sites: item 1 "),
            (source("name = 'a'\nsecrets = ['hush!']"), "[1].secrets: item 1 is not base64"),
            (source("name = 'a'\nsecret = 'hush'"), "[1].secret: there is no such setting"),
            ("ingress.sources = 1".into(), ": must be sections that begin with"),
            ("ingress.sources = ['hush']".into(), ": item 1 is a section"),
        ] {
            let text = error(&content, &[]);
            let expected = format!("ingress.sources{expected}");
            assert!(text.starts_with(&expected), "{text}\nand not {expected}");
            assert!(!text.contains("hush") && !text.contains("aHVza"), "{text}");
        }
        let many: String =
            (0..65).map(|n| source(&format!("name = 'a{n}'\npath_token = 't{n}'"))).collect();
        assert!(error(&many, &[]).starts_with("ingress.sources: has more than 64 sources"));
    }

    #[test]
    fn a_variable_of_sources_holds_nothing_else() {
        for text in [
            "",
            "hush",
            "name = 'hush'",
            "[ingress]\nlisten = 'hush'",
            "[[sources]]\nname = 'hush'",
        ] {
            let text = error("", &[("STOREKEEPER__INGRESS__SOURCES", text)]);
            let expected = "ingress.sources: must be TOML that has [[ingress.sources]] sections";
            assert!(text.starts_with(expected), "{text}");
            assert!(text.ends_with("(from STOREKEEPER__INGRESS__SOURCES)"), "{text}");
            assert!(!text.contains("hush"), "{text}");
        }
        let more = format!("{TWO}\n[console]\nlisten = '127.0.0.1:1'");
        let text = error("", &[("STOREKEEPER__INGRESS__SOURCES", &more)]);
        assert!(text.starts_with("ingress.sources: must be TOML"), "{text}");
    }
}
