//! Checks that each site belongs to one source, and each token and secret to one sender.

use std::collections::{BTreeMap, BTreeSet};

use secrecy::{ExposeSecret, SecretBox, SecretString};
use sha2::{Digest, Sha256};

use super::token::{PATH_TOKEN_FORM, is_path_token};
use super::{CredentialSettings, DEFAULT_SOURCE, Settings, SettingsError, SourceSettings};
use crate::domain::Site;

/// The most sources, and the most credentials.
const SOURCES_MAX: usize = 64;
/// The most secrets of all senders: those of one path cost each request to it a signature's
/// computation each.
const SECRETS_MAX: usize = 64;
/// The block of SHA-256.
const HMAC_BLOCK_BYTES: usize = 64;
/// The longest name of a source; it travels with every webhook.
const NAME_LENGTH_MAX: usize = 64;

/// The setting in a section, and what is wrong with it; never holds a secret.
type Fault = (&'static str, String);

impl Settings {
    /// Checks `[[sources]]`, and that no site belongs to two of them.
    pub(super) fn check_sources(&self) -> Result<(), SettingsError> {
        let setting = "sources";
        if self.sources.len() > SOURCES_MAX {
            return Err(self.fault(setting, format!("has more than {SOURCES_MAX} sources")));
        }
        let mut taken = TakenNames::default();
        for (place, source) in self.sources.iter().enumerate() {
            taken.add(source).map_err(|fault| self.fault_in(setting, place, fault))?;
        }
        Ok(())
    }

    /// Checks `[[ingress.credentials]]`: that each belongs to a source, and cannot be taken for
    /// that of another source.
    pub(super) fn check_credentials(&self) -> Result<(), SettingsError> {
        let (setting, ingress) = ("ingress.credentials", &self.ingress);
        let secrets: usize = ingress.credentials.iter().map(|given| given.secrets.len()).sum();
        let secrets = secrets + ingress.secrets.len();
        if ingress.credentials.len() > SOURCES_MAX || secrets > SECRETS_MAX {
            let message =
                format!("has more than {SOURCES_MAX} credentials or {SECRETS_MAX} secrets");
            return Err(self.fault(setting, message));
        }
        let mut taken = TakenSecrets {
            tokens: ingress.path_token.iter().map(SecretString::expose_secret).collect(),
            secrets: secrets_of(&ingress.secrets).map(|it| (it, DEFAULT_SOURCE)).collect(),
        };
        for (place, given) in ingress.credentials.iter().enumerate() {
            self.check_source_of(given)
                .and_then(|()| taken.add(given))
                .map_err(|fault| self.fault_in(setting, place, fault))?;
        }
        Ok(())
    }

    fn check_source_of(&self, given: &CredentialSettings) -> Result<(), Fault> {
        let named = self.sources.iter().map(|source| source.name.as_str());
        let known: BTreeSet<&str> = named.chain([DEFAULT_SOURCE]).collect();
        if known.contains(given.source.as_str()) {
            return Ok(());
        }
        let known = known.into_iter().collect::<Vec<_>>().join(", ");
        // Not repeated: a path token that was written here by mistake looks like a name.
        let message = format!("no [[sources]] section has this name; known sources: {known}");
        Err(("source", message))
    }

    /// A fault of one section of a list.
    pub(super) fn fault_in(
        &self,
        list: &str,
        place: usize,
        (name, message): Fault,
    ) -> SettingsError {
        SettingsError {
            subject: format!("{list}[{}].{name}", place + 1),
            ..self.fault(list, message)
        }
    }
}

/// The names that are in use, and the source of each site that one names.
#[derive(Default)]
struct TakenNames<'s> {
    names: BTreeSet<&'s str>,
    sites: BTreeMap<&'s Site, &'s str>,
}

impl<'s> TakenNames<'s> {
    fn add(&mut self, source: &'s SourceSettings) -> Result<(), Fault> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let length = source.name.len();
        if !(1..=NAME_LENGTH_MAX).contains(&length) || !source.name.chars().all(is_name) {
            let message = format!("must be 1 to {NAME_LENGTH_MAX} letters, digits or -_.");
            return Err(("name", message));
        }
        if !self.names.insert(&source.name) {
            return Err(("name", format!("{:?} is another source's", source.name)));
        }
        if source.sites.as_ref().is_some_and(Vec::is_empty) {
            let message = "is empty; leave it out to allow every site that no source names";
            return Err(("sites", message.into()));
        }
        for site in source.sites.iter().flatten() {
            if let Some(owner) = self.sites.insert(site, &source.name) {
                return Err((
                    "sites",
                    format!("{:?} is already source {owner:?}'s", site.as_str()),
                ));
            }
        }
        Ok(())
    }
}

