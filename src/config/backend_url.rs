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
    /// Parses an address: a scheme, a login if there is one, a host, and a port if there is one.
    ///
    /// What a client would misread is refused here, where the setting can be named and no part of
    /// the password is: clients show a piece of it as a wrong port, or connect to it as a host.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = text.split_once("://").ok_or(NO_ADDRESS)?;
        let is_clean = !text.chars().any(|c| c.is_whitespace() || c.is_control());
        let is_scheme = scheme.chars().all(|c| c.is_ascii_alphabetic()) && !scheme.is_empty();
        if !is_clean || !is_scheme {
            return Err(NO_ADDRESS);
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
        if path.contains('@') {
            return Err(
                "has a / ? or # before its last @; in a login, write %2F for /, %3F for ?, %23 \
                 for #, %40 for @ and %2C for a comma",
            );
        }
        let (login, server) = authority.rsplit_once('@').unwrap_or(("", authority));
        if !has_whole_escapes(login) {
            return Err("has a % that two hexadecimal digits must follow; write % itself as %25");
        }
        check_server(server)?;
        if matches!(scheme, "redis" | "rediss") {
            check_database(path)?;
        }
        Ok(Self(SecretString::from(text)))
    }

    /// The whole address, for whoever connects.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    fn scheme(&self) -> &str {
        self.expose().split_once("://").map_or("", |(scheme, _)| scheme)
    }
}

/// What is said of a text that is no address at all.
const NO_ADDRESS: &str = "must be an address, as \"{scheme}://{host}\"";

/// Completes a message of [`BackendUrl::parse`], which does not know the setting, with the form of
/// the setting's addresses.
pub(super) fn with_form_of(setting: &str, message: &str) -> String {
    let (scheme, host, port) = match setting {
        "redis.url" => ("redis", "redis:6379", "6379"),
        "rabbitmq.management_url" => ("http", "rabbit:15672", "15672"),
        _ => ("amqp", "rabbit:5672", "5672"),
    };
    message.replace("{scheme}", scheme).replace("{host}", host).replace("{port}", port)
}

/// Checks what comes after the host of Redis: a database, if there is one, has a number.
fn check_database(path: &str) -> Result<(), &'static str> {
    let path = path.split(['?', '#']).next().unwrap_or_default().trim_matches('/');
    if path.is_empty() || path.parse::<u32>().is_ok() {
        return Ok(());
    }
    Err("has something after its host that is no number of a database, as in redis://<host>/0")
}

/// Checks a host, with a port or without.
fn check_server(server: &str) -> Result<(), &'static str> {
    // An IPv6 address has colons of its own, and stands in brackets.
    let (host, port) = match server.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        Some(_) | None => (server, None),
    };
    if host.is_empty() {
        return Err("has no host; write it as \"{scheme}://<user>:<password>@<host>:{port}\"");
    }
    let is_ip_6 = host.starts_with('[') && host.ends_with(']');
    if host.contains(':') && !is_ip_6 {
        return Err("has more than one colon in its host; write an IPv6 address in brackets");
    }
    let is_port = |port: &str| {
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|it| it > 0)
    };
    if port.is_some_and(|port| !is_port(port)) {
        return Err(
            "has a port that is not a number from 1 to 65535; if that is part of a login, write \
             @ and the host after it, and in the login %2C for a comma and %2F for /",
        );
    }
    Ok(())
}

