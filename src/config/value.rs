//! The types that settings have: what each allows, and how it is written.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use config::ValueKind;
use secrecy::{SecretBox, SecretString};
use serde::de::value::{Error as NameError, StrDeserializer};
use serde::de::{DeserializeOwned, IntoDeserializer};

use super::{Backend, BackendUrl, ByteSize, ConsoleToken, Expired, LogFormat, RedisMode, Role};
use crate::domain::{Cancelled, Deleted, Restock, Site, StockKeyKind, TestMode};

/// How much of a wrong value an error shows, in characters.
const SHOWN_MAX: usize = 60;

/// A type that a setting can have.
pub(super) trait Setting: Sized {
    /// Makes sense of a value; the error says what is allowed, and never holds a secret.
    fn read(value: &ValueKind) -> Result<Self, String>;
}

fn must_be(allowed: &str, value: &ValueKind) -> String {
    let found = match value {
        ValueKind::String(text) if text.chars().count() <= SHOWN_MAX => format!("{text:?}"),
        ValueKind::String(text) => {
            format!("{:?}...", text.chars().take(SHOWN_MAX).collect::<String>())
        }
        ValueKind::Table(_) => "a section".into(),
        ValueKind::Array(_) => "a list".into(),
        ValueKind::Nil => "nothing".into(),
        ValueKind::Boolean(_)
        | ValueKind::I64(_)
        | ValueKind::I128(_)
        | ValueKind::U64(_)
        | ValueKind::U128(_)
        | ValueKind::Float(_) => value.to_string(),
    };
    format!("must be {allowed}, not {found}")
}

fn text(value: &ValueKind) -> Option<&str> {
    if let ValueKind::String(text) = value { Some(text) } else { None }
}

impl Setting for String {
    fn read(value: &ValueKind) -> Result<Self, String> {
        text(value).map(ToOwned::to_owned).ok_or_else(|| must_be("a text in quotes", value))
    }
}

impl Setting for PathBuf {
    fn read(value: &ValueKind) -> Result<Self, String> {
        let path = text(value).filter(|text| !text.is_empty());
        path.map(Self::from).ok_or_else(|| must_be("a path in quotes", value))
    }
}

impl Setting for SocketAddr {
    fn read(value: &ValueKind) -> Result<Self, String> {
        text(value)
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| must_be("an IP address and a port, as \"127.0.0.1:8080\"", value))
    }
}

impl Setting for bool {
    fn read(value: &ValueKind) -> Result<Self, String> {
        if let ValueKind::Boolean(value) = value {
            return Ok(*value);
        }
        text(value)
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| must_be("true or false", value))
    }
}

impl Setting for usize {
    fn read(value: &ValueKind) -> Result<Self, String> {
        let number = if let ValueKind::I64(number) = value {
            Self::try_from(*number).ok()
        } else {
            text(value).and_then(|text| text.parse().ok())
        };
        number.ok_or_else(|| must_be("a whole number", value))
    }
}

impl Setting for Duration {
    fn read(value: &ValueKind) -> Result<Self, String> {
        text(value)
            .and_then(|text| humantime::parse_duration(text).ok())
            .ok_or_else(|| must_be("a duration, as \"500ms\", \"5s\", \"2m\" or \"24h\"", value))
    }
}

impl Setting for ByteSize {
    fn read(value: &ValueKind) -> Result<Self, String> {
        let size = if let ValueKind::I64(bytes) = value {
            u64::try_from(*bytes).ok().map(Self)
        } else {
            text(value).and_then(Self::parse)
        };
        size.ok_or_else(|| must_be("a number of bytes, as \"512MiB\" or \"2GiB\"", value))
    }
}

/// How long something is kept; `None` for "never", that it is let go.
impl Setting for Option<Duration> {
    fn read(value: &ValueKind) -> Result<Self, String> {
        if text(value) == Some("never") {
            return Ok(None);
        }
        let duration = Duration::read(value);
        duration.map(Some).map_err(|_| must_be("\"never\" or a duration, as \"365d\"", value))
    }
}

