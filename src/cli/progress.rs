//! How far a long command has come, on stderr.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar; it hides itself when stderr is no terminal.
pub(super) fn bar(what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {percent}% {eta}")
        .expect("the template is of its form");
    ProgressBar::new(0).with_style(style).with_message(what)
}

/// A count of what was done, where nobody knows of how much; it hides itself as a bar does.
pub(super) fn count(what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {msg}: {human_pos}, {per_sec}")
        .expect("the template is of its form");
    ProgressBar::new_spinner().with_style(style).with_message(what)
}
