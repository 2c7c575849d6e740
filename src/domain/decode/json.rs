//! Reads JSON lazily: only the fields that a rule reads are parsed, the rest is skipped.
//!
//! Values are borrowed slices of the body, so a body needs little more memory than its own size,
//! and a number is never converted to a float. Nesting depth costs nothing, because skipping does
//! not recurse. If a key occurs twice in an object, the last value counts.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A value of the body, not parsed yet.
pub(super) type Value<'a> = &'a RawValue;

/// Reads an object and returns the named fields, in the given order.
///
/// Checks that the text is JSON to its end.
pub(super) fn fields<'a, const N: usize>(
    text: &'a str,
    names: [&str; N],
) -> Result<[Option<Value<'a>>; N], serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let found = deserializer.deserialize_map(Fields(names))?;
    deserializer.end()?;
    Ok(found)
}

/// Reads an object with another object in it, and returns the named fields of the outer one and the
/// wanted members of the inner one. This takes one pass over the bytes; reading one object after
/// the other takes two.
///
/// Returns an error if the inner field is missing or not an object.
pub(super) fn fields_and_members<'a, const N: usize>(
    text: &'a str,
    names: [&str; N],
    inner: &str,
    wanted: &'static [&'static str],
) -> Result<([Option<Value<'a>>; N], Members<'a>), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let (found, members) = deserializer.deserialize_map(WithInner(names, inner, wanted))?;
    deserializer.end()?;
    let missing = || serde_json::Error::custom("the inner field is missing");
    Ok((found, members.ok_or_else(missing)?))
}

/// The wanted members of an object, by their position in the list of names.
#[derive(Debug)]
pub(super) struct Members<'a> {
    wanted: &'static [&'static str],
    found: Vec<Option<Value<'a>>>,
}

impl<'a> Members<'a> {
    /// Reads an object.
    pub(super) fn of(
        value: Value<'a>,
        wanted: &'static [&'static str],
    ) -> Result<Self, serde_json::Error> {
        serde_json::Deserializer::from_str(value.get()).deserialize_map(Wanted(wanted))
    }

    /// Returns the named members, in the given order.
    pub(super) fn fields<const N: usize>(&self, names: [&str; N]) -> [Option<Value<'a>>; N] {
        names.map(|name| {
            let place = self.wanted.iter().position(|wanted| *wanted == name);
            debug_assert!(place.is_some(), "{name} is not among what is kept");
            *self.found.get(place?)?
        })
    }
}

/// Reads the named fields of every element of a list of at most `max` objects. Returns `None` if
/// the value is not such a list, or if one of its elements is not an object.
pub(super) fn objects<'a, const N: usize>(
    value: Value<'a>,
    max: usize,
    names: [&str; N],
) -> Option<Vec<[Option<Value<'a>>; N]>> {
    let mut deserializer = serde_json::Deserializer::from_str(value.get());
    deserializer.deserialize_seq(List(Fields(names), max)).ok()
}

/// Why a list was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ListError {
    /// It is not a list.
    NotAnArray,
    /// It has more elements than allowed.
    TooLong,
}

