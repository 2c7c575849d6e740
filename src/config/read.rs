//! Deserializes the merged tree.
//!
//! The deserializer of config-rs reads `true` as 1 and 2.5 as 3, and quotes values in errors, even
//! secrets. This one converts only texts, because the environment has nothing else: to numbers,
//! booleans and lists. It refuses unknown fields of every struct, so that no section can forget to.
//! [`serde_path_to_error`] tracks where in the tree an error is.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use config::{Value, ValueKind};
use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{Deserializer, Error, Expected, IntoDeserializer, Unexpected, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};
use serde_path_to_error::{Segment, deserialize};

use super::{Settings, SettingsError, backend_url};

/// How much of a wrong value an error shows, in characters.
const SHOWN_MAX: usize = 60;

type Result<T> = std::result::Result<T, SettingsError>;

impl Settings {
    /// Deserializes the tree; an error names the setting and the origin of its value.
    pub(super) fn read(tree: Value, origins: BTreeMap<String, String>) -> Result<Self> {
        let error = match deserialize(Node(tree)) {
            Ok(settings) => return Ok(Self { origins, ..settings }),
            Err(error) => error,
        };
        let (mut subject, mut item) = (String::new(), None);
        for segment in error.path() {
            if let Segment::Seq { index } = segment {
                item = Some(index + 1);
            } else if let Segment::Map { key } = segment {
                subject = join(&in_list(&subject, item.take()), key);
            }
        }
        let SettingsError { subject: inside, mut message, .. } = error.into_inner();
        if !inside.is_empty() {
            subject = join(&in_list(&subject, item), &inside);
        }
        message = backend_url::with_form_of(&subject, &message);
        if let Some(item) = item.filter(|_| inside.is_empty()) {
            message = format!("item {item} {message}");
        }
        let mut known = origins.into_iter();
        let origin = known.find(|(name, _)| has(name, &subject) || has(&subject, name));
        Err(SettingsError { subject, message, origin: origin.map(|(_, origin)| origin) })
    }
}

/// The path of a setting in that section; the whole tree has no name.
pub(super) fn join(section: &str, name: &str) -> String {
    if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") }
}

fn in_list(path: &str, item: Option<usize>) -> String {
    item.map_or_else(|| path.to_owned(), |item| format!("{path}[{item}]"))
}

/// Whether the path is this setting or section, or is inside it.
fn has(section: &str, path: &str) -> bool {
    let rest = path.strip_prefix(section);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// The items of a list that is a text.
pub(super) fn items_of(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', '\n']).map(str::trim)
}

/// A value of the tree.
struct Node(Value);

impl Node {
    fn parse<T: FromStr>(&self) -> Option<T> {
        if let ValueKind::String(text) = &self.0.kind { text.parse().ok() } else { None }
    }
}

impl IntoDeserializer<'_, SettingsError> for Node {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Node {
    type Error = SettingsError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.0.kind {
            ValueKind::Boolean(value) => visitor.visit_bool(value),
            ValueKind::I64(number) => visitor.visit_i64(number),
            ValueKind::Float(number) => visitor.visit_f64(number),
            ValueKind::String(text) => visitor.visit_string(text),
            ValueKind::Array(_) => Err(Error::invalid_type(Unexpected::Other("a list"), &visitor)),
            // Neither TOML nor the environment produces the last four.
            ValueKind::Table(_)
            | ValueKind::Nil
            | ValueKind::I128(_)
            | ValueKind::U64(_)
            | ValueKind::U128(_) => {
                Err(Error::invalid_type(Unexpected::Other("a section"), &visitor))
            }
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.parse() {
            Some(value) => visitor.visit_bool(value),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.parse() {
            Some(number) => visitor.visit_u64(number),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_some(self)
    }

    /// A list, or a text of items separated by commas or line ends, as in variables and files.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let items = if let ValueKind::Array(items) = self.0.kind {
            items
        } else {
            let text: Option<String> = self.parse();
            let text = text.ok_or_else(|| Error::custom("must be a list, as [\"a\", \"b\"]"))?;
            items_of(&text).map(Value::from).collect()
        };
        visitor.visit_seq(SeqDeserializer::new(items.into_iter().map(Node)))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        let ValueKind::Table(values) = self.0.kind else {
            return Err(Error::custom("is a section; set the settings in it"));
        };
        // Sorted, so that of several mistakes always the same one is reported.
        let values: BTreeMap<String, Value> = values.into_iter().collect();
        if let Some(name) = values.keys().find(|name| !fields.contains(&name.as_str())) {
            return Err(Error::unknown_field(name, fields));
        }
        let nodes = values.into_iter().map(|(name, value)| (name, Self(value)));
        visitor.visit_map(MapDeserializer::new(nodes))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _choices: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        visitor.visit_enum(String::deserialize(self)?.into_deserializer())
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct newtype_struct tuple tuple_struct map identifier ignored_any
    }
}

