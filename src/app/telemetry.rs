//! Logs: from tracing's events to lines on stderr.
//!
//! `pretty` is one short line an event, coloured where stderr is a terminal that wants it; `json`
//! is one object a line with the event's fields at its top level. What is logged is decided by
//! [`LogFilter`]: libraries write warnings only, unless they are named.

use std::io;

use tracing::Dispatch;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry;

use crate::config::{LogFilter, LogFormat, LogSettings};

/// Why there are no logs.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter cannot be read; settings that were loaded have been checked for this.
    #[error("log.level: {0}")]
    Level(String),
    /// Something else in this process took the place before.
    #[error("logging was started twice")]
    Started,
}

/// Starts logging to stderr, for the whole process and until its end.
pub fn init(settings: &LogSettings) -> Result<(), TelemetryError> {
    let colour = anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
    let dispatch = dispatch(settings, colour, io::stderr)?;
    tracing::dispatcher::set_global_default(dispatch).map_err(|_| TelemetryError::Started)
}

fn dispatch<W>(settings: &LogSettings, colour: bool, writer: W) -> Result<Dispatch, TelemetryError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = LogFilter::parse(&settings.level).map_err(TelemetryError::Level)?;
    let targets = Targets::new()
        .with_default(filter.library_level())
        .with_target(env!("CARGO_CRATE_NAME"), filter.level)
        .with_targets(filter.targets);
    let lines = fmt::layer().with_writer(writer);
    let lines = match settings.format {
        LogFormat::Pretty => lines.compact().with_ansi(colour).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
    };
    Ok(Dispatch::new(registry().with(lines.with_filter(targets))))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What was written while `log` ran.
    fn lines(format: LogFormat, level: &str, log: impl FnOnce()) -> String {
        let written = Arc::new(Mutex::new(Vec::new()));
        let settings = LogSettings { format, level: level.into() };
        let writer = Arc::clone(&written);
        let writer = move || Written(Arc::clone(&writer));
        tracing::dispatcher::with_default(&dispatch(&settings, false, writer).unwrap(), log);
        String::from_utf8(written.lock().unwrap().clone()).unwrap()
    }

    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn log_some() {
        tracing::info!(order.id = "id:1", took_ms = 5, "order applied");
        tracing::debug!("a detail");
        tracing::info!(target: "hyper::proto", "chatter");
        tracing::warn!(target: "hyper::proto", "a library's warning");
    }

    #[test]
    fn json_is_one_object_a_line_with_the_fields_at_its_top() {
        let text = lines(LogFormat::Json, "info", log_some);
        let objects: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(objects.len(), 2, "{text}");
        let first = objects.first().unwrap();
        assert_eq!(first["level"], "INFO");
        assert_eq!(first["message"], "order applied");
        assert_eq!(first["order.id"], "id:1");
        assert_eq!(first["took_ms"], 5);
    }

    #[test]
    fn pretty_is_one_line_an_event_and_plain_away_from_a_terminal() {
        let text = lines(LogFormat::Pretty, "info", log_some);
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.contains("order applied"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn the_level_is_ours_and_libraries_are_quiet_until_named() {
        let debug = lines(LogFormat::Pretty, "debug", log_some);
        assert!(debug.contains("a detail") && !debug.contains("chatter"), "{debug}");
        let named = lines(LogFormat::Pretty, "error,hyper=info", log_some);
        assert!(!named.contains("order applied") && named.contains("chatter"), "{named}");
        assert_eq!(lines(LogFormat::Pretty, "off", log_some), "");
    }

    #[test]
    fn a_wrong_level_is_an_error_that_says_what_is_allowed() {
        let settings = LogSettings { format: LogFormat::Json, level: "loud".into() };
        let error = dispatch(&settings, false, io::sink).unwrap_err();
        assert!(error.to_string().starts_with("log.level: must be off, error, warn"), "{error}");
    }
}
