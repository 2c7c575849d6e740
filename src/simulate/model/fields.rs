//! Reading JSON's fields without losing anything: numbers stay text, the last of equal keys wins.
//!
//! A body is only cut as deep as a rule looks; whatever else it holds has to be of JSON's grammar
//! and nothing more, so a huge number or a deep nest in a field that nobody reads is fine.

use std::collections::BTreeMap;
use std::fmt;

use rust_decimal::Decimal;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The code of a dead letter.
pub(super) type Code = &'static str;

/// An object cut into its fields.
pub(super) type Object<'a> = BTreeMap<String, &'a RawValue>;

const IDENTIFIER_BYTES_MAX: usize = 256;
/// 2010-01-01 in milliseconds.
const EARLIEST_MS: i64 = 1_262_304_000_000;
const DAY_MS: i64 = 86_400_000;
/// 1e9 units in millionths has sixteen digits.
const MILLIONTHS_DIGITS_MAX: i64 = 16;

/// A JSON value, cut one level deep.
pub(super) enum Json<'a> {
    Null,
    Bool,
    Number(&'a str),
    Text(String),
    List(Vec<&'a RawValue>),
    Object(Object<'a>),
    /// A text of JSON's grammar that is no Unicode (half a surrogate pair).
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

    /// The field of an object, unless it is absent or null.
    pub(super) fn field(object: &Object<'a>, name: &str) -> Option<Self> {
        match object.get(name).map(|raw| Self::cut(raw)) {
            None | Some(Self::Null) => None,
            found => found,
        }
    }

    /// The field of an object as an object.
    pub(super) fn object(object: &Object<'a>, name: &str) -> Option<Object<'a>> {
        if let Some(Self::Object(found)) = Self::field(object, name) { Some(found) } else { None }
    }

    /// The field of an object as a text; empty if it is none.
    pub(super) fn text(object: &Object<'a>, name: &str) -> String {
        if let Some(Self::Text(found)) = Self::field(object, name) { found } else { String::new() }
    }
}

/// The body as an object.
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

/// An object cut into its fields. One whose name is no Unicode is nobody's.
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

/// Whether a text may name something.
pub(super) fn is_identifier(text: &str) -> bool {
    !text.is_empty() && text.len() <= IDENTIFIER_BYTES_MAX && !text.chars().any(char::is_control)
}

/// A field that names something; absent, null and empty all mean that it is not there.
pub(super) fn identifier(object: &Object<'_>, name: &str) -> Result<Option<String>, Code> {
    match Json::field(object, name) {
        None => Ok(None),
        Some(Json::Text(text)) if text.is_empty() => Ok(None),
        Some(Json::Text(text)) if is_identifier(&text) => Ok(Some(text)),
        Some(_) => Err("decode.invalid_identifier"),
    }
}

/// A field of a notice that names something: a text or an integer.
pub(super) fn store_identifier(object: &Object<'_>, name: &str) -> Result<Option<String>, Code> {
    match Json::field(object, name) {
        Some(Json::Number(number)) if is_integer(number) && is_identifier(number) => {
            Ok(Some(number.to_owned()))
        }
        _ => identifier(object, name),
    }
}

fn is_integer(number: &str) -> bool {
    number.strip_prefix('-').unwrap_or(number).bytes().all(|byte| byte.is_ascii_digit())
}

/// `event_timestamp` in milliseconds.
pub(super) fn timestamp(object: &Object<'_>, received_at_ms: i64) -> Result<i64, Code> {
    let digits = match Json::field(object, "event_timestamp") {
        Some(Json::Number(number)) if is_integer(number) => number.to_owned(),
        Some(Json::Text(text)) if text.bytes().all(|byte| byte.is_ascii_digit()) => text,
        _ => return Err("decode.invalid_timestamp"),
    };
    let latest = received_at_ms.saturating_add(DAY_MS);
    match digits.parse::<i64>() {
        Ok(time) if (EARLIEST_MS..=latest).contains(&time) => Ok(time),
        _ => Err("decode.invalid_timestamp"),
    }
}

/// The field `quantity` of a line.
pub(super) fn quantity(line: &Object<'_>) -> Result<Decimal, Code> {
    let found = match Json::field(line, "quantity") {
        Some(Json::Number(number)) => quantity_of(number),
        Some(Json::Text(text)) => quantity_of(&text),
        _ => None,
    };
    found.ok_or("decode.invalid_quantity")
}

/// The quantity that a text is: a number by JSON's grammar without a minus sign, of at most six
/// significant decimals, at most 1e9.
pub fn quantity_of(text: &str) -> Option<Decimal> {
    // Only a digit may come first: that leaves out signs, blanks and everything that is no number.
    if !text.starts_with(|first: char| first.is_ascii_digit())
        || !text.ends_with(|last: char| last.is_ascii_digit())
        || serde_json::from_str::<&RawValue>(text).is_err()
    {
        return None;
    }
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{integer}{fraction}");
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Some(Decimal::ZERO);
    }
    // An exponent past 64 bits is as good as any that is far too large or far too small.
    let far = if exponent.starts_with('-') { i64::MIN / 2 } else { i64::MAX / 2 };
    let exponent = exponent.parse::<i64>().unwrap_or(far).clamp(i64::MIN / 2, i64::MAX / 2);
    let kept = digits.trim_end_matches('0');
    let dropped = length(digits) - length(kept);
    // The value is `kept` and so many zeros, in millionths.
    let zeros = exponent - length(fraction) + dropped + 6;
    if zeros < 0 || zeros.saturating_add(length(kept)) > MILLIONTHS_DIGITS_MAX {
        return None;
    }
    let zeros = "0".repeat(usize::try_from(zeros).ok()?);
    let millionths = format!("{kept}{zeros}").parse::<i64>().ok()?;
    let quantity = Decimal::new(millionths, 6);
    (quantity <= Decimal::from(1_000_000_000)).then_some(quantity)
}

fn length(text: &str) -> i64 {
    i64::try_from(text.len()).unwrap_or(i64::MAX / 4)
}