/// Whether each % has two hexadecimal digits after it.
fn has_whole_escapes(text: &str) -> bool {
    let is_escape = |rest: &str| {
        let digits = rest.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    text.split('%').skip(1).all(is_escape)
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
        value::secret(from, Self::parse)
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
        self.check_urls("rabbitmq.url", &rabbitmq.url, &["amqp", "amqps"])?;
        self.check_urls("redis.url", &redis.url, &["redis", "rediss"])?;
        if !management.is_empty() {
            self.check_urls("rabbitmq.management_url", management, &["http"])?;
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
        schemes: &[&str],
    ) -> Result<(), SettingsError> {
        if !(1..=ADDRESSES_MAX).contains(&urls.len()) {
            let message = format!("must have 1 to {ADDRESSES_MAX} addresses, not {}", urls.len());
            return Err(self.fault(setting, message));
        }
        let wrong = urls.iter().find(|url| !schemes.contains(&url.scheme()));
        wrong.map_or(Ok(()), |url| {
            let schemes: Vec<String> = schemes.iter().map(|it| format!("{it}://")).collect();
            let (schemes, found) = (schemes.join(" or "), url.scheme());
            let message = format!("must begin with {schemes}, not {found}://");
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
    fn addresses_that_can_be_reached_are_taken_as_they_are() {
        for url in
            ["amqp://[::1]", "amqp://[::1]:5672/%2f", "amqp://u:p%40%2f@a.b-c:1/v?heartbeat=5"]
        {
            let settings = load(&format!("rabbitmq.url = '{url}'"), &[]).unwrap();
            assert_eq!(settings.rabbitmq.url[0].expose(), url);
        }
        for url in ["redis://a/", "rediss://:p@a:1/15", "redis://a/1?protocol=resp3"] {
            let settings = load(&format!("redis.url = '{url}'"), &[]).unwrap();
            assert_eq!(settings.redis.url[0].expose(), url);
        }
    }

    #[test]
    fn an_address_of_another_kind_is_refused_without_showing_it() {
        for (content, expected) in [
            ("rabbitmq.url = 'http://u:hush@a'", "rabbitmq.url: must begin with amqp:// or amqps"),
            ("rabbitmq.url = 'u:hush@a'", "rabbitmq.url: item 1 must be an address, as "),
            ("rabbitmq.url = 'u:hush://hush@a'", "rabbitmq.url: item 1 must be an address, as "),
            ("redis.url = 'hush'", "redis.url: item 1 must be an address, as \"redis://redis:6379"),
            (
                "rabbitmq.management_url = 'hush'",
                "rabbitmq.management_url: must be an address, as \"http://rabbit:15672\"",
            ),
            (
                "redis.url = 'redis://:hush@'",
                "redis.url: item 1 has no host; write it as \"redis://<user>:<password>@<host>:6379\"",
            ),
            ("redis.url = 'redis://a/hush'", "redis.url: item 1 has something after its host"),
            ("redis.url = 'rediss://a:1/-1'", "redis.url: item 1 has something after its host"),
            ("rabbitmq.url = 'amqp://u:hush@'", "rabbitmq.url: item 1 has no host"),
            ("redis.url = 'redis://:hush@:6379'", "redis.url: item 1 has no host"),
            ("rabbitmq.url = 'amqp://u:hush'", "rabbitmq.url: item 1 has a port that is not a"),
            ("redis.url = 'redis://:hu,sh@a'", "redis.url: item 1 has no host"),
            ("redis.url = 'redis://u:hush,1@a'", "redis.url: item 1 has a port that is not a num"),
            ("rabbitmq.url = 'amqp://u:hush/1@a'", "rabbitmq.url: item 1 has a / ? or # before"),
            ("redis.url = 'redis://:hush#1@a:6379'", "redis.url: item 1 has a / ? or # before it"),
            ("redis.url = ['redis://a', 'redis://:hush%1z@a']", "redis.url: item 2 has a % that"),
            ("redis.url = 'redis://hush::1'", "redis.url: item 1 has more than one colon"),
            ("rabbitmq.url = 'amqp://u:p@a:0'", "rabbitmq.url: item 1 has a port that is not a"),
            (
                "rabbitmq.management_url = 'http://u:hush?1@a:15672'",
                "rabbitmq.management_url: has a / ? or # before its last @",
            ),
            ("rabbitmq.url = []", "rabbitmq.url: must have 1 to 32 addresses, not 0"),
            ("redis.url = ['redis://a', 'amqp://:hush@b']", "redis.url: must begin with redis://"),
            (
                "rabbitmq.management_url = 'amqp://a'",
                "rabbitmq.management_url: must begin with http",
            ),
            (
                "rabbitmq.management_url = 'https://u:hush@a'",
                "rabbitmq.management_url: must begin with http://, not https://",
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
