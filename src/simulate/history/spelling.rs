//! The many ways in which senders write the same thing.

use super::dice::Dice;
use super::json::Json;

/// How quantities are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum QuantityForm {
    /// `2` or `1.25`
    Plain,
    /// `2.00` or `1.25`
    Decimals,
    /// `"2"`
    Text,
    /// `20e-1`
    Exponent,
    /// `1.2500000000000004`: the sum computed by a sender that uses floating point.
    Float,
}

/// How names are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NameForm {
    /// `"A7"`
    Text,
    /// `1048576`, if the name can be written as a number.
    Number,
    /// `" A7\t"`
    Padded,
}

/// How a status is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StatusForm {
    /// `CANCELLED`
    Upper,
    /// `cancelled`
    Lower,
    /// `CANCELED`
    OneL,
}

impl QuantityForm {
    pub(super) fn pick(dice: &mut Dice) -> Self {
        *dice.pick_weighted(&[
            (Self::Plain, 38),
            (Self::Decimals, 19),
            (Self::Text, 19),
            (Self::Exponent, 19),
            (Self::Float, 5),
        ])
    }

    pub(super) fn write(self, quarters: u64) -> Json {
        let (units, hundredths) = (quarters / 4, quarters % 4 * 25);
        match self {
            Self::Decimals => Json::Number(format!("{units}.{hundredths:02}")),
            Self::Exponent => Json::Number(format!("{}e-2", units * 100 + hundredths)),
            Self::Float => Json::Number(format!("{units}.{hundredths:02}00000000000004")),
            Self::Plain | Self::Text => {
                let plain = match hundredths {
                    0 => units.to_string(),
                    50 => format!("{units}.5"),
                    _ => format!("{units}.{hundredths:02}"),
                };
                if self == Self::Plain { Json::Number(plain) } else { Json::Text(plain) }
            }
        }
    }
}

impl NameForm {
    /// Returns the form in which one event writes the names of an order, given whether its ids are
    /// numbers.
    pub(super) fn pick(dice: &mut Dice, has_numeric_ids: bool) -> Self {
        match (has_numeric_ids, dice.below(100)) {
            (true, 0..60) => Self::Number,
            (_, 97..) => Self::Padded,
            _ => Self::Text,
        }
    }

    pub(super) fn write(self, name: &str) -> Json {
        let is_number = !name.starts_with('0') && name.bytes().all(|byte| byte.is_ascii_digit());
        match self {
            Self::Number if is_number => Json::Number(name.to_owned()),
            Self::Number | Self::Text => Json::text(name),
            // Spreadsheets leave no-break spaces.
            Self::Padded => Json::text(format!(" {name}\u{a0}\t")),
        }
    }

    /// Returns the name, or null.
    pub(super) fn write_or_null(self, name: Option<&String>) -> Json {
        name.map_or(Json::Null, |name| self.write(name))
    }
}

impl StatusForm {
    pub(super) fn pick(dice: &mut Dice) -> Self {
        *dice.pick_weighted(&[(Self::Upper, 85), (Self::Lower, 5), (Self::OneL, 10)])
    }

    pub(super) fn write(self, status: &str) -> Json {
        match self {
            Self::OneL if status == "CANCELLED" => Json::text("CANCELED"),
            Self::OneL | Self::Upper => Json::text(status),
            Self::Lower => Json::text(status.to_lowercase()),
        }
    }
}