/// The tokens that are in use, and the source of each secret.
struct TakenSecrets<'s> {
    tokens: BTreeSet<&'s str>,
    /// Secrets as HMAC uses them: those of one key sign alike.
    secrets: BTreeMap<Vec<u8>, &'s str>,
}

impl<'s> TakenSecrets<'s> {
    /// Checks one more credential. Two of one source may share a secret: while its path token is
    /// introduced or replaced, both paths are in use.
    fn add(&mut self, given: &'s CredentialSettings) -> Result<(), Fault> {
        if given.secrets.is_empty() && given.path_token.is_none() {
            let message = "is empty, and there is no path_token: anyone could be this source";
            return Err(("secrets", message.into()));
        }
        let own: BTreeSet<Vec<u8>> = secrets_of(&given.secrets).collect();
        if own.len() < given.secrets.len() {
            return Err(("secrets", "has one twice".into()));
        }
        for secret in own {
            let owner = *self.secrets.entry(secret).or_insert(&given.source);
            if owner != given.source {
                return Err(("secrets", format!("has one of source {owner:?}")));
            }
        }
        if let Some(token) = given.path_token.as_ref().map(SecretString::expose_secret) {
            if !is_path_token(token) {
                let message = format!("must be {PATH_TOKEN_FORM}");
                return Err(("path_token", message));
            }
            if !self.tokens.insert(token) {
                return Err(("path_token", "is another credential's".into()));
            }
        }
        Ok(())
    }
}

