//! Logs: from tracing's events to lines on stderr.
//!
//! `pretty` is one short line an event, coloured where stderr is a terminal that wants it; `json`
//! is one object a line with the event's fields at its top level. What is logged is decided by
//! [`LogFilter`]: libraries write warnings only, unless they are named. [`Sampling`] limits how
//! often lines of one kind are written.

use std::io;

use tracing::Dispatch;
use tracing_subscriber::filter::{FilterExt, Targets};
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry;

use super::sampling::Sampling;
use crate::config::{LogFilter, LogFormat, LogSettings};
use crate::domain::{printable, printable_json};

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

/// Starts logging to stderr, for the whole process and until its end. The caller has what is
/// returned report what was left out.
pub fn init(settings: &LogSettings) -> Result<Sampling, TelemetryError> {
    let colour = anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
    let sampling = Sampling::default();
    let dispatch = dispatch(settings, colour, io::stderr, sampling.clone())?;
    tracing::dispatcher::set_global_default(dispatch).map_err(|_| TelemetryError::Started)?;
    Ok(sampling)
}

fn dispatch<W>(
    settings: &LogSettings,
    colour: bool,
    writer: W,
    sampling: Sampling,
) -> Result<Dispatch, TelemetryError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = LogFilter::parse(&settings.level).map_err(TelemetryError::Level)?;
    let targets = Targets::new()
        .with_default(filter.library_level())
        .with_target(env!("CARGO_CRATE_NAME"), filter.level)
        .with_targets(filter.targets);
    let lines = fmt::layer().with_writer(PrintableLines { inner: writer, format: settings.format });
    let lines = match settings.format {
        LogFormat::Pretty => lines.compact().with_ansi(colour).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
    };
    Ok(Dispatch::new(registry().with(lines.with_filter(targets.and(sampling)))))
}

/// What a terminal's commands begin with.
const ESCAPE: char = '\u{1b}';
/// The styles that the formatter gives to parts of lines: whoever sends one changes a colour, and
/// hides nothing.
const STYLES: [&str; 10] =
    ["[0m", "[1m", "[2m", "[3m", "[31m", "[32m", "[33m", "[34m", "[35m", "[36m"];

/// Writes lines in which no text from outside steers a terminal.
struct PrintableLines<W> {
    inner: W,
    format: LogFormat,
}

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for PrintableLines<W> {
    type Writer = PrintableLines<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        PrintableLines { inner: self.inner.make_writer(), format: self.format }
    }
}

impl<W: io::Write> io::Write for PrintableLines<W> {
    /// Gets a whole line: that is how it is formatted.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let text = match self.format {
            LogFormat::Pretty => {
                let mut parts = text.split(ESCAPE);
                let mut kept = printable(parts.next().unwrap_or_default(), true);
                for part in parts {
                    let is_style = STYLES.iter().any(|style| part.starts_with(style));
                    kept.push(if is_style { ESCAPE } else { char::REPLACEMENT_CHARACTER });
                    kept.push_str(&printable(part, true));
                }
                kept
            }
            LogFormat::Json => printable_json(&text),
        };
        self.inner.write_all(text.as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use super::*;
    use crate::metrics::log_suppressed;

    /// What was written while `log` ran.
    fn lines(format: LogFormat, level: &str, log: impl FnOnce()) -> String {
        lines_of(format, level, &Sampling::default(), log)
    }

    fn lines_of(format: LogFormat, level: &str, sampling: &Sampling, log: impl FnOnce()) -> String {
        let written = Arc::new(Mutex::new(Vec::new()));
        let settings = LogSettings { format, level: level.into() };
        let writer = Arc::clone(&written);
        let writer = move || Written(Arc::clone(&writer));
        let dispatch = dispatch(&settings, false, writer, sampling.clone()).unwrap();
        tracing::dispatcher::with_default(&dispatch, log);
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
        let error = dispatch(&settings, false, io::sink, Sampling::default()).unwrap_err();
        assert!(error.to_string().starts_with("log.level: must be off, error, warn"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn lines_of_a_kind_are_limited_and_what_is_left_out_is_said_as_a_number() {
        let sampling = Sampling::default();
        let refuse = |code: &str| tracing::info!(code, number = 1, "refused");
        let flood = || {
            for _ in 0..1000 {
                refuse("signature.missing");
                tracing::debug!("a detail");
            }
            refuse("signature.mismatch");
        };
        let before = log_suppressed().get();
        let text = lines_of(LogFormat::Pretty, "debug", &sampling, flood);
        assert_eq!(text.matches("signature.missing").count(), 20, "{text}");
        assert_eq!(text.matches("signature.mismatch").count(), 1, "another kind: {text}");
        assert_eq!(text.matches("a detail").count(), 1000, "for whoever debugs");
        assert!(log_suppressed().get() >= before + 980);

        let report = || sampling.report_now();
        let text = lines_of(LogFormat::Json, "info", &sampling, report);
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&line["suppressed"], &line["like"]), (&980.into(), &"refused".into()));
        assert_eq!(lines_of(LogFormat::Json, "info", &sampling, report), "", "said once");

        tokio::time::advance(Duration::from_secs(3)).await;
        let text = lines_of(LogFormat::Pretty, "info", &sampling, flood);
        assert_eq!(text.matches("signature.missing").count(), 6, "two a second: {text}");
    }

    #[test]
    fn no_text_from_outside_steers_the_terminal() {
        let steering = "\u{1b}[2J\u{9b}2J\u{7f}\u{202e}evil\u{2069}";
        let log = || {
            tracing::info!(site = %steering, text = steering, debug = ?steering, "of {steering}");
        };
        let text = lines(LogFormat::Pretty, "info", log);
        assert_eq!(text.lines().count(), 1, "{text:?}");
        assert_eq!(printable(&text, true), text, "{text:?}");
        assert!(text.contains("\u{fffd}evil"), "{text:?}");
        let text = lines(LogFormat::Json, "info", log);
        assert_eq!(printable(&text, true), text, "{text:?}");
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&line["site"], &line["text"]), (&steering.into(), &steering.into()));
    }
}