/// The errors of serde in our words. The subject is a name in the section, or empty.
impl Error for SettingsError {
    fn custom<T: Display>(message: T) -> Self {
        Self::new("", message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let expected = expected.to_string();
        let found: String = found.to_string().chars().take(SHOWN_MAX).collect();
        match expected.as_str() {
            // The value may be a secret.
            "a string" => Self::custom("must be a text in quotes"),
            "path string" => Self::custom("must be a path in quotes"),
            "a boolean" => Self::custom(format!("must be true or false, not {found}")),
            "usize" => Self::custom(format!("must be a whole number, not {found}")),
            _ => Self::custom(format!("must be {expected}, not {found}")),
        }
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_variant(found: &str, choices: &'static [&'static str]) -> Self {
        let expected = format!("one of `{}`", choices.join("`, `"));
        Self::invalid_value(Unexpected::Str(found), &expected.as_str())
    }

    fn unknown_field(name: &str, known: &'static [&'static str]) -> Self {
        Self::new(name, format!("there is no such setting; known settings: {}", known.join(", ")))
    }

    fn missing_field(name: &'static str) -> Self {
        Self::new(name, "is missing")
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use super::super::tests::{error, load};
    use super::super::{Backend, LogFormat, RedisMode, Settings};
    use crate::domain::{Cancelled, StockKeyKind};

    #[test]
    fn every_type_of_setting_is_read_from_the_environment() {
        let settings = load(
            "",
            &[
                ("STOREKEEPER__BACKEND", "embedded"),
                ("STOREKEEPER__EMBEDDED__PATH", "/var/lib/storekeeper"),
                ("STOREKEEPER__INGRESS__LISTEN", "[::1]:0"),
                ("STOREKEEPER__INGRESS__ALLOW_UNSIGNED", "true"),
                ("STOREKEEPER__INGRESS__BODY_BYTES_MAX", "2048"),
                ("STOREKEEPER__WORKER__DRAIN_TIMEOUT", "1500ms"),
                ("STOREKEEPER__STOCK__KEY_PRECEDENCE", "sku,external-product"),
                ("STOREKEEPER__ORDERS__CANCELLED", "release-unless-shipped"),
                ("STOREKEEPER__LOG__FORMAT", "json"),
            ],
        )
        .unwrap();
        assert_eq!(settings.embedded.path, PathBuf::from("/var/lib/storekeeper"));
        assert_eq!(settings.ingress.listen, "[::1]:0".parse().unwrap());
        assert!(settings.ingress.allow_unsigned);
        assert_eq!(settings.ingress.body_bytes_max, 2048);
        assert_eq!(settings.worker.drain_timeout, Duration::from_millis(1500));
        let policy = settings.policy();
        let precedence = vec![StockKeyKind::Sku, StockKeyKind::ExternalProduct];
        assert_eq!(policy.key_precedence, Some(precedence));
        assert_eq!(policy.cancelled, Some(Cancelled::ReleaseUnlessShipped));
        assert_eq!(policy.deleted, None);
        assert_eq!(settings.log.format, LogFormat::Json);
    }

    #[test]
    fn what_is_not_known_is_refused_by_name_and_source() {
        let text = error("[ingress]\nlistn = 1", &[]);
        assert!(
            text.starts_with("ingress.listn: there is no such setting; known settings: listen, ")
        );
        assert!(text.ends_with("settings.toml)"), "{text}");
        assert!(error("ingres.listen = 1", &[]).starts_with("ingres: there is no such setting"));
        let text = error("", &[("STOREKEEPER__WORKER__THREADS", "4")]);
        assert!(
            text.starts_with(
                "worker.threads: there is no such setting; known settings: prefetch, "
            )
        );
        assert!(text.ends_with("(from STOREKEEPER__WORKER__THREADS)"), "{text}");
        let text = error("", &[("STOREKEEPER__KAFKA__URL", "kafka://localhost")]);
        assert!(text.starts_with("kafka: there is no such setting"), "{text}");
        assert!(text.ends_with("(from STOREKEEPER__KAFKA__URL)"), "{text}");
    }

    #[test]
    fn the_example_of_the_distributed_backend_loads() {
        let example = concat!(env!("CARGO_MANIFEST_DIR"), "/config/distributed.toml");
        let settings = Settings::load_from(Some(example.as_ref()), []).unwrap();
        assert_eq!(settings.backend, Backend::Distributed);
        assert_eq!(settings.redis.mode, RedisMode::Single);
    }
}
