//! Parsers of arguments that several commands have.

use std::time::Duration;

/// The longest timeout of a command.
const TIMEOUT_MAX: Duration = Duration::from_hours(24);

/// Parses how long a command waits.
pub(super) fn parse_timeout(text: &str) -> Result<Duration, String> {
    let timeout = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let allowed = timeout <= TIMEOUT_MAX;
    allowed.then_some(timeout).ok_or_else(|| "is longer than a day".to_owned())
}
