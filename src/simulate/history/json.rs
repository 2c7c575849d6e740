//! JSON as it is written, not as it is meant: fields keep their order, may stand twice, and a
//! number is whatever text it was given as.

/// A JSON value to be written.
#[derive(Debug, Clone)]
pub(super) enum Json {
    Null,
    Bool(bool),
    /// A number as it is written.
    Number(String),
    /// Any text, written as it is.
    Raw(&'static str),
    Text(String),
    List(Vec<Self>),
    Object(Fields),
}

/// The fields of an object, in the order in which they are written.
pub(super) type Fields = Vec<(&'static str, Json)>;

/// How a body is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// Without blanks, as machines write it.
    Compact,
    /// A line a field, as people write it.
    Indented,
    /// The same with tabs, and blanks behind the end.
    Tabs,
}

impl Json {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub(super) fn number(number: impl Into<i128>) -> Self {
        Self::Number(number.into().to_string())
    }

    /// A text, or null.
    pub(super) fn or_null(text: Option<impl Into<String>>) -> Self {
        text.map_or(Self::Null, Self::text)
    }

    pub(super) fn write(&self, layout: Layout) -> String {
        let mut out = String::with_capacity(4096);
        self.write_to(&mut out, layout, 0);
        if layout == Layout::Tabs {
            out.push_str(" \t\r\n");
        }
        out
    }

    fn write_to(&self, out: &mut String, layout: Layout, depth: usize) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(true) => out.push_str("true"),
            Self::Bool(false) => out.push_str("false"),
            Self::Number(number) => out.push_str(number),
            Self::Raw(text) => out.push_str(text),
            Self::Text(text) => write_text(out, text),
            Self::List(values) => {
                out.push('[');
                for (index, value) in values.iter().enumerate() {
                    separate(out, layout, depth + 1, index > 0);
                    value.write_to(out, layout, depth + 1);
                }
                close(out, layout, depth, values.is_empty());
                out.push(']');
            }
            Self::Object(fields) => {
                out.push('{');
                for (index, (name, value)) in fields.iter().enumerate() {
                    separate(out, layout, depth + 1, index > 0);
                    write_text(out, name);
                    out.push_str(if layout == Layout::Compact { ":" } else { ": " });
                    value.write_to(out, layout, depth + 1);
                }
                close(out, layout, depth, fields.is_empty());
                out.push('}');
            }
        }
    }
}

fn separate(out: &mut String, layout: Layout, depth: usize, is_further: bool) {
    if is_further {
        out.push(',');
    }
    break_line(out, layout, depth);
}

fn close(out: &mut String, layout: Layout, depth: usize, is_empty: bool) {
    if !is_empty {
        break_line(out, layout, depth);
    }
}

fn break_line(out: &mut String, layout: Layout, depth: usize) {
    let indent = match layout {
        Layout::Compact => return,
        Layout::Indented => "  ",
        Layout::Tabs => "\t",
    };
    out.push('\n');
    (0..depth).for_each(|_| out.push_str(indent));
}

fn write_text(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some(place) = rest.find(|c: char| c.is_ascii_control() || c == '"' || c == '\\') {
        let (before, special) = rest.split_at(place);
        out.push_str(before);
        let mut behind = special.chars();
        match behind.next() {
            Some('"') => out.push_str("\\\""),
            Some('\\') => out.push_str("\\\\"),
            Some('\n') => out.push_str("\\n"),
            Some('\t') => out.push_str("\\t"),
            Some(control) => {
                let hex = [u32::from(control) / 16, u32::from(control) % 16];
                out.push_str("\\u00");
                out.extend(hex.map(|digit| char::from_digit(digit, 16).unwrap_or('0')));
            }
            None => {}
        }
        rest = behind.as_str();
    }
    out.push_str(rest);
    out.push('"');
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
