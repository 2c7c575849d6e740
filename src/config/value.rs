//! The serde forms of settings that are not plain texts, numbers or choices.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

/// Replaces secrets.
pub(super) const REDACTED: &str = "<redacted>";
/// The seconds of a day.
const DAY: u64 = 24 * 60 * 60;

/// Parses a text, or a number as the text that a variable would have; the error says what is
/// `allowed` and what was found.
pub(super) fn text<'de, D: Deserializer<'de>, T>(
    from: D,
    allowed: &'static str,
    parse: fn(&str) -> Option<T>,
) -> Result<T, D::Error> {
    from.deserialize_any(Text { allowed, parse })
}

struct Text<T> {
    allowed: &'static str,
    parse: fn(&str) -> Option<T>,
}

impl<T> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.allowed)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        let wrong = || E::invalid_value(Unexpected::Signed(number), &self);
        (self.parse)(&number.to_string()).ok_or_else(wrong)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

/// Parses a text that may hold a secret: errors do not show it.
pub(super) fn secret<'de, D: Deserializer<'de>, T>(
    from: D,
    parse: fn(&str) -> Result<T, &'static str>,
) -> Result<T, D::Error> {
    parse(&String::deserialize(from)?).map_err(Error::custom)
}

/// Parses an address to listen on.
pub(super) fn listen<'de, D: Deserializer<'de>>(from: D) -> Result<SocketAddr, D::Error> {
    text(from, "an IP address and a port, as \"127.0.0.1:8080\"", |text| text.parse().ok())
}

/// A duration in the largest unit that leaves no fraction: `15m`, `24h`, `90d`.
pub(super) fn duration_text(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if duration.subsec_nanos() != 0 {
        return humantime::format_duration(duration).to_string();
    }
    // A single day is written as 24h, as people do for ages.
    let (unit, length) = match seconds {
        0 => ("s", 1),
        _ if seconds > DAY && seconds.is_multiple_of(DAY) => ("d", DAY),
        _ if seconds.is_multiple_of(60 * 60) => ("h", 60 * 60),
        _ if seconds.is_multiple_of(60) => ("m", 60),
        _ => ("s", 1),
    };
    format!("{}{unit}", seconds / length)
}

/// A duration.
pub(super) mod duration {
    use serde::{Deserializer, Serializer};

    use super::{Duration, duration_text, text};

    pub(crate) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&duration_text(*value))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let allowed = "a duration, as \"500ms\", \"5s\", \"2m\" or \"24h\"";
        text(from, allowed, |text| humantime::parse_duration(text).ok())
    }
}

