//! Sizes in bytes, as people write them.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::value;

/// The units, largest first.
const UNITS: [(&str, u64); 4] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// A number of bytes: `2GiB`, `512MiB`, or a plain number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// Reads a whole number with one of the units `KiB`, `MiB`, `GiB`, `TiB`, or without.
    pub fn parse(text: &str) -> Option<Self> {
        let unit = UNITS.iter().find_map(|(name, bytes)| Some((text.strip_suffix(name)?, *bytes)));
        let (number, bytes) = unit.unwrap_or((text, 1));
        number.trim_end().parse::<u64>().ok()?.checked_mul(bytes).map(Self)
    }
}

/// In the largest unit that leaves no fraction.
impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, bytes): &&(&str, u64)| self.0 != 0 && self.0.is_multiple_of(*bytes);
        match UNITS.iter().find(fits) {
            Some((name, bytes)) => write!(f, "{}{name}", self.0 / bytes),
            None => self.0.fmt(f),
        }
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        value::text(from, "a number of bytes, as \"512MiB\" or \"2GiB\"", Self::parse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_and_without_a_unit_and_written_back() {
        for (text, bytes, written) in [
            ("1048577", 1_048_577, "1048577"),
            ("2GiB", 2 << 30, "2GiB"),
            ("512 MiB", 512 << 20, "512MiB"),
            ("2048KiB", 2 << 20, "2MiB"),
            ("0", 0, "0"),
        ] {
            assert_eq!(ByteSize::parse(text), Some(ByteSize(bytes)), "{text}");
            assert_eq!(ByteSize(bytes).to_string(), written);
        }
        for text in ["", "GiB", "-1", "1.5GiB", "1GB", "1gib", "18446744073709551615KiB"] {
            assert_eq!(ByteSize::parse(text), None, "{text}");
        }
    }
}
