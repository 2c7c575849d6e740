//! Quantities: exact, in millionths, never through a float.

use std::fmt;
use std::ops::Neg;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// The largest quantity of one line, and of one receipt: 1e9 units, in millionths.
pub const QUANTITY_MAX: Quantity = Quantity(1_000_000_000 * MILLION);

/// The largest absolute value of a stock item's total, in millionths.
pub const STOCK_TOTAL_MAX: i64 = 4_000_000_000_000_000_000;

const MILLION: i64 = 1_000_000;
const DECIMALS: u32 = 6;

/// Why a text is not a quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// It is not a number in JSON's grammar.
    #[error("is not a number")]
    NotANumber,
    /// It has a minus sign.
    #[error("is negative")]
    Negative,
    /// It has more than six significant decimals.
    #[error("has more than six decimals")]
    TooFine,
    /// It is larger than 1e9.
    #[error("is larger than 1e9")]
    TooLarge,
    /// A person wrote it with an exponent.
    #[error("has an exponent: write all digits, as in 1000")]
    Exponent,
    /// A person wrote it with a comma.
    #[error("has a comma: write a point, as in 1.5, and nothing between thousands")]
    Comma,
    /// Nothing would be added or removed.
    #[error("is zero: nothing would change")]
    Zero,
}

/// A number of units, or a difference of two, in millionths.
///
/// Parsed quantities are never negative; differences and stock totals may be.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Quantity(i64);

impl Quantity {
    /// Zero units.
    pub const ZERO: Self = Self(0);

    /// Creates a quantity from millionths.
    pub const fn from_millionths(millionths: i64) -> Self {
        Self(millionths)
    }

    /// Returns the quantity in millionths.
    pub const fn millionths(self) -> i64 {
        self.0
    }

    /// Returns the quantity as a decimal number without trailing zeros.
    pub fn to_decimal(self) -> Decimal {
        Decimal::new(self.0, DECIMALS).normalize()
    }

    /// Parses a non-negative number in JSON's grammar, at most 1e9, and returns whether it was
    /// rounded. Decimals after the sixth are rounded half to even. Trailing zeros and exponents are
    /// accepted; a minus sign is not, even before zero.
    pub fn parse(text: &str) -> Result<(Self, bool), QuantityError> {
        let number = JsonNumber::parse(text).ok_or(QuantityError::NotANumber)?;
        if number.negative {
            return Err(QuantityError::Negative);
        }
        let Some((digits, exponent)) = number.significant() else {
            return Ok((Self::ZERO, false));
        };
        // 1e9 has ten digits before the point, so a number with more is too large. This check also
        // bounds the arithmetic below, whatever the exponent.
        let length = i64::try_from(digits.len()).map_err(|_| QuantityError::TooLarge)?;
        let before_point = length.saturating_add(exponent);
        if before_point > 10 {
            return Err(QuantityError::TooLarge);
        }
        // The number of digits down to the millionths; the digits after them are rounded away.
        let kept = usize::try_from(before_point.saturating_add(i64::from(DECIMALS))).ok();
        let (kept, rest) = match kept {
            None => ("", "1"),
            Some(kept) if kept >= digits.len() => (digits.as_str(), ""),
            Some(kept) => digits.split_at_checked(kept).ok_or(QuantityError::NotANumber)?,
        };
        let scale = if rest.is_empty() { exponent.saturating_add(i64::from(DECIMALS)) } else { 0 };
        let millionths = Decimal::from_scientific(&format!("0{kept}e{scale}"))
            .map_err(|_| QuantityError::NotANumber)?
            .normalize();
        let whole = i64::try_from(millionths.mantissa()).map_err(|_| QuantityError::TooLarge)?;
        // The digits have no trailing zero, so exactly half is a single five.
        let is_up = match rest.as_bytes() {
            [b'5'] => before_point >= -i64::from(DECIMALS) && whole % 2 != 0,
            [first, ..] => before_point >= -i64::from(DECIMALS) && *first >= b'5',
            [] => false,
        };
        let quantity = Self(whole + i64::from(is_up));
        if quantity > QUANTITY_MAX {
            return Err(QuantityError::TooLarge);
        }
        Ok((quantity, !rest.is_empty()))
    }

