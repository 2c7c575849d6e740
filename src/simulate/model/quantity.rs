//! Quantities as exact decimal numbers, read from their text.

use rust_decimal::Decimal;
use serde_json::value::RawValue;

/// 1e9 units in millionths has sixteen digits.
const MILLIONTHS_DIGITS_MAX: i64 = 16;
const DECIMALS: i64 = 6;

/// Returns the quantity that a text states: a number in JSON's grammar without a minus sign,
/// rounded half to even at six decimals, and at most 1e9 after rounding.
pub fn quantity_of(text: &str) -> Option<Decimal> {
    // Only a digit may come first, which excludes signs, white space and everything that is not a
    // number.
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
    // An exponent beyond 64 bits is equivalent to any other that is far too large or far too small.
    let far = if exponent.starts_with('-') { i64::MIN / 2 } else { i64::MAX / 2 };
    let exponent = exponent.parse::<i64>().unwrap_or(far).clamp(i64::MIN / 2, i64::MAX / 2);
    let length = |text: &str| i64::try_from(text.len()).unwrap_or(i64::MAX / 4);
    // The number of digits before the point once the value is written in millionths.
    let whole = length(digits).saturating_add(exponent - length(fraction) + DECIMALS);
    if whole > MILLIONTHS_DIGITS_MAX {
        return None;
    }
    let millionths = match usize::try_from(whole) {
        // Less than a tenth of a millionth.
        Err(_) => 0,
        Ok(whole) => match digits.split_at_checked(whole) {
            Some((kept, cut)) => rounded(kept, cut)?,
            None => format!("{digits:0<whole$}").parse().ok()?,
        },
    };
    let quantity = Decimal::new(millionths, 6);
    (quantity <= Decimal::from(1_000_000_000)).then_some(quantity)
}

/// Returns the whole number `kept`, or the next one if the value with `cut` is nearer to that; half
/// to even.
fn rounded(kept: &str, cut: &str) -> Option<i64> {
    let down: i64 = if kept.is_empty() { 0 } else { kept.parse().ok()? };
    let is_up = match cut.split_at_checked(1) {
        Some(("5", rest)) => rest.bytes().any(|digit| digit != b'0') || down % 2 == 1,
        Some((first, _)) => first > "5",
        None => false,
    };
    Some(down + i64::from(is_up))
}
