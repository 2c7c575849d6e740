//! What holds for every text that a person or a program gives by hand: names, quantities, times,
//! cursors, settings, and the rows of an import.
//!
//! The first line of an input says what the rest is; without such a line, the whole is a name or
//! a number. What is taken is written and read again, and must be the same.

use std::ffi::OsString;
use std::fs;

use storekeeper::cli::import;
use storekeeper::clock::PastTime;
use storekeeper::config::{ByteSize, LogFilter, Settings, SettingsError};
use storekeeper::domain::identifier::{decode, encode};
use storekeeper::domain::{
    CatalogueId, Code, Link, OrderId, QUANTITY_MAX, Quantity, Shown, Site, StockKey, Timestamp,
};
use storekeeper::store::changes::Cursor;

/// The variables that hold sections, the last of them in a form that is refused.
const SECTIONS: [&str; 3] =
    ["STOREKEEPER__SOURCES", "STOREKEEPER__INGRESS__CREDENTIALS", "STOREKEEPER__INGRESS__SOURCES"];
/// Stands for a secret that is not shown.
const REDACTED: &str = "<redacted>";

/// Checks everything that holds for an input of the fuzzer.
pub(crate) fn hold(input: &[u8]) {
    let line_end = input.iter().position(|byte| *byte == b'\n').map_or(input.len(), |end| end + 1);
    match input.split_at(line_end) {
        (b"rows\n", rows) => check_rows(rows),
        (b"settings\n", text) => check_settings(text),
        (b"sources\n", text) => check_sources(text),
        _ => str::from_utf8(input).into_iter().for_each(check_text),
    }
}

fn check_text(text: &str) {
    assert_eq!(decode(&encode(text)).as_deref(), Some(text), "encoded and decoded");
    comes_back(text, |text| StockKey::parse(text).ok());
    comes_back(text, |text| OrderId::parse(text).ok());
    comes_back(text, |text| CatalogueId::parse(text).ok());
    comes_back(text, |text| Site::parse(text).ok());
    comes_back(text, Code::parse);
    if let Ok(shown) = Shown::parse(text) {
        assert_eq!(Shown::parse(&shown.token()), Ok(shown), "{text:?}");
    }
    if let Ok(link) = Link::parse(text) {
        assert_eq!(Link::parse(&link.to_text()).as_ref(), Ok(&link), "{text:?}");
    }
    if let Ok(cursor) = Cursor::parse(text) {
        assert_eq!(Cursor::parse(&cursor.to_string()), Ok(cursor), "{text:?}");
    }
    if let Some(size) = ByteSize::parse(text) {
        assert_eq!(ByteSize::parse(&size.to_string()), Some(size), "{text:?}");
    }
    if let Ok((quantity, is_rounded)) = Quantity::parse(text) {
        assert!((Quantity::ZERO..=QUANTITY_MAX).contains(&quantity), "{text:?} is {quantity}");
        assert_eq!(Quantity::parse(&quantity.to_string()), Ok((quantity, false)), "{text:?}");
        assert_eq!(Quantity::exact(text).ok(), (!is_rounded).then_some(quantity), "{text:?}");
    }
    check_time(text);
    // Which filters there are is not ours; that a wrong one is an error is.
    drop(LogFilter::parse(text));
}

/// A name is shown as it was given, without white space around it, and means itself.
fn comes_back<T>(text: &str, parse: impl Fn(&str) -> Option<T>)
where
    T: std::fmt::Display + PartialEq + std::fmt::Debug,
{
    let Some(parsed) = parse(text) else { return };
    let shown = parsed.to_string();
    assert_eq!(parse(&shown), Some(parsed), "{text:?}");
    let without_space = |text: &str| text.replace(char::is_whitespace, "");
    assert_eq!(without_space(&shown), without_space(text), "{text:?}");
}

fn check_time(text: &str) {
    let now = Timestamp::from_millis(1_735_689_600_000);
    let Ok(past) = PastTime::parse(text) else { return };
    let time = past.resolve(now);
    let shown = time.to_string();
    match past {
        PastTime::Ago(_) => assert!(time <= now, "{text:?} is {shown}"),
        // Whatever is read from a date can be shown as one, to the millisecond.
        PastTime::At(_) => {
            let again = Timestamp::parse_rfc3339(&shown).map(Timestamp::millis);
            assert_eq!(again, Some(time.millis()), "{text:?} is shown as {shown}");
        }
    }
}

fn check_sources(text: &[u8]) {
    let Ok(text) = str::from_utf8(text) else { return };
    for variable in SECTIONS {
        let settings = Settings::load_from(None, [(variable.into(), OsString::from(text))]);
        let Some(settings) = accepted(settings) else { continue };
        for given in &settings.ingress.credentials {
            let is_secret = !given.secrets.is_empty() || given.path_token.is_some();
            assert!(is_secret, "anyone could be {:?}", given.source);
        }
    }
}

fn check_settings(text: &[u8]) {
    let directory = tempfile::tempdir().expect("there is room for a directory");
    let path = directory.path().join("settings.toml");
    let load = |text: &[u8]| {
        fs::write(&path, text).expect("there is room for a file");
        Settings::load_from(Some(&path), [])
    };
    let Some(settings) = accepted(load(text)) else { return };
    let shown = settings.to_redacted_toml();
    if !shown.contains(REDACTED) {
        let again = load(shown.as_bytes());
        let again = again.unwrap_or_else(|error| panic!("{error}\n{shown}"));
        assert_eq!(again.to_redacted_json(), settings.to_redacted_json(), "{shown}");
    }
}

/// The settings, if there are such; if not, the error is one line for a person, before whatever is
/// to be written instead.
fn accepted(settings: Result<Settings, SettingsError>) -> Option<Settings> {
    match settings {
        Ok(settings) => Some(settings),
        Err(error) => {
            let text = error.to_string();
            let is_replaced = text.starts_with("ingress.sources: is replaced by ");
            assert!(text.lines().count() == 1 || is_replaced, "{text}");
            None
        }
    }
}

fn check_rows(content: &[u8]) {
    let checked = import::check(content);
    let lines_max = 1 + content.iter().filter(|byte| b"\r\n".contains(byte)).count() as u64;
    let lines = checked.rows.iter().map(|row| row.line);
    let lines = lines.chain(checked.faults.iter().map(|fault| fault.line));
    for line in lines {
        assert!((1..=lines_max).contains(&line), "line {line} of {lines_max}");
    }
    assert!(checked.rows.is_sorted_by(|before, after| before.line < after.line));
    if checked.rows.is_empty() {
        assert!(!checked.faults.is_empty(), "a file without rows is a mistake");
        return;
    }
    let mut again = String::from("site,key,quantity,reference\n");
    for row in &checked.rows {
        again.push_str(&written(row));
    }
    let again = import::check(again.as_bytes());
    assert!(again.faults.is_empty() && again.repeated == 0, "{:?}", again.faults);
    let rows = |checked: &import::Checked| {
        checked.rows.iter().map(|row| import::Row { line: 0, ..row.clone() }).collect::<Vec<_>>()
    };
    assert_eq!(rows(&again), rows(&checked));
}

fn written(row: &import::Row) -> String {
    let quoted = |text: String| format!("\"{}\"", text.replace('"', "\"\""));
    let fields = [
        row.site.to_string(),
        row.key.clone(),
        row.quantity.to_string(),
        row.reference.to_string(),
    ];
    format!("{}\n", fields.map(quoted).join(","))
}