/// A list of durations.
pub(super) mod durations {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Duration, duration};

    #[derive(Serialize, Deserialize)]
    #[serde(transparent)]
    struct Item(#[serde(with = "duration")] Duration);

    pub(crate) fn serialize<S: Serializer>(list: &[Duration], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(list.iter().copied().map(Item))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<Duration>, D::Error> {
        Ok(Vec::deserialize(from)?.into_iter().map(|Item(item)| item).collect())
    }
}

/// How long something is kept; `None` is "never": it is not removed.
pub(super) mod retention {
    use serde::{Deserializer, Serializer};

    use super::{Duration, duration_text, text};

    #[expect(clippy::ref_option, reason = "serde passes the field")]
    pub(crate) fn serialize<S: Serializer>(
        value: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_str(&value.map_or_else(|| "never".to_owned(), duration_text))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        text(from, "\"never\" or a duration, as \"365d\"", |text| match text {
            "never" => Some(None),
            text => humantime::parse_duration(text).ok().map(Some),
        })
    }
}

/// A list of signature secrets, in base64.
pub(super) mod secrets {
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    use secrecy::SecretBox;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::{REDACTED, secret};

    #[derive(Deserialize)]
    #[serde(transparent)]
    struct Item(#[serde(deserialize_with = "decoded")] SecretBox<[u8]>);

    fn decoded<'de, D: Deserializer<'de>>(from: D) -> Result<SecretBox<[u8]>, D::Error> {
        secret(from, |text| match BASE64_STANDARD.decode(text) {
            Ok(secret) if secret.is_empty() => Err("is empty; leave the setting out to have none"),
            Ok(secret) => Ok(SecretBox::new(secret.into_boxed_slice())),
            Err(_) => Err("is not base64; copy the secret as Duda shows it, with the = at its end"),
        })
    }

    pub(crate) fn serialize<S: Serializer>(
        list: &[SecretBox<[u8]>],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(list.iter().map(|_| REDACTED))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<SecretBox<[u8]>>, D::Error> {
        Ok(Vec::deserialize(from)?.into_iter().map(|Item(item)| item).collect())
    }
}

/// A secret that may be left out.
pub(super) mod token {
    use secrecy::SecretString;
    use serde::{Deserializer, Serialize, Serializer};

    use super::{REDACTED, secret};

    #[expect(clippy::ref_option, reason = "serde passes the field")]
    pub(crate) fn serialize<S: Serializer>(
        token: &Option<SecretString>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        token.as_ref().map(|_| REDACTED).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<SecretString>, D::Error> {
        secret(from, |text| match text {
            "" => Err("is empty; leave the setting out to have none"),
            text => Ok(Some(text.into())),
        })
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::super::Settings;
    use super::super::tests::{error, load};
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
            ("path_token = \"hush hush\"", "ingress.path_token: must be 16 to 256 letters"),
            ("path_token = \"\"", "ingress.path_token: is empty"),
            ("path_token = 4711", "ingress.path_token: must be a text in quotes"),
            ("[console]\ntokens = \"hush\"", "console.tokens: item 1 must be \"read:<token>\" or "),
            ("[console]\ntokens = \"hush:read\"", "console.tokens: item 1 must be "),
            ("[console]\ntokens = \"\"", "console.tokens: item 1 must be "),
            ("[console]\ntokens = [4711]", "console.tokens: item 1 must be "),
            ("[console]\ntokens = \"read:\"", "console.tokens: item 1 must have 16 to 256"),
            (
                "[console]\ntokens = [\"read:a-token-of-16-ch\", \"read:hush hush hush hush\"]",
                "console.tokens: item 2 must have",
            ),
            (
                "[console]\ntokens = [\"read:hush-hush-hush-h\", \"operate:hush-hush-hush-h\"]",
                "console.tokens: item 2 is ",
            ),
        ] {
            let text = error(&format!("[ingress]\n{content}"), &[]);
            assert!(text.starts_with(expected), "{text}");
            assert!(!text.contains("hush") && !text.contains("4711"), "{text}");
        }
    }

    #[test]
    fn a_value_of_the_wrong_type_is_refused_and_not_converted() {
        for (content, expected) in [
            (
                "worker.prefetch = true",
                "worker.prefetch: must be a whole number, not boolean `true`",
            ),
            (
                "worker.prefetch = 2.5",
                "worker.prefetch: must be a whole number, not floating point `2.5`",
            ),
            ("worker.prefetch = -1", "worker.prefetch: must be a whole number, not integer `-1`"),
            ("worker = 1", "worker: is a section; set the settings in it"),
            ("worker.drain_timeout = 20", "worker.drain_timeout: must be a duration, as "),
            ("retry.ladder = [\"5s\", \"soon\"]", "retry.ladder: item 2 must be a duration, as "),
            (
                "ingress.allow_unsigned = 1",
                "ingress.allow_unsigned: must be true or false, not integer `1`",
            ),
            ("ingress.listen = \"localhost\"", "ingress.listen: must be an IP address and a port"),
            (
                "ingress.expired = \"keep\"",
                "ingress.expired: must be one of `reject`, `park`, not ",
            ),
            ("ingress.listen = {}", "ingress.listen: must be an IP address and a port"),
            ("embedded.path = \"\"", "embedded.path: must be a path in quotes, not \"\""),
            (
                "log.format = \"xml\"",
                "log.format: must be one of `pretty`, `json`, not string \"xml\"",
            ),
            (
                "stock.key_precedence = [\"ean\"]",
                "stock.key_precedence: item 1 must be one of `variation`, ",
            ),
        ] {
            let text = error(content, &[]);
            assert!(text.starts_with(expected), "{text}");
        }
    }

    #[test]
    fn durations_are_written_in_the_largest_unit_that_fits() {
        let text = |seconds| duration_text(Duration::from_secs(seconds));
        let written = [0, 5, 90, 120, 900, 3600, 86_400, 90 * 86_400].map(text);
        assert_eq!(written, ["0s", "5s", "90s", "2m", "15m", "1h", "24h", "90d"]);
        assert_eq!(duration_text(Duration::from_millis(1500)), "1s 500ms");
    }
}
