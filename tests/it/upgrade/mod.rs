//! What earlier releases wrote, opened by this one; `fixtures/upgrade/README.md` says how it came.
//!
//! Goal: whoever upgrades loses nothing and counts nothing twice. Method: for every release that has
//! fixtures, and for this one, each backend is loaded with what that release wrote while webhooks
//! were in flight. What is read must be what that release read (`before` in `expected.json`), what was
//! in flight is worked off to what that release would have made of it (`after`), events that come
//! later act on the old orders, and a rebuild from the old journal comes to the same.
//!
//! Of release 0.1.0 only the queue and the journal are read: its Store is [`refused`], and an empty
//! one is filled from them, as the rules are now (`rebuilt.json`).

mod distributed;
mod embedded;
mod given;
mod messages;
mod refused;
mod seen;
mod shop;

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::variable;

/// Set to 1, the fixtures of this release are written, unless it has some.
const WRITE: &str = "STOREKEEPER_TEST_WRITE_UPGRADE";

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/upgrade")
}

/// What a rebuild must come to, of a release whose Store is not read.
const REBUILT: &str = "rebuilt.json";

/// The fixtures of a backend: of releases whose Store is read, and of those whose is not.
fn releases(backend: &str) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let entries = std::fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path());
    let mut places: Vec<_> =
        entries.filter(|path| path.is_dir()).map(|release| release.join(backend)).collect();
    places.sort();
    assert!(!places.is_empty(), "no release has fixtures");
    places.into_iter().partition(|place| !place.join(REBUILT).exists())
}

/// The fixtures of 0.1.0, of which only the messages are read.
fn first_release(backend: &str) -> PathBuf {
    let place = fixtures().join("0.1.0").join(backend);
    assert!(releases(backend).1.contains(&place), "{} is not there", place.display());
    place
}

/// Where this release's fixtures are to be written: theirs, or a directory that is thrown away.
fn destination(backend: &str, elsewhere: &Path) -> PathBuf {
    if variable(WRITE).is_none_or(|value| value != "1") {
        return elsewhere.join(backend);
    }
    let place = fixtures().join(env!("CARGO_PKG_VERSION")).join(backend);
    assert!(!place.exists(), "{} is there and is never written again", place.display());
    std::fs::create_dir_all(place.parent().unwrap()).unwrap();
    place
}

fn read(file: &Path) -> Value {
    let text = std::fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn write(file: &Path, value: &Value) {
    let text = serde_json::to_string_pretty(value).unwrap();
    std::fs::write(file, text + "\n").unwrap();
}

/// Fails unless two values are the same, and says where they differ first.
#[track_caller]
fn same(what: &Path, found: &Value, expected: &Value) {
    let lines = |value: &Value| serde_json::to_string_pretty(value).unwrap();
    let (found, expected) = (lines(found), lines(expected));
    let mut pairs = found.lines().zip(expected.lines()).enumerate();
    if let Some((place, (found, expected))) = pairs.find(|(_, (a, b))| a != b) {
        panic!("{}, line {}: {found} is not {expected}", what.display(), place + 1);
    }
    assert_eq!(found.lines().count(), expected.lines().count(), "{}", what.display());
}
