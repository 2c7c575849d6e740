//! Reads JSON fields without loss: numbers stay text, and the last of equal keys wins.
//!
//! A body is cut only as deep as a rule reads it. The rest only has to match JSON's grammar, so a
//! huge number or deep nesting in an unread field is accepted.

use std::collections::BTreeMap;
use std::fmt;

use rust_decimal::Decimal;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::quantity::quantity_of;

/// The code of a dead letter.
pub(super) type Code = &'static str;

/// An object cut into its fields.
pub(super) type Object<'a> = BTreeMap<String, &'a RawValue>;

const IDENTIFIER_BYTES_MAX: usize = 256;
/// 2010-01-01 in milliseconds.
const EARLIEST_MS: i64 = 1_262_304_000_000;
/// 2100-01-01 in milliseconds.
const LATEST_MS: i64 = 4_102_444_800_000;

/// A JSON value, cut one level deep.
pub(super) enum Json<'a> {
    Null,
    Bool,
    Number(&'a str),
    Text(String),
    List(Vec<&'a RawValue>),
    Object(Object<'a>),
    /// A text that matches JSON's grammar but is not Unicode (half a surrogate pair).
    BrokenText,
}

impl<'a> Json<'a> {
    pub(super) fn cut(raw: &'a RawValue) -> Self {
        let text = raw.get();
        let cut = match text.bytes().next() {
            Some(b'n') => Some(Self::Null),
            Some(b't' | b'f') => Some(Self::Bool),
            Some(b'"') => serde_json::from_str(text).ok().map(Self::Text),
            Some(b'[') => serde_json::from_str(text).ok().map(Self::List),
            Some(b'{') => object(text).map(Self::Object),
            _ => Some(Self::Number(text)),
        };
        cut.unwrap_or(Self::BrokenText)
    }

    /// Returns the field of an object, unless it is absent or null.
    pub(super) fn field(object: &Object<'a>, name: &str) -> Option<Self> {
        match object.get(name).map(|raw| Self::cut(raw)) {
            None | Some(Self::Null) => None,
            found => found,
        }
    }

    /// Returns the field of an object as an object.
    pub(super) fn object(object: &Object<'a>, name: &str) -> Option<Object<'a>> {
        if let Some(Self::Object(found)) = Self::field(object, name) { Some(found) } else { None }
    }

    /// Returns the field of an object as a text, or an empty text if it is not a text.
    pub(super) fn text(object: &Object<'a>, name: &str) -> String {
        if let Some(Self::Text(found)) = Self::field(object, name) { found } else { String::new() }
    }

    /// Returns the field of an object as a text without the white space around it, or an empty text
    /// if it is not a text.
    pub(super) fn trimmed(object: &Object<'a>, name: &str) -> String {
        Self::text(object, name).trim().to_owned()
    }
}

/// Returns the body as an object.
pub(super) fn body(bytes: &[u8]) -> Result<Object<'_>, Code> {
    let text = str::from_utf8(bytes).map_err(|_| "decode.not_json")?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let raw: &RawValue = serde_json::from_str(text).map_err(|_| "decode.not_json")?;
    match Json::cut(raw) {
        Json::Object(object) => Ok(object),
        Json::Null
        | Json::Bool
        | Json::Number(_)
        | Json::Text(_)
        | Json::BrokenText
        | Json::List(_) => Err("decode.not_an_object"),
    }
}

/// Cuts an object into its fields. A field is skipped if its name is not Unicode.
fn object(text: &str) -> Option<Object<'_>> {
    struct Fields;
    impl<'a> Visitor<'a> for Fields {
        type Value = Object<'a>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<Object<'a>, M::Error> {
            let mut object = Object::new();
            while let Some((name, value)) = map.next_entry::<&RawValue, &RawValue>()? {
                if let Ok(name) = serde_json::from_str(name.get()) {
                    object.insert(name, value);
                }
            }
            Ok(object)
        }
    }
    serde_json::Deserializer::from_str(text).deserialize_map(Fields).ok()
}

/// Returns whether a text may be an identifier.
pub(super) fn is_identifier(text: &str) -> bool {
    !text.is_empty() && text.len() <= IDENTIFIER_BYTES_MAX && !text.chars().any(char::is_control)
}

/// The content of a field that names something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name {
    /// It is absent, null, or only white space.
    Absent,
    /// It is present but cannot be read as a name. Every rule treats it as absent; some reject the
    /// body.
    Unreadable,
    /// A name, without white space around it.
    Read(String),
}

impl Name {
    /// Reads a name from a text.
    pub(super) fn of(text: &str) -> Self {
        match text.trim() {
            "" => Self::Absent,
            name if is_identifier(name) => Self::Read(name.to_owned()),
            _ => Self::Unreadable,
        }
    }

    pub(super) fn read(self) -> Option<String> {
        if let Self::Read(name) = self { Some(name) } else { None }
    }

    /// Returns the name if the event cannot do without it, or the code for an event that has none.
    pub(super) fn required(self, absent: Code) -> Result<String, Code> {
        match self {
            Self::Read(name) => Ok(name),
            Self::Absent => Err(absent),
            Self::Unreadable => Err("decode.invalid_identifier"),
        }
    }
}

/// Reads a field that names something: a text, or a whole number above zero as JSON's grammar
/// writes it.
pub(super) fn name(object: &Object<'_>, field: &str) -> Name {
    match Json::field(object, field) {
        None => Name::Absent,
        Some(Json::Text(text)) => Name::of(&text),
        Some(Json::Number(number)) if is_counting_number(number) => Name::of(number),
        Some(_) => Name::Unreadable,
    }
}

/// Returns whether a number is written `[1-9][0-9]*`.
pub(super) fn is_counting_number(number: &str) -> bool {
    !number.starts_with('0') && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns `event_timestamp` in milliseconds, however far it is ahead of the clock.
pub(super) fn timestamp(object: &Object<'_>) -> Result<i64, Code> {
    let digits = match Json::field(object, "event_timestamp") {
        Some(Json::Number(number)) => number.to_owned(),
        Some(Json::Text(text)) => text,
        _ => return Err("decode.invalid_timestamp"),
    };
    let is_complete = digits.bytes().all(|byte| byte.is_ascii_digit());
    match digits.parse::<i64>() {
        Ok(time) if is_complete && (EARLIEST_MS..=LATEST_MS).contains(&time) => Ok(time),
        _ => Err("decode.invalid_timestamp"),
    }
}

/// Returns the creation time that a refund states, in microseconds, or `None` if it is not a time
/// or outside the accepted years.
pub(super) fn created_us(refund: &Object<'_>) -> Option<i64> {
    let time = OffsetDateTime::parse(&Json::text(refund, "created"), &Rfc3339).ok()?;
    let time = i64::try_from(time.unix_timestamp_nanos().div_euclid(1000)).ok()?;
    (EARLIEST_MS * 1000..=LATEST_MS * 1000).contains(&time).then_some(time)
}

/// Returns the field `quantity` of a line, or `None` if it is absent.
pub(super) fn quantity(line: &Object<'_>) -> Result<Option<Decimal>, Code> {
    let found = match Json::field(line, "quantity") {
        None => return Ok(None),
        Some(Json::Number(number)) => quantity_of(number),
        Some(Json::Text(text)) => quantity_of(&text),
        Some(_) => None,
    };
    found.map(Some).ok_or("decode.invalid_quantity")
}
