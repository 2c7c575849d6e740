//! Parsers of arguments that several commands have.

use std::time::Duration;

use crate::domain::{Quantity, QuantityError};

/// The longest timeout of a command.
const TIMEOUT_MAX: Duration = Duration::from_hours(24);

/// Parses a signed quantity: `2` or `+2` adds, `-2` removes.
pub(super) fn parse_adjustment(text: &str) -> Result<Quantity, QuantityError> {
    match (text.strip_prefix('-'), text.strip_prefix('+')) {
        (Some(less), _) => Quantity::exact(less).map(|quantity| -quantity),
        (None, Some(more)) => Quantity::exact(more),
        (None, None) => Quantity::exact(text),
    }
}

/// Parses how long a command waits.
pub(super) fn parse_timeout(text: &str) -> Result<Duration, String> {
    let timeout = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let allowed = timeout <= TIMEOUT_MAX;
    allowed.then_some(timeout).ok_or_else(|| "is longer than a day".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adjustment_has_a_sign() {
        for (written, millionths) in [("-2", -2_000_000), ("+0.5", 500_000), ("3", 3_000_000)] {
            assert_eq!(parse_adjustment(written).unwrap().millionths(), millionths, "{written}");
        }
        for wrong in ["", "-", "--2", "+-2", "2kg"] {
            assert!(parse_adjustment(wrong).is_err(), "{wrong}");
        }
    }
}