    /// Parses what a person or one of our own publishers wrote, as [`parse`](Self::parse) does, but
    /// returns an error instead of rounding.
    pub fn exact(text: &str) -> Result<Self, QuantityError> {
        match Self::parse(text)? {
            (quantity, false) => Ok(quantity),
            (_, true) => Err(QuantityError::TooFine),
        }
    }

    /// Parses what a person wrote, as [`exact`](Self::exact) does, but accepts no exponent: `1e3`
    /// is more often a mistake than a thousand.
    pub fn written(text: &str) -> Result<Self, QuantityError> {
        match Self::exact(text) {
            Err(QuantityError::NotANumber) if text.contains(',') => Err(QuantityError::Comma),
            Ok(_) if text.contains(['e', 'E']) => Err(QuantityError::Exponent),
            parsed => parsed,
        }
    }

    /// Parses what a person wrote, as [`written`](Self::written) does, but refuses zero.
    pub fn written_some(text: &str) -> Result<Self, QuantityError> {
        match Self::written(text)? {
            Self::ZERO => Err(QuantityError::Zero),
            quantity => Ok(quantity),
        }
    }

    /// Parses a difference that a person wrote, as [`written_some`](Self::written_some) does: `2` or
    /// `+2` adds, `-2` removes.
    pub fn written_difference(text: &str) -> Result<Self, QuantityError> {
        match (text.strip_prefix('-'), text.strip_prefix('+')) {
            (Some(less), _) => Self::written_some(less).map(|quantity| -quantity),
            (None, Some(more)) => Self::written_some(more),
            (None, None) => Self::written_some(text),
        }
    }

    /// Returns the sum, or `None` if it overflows 64 bits of millionths.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// Returns the sum, saturating at the bounds of 64 bits.
    #[must_use]
    pub fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// Returns the difference, saturating at the bounds of 64 bits.
    #[must_use]
    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Returns whether this is zero.
    pub const fn is_zero(&self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_decimal().fmt(f)
    }
}

impl Neg for Quantity {
    type Output = Self;

    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}

/// A number in JSON's grammar, split into its parts.
struct JsonNumber<'a> {
    negative: bool,
    integer: &'a str,
    fraction: &'a str,
    exponent: i64,
}

impl<'a> JsonNumber<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (negative, rest) =
            text.strip_prefix('-').map_or((false, text), |unsigned| (true, unsigned));
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
            None => (rest, 0),
        };
        let (integer, fraction) = match mantissa.split_once('.') {
            Some((integer, fraction)) if !fraction.is_empty() => (integer, fraction),
            Some(_) => return None,
            None => (mantissa, ""),
        };
        let is_number = !integer.is_empty()
            && (integer == "0" || !integer.starts_with('0'))
            && integer.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit());
        is_number.then_some(Self { negative, integer, fraction, exponent })
    }

    /// Returns the digits without zeros at either end, and the power of ten of the last one; `None`
    /// for zero.
    fn significant(&self) -> Option<(String, i64)> {
        let digits = format!("{}{}", self.integer, self.fraction);
        let trimmed = digits.trim_end_matches('0');
        let exponent = self
            .exponent
            .saturating_sub(i64::try_from(self.fraction.len()).unwrap_or(i64::MAX))
            .saturating_add(i64::try_from(digits.len() - trimmed.len()).unwrap_or(i64::MAX));
        let trimmed = trimmed.trim_start_matches('0');
        (!trimmed.is_empty()).then(|| (trimmed.to_owned(), exponent))
    }
}

