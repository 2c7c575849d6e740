//! JSON as written text rather than as a value: fields keep their order, a key may occur twice, and
//! a number is the text that it was given as.

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::PrettyFormatter;
use serde_json::value::RawValue;

/// A JSON value to write.
#[derive(Debug, Clone)]
pub(super) enum Json {
    Null,
    Bool(bool),
    /// A number in the form in which it is written.
    Number(String),
    /// Any JSON, written unchanged.
    Raw(&'static str),
    Text(String),
    List(Vec<Self>),
    Object(Fields),
}

/// The fields of an object, in the order in which they are written.
pub(super) type Fields = Vec<(&'static str, Json)>;

/// The layout of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// Without white space, as machines write it.
    Compact,
    /// One line per field, as people write it.
    Indented,
    /// Like `Indented`, with tabs, and with white space after the end.
    Tabs,
}

impl Json {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub(super) fn number(number: impl Into<i128>) -> Self {
        Self::Number(number.into().to_string())
    }

    /// Returns a text, or null.
    pub(super) fn or_null(text: Option<impl Into<String>>) -> Self {
        text.map_or(Self::Null, Self::text)
    }

    pub(super) fn write(&self, layout: Layout) -> String {
        let written = match layout {
            Layout::Compact => serde_json::to_string(self),
            Layout::Indented => serde_json::to_string_pretty(self),
            Layout::Tabs => self.written_with_tabs(),
        };
        written.expect("texts, lists and objects are always JSON")
    }

    fn written_with_tabs(&self) -> serde_json::Result<String> {
        let mut out = Vec::with_capacity(4096);
        let formatter = PrettyFormatter::with_indent(b"\t");
        self.serialize(&mut Serializer::with_formatter(&mut out, formatter))?;
        out.extend(b" \t\r\n");
        String::from_utf8(out).map_err(serde::ser::Error::custom)
    }
}

impl Serialize for Json {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw = |text| serde_json::from_str::<&RawValue>(text).map_err(serde::ser::Error::custom);
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(text) => raw(text)?.serialize(serializer),
            Self::Raw(text) => raw(text)?.serialize(serializer),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(values) => serializer.collect_seq(values),
            Self::Object(fields) => {
                serializer.collect_map(fields.iter().map(|(name, value)| (name, value)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layout_says_the_same() {
        let body = Json::Object(vec![
            ("twice", Json::number(1)),
            ("twice", Json::Number("2.50".to_owned())),
            ("text", Json::text("a \"quoted\" \\ line\nand\ttab \u{1} é 茶")),
            ("list", Json::List(vec![Json::Null, Json::Bool(true), Json::List(Vec::new())])),
            ("empty", Json::Object(Vec::new())),
        ]);
        let expected = serde_json::json!({
            "twice": 2.5, "text": "a \"quoted\" \\ line\nand\ttab \u{1} é 茶",
            "list": [null, true, []], "empty": {},
        });
        for layout in [Layout::Compact, Layout::Indented, Layout::Tabs] {
            let written = body.write(layout);
            let read: serde_json::Value = serde_json::from_str(&written).unwrap();
            assert_eq!(read, expected, "{layout:?}");
            assert_eq!(written.matches("\"twice\"").count(), 2);
        }
    }
}