/// A list, or a text of parts between commas or line ends: variables and secret files hold texts.
impl<T: Setting> Setting for Vec<T> {
    fn read(value: &ValueKind) -> Result<Self, String> {
        let parts: Vec<ValueKind> = if let ValueKind::Array(parts) = value {
            parts.iter().map(|part| part.kind.clone()).collect()
        } else {
            let text = text(value).ok_or("must be a list, as [\"a\", \"b\"]")?;
            text.split([',', '\n']).map(|part| part.trim().into()).collect()
        };
        let read = |(place, part)| {
            T::read(part).map_err(|message| format!("item {} {message}", place + 1))
        };
        parts.iter().enumerate().map(read).collect()
    }
}

impl Setting for SecretBox<[u8]> {
    fn read(value: &ValueKind) -> Result<Self, String> {
        let text = text(value).ok_or("must be a text in quotes")?;
        let secret = BASE64_STANDARD.decode(text).map_err(
            |_| "is not base64; copy the secret as Duda shows it, with the = at its end",
        )?;
        if secret.is_empty() {
            return Err("is empty; leave the setting out to have none".into());
        }
        Ok(Self::new(secret.into_boxed_slice()))
    }
}

/// The token in the ingress's path.
impl Setting for SecretString {
    fn read(value: &ValueKind) -> Result<Self, String> {
        let text = text(value).ok_or("must be a text in quotes")?;
        if text.is_empty() {
            return Err("is empty; leave the setting out to have none".into());
        }
        Ok(Self::from(text))
    }
}

impl Setting for BackendUrl {
    fn read(value: &ValueKind) -> Result<Self, String> {
        let text = text(value).ok_or("must be an address in quotes")?;
        Self::parse(text).ok_or_else(|| "must be an address, as \"amqp://rabbit:5672\"".into())
    }
}

/// A role and a token of the console.
impl Setting for ConsoleToken {
    fn read(value: &ValueKind) -> Result<Self, String> {
        let form = "must be \"read:<token>\" or \"operate:<token>\"";
        let (role, token) = text(value).and_then(|text| text.split_once(':')).ok_or(form)?;
        let mut roles = [Role::Read, Role::Operate].into_iter();
        let role = roles.find(|known| known.as_str() == role).ok_or(form)?;
        Ok(Self { role, token: SecretString::from(token) })
    }
}

impl Setting for Site {
    fn read(value: &ValueKind) -> Result<Self, String> {
        let text = text(value).ok_or_else(|| must_be("a text in quotes", value))?;
        Self::parse(text).map_err(|error| error.to_string())
    }
}

/// Reads choices by the names that their types give to serde. They are listed in serde's error
/// for a name that nothing has: the empty one.
fn choice<T: DeserializeOwned>(value: &ValueKind) -> Result<T, String> {
    let read = |name| {
        let name: StrDeserializer<'_, NameError> = IntoDeserializer::into_deserializer(name);
        T::deserialize(name)
    };
    if let Some(Ok(choice)) = text(value).map(read) {
        return Ok(choice);
    }
    let refusal = read("").err().map(|error| error.to_string()).unwrap_or_default();
    let names = refusal.split_once("expected ").map_or("a known name", |(_, names)| names);
    Err(must_be(names, value))
}

macro_rules! choices {
    ($($choice:ty),*) => {
        $(impl Setting for $choice {
            fn read(value: &ValueKind) -> Result<Self, String> {
                choice(value)
            }
        })*
    };
}

