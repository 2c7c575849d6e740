//! Progress bars of long commands, on stderr.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar; it is hidden if stderr is not a terminal.
pub(super) fn bar(what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {percent}% {eta}")
        .expect("the template is of its form");
    ProgressBar::new(0).with_style(style).with_message(what)
}

/// A counter without a known total; it is hidden if stderr is not a terminal.
pub(super) fn count(what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {msg}: {human_pos}, {per_sec}")
        .expect("the template is of its form");
    ProgressBar::new_spinner().with_style(style).with_message(what)
}
