//! Who may use the operator API: `console.tokens`, and the users of `[[console.users]]`.

use std::collections::BTreeSet;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::token::{BEARER_TOKEN_FORM, is_bearer_token};
use super::value::{self, REDACTED};
use super::{ConsoleSettings, Settings, SettingsError};
use crate::domain::{Identifier, Site};

/// The most tokens of the console, those of users included: each is compared for every request.
const TOKENS_MAX: usize = 64;

/// One of `console.tokens`, written `read:<token>` or `operate:<token>`.
#[derive(Debug, Clone)]
pub struct ConsoleToken {
    /// What its bearer is allowed to do.
    pub role: Role,
    /// The secret.
    pub token: SecretString,
}

/// One of `[[console.users]]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConsoleUser {
    /// Recorded with what the user changes.
    pub name: Identifier,
    /// What the user is allowed to do.
    pub role: Role,
    /// The only sites that exist for the user; `None` for all sites.
    #[serde(default)]
    pub sites: Option<Vec<Site>>,
    /// The secret.
    #[serde(deserialize_with = "secret_text", serialize_with = "redacted")]
    pub token: SecretString,
}

fn secret_text<'de, D: Deserializer<'de>>(from: D) -> Result<SecretString, D::Error> {
    value::secret(from, |text| Ok(text.into()))
}

fn redacted<S: Serializer>(_: &SecretString, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(REDACTED)
}

/// What a caller of the operator API is allowed to do; a greater role includes the lesser one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Read counts, orders, queues and the list of dead letters.
    Read,
    /// Change things, and read the bodies of dead letters.
    Operate,
}

impl Role {
    /// The role's name in settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
        }
    }
}

impl<'de> Deserialize<'de> for ConsoleToken {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        value::secret(from, |text| {
            let (role, token) = text.split_once(':').unwrap_or_default();
            let role = [Role::Read, Role::Operate].into_iter().find(|known| known.as_str() == role);
            let role = role.ok_or("must be \"read:<token>\" or \"operate:<token>\"")?;
            Ok(Self { role, token: token.into() })
        })
    }
}

/// The role is not secret.
impl Serialize for ConsoleToken {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{}:{REDACTED}", self.role.as_str()))
    }
}

impl ConsoleSettings {
    /// Whether everyone on this machine may do everything, for want of tokens.
    pub fn is_open(&self) -> bool {
        self.tokens.is_empty() && self.users.is_empty()
    }
}

impl Settings {
    /// Checks the tokens, and that each of them belongs to one caller.
    pub(super) fn check_console_access(&self) -> Result<(), SettingsError> {
        let (setting, tokens) = ("console.tokens", &self.console.tokens);
        if tokens.len() + self.console.users.len() > TOKENS_MAX {
            let message = format!("has more than {TOKENS_MAX} tokens, users included");
            return Err(self.fault(setting, message));
        }
        let mut taken = BTreeSet::new();
        for (place, token) in tokens.iter().enumerate() {
            let (text, item) = (token.token.expose_secret(), place + 1);
            if !is_bearer_token(text) {
                let message = format!("item {item} must have {BEARER_TOKEN_FORM} after the colon");
                return Err(self.fault(setting, message));
            }
            if !taken.insert(text) {
                let message = format!("item {item} is there twice; a token has one role");
                return Err(self.fault(setting, message));
            }
        }
        let mut names = BTreeSet::new();
        for (place, user) in self.console.users.iter().enumerate() {
            let fault = |name, message: &str| {
                self.fault_in("console.users", place, (name, message.to_owned()))
            };
            if !names.insert(&user.name) {
                return Err(fault("name", "is another user's: acts would not tell them apart"));
            }
            if user.sites.as_ref().is_some_and(Vec::is_empty) {
                return Err(fault("sites", "is empty; leave it out to allow every site"));
            }
            let secret = user.token.expose_secret();
            if !is_bearer_token(secret) {
                let message = format!("must be {}", BEARER_TOKEN_FORM.trim_end_matches(','));
                return Err(fault("token", &message));
            }
            if !taken.insert(secret) {
                return Err(fault("token", "is another user's, or one of console.tokens"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{error, load};
    use super::*;

    const USERS: &str = "
        [[console.users]]
        name = 'Anna of the shop'
        role = 'operate'
        sites = ['garden', 'kitchen']
        token = 'hush-hush-hush-1'
        [[console.users]]
        name = 'night watch'
        role = 'read'
        token = 'hush-hush-hush-2'
    ";

    #[track_caller]
    fn check_users(settings: &Settings) {
        let [anna, watch] = &settings.console.users[..] else { panic!("{:?}", settings.console) };
        assert_eq!((anna.name.as_str(), anna.role), ("Anna of the shop", Role::Operate));
        assert_eq!(anna.sites.as_ref().unwrap()[1].as_str(), "kitchen");
        assert_eq!((watch.role, &watch.sites), (Role::Read, &None));
        assert!(!settings.console.is_open());
        let (json, toml) = (settings.to_redacted_json(), settings.to_redacted_toml());
        let shown = format!("{json} {toml} {settings:?}");
        assert!(!shown.contains("hush"), "{shown}");
        assert_eq!(json["console"]["users"][0]["token"], REDACTED);
    }

    #[test]
    fn users_come_from_the_settings_a_variable_or_a_file() {
        check_users(&load(USERS, &[]).unwrap());
        check_users(&load("", &[("STOREKEEPER__CONSOLE__USERS", USERS)]).unwrap());
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users.toml");
        std::fs::write(&path, USERS).unwrap();
        let variable = ("STOREKEEPER__CONSOLE__USERS_FILE", path.to_str().unwrap());
        check_users(&load("", &[variable]).unwrap());
        let open = format!("console.listen = '0.0.0.0:8081'\n{USERS}");
        load(&open, &[]).unwrap();
    }

    #[test]
    fn a_user_that_is_not_whole_or_not_distinct_is_refused() {
        let second = "[[console.users]]\nrole = 'read'\nname";
        for (more, expected) in [
            (
                format!("{second} = 'night watch'\ntoken = 'hush-hush-hush-3'"),
                "console.users[3].name: is another user's",
            ),
            (
                format!("{second} = 'guest'\ntoken = 'hush-hush-hush-2'"),
                "console.users[3].token: is another user's, or one of console.tokens",
            ),
            (
                format!("{second} = 'guest'\ntoken = 'hush'"),
                "console.users[3].token: must be 16 to 256 letters",
            ),
            (format!("{second} = 'guest'"), "console.users[3].token: is missing"),
            (
                format!("{second} = 'guest'\ntoken = 'hush-hush-hush-3'\nsites = []"),
                "console.users[3].sites: is empty; leave it out",
            ),
            (
                format!("{second} = ''\ntoken = 'hush-hush-hush-3'"),
                "console.users[3].name: is empty",
            ),
            (
                "[[console.users]]\nname = 'guest'\nrole = 'admin'\ntoken = 'hush-hush-hush-3'"
                    .to_owned(),
                "console.users[3].role: must be one of `read`, `operate`",
            ),
            (
                "[console]\ntokens = 'read:hush-hush-hush-1'".to_owned(),
                "console.users[1].token: is another user's, or one of console.tokens",
            ),
        ] {
            let text = error(&format!("{USERS}{more}"), &[]);
            assert!(text.starts_with(expected), "{text}");
            assert!(!text.contains("hush"), "{text}");
        }
    }
}