choices!(
    Backend,
    RedisMode,
    StockKeyKind,
    TestMode,
    Cancelled,
    Deleted,
    Restock,
    LogFormat,
    Expired
);

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::super::Settings;
    use super::super::layers::tests::{error, load};
    use super::*;

    #[test]
    fn lists_are_lists_or_texts_with_commas_or_lines() {
        let seconds = |settings: Settings| -> Vec<u64> {
            settings.retry.ladder.iter().map(Duration::as_secs).collect()
        };
        let list = load("[retry]\nladder = [\"1s\", \"2m\"]", &[]).unwrap();
        assert_eq!(seconds(list), [1, 120]);
        for text in ["1s,2m", " 1s , 2m ", "1s\n2m"] {
            let list = load("", &[("STOREKEEPER__RETRY__LADDER", text)]).unwrap();
            assert_eq!(seconds(list), [1, 120], "{text:?}");
        }
    }

    #[test]
    fn secrets_are_decoded() {
        let list = [("STOREKEEPER__INGRESS__SECRETS", "bXlzZWNyZXRzZWNyZXQ=,b3RoZXI=")];
        let secrets = load("", &list).unwrap().ingress.secrets;
        let decoded: Vec<&[u8]> = secrets.iter().map(ExposeSecret::expose_secret).collect();
        assert_eq!(decoded, [b"mysecretsecret".as_slice(), b"other"]);
    }

    #[test]
    fn a_wrong_secret_is_an_error_that_does_not_show_it() {
        for (content, expected) in [
            ("secrets = [\"b3RoZXI=\", \"hush-hush\"]", "ingress.secrets: item 2 is not base64"),
            ("secrets = \"hushhushh\"", "ingress.secrets: item 1 is not base64"),
            ("secrets = \"\"", "ingress.secrets: item 1 is empty"),
            ("secrets = [4711]", "ingress.secrets: item 1 must be a text in quotes"),
            ("secrets = 4711", "ingress.secrets: must be a list"),
            ("path_token = \"hush hush\"", "ingress.path_token: must be 1 to 256 letters"),
            ("path_token = \"\"", "ingress.path_token: is empty"),
            ("path_token = 4711", "ingress.path_token: must be a text in quotes"),
            ("[console]\ntokens = \"hush\"", "console.tokens: item 1 must be \"read:<token>\" or "),
            ("[console]\ntokens = \"hush:read\"", "console.tokens: item 1 must be "),
            ("[console]\ntokens = \"\"", "console.tokens: item 1 must be "),
            ("[console]\ntokens = [4711]", "console.tokens: item 1 must be "),
            ("[console]\ntokens = \"read:\"", "console.tokens: item 1 must have 1 to 256 "),
            (
                "[console]\ntokens = [\"read:a\", \"read:hush hush\"]",
                "console.tokens: item 2 must have",
            ),
            ("[console]\ntokens = [\"read:hush\", \"operate:hush\"]", "console.tokens: item 2 is "),
        ] {
            let text = error(&format!("[ingress]\n{content}"), &[]);
            assert!(text.starts_with(expected), "{text}");
            assert!(!text.contains("hush") && !text.contains("4711"), "{text}");
        }
    }

    #[test]
    fn a_value_of_the_wrong_type_is_refused_and_not_converted() {
        for (content, expected) in [
            ("worker.prefetch = true", "worker.prefetch: must be a whole number, not true"),
            ("worker.prefetch = 2.5", "worker.prefetch: must be a whole number, not 2.5"),
            ("worker.prefetch = -1", "worker.prefetch: must be a whole number, not -1"),
            ("worker = 1", "worker: is a section; set its settings, as `worker.<name>`"),
            ("worker.drain_timeout = 20", "worker.drain_timeout: must be a duration, as "),
            ("retry.ladder = [\"5s\", \"soon\"]", "retry.ladder: item 2 must be a duration, as "),
            ("ingress.allow_unsigned = 1", "ingress.allow_unsigned: must be true or false, not 1"),
            ("ingress.listen = \"localhost\"", "ingress.listen: must be an IP address and a port"),
            ("ingress.expired = \"keep\"", "ingress.expired: must be `reject` or `park`, not "),
            ("ingress.listen = {}", "ingress.listen: must be an IP address and a port"),
            ("embedded.path = \"\"", "embedded.path: must be a path in quotes, not \"\""),
            ("log.format = \"xml\"", "log.format: must be `pretty` or `json`, not \"xml\""),
            (
                "stock.key_precedence = [\"ean\"]",
                "stock.key_precedence: item 1 must be one of `variation`, ",
            ),
        ] {
            let text = error(content, &[]);
            assert!(text.starts_with(expected), "{text}");
        }
    }
}