/// Reads the elements of a list that has at most `max`.
pub(super) fn elements(value: Value<'_>, max: usize) -> Result<Vec<Value<'_>>, ListError> {
    if !value.get().starts_with('[') {
        return Err(ListError::NotAnArray);
    }
    let mut deserializer = serde_json::Deserializer::from_str(value.get());
    // The text is known to be JSON, so only the length can be wrong.
    deserializer.deserialize_seq(List(PhantomData, max)).map_err(|_| ListError::TooLong)
}

/// Returns the text of a string, or `None` if the value is not a string or escapes half of a
/// surrogate pair.
pub(super) fn text(value: Value<'_>) -> Option<Cow<'_, str>> {
    let inner = value.get().strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str(value.get()).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

/// Returns the value, unless it is `null`.
pub(super) fn present(value: Option<Value<'_>>) -> Option<Value<'_>> {
    value.filter(|value| value.get() != "null")
}

/// Returns the name of a value's type, for error details.
pub(super) fn type_name(value: Option<Value<'_>>) -> &'static str {
    let broken = |value: Value<'_>| value.get().starts_with('"') && text(value).is_none();
    match value.and_then(|value| value.get().bytes().next()) {
        None => "nothing",
        Some(_) if value.is_some_and(broken) => "half of a surrogate pair",
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        Some(_) => "a number",
    }
}

#[derive(Clone, Copy)]
struct Fields<'n, const N: usize>([&'n str; N]);

/// Stores the value of a key that is one of the names, and skips any other. Keys are read as raw
/// values, because half of a surrogate pair in a key that no rule reads is no reason to refuse the
/// body.
fn read_member<'a, A: MapAccess<'a>>(
    map: &mut A,
    key: Value<'a>,
    names: &[&str],
    found: &mut [Option<Value<'a>>],
) -> Result<(), A::Error> {
    let place = text(key).and_then(|key| names.iter().position(|name| key == *name));
    match place.and_then(|place| found.get_mut(place)) {
        Some(found) => *found = Some(map.next_value()?),
        None => drop(map.next_value::<IgnoredAny>()?),
    }
    Ok(())
}

impl<'a, const N: usize> Visitor<'a> for Fields<'_, N> {
    type Value = [Option<Value<'a>>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = [None; N];
        while let Some(key) = map.next_key()? {
            read_member(&mut map, key, &self.0, &mut found)?;
        }
        Ok(found)
    }
}

impl<'a, const N: usize> DeserializeSeed<'a> for Fields<'_, N> {
    type Value = [Option<Value<'a>>; N];

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

/// A list of limited length whose elements are read by a seed.
struct List<S>(S, usize);

impl<'a, S: DeserializeSeed<'a> + Copy> Visitor<'a> for List<S> {
    type Value = Vec<S::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array of at most {} elements", self.1)
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        let mut found = Vec::new();
        while let Some(element) = sequence.next_element_seed(self.0)? {
            if found.len() == self.1 {
                return Err(A::Error::invalid_length(found.len() + 1, &self));
            }
            found.push(element);
        }
        Ok(found)
    }
}

struct WithInner<'n, const N: usize>([&'n str; N], &'n str, &'static [&'static str]);

impl<'a, const N: usize> Visitor<'a> for WithInner<'_, N> {
    type Value = ([Option<Value<'a>>; N], Option<Members<'a>>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with another in it")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut found, mut inner) = ([None; N], None);
        while let Some(key) = map.next_key::<Value<'a>>()? {
            if text(key).as_deref() == Some(self.1) {
                inner = Some(map.next_value_seed(Wanted(self.2))?);
                continue;
            }
            read_member(&mut map, key, &self.0, &mut found)?;
        }
        Ok((found, inner))
    }
}

struct Wanted(&'static [&'static str]);

impl<'a> DeserializeSeed<'a> for Wanted {
    type Value = Members<'a>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for Wanted {
    type Value = Members<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = vec![None; self.0.len()];
        while let Some(key) = map.next_key()? {
            read_member(&mut map, key, self.0, &mut found)?;
        }
        Ok(Members { wanted: self.0, found })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_two_equal_keys_counts_however_it_is_escaped() {
        let [a, b] = fields(r#"{"a":1,"c":[{}],"\u0061":2}"#, ["a", "b"]).unwrap();
        assert_eq!(a.map(RawValue::get), Some("2"));
        assert!(b.is_none());
    }

    #[test]
    fn what_is_skipped_may_be_as_deep_as_it_likes() {
        let deep = format!(r#"{{"x":{}{},"a":1}}"#, "[".repeat(100_000), "]".repeat(100_000));
        let [a] = fields(&deep, ["a"]).unwrap();
        assert_eq!(a.map(RawValue::get), Some("1"));
    }

    #[test]
    fn a_list_is_not_read_past_its_limit() {
        let [list] = fields(r#"{"l":[1,2,3]}"#, ["l"]).unwrap();
        let list = list.unwrap();
        assert_eq!(elements(list, 3).unwrap().len(), 3);
        assert_eq!(elements(list, 2).unwrap_err(), ListError::TooLong);
    }

    #[test]
    fn a_key_that_is_no_text_is_nobodys_name() {
        let [a] = fields(r#"{"\ud83d":2,"a\ud83d":3,"a":1}"#, ["a"]).unwrap();
        assert_eq!(a.map(RawValue::get), Some("1"));
        for broken in ["{\"\u{1}\":1}", r#"{"\x":1}"#, "{a:1}", "{1:1}", "{null:1}", "{[]:1}"] {
            assert!(fields(broken, ["a"]).is_err(), "{broken}");
        }
    }

    #[test]
    fn half_a_surrogate_pair_is_no_text() {
        let [a, b] = fields(r#"{"a":"\ud83d","b":"\ud83d\ude00"}"#, ["a", "b"]).unwrap();
        assert_eq!(text(a.unwrap()), None);
        assert_eq!(type_name(a), "half of a surrogate pair");
        assert_eq!(text(b.unwrap()).as_deref(), Some("\u{1f600}"));
    }
}
