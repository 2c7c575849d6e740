//! Names that come from outside: sites, orders, products, references.
//!
//! An [`Identifier`] can only be created by [`Identifier::parse`], so it is always short and has no
//! control characters. It may contain any other character: before it enters a key, a topic or a
//! path, it goes through [`encode`].

use std::fmt;
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};

/// The longest identifier that is accepted, in bytes of UTF-8.
pub const IDENTIFIER_BYTES_MAX: usize = 256;

const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'-');

/// Percent-encodes everything but `[A-Za-z0-9_-]`. Different texts have different encodings.
pub fn encode(text: &str) -> String {
    utf8_percent_encode(text, KEPT).to_string()
}

/// Appends a text as [`encode`] writes it.
pub fn push_encoded(to: &mut String, text: &str) {
    to.extend(utf8_percent_encode(text, KEPT));
}

/// Reverses [`encode`]; returns `None` if the result is not UTF-8.
pub fn decode(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

/// Why a text is not an identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdentifierError {
    /// The text is empty.
    #[error("is empty")]
    Empty,
    /// The text is longer than [`IDENTIFIER_BYTES_MAX`].
    #[error("is longer than {IDENTIFIER_BYTES_MAX} bytes")]
    TooLong,
    /// The text contains a control character.
    #[error("has a control character")]
    ControlCharacter,
}

/// A non-empty name of at most [`IDENTIFIER_BYTES_MAX`] bytes without control characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Identifier(Arc<str>);

impl Identifier {
    /// Checks a text from outside. Surrounding white space is not part of the name.
    pub fn parse(text: &str) -> Result<Self, IdentifierError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(IdentifierError::Empty);
        }
        if text.len() > IDENTIFIER_BYTES_MAX {
            return Err(IdentifierError::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(IdentifierError::ControlCharacter);
        }
        Ok(Self(text.into()))
    }

    /// Returns the text as it was received, without surrounding white space.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl TryFrom<String> for Identifier {
    type Error = IdentifierError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<Identifier> for String {
    fn from(identifier: Identifier) -> Self {
        (*identifier.0).to_owned()
    }
}

/// A shop: the name that scopes everything else. It is opaque, and keeps its case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Site(pub Identifier);

impl Site {
    /// Checks a site name from outside.
    pub fn parse(text: &str) -> Result<Self, IdentifierError> {
        Identifier::parse(text).map(Self)
    }

    /// Returns the name as it was received.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Implements writing a type as the text `kind:identifier`, and parsing it from that text.
macro_rules! kind_and_identifier {
    ($name:ident, $kind:ident, $doc_kind:literal) => {
        impl $name {
            #[doc = concat!("Reads the `kind:identifier` form of ", $doc_kind, ".")]
            pub fn parse(text: &str) -> Result<Self, $crate::domain::identifier::NameError> {
                use $crate::domain::identifier::NameError;
                let (kind, identifier) = text.split_once(':').ok_or(NameError::NoKind)?;
                let kind = $kind::parse(kind).ok_or(NameError::UnknownKind)?;
                Ok(Self { kind, identifier: $crate::domain::Identifier::parse(identifier)? })
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}:{}", self.kind.as_str(), self.identifier)
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::domain::identifier::NameError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.to_string()
            }
        }
    };
}
pub(crate) use kind_and_identifier;

/// Why a text does not have the form `kind:identifier`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// There is no colon.
    #[error("is not of the form kind:identifier")]
    NoKind,
    /// The text before the colon is not a known kind.
    #[error("has an unknown kind before the colon")]
    UnknownKind,
    /// The text after the colon is not an identifier.
    #[error("{0}")]
    Identifier(#[from] IdentifierError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoded_name_decodes_to_itself() {
        for name in ["x}:holds:foo{", "a|b", "a.b", "100%", "%2F", "é/\u{1f600}", "plain_Name-1"] {
            let encoded = encode(name);
            assert!(encoded.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-%".contains(&b)));
            assert_eq!(decode(&encoded).as_deref(), Some(name));
        }
    }

    #[test]
    fn limits_are_inclusive() {
        assert!(Identifier::parse(&"é".repeat(128)).is_ok());
        assert_eq!(Identifier::parse(&"é".repeat(129)), Err(IdentifierError::TooLong));
        assert_eq!(Identifier::parse(""), Err(IdentifierError::Empty));
        assert_eq!(Identifier::parse("a\u{85}b"), Err(IdentifierError::ControlCharacter));
    }
}
