//! Places at which a test may let the process die, as the environment variable `STOREKEEPER_TEST_FAULT`
//! says: `worker.committed:N` after the Nth call that committed, before anything of it is
//! acknowledged; `worker.taken:TEXT` as soon as a body is taken that has this text.
//!
//! Why a place in the program, and no signal? Between a commit and its acknowledgement are
//! microseconds: a signal from outside nearly never comes there, and a test with it would pass
//! without having seen anything. A body that kills needs a program that it kills.
//!
//! # Invariants
//! - Only a build with debug assertions has these places. In a release build the variable is not
//!   read, and nothing dies.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use crate::broker::Envelope;

/// What was asked for.
#[derive(Debug)]
enum Fault {
    Committed(u64),
    Taken(Vec<u8>),
}

static FAULT: LazyLock<Option<Fault>> = LazyLock::new(|| {
    if !cfg!(debug_assertions) {
        return None;
    }
    #[expect(clippy::disallowed_methods, reason = "it is for tests and no setting")]
    let asked = std::env::var("STOREKEEPER_TEST_FAULT").ok()?;
    match asked.split_once(':')? {
        ("worker.committed", number) => number.parse().ok().map(Fault::Committed),
        ("worker.taken", text) => Some(Fault::Taken(text.into())),
        _ => None,
    }
});
static COMMITS: AtomicU64 = AtomicU64::new(0);

/// Dies here if this is the commit after which it shall.
pub(super) fn committed() {
    let Some(Fault::Committed(last)) = &*FAULT else { return };
    if COMMITS.fetch_add(1, Ordering::SeqCst) + 1 == *last {
        std::process::abort();
    }
}

/// Dies here if one of these bodies shall kill.
pub(super) fn taken(envelopes: &[Arc<Envelope>]) {
    let Some(Fault::Taken(text)) = &*FAULT else { return };
    let has_text = |body: &[u8]| body.windows(text.len()).any(|part| part == text.as_slice());
    if envelopes.iter().any(|envelope| has_text(&envelope.body)) {
        std::process::abort();
    }
}
