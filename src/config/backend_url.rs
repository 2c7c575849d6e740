//! The address of a server of the distributed backend.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Settings, SettingsError, value};

/// The most addresses of one backend.
const ADDRESSES_MAX: usize = 32;
/// The longest namespace of RabbitMQ or prefix of Redis: names of queues have at most 255 bytes.
const NAME_LENGTH_MAX: usize = 64;

/// An address, which may hold a user name and a password; they are redacted wherever it is shown.
#[derive(Clone)]
pub struct BackendUrl(SecretString);

impl BackendUrl {
    /// Parses an address that has a scheme and something after it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let is_clean = !text.chars().any(|c| c.is_whitespace() || c.is_control());
        let is_complete = !scheme.is_empty() && !rest.is_empty() && !rest.ends_with('@');
        (is_clean && is_complete).then(|| Self(SecretString::from(text)))
    }

    /// The whole address, for whoever connects.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    fn scheme(&self) -> &str {
        self.expose().split_once("://").map_or("", |(scheme, _)| scheme)
    }
}

/// A password may contain an unencoded `@`: the host comes after the last one.
impl fmt::Display for BackendUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.expose();
        match text.rsplit_once('@') {
            Some((_, host)) => write!(f, "{}://<redacted>@{host}", self.scheme()),
            None => f.write_str(text),
        }
    }
}

impl fmt::Debug for BackendUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl<'de> Deserialize<'de> for BackendUrl {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        value::secret(from, |text| {
            Self::parse(text).ok_or("must be an address, as \"amqp://rabbit:5672\"")
        })
    }
}

/// Redacted, as it is shown.
impl Serialize for BackendUrl {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl Settings {
    /// Checks `rabbitmq.*` and `redis.*` even if they are not used: a typo is reported at once.
    pub(super) fn check_backend_urls(&self) -> Result<(), SettingsError> {
        let (rabbitmq, redis) = (&self.rabbitmq, &self.redis);
        let management = rabbitmq.management_url.as_slice();
        self.check_urls("rabbitmq.url", &rabbitmq.url, ["amqp", "amqps"])?;
        self.check_urls("redis.url", &redis.url, ["redis", "rediss"])?;
        if !management.is_empty() {
            self.check_urls("rabbitmq.management_url", management, ["http", "https"])?;
        }
        if redis.sentinel_username.is_some() && redis.sentinel_password.is_none() {
            let message = "is of no use without redis.sentinel_password".to_owned();
            return Err(self.fault("redis.sentinel_username", message));
        }
        for (setting, name) in [
            ("rabbitmq.namespace", &rabbitmq.namespace),
            ("redis.prefix", &redis.prefix),
            ("redis.sentinel_master", &redis.sentinel_master),
        ] {
            let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
            if name.is_empty() || name.len() > NAME_LENGTH_MAX || !is_plain {
                let message = format!("must be 1 to {NAME_LENGTH_MAX} letters, digits or -_.");
                return Err(self.fault(setting, message));
            }
        }
        Ok(())
    }

    fn check_urls(
        &self,
        setting: &str,
        urls: &[BackendUrl],
        schemes: [&str; 2],
    ) -> Result<(), SettingsError> {
        if !(1..=ADDRESSES_MAX).contains(&urls.len()) {
            let message = format!("must have 1 to {ADDRESSES_MAX} addresses, not {}", urls.len());
            return Err(self.fault(setting, message));
        }
        let wrong = urls.iter().find(|url| !schemes.contains(&url.scheme()));
        wrong.map_or(Ok(()), |url| {
            let [plain, secure] = schemes;
            let found = url.scheme();
            let message = format!("must begin with {plain}:// or {secure}://, not {found}://");
            Err(self.fault(setting, message))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{error, load};

    #[test]
    fn addresses_are_shown_without_passwords() {
        let content = "[rabbitmq]\nurl = ['amqp://u:hu@sh@one:5672/%2f', 'amqps://two']\n\
                       management_url = 'http://u:hush@one:15672'\n[redis]\nurl = 'redis://:hush@r'";
        let settings = load(content, &[]).unwrap();
        assert_eq!(settings.rabbitmq.url[0].expose(), "amqp://u:hu@sh@one:5672/%2f");
        let json = settings.to_redacted_json();
        let shown = serde_json::json!(["amqp://<redacted>@one:5672/%2f", "amqps://two"]);
        assert_eq!(json["rabbitmq"]["url"], shown);
        assert_eq!(json["rabbitmq"]["management_url"], "http://<redacted>@one:15672");
        assert_eq!(json["redis"]["url"], serde_json::json!(["redis://<redacted>@r"]));
        assert!(!format!("{settings:?}").contains("sh@"), "{settings:?}");
    }

    #[test]
    fn an_address_of_another_kind_is_refused_without_showing_it() {
        for (content, expected) in [
            ("rabbitmq.url = 'http://u:hush@a'", "rabbitmq.url: must begin with amqp:// or amqps"),
            ("rabbitmq.url = 'u:hush@a'", "rabbitmq.url: item 1 must be an address, as "),
            ("rabbitmq.url = 'amqp://u:hush@'", "rabbitmq.url: item 1 must be an address, as "),
            ("rabbitmq.url = []", "rabbitmq.url: must have 1 to 32 addresses, not 0"),
            ("redis.url = ['redis://a', 'amqp://:hush@b']", "redis.url: must begin with redis://"),
            (
                "rabbitmq.management_url = 'amqp://a'",
                "rabbitmq.management_url: must begin with http",
            ),
            ("rabbitmq.namespace = 'a b'", "rabbitmq.namespace: must be 1 to 64 letters, digits"),
            ("redis.prefix = '{a}'", "redis.prefix: must be 1 to 64 letters, digits or -_."),
            (
                "redis.sentinel_username = 'watch'",
                "redis.sentinel_username: is of no use without redis.sentinel_password",
            ),
            ("redis.mode = 'many'", "redis.mode: must be one of `single`, `sentinel`, `cluster`"),
            (
                "backend = 'cloud'",
                "backend: must be one of `embedded`, `distributed`, not string \"cloud\"",
            ),
        ] {
            let text = error(content, &[]);
            assert!(text.starts_with(expected), "{text}");
            assert!(!text.contains("hush"), "{text}");
        }
    }
}
