//! Limits how often log lines of one kind are written.
//!
//! A stranger who is refused causes a line each time, and could fill the disk with them. So the
//! first lines of a kind are written, then two a second; the others are counted, by
//! `storekeeper_log_suppressed_total` and in a line of its own now and then. A kind is a place in
//! the source with the short texts that the line has beside its message, as a code, a route or a
//! connection's name. Lines for whoever debugs are not limited.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata};
use tracing_subscriber::layer::{Context, Filter};

use crate::metrics::log_suppressed;

/// So many lines of a kind may come at once.
const BURST: u32 = 20;
/// After that, one in so long a time.
const INTERVAL: Duration = Duration::from_millis(500);
/// How often the number of lines that were left out is logged.
const REPORT_EVERY: Duration = Duration::from_secs(10);
/// The most kinds that are told apart; further ones go by their place alone.
const KINDS_MAX: usize = 128;
/// The longest text that tells kinds apart, in bytes: an error's causes do not.
const TEXT_BYTES_MAX: usize = 32;
/// The target of the lines about lines that were left out, which are never limited.
const TARGET: &str = module_path!();

/// Decides which lines are written; its clones share what they have counted.
#[derive(Debug, Clone, Default)]
pub struct Sampling(Arc<Mutex<BTreeMap<Kind, Lines>>>);

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    target: &'static str,
    line: Option<u32>,
    texts: String,
}

/// The lines of one kind.
#[derive(Debug)]
struct Lines {
    /// When the next one would be written if they came evenly.
    next: Instant,
    suppressed: u64,
    /// What the last one that was left out said.
    message: String,
}

impl Sampling {
    /// Logs, every now and then, how many lines were left out. Never ends.
    pub async fn report(&self) -> ! {
        loop {
            tokio::time::sleep(REPORT_EVERY).await;
            self.report_now();
        }
    }

    /// Logs how many lines were left out since the last report.
    pub fn report_now(&self) {
        let mut left_out = Vec::new();
        let now = Instant::now();
        // Logging comes back here, so the lock is released before.
        self.kinds().retain(|_, lines| {
            if lines.suppressed > 0 {
                left_out.push((lines.suppressed, std::mem::take(&mut lines.message)));
                lines.suppressed = 0;
            }
            lines.next > now
        });
        for (suppressed, like) in left_out {
            tracing::warn!(target: TARGET, suppressed, like, "log lines were left out");
        }
    }

    fn admits(&self, event: &Event<'_>) -> bool {
        let metadata = event.metadata();
        let mut texts = Texts::default();
        event.record(&mut texts);
        let Texts { texts, message } = texts;
        let kind = Kind { target: metadata.target(), line: metadata.line(), texts };
        let now = Instant::now();
        let mut kinds = self.kinds();
        let kind = if kinds.len() < KINDS_MAX || kinds.contains_key(&kind) {
            kind
        } else {
            Kind { texts: String::new(), ..kind }
        };
        let new = || Lines { next: now, suppressed: 0, message: String::new() };
        let lines = kinds.entry(kind).or_insert_with(new);
        lines.next = lines.next.max(now);
        let is_admitted = lines.next - now < INTERVAL * BURST;
        if is_admitted {
            lines.next += INTERVAL;
        } else {
            lines.suppressed += 1;
            lines.message = message;
        }
        is_admitted
    }

    fn kinds(&self) -> MutexGuard<'_, BTreeMap<Kind, Lines>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Filter<S> for Sampling {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn callsite_enabled(&self, _: &'static Metadata<'static>) -> Interest {
        // What is always enabled must not be disabled by its event.
        Interest::sometimes()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::TRACE)
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        let metadata = event.metadata();
        if *metadata.level() > Level::INFO || metadata.target() == TARGET {
            return true;
        }
        let is_admitted = self.admits(event);
        if !is_admitted {
            log_suppressed().inc();
        }
        is_admitted
    }
}

/// The message of a line, and the short texts that it has beside it.
#[derive(Default)]
struct Texts {
    texts: String,
    message: String,
}

impl Visit for Texts {
    fn record_str(&mut self, _: &Field, text: &str) {
        if text.len() <= TEXT_BYTES_MAX {
            self.texts.push_str(text);
            self.texts.push('\n');
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        }
    }
}