/// The keys that HMAC makes of secrets: it hashes what is longer than a block, and fills up the rest
/// with zeros.
fn secrets_of(secrets: &[SecretBox<[u8]>]) -> impl Iterator<Item = Vec<u8>> {
    secrets.iter().map(|secret| {
        let secret = secret.expose_secret();
        let hashed = Sha256::digest(secret);
        let key = if secret.len() > HMAC_BLOCK_BYTES { &hashed[..] } else { secret };
        let zeros = key.iter().rev().take_while(|byte| **byte == 0).count();
        key.iter().take(key.len() - zeros).copied().collect()
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{error, load};
    use super::*;

    const SOURCES: &str = "
        [[sources]]
        name = 'eu'
        sites = ['a', 'b']
        [[sources]]
        name = 'us'
    ";
    const CREDENTIALS: &str = "
        [[ingress.credentials]]
        source = 'eu'
        secrets = ['aHVzaC0x', 'aHVzaC0y']
        [[ingress.credentials]]
        source = 'us'
        path_token = 'hush-hush-hush-3'
        [[ingress.credentials]]
        source = 'us'
        secrets = 'aHVzaC00'
    ";

    fn both() -> String {
        format!("{SOURCES}{CREDENTIALS}")
    }

    #[track_caller]
    fn check_both(settings: &Settings) {
        let [eu, us] = &settings.sources[..] else { panic!("{:?}", settings.sources) };
        assert_eq!((eu.name.as_str(), us.name.as_str()), ("eu", "us"));
        assert_eq!(eu.sites.as_ref().unwrap()[1].as_str(), "b");
        assert_eq!(us.sites, None);
        let given = settings.ingress.credentials.iter();
        let given: Vec<_> = given
            .map(|it| (it.source.as_str(), it.secrets.len(), it.path_token.is_some()))
            .collect();
        assert_eq!(given, [("eu", 2, false), ("us", 0, true), ("us", 1, false)]);
        let shown =
            format!("{} {} {settings:?}", settings.to_redacted_json(), settings.to_redacted_toml());
        assert!(!shown.contains("aHVza") && !shown.contains("hush"), "{shown}");
    }

    #[test]
    fn sources_and_credentials_come_from_the_settings_variables_or_files() {
        check_both(&load(&both(), &[]).unwrap());
        let variables =
            [("STOREKEEPER__SOURCES", SOURCES), ("STOREKEEPER__INGRESS__CREDENTIALS", CREDENTIALS)];
        check_both(&load("", &variables).unwrap());
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("credentials.toml");
        std::fs::write(&path, CREDENTIALS).unwrap();
        let variable = ("STOREKEEPER__INGRESS__CREDENTIALS_FILE", path.to_str().unwrap());
        check_both(&load(SOURCES, &[variable]).unwrap());
    }

    #[test]
    fn a_credential_verifies_so_the_ingress_may_be_open() {
        let open = "ingress.listen = '0.0.0.0:8080'\n";
        load(&format!("{open}{}", both()), &[]).unwrap();
        let text = error(&format!("{open}{SOURCES}"), &[]);
        assert!(text.starts_with("ingress.listen: 0.0.0.0:8080 is open to others"), "{text}");
    }

    #[test]
    fn a_source_without_a_credential_is_named_and_taken() {
        let without = |more: &str| -> Vec<String> {
            let settings = load(&format!("{SOURCES}{more}"), &[]).unwrap();
            settings.sources_without_credential().map(ToOwned::to_owned).collect()
        };
        assert_eq!(without(""), ["eu", "us"]);
        assert_eq!(
            without(
                "[[ingress.credentials]]\nsource = 'us'\npath_token = 'a-token-of-16-characters'"
            ),
            ["eu"]
        );
        assert_eq!(without(CREDENTIALS), [""; 0]);
        let named = "[[sources]]\nname = 'duda'\nsites = ['c']";
        assert_eq!(without(named), ["eu", "us"], "whoever sends is the default source");
        assert_eq!(without(&format!("{named}{CREDENTIALS}")), ["duda"]);
        assert_eq!(
            without(&format!(
                "{named}{CREDENTIALS}[ingress]\npath_token = 'a-token-of-16-characters'"
            )),
            [""; 0]
        );
    }

    #[test]
    fn sources_and_credentials_are_shown_as_they_are_written() {
        let variables =
            [("STOREKEEPER__SOURCES", SOURCES), ("STOREKEEPER__INGRESS__CREDENTIALS", CREDENTIALS)];
        let shown = load("", &variables).unwrap().to_redacted_toml();
        let expected = "[[sources]]  # from STOREKEEPER__SOURCES\n";
        assert_eq!(shown.matches(expected).count(), 2, "{shown}");
        let expected = "[[ingress.credentials]]  # from STOREKEEPER__INGRESS__CREDENTIALS\n";
        assert_eq!(shown.matches(expected).count(), 3, "{shown}");
        assert!(shown.contains("sites = [\"a\",\"b\"]\n"), "{shown}");
        // With the secrets filled in, it is what was loaded.
        let mut secrets = ["aHVzaC0x", "aHVzaC0y", "hush-hush-hush-3", "aHVzaC00"].into_iter();
        let mut parts = shown.split("<redacted>");
        let mut filled = parts.next().unwrap().to_owned();
        for part in parts {
            filled.push_str(secrets.next().unwrap());
            filled.push_str(part);
        }
        check_both(&load(&filled, &[]).unwrap());
    }

    #[track_caller]
    fn check_refused(content: &str, expected: &str) {
        let text = error(content, &[]);
        assert!(text.starts_with(expected), "{text}\nand not {expected}");
        assert!(!text.contains("hush") && !text.contains("aHVza"), "{text}");
    }

    #[test]
    fn sources_that_cannot_be_told_apart_are_refused() {
        let source = |rest: &str| format!("[[sources]]\n{rest}\n");
        let eu = source("name = 'eu'\nsites = ['a', 'b']");
        for (content, expected) in [
            (source("sites = ['a']"), "[1].name: is missing"),
            (source("name = 'a b'"), "[1].name: must be 1 to 64 letters"),
            (source("name = ''"), "[1].name: must be 1 to 64 letters"),
            (format!("{eu}{eu}"), "[2].name: \"eu\" is another source's"),
            (
                format!("{eu}{}", source("name = 'us'\nsites = ['c', 'b ']")),
                "[2].sites: \"b\" is already source \"eu\"'s",
            ),
            (source("name = 'a'\nsites = 'c,c'"), "[1].sites: \"c\" is already source \"a\"'s"),
            (source("name = 'a'\nsites = []"), "[1].sites: is empty"),
            (source("name = 'a'\nsites = ['']"), "[1].sites: item 1 "),
            (
                source("name = 'a'\nsecrets = ['aHVza']"),
                "[1].secrets: there is no such setting; known settings: name, sites",
            ),
            ("sources = 1".into(), ": must be sections that begin with [[sources]]"),
            ("sources = ['hush']".into(), ": item 1 is a section"),
        ] {
            check_refused(&content, &format!("sources{expected}"));
        }
        let many: String = (0..65).map(|n| source(&format!("name = 'a{n}'"))).collect();
        check_refused(&many, "sources: has more than 64 sources");
    }

    #[test]
    fn credentials_that_could_be_anothers_are_refused_without_showing_them() {
        let of = |source: &str, rest: &str| {
            format!("[[ingress.credentials]]\nsource = '{source}'\n{rest}\n")
        };
        let eu = of("eu", "secrets = 'aHVzaA=='");
        let flat = "[ingress]\nsecrets = 'aHVzaA=='\npath_token = 'hush-hush-hush-h'\n";
        for (content, expected) in [
            (of("eu", ""), "[1].secrets: is empty, and there is no path_token"),
            (
                "[[ingress.credentials]]\npath_token = 'hush-hush-hush-h'".into(),
                "[1].source: is missing",
            ),
            (
                of("asia", "path_token = 'hush-hush-hush-h'"),
                "[1].source: no [[sources]] section has this name; known sources: duda, eu, us",
            ),
            (of("eu", "secrets = 'aHVzaA==,aHVzaA=='"), "[1].secrets: has one twice"),
            // "hush", and "hush" with a zero at its end.
            (
                format!("{eu}{}", of("us", "secrets = 'aHVzaAA='")),
                "[2].secrets: has one of source \"eu\"",
            ),
            (
                format!("{eu}{}", of("us", "secrets = 'aHVzaA=='")),
                "[2].secrets: has one of source \"eu\"",
            ),
            (format!("{flat}{eu}"), "[1].secrets: has one of source \"duda\""),
            (
                format!("{flat}{}", of("duda", "path_token = 'hush-hush-hush-h'")),
                "[1].path_token: is another credential's",
            ),
            (of("eu", "path_token = 'hush hush hush hush'"), "[1].path_token: must be 16 to 256"),
            (of("eu", "path_token = 'hush-hush-hush-'"), "[1].path_token: must be 16 to 256"),
            (of("eu", "secrets = ['hush!']"), "[1].secrets: item 1 is not base64"),
            (of("eu", "secret = 'hush'"), "[1].secret: there is no such setting"),
            ("ingress.credentials = 1".into(), ": must be sections that begin with"),
        ] {
            check_refused(
                &format!("{content}\n{SOURCES}"),
                &format!("ingress.credentials{expected}"),
            );
        }
        let many: String = (0..65)
            .map(|n| of("eu", &format!("path_token = 'a-token-of-16-characters-{n}'")))
            .collect();
        let text = format!("{SOURCES}{many}");
        check_refused(&text, "ingress.credentials: has more than 64 credentials");
    }

    #[test]
    fn a_source_may_have_several_credentials_that_share_a_secret() {
        let signed = "[[ingress.credentials]]\nsource = 'duda'\nsecrets = 'aHVzaA=='\n";
        let by_both = format!("{signed}path_token = 'hush-hush-hush-h'\n");
        let settings = load(&format!("{signed}{by_both}"), &[]).unwrap();
        assert_eq!(settings.ingress.credentials.len(), 2);
    }

    #[test]
    fn a_variable_of_sections_holds_nothing_else() {
        let more = format!("{CREDENTIALS}\n[console]\nlisten = '127.0.0.1:1'");
        for text in ["", "hush", "name = 'hush'", "[ingress]\nlisten = 'hush'", SOURCES, &more] {
            let text = error("", &[("STOREKEEPER__INGRESS__CREDENTIALS", text)]);
            let expected =
                "ingress.credentials: must be TOML that has [[ingress.credentials]] sections";
            assert!(text.starts_with(expected), "{text}");
            assert!(text.ends_with("(from STOREKEEPER__INGRESS__CREDENTIALS)"), "{text}");
            assert!(!text.contains("hush"), "{text}");
        }
        let text = error("", &[("STOREKEEPER__SOURCES", CREDENTIALS)]);
        assert!(text.starts_with("sources: must be TOML that has [[sources]] sections"), "{text}");
    }
}
