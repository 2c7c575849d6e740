//! How far a long command has come, on stderr.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar; it hides itself when stderr is no terminal.
pub(super) fn bar(what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {percent}% {eta}")
        .expect("the template is of its form");
    ProgressBar::new(0).with_style(style).with_message(what)
}