/// Parses an exponent's sign and digits. A value that overflows 64 bits is clamped to a very large
/// one.
fn parse_exponent(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let value = digits.parse::<i64>().unwrap_or(i64::MAX / 4);
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&str, QuantityError>) {
        let found = Quantity::parse(text).map(|(quantity, _)| quantity.to_string());
        assert_eq!(found.as_deref(), expected.as_ref().map(|text| *text), "{text}");
    }

    #[test]
    fn numbers_of_the_json_grammar_are_exact() {
        check("1", Ok("1"));
        check("1.0", Ok("1"));
        check("1.25", Ok("1.25"));
        check("1e2", Ok("100"));
        check("1E+2", Ok("100"));
        check("12.5e-1", Ok("1.25"));
        check("0", Ok("0"));
        check("0.000", Ok("0"));
        check("0e999999999999999999999", Ok("0"));
        check("0.000001", Ok("0.000001"));
        check("0.10000000000000000000000000000000000000000", Ok("0.1"));
        check("1000000000", Ok("1000000000"));
        check("999999999.999999", Ok("999999999.999999"));
        check("0.0000000001e4", Ok("0.000001"));
        check("100000000000000000000e-20", Ok("1"));
    }

    #[test]
    fn what_is_finer_than_millionths_is_rounded_half_to_even() {
        for (text, rounded) in [
            ("0.30000000000000004", "0.3"),
            ("0.0000001", "0"),
            ("1e-7", "0"),
            ("9e-7", "0.000001"),
            ("1e-999999999999999999999", "0"),
            ("1.2345678", "1.234568"),
            ("0.0000005", "0"),
            ("0.00000050", "0"),
            ("0.0000015", "0.000002"),
            ("0.0000025", "0.000002"),
            ("0.00000250000000000000000000000000001", "0.000003"),
            ("0.0000024999999999999999999999999999999999999", "0.000002"),
            ("2.9999999", "3"),
            ("1000000000.0000001", "1000000000"),
        ] {
            check(text, Ok(rounded));
            assert!(Quantity::parse(text).unwrap().1, "{text}");
        }
        assert!(!Quantity::parse("0.3000000000000").unwrap().1);
        assert_eq!(Quantity::exact("1.2345678"), Err(QuantityError::TooFine));
    }

    #[test]
    fn a_person_is_told_what_looks_like_a_mistake() {
        assert_eq!(Quantity::written("1000.50").map(Quantity::millionths), Ok(1_000_500_000));
        assert_eq!(Quantity::written("0"), Ok(Quantity::ZERO));
        assert_eq!(Quantity::written_some("0.0"), Err(QuantityError::Zero));
        for (text, error) in [
            ("1e3", QuantityError::Exponent),
            ("0E1", QuantityError::Exponent),
            ("1,5", QuantityError::Comma),
            ("1,000.5", QuantityError::Comma),
            ("many", QuantityError::NotANumber),
            ("-1", QuantityError::Negative),
            ("1.2345678", QuantityError::TooFine),
        ] {
            assert_eq!(Quantity::written(text), Err(error), "{text}");
            assert_eq!(Quantity::written_some(text), Err(error), "{text}");
        }
        for (text, millionths) in [("-2", -2_000_000), ("+0.5", 500_000), ("3", 3_000_000)] {
            let written = Quantity::written_difference(text).map(Quantity::millionths);
            assert_eq!(written, Ok(millionths), "{text}");
        }
        for text in ["", "-", "--2", "+-2", "2kg", "0", "-0", "+0.0", "-1e3"] {
            assert!(Quantity::written_difference(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused_for_its_reason() {
        for text in ["", " 1", "1 ", "01", "1.", ".5", "+1", "1e", "1e+", "NaN", "0x1", "1,5", "١"]
        {
            check(text, Err(QuantityError::NotANumber));
        }
        for text in ["-1", "-0", "-0.0", "-1e400"] {
            check(text, Err(QuantityError::Negative));
        }
        for text in
            ["1000000000.000001", "1000000000.0000006", "1e10", "1e400", "1e999999999999999999999"]
        {
            check(text, Err(QuantityError::TooLarge));
        }
    }
}
